//! What shows a server who asks, and shows who answers: a token from a file of the user's own, certificates.

use std::{
    fmt, fs,
    io::{self, Read},
    path::Path,
    sync::Arc,
};

use ureq::tls::{Certificate, ClientCert, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};
use wasmill_model::fault::Code;

use crate::error::Error;

/// Bytes of a file of a token, at most.
const TOKEN_BYTES_MAX: u64 = 4 << 10;

/// Bytes of a file of certificates, at most.
const CERTIFICATES_BYTES_MAX: u64 = 16 << 20;

/// A token. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Token {
    /// Reads a token from a file that nobody but its owner may read.
    pub(crate) fn read(file: &Path) -> Result<Self, Error> {
        let error = |reason: &dyn fmt::Display, hint: &str| {
            unusable(format!("could not use the token in {}: {reason}{hint}", file.display()))
        };
        let bytes = read_private(file, TOKEN_BYTES_MAX).map_err(|reason| error(&reason, ""))?;
        // What is in it is not told: it may be a token with a mistake.
        let text = String::from_utf8(bytes).unwrap_or_default();
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            let hint = "\n  hint: the file holds one token, on one line, and nothing else";
            return Err(error(&"it is not one word of visible ASCII characters", hint));
        }
        Ok(Self(text.to_owned()))
    }

    /// As the header `Authorization` carries it.
    pub(crate) fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// A text without the token in it, should somebody have echoed it.
    pub(crate) fn hidden_in(&self, text: &str) -> String {
        text.replace(&self.0, "[token]")
    }
}

/// Reads a file that only its owner may read.
fn read_private(file: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    let opened = fs::File::open(file).map_err(|e| e.to_string())?;
    let found = opened.metadata().map_err(|e| e.to_string())?;
    if !found.is_file() {
        return Err("it is no file".to_owned());
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = found.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(format!(
                "others may read it (mode {mode:04o})\n  hint: chmod 600 {}, and make a new token if others had it",
                file.display()
            ));
        }
    }
    bounded(opened, bytes_max).map_err(|e| e.to_string())
}

fn bounded(file: fs::File, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::other(format!("it has more than {bytes_max} bytes")));
    }
    Ok(bytes)
}

/// How TLS is spoken: whom the client trusts, and what it shows itself.
pub(crate) fn tls(ca: Option<&Path>, cert: Option<&Path>, key: Option<&Path>) -> Result<TlsConfig, Error> {
    let roots = match ca {
        Some(file) => certificates(file)?,
        None => system_roots(),
    };
    let client = match (cert, key) {
        (Some(cert), Some(key)) => Some(ClientCert::new_with_certs(&certificates(cert)?, private_key(key)?)),
        (None, None) => None,
        _ => {
            let message = "could not use a client certificate: --cert and --key go together";
            return Err(unusable(message.to_owned()));
        }
    };
    Ok(TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::new_with_certs(&roots))
        .client_cert(client)
        .build())
}

/// The certificates this machine trusts. Where there are none, no server is trusted, which is told when one is asked.
fn system_roots() -> Vec<Certificate<'static>> {
    let found = rustls_native_certs::load_native_certs();
    found.certs.iter().map(|root| Certificate::from_der(root).to_owned()).collect()
}

fn certificates(file: &Path) -> Result<Vec<Certificate<'static>>, Error> {
    let found: Vec<_> = pem(file)?
        .into_iter()
        .filter_map(|item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        })
        .collect();
    if found.is_empty() {
        return Err(unusable(format!("could not use {}: it holds no certificate in PEM", file.display())));
    }
    Ok(found)
}

fn private_key(file: &Path) -> Result<ureq::tls::PrivateKey<'static>, Error> {
    let error = |reason: &str| unusable(format!("could not use the key in {}: {reason}", file.display()));
    let bytes = read_private(file, CERTIFICATES_BYTES_MAX).map_err(|reason| error(&reason))?;
    let key = parse_pem(&bytes).flatten().find_map(|item| match item {
        PemItem::PrivateKey(key) => Some(key),
        _ => None,
    });
    key.ok_or_else(|| error("it holds no private key in PEM"))
}

fn pem(file: &Path) -> Result<Vec<PemItem<'static>>, Error> {
    let error =
        |reason: &dyn fmt::Display| unusable(format!("could not use certificates of {}: {reason}", file.display()));
    let opened = fs::File::open(file).map_err(|e| error(&e))?;
    let bytes = bounded(opened, CERTIFICATES_BYTES_MAX).map_err(|e| error(&e))?;
    parse_pem(&bytes).collect::<Result<_, _>>().map_err(|e| error(&e))
}

fn unusable(message: String) -> Error {
    Error::new(Code::ClientCredentials, message)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const SECRET: &str = "wm_0123456789abcdef";

    fn file(folder: &Path, text: &str, mode: u32) -> std::path::PathBuf {
        let file = folder.join("token");
        fs::write(&file, text).expect("the folder can be written");
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("it is ours");
        file
    }

    #[test]
    fn a_token_is_read_from_a_private_file_only() {
        let folder = tempfile::tempdir().expect("temporary folders can be made");
        let read = |text: &str, mode: u32| Token::read(&file(folder.path(), text, mode));
        assert_eq!(read(&format!("{SECRET}\n"), 0o600).expect("it is private").bearer(), format!("Bearer {SECRET}"));
        read(SECRET, 0o400).expect("it is private");
        for (text, mode, expect) in [
            (SECRET, 0o640, "others may read it (mode 0640)\n  hint: chmod 600 "),
            (SECRET, 0o604, "others may read it"),
            ("", 0o600, "it is not one word"),
            ("a b", 0o600, "it is not one word"),
            (&"a".repeat(5_000), 0o600, "more than 4096 bytes"),
        ] {
            let shown = read(text, mode).expect_err("it cannot be used").shown();
            assert!(shown.starts_with("error[client-credentials]: could not use the token in "), "{shown}");
            assert!(shown.contains(expect), "{shown}");
            assert!(!shown.contains(SECRET), "{shown}");
        }
        let folder_as_file = Token::read(folder.path()).expect_err("a folder is no file").shown();
        assert!(folder_as_file.contains("it is no file"), "{folder_as_file}");
    }

    #[test]
    fn a_token_is_never_shown() {
        let token = Token(SECRET.to_owned());
        assert!(!format!("{token:?}").contains(SECRET));
        assert_eq!(token.hidden_in(&format!("no token {SECRET} here")), "no token [token] here");
    }

    #[test]
    fn certificates_and_keys_are_looked_into_before_they_are_used() {
        let folder = tempfile::tempdir().expect("temporary folders can be made");
        let text = file(folder.path(), "no PEM\n", 0o600);
        let shown = |ca: Option<&Path>, cert: Option<&Path>, key: Option<&Path>| {
            tls(ca, cert, key).expect_err("it cannot be used").shown()
        };
        assert!(shown(Some(&text), None, None).contains("holds no certificate in PEM"));
        assert!(shown(None, Some(&text), None).contains("--cert and --key go together"));
        assert!(shown(Some(Path::new("nowhere.pem")), None, None).contains("No such file"));
    }
}
