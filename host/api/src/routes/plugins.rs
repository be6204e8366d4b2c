//! Plugins: uploaded as they are, addressed by name and version or by digest.

use axum::{extract::State, http::StatusCode, response::IntoResponse as _};
use wasmill_rest::Stored;

use super::answer;
use crate::{Backend, asked::Asked, problem::Answered, shared::Api, upload};

pub(super) async fn put<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    let dry_run = asked.flag("dry-run")?;
    let upload = upload::receive(&api, asked, dry_run).await?;
    let path = format!("/v1/plugins/{}/versions/{}", upload.name, upload.version);
    let (version, stored) = api.backend.put_plugin(upload).await?;
    let status = if stored == Stored::New && !dry_run { StatusCode::CREATED } else { StatusCode::OK };
    let response = answer::with(status, &version);
    Ok(if dry_run { response } else { answer::located(response, &path) })
}

pub(super) async fn list<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    let plugins = api.backend.plugins().await?;
    answer::page(&asked, plugins, |plugin| format!("{}@{}", plugin.name, plugin.version))
}

pub(super) async fn get<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    let reference = format!("{}@{}", asked.part("name"), asked.part("version"));
    Ok(answer::ok(&api.backend.plugin(&reference).await?))
}

pub(super) async fn get_by_digest<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    Ok(answer::ok(&api.backend.plugin(asked.part("digest")).await?))
}

pub(super) async fn delete<B: Backend>(State(api): State<Api<B>>, asked: Asked) -> Answered {
    api.backend.remove_plugin(asked.part("name"), asked.part("version")).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
