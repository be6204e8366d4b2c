//! A cluster that is killed again and again, and whose results must be those of a run that nobody disturbed.
//!
//! There are three kinds of rounds. In a *ledger* every event adds one to the count of its bidder, and every new count is written by a
//! transactional sink. In a *bank* every event is a transfer of money, of which the credit is in transit for a while. *Totals* are written
//! at the end only.
//! Meanwhile processes of both roles are killed, stopped for a while and started again, the connections between them are held or reset,
//! files of the newest checkpoint are damaged, the job is rescaled, and stopped and begun again from its savepoint. At the end the
//! rows in all files, sorted, must be byte for byte those of `wasmill run` on the same job: a row that is missing was lost, one that is
//! there twice was counted twice. Of a bank the money is counted besides, at the end and in savepoints that are taken on the way.
//! Whoever looks at the rows must find each one that is taken away, doubled or altered after the round.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::{
    cluster::processes::{Cluster, Size},
    places::Places,
};

mod audit;
mod bank;
mod bites;
mod damage;
mod trouble;

use bank::Bookings;
use trouble::{Random, Subject, Trouble};

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) minutes: u64,
    pub(crate) seed: u64,
    /// The only kind of rounds there is to be.
    pub(crate) only: Option<Kind>,
}

/// What a round is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ledger,
    Bank,
    Totals,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Ledger, Self::Bank, Self::Totals];

    fn job(self) -> &'static str {
        match self {
            Self::Ledger => include_str!("soak/ledger.toml"),
            Self::Bank => include_str!("soak/bank.toml"),
            Self::Totals => include_str!("soak/totals.toml"),
        }
    }

    /// Its operators, and their plugins.
    fn operators(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Ledger | Self::Totals => &[("count", "keyed-counter")],
            Self::Bank => &[("transfers", "rust-transfers"), ("accounts", "rust-accounts")],
        }
    }

    /// Its sinks; each writes to files that begin with its name.
    fn sinks(self) -> &'static [&'static str] {
        match self {
            Self::Ledger => &["counts"],
            Self::Bank => &["bookings", "balances"],
            Self::Totals => &["totals"],
        }
    }

    /// Events of a round, at least and at most.
    fn events(self) -> (u64, u64) {
        match self {
            Self::Ledger | Self::Totals => (60_000, 160_000),
            Self::Bank => (40_000, 100_000),
        }
    }
}

const SIZE: Size = Size { taskmanagers: 3, slots: 4 };
/// A round that takes longer has come to a standstill.
const ROUND_MAX: Duration = Duration::from_secs(300);
/// Violations that a message lists.
const LISTED: usize = 5;

/// What the soak has come to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) rounds: u64,
    pub(crate) kills: u64,
    pub(crate) pauses: u64,
    pub(crate) partitions: u64,
    pub(crate) scales: u64,
    pub(crate) stops: u64,
    pub(crate) audits: u64,
    /// Files of checkpoints that were damaged, and what followed: checkpoints that were passed over, decisions that were taken.
    pub(crate) damages: u64,
    pub(crate) passed: u64,
    pub(crate) decisions: u64,
    rows: u64,
    lost: u64,
    duplicated: u64,
    pub(crate) violations: u64,
}

/// Disturbs rounds until the time is over. An error if a row was lost or counted twice, or money was.
pub(crate) fn run(options: &Options) -> Result<()> {
    let places = Places::find()?;
    let mut random = Random::new(options.seed);
    let mut tally = Tally::default();
    let began = Instant::now();
    while tally.rounds == 0 || began.elapsed() < Duration::from_secs(60 * options.minutes) {
        let drawn = Kind::ALL[random.between(0, 2) as usize];
        let kind = options.only.unwrap_or(drawn);
        let done = round(&places, kind, &mut random, &mut tally);
        done.map_err(|error| {
            let (round, seed) = (tally.rounds + 1, options.seed);
            error.context(format!("round {round} of seed {seed}, a {kind:?}; so far: {}", shown(&tally)))
        })?;
        println!("{}", shown(&tally));
    }
    // A round in which they did not has ended the soak.
    println!("oracle bites: yes");
    Ok(())
}

fn shown(tally: &Tally) -> String {
    let Tally { rounds, kills, pauses, partitions, scales, stops, audits, .. } = tally;
    let Tally { damages, passed, decisions, rows, lost, duplicated, violations, .. } = tally;
    format!(
        "{rounds} rounds: {kills} kills, {pauses} pauses, {partitions} partitions, {scales} rescalings, {stops} stops, {audits} \
         audits, {damages} damages, {passed} checkpoints passed over, {decisions} decisions; {rows} rows verified, {lost} lost, \
         {duplicated} duplicated, {violations} violations"
    )
}

/// A job with so many events, and where its rows are.
struct Round {
    kind: Kind,
    events: u64,
    folder: TempDir,
}

impl Round {
    /// Where the run writes to which nothing happens.
    fn plain(&self) -> PathBuf {
        self.folder.path().join("plain")
    }

    fn disturbed(&self) -> PathBuf {
        self.folder.path().join("disturbed")
    }
}

