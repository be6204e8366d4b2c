//! A job with many keys: they come in a job of their own, which is stopped with a savepoint that others begin from.

use std::time::Duration;

use anyhow::Result;

use super::{STEADY, processes::Cluster, wait};

/// The savepoint.
pub(super) const SAVEPOINT: &str = "filled";
/// How many there are.
pub(super) const KEYS: u64 = 1_000_000;
/// Rows after which nearly all of them have come.
pub(super) const ROWS: u64 = 8 * KEYS;
const ROWS_PER_SECOND: u64 = 2_000_000;
const LOOK: Duration = Duration::from_millis(2);

/// Rows of all keys at a rate, as settings of [`STEADY`].
pub(super) fn rows_at(rate: u64, checkpoints: &str) -> Vec<String> {
    vec![format!("source.bids.rate={rate}"), format!("source.bids.keys={KEYS}"), checkpoints.to_owned()]
}

/// Makes the savepoint.
pub(super) fn make(cluster: &Cluster, checkpoints: &str) -> Result<()> {
    let id = cluster.client.submit(STEADY, &rows_at(ROWS_PER_SECOND, checkpoints))?;
    wait("the keys", Duration::from_millis(50), || {
        Ok((cluster.client.job(&id)?.summary.rows_written >= ROWS).then_some(()))
    })?;
    cluster.client.stop(&id, SAVEPOINT)?;
    cluster.client.wait_for(&id, "STOPPED", LOOK)?;
    wait("the savepoint", LOOK, || Ok(cluster.client.job(&id)?.summary.savepoint)).map(drop)
}

/// A job that goes on from there, once it runs.
pub(super) fn go_on(cluster: &Cluster, settings: &[String]) -> Result<String> {
    let id = cluster.client.submit_from(STEADY, settings, SAVEPOINT)?;
    cluster.client.wait_for(&id, "RUNNING", LOOK)?;
    Ok(id)
}
