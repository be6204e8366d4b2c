//! Savepoints in and out as one file.

use std::time::Duration;

use tokio::{
    io::AsyncWriteExt as _,
    time::{sleep, timeout},
};
use wasmill_api::options::Limits;

use crate::client::{DEADLINE, Server, rest};

const TAR: &str = "application/x-tar";

#[tokio::test]
async fn a_savepoint_is_sent_in_pieces_and_its_length_is_known() {
    let server = Server::start().await;
    server.memory.job_of("fraud");
    assert_eq!(server.get("/v1/savepoints/monday/file").send().await.problem(404), "not-found");
    for name in ["monday", "breaks"] {
        let body = format!("{{\"name\":\"{name}\"}}");
        assert_eq!(server.post("/v1/jobs/job-1/savepoints").body("application/json", body).send().await.status, 201);
    }
    let answer = server.get("/v1/savepoints/monday/file").send().await;
    assert_eq!((answer.status, answer.header("content-type")), (200, TAR));
    assert_eq!(answer.header("content-length"), "200000");
    assert_eq!(answer.header("content-disposition"), "attachment; filename=\"monday.tar\"");
    let text = answer.text();
    assert!(text.len() == 200_000 && text.ends_with('y'));
    // What cannot be written to its end does not look whole.
    let address = server.address;
    let request = format!("GET /v1/savepoints/breaks/file HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let mut socket = server.socket().await;
    socket.write_all(request.as_bytes()).await.expect("it listens");
    let text = rest(&mut socket).await;
    assert!(text.contains("content-length: 200000") && text.len() < 199_000, "{}", text.len());
}

#[tokio::test]
async fn a_savepoint_is_taken_as_it_comes() {
    let limits = Limits { savepoint_bytes_max: 1 << 20, ..Limits::default() };
    let server = Server::with(limits).await;
    server.memory.job_of("fraud");
    let put = |body: String| server.put("/v1/savepoints/of-tests/file").body(TAR, body);
    let taken = put("x".repeat(1 << 20)).send().await;
    assert_eq!((taken.status, taken.header("location")), (201, "/v1/savepoints/of-tests"));
    assert_eq!(taken.json()["state_bytes"], 1 << 20);
    // It is refused after the first byte, and that is told all the same.
    assert_eq!(put(format!("!{}", "x".repeat(1_000_000))).send().await.problem(409), "savepoint-exists");
    assert_eq!(put("x".repeat((1 << 20) + 1)).send().await.problem(413), "request-too-large");
    let other = server.put("/v1/savepoints/of-tests/file").body("application/json", "{}").send().await;
    assert_eq!(other.problem(415), "wrong-content-type");
    for name in ["a%2Fb", "..%2Fx", "a.b", "%2e%2e"] {
        let path = format!("/v1/savepoints/{name}/file");
        assert_eq!(server.put(&path).body(TAR, "x").send().await.problem(400), "request-malformed");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_off_is_no_end() {
    let server = Server::start().await;
    server.memory.job_of("fraud");
    let address = server.address;
    let head = format!("PUT /v1/savepoints/a/file HTTP/1.1\r\nhost: {address}\r\ncontent-type: {TAR}\r\n");
    for head in ["content-length: 100000\r\n\r\n", "transfer-encoding: chunked\r\n\r\n5\r\n"]
        .map(|rest| format!("{head}{rest}"))
    {
        let before = server.memory.broken();
        let mut socket = server.socket().await;
        socket.write_all(format!("{head}xxxxx").as_bytes()).await.expect("it listens");
        drop(socket);
        let told = async {
            while server.memory.broken() == before {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(DEADLINE, told).await.expect("who reads is told");
    }
    assert_eq!(server.get("/v1/savepoints").send().await.json()["items"], serde_json::json!([]));
}
