//! Uploads: new, the same, others; damaged, too large, broken off.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::Method;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;

use crate::{
    client::{Server, read_until, rest},
    memory::UPLOAD_BYTES_MAX,
};
use wasmill_api::options::Limits;

const PATH: &str = "/v1/plugins/word-count/versions/1.0.0-rc.1+5";

fn digest_of(bytes: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(bytes)))
}

#[tokio::test]
async fn a_version_is_new_then_the_same_then_taken() {
    let server = Server::start().await;
    let put = |bytes: &'static str| server.put(PATH).body("application/wasm", bytes);
    let first = put("one").header("content-digest", &digest_of(b"one")).send().await;
    assert_eq!((first.status, first.header("location")), (201, PATH));
    assert_eq!(put("one").send().await.status, 200);
    assert_eq!(put("two").send().await.problem(409), "plugin-version-taken");
    assert_eq!(first.json()["size"], 3);
    let digest = first.json()["digest"].as_str().expect("it has one").to_owned();
    for path in [
        PATH,
        &format!("/v1/plugins/by-digest/{digest}"),
        &format!("/v1/plugins/by-digest/{}", digest.replace(':', "%3A")),
    ] {
        let detail = server.get(path).send().await;
        assert_eq!((detail.status, detail.json()["name"].as_str()), (200, Some("word-count")));
        assert!(detail.json()["inspection"].is_object());
        assert_eq!(server.ask(Method::HEAD, path).send().await.status, 200);
    }
    let other = format!("/v1/plugins/by-digest/sha256:{}", "0".repeat(64));
    assert_eq!(server.ask(Method::HEAD, &other).send().await.status, 404);
    assert_eq!(server.get("/v1/plugins").send().await.json()["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(server.ask(Method::DELETE, PATH).send().await.status, 204);
    assert_eq!(server.ask(Method::DELETE, PATH).send().await.problem(404), "not-found");
    assert_eq!(server.memory.uploads(), 0);
}

#[tokio::test]
async fn a_dry_run_keeps_nothing() {
    let server = Server::start().await;
    let dry = server.put(&format!("{PATH}?dry-run=1")).body("application/wasm", "one").send().await;
    assert_eq!((dry.status, dry.header("location"), dry.json()["size"].as_u64()), (200, "", Some(3)));
    assert_eq!(server.get(PATH).send().await.problem(404), "not-found");
}

#[tokio::test]
async fn what_arrives_is_held_against_its_digest() {
    let server = Server::start().await;
    let put = |digest: &str| server.put(PATH).body("application/wasm", "one").header("content-digest", digest);
    assert_eq!(put(&digest_of(b"two")).send().await.problem(400), "digest-mismatch");
    for bad in ["", "sha-256=", "sha-256=::", "sha-256=:!:", "sha-256=:AAAA:", "md5=:AAAA:", "sha-256=AAAA"] {
        assert_eq!(put(bad).send().await.problem(400), "request-malformed", "{bad}");
    }
    assert_eq!(server.get(PATH).send().await.status, 404);
    assert_eq!(put(&format!("sha-512=:AAAA:, {}", digest_of(b"one"))).send().await.status, 201);
    assert_eq!(server.memory.uploads(), 0);
}

#[tokio::test]
async fn a_component_may_have_so_many_bytes_and_no_more() {
    let server = Server::start().await;
    let bytes = usize::try_from(UPLOAD_BYTES_MAX).expect("it is small");
    let put = |bytes: usize| server.put(PATH).body("application/octet-stream", vec![7; bytes]);
    assert_eq!(put(bytes + 1).send().await.problem(413), "request-too-large");
    assert_eq!(put(bytes).send().await.status, 201);
    // In chunks nothing is said of the length before.
    let mut socket = server.socket().await;
    let head = format!("PUT {PATH} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n");
    socket.write_all(head.as_bytes()).await.expect("it is open");
    let chunk = [&b"10000\r\n"[..], &[7; 0x1_0000], b"\r\n"].concat();
    for _ in 0..64 {
        if socket.write_all(&chunk).await.is_err() {
            break;
        }
    }
    let answer = rest(&mut socket).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert_eq!(server.memory.uploads(), 0);
}

#[tokio::test]
async fn an_upload_is_gone_with_its_client() {
    let server = Server::start().await;
    let mut socket = server.socket().await;
    let head = format!("PUT {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\nbegin");
    socket.write_all(head.as_bytes()).await.expect("it is open");
    while server.memory.uploads() == 0 {
        tokio::task::yield_now().await;
    }
    drop(socket);
    while server.memory.uploads() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.get(PATH).send().await.status, 404);
}

#[tokio::test]
async fn an_upload_that_stands_still_is_cut_off() {
    let limits = Limits { body_patience_ms: 100, ..Limits::default() };
    let server = Server::with(limits).await;
    let mut socket = server.socket().await;
    let head = format!("PUT {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\nbegin");
    socket.write_all(head.as_bytes()).await.expect("it is open");
    let answer = read_until(&mut socket, "request-too-slow").await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(server.memory.uploads(), 0);
}

#[tokio::test]
async fn a_body_that_trickles_is_cut_off() {
    let limits = Limits { body_patience_ms: 200, body_bytes_per_second_min: 1_000_000, ..Limits::default() };
    let server = Server::with(limits).await;
    let mut socket = server.socket().await;
    let head = format!("PUT {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\n\r\n");
    socket.write_all(head.as_bytes()).await.expect("it is open");
    let (mut read, mut write) = socket.split();
    let trickle = async {
        // Never still, never fast.
        while write.write_all(b"x").await.is_ok() {
            tokio::task::yield_now().await;
        }
        std::future::pending::<()>().await;
    };
    let mut first = [0; 12];
    tokio::select! {
        () = trickle => {}
        read = tokio::io::AsyncReadExt::read_exact(&mut read, &mut first) => {
            read.expect("it is answered");
        }
    }
    // 100,000 bytes may have been through before: then the upload was taken, which is no fault.
    assert!([&b"HTTP/1.1 408"[..], b"HTTP/1.1 201"].contains(&&first[..]), "{}", String::from_utf8_lossy(&first));
    assert_eq!(server.memory.uploads(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_uploads_of_one_plugin_at_once() {
    let server = Server::with(Limits { uploads_max: 3, ..Limits::default() }).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..100 {
        tasks.spawn(server.put(PATH).body("application/wasm", vec![3; 100_000]).send());
    }
    let statuses: Vec<u16> = tasks.join_all().await.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 99);
    assert_eq!(server.memory.uploads(), 0);
}
