//! What is refused before a handler sees it.

use hyper::Method;
use serde_json::json;

use crate::client::Server;
use wasmill_api::options::Limits;

#[tokio::test]
async fn only_names_of_this_server_are_hosts() {
    let server = Server::start().await;
    let port = server.address.port();
    for good in ["localhost", "LocalHost:1", "[::1]:7420", &format!("127.0.0.1:{port}")] {
        assert_eq!(server.get("/v1/jobs").header("host", good).send().await.status, 200, "{good}");
    }
    for bad in ["evil.com", "localhost.evil.com", "10.0.0.1", "127.0.0.1.evil.com:80", "a b", ""] {
        let answer = server.get("/v1/jobs").header("host", bad).send().await;
        assert!([400, 403].contains(&answer.status), "{bad}: {answer:?}");
        assert_eq!(server.get("/v1/healthz").header("host", bad).send().await.status, answer.status);
        assert_eq!(server.get("/nowhere").header("host", bad).send().await.status, answer.status);
    }
    let none = server.raw(b"GET /v1/jobs HTTP/1.1\r\nconnection: close\r\n\r\n").await;
    assert!(none.starts_with("HTTP/1.1 400"), "{none}");
    let two =
        server.raw(b"GET /v1/jobs HTTP/1.1\r\nhost: localhost\r\nhost: evil.com\r\nconnection: close\r\n\r\n").await;
    assert!(two.starts_with("HTTP/1.1 400"), "{two}");
    let absolute =
        server.raw(b"GET http://evil.com/v1/jobs HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert!(absolute.starts_with("HTTP/1.1 403"), "{absolute}");
}

#[tokio::test]
async fn pages_of_other_sites_are_refused() {
    let server = Server::start().await;
    let own = format!("http://{}", server.address);
    let post = || server.post("/v1/jobs").body("application/toml", "job");
    assert_eq!(post().header("origin", &own).send().await.status, 201);
    for foreign in ["http://evil.com", "null", "http://127.0.0.1", "http://127.0.0.1:1", ""] {
        assert_eq!(post().header("origin", foreign).send().await.problem(403), "foreign-request", "{foreign}");
        assert_eq!(server.get("/v1/jobs").header("origin", foreign).send().await.problem(403), "foreign-request");
    }
    for site in ["cross-site", "same-site"] {
        assert_eq!(post().header("sec-fetch-site", site).send().await.problem(403), "foreign-request");
    }
    assert_eq!(post().header("sec-fetch-site", "same-origin").send().await.status, 201);
    let answer = server.ask(Method::OPTIONS, "/v1/jobs").header("origin", &own).send().await;
    assert!(!answer.headers.keys().any(|name| name.as_str().starts_with("access-control-")));
    assert_eq!(server.memory.jobs_count(), 2);
}

#[tokio::test]
async fn bodies_must_be_labelled() {
    let server = Server::start().await;
    let job = server.memory.job_of("job");
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json", ""] {
        let refused = [
            server.post("/v1/jobs").body(kind, "{}"),
            server.post("/v1/plans").body(kind, "{}"),
            server.post(&format!("/v1/jobs/{job}/cancel")).body(kind, "x"),
            server.ask(Method::DELETE, "/v1/plugins/a/versions/1").body(kind, "x"),
            server.post("/v1/tm/poll").body(kind, "{}"),
        ];
        for ask in refused {
            assert_eq!(ask.send().await.problem(415), "wrong-content-type", "{kind}");
        }
    }
    assert_eq!(server.post("/v1/tm/poll").send().await.problem(415), "wrong-content-type");
    assert_eq!(server.post("/v1/jobs").send().await.problem(415), "wrong-content-type");
    for kind in ["text/plain", "multipart/form-data; boundary=x", "application/json"] {
        let answer = server.put("/v1/plugins/a/versions/1").body(kind, "x").send().await;
        assert_eq!(answer.problem(415), "wrong-content-type", "{kind}");
    }
    for kind in ["application/wasm", "application/octet-stream", "application/x-www-form-urlencoded"] {
        let answer = server.put("/v1/plugins/a/versions/1").body(kind, "x").send().await;
        assert!([200, 201].contains(&answer.status), "{kind}: {answer:?}");
    }
    let labelled = server.post("/v1/jobs").body("Application/JSON; charset=utf-8", r#"{"text":"a"}"#).send().await;
    assert_eq!(labelled.status, 201);
    assert_eq!(server.post(&format!("/v1/jobs/{job}/stop")).send().await.status, 202, "there is no body to label");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let server = Server::start().await;
    for path in ["/nowhere", "/v1", "/v1/", "/v1/jobs/", "/v1/jobs/job-1/nothing", "/v2/jobs", "//", "/v1/../metrics"] {
        assert_eq!(server.get(path).send().await.problem(404), "unknown-route", "{path}");
    }
    for (method, path, allowed) in [
        (Method::PATCH, "/v1/jobs", "GET,HEAD,POST"),
        (Method::DELETE, "/v1/jobs/job-1", "GET,HEAD,PUT"),
        (Method::GET, "/v1/jobs/job-1/cancel", "POST"),
        (Method::POST, "/v1/plugins/a/versions/1", "DELETE,GET,HEAD,PUT"),
        (Method::TRACE, "/metrics", "GET,HEAD"),
    ] {
        let answer = server.ask(method, path).send().await;
        assert_eq!(answer.problem(405), "method-not-allowed");
        let mut found: Vec<&str> = answer.header("allow").split(',').collect();
        found.sort_unstable();
        assert_eq!(found.join(","), allowed, "{path}");
    }
}

#[tokio::test]
async fn names_that_are_none_are_refused() {
    let server = Server::start().await;
    for name in ["..", "%2e%2e", "%2E%2E%2Fetc", "a%00b", "A", "a_b", "-a", "a%20b", "%ff", "con%3a", &"a".repeat(64)] {
        let path = format!("/v1/plugins/{name}/versions/1");
        for ask in [server.put(&path).body("application/wasm", "x"), server.get(&path)] {
            let answer = ask.send().await;
            assert_eq!(answer.problem(400), "request-malformed", "{name}");
        }
        let answer = server.get(&format!("/v1/plugins/a/versions/.{name}")).send().await;
        assert_eq!(answer.problem(400), "request-malformed");
    }
    for path in [
        "/v1/jobs/7",
        "/v1/jobs/job-",
        "/v1/jobs/job-99999999999999999999",
        "/v1/jobs/job-1%2f..",
        "/v1/workers/job-1",
        "/v1/operations/job-1",
        "/v1/operations/job-1.pause",
        "/v1/plugins/by-digest/sha256:00",
        "/v1/plugins/by-digest/..%2f..%2fcatalogue",
        "/v1/tm/plugins/md5:00",
        "/v1/tm/code/..",
        "/v1/tm/code/%2fetc%2fpasswd",
        "/v1/errors/..%2freadme",
    ] {
        assert_eq!(server.get(path).send().await.problem(400), "request-malformed", "{path}");
    }
    assert_eq!(server.memory.uploads(), 0);
}

#[tokio::test]
async fn parameters_must_be_known_and_make_sense() {
    let server = Server::start().await;
    let job = server.memory.job_of("job");
    for query in
        ["dryrun=1", "limit=0", "limit=1001", "limit=x", "limit=-1", "cursor=job-9", "limit=1&limit=2", "%00=1"]
    {
        let answer = server.get(&format!("/v1/jobs?{query}")).send().await;
        assert_eq!(answer.problem(400), "request-malformed", "{query}");
    }
    let misspelt = server.post("/v1/jobs?dry_run=1").body("application/toml", "job").send().await;
    assert_eq!(misspelt.problem(400), "request-malformed");
    assert_eq!(misspelt.json()["hint"], "it takes dry-run");
    let vague = server.post("/v1/jobs?dry-run=maybe").body("application/toml", "job").send().await;
    assert_eq!(vague.problem(400), "request-malformed");
    for query in ["after=x", "after=-1", "limit=2000"] {
        assert_eq!(
            server.get(&format!("/v1/jobs/{job}/events?{query}")).send().await.problem(400),
            "request-malformed"
        );
    }
    for query in ["", "edge=", "edge=a", "edge=a.out&limit=0", "edge=%00.x"] {
        assert_eq!(server.get(&format!("/v1/jobs/{job}/tap?{query}")).send().await.problem(400), "request-malformed");
    }
    assert_eq!(server.memory.jobs_count(), 1);
}

#[tokio::test]
async fn bodies_that_are_too_large_or_not_as_expected() {
    let limits = Limits { body_bytes_max: 1_000, report_bytes_max: 2_000, ..Limits::default() };
    let server = Server::with(limits).await;
    let json = |text: &str| json!({ "text": text });
    assert_eq!(server.post("/v1/jobs").json(&json(&"a".repeat(900))).send().await.status, 201);
    assert_eq!(server.post("/v1/jobs").json(&json(&"a".repeat(1_000))).send().await.problem(413), "request-too-large");
    assert_eq!(server.post("/v1/tm/reports").body("application/json", "1".repeat(2_000)).send().await.status, 200);
    let report = server.post("/v1/tm/reports").body("application/json", "1".repeat(2_001)).send().await;
    assert_eq!(report.problem(413), "request-too-large");
    let deep = "[".repeat(900);
    for body in [
        "",
        "{",
        "null",
        "[]",
        r#"{"txt":"a"}"#,
        r#"{"text":1}"#,
        r#"{"text":"a","x":1}"#,
        "{\"text\":\"\u{0}\"}",
        &deep,
    ] {
        let answer = server.post("/v1/jobs").body("application/json", body.to_owned()).send().await;
        assert_eq!(answer.problem(400), "request-malformed", "{body}");
    }
    for kind in ["application/json", "application/toml"] {
        let answer = server.post("/v1/jobs").body(kind, &b"\xff\xfe"[..]).send().await;
        assert_eq!(answer.problem(400), "request-malformed");
    }
}

#[tokio::test]
async fn lengths_that_lie_are_found_out() {
    let server = Server::with(Limits { body_bytes_max: 64, ..Limits::default() }).await;
    let head = "POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/toml\r\nconnection: close\r\n";
    for (rest, expect) in [
        ("content-length: 100000000000\r\n\r\nx", "413"),
        ("content-length: 99999999999999999999999\r\n\r\nx", "400"),
        ("content-length: -1\r\n\r\nx", "400"),
        ("content-length: 1\r\ncontent-length: 2\r\n\r\nxy", "400"),
        ("content-length: 20\r\n\r\nshort", "400"),
        ("transfer-encoding: chunked\r\n\r\nzz\r\nx\r\n0\r\n\r\n", "400"),
        ("transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\nx", "400"),
        ("transfer-encoding: chunked\r\n\r\n5\r\nabc", "400"),
        (
            "transfer-encoding: chunked\r\n\r\n41\r\naaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n0\r\n\r\n",
            "413",
        ),
        ("transfer-encoding: gzip\r\n\r\nx", "400"),
    ] {
        let answer = server.raw(format!("{head}{rest}").as_bytes()).await;
        let status = answer.split(' ').nth(1).unwrap_or("closed");
        assert!(status == expect || status == "closed", "{rest:?}: {answer}");
    }
    assert_eq!(server.memory.jobs_count(), 0);
}

#[tokio::test]
async fn a_question_has_no_body() {
    let server = Server::start().await;
    assert_eq!(server.get("/v1/jobs").body("application/json", "{}").send().await.problem(400), "request-malformed");
    let chunked =
        b"GET /v1/jobs HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n0\r\n\r\n";
    assert!(server.raw(chunked).await.starts_with("HTTP/1.1 400"));
}

#[tokio::test]
async fn heads_have_bounds() {
    let server = Server::start().await;
    let head = "GET /v1/healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
    let many: String = (0..100).map(|number| format!("x-{number}: y\r\n")).collect();
    let long = format!("x: {}\r\n", "y".repeat(100_000));
    for more in [many, long] {
        let answer = server.raw(format!("{head}{more}\r\n").as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    let path = format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "a".repeat(100_000));
    let answer = server.raw(path.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    assert_eq!(server.get("/v1/healthz").send().await.status, 200);
}

#[tokio::test]
async fn changes_come_no_faster_than_they_may() {
    let server = Server::with(Limits { requests_per_second: 0, requests_burst: 3, ..Limits::default() }).await;
    let post = || server.post("/v1/jobs").body("application/toml", "job");
    for _ in 0..3 {
        assert_eq!(post().send().await.status, 201);
    }
    let answer = post().send().await;
    assert_eq!(answer.problem(429), "rate-limited");
    assert_eq!(answer.header("retry-after"), "3600");
    assert_eq!(server.get("/v1/jobs").send().await.status, 200, "looking is free");
    assert_eq!(
        server.post("/v1/tm/poll").body("application/json", "{}").send().await.status,
        200,
        "so are TaskManagers"
    );
}

#[tokio::test]
async fn a_handler_that_panics_or_hangs_costs_its_request() {
    let server = Server::with(Limits { request_timeout_ms: 50, ..Limits::default() }).await;
    let post = |text: &'static str| server.post("/v1/jobs").body("application/toml", text);
    let panicked = post("panic").send().await;
    assert_eq!(panicked.problem(500), "internal");
    assert!(!panicked.text().contains("asks for it"), "{panicked:?}");
    assert_eq!(post("for ever").send().await.problem(503), "server-busy");
    assert_eq!(server.get("/v1/jobs").send().await.status, 200);
    assert_eq!(server.metric("wasmill_http_panics_total").await, 1.0);
}
