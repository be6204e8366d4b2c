//! Which copies there are, and which of them go. It touches no file: each copy has a number, by which its file is called.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use wasmill_model::ids::JobId;

use crate::store::Name;

/// The copies that there are. Whoever is told numbers removes their files.
#[derive(Debug)]
pub(super) struct Ledger {
    bytes_max: u64,
    bytes: u64,
    last_number: u64,
    /// The oldest first.
    copies: BTreeMap<u64, Copy>,
    by_name: BTreeMap<Name, u64>,
    /// Of jobs that have copies: when they were last seen to run here.
    seen: BTreeMap<JobId, Instant>,
}

#[derive(Debug)]
struct Copy {
    job: JobId,
    name: Name,
    bytes: u64,
}

impl Ledger {
    pub(super) fn new(bytes_max: u64) -> Self {
        Self {
            bytes_max,
            bytes: 0,
            last_number: 0,
            copies: BTreeMap::new(),
            by_name: BTreeMap::new(),
            seen: BTreeMap::new(),
        }
    }

    /// Adds a copy, in place of one of the same name. `None`: it is larger than all may be together. And the numbers of those that go.
    pub(super) fn keep(&mut self, job: JobId, name: &Name, bytes: u64) -> (Option<u64>, Vec<u64>) {
        if bytes > self.bytes_max {
            return (None, Vec::new());
        }
        let mut removed: Vec<u64> = self.discard(name).into_iter().collect();
        while self.bytes + bytes > self.bytes_max {
            let Some((&oldest, _)) = self.copies.first_key_value() else { break };
            self.remove(oldest);
            removed.push(oldest);
        }
        self.last_number += 1;
        self.bytes += bytes;
        self.copies.insert(self.last_number, Copy { job, name: name.clone(), bytes });
        self.by_name.insert(name.clone(), self.last_number);
        (Some(self.last_number), removed)
    }

    pub(super) fn find(&self, name: &Name) -> Option<u64> {
        self.by_name.get(name).copied()
    }

    /// Forgets a copy; its number, if there is one.
    pub(super) fn discard(&mut self, name: &Name) -> Option<u64> {
        let number = self.find(name)?;
        self.remove(number);
        Some(number)
    }

    /// Forgets the copies of a job but these.
    pub(super) fn retain(&mut self, job: JobId, stays: impl Fn(&Name) -> bool) -> Vec<u64> {
        self.remove_all(|copy| copy.job == job && !stays(&copy.name))
    }

    /// Forgets the copies of jobs that were not seen to run here for so long.
    pub(super) fn advance(&mut self, now: Instant, left_for: Duration, running: impl Fn(JobId) -> bool) -> Vec<u64> {
        let mut seen = std::mem::take(&mut self.seen);
        for job in self.copies.values().map(|copy| copy.job) {
            let at = seen.get(&job).copied().filter(|_| !running(job)).unwrap_or(now);
            self.seen.insert(job, at);
        }
        seen.retain(|job, _| self.seen.contains_key(job));
        let is_left = |job: &JobId| self.seen.get(job).is_some_and(|at| now.duration_since(*at) >= left_for);
        let left: Vec<JobId> = self.seen.keys().copied().filter(is_left).collect();
        self.remove_all(|copy| left.contains(&copy.job))
    }

    fn remove_all(&mut self, goes: impl Fn(&Copy) -> bool) -> Vec<u64> {
        let removed: Vec<u64> = self.copies.iter().filter(|(_, copy)| goes(copy)).map(|(number, _)| *number).collect();
        removed.iter().for_each(|number| self.remove(*number));
        removed
    }

