//! All routes, as one table: who may ask, what is taken, what is given. The router, the checks before each handler, the
//! counters, the OpenAPI description and the page of the documentation are made from it.

use axum::{
    Router,
    http::Method,
    middleware,
    routing::{MethodFilter, MethodRouter, on},
};
use utoipa::ToSchema;
use wasmill_rest::{
    Accepted, Cluster, Event, Exception, JobDetail, JobSummary, LogLine, Operation, Plan, PluginDetail, PluginVersion,
    Replaced, Resolve, Savepoint, SavepointRequest, Scale, Stall, TapRow, Worker,
};

use crate::{Backend, guard, openapi::Schemas, shared::Api, tokens::Role};

mod answer;
mod cluster;
mod history;
mod jobs;
mod plugins;
mod savepoints;
mod taskmanagers;

pub(crate) use history::too_many;

/// A route.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) id: Id,
    pub(crate) method: Verb,
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    /// What it does, a line.
    pub(crate) about: &'static str,
    pub(crate) query: &'static [Parameter],
    pub(crate) headers: &'static [Parameter],
    pub(crate) takes: Takes,
    /// Its status if all goes well, and what else it may be.
    pub(crate) status: &'static [u16],
    pub(crate) gives: Gives,
}

/// A parameter of the query, or a header, and what it means.
pub(crate) type Parameter = (&'static str, &'static str);

/// Names the handler; its number is the route's place in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Id {
    Dashboard,
    Health,
    Readiness,
    OpenApi,
    ErrorPage,
    Metrics,
    Cluster,
    PutPlugin,
    ListPlugins,
    GetPlugin,
    GetPluginByDigest,
    DeletePlugin,
    SubmitJob,
    PlanJob,
    ListJobs,
    GetJob,
    GetStall,
    CancelJob,
    StopJob,
    ReplaceJob,
    ScaleJob,
    ResolveJob,
    CreateSavepoint,
    ListSavepoints,
    GetSavepoint,
    ExportSavepoint,
    ImportSavepoint,
    DeleteSavepoint,
    GetOperation,
    JobEvents,
    JobExceptions,
    JobLogs,
    TapEdge,
    ListWorkers,
    GetWorker,
    DrainWorker,
    UndrainWorker,
    RegisterTaskManager,
    PollTaskManager,
    ReportTaskManager,
    GetDeployment,
    GetCode,
    GetComponent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Put,
    Post,
    Delete,
}

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// It says nothing of the cluster.
    Anyone,
    Only(Role),
}

/// What a request's body may be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Takes {
    Nothing,
    /// A submission as JSON, or a job file.
    Submission,
    /// JSON of a shape.
    Json(Schemas),
    /// A component.
    Component,
    /// A savepoint that was exported.
    Savepoint,
    /// JSON between TaskManager and JobManager.
    Message,
}

/// What an answer's body is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Gives {
    Nothing,
    Json(Schemas),
    /// The same as a page of JSON, or as a stream of server-sent events.
    Listing(Schemas),
    /// A stream of server-sent events.
    Stream(Schemas),
    /// A text, or bytes, of this type.
    Text(&'static str),
    /// Bytes between JobManager and TaskManager.
    Opaque,
}

impl Id {
    /// `put_plugin`.
    pub(crate) fn name(self) -> String {
        let mut name = String::new();
        for letter in format!("{self:?}").chars() {
            if letter.is_ascii_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }
}

impl Verb {
    pub(crate) const fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Put => Method::PUT,
            Self::Post => Method::POST,
            Self::Delete => Method::DELETE,
        }
    }

    const fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Put => MethodFilter::PUT,
            Self::Post => MethodFilter::POST,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}

impl Route {
    /// Whether a client's requests to it are counted against its rate.
    pub(crate) fn is_rated(&self) -> bool {
        self.method != Verb::Get && self.access != Access::Only(Role::Worker)
    }

