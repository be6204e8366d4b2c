//! The client's configuration: clusters by name, one of them current.
//!
//! ```toml
//! current = "prod"
//!
//! [context.prod]
//! server = "https://jobs.example.com:7420"
//! token_file = "prod.token"       # relative to this file
//! ca = "prod-ca.pem"
//! ```
//! Tokens themselves never stand in it.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use toml::Table;
use wasmill_model::{
    fault::Code,
    settings::{self, Setting, Settings, did_you_mean},
};

use crate::error::Error;

/// The variable that names the file.
pub(crate) const FILE_VARIABLE: &str = "WASMILL_CONFIG";

/// Bytes of the file, at most.
const BYTES_MAX: u64 = 1 << 20;

/// A cluster and how to reach it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Context {
    pub(crate) name: String,
    pub(crate) server: String,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) cert: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
}

/// All clusters that are known by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Contexts {
    pub(crate) current: Option<String>,
    pub(crate) contexts: Vec<Context>,
}

impl Contexts {
    /// Where they are kept: none if there is no home folder.
    pub(crate) fn file() -> Option<PathBuf> {
        let named = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        named(FILE_VARIABLE).or_else(|| {
            let base = named("XDG_CONFIG_HOME").or_else(|| named("HOME").map(|home| home.join(".config")));
            base.map(|base| base.join("wasmill").join("config.toml"))
        })
    }

    /// Reads them; a file that is not there holds none.
    pub(crate) fn read(file: &Path) -> Result<Self, Error> {
        let unreadable = |e: &io::Error| unusable(format!("could not read {}: {e}", file.display()));
        let text = match fs::metadata(file) {
            Ok(found) if found.len() > BYTES_MAX => {
                let message = format!("could not read {}: it has more than {BYTES_MAX} bytes", file.display());
                return Err(unusable(message));
            }
            Ok(_) => fs::read_to_string(file).map_err(|e| unreadable(&e))?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(unreadable(&e)),
        };
        let base = file.parent().unwrap_or(Path::new(""));
        let settings = Settings::parse(file, &text).and_then(|settings| Self::of_settings(&settings, base));
        settings.map_err(|e| unusable(e.to_string()))
    }

    fn of_settings(settings: &Settings, base: &Path) -> Result<Self, settings::Error> {
        let mut contexts = Vec::new();
        if let Some(tables) = settings.get("context") {
            for (name, setting) in tables.table()?.iter() {
                contexts.push(Context::of_settings(name, setting.table()?, base)?);
            }
        }
        let current = settings.optional("current", |setting| setting.string().map(str::to_owned))?;
        settings.finish()?;
        Ok(Self { current, contexts })
    }

    /// Writes them; whoever reads meanwhile reads all of the old file or all of the new one.
    pub(crate) fn write(&self, file: &Path) -> Result<(), Error> {
        let unfinished = file.with_extension(format!("toml.{}.part", std::process::id()));
        let written = file.parent().map_or(Ok(()), fs::create_dir_all);
        let written = written.and_then(|()| fs::write(&unfinished, self.text()));
        written.and_then(|()| fs::rename(&unfinished, file)).map_err(|e| {
            // What could not be written is not missed either.
            let _ = fs::remove_file(&unfinished);
            unusable(format!("could not write {}: {e}", file.display()))
        })
    }

    fn text(&self) -> String {
        let mut contexts = Table::new();
        for context in &self.contexts {
            let mut table = Table::new();
            table.insert("server".to_owned(), context.server.clone().into());
            for (name, path) in context.files() {
                table.insert(name.to_owned(), path.display().to_string().into());
            }
            contexts.insert(context.name.clone(), table.into());
        }
        let mut whole = Table::new();
        if let Some(current) = &self.current {
            whole.insert("current".to_owned(), current.clone().into());
        }
        whole.insert("context".to_owned(), contexts.into());
        whole.to_string()
    }

