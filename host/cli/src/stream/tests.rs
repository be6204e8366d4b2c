//! Streams that end, break, go on and make no sense.

use super::*;
use crate::scripted::{Server, Step, events, problem, typed};

/// All data of a stream.
fn all(server: &Server, kept: Kept) -> Result<Vec<String>, Error> {
    let mut seen = Vec::new();
    follow(&server.client(), "/v1/jobs/job-7/logs", kept, |data| -> Result<(), Error> {
        seen.push(data.to_owned());
        Ok(())
    })?;
    Ok(seen)
}

#[test]
fn a_stream_is_read_to_its_end() {
    let text = ": hello\n\nid: 1\nevent: log\ndata: {\"a\":\ndata: 1}\n\nid:2\r\ndata:b\r\n\r\nretry: 7\n\n: still here\n\n\
                event: end\ndata: {}\n\n";
    let server = Server::start(vec![events(text)]);
    assert_eq!(all(&server, Kept::Yes), Ok(vec!["{\"a\":\n1}".to_owned(), "b".to_owned()]));
    assert_eq!(server.requests()[0].header("accept"), Some("text/event-stream"));
    assert_eq!(server.requests()[0].header("last-event-id"), None);
}

#[test]
fn a_stream_that_was_cut_off_goes_on_behind_the_last_event() {
    let server = Server::start(vec![
        events("id: 1\ndata: a\n\nid: 2\ndata: b\n\nid: 3\ndata: los"),
        Step::Close,
        problem(503, "server-busy", "later"),
        events("id: 2\ndata: b\n\nid: 3\ndata: c\n\n"),
        events("event: end\ndata: {}\n\n"),
    ]);
    assert_eq!(all(&server, Kept::Yes), Ok(["a", "b", "c"].map(str::to_owned).to_vec()));
    let after: Vec<Option<String>> =
        server.requests().iter().map(|request| request.header("last-event-id").map(str::to_owned)).collect();
    assert_eq!(after, [None, Some("2"), Some("2"), Some("2"), Some("3")].map(|id| id.map(str::to_owned)));
}

#[test]
fn what_nobody_kept_is_not_asked_for() {
    let server =
        Server::start(vec![events("id: 1\ndata: a\n\n"), events("id: 1\ndata: b\n\nevent: end\ndata: {}\n\n")]);
    assert_eq!(all(&server, Kept::No), Ok(vec!["a".to_owned(), "b".to_owned()]));
    assert!(server.requests().iter().all(|request| request.header("last-event-id").is_none()));
}

#[test]
fn who_has_seen_enough_ends_the_stream() {
    let server = Server::start(vec![events("data: 1\n\ndata: 2\n\ndata: 3\n\n")]);
    let mut seen = 0;
    let enough = follow(&server.client(), "/v1/x", Kept::No, |_| {
        seen += 1;
        if seen == 2 { Err(Error::told("enough", "")) } else { Ok(()) }
    });
    assert_eq!((enough, seen), (Err(Error::told("enough", "")), 2));
}

#[test]
fn a_refusal_ends_it() {
    let server = Server::start(vec![problem(404, "unknown-vertex", "there is no edge `a.b`")]);
    assert_eq!(all(&server, Kept::Yes).expect_err("it is refused").code(), "unknown-vertex");
    assert_eq!(server.lines().len(), 1);
}

#[test]
fn what_is_no_stream_is_not_read_for_ever() {
    let check = |step: Step, expect: &str| {
        let shown = all(&Server::start(vec![step]), Kept::Yes).expect_err("it makes no sense").shown();
        assert!(shown.starts_with("error[server-answer]: "), "{shown}");
        assert!(shown.contains(expect), "{shown}");
    };
    check(typed("200 OK", "application/json", "[]"), "the answer is application/json, not text/event-stream");
    check(events(&format!("data: {}", "x".repeat(LINE_BYTES_MAX as usize))), "a line of the stream has no end");
    let line = format!("data: {}\n", "x".repeat(1 << 20));
    check(events(&line.repeat(9)), "an event of the stream has no end");
    let bytes = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: \xff\n\n".to_vec();
    check(Step::Bytes(bytes), "a line of the stream is not UTF-8");
}
