//! What happens to a cluster while it runs a job.

use std::{
    fmt::Write as _,
    fs,
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::process::Signal;
use wasmill_rest::{Event, JobDetail};

use super::{Kind, Tally, audit, bank::Bookings, damage::Damage, rows};
use crate::cluster::{
    processes::{Cluster, Links},
    proxy::{Held, Proxy},
};

/// Numbers that follow from a seed: the generator known as SplitMix64.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Both ends are possible.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.next() % (most - least + 1)
    }

    fn time(&mut self, least_ms: u64, most_ms: u64) -> Duration {
        Duration::from_millis(self.between(least_ms, most_ms))
    }
}

/// How long after a repair a job may still need the decision about what was damaged.
const REPAIR_MAX: Duration = Duration::from_secs(30);

/// What a round is about.
pub(crate) struct Subject {
    pub(crate) kind: Kind,
    pub(crate) settings: Vec<String>,
    pub(crate) wasmill: PathBuf,
    /// Where its sinks write.
    pub(crate) output: PathBuf,
}

/// A cluster that runs a job, and what is done to it.
pub(crate) struct Trouble {
    pub(crate) cluster: Cluster,
    subject: Subject,
    /// The job, or the one that has taken its place.
    id: String,
    state: String,
    /// Ends with the newest partition.
    partition: Option<JoinHandle<()>>,
    /// A savepoint that is being taken, and whether it was.
    savepoint: Option<(String, JoinHandle<Result<()>>)>,
    savepoints: u64,
    /// What is to be put back.
    damages: Vec<Damage>,
    /// When something was.
    repaired: Option<Instant>,
    began: Instant,
    /// What was done, a line each.
    diary: String,
}

impl Trouble {
    pub(crate) fn new(cluster: Cluster, id: String, subject: Subject) -> Self {
        Self {
            cluster,
            subject,
            id,
            state: String::new(),
            partition: None,
            savepoint: None,
            savepoints: 0,
            damages: Vec::new(),
            repaired: None,
            began: Instant::now(),
            diary: String::new(),
        }
    }

    pub(crate) fn state(&self) -> &str {
        &self.state
    }

    /// Whether the job has come to its end. While the JobManager is away nobody knows.
    pub(crate) fn has_finished(&mut self, tally: &mut Tally) -> Result<bool> {
        self.cluster.check()?;
        let Some(job) = self.look(tally)? else { return Ok(false) };
        let state = job.summary.state.as_str();
        ensure!(!matches!(state, "FAILED" | "CANCELLED" | "STOPPED"), "{}", self.state);
        Ok(state == "FINISHED")
    }

    /// The job as it is. If it needs a decision since a file was damaged, the file is put back, and it begins from there again.
    fn look(&mut self, tally: &mut Tally) -> Result<Option<JobDetail>> {
        let Ok(job) = self.cluster.client.job(&self.id) else { return Ok(None) };
        let cause = job.summary.cause.as_ref().map_or("no cause", |cause| &cause.message);
        let state = format!("{} is {}, {cause}", self.id, job.summary.state);
        if state != self.state {
            self.note(&state);
            self.state = state;
        }
        if job.summary.state == "NEEDS_DECISION" {
            let decision = job.summary.decision.as_ref();
            let is_damaged = !self.damages.is_empty() || self.repaired.is_some_and(|at| at.elapsed() < REPAIR_MAX);
            let is_of_damage = is_damaged && decision.is_some_and(|of| of.about == "damaged-checkpoint");
            ensure!(is_of_damage, "{}; nothing was done that has to be decided: {decision:?}", self.state);
            self.repair()?;
            let retried = self.cluster.client.retry(&self.id);
            self.note(&format!("retry: {}", said(&retried)));
            tally.decisions += u64::from(retried.is_ok());
        }
        Ok(Some(job))
    }

    fn repair(&mut self) -> Result<()> {
        self.note(&format!("put back: {} damages", self.damages.len()));
        if !self.damages.is_empty() {
            self.repaired = Some(Instant::now());
        }
        self.damages.drain(..).try_for_each(|damage| damage.repair())
    }

