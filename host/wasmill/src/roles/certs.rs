//! `wasmill cluster certs`: an authority and certificates for a cluster, to begin with TLS without an infrastructure of one's own.

use std::{fs, path::PathBuf, process::ExitCode};

use clap::Args;
use wasmill_model::fault::Code;
use wasmill_runtime::tls::{Authority, Identity};

use crate::{error::Error, roles, tell};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The folder to write to. An authority that lies there already is used again.
    #[arg(long, value_name = "DIR", default_value = "certs")]
    out: PathBuf,
    /// A host name or address by which the processes are reached; may be repeated [default: localhost and 127.0.0.1].
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// What the certificates are for, a file each.
    #[arg(value_name = "PROCESS", default_values = ["jobmanager", "taskmanager", "client"])]
    names: Vec<String>,
}

/// The authority's files, without their endings.
const AUTHORITY: &str = "ca";

/// Writes the certificates.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    roles::run_role(|| {
        let folder = &arguments.out;
        let failed = |e: &dyn std::fmt::Display| {
            Error::new(Code::TlsFile, format!("could not write certificates to {}: {e}", folder.display()))
        };
        fs::create_dir_all(folder).map_err(|e| failed(&e))?;
        let kept = |ending: &str| fs::read_to_string(folder.join(AUTHORITY).with_extension(ending));
        let authority = match (kept("pem"), kept("key")) {
            (Ok(certificate), Ok(key)) => Authority::again("wasmill", Identity { certificate, key }),
            _ => {
                let authority = Authority::new("wasmill").map_err(|e| failed(&e))?;
                authority.identity().write(folder, AUTHORITY).map_err(|e| failed(&e))?;
                authority
            }
        };
        let here = || vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        let hosts = if arguments.host.is_empty() { here() } else { arguments.host.clone() };
        for name in &arguments.names {
            let identity = authority.sign(name, &hosts).map_err(|e| failed(&e))?;
            identity.write(folder, name).map_err(|e| failed(&e))?;
        }
        tell(&format!("wrote {AUTHORITY}, {} to {}\n", arguments.names.join(", "), folder.display()));
        Ok(())
    })
}
