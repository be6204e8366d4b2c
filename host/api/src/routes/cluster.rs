//! The cluster, its workers, and what the server says of itself.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use wasmill_model::fault::Code;

use super::answer;
use crate::{
    Backend,
    asked::Asked,
    dashboard, openapi, pages,
    problem::{Answered, Refusal},
    shared::Api,
};

pub(super) async fn dashboard(_: Asked) -> Response {
    let mut response = text("text/html; charset=utf-8", dashboard::PAGE);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, dashboard::policy());
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response.headers_mut().insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
}

pub(super) async fn health(_: Asked) -> Response {
    text("text/plain; charset=utf-8", "ok\n")
}

pub(super) async fn readiness<B: Backend>(State(api): State<Api<B>>, _: Asked) -> Answered {
    api.backend.ready().await?;
    Ok(text("text/plain; charset=utf-8", "ok\n"))
}

pub(super) async fn openapi(_: Asked) -> Response {
    text("application/json", openapi::document())
}

pub(super) async fn error_page(asked: Asked) -> Answered {
    let code: Code = asked.part("code").parse().map_err(|error| {
        Refusal::new(axum::http::StatusCode::NOT_FOUND, Code::UnknownErrorCode, format!("could not explain: {error}"))
    })?;
    Ok(text("text/markdown; charset=utf-8", pages::page(code)))
}

pub(super) async fn metrics<B: Backend>(State(api): State<Api<B>>, _: Asked) -> Response {
    let mut body = api.backend.metrics().await;
    if !body.is_empty() && !body.ends_with('\n') {
        body.push('\n');
    }
    let shared = &api.shared;
    body.push_str(&shared.counters.render(shared.connections.census(), shared.streams_open()));
    body.push_str("# EOF\n");
    text("application/openmetrics-text; version=1.0.0; charset=utf-8", body)
}

pub(super) async fn overview<B: Backend>(State(api): State<Api<B>>, _: Asked) -> Answered {
    Ok(answer::ok(&api.backend.cluster().await?))
}

pub(super) async fn workers<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    let workers = api.backend.workers().await?;
    answer::page(&asked, workers, |worker| worker.id.clone())
}

pub(super) async fn worker<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    Ok(answer::ok(&api.backend.worker(asked.part("worker")).await?))
}

pub(super) async fn drain<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    Ok(answer::ok(&api.backend.cordon(asked.part("worker"), true).await?))
}

pub(super) async fn undrain<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    Ok(answer::ok(&api.backend.cordon(asked.part("worker"), false).await?))
}

fn text(kind: &'static str, body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, kind)], body.into()).into_response()
}
