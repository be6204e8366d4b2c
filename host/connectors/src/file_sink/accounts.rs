//! Whether it is known what has become of a file that a checkpoint names and that is not there: that it was visible once, or that it is
//! given up. One of which nothing is known is lost, and with it rows.

use std::path::{Path, PathBuf};

use super::{
    part::Kept as KeptPart,
    transactional::{Closed, Kept, read},
};
use crate::SinkParts;

/// What is known beside what the checkpoint itself keeps.
pub(super) struct Accounts {
    /// The folder that files lie in now.
    folder: u64,
    visible: bool,
    given_up: bool,
    /// Temporary files of later checkpoints that became visible by these.
    published: Vec<PathBuf>,
}

impl Accounts {
    pub(super) fn new(restored: &SinkParts, folder: u64) -> Self {
        let mut published = Vec::new();
        for (kept, visible) in &restored.later {
            // What cannot be understood says nothing.
            let kept = kept.iter().filter_map(|value| read(value, Path::new("")).ok());
            for Closed { part, target } in kept.flat_map(|kept: Kept| kept.closed) {
                if *visible || target.exists() {
                    published.push(part.temporary);
                }
            }
        }
        Self { folder, visible: restored.visible, given_up: restored.given_up, published }
    }

    /// Of a file that was closed, and that lay in a folder of this number.
    pub(super) fn closed(&self, part: &KeptPart, folder: u64) -> bool {
        self.visible && folder == self.folder || self.open(part)
    }

    /// Of a file that was still written.
    pub(super) fn open(&self, part: &KeptPart) -> bool {
        self.given_up || self.published.contains(&part.temporary)
    }
}
