//! A job on its way to a cluster.

use std::cell::RefCell;

use super::*;
use crate::{
    component::{Component, tests::wasm},
    push::{Sent, push},
    scripted::{Recorded, Server, Step, head, json as answer, problem},
};

const JOB: &str = r#"[job]
name = "fraud"

[source.s]
connector = "file"
path = "in.jsonl"

[operator.a]
plugin = "./score.wasm"
input = "s"

[operator.b]
plugin = "./score.wasm"
input = "a"

[operator.c]
plugin = "other@1.0"
input = "b"

[sink.out]
input = "c"
connector = "blackhole"
"#;

fn accepted() -> Step {
    answer("201 Created", json!({ "id": "job-7", "name": "fraud", "state": "CREATED", "warnings": [] }))
}

fn draft() -> Draft {
    Draft::read(Path::new("jobs/job.toml"), JOB.to_owned(), &[], Path::new("/data")).expect("the job is good")
}

fn stored(name: &str, version: &str, component: &Component) -> serde_json::Value {
    json!({ "name": name, "version": version, "digest": component.digest(), "size": 1, "languages": [], "uploaded_ms": 0, "used_by": [] })
}

/// A folder with `score.wasm`, and what a project's side says of it.
struct Bench {
    folder: tempfile::TempDir,
    component: Component,
    asked: RefCell<Vec<PathBuf>>,
}

impl Bench {
    fn new(manifest: Option<&str>) -> Self {
        let folder = tempfile::tempdir().expect("temporary folders can be made");
        std::fs::write(folder.path().join("score.wasm"), wasm(manifest)).expect("the folder can be written");
        Self { folder, component: Component::new(wasm(manifest)), asked: RefCell::default() }
    }

    /// Uploads what a job names by path.
    fn push(&self, server: &Server, draft: &mut Draft) -> Result<(), Error> {
        let component = |path: &Path| {
            self.asked.borrow_mut().push(path.to_owned());
            Ok(self.folder.path().join("score.wasm"))
        };
        let job_text = |_: &Path| Ok(String::new());
        push_plugins(&server.client(), draft, &Local { job_text: &job_text, component: &component })
    }
}

#[test]
fn a_job_is_submitted_under_one_key_however_often_it_is_sent() {
    let server = Server::start(vec![Step::Close, problem(503, "not-ready", "later"), accepted(), accepted()]);
    let (client, draft) = (server.client(), draft());
    assert_eq!(submit(&client, &draft).expect("it is taken at last").id, "job-7");
    submit(&client, &draft).expect("it is another job");
    let requests = server.requests();
    assert!(requests.iter().all(|request| request.line() == "POST /v1/jobs"));
    assert!(requests.iter().all(|request| request.header("content-type") == Some("application/json")));
    let keys: Vec<&str> = requests.iter().filter_map(|request| request.header("idempotency-key")).collect();
    assert_eq!((keys[0], keys[1]), (keys[2], keys[2]));
    assert_ne!(keys[2], keys[3]);
    assert!(keys.iter().all(|key| key.len() == 32));
    let sent: wasmill_rest::Submission = serde_json::from_slice(&requests[2].body).expect("it is a submission");
    assert_eq!(sent, draft.submission);
    assert_eq!((sent.base.as_deref(), sent.file.as_str()), (Some("/data/jobs"), "jobs/job.toml"));
}

