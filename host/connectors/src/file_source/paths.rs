//! Which files a `path` means: globs, lists, standard input.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use wasmill_model::settings::{self, Origin, Setting};

use crate::{Error, Split, similar_file};

/// The key `path` of a `file` source.
#[derive(Debug, Clone)]
pub(super) struct Paths {
    patterns: Vec<Pattern>,
    /// Whether one of them is `-`.
    standard_input: bool,
}

/// A path or glob, made absolute or relative to the current directory.
#[derive(Debug, Clone)]
struct Pattern {
    /// The path or glob, for looking up literally and for messages.
    path: PathBuf,
    /// The same with the job file's folder escaped.
    glob: glob::Pattern,
}

impl Paths {
    pub(super) fn read(setting: &Setting, base: &Path) -> Result<Self, settings::Error> {
        let items = setting.items().unwrap_or(std::slice::from_ref(setting));
        if items.is_empty() {
            return Err(setting.error("expected at least one path, found none"));
        }
        let mut paths = Self { patterns: Vec::new(), standard_input: false };
        for item in items {
            match item.string()? {
                "" => return Err(item.error("expected a path, found an empty string")),
                Split::STANDARD_INPUT => paths.standard_input = true,
                text => paths.patterns.push(Pattern::read(item, text, base)?),
            }
        }
        Ok(paths)
    }

    /// Whether standard input is one of them.
    pub(super) fn has_standard_input(&self) -> bool {
        self.standard_input
    }

    /// Standard input, then the files that match, sorted. A file is read once, whatever names it is given.
    pub(super) fn splits(&self) -> Result<Vec<Split>, Error> {
        let mut files = Vec::new();
        for pattern in &self.patterns {
            let found = pattern.files()?;
            if found.is_empty() {
                let hint = similar_file(&pattern.path).map_or_else(
                    || "a relative path is looked up beside the job file".to_owned(),
                    |near| format!("did you mean `{near}`?"),
                );
                return Err(Error::NoFile { pattern: pattern.path.display().to_string(), hint });
            }
            files.extend(found);
        }
        // Of names that differ only in `./` the shortest comes first, and stays.
        files.sort_unstable_by(|a, b| a.cmp(b).then_with(|| a.as_os_str().len().cmp(&b.as_os_str().len())));
        let mut seen = HashSet::new();
        // A pipe under `/dev/fd` has no name of its own: it counts by the one it was given.
        files.retain(|path| seen.insert(fs::canonicalize(path).unwrap_or_else(|_| path.clone())));
        let standard_input = self.standard_input.then(Split::standard_input);
        Ok(standard_input.into_iter().chain(files.into_iter().map(Split::of_file)).collect())
    }
}

impl Pattern {
    fn read(setting: &Setting, text: &str, base: &Path) -> Result<Self, settings::Error> {
        let path = resolve(setting, text, base);
        let escaped = match path.strip_prefix(base) {
            Ok(rest) if path != Path::new(text) => {
                Path::new(&glob::Pattern::escape(&base.to_string_lossy())).join(rest).to_string_lossy().into_owned()
            }
            _ => text.to_owned(),
        };
        let glob = glob::Pattern::new(&escaped)
            .map_err(|e| setting.error(format!("expected a path or glob, found \"{text}\": {}", e.msg)))?;
        Ok(Self { path, glob })
    }

    fn files(&self) -> Result<Vec<PathBuf>, Error> {
        // A file whose own name has a bracket or star is meant as it stands.
        if let Ok(metadata) = fs::metadata(&self.path) {
            return match metadata.is_dir() {
                true => Err(Error::Folder { path: self.path.clone() }),
                false => Ok(vec![self.path.clone()]),
            };
        }
        let options = glob::MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: true,
        };
        let found = glob::glob_with(self.glob.as_str(), options).expect("the pattern was parsed before");
        let mut files = Vec::new();
        for entry in found {
            let path = entry.map_err(|e| Error::Read { doing: "list", path: e.path().to_owned(), source: e.into() })?;
            if !path.is_dir() {
                files.push(path);
            }
        }
        Ok(files)
    }
}

/// The path a setting means: one in a job file is relative to its folder, one of `--set` to the current directory.
pub(crate) fn resolve(setting: &Setting, text: &str, base: &Path) -> PathBuf {
    match setting.origin {
        Origin::File { .. } => base.join(text),
        Origin::Set(_) => PathBuf::from(text),
    }
}
