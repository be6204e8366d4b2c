//! Jobs, workers and the cluster, as a client sees them.

use serde_json::json;

use crate::client::Server;

#[tokio::test]
async fn a_job_is_submitted_looked_at_and_ended() {
    let server = Server::start().await;
    let accepted = server.post("/v1/jobs").body("application/toml", "fraud\nrest").send().await;
    assert_eq!((accepted.status, accepted.header("location")), (201, "/v1/jobs/job-1"));
    assert_eq!(accepted.json(), json!({"id": "job-1", "name": "fraud", "state": "CREATED", "warnings": []}));
    let detail = server.get("/v1/jobs/job-1").send().await;
    assert_eq!((detail.status, detail.json()["state"].as_str()), (200, Some("RUNNING")));
    assert_eq!(detail.json()["attempt"], "attempt-1.1");
    assert_eq!(server.get("/v1/jobs/job-2").send().await.problem(404), "not-found");
    assert_eq!(server.get("/v1/operations/job-1.cancel").send().await.problem(404), "not-found");

    let stopping = server.post("/v1/jobs/job-1/stop?drain=1").send().await;
    assert_eq!((stopping.status, stopping.header("location")), (202, "/v1/operations/job-1.stop"));
    let operation = server.get(stopping.header("location")).send().await.json();
    let expect =
        json!({"id": "job-1.stop", "kind": "stop", "job": "job-1", "state": "RUNNING", "job_state": "RUNNING"});
    assert_eq!(operation, expect);
    server.memory.end("job-1", "FINISHED");
    assert_eq!(server.get("/v1/operations/job-1.stop").send().await.json()["state"], "DONE");

    server.post("/v1/jobs").body("application/toml", "other").send().await;
    for _ in 0..2 {
        let cancelled = server.post("/v1/jobs/job-2/cancel").body("application/json", "{}").send().await;
        assert_eq!((cancelled.status, cancelled.json()["state"].as_str()), (202, Some("CANCELLED")));
    }
    assert_eq!(server.post("/v1/jobs/job-9/cancel").send().await.problem(404), "not-found");
}

#[tokio::test]
async fn a_submission_has_a_file_a_folder_and_assignments() {
    let server = Server::start().await;
    let body = json!({"text": "x", "file": "my.toml", "base": "/data", "set": ["a.b=1"]});
    let plan = server.post("/v1/plans").json(&body).send().await;
    assert_eq!((plan.status, plan.json()["name"].as_str()), (200, Some("my.toml")));
    assert_eq!(plan.json()["warnings"], json!(["a.b=1"]));
    for path in ["/v1/jobs?dry-run=1", "/v1/jobs?dry-run=true"] {
        assert_eq!(server.post(path).json(&body).send().await.json(), plan.json());
    }
    let replacing = server.post("/v1/plans?replaces=job-7").json(&body).send().await;
    assert_eq!((replacing.status, replacing.json()["name"].as_str()), (200, Some("job-7")));
    assert_eq!(server.post("/v1/plans?replaces=..").json(&body).send().await.problem(400), "request-malformed");
    assert_eq!(server.memory.jobs_count(), 0, "a plan runs nothing");
    let refused = server.post("/v1/jobs").body("application/toml", "refused").send().await;
    assert_eq!(refused.problem(422), "unknown-column");
    assert_eq!(refused.json()["hint"], "there are a and c");
}

#[tokio::test]
async fn a_repeated_submission_is_the_same_job() {
    let server = Server::start().await;
    let post = |text: &'static str| server.post("/v1/jobs").body("application/toml", text);
    let first = post("a").header("idempotency-key", "k-1").send().await;
    let again = post("a").header("idempotency-key", "k-1").send().await;
    assert_eq!((first.status, again.status), (201, 200));
    assert_eq!(first.json()["id"], again.json()["id"]);
    assert_eq!(again.header("location"), "/v1/jobs/job-1");
    assert_eq!(post("b").header("idempotency-key", "k-1").send().await.problem(409), "idempotency-key-reused");
    assert_eq!(post("a").header("idempotency-key", "k-2").send().await.status, 201);
    assert_eq!(server.memory.jobs_count(), 2);
    for bad in ["", "a b", &"k".repeat(129)] {
        assert_eq!(post("a").header("idempotency-key", bad).send().await.problem(400), "request-malformed");
    }
    let two = post("a").header("idempotency-key", "k-1").header("idempotency-key", "k-1").send().await;
    assert_eq!(two.problem(400), "request-malformed");
}