#[test]
fn what_a_job_names_by_path_is_uploaded_once_and_sent_by_digest() {
    let bench = Bench::new(Some(r#"{"name":"fraud-score","version":"1.2.0"}"#));
    let server = Server::start(vec![
        head("404 Not Found"),
        Step::Close,
        answer("201 Created", stored("fraud-score", "1.2.0", &bench.component)),
    ]);
    let mut draft = draft();
    bench.push(&server, &mut draft).expect("it is uploaded");
    let digest = bench.component.digest();
    let put = "PUT /v1/plugins/fraud-score/versions/1.2.0".to_owned();
    assert_eq!(server.lines(), [format!("HEAD /v1/plugins/by-digest/{digest}"), put.clone(), put]);
    let upload: &Recorded = &server.requests()[2];
    assert_eq!(upload.body, bench.component.bytes);
    assert_eq!(upload.header("content-type"), Some("application/wasm"));
    assert_eq!(upload.header("content-digest"), Some(bench.component.content_digest().as_str()));
    let set = ["a", "b"].map(|operator| format!("operator.{operator}.plugin=\"{digest}\""));
    assert_eq!(draft.submission.set, set);
    assert_eq!(*bench.asked.borrow(), [PathBuf::from("jobs/./score.wasm")], "it is built once");
}

#[test]
fn what_the_cluster_has_is_not_uploaded() {
    let bench = Bench::new(None);
    let server = Server::start(vec![head("200 OK")]);
    let mut draft = draft();
    bench.push(&server, &mut draft).expect("it is there");
    assert_eq!(server.lines().len(), 1);
    assert_eq!(draft.submission.set.len(), 2);
}

#[test]
fn what_was_built_anew_under_its_old_version_gets_one_beside_it() {
    let bench = Bench::new(Some(r#"{"name":"fraud-score","version":"1.2.0"}"#));
    let beside = bench.component.version_beside("1.2.0");
    let server = Server::start(vec![
        head("404 Not Found"),
        problem(409, "plugin-version-taken", "fraud-score@1.2.0 has other bytes"),
        answer("201 Created", stored("fraud-score", &beside, &bench.component)),
    ]);
    bench.push(&server, &mut draft()).expect("it is uploaded");
    assert_eq!(server.lines()[2], format!("PUT /v1/plugins/fraud-score/versions/{beside}"));
}

#[test]
fn a_component_that_is_refused_ends_the_deployment() {
    let bench = Bench::new(None);
    let server = Server::start(vec![head("404 Not Found"), problem(422, "interface", "the component exports nothing")]);
    let error = bench.push(&server, &mut draft()).expect_err("it is refused");
    assert_eq!(
        error.shown(),
        "error[interface]: the component exports nothing\n  for more: wasmill explain interface\n"
    );
}

#[test]
fn a_plugin_whose_file_is_not_there_is_told_with_its_place_in_the_job() {
    let bench = Bench::new(None);
    std::fs::remove_file(bench.folder.path().join("score.wasm")).expect("it is there");
    let error = bench.push(&Server::start(Vec::new()), &mut draft()).expect_err("it is not there");
    let expect = "error[plugin-unreadable]: jobs/job.toml:9: operator.a.plugin: could not read plugin jobs/./score.wasm: No such file";
    assert!(error.shown().starts_with(expect), "{}", error.shown());
}

#[test]
fn a_push_sends_nothing_that_is_there_under_its_name() {
    let component = Component::new(wasm(None));
    let detail = |digest: &Component| {
        let mut json = stored("score", "1.0.0", digest);
        json["inspection"] = json!({});
        answer("200 OK", json)
    };
    let server = Server::start(vec![head("200 OK"), head("200 OK"), detail(&component)]);
    let (_, sent) = push(&server.client(), &component, "score", "1.0.0").expect("it is there");
    assert_eq!((sent, server.lines().len()), (Sent::WasThere, 3));
    // Under another name it is there too, but it is to be under this one.
    let there = answer("201 Created", stored("score", "1.0.0", &component));
    let server = Server::start(vec![head("200 OK"), head("404 Not Found"), there]);
    let (json, sent) = push(&server.client(), &component, "score", "1.0.0").expect("it is uploaded");
    assert_eq!((sent, &json["version"]), (Sent::Uploaded, &json!("1.0.0")));
    assert_eq!(server.lines()[2], "PUT /v1/plugins/score/versions/1.0.0");
}