    /// Whether its requests have to be answered in time. A component is read at its own pace, and then inspected and compiled,
    /// which has limits of its own; and so has a checkpoint, for which some wait.
    pub(crate) fn is_timed(&self) -> bool {
        let waits = matches!(self.id, Id::CreateSavepoint | Id::ScaleJob | Id::ReplaceJob);
        !waits && !matches!(self.takes, Takes::Component | Takes::Savepoint)
    }
}

const PAGED: &[Parameter] =
    &[("limit", "How many at most: 1 to 1000; 100 without it."), ("cursor", "`next` of the page before.")];
const JOBS: &[Parameter] =
    &[PAGED[0], PAGED[1], ("state", "Only jobs in this state."), ("name", "Only jobs of this name.")];
const FOLLOWED: &[Parameter] =
    &[PAGED[0], ("cursor", "The same as `after`."), ("after", "Only what has a higher sequence.")];
const TAPPED: &[Parameter] = &[("edge", "`vertex.port`."), ("limit", "End after so many rows.")];
const RESUMED: &[Parameter] = &[("Last-Event-ID", "Of a stream: only what has a higher sequence.")];
const STOPS: &[Parameter] = &[("drain", "1: take no savepoint."), ("savepoint", "What the savepoint is called.")];
const REPLACES: &[Parameter] = &[("replaces", "The running job that would go on as this one.")];
const DRY_RUN: &[Parameter] = &[("dry-run", "1: only check.")];

const VIEWER: Access = Access::Only(Role::Viewer);
const DEPLOYER: Access = Access::Only(Role::Deployer);
const ADMIN: Access = Access::Only(Role::Admin);
const WORKER: Access = Access::Only(Role::Worker);

/// A route that is asked with GET, and gives JSON of a shape.
const fn get(id: Id, path: &'static str, about: &'static str, gives: Gives) -> Route {
    let (query, headers, takes, status): (_, _, _, &[u16]) = (&[], &[], Takes::Nothing, &[200]);
    Route { id, method: Verb::Get, path, access: VIEWER, about, query, headers, takes, status, gives }
}

const fn post(id: Id, path: &'static str, access: Access, about: &'static str, gives: Gives) -> Route {
    Route { method: Verb::Post, access, ..get(id, path, about, gives) }
}

const fn shape<T: ToSchema>() -> Gives {
    Gives::Json(Schemas::of::<T>())
}

const fn page<T: ToSchema>() -> Gives {
    Gives::Json(Schemas::page_of::<T>())
}

const fn listing<T: ToSchema>() -> Gives {
    Gives::Listing(Schemas::page_of::<T>())
}

