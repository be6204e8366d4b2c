//! What people see: the owner's facts in the shapes of the REST interface.

use wasmill_control::{
    jobmanager::{CheckpointView, Choice, DecisionView, JobState},
    message::SubtaskState,
};
use wasmill_model::{
    fault::Code,
    graph::{Role, Vertex},
    ids::{JobId, TaskManagerId},
};
use wasmill_rest::{
    Cause, CheckpointState, Cluster, Decision, EdgeDetail, JobCounts, JobDetail, JobSummary, Operation, OperationKind,
    OperationState, Plan, Problem, Scale, SinkGuarantee, Submission, SubtaskDetail, VertexDetail, VertexKind, Worker,
    WorkerState,
};
use wasmill_runtime::{Guarantee, Job};

use crate::jobmanager::{
    Shell,
    job::JobEntry,
    now_ms,
    savepoints::{checkpoint_name, shown_name},
};

/// A checked job as people see it.
pub(crate) fn plan(job: &Job, slots_free: u32) -> Plan {
    let (graph, plan) = (&job.graph, &job.plan);
    let vertices = graph.vertices.iter().enumerate().map(|(place, vertex)| VertexDetail {
        name: vertex.name.clone(),
        kind: kind(vertex),
        parallelism: vertex.parallelism,
        chain: plan.chain_of(place) as u32,
        plugin: job.digest(place).map(|digest| digest.to_string()),
        metrics: None,
    });
    let edges = graph.edges.iter().map(|edge| {
        let from = &graph.vertices[edge.from];
        let port = &from.ports[edge.port];
        EdgeDetail {
            from: format!("{}.{}", from.name, port.name),
            to: graph.vertices[edge.to].name.clone(),
            exchange: edge.exchange.name().to_owned(),
            key: graph.key_of(edge).into_iter().map(str::to_owned).collect(),
            schema: port.schema.to_string(),
            queued_bytes: 0,
        }
    });
    let against = job.against_checkpoints().into_iter().filter(|_| graph.checkpoints.is_some());
    let warnings = against.map(|(sink, why)| format!("the job takes no checkpoints, because of sink `{sink}`: {why}"));
    Plan {
        name: graph.name.clone(),
        slots: graph.slots(),
        slots_free,
        vertices: vertices.collect(),
        edges: edges.collect(),
        warnings: graph.warnings.iter().cloned().chain(warnings).collect(),
        beginning: None,
        guarantees: guarantees(job),
    }
}

pub(crate) fn kind(vertex: &Vertex) -> VertexKind {
    match vertex.role {
        Role::Source { .. } => VertexKind::Source,
        Role::Operator { .. } => VertexKind::Operator,
        Role::Sink => VertexKind::Sink,
    }
}

fn guarantees(job: &Job) -> Vec<SinkGuarantee> {
    let shown = |(sink, guarantee): (&str, Guarantee)| SinkGuarantee {
        sink: sink.to_owned(),
        guarantee: guarantee.times.name().to_owned(),
        about: guarantee.to_string(),
        visible: guarantee.visible().to_owned(),
    };
    job.guarantees().into_iter().map(shown).collect()
}

/// What is submitted in order to run a job with another parallelism.
pub(crate) fn scaled(
    job: JobId,
    submission: &Submission,
    plan: &Plan,
    Scale { operator, parallelism }: &Scale,
) -> Result<Submission, Problem> {
    let key = match operator {
        None => "job.parallelism".to_owned(),
        Some(name) => {
            let vertex = plan.vertices.iter().find(|vertex| vertex.name == *name);
            let kind = vertex.map(|vertex| match vertex.kind {
                VertexKind::Source => "source",
                VertexKind::Operator => "operator",
                VertexKind::Sink => "sink",
            });
            let kind = kind.ok_or_else(|| {
                let names: Vec<&str> = plan.vertices.iter().map(|vertex| vertex.name.as_str()).collect();
                Problem::new(404, Code::NotFound, format!("could not scale `{name}` of {job}: there is none"))
                    .with_hint(format!("there are: {}", names.join(", ")))
            })?;
            format!("{kind}.{name}.parallelism")
        }
    };
    let mut scaled = Submission { from: None, ..submission.clone() };
    scaled.set.push(format!("{key}={parallelism}"));
    Ok(scaled)
}

/// There is nothing of this name.
pub(crate) fn not_found(what: &str, name: &str, list: &str) -> Problem {
    Problem::new(404, Code::NotFound, format!("there is no {what} {name}")).with_hint(format!("`{list}` lists all"))
}