/// One job from its first event to its last, in a cluster of its own.
fn round(places: &Places, kind: Kind, random: &mut Random, tally: &mut Tally) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("soak-").tempdir_in(&places.folder);
    let folder = folder.with_context(|| format!("could not make a folder in {}", places.folder.display()))?;
    let (least, most) = kind.events();
    let events = random.between(least, most);
    let round = Round { kind, events, folder };
    let disturbed = round.disturbed();
    undisturbed(places, &round)?;
    let mut settings = vec![
        format!("source.bids.events={events}"),
        format!("source.bids.seed={events}"),
        format!("source.bids.rate={}", random.between(4_000, 9_000)),
        format!("job.parallelism={}", random.between(1, 4)),
        format!("job.checkpoints.interval=\"{}ms\"", random.between(100, 900)),
    ];
    for sink in kind.sinks() {
        settings.push(format!("sink.{sink}.roll.every=\"{}ms\"", random.between(1, 1_500)));
        settings.push(format!("sink.{sink}.path=\"{}\"", disturbed.join(format!("{sink}.jsonl")).display()));
    }
    fs::create_dir_all(&disturbed).with_context(|| format!("could not make {}", disturbed.display()))?;
    let cluster = Cluster::linked(places, SIZE)?;
    for (_, plugin) in kind.operators() {
        cluster.client.push(&places.plugin(plugin), plugin)?;
    }
    let id = cluster.client.submit(kind.job(), &settings)?;
    let subject = Subject { kind, settings, wasmill: places.wasmill.clone(), output: disturbed };
    let mut trouble = Trouble::new(cluster, id, subject);
    let found = disturb(&mut trouble, random, tally).and_then(|()| verify(&round, tally));
    found.and_then(|()| bites::check(&round, random)).map_err(|error| {
        let diary = trouble.keep();
        let rows = keep(round.folder);
        error
            .context(format!("the rows are in {rows}, what was done to which process in {diary}, their logs beside it"))
    })?;
    tally.rounds += 1;
    Ok(())
}

fn keep(folder: TempDir) -> String {
    folder.keep().display().to_string()
}

/// Disturbs a job until it has come to its end.
fn disturb(trouble: &mut Trouble, random: &mut Random, tally: &mut Tally) -> Result<()> {
    let began = Instant::now();
    while !trouble.has_finished(tally)? {
        ensure!(began.elapsed() < ROUND_MAX, "the job did not finish in {ROUND_MAX:?}: {}", trouble.state());
        trouble.make(random, tally)?;
    }
    trouble.finish(tally)
}

/// What is to be seen of a round when it is over.
struct Findings {
    rows: u64,
    lost: u64,
    duplicated: u64,
    violations: Vec<String>,
}

/// Compares what came out with what comes out undisturbed, and counts the money.
fn examine(round: &Round) -> Result<Findings> {
    let (expected, found) = (rows(&round.plain())?, rows(&round.disturbed())?);
    let (lost, duplicated) = compare(&expected, &found);
    let violations = match round.kind {
        Kind::Ledger | Kind::Totals => Vec::new(),
        Kind::Bank => Bookings::read(&found)?.violations_at_the_end(round.events),
    };
    Ok(Findings { rows: expected.values().sum(), lost, duplicated, violations })
}

/// An error if anything is to be seen.
fn verify(round: &Round, tally: &mut Tally) -> Result<()> {
    let Findings { rows, lost, duplicated, violations } = examine(round)?;
    tally.rows += rows;
    tally.lost += lost;
    tally.duplicated += duplicated;
    tally.violations += violations.len() as u64;
    ensure!(
        lost + duplicated == 0 && violations.is_empty(),
        "{lost} rows lost, {duplicated} duplicated, {} violations: {}",
        violations.len(),
        first_of(&violations)
    );
    Ok(())
}

/// The first violations, to be read.
fn first_of(violations: &[String]) -> String {
    violations[..violations.len().min(LISTED)].join("; ")
}

