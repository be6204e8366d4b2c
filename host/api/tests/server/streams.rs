//! Streams: from the beginning, from where they broke off, until the job has ended.

use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::client::{Server, read_until, rest};
use wasmill_api::options::Limits;

/// A stream that is open.
async fn open(server: &Server, path: &str, more: &str) -> TcpStream {
    let mut socket = server.socket().await;
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n{more}\r\n");
    socket.write_all(request.as_bytes()).await.expect("it is open");
    socket
}

/// The ids of the events in a text.
fn ids(text: &str) -> Vec<u64> {
    text.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect()
}

#[tokio::test]
async fn pages_of_what_happened_follow_each_other() {
    let server = Server::start().await;
    let job = server.memory.job_of("job");
    (1..=5).for_each(|number| server.memory.happen(&job, &format!("e{number}")));
    let page = |query: &str| server.get(&format!("/v1/jobs/{job}/events{query}")).send();
    let sequences = |page: &Value| -> Vec<u64> {
        let items = page["items"].as_array().expect("it is a page");
        items.iter().map(|event| event["sequence"].as_u64().expect("it is a number")).collect()
    };
    let first = page("?limit=3").await.json();
    assert_eq!((sequences(&first), &first["next"]), (vec![1, 2, 3], &json!("3")));
    let second = page("?limit=3&cursor=3").await.json();
    assert_eq!((sequences(&second), &second["next"]), (vec![4, 5], &Value::Null));
    assert_eq!(sequences(&page("?after=4").await.json()), [5]);
    server.memory.log(&job, "hello");
    assert_eq!(server.get(&format!("/v1/jobs/{job}/logs")).send().await.json()["items"][0]["message"], "hello");
    let exceptions = server.get(&format!("/v1/jobs/{job}/exceptions?after=1")).send().await.json();
    assert_eq!(sequences(&exceptions), [2]);
    for what in ["events", "exceptions", "logs"] {
        assert_eq!(server.get(&format!("/v1/jobs/job-9/{what}")).send().await.problem(404), "not-found");
        let stream = server.get(&format!("/v1/jobs/job-9/{what}")).header("accept", "text/event-stream").send().await;
        assert_eq!(stream.problem(404), "not-found");
    }
}

#[tokio::test]
async fn a_stream_tells_what_was_and_what_comes_and_ends_with_the_job() {
    let server = Server::start().await;
    let job = server.memory.job_of("job");
    server.memory.happen(&job, "before");
    let mut stream = open(&server, &format!("/v1/jobs/{job}/events"), "").await;
    let begin = read_until(&mut stream, "\"before\"").await;
    assert!(begin.contains("content-type: text/event-stream") && begin.contains("cache-control: no-store"), "{begin}");
    assert!(begin.contains("id: 1\nevent: event\ndata: {\"sequence\":1,"), "{begin}");
    server.memory.happen(&job, "line\nbreak");
    assert_eq!(ids(&read_until(&mut stream, "line\\nbreak").await), [2]);
    server.memory.end(&job, "FINISHED");
    read_until(&mut stream, "event: end\ndata: {}\n\n").await;
    let again = server.get(&format!("/v1/jobs/{job}/events")).header("accept", "text/event-stream").send().await;
    assert_eq!(ids(again.text()), [1, 2], "what has ended can be read to its end");
    assert!(again.text().ends_with("event: end\ndata: {}\n\n"));
}

