//! What all requests share.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::{
    Options,
    connections::Connections,
    counters::Counters,
    hosts::Hosts,
    options::Limits,
    rate::{Client, Rate},
    tokens::Tokens,
};

/// The state of the routes: whom they ask, and what they share.
#[derive(Debug, Clone)]
pub(crate) struct Api<B> {
    pub(crate) backend: B,
    pub(crate) shared: Arc<Shared>,
}

/// Resolves when the server stops, or is gone.
pub(crate) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _gone = stopping.wait_for(|stop| *stop).await.is_err();
}

/// Who sent a request, and by which connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) connection: u64,
    pub(crate) address: IpAddr,
    /// Whether it showed a certificate that the authority of clients has signed.
    pub(crate) certified: bool,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) hosts: Hosts,
    pub(crate) tokens: Option<Tokens>,
    /// Whether TaskManagers must show a certificate.
    pub(crate) asks_certificates: bool,
    pub(crate) connections: Arc<Connections>,
    pub(crate) counters: Counters,
    pub(crate) stopping: watch::Receiver<bool>,
    pub(crate) uploads: Semaphore,
    /// Savepoints in and out.
    pub(crate) transfers: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    rate: Mutex<Rate>,
}

impl Shared {
    pub(crate) fn new(options: &Options, tokens: Option<Tokens>, stopping: watch::Receiver<bool>) -> Self {
        let limits = options.limits.clone();
        Self {
            hosts: Hosts::new(options.listen.ip(), &options.hosts),
            tokens,
            asks_certificates: options.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some()),
            connections: Connections::new(limits.connections_max),
            counters: Counters::default(),
            stopping,
            uploads: Semaphore::new(limits.uploads_max.clamp(1, Semaphore::MAX_PERMITS)),
            transfers: Arc::new(Semaphore::new(limits.transfers_max.clamp(1, Semaphore::MAX_PERMITS))),
            streams: Arc::new(Semaphore::new(limits.streams_max.min(Semaphore::MAX_PERMITS))),
            rate: Mutex::new(Rate::new(limits.requests_per_second, limits.requests_burst)),
            limits,
        }
    }

    /// A place for one more stream; none if there are too many.
    pub(crate) fn stream(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.streams).try_acquire_owned().ok()
    }

    pub(crate) fn streams_open(&self) -> usize {
        self.limits.streams_max.min(Semaphore::MAX_PERMITS) - self.streams.available_permits()
    }

    /// Counts a request that changes something, or says how long to wait.
    pub(crate) fn take(&self, client: Client) -> Result<(), Duration> {
        self.rate.lock().unwrap_or_else(PoisonError::into_inner).take(client, Instant::now())
    }
}
