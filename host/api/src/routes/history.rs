//! What happened to a job: pages, or streams that go on until the job has ended.

use std::time::Duration;

use axum::{extract::State, http::StatusCode};
use serde::Serialize;
use tokio::time::sleep;
use wasmill_model::fault::Code;
use wasmill_rest::{Event, Exception, LogLine, Page, Problem};

use super::answer;
use crate::{
    Backend,
    asked::Asked,
    names::Form,
    problem::{Answered, Refusal, json},
    shared::Api,
    stream::{self, Told},
};

/// Items of a stream that are read at once.
const PART: usize = 256;

/// A stream looks no more often than this, however much happens in the cluster: all streams are woken by any change.
const PAUSE: Duration = Duration::from_millis(25);

/// A kind of thing that happens to jobs.
pub(crate) trait Happened: Serialize + Sized + Send + 'static {
    /// What events of a stream are called.
    const EVENT: &'static str;

    fn sequence(&self) -> u64;

    fn read<B: Backend>(
        backend: &B,
        job: &str,
        after: u64,
        max: usize,
    ) -> impl Future<Output = Result<Vec<Self>, Problem>> + Send;
}

impl Happened for Event {
    const EVENT: &'static str = "event";

    fn sequence(&self) -> u64 {
        self.sequence
    }

    async fn read<B: Backend>(backend: &B, job: &str, after: u64, max: usize) -> Result<Vec<Self>, Problem> {
        backend.events(job, after, max).await
    }
}

impl Happened for Exception {
    const EVENT: &'static str = "exception";

    fn sequence(&self) -> u64 {
        self.sequence
    }

    async fn read<B: Backend>(backend: &B, job: &str, after: u64, max: usize) -> Result<Vec<Self>, Problem> {
        backend.exceptions(job, after, max).await
    }
}

impl Happened for LogLine {
    const EVENT: &'static str = "log";

    fn sequence(&self) -> u64 {
        self.sequence
    }

    async fn read<B: Backend>(backend: &B, job: &str, after: u64, max: usize) -> Result<Vec<Self>, Problem> {
        backend.logs(job, after, max).await
    }
}

pub(super) async fn events<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    listing::<Event, B>(&api, asked).await
}

pub(super) async fn exceptions<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    listing::<Exception, B>(&api, asked).await
}

pub(super) async fn logs<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    listing::<LogLine, B>(&api, asked).await
}

async fn listing<T: Happened, B: Backend>(api: &Api<B>, asked: Asked) -> Answered {
    let (job, after) = (asked.part("job"), asked.after()?);
    if asked.wants_stream() {
        return follow::<T, B>(api, job, after).await;
    }
    let limit = asked.limit()?;
    let items = T::read(&api.backend, job, after, limit).await?;
    let next = items.last().filter(|_| items.len() == limit).map(|item| item.sequence().to_string());
    Ok(answer::ok(&Page { items, next }))
}

/// Everything that has happened and happens, until the job has ended and all of it was told.
async fn follow<T: Happened, B: Backend>(api: &Api<B>, job: &str, after: u64) -> Answered {
    // A job that is not known is told as a problem, not in a stream.
    api.backend.ended(job).await?;
    let source = Follow { backend: api.backend.clone(), changed: api.backend.changed(), job: job.to_owned(), after };
    stream::open(&api.shared, source.begin::<T>(), job)
}

/// Where a stream is.
struct Follow<B> {
    backend: B,
    changed: tokio::sync::watch::Receiver<u64>,
    job: String,
    after: u64,
}

impl<B: Backend> Follow<B> {
    fn begin<T: Happened>(self) -> impl futures_util::Stream<Item = Result<Told, Refusal>> + Send {
        futures_util::stream::unfold(Some(self), |follow| async move {
            let mut follow = follow?;
            match follow.next::<T>().await {
                Ok(Some(text)) => Some((Ok(Told::Events(text)), Some(follow))),
                Ok(None) => Some((Ok(Told::End), None)),
                Err(problem) => Some((Err(problem.into()), None)),
            }
        })
    }

    /// The next events, as soon as there are any; none when there will be no more.
    async fn next<T: Happened>(&mut self) -> Result<Option<String>, Problem> {
        loop {
            // In this order, so that nothing that happens in between is slept through, or left out at the end.
            self.changed.mark_unchanged();
            let ended = self.backend.ended(&self.job).await?;
            let items = T::read(&self.backend, &self.job, self.after, PART).await?;
            if let Some(last) = items.last() {
                self.after = last.sequence();
                return Ok(Some(
                    items.iter().map(|item| stream::event(T::EVENT, item.sequence(), &json(item))).collect(),
                ));
            }
            // Whoever changes it is gone when the server ends.
            if ended || self.changed.changed().await.is_err() {
                return Ok(None);
            }
            sleep(PAUSE).await;
        }
    }
}

pub(super) async fn tap<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    let job = asked.part("job");
    let Some(edge) = asked.parameter("edge") else {
        return Err(Refusal::malformed("could not read the query: `edge` is missing").hint("`?edge=vertex.port`"));
    };
    Form::Edge.check("edge", edge)?;
    let limit = asked.number("limit")?.unwrap_or(u64::MAX);
    if limit == 0 {
        return Err(Refusal::malformed("could not read the query: `limit` is at least 1"));
    }
    let rows = api.backend.tap(job, edge).await?;
    let source = futures_util::stream::unfold(Some((rows, 0)), move |state| async move {
        let (mut rows, told) = state?;
        let mut taken = Vec::new();
        let room = usize::try_from(limit - told).unwrap_or(usize::MAX).min(PART);
        if room == 0 || rows.recv_many(&mut taken, room).await == 0 {
            return Some((Ok(Told::End), None));
        }
        let text = (told + 1..).zip(&taken).map(|(number, row)| stream::event("row", number, &json(row))).collect();
        Some((Ok(Told::Events(text)), Some((rows, told + taken.len() as u64))))
    });
    stream::open(&api.shared, source, job)
}

/// There are as many streams as there may be.
pub(crate) fn too_many(streams_max: usize, what: &str) -> Refusal {
    let detail = format!("could not stream what happens to {what}: there are {streams_max} streams already");
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, Code::ServerBusy, detail)
}
