//! How a refusal goes out: as problem+json, with the headers its status asks for.

use std::{error::Error as _, time::Duration};

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;
use wasmill_model::fault::Code;
use wasmill_rest::Problem;

/// What a handler answers.
pub(crate) type Answered = Result<Response, Refusal>;

/// A problem on its way to the client.
#[derive(Debug)]
pub(crate) struct Refusal {
    problem: Problem,
    retry_after: Option<Duration>,
}

/// As it is written: RFC 9457 wants a type, which is the page of the code.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Told {
    /// The page of the error: `/v1/errors/CODE`.
    #[serde(rename = "type")]
    page: String,
    #[serde(flatten)]
    problem: Problem,
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self { problem, retry_after: None }
    }
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: Code, detail: impl Into<String>) -> Self {
        Problem::new(status.as_u16(), code, detail).into()
    }

    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::RequestMalformed, detail)
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { problem: self.problem.with_hint(hint), ..self }
    }

    pub(crate) fn after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// What broke a body off.
    pub(crate) fn broken_body(error: &axum::Error) -> Self {
        let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        Self::malformed(format!("could not read the body: {why}"))
    }

    /// As one event of a stream that has begun already.
    pub(crate) fn into_event(self) -> String {
        format!("event: problem\ndata: {}\n\n", json(&self.told()))
    }

    fn told(self) -> Told {
        Told { page: format!("/v1/errors/{}", self.problem.code), problem: self.problem }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after =
            self.retry_after.or((status == StatusCode::SERVICE_UNAVAILABLE).then_some(Duration::from_secs(1)));
        let mut response = Response::new(Body::from(json(&self.told())));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, seconds.max(1).into());
        }
        response
    }
}

/// JSON of what cannot fail to be written: plain data without maps of other keys than text.
pub(crate) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("shapes of the interface are plain data")
}
