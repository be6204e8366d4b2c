//! Which files the parts of an attempt's subtasks name, for as long as another attempt may begin from them.

use std::collections::{BTreeMap, BTreeSet};

use wasmill_model::ids::{CheckpointId, Subtask};
use wasmill_snapshot::store::Name;

/// The files of parts. Bounded by the checkpoints that are under way: those that are given up are forgotten.
#[derive(Debug, Default)]
pub(super) struct Named {
    parts: BTreeMap<Subtask, BTreeMap<CheckpointId, BTreeSet<Name>>>,
    /// The newest complete checkpoint, and the newest given up, of which it was told.
    told: (Option<CheckpointId>, Option<CheckpointId>),
}

impl Named {
    /// A subtask's part names these files. Its part of its end comes under the newest checkpoint that it took part in.
    pub(super) fn add(&mut self, subtask: Subtask, checkpoint: CheckpointId, files: impl Iterator<Item = Name>) {
        self.parts.entry(subtask).or_default().entry(checkpoint).or_default().extend(files);
    }

    /// Forgets parts of checkpoints that are given up, and of those before the newest that is complete. Returns whether one has become
    /// complete.
    pub(super) fn forget(&mut self, completed: Option<CheckpointId>, given_up: Option<CheckpointId>) -> bool {
        let told = std::mem::replace(&mut self.told, (completed, given_up));
        if told == self.told {
            return false;
        }
        for parts in self.parts.values_mut() {
            // Of one that has ended there may be an older part only, which belongs to every later checkpoint.
            let newest = parts.keys().copied().rfind(|checkpoint| Some(*checkpoint) <= completed);
            parts.retain(|checkpoint, _| {
                Some(*checkpoint) >= newest && (Some(*checkpoint) <= completed || Some(*checkpoint) > given_up)
            });
        }
        told.0 != completed
    }

    /// The files of all that is left.
    pub(super) fn files(&self) -> impl Iterator<Item = &Name> {
        self.parts.values().flat_map(BTreeMap::values).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Subtask = Subtask { chain: 0, index: 0 };
    const B: Subtask = Subtask { chain: 0, index: 1 };

    fn add(named: &mut Named, subtask: Subtask, checkpoint: u64, files: &[&str]) {
        let files = files.iter().map(|name| name.parse().expect("it is a name"));
        named.add(subtask, CheckpointId(checkpoint), files);
    }

    #[track_caller]
    fn check(named: &Named, expect: &str) {
        let mut files: Vec<&str> = named.files().map(Name::as_str).collect();
        files.sort_unstable();
        files.dedup();
        assert_eq!(files.join(" "), expect);
    }

    #[test]
    fn files_stay_until_a_later_checkpoint_is_complete() {
        let mut named = Named::default();
        add(&mut named, A, 1, &["a1"]);
        add(&mut named, B, 1, &["b1"]);
        assert!(!named.forget(None, None));
        add(&mut named, A, 2, &["a2"]);
        assert!(named.forget(Some(CheckpointId(1)), None));
        check(&named, "a1 a2 b1");
        assert!(!named.forget(Some(CheckpointId(1)), None), "nothing is new");
        // B has ended: what it had at its end belongs to every later checkpoint.
        add(&mut named, B, 1, &["b1", "b-end"]);
        assert!(named.forget(Some(CheckpointId(2)), None));
        check(&named, "a2 b-end b1");
    }

    #[test]
    fn what_is_given_up_is_forgotten_and_the_complete_one_before_it_is_not() {
        let mut named = Named::default();
        (1..=4).for_each(|checkpoint| add(&mut named, A, checkpoint, &[&format!("a{checkpoint}")]));
        assert!(named.forget(Some(CheckpointId(1)), Some(CheckpointId(3))));
        check(&named, "a1 a4");
        assert!(!named.forget(Some(CheckpointId(1)), Some(CheckpointId(4))), "none has become complete");
        check(&named, "a1");
    }
}
