//! TLS for what talks inside a cluster: both sides show a certificate of the cluster's authority.
//!
//! A certificate is one of a cluster if the cluster's authority has signed it and it is made out to [`CLUSTER_NAME`]. That name
//! says what its holder is, not where: one certificate serves any number of hosts, and addresses may change. Other names in
//! it are for clients that check where they are, such as browsers.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::verify_server_name,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::{ParsedCertificate, WebPkiClientVerifier},
};
use wasmill_model::fault::{Code, Coded};

/// The name that the certificates of a cluster's processes are made out to.
pub const CLUSTER_NAME: &str = "cluster.wasmill.internal";

/// The files of a process's identity, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate of the cluster's authority; there may be several in it.
    pub ca: PathBuf,
    /// The certificate of the process, followed by those between it and the authority.
    pub certificate: PathBuf,
    /// The private key of that certificate.
    pub key: PathBuf,
}

/// Who this process is, and whom it trusts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tls {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

/// A certificate and its private key, both in PEM.
#[derive(Clone)]
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not read {what} from {}: {reason}", path.display())]
    Unreadable { what: &'static str, path: PathBuf, reason: String },
    #[error("the certificate {} and the key {} cannot be used: {source}", files.certificate.display(), files.key.display())]
    Unusable { files: Box<TlsFiles>, source: rustls::Error },
    #[error("the authority {} cannot be used: {reason}", path.display())]
    Authority { path: PathBuf, reason: String },
    #[error("could not make a certificate: {0}")]
    NotMade(#[from] rcgen::Error),
}

impl Coded for Error {
    fn code(&self) -> Code {
        Code::TlsFile
    }
}

impl Tls {
    /// Reads the files of an identity.
    ///
    /// # Errors
    /// If one of them cannot be read, or if they do not belong together.
    pub fn from_files(files: &TlsFiles) -> Result<Self, Error> {
        let roots = Arc::new(authority(&files.ca)?);
        let chain = certificates("a certificate", &files.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|e| Error::Unreadable {
            what: "a private key",
            path: files.key.clone(),
            reason: e.to_string(),
        })?;
        let provider = Arc::new(ring::default_provider());
        let unusable = |source| Error::Unusable { files: Box::new(files.clone()), source };
        Ok(Self {
            server: Arc::new(server(&provider, &roots, &chain, &key, files)?),
            client: Arc::new(
                ClientConfig::builder_with_provider(provider)
                    .with_protocol_versions(&[&rustls::version::TLS13])
                    .map_err(unusable)?
                    .with_root_certificates(roots)
                    .with_client_auth_cert(chain, key)
                    .map_err(unusable)?,
            ),
        })
    }

    /// For whoever listens: those that connect must show a certificate of the authority. Whether it is one of a cluster's
    /// process, [`Self::is_of_cluster`] says.
    pub fn server(&self) -> Arc<ServerConfig> {
        self.server.clone()
    }

    /// For whoever connects. The name to ask for is [`Self::name`].
    pub fn client(&self) -> Arc<ClientConfig> {
        self.client.clone()
    }

    /// The name that a connection within a cluster asks for.
    pub fn name() -> ServerName<'static> {
        ServerName::try_from(CLUSTER_NAME).expect("it is a name as DNS has them")
    }

    /// Whether whoever connected has shown the certificate of a cluster's process, and not only one of its authority.
    pub fn is_of_cluster(shown: Option<&[CertificateDer<'_>]>) -> bool {
        let first = shown.and_then(<[_]>::first);
        let parsed = first.and_then(|certificate| ParsedCertificate::try_from(certificate).ok());
        parsed.is_some_and(|certificate| verify_server_name(&certificate, &Self::name()).is_ok())
    }
}

fn server(
    provider: &Arc<CryptoProvider>,
    roots: &Arc<RootCertStore>,
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
    files: &TlsFiles,
) -> Result<ServerConfig, Error> {
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
        .build()
        .map_err(|e| Error::Authority { path: files.ca.clone(), reason: e.to_string() })?;
    let unusable = |source| Error::Unusable { files: Box::new(files.clone()), source };
    ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(unusable)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain.to_vec(), key.clone_key())
        .map_err(unusable)
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let unreadable = |reason: String| Error::Unreadable { what, path: path.to_owned(), reason };
    let all = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let all = all.map_err(|e| unreadable(e.to_string()))?;
    if all.is_empty() { Err(unreadable("there is none in it".to_owned())) } else { Ok(all) }
}

fn authority(path: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("the authority's certificate", path)? {
        let added = roots.add(certificate);
        added.map_err(|e| Error::Authority { path: path.to_owned(), reason: e.to_string() })?;
    }
    Ok(roots)
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A key is never shown.
        f.debug_struct("Identity").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// Signs certificates for one cluster: for development, since it keeps no record of what it signs.
#[derive(Debug)]
pub struct Authority {
    cluster: String,
    identity: Identity,
}

impl Authority {
    /// A new authority.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn new(cluster: &str) -> Result<Self, Error> {
        let key = KeyPair::generate()?;
        let certificate = authority_params(cluster).self_signed(&key)?.pem();
        Ok(Self { cluster: cluster.to_owned(), identity: Identity { certificate, key: key.serialize_pem() } })
    }

    /// The authority that [`Self::new`] made before, for the same cluster.
    pub fn again(cluster: &str, identity: Identity) -> Self {
        Self { cluster: cluster.to_owned(), identity }
    }

    /// Its own certificate, which all others must know, and its key, which nobody else may.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Makes the identity of a process of the cluster. `hosts`: names and addresses under which clients from outside
    /// reach it.
    ///
    /// # Errors
    /// If the key is none, or a host is no name.
    pub fn sign(&self, common_name: &str, hosts: &[String]) -> Result<Identity, Error> {
        let issuer = Issuer::new(authority_params(&self.cluster), KeyPair::from_pem(&self.identity.key)?);
        let names: Vec<String> = [CLUSTER_NAME.to_owned()].into_iter().chain(hosts.iter().cloned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = named(common_name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        Ok(Identity { certificate: params.signed_by(&key, &issuer)?.pem(), key: key.serialize_pem() })
    }
}

/// The same for the same cluster, so that an authority can be had again from its key.
fn authority_params(cluster: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(&format!("Wasmill authority of {cluster}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

impl Identity {
    /// Writes both into a folder, as `NAME.pem` and `NAME.key`; the key is for its owner's eyes alone.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn write(&self, folder: &Path, name: &str) -> std::io::Result<()> {
        use std::{io::Write, os::unix::fs::OpenOptionsExt};
        fs::create_dir_all(folder)?;
        fs::write(folder.join(format!("{name}.pem")), &self.certificate)?;
        let path = folder.join(format!("{name}.key"));
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(self.key.as_bytes())
    }
}
