//! What a handler is given: a request whose names have their form and whose parameters are those of its route.

use axum::{
    body::Body,
    extract::{FromRequest, RawPathParams, Request},
    http::{HeaderMap, Uri, header},
};
use serde::de::DeserializeOwned;

use crate::{body::Arriving, guard::only, names::Form, options::Limits, problem::Refusal, routes::Route, shared::Peer};

/// A request that may be carried out.
#[derive(Debug)]
pub(crate) struct Asked {
    path: Vec<(String, String)>,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    connection: u64,
    body: Body,
}

/// Items of a page, if the request does not say.
const PAGE: usize = 100;
const PAGE_MAX: usize = 1_000;

impl<S: Send + Sync> FromRequest<S> for Asked {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        use axum::extract::FromRequestParts as _;
        let (mut parts, body) = request.into_parts();
        let route = parts.extensions.get::<&'static Route>().copied().expect("the guard has put it there");
        let found = RawPathParams::from_request_parts(&mut parts, state).await;
        let found = found.map_err(|_| Refusal::malformed("could not read the path: it is not UTF-8"))?;
        let mut path = Vec::new();
        for (name, value) in &found {
            let form = Form::of(name).expect("every part of a path has a form");
            form.check(name, value)?;
            path.push((name.to_owned(), value.to_owned()));
        }
        let query = parse(&parts.uri, route)?;
        let connection = parts.extensions.get::<Peer>().expect("the server has put it there").connection;
        Ok(Self { path, query, headers: parts.headers, connection, body })
    }
}

/// The parameters, each known and given once.
fn parse(uri: &Uri, route: &Route) -> Result<Vec<(String, String)>, Refusal> {
    let mut query: Vec<(String, String)> = Vec::new();
    for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        if !route.query.iter().any(|(known, _)| *known == name) {
            let shown: String = name.chars().take(40).collect();
            let known: Vec<&str> = route.query.iter().map(|(name, _)| *name).collect();
            let hint =
                if known.is_empty() { "it takes none".to_owned() } else { format!("it takes {}", known.join(", ")) };
            let detail = format!("could not read the query: there is no parameter `{}` here", shown.escape_debug());
            return Err(Refusal::malformed(detail).hint(hint));
        }
        if query.iter().any(|(other, _)| *other == name) {
            return Err(Refusal::malformed(format!("could not read the query: `{name}` stands there twice")));
        }
        query.push((name.into_owned(), value.into_owned()));
    }
    Ok(query)
}

impl Asked {
    /// By which it came.
    pub(crate) const fn connection(&self) -> u64 {
        self.connection
    }

    /// A part of the path.
    pub(crate) fn part(&self, name: &str) -> &str {
        let part = self.path.iter().find(|(known, _)| known == name);
        part.map(|(_, value)| value.as_str()).expect("the route has such a part")
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        only(&self.headers, name)
    }

    pub(crate) const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// `?name=1` or `?name=true`; `?name=0` and `?name=false` are the same as nothing.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.parameter(name) {
            None | Some("0" | "false") => Ok(false),
            Some("1" | "true" | "") => Ok(true),
            Some(_) => Err(Refusal::malformed(format!("could not read the query: `{name}` is 1 or 0"))),
        }
    }

    /// How many items a page has.
    pub(crate) fn limit(&self) -> Result<usize, Refusal> {
        let Some(text) = self.parameter("limit") else {
            return Ok(PAGE);
        };
        let limit = text.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
        limit.ok_or_else(|| Refusal::malformed(format!("could not read the query: `limit` is 1 to {PAGE_MAX}")))
    }

    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let number = |text: &str| text.parse().map_err(|_| format!("could not read the query: `{name}` is a number"));
        self.parameter(name).map(number).transpose().map_err(Refusal::malformed)
    }

    /// The sequence behind which a list or a stream begins: where it broke off, or where the client says.
    pub(crate) fn after(&self) -> Result<u64, Refusal> {
        if let Some(id) = self.header("last-event-id") {
            let id = id.trim().parse();
            return id.map_err(|_| Refusal::malformed("could not read `last-event-id`: it is a number"));
        }
        Ok(self.number("after")?.or(self.number("cursor")?).unwrap_or(0))
    }

    pub(crate) fn wants_stream(&self) -> bool {
        let accepted = self.headers.get_all(header::ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
        let mut types = accepted.flat_map(|value| value.split(','));
        types.any(|one| one.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/event-stream"))
    }

    pub(crate) fn arriving(self, bytes_max: u64, limits: &Limits) -> Arriving {
        Arriving::new(self.body, bytes_max, limits)
    }
}

/// A JSON body of a known shape.
pub(crate) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(bytes)
        .map_err(|error| Refusal::malformed(format!("could not read the body as JSON: {error}")))
}
