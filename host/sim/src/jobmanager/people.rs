//! What people ask of the JobManager, and how they are answered.

use wasmill_control::jobmanager::{Desired, Event, JobShape};
use wasmill_model::ids::JobId;

use super::Submission;
use crate::{
    Sabotage,
    checkers::Fact,
    message::{Ask, Reply},
    world::{Happening, World},
};

impl World {
    pub(crate) fn asked(&mut self, client: usize, connection: u64, ask: Ask) {
        if self.jobmanager.core.is_none() {
            return;
        }
        match ask {
            Ask::Submit { key, shape } => {
                let pending = self.jobmanager.requests.values_mut().find(|request| request.key == key);
                if let Some(pending) = pending {
                    pending.asked_by.push((client, connection));
                    return;
                }
                // The newest: one that was refused may have left a tombstone under the same key.
                let known = self.jobmanager.keys.iter().rev().find(|(_, known)| **known == key).map(|(job, _)| *job);
                if let Some(job) = known {
                    self.accept(key, job, &[(client, connection)]);
                    return;
                }
                self.jobmanager.last_request += 1;
                let request = self.jobmanager.last_request;
                self.jobmanager.requests.insert(request, Submission { key, asked_by: vec![(client, connection)] });
                self.tell_jobmanager(Event::Submit { request, shape });
            }
            Ask::Savepoint { job } => {
                let request = self.open(job);
                self.tell_jobmanager(Event::Savepoint { request, job });
            }
            Ask::Stop { job } => {
                let request = self.open(job);
                self.tell_jobmanager(Event::Stop { request, job });
            }
            Ask::Replace { job, chains } => {
                let Some(shape) = self.disk.record(job).map(|record| record.shape.clone()) else { return };
                let request = self.open(job);
                self.tell_jobmanager(Event::Replace { request, job, shape: JobShape { chains, ..shape } });
            }
            Ask::Cancel { job } => self.end_durably(client, connection, Event::Cancel { job }, (job, Desired::Cancel)),
            Ask::Drain { job } => self.end_durably(client, connection, Event::Drain { job }, (job, Desired::Drain)),
        }
    }

    /// Somebody decides what is to be decided about a job: puts right what is damaged, or agrees that rows come twice.
    pub(crate) fn decide(&mut self, job: JobId) {
        let Some(view) = self.jobmanager.core.as_ref().and_then(|core| core.job(job)?.decision) else { return };
        let (manifest, choices) = (view.decision.manifest.clone(), view.choices.clone());
        let choice = self.choose(view.decision.about, &manifest, &choices);
        let request = self.open(job);
        self.tell_jobmanager(Event::Resolve { request, job, choice });
        // The JobManager may crash before it is durable.
        self.within(5_000, Happening::Decide { job });
    }

    fn open(&mut self, job: JobId) -> u64 {
        self.jobmanager.last_open += 1;
        let request = self.jobmanager.last_open;
        self.jobmanager.open.insert(request, job);
        request
    }

    pub(super) fn answer_open(&mut self, request: u64, how: &str) {
        let job = self.jobmanager.open.remove(&request).expect("what is open is answered once");
        self.note(&[21, request], || format!("request {request} about {job} is answered: {how}"));
    }

    /// Answers once the newest write that follows is durable.
    fn end_durably(&mut self, client: usize, connection: u64, event: Event, wish: (JobId, Desired)) {
        let write = self.tell_jobmanager(event);
        match write.filter(|_| !self.is(Sabotage::EndsInMemory)) {
            Some(write) => self.jobmanager.waiters.entry(write).or_default().push((client, connection, wish)),
            None => self.take_end(client, connection, wish),
        }
    }

    pub(super) fn accepted(&mut self, request: u64, job: JobId) {
        let Some(submission) = self.jobmanager.requests.remove(&request) else { return };
        self.counts.jobs += 1;
        self.note(&[17, job.0], || format!("{job} is accepted, key {}", submission.key));
        self.accept(submission.key, job, &submission.asked_by);
    }

    fn accept(&mut self, key: u64, job: JobId, to: &[(usize, u64)]) {
        self.see(&Fact::Accepted { key, job });
        for (client, connection) in to {
            self.send_reply(*client, *connection, Reply::Accepted(job));
        }
    }

    pub(super) fn take_end(&mut self, client: usize, connection: u64, (job, desired): (JobId, Desired)) {
        self.note(&[18, job.0], || format!("{desired:?} of {job} is taken"));
        self.see(&Fact::EndTaken { job, desired });
        self.send_reply(client, connection, Reply::Taken);
    }
}