impl Shell {
    pub(crate) fn find(&self, id: &str) -> Result<(JobId, &JobEntry), Problem> {
        let found = id.parse().ok().and_then(|id: JobId| Some((id, self.jobs.get(&id)?)));
        found.ok_or_else(|| not_found("job", id, "wasmill list --all"))
    }

    pub(crate) fn summary(&self, id: JobId) -> Option<JobSummary> {
        let (entry, view) = (self.jobs.get(&id)?, self.core.job(id)?);
        let sums = entry.metrics.sums(&entry.plan);
        let cause = view.cause.map(|cause| Cause {
            code: cause.code.to_string(),
            domain: cause.domain.to_string(),
            message: cause.message.clone(),
        });
        Some(JobSummary {
            id: id.to_string(),
            name: entry.name.clone(),
            state: view.state.name().to_owned(),
            submitted_ms: entry.submitted_ms,
            ended_ms: entry.ended_ms,
            slots: entry.plan.slots,
            restarts: view.restarts,
            rows_read: sums.rows_read,
            rows_written: sums.rows_written,
            cpu_seconds: sums.cpu_seconds,
            cause,
            decision: view.decision.as_ref().map(decision),
            checkpoints: view.checkpoint.as_ref().map(|checkpoint| checkpoints(id, checkpoint)),
            version: view.version,
            savepoint: entry.savepoint.clone(),
        })
    }

    pub(crate) fn summaries(&self) -> Vec<JobSummary> {
        self.jobs.keys().rev().filter_map(|id| self.summary(*id)).collect()
    }

    pub(crate) fn detail(&self, id: &str) -> Result<JobDetail, Problem> {
        let (id, entry) = self.find(id)?;
        let missing = || not_found("job", &id.to_string(), "wasmill list --all");
        let (summary, view) = (self.summary(id).ok_or_else(missing)?, self.core.job(id).ok_or_else(missing)?);
        let metrics = entry.metrics.of_vertices(&entry.plan);
        let vertices = entry.plan.vertices.iter().zip(metrics);
        let vertices = vertices.map(|(vertex, metrics)| VertexDetail { metrics: Some(metrics), ..vertex.clone() });
        let edges = entry.plan.edges.iter().enumerate();
        let edges =
            edges.map(|(place, edge)| EdgeDetail { queued_bytes: entry.metrics.queued_bytes(place), ..edge.clone() });
        let names = |chain: u32| {
            let of_chain = entry.plan.vertices.iter().filter(move |vertex| vertex.chain == chain);
            of_chain.map(|vertex| vertex.name.clone()).collect()
        };
        let subtasks = view.subtasks.iter().map(|(subtask, taskmanager, state)| SubtaskDetail {
            chain: subtask.chain,
            index: subtask.index,
            vertices: names(subtask.chain),
            worker: taskmanager.to_string(),
            state: state.as_ref().map_or("DEPLOYING", subtask_state).to_owned(),
        });
        Ok(JobDetail {
            summary,
            attempt: view.attempt.to_string(),
            vertices: vertices.collect(),
            edges: edges.collect(),
            subtasks: subtasks.collect(),
            warnings: entry.plan.warnings.clone(),
        })
    }

    /// How far a job is with ending as it was asked to.
    pub(crate) fn operation(&self, id: &str, kind: OperationKind) -> Result<Operation, Problem> {
        let (id, _) = self.find(id)?;
        let view = self.core.job(id).ok_or_else(|| not_found("job", &id.to_string(), "wasmill list --all"))?;
        let state = match (kind, &view.state) {
            (_, state) if !state.is_terminal() => OperationState::Running,
            (OperationKind::Cancel, JobState::Cancelled)
            | (OperationKind::Stop, JobState::Finished | JobState::Stopped { .. }) => OperationState::Done,
            // A job that waits for slots has nothing to finish.
            (OperationKind::Stop, JobState::Cancelled) => OperationState::Done,
            _ => OperationState::Failed,
        };
        Ok(Operation::new(&id.to_string(), kind, state, view.state.name()))
    }

    pub(crate) fn workers(&self) -> Vec<Worker> {
        let worker = |view: wasmill_control::jobmanager::TaskManagerView| {
            let (registered_ms, last_seen_ms) = self.seen.get(&view.id).copied().unwrap_or_default();
            Worker {
                id: view.id.to_string(),
                incarnation: view.incarnation.to_string(),
                state: if view.cordoned { WorkerState::Drained } else { WorkerState::Active },
                address: view.address.to_owned(),
                slots: view.slots,
                slots_free: view.free,
                jobs: view.jobs.iter().map(JobId::to_string).collect(),
                registered_ms,
                last_seen_ms,
            }
        };
        self.core.taskmanagers().map(worker).collect()
    }

