//! The JobManager of this process behind the routes.

use std::io::{self, Read, Write};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::{mpsc, watch};
use wasmill_cluster::jobmanager::{Handle, UPLOAD_BYTES_MAX};
use wasmill_model::fault::Code;
use wasmill_rest::{
    Accepted, Choice, Cluster, Event, Exception, JobDetail, JobSummary, LogLine, Operation, OperationKind, Plan,
    PluginDetail, PluginVersion, Problem, Replaced, Savepoint, Scale, Stall, Stored, Submission, TapRow, Worker,
};

use crate::backend::{Backend, Blob, Outgoing, Upload};

impl Backend for Handle {
    async fn ready(&self) -> Result<(), Problem> {
        Handle::cluster(self).await.map(|_| ())
    }

    async fn cluster(&self) -> Result<Cluster, Problem> {
        Handle::cluster(self).await
    }

    async fn metrics(&self) -> String {
        Handle::metrics(self).await
    }

    fn changed(&self) -> watch::Receiver<u64> {
        Handle::changed(self)
    }

    fn upload_folder(&self) -> &std::path::Path {
        Handle::upload_folder(self)
    }

    fn upload_bytes_max(&self) -> u64 {
        UPLOAD_BYTES_MAX
    }

    async fn put_plugin(&self, upload: Upload) -> Result<(PluginVersion, Stored), Problem> {
        let Upload { name, version, file, dry_run, .. } = upload;
        Handle::put_plugin(self, &name, &version, file, dry_run).await
    }

    async fn plugins(&self) -> Result<Vec<PluginVersion>, Problem> {
        Handle::plugins(self).await
    }

    async fn plugin(&self, reference: &str) -> Result<PluginDetail, Problem> {
        Handle::plugin(self, reference).await
    }

    async fn remove_plugin(&self, name: &str, version: &str) -> Result<(), Problem> {
        Handle::remove_plugin(self, name, version).await
    }

    async fn submit(&self, submission: Submission, key: Option<String>) -> Result<(Accepted, Stored), Problem> {
        Handle::submit(self, submission, key).await
    }

    async fn plan(&self, submission: Submission, replaces: Option<String>) -> Result<Plan, Problem> {
        Handle::plan(self, submission, replaces).await
    }

    async fn jobs(&self) -> Result<Vec<JobSummary>, Problem> {
        Handle::jobs(self).await
    }

    async fn job(&self, id: &str) -> Result<JobDetail, Problem> {
        Handle::job(self, id).await
    }

    async fn stall(&self, id: &str) -> Result<Stall, Problem> {
        Handle::stall(self, id).await
    }

    async fn cancel(&self, id: &str) -> Result<JobSummary, Problem> {
        Handle::cancel(self, id).await
    }

    async fn drain(&self, id: &str) -> Result<JobSummary, Problem> {
        Handle::drain(self, id).await
    }

    async fn stop(&self, id: &str, savepoint: Option<String>) -> Result<JobSummary, Problem> {
        Handle::stop(self, id, savepoint).await
    }

    async fn replace(&self, id: &str, submission: Submission) -> Result<Replaced, Problem> {
        Handle::replace(self, id, submission).await
    }

    async fn scale(&self, id: &str, scale: Scale) -> Result<Replaced, Problem> {
        Handle::scale(self, id, scale).await
    }

    async fn resolve(&self, id: &str, choice: Choice) -> Result<JobSummary, Problem> {
        Handle::resolve(self, id, choice).await
    }

    async fn savepoint(&self, id: &str, name: Option<String>) -> Result<Savepoint, Problem> {
        Handle::savepoint(self, id, name).await
    }

    async fn savepoints(&self) -> Result<Vec<Savepoint>, Problem> {
        Handle::savepoints(self).await
    }

    async fn get_savepoint(&self, name: &str) -> Result<Savepoint, Problem> {
        Handle::get_savepoint(self, name).await
    }

