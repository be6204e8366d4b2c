//! Uploads: a component under a name and a version, unless the cluster has it.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use indicatif::HumanBytes;
use serde_json::Value;
use wasmill_model::fault::Code;
use wasmill_rest::{PluginDetail, PluginVersion};

use crate::{
    client::Client,
    component::Component,
    connection::Common,
    error::Error,
    harmless,
    output::{Output, show},
    progress::Upload,
    request::Request,
};

/// Bytes of a component, at most; a server may take fewer.
const BYTES_MAX: u64 = 1 << 30;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The component's file.
    file: PathBuf,
    /// The plugin's name [default: that of its manifest, else one made of the file's name].
    #[arg(long, value_parser = name)]
    name: Option<String>,
    /// The plugin's version [default: that of its manifest, else 0.0.0- and the first 12 digits of its digest].
    #[arg(long, value_parser = version)]
    version: Option<String>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Whether bytes went over the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    Uploaded,
    WasThere,
}

/// Uploads one file.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let Arguments { file, name, version, common } = arguments;
    let component =
        read(file).map_err(|e| Error::new(Code::FileUnreadable, format!("could not read {}: {e}", file.display())))?;
    let client = common.connection.client()?;
    let name = name.clone().unwrap_or_else(|| component.name(file));
    let version = version.clone().unwrap_or_else(|| component.version());
    let (json, sent) = push(&client, &component, &name, &version)?;
    Ok(match common.output {
        Output::Json => show(&format!("{json}\n")),
        Output::Table => {
            let what = match sent {
                Sent::Uploaded => format!("pushed, {}", HumanBytes(component.bytes.len() as u64)),
                Sent::WasThere => "was there already".to_owned(),
            };
            show(&format!("{name}@{version} {what}\n  {}\n", component.digest()))
        }
    })
}

/// Reads a component's file.
pub(crate) fn read(file: &Path) -> std::io::Result<Component> {
    let mut bytes = Vec::new();
    File::open(file)?.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(std::io::Error::other(format!("it has more than {}", HumanBytes(BYTES_MAX))));
    }
    Ok(Component::new(bytes))
}

/// Puts a component under this name and version. What is there with the same bytes is left as it is.
pub(crate) fn push(client: &Client, component: &Component, name: &str, version: &str) -> Result<(Value, Sent), Error> {
    let path = format!("/v1/plugins/{name}/versions/{version}");
    let digest = component.digest();
    if client.has(&format!("/v1/plugins/by-digest/{digest}"))? && client.has(&path)? {
        let there: PluginDetail = client.get(&path)?;
        if there.version.digest == digest {
            return Ok((serde_json::to_value(there.version).unwrap_or_default(), Sent::WasThere));
        }
    }
    upload(client, component, &path).map(|json| (json, Sent::Uploaded))
}

/// Sees to it that the cluster has a component, under whatever name and version.
pub(crate) fn ensure(client: &Client, component: &Component, file: &Path) -> Result<Option<PluginVersion>, Error> {
    if client.has(&format!("/v1/plugins/by-digest/{}", component.digest()))? {
        return Ok(None);
    }
    let (name, version) = (component.name(file), component.version());
    let path = |version: &str| format!("/v1/plugins/{name}/versions/{version}");
    let stored = match upload(client, component, &path(&version)) {
        // It was built anew, and its version stayed.
        Err(error) if error.code() == VERSION_TAKEN => {
            upload(client, component, &path(&component.version_beside(&version)))?
        }
        other => other?,
    };
    let stored = serde_json::from_value(stored).map_err(|e| client.nonsense(&path(&version), &e.to_string()))?;
    Ok(Some(stored))
}

/// The code of a version that has other bytes already.
const VERSION_TAKEN: &str = "plugin-version-taken";

fn upload(client: &Client, component: &Component, path: &str) -> Result<Value, Error> {
    let what = path.trim_start_matches("/v1/plugins/").replace("/versions/", "@");
    let progress = Upload::new(&harmless::line(&what, 200), component.bytes.len() as u64);
    let gone = |bytes| progress.gone(bytes);
    let request = Request::put(path, &component.bytes, &gone)
        .header("content-type", "application/wasm")
        .header("content-digest", component.content_digest());
    client.ask(&request)
}

pub(crate) fn name(text: &str) -> Result<String, String> {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    match (1..=63).contains(&text.len()) && text.bytes().all(known) && !text.starts_with('-') {
        true => Ok(text.to_owned()),
        false => Err("expected 1 to 63 of a-z, 0-9 and -, the first no -".to_owned()),
    }
}

pub(crate) fn version(text: &str) -> Result<String, String> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b".+-".contains(&byte);
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    match text.len() <= 64 && text.bytes().all(known) && first {
        true => Ok(text.to_owned()),
        false => Err("expected 1 to 64 of letters, digits, ., + and -, the first a letter or digit".to_owned()),
    }
}
