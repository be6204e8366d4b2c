//! Savepoints: taken of running jobs, looked at, sent from one cluster to another, removed.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse as _,
};
use wasmill_rest::{SavepointRequest, Stored};

use super::{answer, jobs::json};
use crate::{Backend, asked::Asked, backend::Outgoing, problem::Answered, shared::Api, transfer};

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

pub(super) async fn export<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    let name = asked.part("savepoint");
    let turn = Arc::clone(&api.shared.transfers).acquire_owned().await.expect("the server never closes it");
    let Outgoing { bytes, write } = api.backend.export_savepoint(name).await?;
    // Names of savepoints fit into a header as they are.
    let headers = [
        (header::CONTENT_TYPE, "application/x-tar".to_owned()),
        (header::CONTENT_LENGTH, bytes.to_string()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.tar\"")),
    ];
    Ok((headers, Body::from_stream(transfer::written(write, turn))).into_response())
}

pub(super) async fn import<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    let name = asked.part("savepoint").to_owned();
    // The time spent waiting is not held against the client: its body is looked at only afterwards.
    let _turn = api.shared.transfers.acquire().await.expect("the server never closes it");
    let limits = &api.shared.limits;
    let (to, from) = transfer::pipe();
    let arriving = asked.arriving(limits.savepoint_bytes_max, limits);
    let (sent, imported) = tokio::join!(transfer::send(arriving, to), api.backend.import_savepoint(&name, from));
    // What the connection did is why nothing was imported.
    sent?;
    let (savepoint, stored) = imported?;
    let status = if stored == Stored::New { StatusCode::CREATED } else { StatusCode::OK };
    Ok(answer::located(answer::with(status, &savepoint), &format!("/v1/savepoints/{name}")))
}

pub(super) async fn delete<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    api.backend.remove_savepoint(asked.part("savepoint")).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
