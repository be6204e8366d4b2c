//! How long rows take from when they were made until a transactional sink has made them visible, with a checkpoint every quarter of
//! a second: somebody looks at its folder again and again. Rows say when they were made, to the millisecond.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{
    Figure, Places, Verdict,
    processes::{Cluster, Size},
};

const JOB: &str = include_str!("visible.toml");
const TIME: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(2);
const DEMAND_MS: i64 = 600;
/// With fewer rows there is no saying what 99 of 100 did.
const ROWS: usize = 200;

pub(crate) fn figure(places: &Places) -> Result<Figure> {
    let cluster = Cluster::start(places, Size { taskmanagers: 1, slots: 2 })?;
    let folder = tempfile::Builder::new().prefix("visible-").tempdir_in(&places.folder);
    let folder = folder.with_context(|| format!("could not make a folder in {}", places.folder.display()))?;
    let path = format!("sink.out.path=\"{}\"", folder.path().join("rows.jsonl").display());
    let id = cluster.client.submit(JOB, &[path])?;
    cluster.client.wait_for(&id, "RUNNING", LOOK)?;
    let mut took = watch(folder.path())?;
    cluster.client.cancel(&id)?;
    ensure!(took.len() >= ROWS, "only {} rows became visible in {TIME:?}", took.len());
    took.sort_unstable();
    let of = |thousandth: usize| took[(took.len() - 1) * thousandth / 1_000];
    let (p50, p99, max) = (of(500), of(990), of(1_000));
    Ok(Figure {
        name: "a checkpoint every 250 ms, rolling files: until 99 of 100 rows are visible".to_owned(),
        demand: format!("<= {DEMAND_MS} ms"),
        measured: format!("{p99} ms; a half {p50} ms, the slowest of {} {max} ms", took.len()),
        verdict: Verdict::of(p99 <= DEMAND_MS),
        values: vec![("p50_ms", p50 as f64), ("p99_ms", p99 as f64), ("max_ms", max as f64)],
    })
}

/// For each row that appears in files of a folder: how old it is when it is first seen, ms.
fn watch(folder: &Path) -> Result<Vec<i64>> {
    let (mut took, mut seen) = (Vec::new(), BTreeSet::new());
    let began = Instant::now();
    while began.elapsed() < TIME {
        for path in new_files(folder, &mut seen)? {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).context("the clock is wrong")?;
            let now_ms = i64::try_from(now.as_millis()).context("the clock is wrong")?;
            let text = fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
            for line in text.lines() {
                took.push(now_ms - made_at_ms(line)?);
            }
        }
        thread::sleep(LOOK);
    }
    Ok(took)
}

fn new_files(folder: &Path, seen: &mut BTreeSet<PathBuf>) -> Result<Vec<PathBuf>> {
    let mut new = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("could not list {}", folder.display()))? {
        let path = entry.with_context(|| format!("could not list {}", folder.display()))?.path();
        if path.extension().is_some_and(|ending| ending == "jsonl") && seen.insert(path.clone()) {
            new.push(path);
        }
    }
    Ok(new)
}

fn made_at_ms(line: &str) -> Result<i64> {
    let row: Value = serde_json::from_str(line).context("a row is no JSON")?;
    row["at"].as_i64().with_context(|| format!("`{line}` does not say when it was made"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_with_their_name_are_seen_and_each_once() {
        let folder = tempfile::tempdir().expect("temporary folders can be made");
        let mut seen = BTreeSet::new();
        for name in ["rows.0.000001.jsonl", ".rows.jsonl.abcdef.tmp"] {
            fs::write(folder.path().join(name), "{}\n").expect("there is room");
        }
        let names = |seen: &mut BTreeSet<PathBuf>| new_files(folder.path(), seen).expect("it is there").len();
        assert_eq!((names(&mut seen), names(&mut seen)), (1, 0));
    }

    #[test]
    fn a_row_says_when_it_was_made() {
        assert_eq!(made_at_ms(r#"{"at":1700000000000,"count":1}"#).expect("it does"), 1_700_000_000_000);
        assert!(made_at_ms(r#"{"count":1}"#).is_err());
    }
}