    /// The context of this name.
    pub(crate) fn find(&self, name: &str) -> Result<&Context, Error> {
        self.contexts.iter().find(|context| context.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.contexts.iter().map(|context| context.name.as_str()).collect();
            let hint = did_you_mean(name, &names).unwrap_or_else(|| match names[..] {
                [] => "`wasmill config set-context NAME --server URL` makes one".to_owned(),
                _ => format!("there are: {}", names.join(", ")),
            });
            unusable(format!("could not find the context `{name}`\n  hint: {hint}"))
        })
    }

    /// Adds a context, or puts it in the place of the one of its name. The first one becomes the current one.
    pub(crate) fn set(&mut self, context: Context) {
        self.current.get_or_insert_with(|| context.name.clone());
        match self.contexts.iter_mut().find(|old| old.name == context.name) {
            Some(old) => *old = context,
            None => self.contexts.push(context),
        }
    }
}

impl Context {
    fn of_settings(name: &str, table: &Settings, base: &Path) -> Result<Self, settings::Error> {
        let path = |setting: &Setting| setting.path(base);
        let context = Self {
            name: name.to_owned(),
            server: table.require("server")?.string()?.to_owned(),
            token_file: table.optional("token_file", path)?,
            ca: table.optional("ca", path)?,
            cert: table.optional("cert", path)?,
            key: table.optional("key", path)?,
        };
        table.finish()?;
        Ok(context)
    }

    /// The files it names.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let Self { token_file, ca, cert, key, .. } = self;
        let files = [("token_file", token_file), ("ca", ca), ("cert", cert), ("key", key)];
        files.into_iter().filter_map(|(name, path)| path.as_deref().map(|path| (name, path)))
    }
}

fn unusable(message: String) -> Error {
    Error::new(Code::ClientConfig, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(name: &str, server: &str) -> Context {
        Context { name: name.to_owned(), server: server.to_owned(), ..Context::default() }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().expect("temporary folders can be made");
        let file = folder.path().join("wasmill/config.toml");
        assert_eq!(Contexts::read(&file).expect("no file is none"), Contexts::default());
        let mut contexts = Contexts::default();
        contexts.set(context("lab", "http://127.0.0.1:7420"));
        let prod = Context { token_file: Some("/etc/wasmill/token".into()), ..context("prod", "https://jobs:7420") };
        contexts.set(prod);
        contexts.set(context("lab", "http://127.0.0.1:7421"));
        assert_eq!(contexts.current.as_deref(), Some("lab"));
        contexts.write(&file).expect("the folder can be written");
        assert_eq!(Contexts::read(&file).expect("it was just written"), contexts);
        assert_eq!(contexts.contexts.len(), 2);
        let left = fs::read_dir(folder.path().join("wasmill")).expect("it is there").count();
        assert_eq!(left, 1, "nothing unfinished is left");
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        let folder = tempfile::tempdir().expect("temporary folders can be made");
        let file = folder.path().join("config.toml");
        let check = |text: &str, expect: &str| {
            fs::write(&file, text).expect("the folder can be written");
            let error = Contexts::read(&file).and_then(|read| read.find("prod").cloned()).expect_err("it is wrong");
            assert_eq!(error.code(), "client-config");
            let shown = error.shown().replace(&folder.path().display().to_string(), "~");
            assert!(shown.contains(expect), "{shown}");
        };
        check("curent = \"a\"\n", "~/config.toml:1: curent: unknown key `curent`\n  hint: did you mean `current`?");
        check("[context.prod]\nserver = 7\n", "~/config.toml:2: context.prod.server: expected a string");
        check(
            "[context.prod]\ntoken = \"x\"\nserver = \"http://a\"\n",
            "unknown key `token`\n  hint: known keys: ca, cert, key, server, token_file",
        );
        check(
            "[context.prud]\nserver = \"http://a\"\n",
            "could not find the context `prod`\n  hint: did you mean `prud`?",
        );
        check("", "`wasmill config set-context NAME --server URL` makes one");
    }
}
