//! `wasmill savepoint export` and `import`: savepoints as one file, from one cluster to another. A file is looked at here too, before it is
//! sent, and after it was received: so it is known at once that it is no savepoint, or not a whole one.

use std::{
    fs::File,
    io::{self, BufReader, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use indicatif::HumanBytes;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use wasmill_model::fault::{Code, Coded as _};
use wasmill_rest::Savepoint;
use wasmill_snapshot::{archive, manifest::Manifest};

use crate::{
    client::{Client, encoded},
    connection::Common,
    error::Error,
    harmless,
    output::{Output, show, tell},
    progress::Upload,
    request::Request,
    savepoints::{again, name, of},
};

const TAR: &str = "application/x-tar";
/// Bytes that are copied at once.
const PIECE: usize = 64 << 10;

#[derive(Debug, Args)]
pub struct ExportArguments {
    /// The savepoint.
    #[arg(value_parser = name)]
    name: String,
    /// The file to write, which must not be there [default: NAME.tar in the current folder].
    file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub struct ImportArguments {
    /// The file, as `wasmill savepoint export` wrote it.
    file: PathBuf,
    /// How the savepoint is called, 1 to 63 letters, digits, `-` and `_` [default: as it was where it was exported].
    #[arg(long, value_parser = name)]
    name: Option<String>,
    #[command(flatten)]
    pub(crate) common: Common,
}

fn path(name: &str) -> String {
    format!("/v1/savepoints/{}/file", encoded(name))
}

/// Writes a savepoint to a file, which is there whole or not at all.
pub(crate) fn export(arguments: &ExportArguments) -> Result<ExitCode, Error> {
    let ExportArguments { name, file, common } = arguments;
    let file = file.clone().unwrap_or_else(|| format!("{name}.tar").into());
    let client = common.connection.client()?;
    if file.exists() {
        return Err(unwritable(&file, "there is a file of this name\n  hint: name another one, or remove it"));
    }
    let bytes = receive(&client, name, &file)?;
    let shown = file.display().to_string();
    let savepoint: Savepoint = client.get(&format!("/v1/savepoints/{}", encoded(name)))?;
    for sink in &savepoint.unfinished {
        let sink = harmless::line(sink, 63);
        tell(&format!(
            "warning: what `{sink}` has written and not finished is not in it: it lies where the sink writes\n"
        ));
    }
    Ok(show(&match common.output {
        Output::Json => format!(
            "{}\n",
            json!({ "savepoint": name, "file": shown, "bytes": bytes, "unfinished": savepoint.unfinished })
        ),
        Output::Table => format!("{name} exported to {shown}, {}\n", HumanBytes(bytes)),
    }))
}

/// Receives a savepoint beside its place, looks at all of it, and gives it its name. Returns how long it is.
fn receive(client: &Client, name: &str, file: &Path) -> Result<u64, Error> {
    let failed = |e: &io::Error| unwritable(file, &e.to_string());
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut part = NamedTempFile::with_prefix_in(".savepoint-", folder).map_err(|e| failed(&e))?;
    let bytes = client.download(&path(name), TAR, |bytes, from| {
        let progress = Upload::new(name, bytes);
        let (mut piece, mut taken) = (vec![0; PIECE], 0);
        loop {
            let read = match from.read(&mut piece) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(client.cut_off(&error)),
            };
            if read == 0 {
                break;
            }
            part.write_all(&piece[..read]).map_err(|e| failed(&e))?;
            taken += read as u64;
            progress.gone(taken);
        }
        match taken == bytes {
            true => Ok(bytes),
            false => Err(client.cut_off(&io::ErrorKind::UnexpectedEof.into())),
        }
    })?;
    let arrived = part.reopen().map_err(|e| failed(&e))?;
    check(&arrived).map_err(|error| Error::new(error.code(), format!("could not export savepoint {name}: {error}")))?;
    part.as_file().sync_all().map_err(|e| failed(&e))?;
    part.persist_noclobber(file).map_err(|e| failed(&e.error))?;
    Ok(bytes)
}

/// Sends a savepoint, once it is known to be one.
pub(crate) fn import(arguments: &ImportArguments) -> Result<ExitCode, Error> {
    let ImportArguments { file, name, common } = arguments;
    let shown = file.display();
    let unreadable = |e: io::Error| Error::new(Code::FileUnreadable, format!("could not read {shown}: {e}"));
    let opened = File::open(file).map_err(unreadable)?;
    let bytes = opened.metadata().map_err(unreadable)?.len();
    let manifest = check(&opened);
    let manifest = manifest.map_err(|error| Error::new(error.code(), format!("could not import {shown}: {error}")))?;
    let name = match name {
        Some(name) => name.clone(),
        None => manifest.savepoint.expect("it is one of a savepoint"),
    };
    let client = common.connection.client()?;
    let answer = send(&client, &name, (&opened, bytes))?;
    let savepoint: Savepoint = client.typed(&path(&name), &answer)?;
    Ok(show(&match common.output {
        Output::Json => format!("{answer}\n"),
        Output::Table => imported(&client, &savepoint),
    }))
}

fn send(client: &Client, name: &str, file: (&File, u64)) -> Result<Value, Error> {
    let progress = Upload::new(name, file.1);
    let gone = |bytes| progress.gone(bytes);
    client.ask(&Request::put_file(path(name), file, &gone).header("content-type", TAR))
}

fn imported(client: &Client, savepoint: &Savepoint) -> String {
    let name = harmless::line(&savepoint.name, 63);
    let (job, size) = (harmless::line(&of(savepoint), 170), HumanBytes(savepoint.state_bytes));
    format!("{name} is there, of {job}, {size}\n{}", again(client, &savepoint.name))
}

/// Reads a file to its end, which must be a savepoint that was exported.
fn check(file: &File) -> Result<Manifest, archive::Error> {
    archive::check(BufReader::with_capacity(PIECE, file))
}

fn unwritable(file: &Path, reason: &str) -> Error {
    Error::new(Code::OutputUnwritable, format!("could not write {}: {reason}", file.display()))
}
