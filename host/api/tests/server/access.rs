//! Who may what: each role at each route.

use std::{fs, os::unix::fs::PermissionsExt as _};

use hyper::Method;
use tempfile::NamedTempFile;
use wasmill_api::{Error, Options, Role, serve};
use wasmill_model::fault::{Code, Coded as _};

use crate::{
    client::{Ask, Server},
    memory::Memory,
};

pub(crate) const TOKENS: [(Role, &str); 4] = [
    (Role::Viewer, "viewer-viewer-viewer"),
    (Role::Deployer, "deployer-deployer-deployer"),
    (Role::Admin, "admin-admin-admin-admin"),
    (Role::Worker, "worker-worker-worker"),
];

/// Every route, with something in its path, and the role that it takes.
const ROUTES: &[(&str, &str, Option<Role>)] = &[
    ("GET", "/", None),
    ("GET", "/v1/healthz", None),
    ("GET", "/v1/readyz", None),
    ("GET", "/v1/openapi.json", None),
    ("GET", "/v1/errors/not-found", None),
    ("GET", "/metrics", Some(Role::Viewer)),
    ("GET", "/v1/cluster", Some(Role::Viewer)),
    ("PUT", "/v1/plugins/a/versions/1", Some(Role::Deployer)),
    ("GET", "/v1/plugins", Some(Role::Viewer)),
    ("GET", "/v1/plugins/a/versions/1", Some(Role::Viewer)),
    ("GET", DIGEST, Some(Role::Viewer)),
    ("DELETE", "/v1/plugins/b/versions/1", Some(Role::Deployer)),
    ("POST", "/v1/jobs", Some(Role::Deployer)),
    ("POST", "/v1/plans", Some(Role::Deployer)),
    ("GET", "/v1/jobs", Some(Role::Viewer)),
    ("GET", "/v1/jobs/job-1", Some(Role::Viewer)),
    ("GET", "/v1/jobs/job-1/stall", Some(Role::Viewer)),
    ("POST", "/v1/jobs/job-1/cancel", Some(Role::Deployer)),
    ("POST", "/v1/jobs/job-1/stop", Some(Role::Deployer)),
    ("PUT", "/v1/jobs/job-1", Some(Role::Deployer)),
    ("POST", "/v1/jobs/job-1/scale", Some(Role::Deployer)),
    ("POST", "/v1/jobs/job-1/resolve", Some(Role::Deployer)),
    ("POST", "/v1/jobs/job-1/savepoints", Some(Role::Deployer)),
    ("GET", "/v1/savepoints", Some(Role::Viewer)),
    ("GET", "/v1/savepoints/s", Some(Role::Viewer)),
    ("PUT", "/v1/savepoints/u/file", Some(Role::Deployer)),
    ("GET", "/v1/savepoints/u/file", Some(Role::Deployer)),
    ("DELETE", "/v1/savepoints/t", Some(Role::Deployer)),
    ("GET", "/v1/operations/job-1.cancel", Some(Role::Viewer)),
    ("GET", "/v1/jobs/job-1/events", Some(Role::Viewer)),
    ("GET", "/v1/jobs/job-1/exceptions", Some(Role::Viewer)),
    ("GET", "/v1/jobs/job-1/logs", Some(Role::Viewer)),
    ("GET", "/v1/jobs/job-1/tap?edge=a.late", Some(Role::Deployer)),
    ("GET", "/v1/workers", Some(Role::Viewer)),
    ("GET", "/v1/workers/taskmanager-1", Some(Role::Viewer)),
    ("POST", "/v1/workers/taskmanager-1/drain", Some(Role::Admin)),
    ("POST", "/v1/workers/taskmanager-1/undrain", Some(Role::Admin)),
    ("POST", "/v1/tm/register", Some(Role::Worker)),
    ("POST", "/v1/tm/poll", Some(Role::Worker)),
    ("POST", "/v1/tm/reports", Some(Role::Worker)),
    ("GET", "/v1/tm/jobs/job-1/deployment", Some(Role::Worker)),
    ("GET", "/v1/tm/code/k", Some(Role::Worker)),
    ("GET", COMPONENT, Some(Role::Worker)),
];

const DIGEST: &str = "/v1/plugins/by-digest/sha256:0000000000000000000000000000000000000000000000000000000000000000";
const COMPONENT: &str = "/v1/tm/plugins/sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// A file of tokens as the server wants it.
pub(crate) fn file() -> NamedTempFile {
    let file = NamedTempFile::new().expect("there is room");
    let lines: Vec<String> = TOKENS.iter().map(|(role, token)| format!("{role} {token}\n")).collect();
    fs::write(&file, lines.concat()).expect("there is room");
    file
}

