//! Requests that nobody means, from a generator: each follows from the seed and its number.

use crate::client::Server;
use wasmill_api::options::Limits;

const REQUESTS: u64 = 10_000;
/// A good client asks once in so many.
const GOOD: u64 = 100;

/// A small generator of numbers (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("it is below a usize")
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    /// One of the odd ones now and then.
    fn mostly<'a>(&mut self, from: &[&'a str], odd: &[&'a str]) -> &'a str {
        if self.below(24) == 0 { self.pick(odd) } else { self.pick(from) }
    }

    fn bytes(&mut self, max: usize) -> Vec<u8> {
        let count = self.below(max + 1);
        (0..count).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

const METHODS: &[&str] = &["GET", "PUT", "POST", "DELETE", "HEAD"];
const ODD_METHODS: &[&str] = &["PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "", "G\0T", "PRI"];
const PATHS: &[&str] = &[
    "/",
    "/v1/jobs",
    "/v1/jobs/job-1",
    "/v1/jobs/job-1/events",
    "/v1/jobs/job-1/cancel",
    "/v1/jobs/job-1/logs?after=18446744073709551616",
    "/v1/jobs/job-1/tap?edge=%",
    "/v1/jobs/job-1/tap?edge=a.out",
    "/v1/jobs?%",
    "/v1/jobs?limit=%41&limit",
    "/v1/plans",
    "/v1/plugins/a/versions/1",
    "/v1/plugins/a/versions/1?dry-run=1",
    "/v1/plugins/..%2f../versions/1",
    "/v1/workers/taskmanager-1/drain",
    "/v1/errors/internal",
    "/v1/tm/poll",
    "/v1/tm/code/%00",
    "/metrics",
    "/%ff%fe",
    "//",
];
const ODD_PATHS: &[&str] =
    &["*", "", "http://[::1", "http://localhost/v1/jobs", "/v1/jobs#x", "/\u{e9}", "localhost:80"];
const ODD_VERSIONS: &[&str] = &["HTTP/1.0", "HTTP/2.0", "HTTP/9.9", "", "HTTPS"];
const HEADERS: &[&str] = &[
    "content-type: application/json",
    "content-type: application/toml",
    "content-type: application/wasm",
    "content-type: text/plain",
    "content-type: ;;;",
    "content-length: 5",
    "content-length: 5",
    "content-length: 4294967296",
    "transfer-encoding: chunked",
    "expect: 100-continue",
    "connection: upgrade",
    "connection: close",
    "upgrade: h2c",
    "accept: text/event-stream",
    "last-event-id: -1",
    "origin: null",
    "origin: http://localhost",
    "authorization: Basic x",
    "idempotency-key: \u{fc}",
    "idempotency-key: k",
    "content-digest: sha-256=:x:",
    "cookie: a=b",
    "range: bytes=0-",
    "sec-fetch-site: cross-site",
    "te: trailers",
];
const ODD_HEADERS: &[&str] = &[
    "host: localhost",
    "host: evil.com",
    "host:",
    "host: \u{0}",
    "content-length: -5",
    "content-length: 0x5",
    "transfer-encoding: chunked, chunked",
    "transfer-encoding: identity",
    "authorization: Bearer \u{7f}",
    "no colon here",
    ": no name",
    "x y: z",
    " folded",
    "accept: \u{1}",
];
const BODIES: &[&str] = &[
    "",
    "hello",
    "{}",
    r#"{"text":"a"}"#,
    r#"{"text":"#,
    "[[[[[[[[[[",
    "5\r\nhello\r\n0\r\n\r\n",
    "ffffffffffffffff\r\n",
    "0\r\n\r\n",
    "5;x=y\r\nhello\r\n0\r\nhost: evil.com\r\n\r\n",
    "-1\r\n",
    "\u{0}\u{0}\u{0}",
    "GET /v1/jobs HTTP/1.1\r\n\r\n",
];

/// Mostly well-formed, so that it gets somewhere; then something is wrong with it.
fn request(random: &mut Random) -> Vec<u8> {
    if random.below(32) == 0 {
        return random.bytes(300);
    }
    let method = random.mostly(METHODS, ODD_METHODS);
    let path = random.mostly(PATHS, ODD_PATHS);
    let version = random.mostly(&["HTTP/1.1"], ODD_VERSIONS);
    let host = random.mostly(&["host: localhost\r\n"], &["", "host: evil.com\r\n"]);
    let mut bytes = format!("{method} {path} {version}\r\n{host}").into_bytes();
    for _ in 0..random.below(6) {
        bytes.extend_from_slice(random.mostly(HEADERS, ODD_HEADERS).as_bytes());
        bytes.extend_from_slice(random.mostly(&["\r\n"], &["\n"]).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(random.pick(BODIES).as_bytes());
    if random.below(16) == 0 {
        let place = random.below(bytes.len());
        bytes[place] = random.next().to_le_bytes()[0];
    }
    if random.below(16) == 0 {
        bytes.truncate(random.below(bytes.len()));
    }
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_requests_that_nobody_means() {
    let limits = Limits {
        header_timeout_ms: 300_000,
        requests_per_second: 1_000_000,
        requests_burst: 1_000_000,
        streams_max: 64,
        ..Limits::default()
    };
    let server = Server::with(limits).await;
    server.memory.job_of("job");
    for number in 0..REQUESTS {
        let mut random = Random(number);
        let request = request(&mut random);
        if number % GOOD == 0 {
            assert_eq!(server.get("/v1/jobs/job-1").send().await.status, 200, "after request {number}");
        }
        let text = String::from_utf8_lossy(&request);
        // Streams and polls go on until the client leaves, so nothing is read from some.
        if random.below(4) == 0 || ["event-stream", "tap?edge=a.out"].iter().any(|part| text.contains(part)) {
            let mut socket = server.socket().await;
            let _sent = tokio::io::AsyncWriteExt::write_all(&mut socket, &request).await;
            continue;
        }
        let answer = server.raw(&request).await;
        let status = answer.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5));
        assert!(
            answer.is_empty() || status.is_some_and(|status| status < "500"),
            "request {number}: {request:?}\n{answer}"
        );
    }
    assert_eq!(server.metric("wasmill_http_panics_total").await, 0.0);
    while server.metric("wasmill_http_connections ").await > 1.0 {}
    assert_eq!(server.memory.uploads(), 0);
}
