//! Why the server cannot start. What goes wrong later is told to the client that asked, as a problem.

use std::{io, net::SocketAddr, path::PathBuf};

use wasmill_model::fault::{Code, Coded};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "could not listen on {listen}: others reach it, and {missing}\n  hint: give both, or say that the network is closed by \
         insecure = true"
    )]
    UnsafeListen { listen: SocketAddr, missing: &'static str },
    #[error("could not listen on {listen}: {source}")]
    Listen { listen: SocketAddr, source: io::Error },
    /// `why` never holds anything of the file.
    #[error("could not take tokens from {}: {why}", path.display())]
    Tokens { path: PathBuf, why: String },
    #[error("could not take {what} from {}: {why}", path.display())]
    Tls { what: &'static str, path: PathBuf, why: String },
}

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Self::UnsafeListen { .. } => Code::UnsafeListen,
            Self::Listen { .. } => Code::ListenFailed,
            Self::Tokens { .. } => Code::TokensFile,
            Self::Tls { .. } => Code::TlsFile,
        }
    }
}
