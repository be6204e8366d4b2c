//! From what the JobManager tells of a job to a job that can run here: its plugins' compiled code by digest, from this host's
//! folder, from the JobManager, or by compiling the component once more.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{Arc, OnceLock},
};

use wasmill_model::{
    fault::{Code, Coded, Domain},
    settings,
};
use wasmill_plugin::{Digest, Plugin, PluginStore, plugins};
use wasmill_runtime::Job;

use crate::{
    message::Deployment,
    payload,
    taskmanager::{
        client::{self, Client},
        polling::SecretCell,
    },
};

/// Why a job cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("could not get plugin {digest}: {source}")]
    Fetch { digest: Digest, source: client::Error },
    #[error("could not get plugin {digest}: the JobManager sent other bytes")]
    Digest { digest: Digest },
    #[error("could not use plugin {digest}: {source}")]
    Plugin { digest: Digest, source: plugins::Error },
    #[error(transparent)]
    Job(#[from] settings::Error),
}

impl Error {
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Fetch { .. } | Self::Digest { .. } => Code::DeploymentFailed,
            Self::Plugin { source, .. } => source.code(),
            Self::Job(error) => error.code,
        }
    }

    pub(crate) fn domain(&self) -> Domain {
        match self {
            Self::Fetch { .. } | Self::Digest { .. } => Domain::External,
            // The same file and the same plugins were accepted by the JobManager: it is this host that differs.
            Self::Plugin { .. } | Self::Job(_) => Domain::Operator,
        }
    }
}

/// Gets plugins for jobs.
#[derive(Debug)]
pub(crate) struct CodeFetcher {
    client: Client,
    plugins: Arc<PluginStore>,
    secret: SecretCell,
}

impl CodeFetcher {
    pub(crate) fn new(client: Client, plugins: Arc<PluginStore>) -> Self {
        Self { client, plugins, secret: Arc::new(OnceLock::new()) }
    }

    /// Where the JobManager's secret is put once it is known.
    pub(crate) fn secret_cell(&self) -> SecretCell {
        self.secret.clone()
    }

    /// Makes a job of its description.
    pub(crate) fn job(&self, deployment: &Deployment) -> Result<Arc<Job>, Error> {
        let Deployment { submission, found } = deployment;
        let mut loaded = BTreeMap::<Digest, Plugin>::new();
        for operator in found.operators.values() {
            if let Entry::Vacant(place) = loaded.entry(operator.digest) {
                place.insert(self.plugin(&operator.digest)?);
            }
        }
        let load = |digest: &Digest| Ok(loaded[digest].clone());
        let settings = payload::settings(submission)?;
        Ok(Arc::new(Job::assemble(&settings, &payload::base(submission), found, &load)?))
    }

    fn plugin(&self, digest: &Digest) -> Result<Plugin, Error> {
        let unusable = |source| Error::Plugin { digest: *digest, source };
        let unfetched = |source| Error::Fetch { digest: *digest, source };
        if let Some(plugin) = self.plugins.known(digest).map_err(unusable)? {
            return Ok(plugin);
        }
        if let Some(secret) = self.secret.get() {
            for key in self.plugins.keys(digest) {
                let sealed = match self.client.code(&key) {
                    Ok(sealed) => sealed,
                    Err(error) if error.is_not_found() => continue,
                    Err(error) => return Err(unfetched(error)),
                };
                if self.plugins.put_sealed(&key, &sealed, secret).map_err(unusable)?
                    && let Some(plugin) = self.plugins.known(digest).map_err(unusable)?
                {
                    return Ok(plugin);
                }
            }
        }
        // Another processor, or code that is not what it should be: compiled here.
        let wasm = self.client.component(&digest.to_string()).map_err(unfetched)?;
        if Digest::of(&wasm) != *digest {
            return Err(Error::Digest { digest: *digest });
        }
        self.plugins.load(&wasm).map_err(unusable)
    }
}