#[tokio::test]
async fn lists_come_in_pages_and_can_be_filtered() {
    let server = Server::start().await;
    for number in 1..=5 {
        server.memory.job_of(if number % 2 == 0 { "even" } else { "odd" });
    }
    server.memory.end("job-2", "FINISHED");
    let ids = |answer: serde_json::Value| -> Vec<String> {
        let items = answer["items"].as_array().expect("it is a page").clone();
        items.iter().map(|job| job["id"].as_str().expect("it has one").to_owned()).collect()
    };
    let mut seen = Vec::new();
    let mut path = "/v1/jobs?limit=2".to_owned();
    loop {
        let page = server.get(&path).send().await.json();
        seen.extend(ids(page.clone()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/jobs?limit=2&cursor={next}");
    }
    assert_eq!(seen, ["job-5", "job-4", "job-3", "job-2", "job-1"]);
    assert_eq!(ids(server.get("/v1/jobs?state=FINISHED").send().await.json()), ["job-2"]);
    assert_eq!(ids(server.get("/v1/jobs?state=running&name=even").send().await.json()), ["job-4"]);
    assert_eq!(ids(server.get("/v1/jobs?name=%C3%A4").send().await.json()), Vec::<String>::new());
}

#[tokio::test]
async fn workers_are_listed_and_drained() {
    let server = Server::start().await;
    let state = |answer: serde_json::Value| answer["state"].clone();
    assert_eq!(server.get("/v1/workers").send().await.json()["items"][0]["id"], "taskmanager-1");
    assert_eq!(state(server.post("/v1/workers/taskmanager-1/drain").send().await.json()), "DRAINED");
    assert_eq!(state(server.get("/v1/workers/taskmanager-1").send().await.json()), "DRAINED");
    assert_eq!(state(server.post("/v1/workers/taskmanager-1/undrain").send().await.json()), "ACTIVE");
    assert_eq!(server.post("/v1/workers/taskmanager-2/drain").send().await.problem(404), "not-found");
}

#[tokio::test]
async fn what_the_server_says_of_itself() {
    let server = Server::start().await;
    assert_eq!(server.get("/v1/cluster").send().await.json()["slots"], 4);
    assert_eq!(server.get("/v1/healthz").send().await.text(), "ok\n");
    assert_eq!(server.get("/v1/readyz").send().await.text(), "ok\n");
    let page = server.get("/v1/errors/not-found").send().await;
    assert_eq!(page.header("content-type"), "text/markdown; charset=utf-8");
    assert!(page.text().starts_with("# not-found\n"));
    assert_eq!(server.get("/v1/errors/no-such-thing").send().await.problem(404), "unknown-error-code");
    let dashboard = server.get("/").send().await;
    assert!(dashboard.header("content-security-policy").starts_with("default-src 'none'"));
    assert_eq!(dashboard.header("x-content-type-options"), "nosniff");
    for outside in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!dashboard.text().contains(outside), "the page needs {outside} from elsewhere");
    }
    let metrics = server.get("/metrics").send().await;
    assert!(metrics.header("content-type").starts_with("application/openmetrics-text"));
    assert!(metrics.text().ends_with("# EOF\n"));
    for line in [
        "wasmill_jobs 0",
        "wasmill_http_requests_total{route=\"cluster\",status=\"2xx\"} 1",
        "wasmill_http_requests_total{route=\"error_page\",status=\"4xx\"} 1",
        "wasmill_http_connections 1",
    ] {
        assert!(metrics.text().lines().any(|found| found == line), "{line} is not in\n{}", metrics.text());
    }
    server.memory.unready();
    let unready = server.get("/v1/readyz").send().await;
    assert_eq!(unready.problem(503), "not-ready");
    assert_eq!(unready.header("retry-after"), "1");
    assert_eq!(server.get("/v1/healthz").send().await.status, 200);
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let server = Server::start().await;
    server.memory.job_of("job");
    for path in ["/", "/v1/jobs", "/v1/jobs/job-1", "/v1/cluster", "/metrics", "/v1/jobs/job-7", "/nowhere"] {
        let (get, head) = (server.get(path).send().await, server.ask(hyper::Method::HEAD, path).send().await);
        assert_eq!((get.status, head.body.len()), (head.status, 0), "{path}");
        assert_eq!(get.header("content-type"), head.header("content-type"));
    }
}
