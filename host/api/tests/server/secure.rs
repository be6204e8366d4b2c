//! TLS, with and without certificates of clients.

use std::{fs, path::PathBuf, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{PrivateKeyDer, ServerName},
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;
use wasmill_api::{Options, options::Tls, serve};
use wasmill_model::fault::{Code, Coded as _};

use crate::{
    access::{TOKENS, file},
    client::Server,
    memory::Memory,
};

/// An authority, and what it has signed.
struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("there are no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("there is chance");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("it is well-formed");
        let folder = TempDir::new().expect("there is room");
        fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("there is room");
        Self { folder, issuer }
    }

    fn sign(&self) -> (rcgen::Certificate, KeyPair) {
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("it is a name");
        let key = KeyPair::generate().expect("there is chance");
        (params.signed_by(&key, &self.issuer).expect("it is well-formed"), key)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn files(&self) -> Tls {
        let (certificate, key) = self.sign();
        fs::write(self.path("server.pem"), certificate.pem()).expect("there is room");
        fs::write(self.path("server.key"), key.serialize_pem()).expect("there is room");
        Tls { certificate: self.path("server.pem"), key: self.path("server.key"), client_ca: None }
    }
}

/// What comes back for a request; an error says that no connection was made or kept.
async fn ask(
    server: &Server,
    trusts: &Authority,
    shows: Option<&Authority>,
    request: &str,
) -> Result<String, std::io::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(trusts.issuer.der().clone()).expect("it is a certificate");
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("it is known")
        .with_root_certificates(roots);
    let config = match shows.map(Authority::sign) {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
            builder.with_client_auth_cert(vec![certificate.der().clone()], key).expect("they belong together")
        }
    };
    let name = ServerName::try_from("localhost").expect("it is a name");
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, server.socket().await).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    // Not every end of a connection is announced.
    let read = stream.read_to_end(&mut answer).await;
    if answer.is_empty() {
        read?;
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn get(path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{more}\r\n")
}

#[tokio::test]
async fn a_server_with_tls_speaks_nothing_else() {
    let (authority, tokens) = (Authority::new(), file());
    let tls = Some(authority.files());
    let server = Server::of(Options { tls, tokens: Some(tokens.path().to_owned()), ..Options::default() }).await;
    let healthy = ask(&server, &authority, None, &get("/v1/healthz", "")).await.expect("it is trusted");
    assert!(healthy.starts_with("HTTP/1.1 200"), "{healthy}");
    let nobody = ask(&server, &authority, None, &get("/v1/jobs", "")).await.expect("it is trusted");
    assert!(nobody.starts_with("HTTP/1.1 401"), "{nobody}");
    let token = format!("authorization: Bearer {}\r\n", TOKENS[0].1);
    let viewer = ask(&server, &authority, None, &get("/v1/jobs", &token)).await.expect("it is trusted");
    assert!(viewer.starts_with("HTTP/1.1 200"), "{viewer}");
    assert!(ask(&server, &Authority::new(), None, &get("/v1/healthz", "")).await.is_err(), "it is not trusted");
    let plain = server.raw(get("/v1/healthz", "").as_bytes()).await;
    assert!(!plain.contains("HTTP/1.1 200"), "{plain}");
}

#[tokio::test]
async fn taskmanagers_show_a_certificate_where_there_is_an_authority() {
    let (authority, clients, tokens) = (Authority::new(), Authority::new(), file());
    let tls = Some(Tls { client_ca: Some(clients.path("ca.pem")), ..authority.files() });
    let server = Server::of(Options { tls, tokens: Some(tokens.path().to_owned()), ..Options::default() }).await;
    let token = |number: usize| format!("authorization: Bearer {}\r\n", TOKENS[number].1);
    let code = get("/v1/tm/code/k", &token(3));
    let without = ask(&server, &authority, None, &code).await.expect("others come without");
    assert!(without.starts_with("HTTP/1.1 401") && without.contains("certificate"), "{without}");
    let with = ask(&server, &authority, Some(&clients), &code).await.expect("it is trusted");
    assert!(with.starts_with("HTTP/1.1 200"), "{with}");
    let unnamed = ask(&server, &authority, Some(&clients), &get("/v1/tm/code/k", "")).await.expect("it is trusted");
    assert!(unnamed.starts_with("HTTP/1.1 401"), "a certificate is no token: {unnamed}");
    assert!(ask(&server, &authority, Some(&Authority::new()), &code).await.is_err(), "a stranger's certificate");
    let viewer = ask(&server, &authority, None, &get("/v1/jobs", &token(0))).await.expect("it is trusted");
    assert!(viewer.starts_with("HTTP/1.1 200"), "{viewer}");
}

#[tokio::test]
async fn files_that_are_none_are_named() {
    let authority = Authority::new();
    let files = authority.files();
    let empty = authority.path("empty.pem");
    fs::write(&empty, "").expect("there is room");
    let other = Authority::new().files();
    let cases = [
        (Tls { certificate: "/nowhere".into(), ..files.clone() }, "the certificate from /nowhere"),
        (Tls { certificate: empty.clone(), ..files.clone() }, "there is no certificate in it"),
        (Tls { key: empty.clone(), ..files.clone() }, "the key from"),
        (Tls { key: other.key, ..files.clone() }, "the "),
        (Tls { client_ca: Some(empty), ..files }, "the authority of clients from"),
    ];
    for (tls, expect) in cases {
        let listen = "127.0.0.1:0".parse().expect("it is an address");
        let error = serve(Options { listen, tls: Some(tls), ..Options::default() }, Memory::new())
            .await
            .expect_err("it is wrong");
        assert_eq!(error.code(), Code::TlsFile);
        assert!(error.to_string().contains(expect), "{error}");
    }
}