    /// Ends what is still under way when the job has come to its end.
    pub(crate) fn finish(&mut self, tally: &mut Tally) -> Result<()> {
        if let Some(partition) = self.partition.take() {
            partition.join().map_err(|_| anyhow!("the thread that heals partitions has panicked"))?;
        }
        if let Some((name, savepoint)) = self.savepoint.take() {
            let taken = joined(savepoint);
            self.audit_one_taken(&name, taken, tally)?;
        }
        self.cluster.check()?;
        let panics = panics(&self.cluster)?;
        tally.violations += panics.len() as u64;
        ensure!(panics.is_empty(), "a process has panicked: {}", panics.join("; "));
        Ok(())
    }

    /// Keeps what the processes have written, with what was done to them; says where.
    pub(crate) fn keep(&mut self) -> String {
        self.cluster.keep_folder();
        let diary = self.cluster.folder().join("diary.txt");
        let written = fs::write(&diary, &self.diary).map_or_else(|error| error.to_string(), |()| String::new());
        format!("{} {written}", diary.display())
    }

    /// Lets something happen, and waits a little.
    pub(crate) fn make(&mut self, random: &mut Random, tally: &mut Tally) -> Result<()> {
        thread::sleep(random.time(100, 2_000));
        self.take_savepoint_in(tally)?;
        match random.between(0, 30) {
            0..=8 => self.kill_taskmanager(random, tally),
            9..=11 => self.kill_jobmanager(random, tally),
            12..=14 => self.pause(random, tally),
            15..=20 => self.cut(random, tally),
            21..=22 => {
                // It may be restarting, or near its end: then there is nothing to rescale.
                let parallelism = random.between(1, 4) as u32;
                let scaled = self.cluster.client.scale(&self.id, parallelism);
                tally.scales += u64::from(scaled.is_ok());
                self.note(&format!("scale to {parallelism}: {}", said(&scaled)));
                Ok(())
            }
            23..=25 => {
                self.ask_for_a_savepoint();
                Ok(())
            }
            26..=28 => self.damage(random, tally),
            _ => self.stop_and_go_on(tally),
        }
    }

    fn note(&mut self, what: &str) {
        let _ = writeln!(self.diary, "{:9.3} {what}", self.began.elapsed().as_secs_f64());
    }

    fn kill_taskmanager(&mut self, random: &mut Random, tally: &mut Tally) -> Result<()> {
        let place = random.between(0, self.cluster.taskmanagers.len() as u64 - 1) as usize;
        self.note(&format!("kill taskmanager-{place}"));
        self.cluster.taskmanagers[place].kill()?;
        tally.kills += 1;
        thread::sleep(random.time(0, 1_500));
        self.note(&format!("start taskmanager-{place}"));
        self.cluster.start_again(place)
    }

    fn kill_jobmanager(&mut self, random: &mut Random, tally: &mut Tally) -> Result<()> {
        self.note("kill the JobManager");
        self.cluster.jobmanager.kill()?;
        tally.kills += 1;
        thread::sleep(random.time(0, 3_000));
        self.note("start the JobManager");
        self.cluster.start_jobmanager_again()
    }

    /// Stops a process for a while, perhaps for longer than it may be silent.
    fn pause(&mut self, random: &mut Random, tally: &mut Tally) -> Result<()> {
        let all = self.cluster.taskmanagers.len() as u64;
        let place = random.between(0, all);
        self.note(&format!("pause process {place}"));
        let process = |cluster: &Cluster, signal| match place {
            place if place < all => cluster.taskmanagers[place as usize].signal(signal),
            _ => cluster.jobmanager.signal(signal),
        };
        process(&self.cluster, Signal::STOP)?;
        tally.pauses += 1;
        thread::sleep(random.time(50, 4_000));
        self.note("it goes on");
        process(&self.cluster, Signal::CONT)
    }

    /// Damages files of the newest checkpoint while a process is down whose end lets the job begin again. It must begin from an older one
    /// where that costs nothing, and else need a decision: then the files are put back, so that every row must come out.
    fn damage(&mut self, random: &mut Random, tally: &mut Tally) -> Result<()> {
        let victim = (random.between(0, 3) > 0).then(|| self.place_of_the_job(random)).flatten();
        match victim {
            Some(place) => self.cluster.taskmanagers[place].kill()?,
            None => self.cluster.jobmanager.kill()?,
        }
        tally.kills += 1;
        let since_ms = now_ms();
        let damage = Damage::make(&self.cluster.checkpoint_store(), &self.id, random)?;
        let shown = damage.as_ref().map_or_else(|| "nothing is damaged".to_owned(), Damage::shown);
        self.note(&format!("TaskManager {victim:?}, or else the JobManager, is killed; {shown}"));
        tally.damages += u64::from(damage.is_some());
        self.damages.extend(damage);
        match victim {
            Some(place) => self.cluster.start_again(place)?,
            None => self.cluster.start_jobmanager_again()?,
        }
        let until = Instant::now() + random.time(2_000, 5_000);
        while Instant::now() < until {
            self.look(tally)?;
            thread::sleep(Duration::from_millis(50));
        }
        let passed = self.passed_over(since_ms);
        tally.passed += passed;
        self.note(&format!("{passed} checkpoints were passed over"));
        // Where it has gone on without them they stay damaged.
        if passed == 0 { self.repair() } else { Ok(()) }
    }

