//! Answers that are JSON.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use wasmill_rest::Page;

use crate::{
    asked::Asked,
    problem::{Answered, Refusal, json},
};

pub(super) fn ok(value: &impl Serialize) -> Response {
    with(StatusCode::OK, value)
}

pub(super) fn with(status: StatusCode, value: &impl Serialize) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], Body::from(json(value))).into_response()
}

/// Says where the thing is that was made, or how far it is.
pub(super) fn located(mut response: Response, path: &str) -> Response {
    // Ids and names have forms that fit into a header.
    if let Ok(path) = HeaderValue::from_str(path) {
        response.headers_mut().insert(header::LOCATION, path);
    }
    response
}

/// The part of a list that was asked for. The cursor is the key of the last item of the page before.
pub(super) fn page<T: Serialize>(asked: &Asked, items: Vec<T>, key: impl Fn(&T) -> String) -> Answered {
    let limit = asked.limit()?;
    let begin = match asked.parameter("cursor") {
        None => 0,
        Some(cursor) => match items.iter().position(|item| key(item) == cursor) {
            Some(place) => place + 1,
            None => {
                let detail = "could not read the query: `cursor` names nothing that is in the list now";
                return Err(Refusal::malformed(detail).hint("begin again without a cursor"));
            }
        },
    };
    let is_more = items.len() - begin > limit;
    let items: Vec<T> = items.into_iter().skip(begin).take(limit).collect();
    let next = items.last().filter(|_| is_more).map(key);
    Ok(ok(&Page { items, next }))
}
