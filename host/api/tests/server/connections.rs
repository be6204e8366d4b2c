//! Connections that do nothing, or too little, and too many of them.

use tokio::io::AsyncWriteExt as _;

use crate::client::{DEADLINE, Server, read_until, rest};
use wasmill_api::options::Limits;

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    let server = Server::with(Limits { header_timeout_ms: 100, ..Limits::default() }).await;
    let mut silent = server.socket().await;
    let mut slow = server.socket().await;
    slow.write_all(b"GET /v1/jobs HTTP/1.1\r\nhost: loc").await.expect("it is open");
    assert_eq!(rest(&mut silent).await, "");
    let answer = rest(&mut slow).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(server.get("/v1/healthz").send().await.status, 200);
}

#[tokio::test]
async fn idle_connections_keep_nobody_out() {
    let server = Server::with(Limits { connections_max: 8, ..Limits::default() }).await;
    let mut idle = Vec::new();
    for _ in 0..50 {
        let mut socket = server.socket().await;
        socket.write_all(b"GET /v1/jobs HTTP/1.1\r\nx: ").await.expect("it is open");
        idle.push(socket);
        assert_eq!(server.get("/v1/healthz").send().await.status, 200);
    }
    assert!(server.metric("wasmill_http_connections ").await <= 8.0);
    assert!(server.metric("wasmill_http_connections_evicted_total").await >= 40.0);
    assert_eq!(server.metric("wasmill_http_connections_refused_total").await, 0.0);
}

#[tokio::test]
async fn above_the_limit_of_busy_connections_the_new_one_is_refused() {
    let server = Server::with(Limits { connections_max: 2, ..Limits::default() }).await;
    let job = server.memory.job_of("job");
    let request = format!("GET /v1/jobs/{job}/events HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n");
    let mut busy = Vec::new();
    for _ in 0..2 {
        let mut socket = server.socket().await;
        socket.write_all(request.as_bytes()).await.expect("it is open");
        read_until(&mut socket, "retry: ").await;
        busy.push(socket);
    }
    let mut third = server.socket().await;
    let answer = rest(&mut third).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    drop(busy.pop());
    // As soon as the server has seen that it is gone, there is room.
    loop {
        let answer = server.raw(b"GET /v1/healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
        if answer.starts_with("HTTP/1.1 200") {
            break;
        }
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 503"), "{answer}");
    }
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let server = Server::start().await;
    let mut socket = server.socket().await;
    for _ in 0..100 {
        socket.write_all(b"GET /v1/healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("it is open");
        read_until(&mut socket, "ok\n").await;
    }
    // Many at once, one after the other.
    socket.write_all(&b"GET /v1/healthz HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(20)).await.expect("it is open");
    let mut answers = 0;
    while answers < 20 {
        answers += read_until(&mut socket, "ok\n").await.matches("ok\n").count();
    }
    assert_eq!(server.metric("wasmill_http_requests_total{route=\"health\",status=\"2xx\"}").await, 120.0);
}

#[tokio::test]
async fn a_request_under_way_is_answered_before_the_server_stops() {
    let server = Server::start().await;
    let mut socket = server.socket().await;
    let head =
        "POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/toml\r\ncontent-length: 4\r\n\r\n";
    socket.write_all(head.as_bytes()).await.expect("it is open");
    while server.metric("wasmill_http_connections ").await < 2.0 {}
    let Server { running, memory, address } = server;
    let stopping = tokio::spawn(running.shut_down());
    while tokio::net::TcpStream::connect(address).await.is_ok() {}
    assert_eq!(memory.jobs_count(), 0);
    socket.write_all(b"text").await.expect("it is open");
    let answer = rest(&mut socket).await;
    // The head may not have been read when it was told to stop: then nothing was begun.
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert_eq!(memory.jobs_count(), usize::from(!answer.is_empty()));
    tokio::time::timeout(DEADLINE, stopping).await.expect("it stops").expect("it does not panic");
}

#[tokio::test]
async fn what_does_not_end_is_cut_off_when_the_server_stops() {
    let server = Server::with(Limits { shutdown_ms: 100, ..Limits::default() }).await;
    let mut polls = server.memory.polls();
    let mut socket = server.socket().await;
    let head =
        "POST /v1/tm/poll HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 13\r\n\r\n";
    socket.write_all(format!("{head}{{\"wait\":true}}").as_bytes()).await.expect("it is open");
    polls.wait_for(|(waiting, _)| *waiting == 1).await.expect("it lives");
    tokio::time::timeout(DEADLINE, server.running.shut_down()).await.expect("it stops");
    assert_eq!(*polls.borrow(), (0, 1));
    assert_eq!(rest(&mut socket).await, "");
}

#[tokio::test]
async fn a_server_that_is_dropped_is_gone() {
    let Server { running, address, .. } = Server::start().await;
    drop(running);
    while tokio::net::TcpStream::connect(address).await.is_ok() {}
}
