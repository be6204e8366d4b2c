//! Savepoints, and jobs that end with one, begin from one, or go on in another form.

use std::{io::Read, sync::Arc};

use tokio::sync::oneshot;
use wasmill_control::jobmanager::{self, Event, Restart};
use wasmill_model::{fault::Code, ids::JobId};
use wasmill_rest::{Beginning, Choice, JobSummary, Problem, Replaced, Savepoint, Scale, Stored, Submission};
use wasmill_runtime::Job;
use wasmill_snapshot::{
    archive::Export,
    store::{Entry, Store},
};

use crate::{
    jobmanager::{
        Message, Replace, Shell, WantsSavepoint,
        checkpointing::no_checkpoints,
        compatibility,
        handle::{Handle, StartingPoint, gone, shape},
        savepoints, travel, views,
    },
    payload::Payload,
};

impl Handle {
    /// Ends a job with a savepoint of this name, so that it can go on from there. The wish is durable when this is answered.
    pub async fn stop(&self, id: &str, savepoint: Option<String>) -> Result<JobSummary, Problem> {
        if let Some(name) = savepoint.clone() {
            self.with_store(move |store| savepoints::check_given_name(store, &name)).await?;
        }
        let of = id.to_owned();
        let job = self.ask(move |shell| that_takes_checkpoints(shell, &of)).await??;
        // Whoever asks for a savepoint finds it under this name, also if the JobManager dies before it is made.
        let name = savepoint.unwrap_or_else(|| job.to_string());
        let (catalogue, kept) = (self.catalogue.clone(), name.clone());
        let written = tokio::task::spawn_blocking(move || catalogue.set_stop(job, &kept)).await;
        written.map_err(|_| gone())?.map_err(|error| Problem::of(503, &error))?;
        let request = self.ask(move |shell| {
            if let Some(entry) = shell.jobs.get_mut(&job) {
                entry.stop_as = Some(name);
            }
            shell.keep_again(job);
            shell.next_request()
        });
        let request = request.await?;
        self.end(id, move |job| Event::Stop { request, job }).await
    }

    /// Takes a savepoint of a running job, and waits for it.
    pub async fn savepoint(&self, id: &str, name: Option<String>) -> Result<Savepoint, Problem> {
        if let Some(name) = name.clone() {
            self.with_store(move |store| savepoints::check_given_name(store, &name)).await?;
        }
        let (answer, answered) = oneshot::channel();
        let id = id.to_owned();
        let ask = move |shell: &mut Shell| {
            let job = that_takes_checkpoints(shell, &id)?;
            shell.want_savepoint(WantsSavepoint { job, name, answer: Some(answer) });
            Ok(())
        };
        self.ask(ask).await??;
        answered.await.map_err(|_| gone())?
    }

    /// All savepoints, the newest first.
    pub async fn savepoints(&self) -> Result<Vec<Savepoint>, Problem> {
        self.with_store(savepoints::all).await
    }

    pub async fn get_savepoint(&self, name: &str) -> Result<Savepoint, Problem> {
        let name = name.to_owned();
        self.with_store(move |store| savepoints::get(store, &name)).await
    }

    pub async fn remove_savepoint(&self, name: &str) -> Result<(), Problem> {
        let name = name.to_owned();
        self.with_store(move |store| savepoints::remove(store, &name)).await
    }

    /// A savepoint, to be written as one file.
    pub async fn export_savepoint(&self, name: &str) -> Result<Export, Problem> {
        let name = name.to_owned();
        self.with_store(move |store| travel::export(store, &name)).await
    }

    /// Takes a savepoint that was exported: reads all of it, and makes it one of this name once it is whole. The keeper, which has the
    /// last word about names, does not wait for what is read.
    pub async fn import_savepoint(
        &self,
        name: &str,
        from: impl Read + Send + 'static,
    ) -> Result<(Savepoint, Stored), Problem> {
        let (name, keeper) = (name.to_owned(), self.keeper.clone());
        let store = keeper.ask(|keeping| keeping.store.clone()).await.ok_or_else(gone)?;
        let (receiver, named) = (store, name.clone());
        let received = tokio::task::spawn_blocking(move || travel::receive(&receiver, &named, from));
        let import = received.await.map_err(|_| gone())??;
        keeper.ask(move |keeping| travel::take(&keeping.store, &name, import)).await.ok_or_else(gone)?
    }

    /// Lets a running job go on with another parallelism, and waits until it does.
    pub async fn scale(&self, id: &str, scale: Scale) -> Result<Replaced, Problem> {
        let job = id.to_owned();
        let look = move |shell: &mut Shell| {
            let (job, entry) = shell.find(&job)?;
            let ended = || Problem::new(409, Code::ReplaceFailed, format!("could not scale {job}: it has ended"));
            let payload = entry.payload.as_ref().ok_or_else(ended)?;
            views::scaled(job, &payload.submission, &payload.plan, &scale)
        };
        let submission = self.ask(look).await??;
        self.replace(id, submission).await
    }

