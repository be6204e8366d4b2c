//! From a job file to what a cluster is sent: the text, and assignments for all that is meant from where the client stands.
//!
//! The cluster reads the job file again, on another machine. There relative paths of the file start from the file's own
//! folder, which is sent along; paths of `--set` start from the client's current folder, so they are sent absolute. Plugins
//! named by path are uploaded, and their digests are sent in their place.

use std::path::{Path, PathBuf};

use wasmill_model::{
    dead_letters,
    fault::Code,
    settings::{Origin, Setting, Settings, Value},
    spec::{JobSpec, RoleSpec},
};
use wasmill_rest::Submission;

use crate::error::Error;

/// What of a project's side a client needs: it builds nothing itself.
pub struct Local<'a> {
    /// The text of a job file.
    pub job_text: &'a dyn Fn(&Path) -> Result<String, Error>,
    /// The file of the component that a job names by this path, built if a project makes it.
    pub component: &'a dyn Fn(&Path) -> Result<PathBuf, Error>,
}

impl std::fmt::Debug for Local<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Local(..)")
    }
}

/// A job file, read and looked at as far as that can be done here.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) submission: Submission,
    /// Operators whose plugins are named by path.
    pub(crate) plugins: Vec<PathPlugin>,
}

/// A plugin that a job names by path.
#[derive(Debug)]
pub(crate) struct PathPlugin {
    pub(crate) operator: String,
    /// Relative to the current folder, or absolute.
    pub(crate) path: PathBuf,
    setting: Setting,
}

impl Draft {
    /// Reads a job file with assignments as `--set` takes them, for a client that stands in `here`.
    pub(crate) fn read(job: &Path, text: String, set: &[String], here: &Path) -> Result<Self, Error> {
        let mut settings = Settings::parse(job, &text)?;
        for assignment in set {
            settings.set(assignment)?;
        }
        let spec = JobSpec::read(&settings)?;
        let folder = job.parent().unwrap_or(Path::new(""));
        let mut plugins = Vec::new();
        for vertex in &spec.vertices {
            let RoleSpec::Operator(operator) = &vertex.role else { continue };
            if operator.plugin.string()?.contains('/') {
                let (operator, setting) = (vertex.name.clone(), operator.plugin.clone());
                plugins.push(PathPlugin { operator, path: setting.path(folder)?, setting });
            }
        }
        let mut set = set.to_vec();
        set.extend(absolute_paths(&settings, here)?);
        let base = utf8(&here.join(folder))?;
        let submission = Submission {
            text,
            file: job.display().to_string(),
            base: Some(base),
            set,
            from: None,
            allow_dropped_state: false,
        };
        Ok(Self { submission, plugins })
    }

    /// Says what the job begins from, and whether it may leave state behind.
    pub(crate) fn begin_from(&mut self, from: Option<&str>, allow_dropped_state: bool) {
        self.submission.from = from.map(str::to_owned);
        self.submission.allow_dropped_state = allow_dropped_state;
    }

    /// As it is sent.
    pub(crate) fn json(&self) -> Vec<u8> {
        serde_json::to_vec(&self.submission).expect("text becomes JSON")
    }

    /// Sends a plugin by its digest, whatever the job file says.
    pub(crate) fn name_plugin(&mut self, operator: &str, digest: &str) {
        self.submission.set.push(format!("operator.{operator}.plugin=\"{digest}\""));
    }
}

impl PathPlugin {
    /// An error about its file.
    pub(crate) fn unreadable(&self, reason: &std::io::Error) -> Error {
        let message = format!("could not read plugin {}: {reason}", self.path.display());
        let hint = "build it first, or name a plugin of the cluster as name@version";
        self.setting.error_with_hint(message, hint).coded(Code::PluginUnreadable).into()
    }
}

/// Assignments that say once more, with absolute paths, what `--set` says of the paths of sources and sinks.
fn absolute_paths(settings: &Settings, here: &Path) -> Result<Vec<String>, Error> {
    let mut assignments = Vec::new();
    let mut look = |key: String, table: &Settings, is_pattern: bool| -> Result<(), Error> {
        if let Some((_, path)) = table.iter().find(|(name, _)| *name == "path")
            && let Some(value) = absolute(path, here, is_pattern)?
        {
            assignments.push(format!("{key}.path={value}"));
        }
        Ok(())
    };
    for (kind, setting) in settings.iter() {
        let Ok(tables) = setting.table() else { continue };
        match kind {
            "source" | "sink" => {
                for (name, setting) in tables.iter() {
                    if let Ok(table) = setting.table() {
                        look(format!("{kind}.{name}"), table, kind == "source")?;
                    }
                }
            }
            dead_letters::SINK => look(kind.to_owned(), tables, false)?,
            _ => {}
        }
    }
    Ok(assignments)
}

/// A path or several of `--set` as absolute ones, in TOML. None if there is nothing to say.
fn absolute(setting: &Setting, here: &Path, is_pattern: bool) -> Result<Option<toml::Value>, Error> {
    match (&setting.value, &setting.origin) {
        (Value::String(text), Origin::Set(_)) if is_relative(text) => {
            let here = utf8(here)?;
            let here = if is_pattern { escaped(&here) } else { here };
            Ok(Some(format!("{}/{text}", here.trim_end_matches('/')).into()))
        }
        (Value::Array(items), _) => {
            let mut changed = false;
            let mut paths = Vec::new();
            for item in items {
                // What is no path is refused where the job is checked.
                let Value::String(text) = &item.value else { return Ok(None) };
                let made = absolute(item, here, is_pattern)?;
                changed |= made.is_some();
                paths.push(made.unwrap_or_else(|| text.clone().into()));
            }
            Ok(changed.then_some(toml::Value::Array(paths)))
        }
        _ => Ok(None),
    }
}