    async fn remove_savepoint(&self, name: &str) -> Result<(), Problem> {
        Handle::remove_savepoint(self, name).await
    }

    async fn export_savepoint(&self, name: &str) -> Result<Outgoing, Problem> {
        let export = Handle::export_savepoint(self, name).await?;
        let bytes = export.bytes();
        let write = move |to: &mut dyn Write| export.write(to).map_err(|e| io::Error::other(e.to_string()));
        Ok(Outgoing { bytes, write: Box::new(write) })
    }

    async fn import_savepoint(
        &self,
        name: &str,
        from: impl Read + Send + 'static,
    ) -> Result<(Savepoint, Stored), Problem> {
        Handle::import_savepoint(self, name, from).await
    }

    async fn operation(&self, job: &str, kind: OperationKind) -> Result<Operation, Problem> {
        Handle::operation(self, job, kind).await
    }

    async fn events(&self, id: &str, after: u64, max: usize) -> Result<Vec<Event>, Problem> {
        Handle::events(self, id, after, max).await
    }

    async fn exceptions(&self, id: &str, after: u64, max: usize) -> Result<Vec<Exception>, Problem> {
        Handle::exceptions(self, id, after, max).await
    }

    async fn logs(&self, id: &str, after: u64, max: usize) -> Result<Vec<LogLine>, Problem> {
        Handle::logs(self, id, after, max).await
    }

    async fn ended(&self, id: &str) -> Result<bool, Problem> {
        Handle::ended(self, id).await
    }

    async fn tap(&self, id: &str, edge: &str) -> Result<mpsc::Receiver<TapRow>, Problem> {
        Handle::tap(self, id, edge).await
    }

    async fn workers(&self) -> Result<Vec<Worker>, Problem> {
        Handle::workers(self).await
    }

    async fn worker(&self, id: &str) -> Result<Worker, Problem> {
        Handle::worker(self, id).await
    }

    async fn cordon(&self, id: &str, on: bool) -> Result<Worker, Problem> {
        Handle::cordon(self, id, on).await
    }

    async fn tm_register(&self, body: Bytes) -> Result<Bytes, Problem> {
        answered(&Handle::register(self, asked(&body)?).await?)
    }

    async fn tm_poll(&self, body: Bytes, connection: u64) -> Result<Bytes, Problem> {
        answered(&Handle::poll(self, asked(&body)?, connection).await?)
    }

    async fn tm_reports(&self, body: Bytes) -> Result<Bytes, Problem> {
        answered(&Handle::told(self, asked(&body)?).await?)
    }

    async fn tm_deployment(&self, job: &str, attempt: Option<u64>) -> Result<Bytes, Problem> {
        answered(&Handle::deployment(self, job, attempt.unwrap_or_default()).await?)
    }

    async fn tm_code(&self, key: &str) -> Result<Blob, Problem> {
        blob(Handle::code(self, key).await?)
    }

    async fn tm_plugin(&self, digest: &str) -> Result<Blob, Problem> {
        blob(Handle::component(self, digest).await?)
    }

    fn closed(&self, connection: u64) {
        Handle::closed(self, connection);
    }
}

/// What a TaskManager says.
fn asked<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|e| {
        let problem = Problem::new(400, Code::RequestMalformed, format!("could not read a TaskManager's message: {e}"));
        problem.with_hint("run the same version of wasmill everywhere")
    })
}

fn answered(answer: &impl Serialize) -> Result<Bytes, Problem> {
    Ok(serde_json::to_vec(answer).expect("its keys are text").into())
}

fn blob(file: std::fs::File) -> Result<Blob, Problem> {
    let bytes = file.metadata().map(|metadata| metadata.len());
    let bytes = bytes.map_err(|e| Problem::new(500, Code::CatalogueUnusable, format!("could not read a file: {e}")))?;
    Ok(Blob::File { file, bytes })
}
