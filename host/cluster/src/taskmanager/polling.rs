//! The thread that keeps in touch with the JobManager: registers, polls for orders, and hands on what a poll brings along.

use std::{
    io,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc::Sender,
    },
    thread,
    time::Duration,
};

use wasmill_model::ids::Epoch;
use wasmill_plugin::cache::Secret;
use wasmill_runtime::Network;

use crate::{
    checkpoints::{self, Shared},
    jobmanager::now_ms,
    message::{Answer, Poll, Polled, Register, Registered},
    taskmanager::{
        Message,
        client::{Client, Error},
        telemetry::Telemetry,
    },
};

/// Between two tries to reach a JobManager that is away, at first and at most.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// Where the JobManager's secret is put for those who take compiled code.
pub(crate) type SecretCell = Arc<OnceLock<Secret>>;

/// Where the checkpoint store is put once it is known.
pub(crate) type CheckpointsCell = Arc<Mutex<Option<Shared>>>;

/// What registering finds out for others.
pub(crate) struct Found {
    pub(crate) secret: Option<SecretCell>,
    pub(crate) network: Option<Arc<Network>>,
    pub(crate) checkpoints: CheckpointsCell,
}

/// Tells whoever runs the process something that is no error of a job.
pub type Say = Arc<dyn Fn(&str) + Send + Sync>;

/// The polling thread, as the owner sees it.
#[derive(Debug)]
pub(crate) struct Polling {
    stop: Arc<AtomicBool>,
    again: Arc<AtomicBool>,
    client: Client,
    register: Register,
}

struct Thread {
    client: Client,
    register: Register,
    telemetry: Arc<Telemetry>,
    found: Found,
    owner: Sender<Message>,
    say: Say,
    stop: Arc<AtomicBool>,
    again: Arc<AtomicBool>,
}

impl Polling {
    pub(crate) fn start(
        client: Client,
        register: Register,
        telemetry: Arc<Telemetry>,
        found: Found,
        owner: Sender<Message>,
        say: Say,
    ) -> io::Result<Self> {
        let (stop, again) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let polling =
            Self { stop: stop.clone(), again: again.clone(), client: client.clone(), register: register.clone() };
        let thread = Thread { client, register, telemetry, found, owner, say, stop, again };
        thread::Builder::new().name("poll".to_owned()).spawn(move || thread.run())?;
        Ok(polling)
    }

    /// Lets the thread register before it polls again.
    pub(crate) fn register_again(&self) {
        self.again.store(true, SeqCst);
    }

    /// Ends the thread after the poll under way, and says goodbye.
    pub(crate) fn stop(&self) {
        self.stop.store(true, SeqCst);
        self.client.leave(&self.register);
    }
}

impl Thread {
    fn run(mut self) {
        let mut retry = RETRY_MIN;
        let mut registered: Option<Epoch> = None;
        let mut version = 0;
        let mut told = false;
        while !self.stop.load(SeqCst) {
            if self.again.swap(false, SeqCst) {
                // Until that succeeds, nothing may be asked under the old registration.
                registered = None;
            }
            let Some(epoch) = registered else {
                let asked_ms = now_ms();
                match self.register() {
                    Ok(epoch) => {
                        (registered, version, retry, told) = (Some(epoch), 0, RETRY_MIN, false);
                        if self.owner.send(Message::Registered { epoch, asked_ms }).is_err() {
                            return;
                        }
                    }
                    Err(error) => {
                        self.complain(&error, &mut told);
                        thread::sleep(retry);
                        retry = (2 * retry).min(RETRY_MAX);
                    }
                }
                continue;
            };
            let (metrics, logs) = (self.telemetry.metrics(), self.telemetry.take_logs());
            let (taskmanager, incarnation) = (self.register.taskmanager, self.register.incarnation);
            let rows = self.telemetry.take_rows();
            let asked_ms = now_ms();
            let orders = match self.client.poll(Poll { taskmanager, incarnation, epoch, version, metrics, logs, rows })
            {
                Ok(Polled { answer: Answer::Register, .. }) => {
                    registered = None;
                    continue;
                }
                Ok(Polled { answer, taps }) => {
                    self.telemetry.look_at(&taps);
                    match answer {
                        Answer::Orders(orders) => {
                            version = orders.version;
                            Some(orders)
                        }
                        _ => None,
                    }
                }
                Err(error) => {
                    self.complain(&error, &mut told);
                    thread::sleep(retry);
                    retry = (2 * retry).min(RETRY_MAX);
                    continue;
                }
            };
            (retry, told) = (RETRY_MIN, false);
            self.telemetry.told();
            if self.owner.send(Message::Contact { asked_ms, orders }).is_err() {
                return;
            }
        }
    }

    fn register(&mut self) -> Result<Epoch, Error> {
        let mut registered = self.client.register(self.register.clone())?;
        if registered.prove {
            // What an earlier life of the JobManager wrote proves nothing to this one.
            if let Some(folder) = &registered.checkpoints {
                let (shared, nonce) = Shared::open(folder, &registered.cluster)?;
                *self.found.checkpoints.lock().unwrap_or_else(PoisonError::into_inner) = Some(shared);
                self.register.nonce = Some(nonce);
            }
            registered = self.client.register(self.register.clone())?;
        }
        let Registered { cluster, epoch, secret, checkpoints, prove } = registered;
        if let (true, Some(folder)) = (prove, checkpoints) {
            return Err(checkpoints::Error::NotShared { folder }.into());
        }
        if let (Some(cell), Some(secret)) = (&self.found.secret, secret) {
            let _ = cell.set(secret);
        }
        if let Some(network) = &self.found.network {
            network.join(&cluster);
        }
        self.register.cluster = Some(cluster);
        Ok(epoch)
    }

    /// Says once that the JobManager cannot be reached.
    fn complain(&self, error: &Error, told: &mut bool) {
        if !std::mem::replace(told, true) {
            (self.say)(&format!("{error}; trying again"));
        }
    }
}