/// Whether a path starts from the current folder. `-` is standard input or output.
fn is_relative(text: &str) -> bool {
    !text.is_empty() && text != "-" && Path::new(text).is_relative()
}

/// A folder as the beginning of a pattern, in which nothing of it stands for anything else.
fn escaped(folder: &str) -> String {
    let special = |c: char| matches!(c, '*' | '?' | '[' | ']');
    folder.chars().fold(String::with_capacity(folder.len()), |mut text, c| {
        if special(c) {
            text.extend(['[', c, ']']);
        } else {
            text.push(c);
        }
        text
    })
}

fn utf8(path: &Path) -> Result<String, Error> {
    let clean: PathBuf = path.components().filter(|part| !matches!(part, std::path::Component::CurDir)).collect();
    clean.to_str().map(str::to_owned).ok_or_else(|| {
        let message = format!("could not send the folder {} to a cluster: it is not UTF-8", path.display());
        Error::new(Code::JobFileUnreadable, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: &str = r#"[job]
name = "fraud"

[source.s]
connector = "file"
path = "in.jsonl"

[operator.score]
plugin = "./score.wasm"
input = "s"

[operator.named]
plugin = "other@1.0"
input = "score"
on_error = "dead_letter"

[sink.out]
input = "named"
connector = "file"
path = "out.jsonl"
"#;

    fn draft(set: &[&str], here: &str) -> Draft {
        let set: Vec<String> = set.iter().map(|&set| set.to_owned()).collect();
        Draft::read(Path::new("jobs/./job.toml"), JOB.to_owned(), &set, Path::new(here)).expect("the job is good")
    }

    #[track_caller]
    fn check(set: &str, here: &str, expect: Option<&str>) {
        let sent = draft(&[set], here).submission.set;
        assert_eq!(sent[0], set);
        assert_eq!(sent.get(1).map(String::as_str), expect);
    }

    #[test]
    fn paths_of_set_are_sent_absolute_and_nothing_else_is_changed() {
        check("source.s.path=a.jsonl", "/data", Some("source.s.path=\"/data/a.jsonl\""));
        check("source.s.path=../b \"c\".jsonl", "/data", Some("source.s.path='/data/../b \"c\".jsonl'"));
        check("source.s.path=[\"a\", \"/b\", \"-\"]", "/data", Some("source.s.path=[\"/data/a\", \"/b\", \"-\"]"));
        check("source.s={connector=\"file\", path=\"a\"}", "/data", Some("source.s.path=\"/data/a\""));
        check("source.s.path=*.jsonl", "/d[1]*", Some("source.s.path=\"/d[[]1[]][*]/*.jsonl\""));
        check("sink.out.path=o.jsonl", "/d[1]", Some("sink.out.path=\"/d[1]/o.jsonl\""));
        check("dead_letter={connector=\"file\",path=\"dl\",format=\"json\"}", "/", Some("dead_letter.path=\"/dl\""));
        for unchanged in [
            "source.s.path=/a.jsonl",
            "source.s.path=-",
            "source.s.path=7",
            "source.s.path=[\"/a\", \"-\"]",
            "source.s.format=json",
            "job.parallelism=2",
            "operator.named.config={path=\"a\"}",
        ] {
            check(unchanged, "/data", None);
        }
    }

    #[test]
    fn the_folder_of_the_job_file_is_sent_absolute() {
        let draft = draft(&[], "/home-of-jobs");
        assert_eq!(draft.submission.base.as_deref(), Some("/home-of-jobs/jobs"));
        assert_eq!(draft.submission.file, "jobs/./job.toml");
        assert_eq!(draft.submission.set, [""; 0]);
    }

    #[test]
    fn what_a_job_begins_from_is_sent_only_if_there_is_something() {
        let mut draft = draft(&[], "/data");
        let sent = |draft: &Draft| serde_json::from_slice::<serde_json::Value>(&draft.json()).expect("it is JSON");
        assert!(sent(&draft).get("from").is_none() && sent(&draft).get("allow_dropped_state").is_none());
        draft.begin_from(Some("before-v2"), true);
        assert_eq!((&sent(&draft)["from"], &sent(&draft)["allow_dropped_state"]), (&"before-v2".into(), &true.into()));
    }

    #[test]
    fn plugins_named_by_path_are_found_whoever_names_them() {
        let found = |set: &[&str]| -> Vec<(String, PathBuf)> {
            draft(set, "/data").plugins.into_iter().map(|plugin| (plugin.operator, plugin.path)).collect()
        };
        let score = ("score".to_owned(), PathBuf::from("jobs/./score.wasm"));
        assert_eq!(found(&[]), std::slice::from_ref(&score));
        let named = ("named".to_owned(), PathBuf::from("./x.wasm"));
        assert_eq!(found(&["operator.named.plugin=./x.wasm"]), [score, named]);
        assert_eq!(found(&["operator.score.plugin=score@2"]), []);
        let mut draft = draft(&[], "/data");
        draft.name_plugin("score", "sha256:ab");
        assert_eq!(draft.submission.set, ["operator.score.plugin=\"sha256:ab\""]);
    }

    #[test]
    fn a_job_file_that_cannot_be_is_refused_before_a_cluster_is_asked() {
        let text = JOB.replace("input = \"s\"", "inptu = \"s\"");
        let error = Draft::read(Path::new("job.toml"), text, &[], Path::new("/data")).expect_err("it is wrong");
        assert!(error.shown().starts_with("error[job-file-unknown-key]: job.toml:"), "{}", error.shown());
    }
}