    /// The place of a TaskManager that runs some of the job, if one is known.
    fn place_of_the_job(&self, random: &mut Random) -> Option<usize> {
        let job = self.cluster.client.job(&self.id).ok()?;
        let drawn = random.between(0, job.subtasks.len().checked_sub(1)? as u64) as usize;
        self.cluster.place_of(&job.subtasks[drawn].worker).ok()
    }

    /// Checkpoints that no attempt begins from any more, by what has been told of the job since then.
    fn passed_over(&self, since_ms: i64) -> u64 {
        let events = self.cluster.client.events(&self.id).unwrap_or_default();
        let is_one = |event: &&Event| event.at_ms >= since_ms && event.message.contains("is passed over");
        events.iter().filter(is_one).count() as u64
    }

    /// Resets connections, or holds what passes some for a while, perhaps for longer than the lease. One partition at a time.
    fn cut(&mut self, random: &mut Random, tally: &mut Tally) -> Result<()> {
        if self.partition.as_ref().is_some_and(|partition| !partition.is_finished()) {
            return Ok(());
        }
        let all = self.cluster.links.len();
        // The last place is the JobManager's, which all others lose.
        let (places, part) = match random.between(0, all as u64) as usize {
            place if place < all => (place..place + 1, random.between(0, 2)),
            _ => (0..all, 0),
        };
        let links: Vec<Arc<Links>> = self.cluster.links[places.clone()].to_vec();
        let way = [Some(Held::Both), Some(Held::Requests), Some(Held::Answers), None][random.between(0, 3) as usize];
        let time = random.time(50, 6_000);
        for proxy in links.iter().flat_map(|links| links.part(part)) {
            match way {
                Some(held) => proxy.hold(held),
                None => drop(proxy.reset()),
            }
        }
        let shown = way.map_or_else(|| "reset".to_owned(), |held| format!("hold {held:?} for {time:?}"));
        let named = ["to the JobManager", "of data", "all"][part as usize];
        self.note(&format!("{shown}: connections {named} of TaskManagers {places:?}"));
        tally.partitions += 1;
        let healing = thread::Builder::new().name("healing".to_owned()).spawn(move || {
            thread::sleep(if way.is_some() { time } else { Duration::ZERO });
            links.iter().flat_map(|links| links.part(2)).for_each(Proxy::heal);
        });
        self.partition = Some(healing.context("could not start a thread that heals a partition")?);
        Ok(())
    }

    /// Ends the job with a savepoint, and begins another one from there.
    fn stop_and_go_on(&mut self, tally: &mut Tally) -> Result<()> {
        self.savepoints += 1;
        let name = format!("stop-{}", self.savepoints);
        self.note(&format!("stop with {name}"));
        if self.cluster.client.stop(&self.id, &name).is_err() {
            return Ok(());
        }
        let until = Instant::now() + Duration::from_secs(120);
        let ended = loop {
            if let Some(job) = self.look(tally)? {
                let is_complete = job.summary.state == "FINISHED" || job.summary.savepoint.is_some();
                if job.summary.ended_ms.is_some() && is_complete {
                    break job;
                }
            }
            ensure!(Instant::now() < until, "{} was stopped, and did not end", self.id);
            thread::sleep(Duration::from_millis(20));
        };
        // It may have come to its end before.
        if ended.summary.state == "FINISHED" {
            return Ok(());
        }
        ensure!(ended.summary.state == "STOPPED", "{} was stopped, and is {}", self.id, ended.summary.state);
        tally.stops += 1;
        self.note("it has stopped");
        if self.subject.kind == Kind::Bank {
            let Some(wrong) = self.audited(&name, |books, visible| books.violations_of_a_stop(visible))? else {
                bail!("{} was stopped with savepoint {name}, which is not there", self.id);
            };
            self.count_audit(&name, &wrong, tally)?;
        }
        let next = self.cluster.client.submit_from(self.subject.kind.job(), &self.subject.settings, &name);
        self.id = next.with_context(|| format!("could not go on from savepoint {name}"))?;
        Ok(())
    }