    fn remove(&mut self, number: u64) {
        if let Some(copy) = self.copies.remove(&number) {
            self.bytes -= copy.bytes;
            self.by_name.remove(&copy.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const MAX: u64 = 100;

    fn name(number: u64) -> Name {
        format!("c/job-1/files/{number}").parse().expect("it is a name")
    }

    #[test]
    fn the_oldest_make_room() {
        let mut ledger = Ledger::new(MAX);
        assert_eq!(ledger.keep(JobId(1), &name(1), 60), (Some(1), vec![]));
        assert_eq!(ledger.keep(JobId(2), &name(2), 30), (Some(2), vec![]));
        assert_eq!(ledger.keep(JobId(1), &name(3), 10), (Some(3), vec![]));
        assert_eq!(ledger.keep(JobId(1), &name(4), 80), (Some(4), vec![1, 2]), "3 fits beside it");
        assert_eq!(ledger.keep(JobId(1), &name(5), MAX + 1), (None, vec![]), "no room can be made for it");
        assert_eq!(ledger.keep(JobId(1), &name(4), 80), (Some(5), vec![4]), "again, in its own place");
        assert_eq!([3, 4, 5].map(|number| ledger.find(&name(number))), [Some(3), Some(5), None]);
        assert_eq!(Ledger::new(0).keep(JobId(1), &name(1), 1), (None, vec![]));
    }

    #[test]
    fn copies_of_a_job_that_does_not_run_here_go_after_a_while() {
        let (begin, minute) = (Instant::now(), Duration::from_secs(60));
        let mut ledger = Ledger::new(MAX);
        ledger.keep(JobId(1), &name(1), 1);
        ledger.keep(JobId(2), &name(2), 1);
        let mut check = |minutes: u32, running: u64, expect: &[u64]| {
            let removed = ledger.advance(begin + minutes * minute, 10 * minute, |job| job == JobId(running));
            assert_eq!(removed, expect, "after {minutes} minutes");
        };
        check(0, 1, &[]);
        check(9, 1, &[]);
        // The other, which was seen first and ran again.
        check(9, 2, &[]);
        check(19, 2, &[1]);
        check(28, 3, &[]);
        check(29, 3, &[2]);
    }

    #[derive(Debug, Clone)]
    enum Does {
        Keep(u64, u64, u64),
        Discard(u64),
        Retain(u64, BTreeSet<u64>),
    }

    fn does() -> impl Strategy<Value = Does> {
        prop_oneof![
            4 => (0_u64..3, 0_u64..12, 0_u64..=MAX + 10).prop_map(|(job, name, bytes)| Does::Keep(job, name, bytes)),
            1 => (0_u64..12).prop_map(Does::Discard),
            1 => (0_u64..3, prop::collection::btree_set(0_u64..12, 0..6)).prop_map(|(job, stays)| Does::Retain(job, stays)),
        ]
    }

    proptest! {
        /// Files are those of the copies that are known, whatever happens, and have their bound.
        #[test]
        fn files_and_ledger_agree(all in prop::collection::vec(does(), 0..60)) {
            let mut ledger = Ledger::new(MAX);
            // By number: job, name and bytes of each file that lies there.
            let mut files: BTreeMap<u64, (u64, u64, u64)> = BTreeMap::new();
            for does in all {
                match does {
                    Does::Keep(job, of, bytes) => {
                        let (number, removed) = ledger.keep(JobId(job), &name(of), bytes);
                        removed.iter().for_each(|number| take(&mut files, *number));
                        prop_assert_eq!(number.is_none(), bytes > MAX);
                        if let Some(number) = number {
                            prop_assert!(files.keys().all(|older| *older < number));
                            files.insert(number, (job, of, bytes));
                        }
                    }
                    Does::Discard(of) => {
                        let expect = files.iter().find(|(_, file)| file.1 == of).map(|(number, _)| *number);
                        prop_assert_eq!(ledger.discard(&name(of)), expect);
                        expect.iter().for_each(|number| take(&mut files, *number));
                    }
                    Does::Retain(job, stays) => {
                        let removed = ledger.retain(JobId(job), |named| stays.iter().any(|of| name(*of) == *named));
                        removed.iter().for_each(|number| take(&mut files, *number));
                        prop_assert!(files.values().all(|file| file.0 != job || stays.contains(&file.1)));
                    }
                }
                prop_assert!(files.values().map(|file| file.2).sum::<u64>() <= MAX);
                for of in 0..12 {
                    let lies = files.iter().find(|(_, file)| file.1 == of).map(|(number, _)| *number);
                    prop_assert_eq!(ledger.find(&name(of)), lies);
                }
            }
        }
    }

    fn take(files: &mut BTreeMap<u64, (u64, u64, u64)>, number: u64) {
        assert!(files.remove(&number).is_some(), "there is no file {number}");
    }
}
