//! A cluster that is killed again and again, and whose results must be those of a run that nobody disturbed.
//!
//! Each round runs a ledger: every event adds one to the count of its bidder, and every new count is written by a transactional sink.
//! Meanwhile processes of both roles are killed, stopped for a while and started again, the job is rescaled, and stopped and begun
//! again from its savepoint. At the end the rows in all files, sorted, must be byte for byte those of `wasmill run` on the same job:
//! a row that is missing was lost, one that is there twice was counted twice.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    cluster::processes::{Cluster, Size},
    places::Places,
};

mod trouble;

use trouble::{Random, Trouble};

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) minutes: u64,
    pub(crate) seed: u64,
}

const JOB: &str = include_str!("soak/ledger.toml");
const SIZE: Size = Size { taskmanagers: 3, slots: 4 };
/// Events of a round, at least and at most.
const EVENTS: (u64, u64) = (60_000, 160_000);
/// A round that takes longer has come to a standstill.
const ROUND_MAX: Duration = Duration::from_secs(300);

/// What the soak has come to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) rounds: u64,
    pub(crate) kills: u64,
    pub(crate) pauses: u64,
    pub(crate) scales: u64,
    pub(crate) stops: u64,
    rows: u64,
    lost: u64,
    duplicated: u64,
}

/// Disturbs rounds until the time is over. An error if a row was lost or counted twice.
pub(crate) fn run(options: &Options) -> Result<()> {
    let places = Places::find()?;
    let mut random = Random::new(options.seed);
    let mut tally = Tally::default();
    let began = Instant::now();
    while tally.rounds == 0 || began.elapsed() < Duration::from_secs(60 * options.minutes) {
        round(&places, &mut random, &mut tally).with_context(|| {
            format!("round {} of seed {}; so far: {}", tally.rounds + 1, options.seed, shown(&tally))
        })?;
        println!("{}", shown(&tally));
        ensure!(tally.lost + tally.duplicated == 0, "rows were lost or counted twice, with seed {}", options.seed);
    }
    Ok(())
}

fn shown(tally: &Tally) -> String {
    let Tally { rounds, kills, pauses, scales, stops, rows, lost, duplicated } = tally;
    format!(
        "{rounds} rounds: {kills} kills, {pauses} pauses, {scales} rescalings, {stops} stops; {rows} rows verified, {lost} \
         lost, {duplicated} duplicated"
    )
}

/// One ledger from its first event to its last, in a cluster of its own.
fn round(places: &Places, random: &mut Random, tally: &mut Tally) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("soak-").tempdir_in(&places.folder);
    let folder = folder.with_context(|| format!("could not make a folder in {}", places.folder.display()))?;
    let events = random.between(EVENTS.0, EVENTS.1);
    let plain = folder.path().join("plain");
    undisturbed(places, events, &plain)?;
    let disturbed = folder.path().join("disturbed");
    let settings = vec![
        format!("source.bids.events={events}"),
        format!("source.bids.seed={events}"),
        format!("source.bids.rate={}", random.between(4_000, 9_000)),
        format!("job.parallelism={}", random.between(1, 4)),
        format!("job.checkpoints.interval=\"{}ms\"", random.between(100, 900)),
        format!("sink.out.roll.every=\"{}ms\"", random.between(1, 1_500)),
        format!("sink.out.path=\"{}\"", disturbed.join("counts.jsonl").display()),
    ];
    let cluster = Cluster::start(places, SIZE)?;
    let id = cluster.client.submit(JOB, &settings)?;
    let mut trouble = Trouble::new(cluster, id, settings);
    let began = Instant::now();
    while !trouble.has_finished()? {
        ensure!(began.elapsed() < ROUND_MAX, "the job did not finish in {ROUND_MAX:?}: {}", trouble.state());
        trouble.make(JOB, random, tally)?;
    }
    let (expected, found) = (rows(&plain)?, rows(&disturbed)?);
    let (lost, duplicated) = compare(&expected, &found);
    tally.rounds += 1;
    tally.rows += expected.values().sum::<u64>();
    tally.lost += lost;
    tally.duplicated += duplicated;
    if lost + duplicated > 0 {
        let kept = folder.keep();
        bail!("{lost} rows lost, {duplicated} duplicated; the files are in {}", kept.display());
    }
    Ok(())
}