fn ask(server: &Server, method: &str, path: &str) -> Ask {
    let ask = server.ask(Method::from_bytes(method.as_bytes()).expect("it is one"), path);
    match (method, path) {
        ("PUT", "/v1/jobs/job-1") => ask.body("application/toml", "job"),
        ("PUT", "/v1/savepoints/u/file") => ask.body("application/x-tar", "tar"),
        ("PUT", _) => ask.body("application/wasm", "component"),
        ("POST", "/v1/jobs" | "/v1/plans") => ask.body("application/toml", "job"),
        ("POST", _) => ask.body("application/json", "{}"),
        _ => ask,
    }
}

#[tokio::test]
async fn each_role_at_each_route() {
    let file = file();
    let server = Server::with_tokens(file.path()).await;
    server.memory.job_of("job");
    let described = server.get("/v1/openapi.json").send().await.json();
    let operations = described["paths"].as_object().expect("it is a table").values();
    let count: usize = operations.map(|path| path.as_object().map_or(0, serde_json::Map::len)).sum();
    assert_eq!(count, ROUTES.len(), "every route stands in the table above");
    for &(method, path, needed) in ROUTES {
        let Some(needed) = needed else {
            assert_eq!(ask(&server, method, path).send().await.status, 200, "{path} is for anyone");
            continue;
        };
        for wrong in [None, Some("Bearer nobody-nobody-nobody"), Some("Basic dmlld2VyOng="), Some("Bearer"), Some("")] {
            let ask = ask(&server, method, path);
            let answer = match wrong {
                None => ask.send().await,
                Some(value) => ask.header("authorization", value).send().await,
            };
            assert_eq!(answer.problem(401), "unauthenticated", "{method} {path}");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
        for (role, token) in TOKENS {
            let answer = ask(&server, method, path).token(token).send().await;
            let shown = format!("{role} at {method} {path}: {answer:?}");
            assert!(!answer.text().contains(token), "{shown}");
            if role.allows(needed) {
                assert!(![401, 403, 405, 415].contains(&answer.status), "{shown}");
            } else {
                assert_eq!(answer.problem(403), "forbidden", "{shown}");
            }
        }
    }
}

#[tokio::test]
async fn a_token_counts_in_its_header_only_and_once() {
    let file = file();
    let server = Server::with_tokens(file.path()).await;
    let (_, token) = TOKENS[0];
    let get = || server.get("/v1/jobs");
    assert_eq!(get().token(token).send().await.status, 200);
    assert_eq!(get().header("authorization", &format!("bearer  {token}")).send().await.status, 200);
    assert_eq!(get().token(token).token(token).send().await.problem(401), "unauthenticated");
    let in_path = server.get(&format!("/v1/jobs?token={token}")).send().await;
    assert_eq!(in_path.problem(401), "unauthenticated");
    let both = server.get(&format!("/v1/jobs?access_token={token}")).token(token).send().await;
    assert_eq!(both.problem(400), "request-malformed");
    assert!(!both.text().contains(token), "{both:?}");
}

#[tokio::test]
async fn without_tokens_whoever_connects_may_everything() {
    let server = Server::start().await;
    server.memory.job_of("job");
    for &(method, path, _) in ROUTES {
        let answer = ask(&server, method, path).send().await;
        assert!(![401, 403].contains(&answer.status), "{method} {path}: {answer:?}");
    }
}

#[tokio::test]
async fn a_server_that_others_reach_starts_with_tokens_and_tls_only() {
    let listen = "0.0.0.0:0".parse().expect("it is an address");
    let code = |options: Options| async move {
        serve(options, Memory::new()).await.map(drop).map_err(|error: Error| (error.code(), error.to_string()))
    };
    let open = code(Options { listen, ..Options::default() }).await.expect_err("others reach it");
    assert_eq!(open.0, Code::UnsafeListen);
    let half = Options { listen, tokens: Some("/nowhere".into()), ..Options::default() };
    assert_eq!(code(half).await.expect_err("others hear it").0, Code::UnsafeListen);
    assert_eq!(code(Options { listen, insecure: true, ..Options::default() }).await, Ok(()));
}

#[tokio::test]
async fn a_file_of_tokens_that_others_read_is_refused_and_not_shown() {
    let file = file();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("it is ours");
    let listen = "127.0.0.1:0".parse().expect("it is an address");
    let options = Options { listen, tokens: Some(file.path().to_owned()), ..Options::default() };
    let error = serve(options, Memory::new()).await.expect_err("others read it");
    assert_eq!(error.code(), Code::TokensFile);
    let shown = format!("{error} {error:?}");
    assert!(TOKENS.iter().all(|(_, token)| !shown.contains(token)), "{shown}");
}

#[tokio::test]
async fn an_address_that_is_taken_is_said_to_be() {
    let server = Server::start().await;
    let options = Options { listen: server.address, ..Options::default() };
    let error = serve(options, Memory::new()).await.expect_err("it is taken");
    assert_eq!(error.code(), Code::ListenFailed);
}