/// The same job, where nothing happens.
fn undisturbed(places: &Places, round: &Round) -> Result<()> {
    let (kind, events, folder) = (round.kind, round.events, round.plain());
    fs::create_dir_all(&folder).with_context(|| format!("could not make {}", folder.display()))?;
    let job = folder.join("job.toml");
    fs::write(&job, kind.job()).with_context(|| format!("could not write {}", job.display()))?;
    let mut settings = vec![format!("source.bids.events={events}"), format!("source.bids.seed={events}")];
    for (operator, plugin) in kind.operators() {
        settings.push(format!("operator.{operator}.plugin=\"{}\"", places.plugin(plugin).display()));
    }
    for sink in kind.sinks() {
        settings.push(format!("sink.{sink}.path=\"{}\"", folder.join(format!("{sink}.jsonl")).display()));
        settings.push(format!("sink.{sink}.roll=false"));
    }
    let mut command = Command::new(&places.wasmill);
    command.arg("run").arg(&job).args(settings.iter().flat_map(|set| ["--set", set]));
    let output = command.output().with_context(|| format!("could not start {}", places.wasmill.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the undisturbed run has failed:\n{said}");
    fs::remove_file(&job).with_context(|| format!("could not remove {}", job.display()))
}

/// The files of a folder that can be seen.
fn visible(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("could not list {}", folder.display()))?;
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in entries {
        paths.push(entry.with_context(|| format!("could not list {}", folder.display()))?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "jsonl"));
    Ok(paths)
}

/// All lines of all files of a folder that can be seen, and how often each is there.
fn rows(folder: &Path) -> Result<BTreeMap<String, u64>> {
    let mut rows = BTreeMap::new();
    for path in visible(folder)? {
        let text = fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
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

/// Reads `--minutes N`, `--seed S` and `--only KIND`.
pub(crate) fn options(words: &[&str]) -> Result<Options> {
    let mut options = Options { minutes: 1, seed: 1, only: None };
    for pair in words.chunks(2) {
        let [name, value] = pair else { bail!("`{}` wants a value", pair.join(" ")) };
        let number = || value.parse().with_context(|| format!("{name} wants a number, not `{value}`"));
        match (*name, *value) {
            ("--minutes", _) => options.minutes = number()?,
            ("--seed", _) => options.seed = number()?,
            ("--only", "ledger") => options.only = Some(Kind::Ledger),
            ("--only", "bank") => options.only = Some(Kind::Bank),
            ("--only", "totals") => options.only = Some(Kind::Totals),
            ("--only", _) => bail!("--only wants `ledger`, `bank` or `totals`, not `{value}`"),
            _ => bail!("`{name}` is no option of soak: there are --minutes, --seed and --only"),
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
        let read = options(&["--minutes", "3", "--seed", "7"]).expect("well formed");
        assert_eq!(read, Options { minutes: 3, seed: 7, only: None });
        assert_eq!(options(&["--only", "bank"]).expect("well formed").only, Some(Kind::Bank));
        for nonsense in [&["--minutes"][..], &["--seed", "x"], &["--hours", "1"], &["--only", "church"]] {
            assert!(options(nonsense).is_err(), "{nonsense:?}");
        }
    }

    /// A round whose undisturbed run and whose other run have come to these rows.
    fn round(kind: Kind, events: u64, plain: &str, disturbed: &str) -> Round {
        let round = Round { kind, events, folder: tempfile::tempdir().expect("temporary folders can be made") };
        for (folder, rows) in [(round.plain(), plain), (round.disturbed(), disturbed)] {
            fs::create_dir_all(&folder).expect("there is room");
            fs::write(folder.join("rows.jsonl"), rows).expect("there is room");
        }
        round
    }

    const DEBIT: &str = "{\"account\":1,\"transfer\":5,\"leg\":\"debit\",\"amount\":-3,\"at\":5}\n";

    #[test]
    fn the_money_of_a_bank_is_counted_beside_its_rows() {
        // Both have lost the same, so that no comparison tells.
        let mut tally = Tally::default();
        let error = verify(&round(Kind::Bank, 1, DEBIT, DEBIT), &mut tally).expect_err("a leg is missing").to_string();
        assert!(error.contains("0 rows lost, 0 duplicated, 2 violations: transfer 5 has no credit"), "{error}");
        assert_eq!((tally.rows, tally.violations), (1, 2));
        verify(&round(Kind::Ledger, 1, DEBIT, DEBIT), &mut tally).expect("they are the same rows");
        let twice = round(Kind::Ledger, 1, DEBIT, &DEBIT.repeat(2));
        let error = verify(&twice, &mut tally).expect_err("a row is there twice").to_string();
        assert!(error.starts_with("0 rows lost, 1 duplicated"), "{error}");
    }

    #[test]
    fn each_row_that_is_lost_doubled_or_altered_is_found_and_nothing_else() {
        let others = "{\"account\":2,\"transfer\":5,\"leg\":\"credit\",\"amount\":3,\"at\":2006}\n\
                      {\"account\":1,\"balance\":-3}\n{\"account\":2,\"balance\":3}\n";
        let rows = format!("{DEBIT}{others}");
        let count = "{\"bidder\":1,\"count\":1}\n{\"bidder\":1,\"count\":2}\n";
        let mut random = Random::new(1);
        for (kind, rows) in [(Kind::Bank, &*rows), (Kind::Ledger, count), (Kind::Totals, count)] {
            let round = round(kind, 1, rows, rows);
            for _ in 0..30 {
                bites::check(&round, &mut random).expect("all is found");
            }
            verify(&round, &mut Tally::default()).expect("the rows are as before");
        }
        // Whoever sees nothing where there is something, or something where there is nothing, does not bite.
        let error = bites::check(&round(Kind::Bank, 2, &rows, &rows), &mut random).expect_err("transfers are missing");
        assert!(error.to_string().starts_with("the oracle does not bite"), "{error}");
        let error = bites::check(&round(Kind::Ledger, 1, count, DEBIT), &mut random).expect_err("other rows");
        assert!(error.to_string().starts_with("the oracle does not bite"), "{error}");
    }
}
