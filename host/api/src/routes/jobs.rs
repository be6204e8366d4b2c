//! Jobs: submitted, listed, ended.

use axum::{extract::State, http::StatusCode};
use serde::de::DeserializeOwned;
use wasmill_rest::{JobSummary, Operation, OperationKind, Resolve, Scale, Stored, Submission};

use super::answer;
use crate::{
    Backend,
    asked::{Asked, from_json},
    guard::media_type,
    names::Form,
    problem::{Answered, Refusal},
    shared::Api,
};

pub(super) async fn submit<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    if asked.flag("dry-run")? {
        let submission = submission(&api, asked).await?;
        return Ok(answer::ok(&api.backend.plan(submission, None).await?));
    }
    let key = key(&asked)?;
    let submission = submission(&api, asked).await?;
    let (accepted, stored) = api.backend.submit(submission, key).await?;
    let status = if stored == Stored::New { StatusCode::CREATED } else { StatusCode::OK };
    Ok(answer::located(answer::with(status, &accepted), &format!("/v1/jobs/{}", accepted.id)))
}

pub(super) async fn plan<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    let replaces = asked.parameter("replaces").map(str::to_owned);
    if let Some(job) = &replaces {
        Form::Job.check("`replaces`", job)?;
    }
    let submission = submission(&api, asked).await?;
    Ok(answer::ok(&api.backend.plan(submission, replaces).await?))
}

/// By which a repeated request is known.
fn key(asked: &Asked) -> Result<Option<String>, Refusal> {
    const NAME: &str = "idempotency-key";
    if !asked.headers().contains_key(NAME) {
        return Ok(None);
    }
    let is_good = |key: &&str| (1..=128).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    let key = asked.header(NAME).filter(is_good);
    key.map(|key| Some(key.to_owned())).ok_or_else(|| {
        Refusal::malformed("could not read `idempotency-key`: it is 1 to 128 visible characters of ASCII")
    })
}

/// The body: a submission, or the text of a job file.
async fn submission<B: Backend>(api: &Api<B>, asked: Asked) -> Result<Submission, Refusal> {
    let is_file = media_type(asked.headers()).is_some_and(|label| label == "application/toml");
    let limits = &api.shared.limits;
    let body = asked.arriving(limits.body_bytes_max as u64, limits).whole().await?;
    if !is_file {
        return from_json(&body);
    }
    let text =
        String::from_utf8(body.into()).map_err(|_| Refusal::malformed("could not read the body: it is not UTF-8"))?;
    Ok(Submission {
        text,
        file: "job.toml".to_owned(),
        base: None,
        set: Vec::new(),
        from: None,
        allow_dropped_state: false,
    })
}

pub(super) async fn list<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    let (state, name) = (asked.parameter("state"), asked.parameter("name"));
    let is_wanted = |job: &JobSummary| {
        state.is_none_or(|state| job.state.eq_ignore_ascii_case(state)) && name.is_none_or(|name| job.name == name)
    };
    let jobs = api.backend.jobs().await?.into_iter().filter(is_wanted).collect();
    answer::page(&asked, jobs, |job| job.id.clone())
}

pub(super) async fn get<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    Ok(answer::ok(&api.backend.job(asked.part("job")).await?))
}

pub(super) async fn stall<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    Ok(answer::ok(&api.backend.stall(asked.part("job")).await?))
}

pub(super) async fn cancel<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    Ok(ending(&api.backend.cancel(asked.part("job")).await?, OperationKind::Cancel))
}

pub(super) async fn stop<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    let (job, savepoint) = (asked.part("job"), asked.parameter("savepoint").map(str::to_owned));
    let stopping = match asked.flag("drain")? {
        true => api.backend.drain(job).await?,
        false => api.backend.stop(job, savepoint).await?,
    };
    Ok(ending(&stopping, OperationKind::Stop))
}

pub(super) async fn replace<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    let job = asked.part("job").to_owned();
    let submission = submission(&api, asked).await?;
    Ok(answer::ok(&api.backend.replace(&job, submission).await?))
}

pub(super) async fn scale<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    let job = asked.part("job").to_owned();
    let scale: Scale = json(&api, asked).await?;
    Ok(answer::ok(&api.backend.scale(&job, scale).await?))
}

pub(super) async fn resolve<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    let job = asked.part("job").to_owned();
    let Resolve { choice } = json(&api, asked).await?;
    Ok(answer::ok(&api.backend.resolve(&job, choice).await?))
}

/// A body of a known shape.
pub(super) async fn json<B: Backend, T: DeserializeOwned>(api: &Api<B>, asked: Asked) -> Result<T, Refusal> {
    let limits = &api.shared.limits;
    from_json(&asked.arriving(limits.body_bytes_max as u64, limits).whole().await?)
}

fn ending(job: &JobSummary, kind: OperationKind) -> axum::response::Response {
    let path = format!("/v1/operations/{}", Operation::id_of(&job.id, kind));
    answer::located(answer::with(StatusCode::ACCEPTED, job), &path)
}

pub(super) async fn operation<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    let (job, kind) = asked.part("operation").split_once('.').expect("its form was checked");
    let kind = kind.parse().expect("its form was checked");
    Ok(answer::ok(&api.backend.operation(job, kind).await?))
}