    /// Has a savepoint taken while other things happen, if there are books to look at.
    fn ask_for_a_savepoint(&mut self) {
        if self.subject.kind != Kind::Bank || self.savepoint.is_some() {
            return;
        }
        self.savepoints += 1;
        let name = format!("audit-{}", self.savepoints);
        self.note(&format!("ask for savepoint {name}"));
        let (client, id, of_thread) = (self.cluster.client.clone(), self.id.clone(), name.clone());
        let asking = thread::Builder::new().name("savepoint".to_owned());
        let asking = asking.spawn(move || client.savepoint(&id, &of_thread));
        self.savepoint = asking.ok().map(|asking| (name, asking));
    }

    /// Audits a savepoint that has been answered.
    fn take_savepoint_in(&mut self, tally: &mut Tally) -> Result<()> {
        let answered = self.savepoint.take_if(|(_, asking)| asking.is_finished());
        let Some((name, asking)) = answered else { return Ok(()) };
        self.audit_one_taken(&name, joined(asking), tally)
    }

    /// A savepoint whose answer did not come may be there all the same; then its books must be in order too.
    fn audit_one_taken(&mut self, name: &str, taken: Result<()>, tally: &mut Tally) -> Result<()> {
        self.note(&format!("savepoint {name}: {}", said(&taken)));
        let audited = self.audited(name, |books, visible| match &taken {
            Ok(()) => books.violations_against(visible),
            Err(_) => Vec::new(),
        })?;
        match audited {
            Some(wrong) => self.count_audit(name, &wrong, tally),
            None => {
                let is_lost = taken.is_ok();
                tally.violations += u64::from(is_lost);
                ensure!(!is_lost, "savepoint {name} was answered as taken, and is not there");
                Ok(())
            }
        }
    }

    /// What is wrong with a savepoint, by itself and against what can be seen; nothing if it is not there.
    fn audited(
        &mut self,
        name: &str,
        against: impl FnOnce(&super::bank::Books, &Bookings) -> Vec<String>,
    ) -> Result<Option<Vec<String>>> {
        let store = self.cluster.checkpoint_store();
        let Some(manifest) = audit::manifest(&store, name)? else { return Ok(None) };
        let books = audit::books(&self.subject.wasmill, &store, &manifest)?;
        let mut wrong = books.violations();
        wrong.extend(against(&books, &Bookings::read(&rows(&self.subject.output)?)?));
        self.note(&format!("audit of {name}: {} violations, books: {}", wrong.len(), books));
        Ok(Some(wrong))
    }

    fn count_audit(&mut self, name: &str, wrong: &[String], tally: &mut Tally) -> Result<()> {
        tally.audits += 1;
        tally.violations += wrong.len() as u64;
        wrong.iter().for_each(|wrong| self.note(wrong));
        ensure!(wrong.is_empty(), "the audit of savepoint {name} found: {}", super::first_of(wrong));
        Ok(())
    }
}

/// The time as the JobManager tells it of events.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// What a thread has answered.
fn joined(asking: JoinHandle<Result<()>>) -> Result<()> {
    asking.join().unwrap_or_else(|_| bail!("the thread that asked for a savepoint has panicked"))
}

fn said<T>(answer: &Result<T>) -> String {
    answer.as_ref().err().map_or_else(|| "done".to_owned(), |error| format!("{error:#}"))
}

/// Lines in the logs of all processes, also of those that were killed, that tell of a panic.
fn panics(cluster: &Cluster) -> Result<Vec<String>> {
    let folder = cluster.folder();
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("could not list {}", folder.display()))? {
        let path = entry.context("could not list a folder")?.path();
        if path.extension().is_some_and(|ending| ending == "log") {
            let bytes = fs::read(&path).with_context(|| format!("could not read {}", path.display()))?;
            let text = String::from_utf8_lossy(&bytes);
            found.extend(text.lines().filter(|line| line.contains("panicked at")).map(str::to_owned));
        }
    }
    Ok(found)
}
