//! What TaskManagers ask: messages that pass through, and files.

use axum::{
    body::Body,
    extract::State,
    http::header,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;

use crate::{
    Backend,
    asked::Asked,
    backend::Blob,
    problem::{Answered, Refusal},
    shared::Api,
    upload,
};

pub(super) async fn register<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    let body = message(&api, asked).await?;
    Ok(json(api.backend.tm_register(body).await?))
}

pub(super) async fn poll<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    let connection = asked.connection();
    let body = message(&api, asked).await?;
    Ok(json(api.backend.tm_poll(body, connection).await?))
}

pub(super) async fn reports<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    let body = message(&api, asked).await?;
    Ok(json(api.backend.tm_reports(body).await?))
}

pub(super) async fn deployment<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    Ok(json(api.backend.tm_deployment(asked.part("job"), asked.number("attempt")?).await?))
}

pub(super) async fn code<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    Ok(blob(api.backend.tm_code(asked.part("key")).await?))
}

pub(super) async fn component<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    Ok(blob(api.backend.tm_plugin(asked.part("digest")).await?))
}

async fn message<B: Backend>(api: &Api<B>, asked: Asked) -> Result<Bytes, Refusal> {
    let limits = &api.shared.limits;
    asked.arriving(limits.report_bytes_max as u64, limits).whole().await
}

fn json(body: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], Body::from(body)).into_response()
}

fn blob(blob: Blob) -> Response {
    const TYPE: (header::HeaderName, &str) = (header::CONTENT_TYPE, "application/octet-stream");
    match blob {
        Blob::Bytes(bytes) => ([TYPE], Body::from(bytes)).into_response(),
        Blob::File { file, bytes } => {
            let length = (header::CONTENT_LENGTH, bytes.to_string());
            ([TYPE], [length], Body::from_stream(upload::pieces(file, bytes))).into_response()
        }
    }
}