    pub(crate) fn worker(&self, id: &str) -> Result<Worker, Problem> {
        let found = self.workers().into_iter().find(|worker| worker.id == id);
        found.ok_or_else(|| not_found("worker", id, "wasmill workers"))
    }

    pub(crate) fn worker_id(&self, id: &str) -> Result<TaskManagerId, Problem> {
        self.worker(id)?;
        id.parse().map_err(|_| not_found("worker", id, "wasmill workers"))
    }

    pub(crate) fn slots_free(&self) -> u32 {
        self.core.taskmanagers().filter(|view| !view.cordoned).map(|view| view.free).sum()
    }

    pub(crate) fn cluster_view(&self) -> Cluster {
        let mut jobs = JobCounts::default();
        for id in self.jobs.keys() {
            match self.core.job(*id).map(|view| view.state) {
                Some(JobState::Created | JobState::Deploying) => jobs.waiting += 1,
                Some(JobState::Running | JobState::Cancelling) => jobs.running += 1,
                Some(JobState::Restarting) => jobs.restarting += 1,
                Some(JobState::NeedsDecision) => jobs.needs_decision += 1,
                Some(JobState::Finished | JobState::Stopped { .. }) => jobs.finished += 1,
                Some(JobState::Failed(_)) => jobs.failed += 1,
                Some(JobState::Cancelled) => jobs.cancelled += 1,
                None => {}
            }
        }
        let taskmanagers: Vec<_> = self.core.taskmanagers().collect();
        Cluster {
            id: self.cluster.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            epoch: self.epoch.to_string(),
            started_ms: self.started_ms,
            workers: taskmanagers.len() as u32,
            slots: taskmanagers.iter().map(|view| view.slots).sum(),
            slots_free: self.slots_free(),
            jobs,
        }
    }

    /// Jobs that have not ended and run a plugin.
    pub(crate) fn users_of(&self, digest: &str) -> Vec<String> {
        let uses = |entry: &JobEntry| entry.plan.vertices.iter().any(|vertex| vertex.plugin.as_deref() == Some(digest));
        let live = self.jobs.iter().filter(|(_, entry)| entry.ended_ms.is_none() && uses(entry));
        live.map(|(id, _)| id.to_string()).collect()
    }
}

/// What is seen of a job's checkpoints.
pub(crate) fn checkpoints(job: JobId, view: &CheckpointView) -> CheckpointState {
    let now = now_ms();
    CheckpointState {
        completed: view.completed.map(|(id, _)| checkpoint_name(job, id)),
        age_ms: view.completed.map(|(_, at)| now - at),
        under_way_ms: view.under_way.as_ref().map(|(_, since, _)| now - since),
        waits_for: view.under_way.as_ref().map(|(.., missing)| missing.len()),
        failed_in_row: view.failed_in_row,
        taken: view.taken,
        failed: view.failed,
        restored_from: view.restored_from.clone(),
    }
}

/// What is to be decided about a job.
fn decision(view: &DecisionView<'_>) -> Decision {
    let choice = |choice: &Choice| match choice {
        Choice::Retry => wasmill_rest::Choice::Retry,
        Choice::Rewind => wasmill_rest::Choice::Rewind,
        Choice::GiveUpTransaction => wasmill_rest::Choice::GiveUpTransaction,
    };
    let rewinds = view.choices.contains(&Choice::Rewind);
    let to = view.rewind_to.as_deref().map_or_else(|| "the beginning".to_owned(), shown_name);
    Decision {
        about: view.decision.about.name().to_owned(),
        checkpoint: shown_name(&view.decision.manifest),
        code: view.decision.cause.code.to_string(),
        reason: view.decision.cause.message.clone(),
        choices: view.choices.iter().map(choice).collect(),
        rewind_to: rewinds.then_some(to),
    }
}

fn subtask_state(state: &SubtaskState) -> &'static str {
    match state {
        SubtaskState::Running => "RUNNING",
        SubtaskState::Prepared => "PREPARED",
        SubtaskState::Committed => "COMMITTED",
        SubtaskState::Failed(_) => "FAILED",
        SubtaskState::Stopped => "STOPPED",
    }
}
