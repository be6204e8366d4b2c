//! What stands before every handler: who asks, by which name, from where, how often, with what in hand. A handler is reached
//! only by a request that may be carried out.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt as _;
use wasmill_model::fault::Code;

use crate::{
    Backend,
    body::too_large,
    hosts::is_same_origin,
    problem::Refusal,
    rate::Client,
    routes::{Access, Route, Takes},
    shared::{Api, Peer, Shared},
    tokens::{Known, Role},
};

/// Before all routes, known or not: checks host and origin, survives a panic, counts, and labels the answer.
pub(crate) async fn entry(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let mut response = match check_source(&shared, &request) {
        Err(refusal) => refusal.into_response(),
        // What a panic leaves behind is dropped with the request; what is shared is whole at every step.
        Ok(()) => match AssertUnwindSafe(next.run(request)).catch_unwind().await {
            Ok(response) => response,
            Err(panic) => panicked(&shared, panic),
        },
    };
    let route = response.extensions_mut().remove::<&'static Route>();
    shared.counters.count(route, response.status(), begun.elapsed());
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The message of the panic stands in the server's own log; it may hold what is nobody's business.
fn panicked(shared: &Shared, panic: Box<dyn Any + Send>) -> Response {
    drop(panic);
    shared.counters.panics.fetch_add(1, Ordering::Relaxed);
    let detail = "could not answer: the server met a fault of its own, which its log shows";
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, detail).into_response()
}

/// Before the handler of a route.
pub(crate) async fn guard<B: Backend>(
    State((api, route)): State<(Api<B>, &'static Route)>,
    mut request: Request,
    next: Next,
) -> Response {
    let mut response = match admit(&api, route, &request) {
        Err(refusal) => refusal.into_response(),
        Ok(()) => {
            request.extensions_mut().insert(route);
            let what = said(request.method(), request.uri());
            let answer = next.run(request);
            if route.is_timed() {
                let limit = api.shared.limits.request_timeout();
                tokio::time::timeout(limit, answer).await.unwrap_or_else(|_| late(&what, limit.as_millis()))
            } else {
                answer.await
            }
        }
    };
    response.extensions_mut().insert(route);
    response
}

fn late(what: &str, limit_ms: u128) -> Response {
    let detail = format!("could not {what}: it took longer than {limit_ms} ms");
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, Code::ServerBusy, detail).into_response()
}

pub(crate) async fn unknown_route(request: Request) -> Response {
    let detail = format!("could not {}: there is nothing at this path", said(request.method(), request.uri()));
    let refusal = Refusal::new(StatusCode::NOT_FOUND, Code::UnknownRoute, detail);
    refusal.hint("GET /v1/openapi.json lists all").into_response()
}

pub(crate) async fn method_not_allowed(request: Request) -> Response {
    let detail = format!("could not {}: the path does not know this method", said(request.method(), request.uri()));
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, Code::MethodNotAllowed, detail).into_response()
}

/// A request in a message. Its query may hold what should not have stood there, and is left out.
fn said(method: &Method, uri: &Uri) -> String {
    const CHARS_MAX: usize = 120;
    let text = format!("{method} {}", uri.path());
    if text.chars().count() <= CHARS_MAX { text } else { text.chars().take(CHARS_MAX).chain("...".chars()).collect() }
}

/// A browser that was led here by another site says so: by the host it believes to talk to, or the page that it asks for.
fn check_source(shared: &Shared, request: &Request) -> Result<(), Refusal> {
    let (uri, headers) = (request.uri(), request.headers());
    let what = said(request.method(), uri);
    let foreign =
        |why: String| Refusal::new(StatusCode::FORBIDDEN, Code::ForeignRequest, format!("could not {what}: {why}"));
    let Some(host) = only(headers, header::HOST.as_str()) else {
        return Err(Refusal::malformed(format!(
            "could not {what}: it takes one header `host`, with the name of this server"
        )));
    };
    for host in [Some(host), uri.authority().map(|authority| authority.as_str())].into_iter().flatten() {
        if !shared.hosts.know(host) {
            let shown: String = host.chars().take(80).collect();
            return Err(foreign(format!(
                "its host is `{}`, and this server does not go by that name",
                shown.escape_debug()
            ))
            .hint("let the JobManager know the name by `hosts`"));
        }
    }
    if headers.contains_key(header::ORIGIN) {
        let same = only(headers, header::ORIGIN.as_str()).is_some_and(|origin| is_same_origin(origin, host));
        if !same {
            return Err(foreign("a page of another site sent it".to_owned()));
        }
    }
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if !is_safe(request.method()) && matches!(site, Some(b"cross-site" | b"same-site")) {
        return Err(foreign("a page of another site sent it".to_owned()));
    }
    Ok(())
}

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// The value of a header that must stand there once, as text.
pub(crate) fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).into_iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    value.to_str().ok()
}

