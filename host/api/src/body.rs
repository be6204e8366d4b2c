//! Bodies of requests, a chunk at a time: counted while they arrive, and cut off when they come too slowly.

use axum::{
    body::{Body, HttpBody as _},
    http::StatusCode,
};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};
use wasmill_model::fault::Code;

use crate::{options::Limits, problem::Refusal};

/// A body, and what it may do.
#[derive(Debug)]
pub(crate) struct Arriving {
    body: Body,
    bytes: u64,
    bytes_max: u64,
    begun: Instant,
    limits: Limits,
}

impl Arriving {
    pub(crate) fn new(body: Body, bytes_max: u64, limits: &Limits) -> Self {
        Self { body, bytes: 0, bytes_max, begun: Instant::now(), limits: limits.clone() }
    }

    /// The next chunk; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        loop {
            let frame = timeout_at(self.patience(), self.body.frame()).await.map_err(|_| self.too_slow())?;
            let Some(frame) = frame else {
                return Ok(None);
            };
            let frame = frame.map_err(|error| Refusal::broken_body(&error))?;
            // Anything else is a trailer, which nobody asked for.
            if let Ok(chunk) = frame.into_data() {
                self.bytes = self.bytes.saturating_add(chunk.len() as u64);
                if self.bytes > self.bytes_max {
                    return Err(too_large(self.bytes_max));
                }
                return Ok(Some(chunk));
            }
        }
    }

    /// The whole body, in memory.
    pub(crate) async fn whole(mut self) -> Result<Bytes, Refusal> {
        let expected = self.body.size_hint().lower().min(self.bytes_max).min(64 << 10);
        let mut whole = BytesMut::with_capacity(usize::try_from(expected).unwrap_or(0));
        while let Some(chunk) = self.next().await? {
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Until when the next chunk is waited for: what has arrived buys time for what follows, at the lowest rate.
    fn patience(&self) -> Instant {
        let earned_ms = self.bytes.saturating_mul(1_000) / self.limits.body_bytes_per_second_min.max(1);
        let patience = self.limits.body_patience().saturating_add(std::time::Duration::from_millis(earned_ms));
        let on_the_whole = self.begun.checked_add(patience).unwrap_or(self.begun);
        // However fast it was before, it may not stand still for longer than this.
        on_the_whole.min(Instant::now() + self.limits.body_patience())
    }

    fn too_slow(&self) -> Refusal {
        let Limits { body_patience_ms, body_bytes_per_second_min, .. } = self.limits;
        Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            Code::RequestTooSlow,
            format!(
                "could not read the body: after {} bytes it stood still for {body_patience_ms} ms, or came more slowly than \
                 {body_bytes_per_second_min} bytes per second",
                self.bytes
            ),
        )
    }
}

pub(crate) fn too_large(bytes_max: u64) -> Refusal {
    let detail = format!("could not read the body: it is longer than {bytes_max} bytes");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, Code::RequestTooLarge, detail)
}