/// All routes.
pub(crate) const ROUTES: &[Route] = &[
    Route {
        access: Access::Anyone,
        ..get(Id::Dashboard, "/", "A page that shows the cluster.", Gives::Text("text/html"))
    },
    Route {
        access: Access::Anyone,
        ..get(Id::Health, "/v1/healthz", "Whether the process serves.", Gives::Text("text/plain"))
    },
    Route {
        access: Access::Anyone,
        ..get(Id::Readiness, "/v1/readyz", "Whether requests can be carried out.", Gives::Text("text/plain"))
    },
    Route {
        access: Access::Anyone,
        ..get(Id::OpenApi, "/v1/openapi.json", "This interface as OpenAPI.", Gives::Text("application/json"))
    },
    Route {
        access: Access::Anyone,
        ..get(Id::ErrorPage, "/v1/errors/{code}", "The page of an error.", Gives::Text("text/markdown"))
    },
    get(Id::Metrics, "/metrics", "Metrics, as OpenMetrics.", Gives::Text("application/openmetrics-text")),
    get(Id::Cluster, "/v1/cluster", "The cluster on the whole.", shape::<Cluster>()),
    Route {
        method: Verb::Put,
        access: DEPLOYER,
        query: DRY_RUN,
        headers: &[("Content-Digest", "`sha-256=:BASE64:` of the body; what arrives is held against it.")],
        takes: Takes::Component,
        status: &[201, 200, 409],
        ..get(
            Id::PutPlugin,
            "/v1/plugins/{name}/versions/{version}",
            "Upload a plugin; 200 if the version is there with the same bytes, 409 with others.",
            shape::<PluginVersion>(),
        )
    },
    Route { query: PAGED, ..get(Id::ListPlugins, "/v1/plugins", "List plugins.", page::<PluginVersion>()) },
    get(
        Id::GetPlugin,
        "/v1/plugins/{name}/versions/{version}",
        "All that is known of a plugin.",
        shape::<PluginDetail>(),
    ),
    get(
        Id::GetPluginByDigest,
        "/v1/plugins/by-digest/{digest}",
        "The same by `sha256:...`; with HEAD, whether it is there.",
        shape::<PluginDetail>(),
    ),
    Route {
        method: Verb::Delete,
        access: DEPLOYER,
        status: &[204, 409],
        ..get(
            Id::DeletePlugin,
            "/v1/plugins/{name}/versions/{version}",
            "Remove a plugin; 409 if jobs run it.",
            Gives::Nothing,
        )
    },
    Route {
        query: DRY_RUN,
        headers: &[("Idempotency-Key", "With the same key the same request is carried out once; another is refused.")],
        takes: Takes::Submission,
        status: &[201, 200, 409],
        ..post(
            Id::SubmitJob,
            "/v1/jobs",
            DEPLOYER,
            "Run a job; with `dry-run`, the same as a plan.",
            shape::<Accepted>(),
        )
    },
    Route {
        takes: Takes::Submission,
        query: REPLACES,
        ..post(Id::PlanJob, "/v1/plans", DEPLOYER, "What a job would run.", shape::<Plan>())
    },
    Route { query: JOBS, ..get(Id::ListJobs, "/v1/jobs", "List jobs, the newest first.", page::<JobSummary>()) },
    get(Id::GetJob, "/v1/jobs/{job}", "All that can be seen of a job.", shape::<JobDetail>()),
    get(
        Id::GetStall,
        "/v1/jobs/{job}/stall",
        "Who holds a job's watermark and its checkpoint back, and why.",
        shape::<Stall>(),
    ),
    Route {
        status: &[202],
        ..post(
            Id::CancelJob,
            "/v1/jobs/{job}/cancel",
            DEPLOYER,
            "End a job at once; what was not committed is thrown away.",
            shape::<JobSummary>(),
        )
    },
    Route {
        query: STOPS,
        status: &[202],
        ..post(
            Id::StopJob,
            "/v1/jobs/{job}/stop",
            DEPLOYER,
            "End a job with a savepoint; or, with `drain`, end its sources, so that what was read comes out.",
            shape::<JobSummary>(),
        )
    },
    Route {
        method: Verb::Put,
        takes: Takes::Submission,
        status: &[200, 409],
        ..post(
            Id::ReplaceJob,
            "/v1/jobs/{job}",
            DEPLOYER,
            "Let a running job go on in another form; 409 if it went back to the one before.",
            shape::<Replaced>(),
        )
    },
    Route {
        takes: Takes::Json(Schemas::of::<Scale>()),
        status: &[200, 409],
        ..post(
            Id::ScaleJob,
            "/v1/jobs/{job}/scale",
            DEPLOYER,
            "Let a running job go on with another parallelism.",
            shape::<Replaced>(),
        )
    },
    Route {
        takes: Takes::Json(Schemas::of::<Resolve>()),
        status: &[200, 409],
        ..post(
            Id::ResolveJob,
            "/v1/jobs/{job}/resolve",
            DEPLOYER,
            "Decide how a job that is NEEDS_DECISION goes on; 409 if that is none of its choices.",
            shape::<JobSummary>(),
        )
    },
    Route {
        takes: Takes::Json(Schemas::of::<SavepointRequest>()),
        status: &[201, 409],
        ..post(
            Id::CreateSavepoint,
            "/v1/jobs/{job}/savepoints",
            DEPLOYER,
            "Take a savepoint of a running job; answered when it is complete.",
            shape::<Savepoint>(),
        )
    },
    Route {
        query: PAGED,
        ..get(Id::ListSavepoints, "/v1/savepoints", "List savepoints, the newest first.", page::<Savepoint>())
    },
    get(Id::GetSavepoint, "/v1/savepoints/{savepoint}", "All that is known of a savepoint.", shape::<Savepoint>()),
    Route {
        access: DEPLOYER,
        ..get(
            Id::ExportSavepoint,
            "/v1/savepoints/{savepoint}/file",
            "A savepoint with all its state as one file, a tar archive.",
            Gives::Text("application/x-tar"),
        )
    },
    Route {
        method: Verb::Put,
        access: DEPLOYER,
        takes: Takes::Savepoint,
        status: &[201, 200, 409],
        ..get(
            Id::ImportSavepoint,
            "/v1/savepoints/{savepoint}/file",
            "Import a savepoint from such a file; 200 if the very same has the name, 409 if another has.",
            shape::<Savepoint>(),
        )
    },
    Route {
        method: Verb::Delete,
        access: DEPLOYER,
        status: &[204],
        ..get(
            Id::DeleteSavepoint,
            "/v1/savepoints/{savepoint}",
            "Remove a savepoint; jobs that have begun from it and taken no checkpoint since cannot start again.",
            Gives::Nothing,
        )
    },
    get(Id::GetOperation, "/v1/operations/{operation}", "How far a cancel or stop is.", shape::<Operation>()),
    Route {
        query: FOLLOWED,
        headers: RESUMED,
        ..get(Id::JobEvents, "/v1/jobs/{job}/events", "What happened to a job.", listing::<Event>())
    },
    Route {
        query: FOLLOWED,
        headers: RESUMED,
        ..get(Id::JobExceptions, "/v1/jobs/{job}/exceptions", "Why attempts failed.", listing::<Exception>())
    },
    Route {
        query: FOLLOWED,
        headers: RESUMED,
        ..get(Id::JobLogs, "/v1/jobs/{job}/logs", "What a job's operators logged.", listing::<LogLine>())
    },
    Route {
        access: DEPLOYER,
        query: TAPPED,
        ..get(
            Id::TapEdge,
            "/v1/jobs/{job}/tap",
            "Rows that pass an edge from now on.",
            Gives::Stream(Schemas::of::<TapRow>()),
        )
    },
    Route { query: PAGED, ..get(Id::ListWorkers, "/v1/workers", "List TaskManagers.", page::<Worker>()) },
    get(Id::GetWorker, "/v1/workers/{worker}", "A TaskManager.", shape::<Worker>()),
    post(
        Id::DrainWorker,
        "/v1/workers/{worker}/drain",
        ADMIN,
        "Give a TaskManager no more subtasks; its jobs move where there is room.",
        shape::<Worker>(),
    ),
    post(Id::UndrainWorker, "/v1/workers/{worker}/undrain", ADMIN, "Take that back.", shape::<Worker>()),
    Route {
        takes: Takes::Message,
        ..post(Id::RegisterTaskManager, "/v1/tm/register", WORKER, "A TaskManager comes.", Gives::Opaque)
    },
    Route {
        takes: Takes::Message,
        ..post(
            Id::PollTaskManager,
            "/v1/tm/poll",
            WORKER,
            "A TaskManager lives, and asks what is wished.",
            Gives::Opaque,
        )
    },
    Route {
        takes: Takes::Message,
        ..post(Id::ReportTaskManager, "/v1/tm/reports", WORKER, "A TaskManager says what has happened.", Gives::Opaque)
    },
    Route {
        access: WORKER,
        query: &[("attempt", "The attempt that is to run it.")],
        ..get(Id::GetDeployment, "/v1/tm/jobs/{job}/deployment", "What a TaskManager runs of a job.", Gives::Opaque)
    },
    Route { access: WORKER, ..get(Id::GetCode, "/v1/tm/code/{key}", "Compiled code, by its key.", Gives::Opaque) },
    Route {
        access: WORKER,
        ..get(Id::GetComponent, "/v1/tm/plugins/{digest}", "A component, by its digest.", Gives::Opaque)
    },
];

