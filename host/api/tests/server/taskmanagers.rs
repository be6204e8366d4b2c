//! What TaskManagers ask.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

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

/// A poll that is answered at once, or waits.
async fn poll(socket: &mut TcpStream, body: &str) {
    let head = "POST /v1/tm/poll HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    socket.write_all(request.as_bytes()).await.expect("it is open");
}

#[tokio::test]
async fn a_poll_ends_with_its_connection() {
    let server = Server::start().await;
    let (mut polls, mut connection) = (server.memory.polls(), server.memory.connection());
    let mut socket = server.socket().await;
    poll(&mut socket, r#"{"wait":true}"#).await;
    let until = |wanted: (u32, u32)| move |seen: &(u32, u32)| *seen == wanted;
    timeout(DEADLINE, polls.wait_for(until((1, 0)))).await.expect("it polls").expect("it lives");
    drop(socket);
    timeout(DEADLINE, polls.wait_for(until((0, 1)))).await.expect("it is dropped").expect("it lives");
    timeout(DEADLINE, connection.wait_for(|(_, closed)| *closed)).await.expect("it is told").expect("it lives");
}

#[tokio::test]
async fn it_is_told_that_a_connection_was_closed_although_its_poll_was_answered() {
    let server = Server::start().await;
    let mut connection = server.memory.connection();
    let (mut one, mut other) = (server.socket().await, server.socket().await);
    for socket in [&mut other, &mut one] {
        poll(socket, "{}").await;
        let mut answer = [0; 12];
        socket.read_exact(&mut answer).await.expect("it is answered");
        assert_eq!(&answer, b"HTTP/1.1 200");
    }
    // The last poll came by the other one.
    drop(other);
    while server.metric("wasmill_http_connections ").await > 2.0 {}
    assert!(!connection.borrow().1);
    drop(one);
    timeout(DEADLINE, connection.wait_for(|(_, closed)| *closed)).await.expect("it is told").expect("it lives");
}

#[tokio::test]
async fn a_server_that_stops_does_not_say_that_clients_have_closed_their_connections() {
    let server = Server::start().await;
    let connection = server.memory.connection();
    let mut socket = server.socket().await;
    poll(&mut socket, "{}").await;
    let mut answer = Vec::new();
    let reading = socket.read_to_end(&mut answer);
    let (read, ()) = tokio::join!(reading, async {
        while connection.borrow().0 == 0 {
            tokio::task::yield_now().await;
        }
        server.running.shut_down().await;
    });
    read.expect("it is closed in order");
    assert!(!connection.borrow().1);
}
