//! Server-sent events: bounded in number, kept alive while nothing happens, and never ahead of their reader: what comes next
//! is read only when the socket has taken what was there.

use std::{convert::Infallible, fmt::Write as _, pin::Pin, sync::Arc};

use axum::{body::Body, http::header, response::IntoResponse as _};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::timeout,
};

use crate::{
    options::Limits,
    problem::{Answered, Refusal},
    routes::too_many,
    shared::{Shared, stopped},
};

/// What a stream has to tell.
#[derive(Debug)]
pub(crate) enum Told {
    /// Events, as they are written.
    Events(String),
    /// There will be no more, ever.
    End,
}

/// Begins every stream: it is there, and a reader that loses it comes back after a second.
const HELLO: &str = "retry: 1000\n\n";
const KEEP_ALIVE: &str = ": \n\n";
/// Tells an end from a stream that broke off.
const END: &str = "event: end\ndata: {}\n\n";

/// One event. JSON has no line breaks, so it is one line of data.
pub(crate) fn event(name: &str, sequence: u64, json: &str) -> String {
    let mut text = String::with_capacity(json.len() + 48);
    write!(text, "id: {sequence}\nevent: {name}\ndata: {json}\n\n").expect("a string takes everything");
    text
}

/// Answers with a stream, if there is room for one more.
pub(crate) fn open<S>(shared: &Arc<Shared>, source: S, what: &str) -> Answered
where
    S: Stream<Item = Result<Told, Refusal>> + Send + 'static,
{
    let limits = shared.limits.clone();
    let permit = shared.stream().ok_or_else(|| too_many(limits.streams_max, what))?;
    let outlet =
        Outlet { source: Box::pin(source), stopping: shared.stopping.clone(), limits, begun: false, _permit: permit };
    let body = stream::unfold(Some(outlet), |outlet| async move {
        let mut outlet = outlet?;
        let (text, goes_on) = outlet.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), goes_on.then_some(outlet)))
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(body)).into_response())
}

struct Outlet {
    source: Pin<Box<dyn Stream<Item = Result<Told, Refusal>> + Send>>,
    stopping: watch::Receiver<bool>,
    limits: Limits,
    begun: bool,
    _permit: OwnedSemaphorePermit,
}

impl Outlet {
    /// What is sent next, and whether more may follow. None when the server stops: the reader is to come back.
    async fn next(&mut self) -> Option<(String, bool)> {
        if !self.begun {
            self.begun = true;
            return Some((HELLO.to_owned(), true));
        }
        let told = tokio::select! {
            () = stopped(&mut self.stopping) => return None,
            told = timeout(self.limits.keep_alive(), self.source.next()) => told,
        };
        Some(match told {
            Err(_) => (KEEP_ALIVE.to_owned(), true),
            Ok(Some(Ok(Told::Events(text)))) => (text, true),
            Ok(Some(Err(refusal))) => (refusal.into_event(), false),
            Ok(Some(Ok(Told::End)) | None) => (END.to_owned(), false),
        })
    }
}
