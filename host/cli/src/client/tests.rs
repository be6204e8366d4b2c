//! What a client does with what a server does.

use std::net::TcpListener;

use serde_json::json;

use super::*;
use crate::scripted::{Server, Step, events, head, json as answer, problem, typed};

const SECRET: &str = "wm_0123456789abcdef";

#[track_caller]
fn shown(result: Result<Value, Error>) -> String {
    result.expect_err("it is refused").shown()
}

fn get(server: &Server) -> Result<Value, Error> {
    server.client().get("/v1/cluster?a=b")
}

#[test]
fn a_refusal_is_told_in_the_words_of_the_server_and_not_asked_for_again() {
    let server = Server::start(vec![problem(404, "unknown-vertex", "there is no source `s`"), problem(404, "x", "y")]);
    assert_eq!(
        shown(get(&server)),
        "error[unknown-vertex]: there is no source `s`\n  for more: wasmill explain unknown-vertex\n"
    );
    assert_eq!(server.lines(), ["GET /v1/cluster?a=b"]);
}

#[test]
fn a_code_of_a_newer_server_is_told_without_a_page() {
    let server = Server::start(vec![problem(409, "moon-too-full", "could not start\u{1b}[2J\n  hint: wait")]);
    let error = get(&server).expect_err("it is refused");
    assert_eq!(error.shown(), "error[moon-too-full]: could not start\\u{1b}[2J\n  hint: wait\n");
    assert_eq!(error.json(), json!({ "code": "moon-too-full", "message": "could not start\\u{1b}[2J\n  hint: wait" }));
}

#[test]
fn who_has_no_token_is_told_where_one_goes() {
    let server = Server::start(vec![problem(401, "unauthenticated", "could not tell who asks")]);
    assert!(shown(get(&server)).contains("\n  hint: name the file of your token by --token-file"));
}

#[test]
fn a_token_is_sent_and_never_shown() {
    let folder = tempfile::tempdir().expect("temporary folders can be made");
    let file = folder.path().join("token");
    std::fs::write(&file, SECRET).expect("the folder can be written");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
    }
    let detail = format!("the token {SECRET} is not known");
    let server = Server::start(vec![
        problem(403, "forbidden", &detail),
        typed("200 OK", "application/json", &format!("{{\"{SECRET}\": ")),
        typed("200 OK", &format!("text/{SECRET}"), ""),
        typed("500 No", &format!("text/{SECRET}"), SECRET),
    ]);
    let client = Client::new(&server.url, Some(Token::read(&file).expect("it is private")), None, true);
    assert!(!format!("{client:?}").contains(SECRET));
    for _ in 0..4 {
        let error = client.get::<Vec<u32>>("/v1/jobs").expect_err("it is refused");
        assert!(!error.shown().contains(SECRET), "{}", error.shown());
    }
    let sent = format!("Bearer {SECRET}");
    assert!(server.requests().iter().all(|request| request.header("authorization") == Some(&sent)));
}

#[test]
fn nobody_at_the_address_is_told_at_once_to_who_only_reads() {
    let url = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        format!("http://{}", listener.local_addr().expect("it is bound"))
    };
    let client = Client::new(&url, None, None, true);
    let shown = shown(client.get("/v1/jobs"));
    assert!(
        shown.starts_with(&format!("error[server-unreachable]: could not reach {url}: Connection refused")),
        "{shown}"
    );
    assert!(shown.contains("\n  hint: is it running? `wasmill standalone` starts one here"), "{shown}");
}

#[test]
fn a_connection_that_breaks_and_a_server_that_is_busy_are_tried_again() {
    let busy = || problem(503, "server-busy", "later");
    let server =
        Server::start(vec![Step::Close, busy(), problem(429, "rate-limited", "slowly"), answer("200 OK", json!(7))]);
    assert_eq!(get(&server), Ok(json!(7)));
    assert_eq!(server.lines().len(), 4);
    // Whoever never gets room is told so.
    let server = Server::start((0..TRIES_MAX).map(|_| busy()).collect());
    let client = server.client();
    assert!(
        client.send(&Request::post("/v1/x")).expect_err("it is busy").shown().starts_with("error[server-busy]: later")
    );
    assert_eq!(server.lines().len(), TRIES_MAX as usize);
}

