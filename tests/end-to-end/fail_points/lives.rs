//! A process of a cluster that is started again whenever it has ended, with other fail points each time, until none are left.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use wasmill_durable::VARIABLE;

/// A point and what happens there, by their names.
pub(super) type Fault = (String, String);

/// What is set at points, as `FAILPOINTS` has it: the actions of each, but for `off`.
pub(super) fn faults(life: &str) -> Vec<Fault> {
    let parts = life.split(';').filter_map(|part| part.split_once('='));
    let actions = |(point, terms): (&str, &str)| {
        let point = point.to_owned();
        let terms = terms.split("->").map(|term| term.split_once('*').map_or(term, |(_, action)| action).to_owned());
        terms.filter(|action| action != "off").map(|action| (point.clone(), action)).collect::<Vec<_>>()
    };
    parts.flat_map(actions).collect()
}

/// A process with its lives.
pub(super) struct Process {
    shown: &'static str,
    lives: Vec<&'static str>,
    shared: Arc<Mutex<Shared>>,
    watcher: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    child: Option<Child>,
    /// What all lives have said, in order.
    said: Vec<String>,
    over: bool,
}

impl Process {
    pub(super) fn start(
        shown: &'static str,
        lives: &[&'static str],
        command: impl Fn() -> Command + Send + 'static,
    ) -> Self {
        let shared = Arc::new(Mutex::new(Shared::default()));
        let (watched, all) = (shared.clone(), lives.to_vec());
        let watcher = thread::spawn(move || {
            let mut left = all.into_iter();
            loop {
                let mut command = command();
                command.env(VARIABLE, left.next().unwrap_or_default());
                let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
                let mut child = command.spawn().expect("the binary starts");
                let stderr = BufReader::new(child.stderr.take().expect("it was piped"));
                with(&watched, |shared| shared.child = Some(child));
                for line in stderr.lines().map_while(Result::ok) {
                    with(&watched, |shared| shared.said.push(line));
                }
                let ended = with(&watched, |shared| {
                    let _ = shared.child.take().map(|mut child| child.wait());
                    shared.over
                });
                if ended {
                    return;
                }
            }
        });
        Self { shown, lives: lives.to_vec(), shared, watcher: Some(watcher) }
    }

    /// What has not happened yet of all that is to happen.
    pub(super) fn pending(&self) -> Vec<String> {
        let mut wanted: BTreeMap<Fault, i64> = BTreeMap::new();
        for fault in self.lives.iter().flat_map(|life| faults(life)) {
            *wanted.entry(fault).or_default() += 1;
        }
        for line in self.said() {
            if let Some((point, rest)) = line.strip_prefix("fail point ").and_then(|rest| rest.split_once(','))
                && let Some((_, action)) = rest.rsplit_once(' ')
                && let Some(left) = wanted.get_mut(&(point.to_owned(), action.to_owned()))
            {
                *left -= 1;
            }
        }
        let left = wanted.into_iter().filter(|(_, left)| *left > 0);
        left.map(|((point, action), _)| format!("{}: {point}={action}", self.shown)).collect()
    }

    pub(super) fn said(&self) -> Vec<String> {
        with(&self.shared, |shared| shared.said.clone())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let watcher = self.watcher.take().expect("it is joined once");
        while !watcher.is_finished() {
            with(&self.shared, |shared| {
                shared.over = true;
                let _ = shared.child.as_mut().map(Child::kill);
            });
            thread::sleep(Duration::from_millis(10));
        }
        let _ = watcher.join();
    }
}

fn with<T>(shared: &Mutex<Shared>, work: impl FnOnce(&mut Shared) -> T) -> T {
    work(&mut shared.lock().unwrap_or_else(PoisonError::into_inner))
}
