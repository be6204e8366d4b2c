//! Savepoints: taken of running jobs, looked at, removed.

use axum::{extract::State, http::StatusCode, response::IntoResponse as _};
use wasmill_rest::SavepointRequest;

use super::{answer, jobs::json};
use crate::{Backend, asked::Asked, problem::Answered, shared::Api};

pub(super) async fn create<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    let job = asked.part("job").to_owned();
    let SavepointRequest { name } = json(&api, asked).await?;
    let savepoint = api.backend.savepoint(&job, name).await?;
    let path = format!("/v1/savepoints/{}", savepoint.name);
    Ok(answer::located(answer::with(StatusCode::CREATED, &savepoint), &path))
}

pub(super) async fn list<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    let savepoints = api.backend.savepoints().await?;
    answer::page(&asked, savepoints, |savepoint| savepoint.name.clone())
}

pub(super) async fn get<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    Ok(answer::ok(&api.backend.get_savepoint(asked.part("savepoint")).await?))
}

pub(super) async fn delete<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    api.backend.remove_savepoint(asked.part("savepoint")).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