    /// Lets a running job go on in another form, and waits until it does.
    pub async fn replace(&self, id: &str, submission: Submission) -> Result<Replaced, Problem> {
        let (job, found) = self.check(&submission).await?;
        let plan = views::plan(&job, self.ask(|shell| shell.slots_free()).await?);
        let shape = shape(&job, Restart::Backoff { attempts_max: None }, None);
        let (id, beginning) = self.going_on(id, &submission, &job).await?;
        let beginning = beginning.map(compatibility::accepted).transpose()?;
        let (name, warnings, guarantees) = (plan.name.clone(), plan.warnings.clone(), plan.guarantees.clone());
        let (replaced, answer) = oneshot::channel();
        let payload = Arc::new(Payload { submission, found, plan, key: None });
        let replace = Replace { job: id, shape, payload, replaced };
        let _ = self.inbox.send(Message::Replace(Box::new(replace)));
        let version = answer.await.map_err(|_| gone())??;
        let state = self.ask(move |shell| shell.summary(id).map(|summary| summary.state)).await?;
        let (id, state) = (id.to_string(), state.unwrap_or_default());
        Ok(Replaced { id, name, version, state, warnings, beginning, guarantees })
    }

    /// What a running job would go on from in another form, and what becomes of it; none if it has no checkpoint yet.
    pub(super) async fn going_on(
        &self,
        id: &str,
        submission: &Submission,
        job: &Job,
    ) -> Result<(JobId, Option<Beginning>), Problem> {
        let wanted = id.to_owned();
        let look = move |shell: &mut Shell| {
            let (job, _) = shell.find(&wanted)?;
            let newest = shell.core.job(job).and_then(|view| view.checkpoint?.manifest);
            Ok((job, newest))
        };
        let (id, newest) = self.ask(look).await??;
        let Some(newest) = newest else { return Ok((id, None)) };
        let (graph, allow) = (job.graph.clone(), submission.allow_dropped_state);
        let look = move |store: &Store| compatibility::beginning(store, &newest, &graph, allow);
        Ok((id, Some(self.with_store(look).await?)))
    }

    /// What a submission begins from, if it fits.
    pub(super) async fn starting_point(
        &self,
        submission: &Submission,
        job: &Job,
    ) -> Result<Option<(StartingPoint, Beginning)>, Problem> {
        let found = self.beginning(submission, job).await?;
        found.map(|(name, beginning)| Ok((name, compatibility::accepted(beginning)?))).transpose()
    }

    /// What a submission begins from, and what becomes of it.
    pub(super) async fn beginning(
        &self,
        submission: &Submission,
        job: &Job,
    ) -> Result<Option<(StartingPoint, Beginning)>, Problem> {
        let Some(from) = submission.from.clone() else { return Ok(None) };
        if job.checkpoints().is_none() {
            let detail = format!("could not begin {} from {from}: it takes no checkpoints", job.graph.name);
            return Err(Problem::new(409, Code::CheckpointsOff, detail));
        }
        let (graph, allow) = (job.graph.clone(), submission.allow_dropped_state);
        let look = move |store: &Store| {
            let entry = savepoints::resolve(store, &from)?;
            let beginning = compatibility::beginning(store, entry.name.as_str(), &graph, allow)?;
            savepoints::check_files(store, &from, &entry.name)?;
            Ok((entry, beginning))
        };
        let (Entry { name, checkpoint, savepoint }, beginning) = self.with_store(look).await?;
        let visible = match (savepoint, savepoints::job_of(&name)) {
            // It was made of a checkpoint of which all was visible.
            (Some(_), _) => true,
            (None, Some(job)) => {
                self.ask(move |shell| shell.core.job(job).is_some_and(|view| view.visible >= Some(checkpoint))).await?
            }
            (None, None) => false,
        };
        Ok(Some(((name.to_string(), visible), beginning)))
    }

    /// Decides what is to be decided about a job. It is durable when this is answered.
    pub async fn resolve(&self, id: &str, choice: Choice) -> Result<JobSummary, Problem> {
        let (answer, answered) = oneshot::channel();
        let id = id.to_owned();
        let choice = match choice {
            Choice::Retry => jobmanager::Choice::Retry,
            Choice::Rewind => jobmanager::Choice::Rewind,
            Choice::GiveUpTransaction => jobmanager::Choice::GiveUpTransaction,
        };
        let ask = move |shell: &mut Shell| {
            let (job, _) = shell.find(&id)?;
            let request = shell.next_request();
            shell.resolves.insert(request, answer);
            shell.handle(Event::Resolve { request, job, choice });
            Ok(())
        };
        self.ask(ask).await??;
        answered.await.map_err(|_| gone())?
    }

    async fn with_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        self.keeper.ask(move |keeping| work(&keeping.store)).await.ok_or_else(gone)?
    }
}

/// The job of an id, unless it runs and keeps nothing.
fn that_takes_checkpoints(shell: &mut Shell, id: &str) -> Result<JobId, Problem> {
    let (job, entry) = shell.find(id)?;
    let keeps_nothing = shell.core.job(job).is_some_and(|view| view.checkpoint.is_none());
    if entry.ended_ms.is_none() && keeps_nothing { Err(no_checkpoints(job)) } else { Ok(job) }
}