/// Whether a request may reach its handler.
fn admit<B: Backend>(api: &Api<B>, route: &Route, request: &Request) -> Result<(), Refusal> {
    let shared = &*api.shared;
    let what = said(request.method(), request.uri());
    let peer = request.extensions().get::<Peer>().copied().expect("every connection says whose it is");
    let known = match route.access {
        Access::Anyone => None,
        Access::Only(role) => authenticate(shared, role, peer, request.headers(), &what)?,
    };
    check_body(route, request.headers(), &what)?;
    let bytes_max = match route.takes {
        Takes::Nothing | Takes::Submission | Takes::Json(_) => shared.limits.body_bytes_max as u64,
        Takes::Message => shared.limits.report_bytes_max as u64,
        Takes::Component => api.backend.upload_bytes_max(),
        Takes::Savepoint => shared.limits.savepoint_bytes_max,
    };
    let length = only(request.headers(), header::CONTENT_LENGTH.as_str()).and_then(|length| length.parse::<u64>().ok());
    if length.is_some_and(|length| length > bytes_max) {
        return Err(too_large(bytes_max));
    }
    if route.is_rated() {
        let client = known.map_or(Client::Address(peer.address), |known| Client::Token(known.number));
        shared.take(client).map_err(|wait| {
            let per_second = shared.limits.requests_per_second;
            let detail = format!("could not {what}: requests come faster than {per_second} a second");
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, Code::RateLimited, detail).after(wait)
        })?;
    }
    Ok(())
}

/// Whether the request shows that its sender has the role. Where there are no tokens, everybody has.
fn authenticate(
    shared: &Shared,
    role: Role,
    peer: Peer,
    headers: &HeaderMap,
    what: &str,
) -> Result<Option<Known>, Refusal> {
    let unknown =
        |why: &str| Refusal::new(StatusCode::UNAUTHORIZED, Code::Unauthenticated, format!("could not {what}: {why}"));
    if role == Role::Worker && shared.asks_certificates && !peer.certified {
        return Err(unknown("a TaskManager is to show a certificate"));
    }
    let Some(tokens) = &shared.tokens else {
        return Ok(None);
    };
    if !headers.contains_key(header::AUTHORIZATION) {
        return Err(unknown("the request shows no token").hint("send `authorization: Bearer TOKEN`"));
    }
    let token = only(headers, header::AUTHORIZATION.as_str())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    let known = token.and_then(|token| tokens.find(token)).ok_or_else(|| unknown("the token is not known"))?;
    if known.role.allows(role) {
        return Ok(Some(known));
    }
    let detail = format!("could not {what}: it takes the role {role}, and this token has the role {}", known.role);
    Err(Refusal::new(StatusCode::FORBIDDEN, Code::Forbidden, detail))
}

/// Whether the body is labelled as something that the route takes. A form in a page cannot send any of these.
fn check_body(route: &Route, headers: &HeaderMap, what: &str) -> Result<(), Refusal> {
    if is_safe(&route.method.method()) {
        // Nobody would read it, and as long as it lies there nobody notices that the client has gone.
        let is_empty = headers.get(header::CONTENT_LENGTH).is_none_or(|length| length == "0");
        if is_empty && !headers.contains_key(header::TRANSFER_ENCODING) {
            return Ok(());
        }
        return Err(Refusal::malformed(format!("could not {what}: it takes no body")));
    }
    let (taken, may_lack): (&[&str], bool) = match route.takes {
        Takes::Nothing => (&["application/json"], true),
        Takes::Submission => (&["application/json", "application/toml"], false),
        // The last is what curl says of any file; no form can send it with PUT.
        Takes::Component => {
            (&["application/wasm", "application/octet-stream", "application/x-www-form-urlencoded"], true)
        }
        Takes::Savepoint => (&["application/x-tar", "application/octet-stream"], false),
        Takes::Message | Takes::Json(_) => (&["application/json"], false),
    };
    if !headers.contains_key(header::CONTENT_TYPE) && may_lack {
        return Ok(());
    }
    let label = media_type(headers);
    if label.as_deref().is_some_and(|label| taken.contains(&label)) {
        return Ok(());
    }
    let shown = label.map_or_else(|| "not labelled".to_owned(), |label| format!("labelled {}", label.escape_debug()));
    let refusal = Refusal::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::WrongContentType,
        format!("could not {what}: the body is {shown}"),
    );
    let shown = &taken[..taken.len().min(2)];
    Err(refusal.hint(format!("send `content-type: {}`", shown.join("` or `"))))
}

/// The type of the body, without its parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = only(headers, header::CONTENT_TYPE.as_str())?;
    let essence = value.split(';').next().unwrap_or_default().trim();
    Some(essence.to_ascii_lowercase())
}
