//! A source that keeps in step reads only while it is no further ahead of the slowest of the others than it may drift. One that was
//! silent may come back behind the others: of its attempt nothing is said.

use std::collections::{BTreeMap, BTreeSet};

use wasmill_flow::Progress;
use wasmill_model::time;

use crate::checkers::{Fact, Try};

#[derive(Debug, Default)]
pub(crate) struct Drift {
    standing: BTreeMap<(Try, u32), Progress>,
    silent: BTreeSet<Try>,
}

impl Drift {
    pub(crate) fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Silent { of, .. } => drop(self.silent.insert(*of)),
            Fact::Stands { of, source, progress } => drop(self.standing.insert((*of, *source), *progress)),
            Fact::Reads { of, source, sources, drift_ms } if !self.silent.contains(of) => {
                let watermark = |source| match self.standing.get(&(*of, source)) {
                    Some(Progress::Watermark(watermark)) => Some(*watermark),
                    Some(Progress::Idle | Progress::Finished) => None,
                    None => Some(time::MIN),
                };
                let own = watermark(*source).unwrap_or(time::MIN);
                let slowest = (0..*sources).filter(|other| other != source).filter_map(watermark).min();
                let ahead = slowest.is_some_and(|slowest| own > slowest.saturating_add_unsigned(*drift_ms));
                // The first rows may be read before anything is known of others.
                if ahead && own > time::MIN {
                    let (job, attempt) = of;
                    return Err(format!(
                        "source {source} of {attempt} of {job} reads on more than {drift_ms} ms ahead"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