/// The whole server: every route behind its checks, and what stands before all of them.
pub(crate) fn router<B: Backend>(api: Api<B>) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        let checks = middleware::from_fn_with_state((api.clone(), route), guard::guard);
        router = router.route(route.path, mount(route).route_layer(checks));
    }
    router
        .fallback(guard::unknown_route)
        .method_not_allowed_fallback(guard::method_not_allowed)
        .layer(middleware::from_fn_with_state(api.shared.clone(), guard::entry))
        .with_state(api)
}

fn mount<B: Backend>(route: &Route) -> MethodRouter<Api<B>> {
    let method = route.method.filter();
    match route.id {
        Id::Dashboard => on(method, cluster::dashboard),
        Id::Health => on(method, cluster::health),
        Id::Readiness => on(method, cluster::readiness::<B>),
        Id::OpenApi => on(method, cluster::openapi),
        Id::ErrorPage => on(method, cluster::error_page),
        Id::Metrics => on(method, cluster::metrics::<B>),
        Id::Cluster => on(method, cluster::overview::<B>),
        Id::PutPlugin => on(method, plugins::put::<B>),
        Id::ListPlugins => on(method, plugins::list::<B>),
        Id::GetPlugin => on(method, plugins::get::<B>),
        Id::GetPluginByDigest => on(method, plugins::get_by_digest::<B>),
        Id::DeletePlugin => on(method, plugins::delete::<B>),
        Id::SubmitJob => on(method, jobs::submit::<B>),
        Id::PlanJob => on(method, jobs::plan::<B>),
        Id::ListJobs => on(method, jobs::list::<B>),
        Id::GetJob => on(method, jobs::get::<B>),
        Id::GetStall => on(method, jobs::stall::<B>),
        Id::CancelJob => on(method, jobs::cancel::<B>),
        Id::StopJob => on(method, jobs::stop::<B>),
        Id::ReplaceJob => on(method, jobs::replace::<B>),
        Id::ScaleJob => on(method, jobs::scale::<B>),
        Id::ResolveJob => on(method, jobs::resolve::<B>),
        Id::CreateSavepoint => on(method, savepoints::create::<B>),
        Id::ListSavepoints => on(method, savepoints::list::<B>),
        Id::GetSavepoint => on(method, savepoints::get::<B>),
        Id::ExportSavepoint => on(method, savepoints::export::<B>),
        Id::ImportSavepoint => on(method, savepoints::import::<B>),
        Id::DeleteSavepoint => on(method, savepoints::delete::<B>),
        Id::GetOperation => on(method, jobs::operation::<B>),
        Id::JobEvents => on(method, history::events::<B>),
        Id::JobExceptions => on(method, history::exceptions::<B>),
        Id::JobLogs => on(method, history::logs::<B>),
        Id::TapEdge => on(method, history::tap::<B>),
        Id::ListWorkers => on(method, cluster::workers::<B>),
        Id::GetWorker => on(method, cluster::worker::<B>),
        Id::DrainWorker => on(method, cluster::drain::<B>),
        Id::UndrainWorker => on(method, cluster::undrain::<B>),
        Id::RegisterTaskManager => on(method, taskmanagers::register::<B>),
        Id::PollTaskManager => on(method, taskmanagers::poll::<B>),
        Id::ReportTaskManager => on(method, taskmanagers::reports::<B>),
        Id::GetDeployment => on(method, taskmanagers::deployment::<B>),
        Id::GetCode => on(method, taskmanagers::code::<B>),
        Id::GetComponent => on(method, taskmanagers::component::<B>),
    }
}

#[cfg(test)]
mod tests;