/// The same job, where nothing happens.
fn undisturbed(places: &Places, events: u64, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("could not make {}", folder.display()))?;
    let job = folder.join("job.toml");
    fs::write(&job, JOB).with_context(|| format!("could not write {}", job.display()))?;
    let counts = folder.join("counts.jsonl");
    let settings = [
        format!("source.bids.events={events}"),
        format!("source.bids.seed={events}"),
        format!("operator.count.plugin=\"{}\"", places.plugin("keyed-counter").display()),
        format!("sink.out.path=\"{}\"", counts.display()),
        "sink.out.roll=false".to_owned(),
    ];
    let mut command = Command::new(&places.wasmill);
    command.arg("run").arg(&job).args(settings.iter().flat_map(|set| ["--set", set]));
    let output = command.output().with_context(|| format!("could not start {}", places.wasmill.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the undisturbed run has failed:\n{said}");
    fs::remove_file(&job).with_context(|| format!("could not remove {}", job.display()))
}

/// All lines of all files of a folder, and how often each is there. What is not visible does not count.
fn rows(folder: &Path) -> Result<BTreeMap<String, u64>> {
    let mut rows = BTreeMap::new();
    let entries = fs::read_dir(folder).with_context(|| format!("could not list {}", folder.display()))?;
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in entries {
        paths.push(entry.with_context(|| format!("could not list {}", folder.display()))?.path());
    }
    for path in paths.iter().filter(|path| path.extension().is_some_and(|ending| ending == "jsonl")) {
        let text = fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
        ensure!(text.is_empty() || text.ends_with('\n'), "{} ends within a row", path.display());
        for line in text.lines() {
            *rows.entry(line.to_owned()).or_default() += 1;
        }
    }
    Ok(rows)
}

/// How many rows are missing, and how many are there too often.
fn compare(expected: &BTreeMap<String, u64>, found: &BTreeMap<String, u64>) -> (u64, u64) {
    let of = |rows: &BTreeMap<String, u64>, row: &String| rows.get(row).copied().unwrap_or_default();
    let lost = expected.iter().map(|(row, count)| count.saturating_sub(of(found, row))).sum();
    let duplicated = found.iter().map(|(row, count)| count.saturating_sub(of(expected, row))).sum();
    (lost, duplicated)
}

/// Reads `--minutes N` and `--seed S`.
pub(crate) fn options(words: &[&str]) -> Result<Options> {
    let mut options = Options { minutes: 1, seed: 1 };
    for pair in words.chunks(2) {
        let [name, value] = pair else { bail!("`{}` wants a number", pair.join(" ")) };
        let number = value.parse().with_context(|| format!("{name} wants a number, not `{value}`"))?;
        match *name {
            "--minutes" => options.minutes = number,
            "--seed" => options.seed = number,
            _ => bail!("`{name}` is no option of soak: there are --minutes and --seed"),
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_and_duplicated_rows_are_told_apart() {
        let rows = |all: &[(&str, u64)]| all.iter().map(|(row, count)| ((*row).to_owned(), *count)).collect();
        let expected: BTreeMap<String, u64> = rows(&[("a", 1), ("b", 2), ("c", 1)]);
        assert_eq!(compare(&expected, &expected), (0, 0));
        assert_eq!(compare(&expected, &rows(&[("a", 3), ("b", 1), ("d", 1)])), (2, 3));
    }

    #[test]
    fn only_visible_rows_count_and_a_torn_one_is_an_error() {
        let folder = tempfile::tempdir().expect("temporary folders can be made");
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("there is room");
        write("counts.0.000001.jsonl", "a\nb\n");
        write("counts.1.000001.jsonl", "a\n");
        write(".counts.jsonl.abcdef.tmp", "c\n");
        let found = rows(folder.path()).expect("it can be read");
        assert_eq!(found, BTreeMap::from([("a".to_owned(), 2), ("b".to_owned(), 1)]));
        write("counts.2.000001.jsonl", "a\nb");
        assert!(rows(folder.path()).is_err());
    }

    #[test]
    fn options_are_read_and_nonsense_is_refused() {
        assert_eq!(options(&["--minutes", "3", "--seed", "7"]).expect("well formed"), Options { minutes: 3, seed: 7 });
        for nonsense in [&["--minutes"][..], &["--seed", "x"], &["--hours", "1"]] {
            assert!(options(nonsense).is_err(), "{nonsense:?}");
        }
    }
}