#[test]
fn what_no_jobmanager_answers_is_not_believed() {
    let check = |step: Step, expect: &str| {
        let server = Server::start(vec![step]);
        let shown = shown(get(&server));
        assert!(
            shown.starts_with(&format!("error[server-answer]: could not use the answer of {}", server.url)),
            "{shown}"
        );
        assert!(shown.contains(expect), "{shown}");
    };
    check(typed("200 OK", "text/html", "<p>hello"), "to /v1/cluster: the answer is text/html, not application/json");
    check(typed("404 Not Found", "text/html", "<p>hello"), "it answered 404 Not Found with text/html");
    check(typed("502 Bad Gateway", "text/plain", "\u{1b}[2J"), "it answered 502 Bad Gateway with text/plain");
    check(typed("302 Found", "text/plain", ""), "it answered 302 Found with text/plain");
    check(typed("200 OK", "application/json", "{\"a\": "), "EOF while parsing");
    check(typed("404 No", "application/problem+json", "{\"a\": 7}"), "with a problem that cannot be read");
    check(Step::Bytes(b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec()), "is it a JobManager?");
    let huge = (ANSWER_BYTES_MAX + 1) as usize;
    check(typed("200 OK", "application/json", &"7".repeat(huge)), "the answer has more than 32 MiB");
    check(typed("400 No", "application/problem+json", &" ".repeat(huge)), "the answer has more than 32 MiB");
    check(events("data: 7\n\n"), "the answer is text/event-stream");
}

#[test]
fn an_answer_that_ends_too_early_is_an_error() {
    let cut = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n[1".to_vec();
    let server = Server::start(vec![Step::Bytes(cut)]);
    let shown = shown(get(&server));
    assert!(shown.starts_with("error[server-unreachable]: "), "{shown}");
}

#[test]
fn all_pages_of_a_list_are_read() {
    let server = Server::start(vec![
        answer("200 OK", json!({ "items": [1, 2], "next": "a b/c" })),
        answer("200 OK", json!({ "items": [3] })),
    ]);
    assert_eq!(server.client().list("/v1/jobs?state=FAILED"), Ok(vec![json!(1), json!(2), json!(3)]));
    let expect = ["GET /v1/jobs?state=FAILED&limit=1000", "GET /v1/jobs?state=FAILED&limit=1000&cursor=a%20b%2Fc"];
    assert_eq!(server.lines(), expect);
}

#[test]
fn whether_something_is_there_is_asked_without_reading_it() {
    let server = Server::start(vec![
        head("200 OK"),
        head("404 Not Found"),
        head("401 Unauthorized"),
        problem(401, "unauthenticated", "could not tell who asks"),
    ]);
    let client = server.client();
    assert_eq!((client.has("/v1/a"), client.has("/v1/b")), (Ok(true), Ok(false)));
    let error = client.has("/v1/c").expect_err("it is refused");
    assert_eq!(error.code(), "unauthenticated");
    assert_eq!(server.lines(), ["HEAD /v1/a", "HEAD /v1/b", "HEAD /v1/c", "GET /v1/c"]);
}

#[test]
fn a_request_says_what_it_is() {
    let server = Server::start(vec![answer("202 Accepted", json!({})), answer("201 Created", json!({}))]);
    let client = server.client();
    client.send(&Request::post("/v1/jobs/job-7/cancel")).expect("it is answered");
    let gone = std::cell::Cell::new(0);
    let count = |bytes| gone.set(bytes);
    client.send(&Request::put("/v1/x", &[7; 200_000], &count)).expect("it is answered");
    let requests = server.requests();
    let agent = concat!("wasmill/", env!("CARGO_PKG_VERSION"));
    assert!(requests.iter().all(|request| request.header("user-agent") == Some(agent)));
    assert!(requests.iter().all(|request| request.header("accept") == Some("application/json")));
    assert!(requests.iter().all(|request| request.header("transfer-encoding").is_none()));
    assert_eq!(requests[0].header("content-length"), Some("0"));
    assert_eq!((requests[1].body.len(), gone.get()), (200_000, 200_000));
}
