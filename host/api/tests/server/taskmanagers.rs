//! What TaskManagers ask.

use tokio::io::AsyncWriteExt as _;

use crate::client::{DEADLINE, Server};

#[tokio::test]
async fn messages_pass_through_and_files_are_sent() {
    let server = Server::start().await;
    let job = server.memory.job_of("job");
    for path in ["/v1/tm/register", "/v1/tm/poll", "/v1/tm/reports"] {
        let answer = server.post(path).body("application/json", r#"{"epoch":"7"}"#).send().await;
        assert_eq!((answer.status, answer.text()), (200, r#"{"epoch":"7"}"#), "{path}");
    }
    assert_eq!(server.get(&format!("/v1/tm/jobs/{job}/deployment")).send().await.text(), "{}");
    assert_eq!(server.get("/v1/tm/jobs/job-9/deployment").send().await.problem(404), "not-found");
    assert_eq!(server.get("/v1/tm/code/0f-a").send().await.text(), "0f-a");
    let component: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).take(1_000_000).collect();
    let put = server.put("/v1/plugins/a/versions/1").body("application/wasm", component.clone()).send().await;
    let digest = put.json()["digest"].as_str().expect("it has one").to_owned();
    let fetched = server.get(&format!("/v1/tm/plugins/{digest}")).send().await;
    assert_eq!(fetched.header("content-length"), "1000000");
    assert!(fetched.body == component);
}

#[tokio::test]
async fn a_poll_ends_with_its_connection() {
    let server = Server::start().await;
    let mut polls = server.memory.polls();
    let mut socket = server.socket().await;
    let body = r#"{"wait":true}"#;
    let head = "POST /v1/tm/poll HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    socket.write_all(request.as_bytes()).await.expect("it is open");
    let until = |wanted: (u32, u32)| move |seen: &(u32, u32)| *seen == wanted;
    tokio::time::timeout(DEADLINE, polls.wait_for(until((1, 0)))).await.expect("it polls").expect("it lives");
    drop(socket);
    tokio::time::timeout(DEADLINE, polls.wait_for(until((0, 1)))).await.expect("it is dropped").expect("it lives");
}
