//! The interface as OpenAPI 3.1, made from the table of routes and the shapes of `rest`.

use std::{borrow::Cow, sync::LazyLock};

use utoipa::{
    PartialSchema as _, ToSchema,
    openapi::{
        ComponentsBuilder, Content, HttpMethod, InfoBuilder, OpenApi, OpenApiBuilder, Paths, RefOr, Required,
        path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
        request_body::{RequestBody, RequestBodyBuilder},
        response::{Response, ResponseBuilder},
        schema::{ObjectBuilder, Ref, Schema, Type},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};
use wasmill_rest::{Page, Submission};

use crate::{
    names::Form,
    problem::Told,
    routes::{Access, Gives, ROUTES, Route, Takes, Verb},
};

type Named = (String, RefOr<Schema>);

/// A shape: its name, itself, and the shapes that it names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schemas {
    name: fn() -> Cow<'static, str>,
    own: fn() -> RefOr<Schema>,
    others: fn(&mut Vec<Named>),
}

impl Schemas {
    pub(crate) const fn of<T: ToSchema>() -> Self {
        Self { name: T::name, own: T::schema, others: T::schemas }
    }

    /// A page of items of a shape. Each has a name of its own, which the derived one is not.
    pub(crate) const fn page_of<T: ToSchema>() -> Self {
        Self { name: page_name::<T>, own: Page::<T>::schema, others: items_of::<T> }
    }

    /// Where the shape stands among all.
    fn place(self) -> RefOr<Schema> {
        RefOr::Ref(Ref::from_schema_name((self.name)()))
    }

    fn collect(self, all: &mut Vec<Named>) {
        all.push(((self.name)().into_owned(), (self.own)()));
        (self.others)(all);
    }
}

fn page_name<T: ToSchema>() -> Cow<'static, str> {
    format!("{}Page", T::name()).into()
}

fn items_of<T: ToSchema>(all: &mut Vec<Named>) {
    Schemas::of::<T>().collect(all);
}

const JSON: &str = "application/json";

/// The document, as it is served.
pub(crate) fn document() -> &'static str {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| crate::problem::json(&describe()));
    &DOCUMENT
}

fn describe() -> OpenApi {
    let (submission, problem) = (Schemas::of::<Submission>(), Schemas::of::<Told>());
    let mut schemas = Vec::new();
    submission.collect(&mut schemas);
    problem.collect(&mut schemas);
    let mut paths = Paths::new();
    for route in ROUTES {
        if let Gives::Json(shape) | Gives::Listing(shape) | Gives::Stream(shape) = route.gives {
            shape.collect(&mut schemas);
        }
        if let Takes::Json(shape) = route.takes {
            shape.collect(&mut schemas);
        }
        let method = match route.method {
            Verb::Get => HttpMethod::Get,
            Verb::Put => HttpMethod::Put,
            Verb::Post => HttpMethod::Post,
            Verb::Delete => HttpMethod::Delete,
        };
        paths.add_path_operation(route.path, vec![method], operation(route, submission, problem));
    }
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("A token of the file of tokens."));
    let components = ComponentsBuilder::new()
        .schemas_from_iter(schemas)
        .security_scheme("token", SecurityScheme::Http(bearer.build()))
        .build();
    let info = InfoBuilder::new().title("Wasmill").version(env!("CARGO_PKG_VERSION")).description(Some(
        "The JobManager of a Wasmill cluster. Fields may be added within /v1: pass over those you do not know.",
    ));
    OpenApiBuilder::new().info(info.build()).paths(paths).components(Some(components)).build()
}

fn operation(route: &Route, submission: Schemas, problem: Schemas) -> Operation {
    let parts = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let of_path = parts.map(|part| parameter(part, Form::of(part).map_or("", Form::about), ParameterIn::Path));
    let of_query = route.query.iter().map(|(name, about)| parameter(name, about, ParameterIn::Query));
    let of_head = route.headers.iter().map(|(name, about)| parameter(name, about, ParameterIn::Header));
    let mut built = OperationBuilder::new()
        .operation_id(Some(route.id.name()))
        .summary(Some(route.about))
        .parameters(Some(of_path.chain(of_query).chain(of_head)))
        .request_body(body(route, submission));
    for status in route.status {
        let is_good = *status < 300;
        let answer = if is_good { good(route) } else { told(problem) };
        built = built.response(status.to_string(), answer);
    }
    built = built.response("default", told(problem));
    if let Access::Only(role) = route.access {
        built = built
            .description(Some(format!("Takes the role {role}, where there are tokens.")))
            .security(SecurityRequirement::new::<_, [&str; 0], &str>("token", []));
    }
    built.build()
}

fn parameter(name: &str, about: &str, place: ParameterIn) -> Parameter {
    let required = if matches!(place, ParameterIn::Path) { Required::True } else { Required::False };
    let text = ObjectBuilder::new().schema_type(Type::String);
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description(Some(about))
        .schema(Some(text))
        .build()
}

fn body(route: &Route, submission: Schemas) -> Option<RequestBody> {
    let of_types = |types: &[(&str, Content)]| {
        let body = RequestBodyBuilder::new().required(Some(Required::True));
        types.iter().fold(body, |body, (name, content)| body.content(*name, content.clone())).build()
    };
    match route.takes {
        Takes::Nothing => None,
        Takes::Submission => {
            let text = Content::new(Some(ObjectBuilder::new().schema_type(Type::String)));
            Some(of_types(&[(JSON, Content::new(Some(submission.place()))), ("application/toml", text)]))
        }
        Takes::Component => Some(of_types(&[("application/wasm", Content::new(None::<RefOr<Schema>>))])),
        Takes::Savepoint => Some(of_types(&[("application/x-tar", Content::new(None::<RefOr<Schema>>))])),
        Takes::Json(shape) => Some(of_types(&[(JSON, Content::new(Some(shape.place())))])),
        Takes::Message => Some(of_types(&[(JSON, Content::new(None::<RefOr<Schema>>))])),
    }
}

fn good(route: &Route) -> Response {
    let answer = ResponseBuilder::new().description(route.about);
    match route.gives {
        Gives::Nothing => answer,
        Gives::Json(shape) => answer.content(JSON, Content::new(Some(shape.place()))),
        Gives::Listing(shape) => answer
            .content(JSON, Content::new(Some(shape.place())))
            .content("text/event-stream", Content::new(None::<RefOr<Schema>>)),
        Gives::Stream(shape) => answer.content("text/event-stream", Content::new(Some(shape.place()))),
        Gives::Text(kind) => answer.content(kind, Content::new(None::<RefOr<Schema>>)),
        Gives::Opaque => answer.content("application/octet-stream", Content::new(None::<RefOr<Schema>>)),
    }
    .build()
}

fn told(problem: Schemas) -> Response {
    let content = Content::new(Some(problem.place()));
    ResponseBuilder::new().description("Why not.").content("application/problem+json", content).build()
}