#[tokio::test]
async fn a_stream_that_broke_off_goes_on_where_it_was() {
    let server = Server::start().await;
    let job = server.memory.job_of("job");
    (1..=600).for_each(|number| server.memory.log(&job, &format!("line {number}")));
    let path = format!("/v1/jobs/{job}/logs");
    let mut stream = open(&server, &path, "").await;
    let text = read_until(&mut stream, "line 600\"").await;
    assert_eq!(ids(&text), (1..=600).collect::<Vec<_>>());
    drop(stream);
    server.memory.log(&job, "line 601");
    let mut stream = open(&server, &path, "last-event-id: 598\r\n").await;
    assert_eq!(ids(&read_until(&mut stream, "line 601\"").await), [599, 600, 601]);
    let mut stream = open(&server, &format!("{path}?after=600"), "").await;
    assert_eq!(ids(&read_until(&mut stream, "line 601\"").await), [601]);
    let answer = rest(&mut open(&server, &path, "last-event-id: x\r\nconnection: close\r\n").await).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn a_stream_with_nothing_to_tell_is_kept_alive() {
    let server = Server::with(Limits { keep_alive_ms: 10, ..Limits::default() }).await;
    let job = server.memory.job_of("job");
    let mut stream = open(&server, &format!("/v1/jobs/{job}/events"), "").await;
    read_until(&mut stream, ": \n\n").await;
    let mut stream = open(&server, &format!("/v1/jobs/{job}/tap?edge=a.out"), "").await;
    read_until(&mut stream, ": \n\n").await;
}

#[tokio::test]
async fn rows_of_an_edge_are_seen_as_they_pass() {
    let server = Server::start().await;
    let job = server.memory.job_of("job");
    let tap = |query: &str| format!("/v1/jobs/{job}/tap?{query}");
    assert_eq!(server.get(&tap("edge=a.late")).send().await.problem(404), "not-found");
    let mut stream = open(&server, &tap("edge=a.out&limit=2"), "").await;
    read_until(&mut stream, "retry: ").await;
    for number in 1..=3 {
        server.memory.pass(&json!({"n": number}));
    }
    let text = read_until(&mut stream, "event: end").await;
    assert!(text.contains("id: 2\nevent: row\ndata: {\"edge\":\"a.out\",\"subtask\":0,\"row\":{\"n\":2}}"), "{text}");
    assert_eq!(ids(&text), [1, 2]);
    while server.memory.pass(&json!({})) > 0 {
        tokio::task::yield_now().await;
    }
    let mut stream = open(&server, &tap("edge=a.out"), "").await;
    read_until(&mut stream, "retry: ").await;
    server.memory.end_taps();
    read_until(&mut stream, "event: end").await;
}

#[tokio::test]
async fn there_are_so_many_streams_and_no_more() {
    let server = Server::with(Limits { streams_max: 2, ..Limits::default() }).await;
    let job = server.memory.job_of("job");
    let path = format!("/v1/jobs/{job}/events");
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = open(&server, &path, "").await;
        read_until(&mut stream, "retry: ").await;
        streams.push(stream);
    }
    let third = server.get(&path).header("accept", "text/event-stream").send().await;
    assert_eq!(third.problem(503), "server-busy");
    assert_eq!(server.get(&path).send().await.status, 200, "a page is no stream");
    drop(streams);
    while server.metric("wasmill_http_streams").await > 0.0 {}
    read_until(&mut open(&server, &path, "").await, "retry: ").await;
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_cut_off() {
    let server = Server::with(Limits { write_timeout_ms: 100, ..Limits::default() }).await;
    let job = server.memory.job_of("job");
    // More than the sockets keep.
    let line = "x".repeat(100_000);
    (0..300).for_each(|_| server.memory.log(&job, &line));
    let stream = open(&server, &format!("/v1/jobs/{job}/logs"), "").await;
    while server.metric("wasmill_http_requests_total{route=\"job_logs\",status=\"2xx\"}").await == 0.0 {}
    while server.metric("wasmill_http_streams").await > 0.0 {}
    drop(stream);
}

#[tokio::test]
async fn streams_break_off_when_the_server_stops() {
    let server = Server::start().await;
    let job = server.memory.job_of("job");
    let mut stream = open(&server, &format!("/v1/jobs/{job}/events"), "").await;
    read_until(&mut stream, "retry: ").await;
    server.running.shut_down().await;
    let text = rest(&mut stream).await;
    assert!(!text.contains("event: end"), "the job goes on: {text}");
}
