//! What is found of one fixture: whether it gives what it expects, and whether it gives the same in every way.

use std::time::{Duration, Instant};

use wasmill_model::{
    fault::{Code, Coded},
    schema::Schema,
    spec::fixture::Order,
};
use wasmill_plugin::LogLine;
use wasmill_runtime::{
    OperatorUsage,
    trial::{Cut, Disturbance, Rejected, Run, Trial, TrialLimits, Way},
};

use super::diff::{Line, diff};
use crate::{
    error::Error,
    fixtures::{self, Expected, Fixture, Listing, Subject},
};

/// Fixtures with more rows are not handed over row by row: each call costs microseconds.
const SINGLE_ROWS_MAX: usize = 512;

/// Different random cuts of each fixture.
const RANDOM_CUTS: u64 = 2;

/// Pieces of a cut that are named.
const PIECES_SHOWN: usize = 24;

/// How fixtures are judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) seed: u64,
    pub(crate) bless: bool,
}

/// What was found of one fixture.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) name: String,
    pub(crate) failures: Vec<Failure>,
    /// Of the run as the fixture stands.
    pub(crate) log: Vec<LogLine>,
    pub(crate) log_more: usize,
    /// What `--bless` wrote, a line each.
    pub(crate) blessed: Vec<String>,
    /// Ways in which it was run, the plain one included.
    pub(crate) ways: usize,
    /// Over all ways; none if it could not be started.
    pub(crate) usage: Option<(OperatorUsage, TrialLimits)>,
    pub(crate) took: Duration,
}

/// What is wrong.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Other rows than expected left by a port.
    Rows { port: String, file: String, is_written: bool, diff: Vec<Line> },
    /// Other rows than expected were left out.
    Rejected { file: String, diff: Vec<Line>, unexpected: Vec<Rejected> },
    /// The operator could not go on.
    Error { code: Code, message: String },
    /// It went on though it should not have.
    NoError { expected: String },
    /// Another way gives another result.
    Way { way: &'static str, how: String, rule: Rule, differences: Vec<(String, Vec<Line>)> },
}

/// A rule of the operator contract, by its number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    pub(crate) number: u32,
    pub(crate) text: &'static str,
}

const CUT_RULE: Rule =
    Rule { number: 11, text: "how rows are cut into batches says nothing; results must not depend on it" };

const ORDER_RULE: Rule =
    Rule { number: 17, text: "rows of different keys come in any order; results must not depend on it" };

const INSTANCE_RULE: Rule = Rule {
    number: 4,
    text: "the host may replace an instance between any two calls; what must last is kept in cells and timers",
};

/// Runs a fixture in all ways. An error: it cannot be run at all.
pub(crate) fn judge(
    fixture: &Fixture,
    subject: &Subject,
    store: &wasmill_plugin::PluginStore,
    options: &Options,
) -> Result<Verdict, Error> {
    let started = Instant::now();
    let mut verdict = Verdict {
        name: fixture.name.clone(),
        failures: Vec::new(),
        log: Vec::new(),
        log_more: 0,
        blessed: Vec::new(),
        ways: 1,
        usage: None,
        took: Duration::ZERO,
    };
    let trial = match Trial::prepare(&fixture.spec, &fixture.name, &subject.name, &subject.wasm, store) {
        Ok(trial) => trial,
        Err(error) => {
            // What refuses a configuration may be just what is expected.
            let Some(expected) = &fixture.spec.fails else { return Err(error.into()) };
            verdict.failures.extend(unexpected_error(&error, expected));
            verdict.took = started.elapsed();
            return Ok(verdict);
        }
    };
    let expected = Expected::read(&fixture.folder, &trial)?;
    let mut plain = trial.run(&fixture.script, Way::PLAIN);
    let mut usage = plain.usage.clone();
    verdict.log = std::mem::take(&mut plain.log);
    verdict.log_more = plain.log_more;
    verdict.failures = compare(fixture, &expected, &plain);
    if options.bless && !verdict.failures.is_empty() && plain.error.is_none() {
        verdict.blessed = bless(fixture, &expected, &plain, &verdict.failures)?;
        verdict.failures.retain(|failure| matches!(failure, Failure::NoError { .. }));
    }
    if plain.error.is_none() {
        let found = Found::of(&trial, fixture.spec.order, &plain);
        let (ways, failures) = try_ways(&trial, fixture, options.seed, &found, &mut usage);
        verdict.ways += ways;
        verdict.failures.extend(failures);
        let (ways, failures) = try_disturbances(&trial, fixture, options.seed, &plain, &mut usage);
        verdict.ways += ways;
        verdict.failures.extend(failures);
    }
    verdict.usage = Some((usage, trial.limits()));
    verdict.took = started.elapsed();
    Ok(verdict)
}

fn unexpected_error<E: Coded>(error: &E, expected: &str) -> Option<Failure> {
    let message = error.to_string();
    (!message.contains(expected)).then(|| {
        let message = format!("{message}\n(it was to fail with `{expected}`)");
        Failure::Error { code: error.code(), message }
    })
}

/// Holds what came out against what is expected.
fn compare(fixture: &Fixture, expected: &Expected, run: &Run) -> Vec<Failure> {
    match (&run.error, &fixture.spec.fails) {
        (Some(error), None) => return vec![Failure::Error { code: error.code(), message: error.to_string() }],
        (Some(error), Some(expected)) => return unexpected_error(error, expected).into_iter().collect(),
        (None, Some(expected)) => return vec![Failure::NoError { expected: expected.clone() }],
        (None, None) => {}
    }
    let mut failures = Vec::new();
    for (listing, batches) in expected.ports.iter().zip(&run.ports) {
        let Listing { port, file, lines, .. } = listing;
        let is_written = listing.is_written;
        let diff =
            diff(&ordered(lines.clone(), fixture.spec.order), &ordered(listing.found(batches), fixture.spec.order));
        if !diff.is_empty() {
            let file = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            failures.push(Failure::Rows { port: port.clone(), file, is_written, diff });
        }
    }
    failures.extend(compare_rejected(fixture, expected, run));
    failures
}

/// Pairs rows that are expected to be rejected with those that were, each with one other, in whatever order.
fn compare_rejected(fixture: &Fixture, expected: &Expected, run: &Run) -> Option<Failure> {
    let mut left: Vec<&Rejected> = run.rejected.iter().collect();
    let mut lines = Vec::new();
    for rejection in &expected.rejected {
        match left.iter().position(|found| rejection.is(found)) {
            Some(place) => drop(left.remove(place)),
            None => lines.push(Line { sign: '-', text: rejection.text.clone() }),
        }
    }
    let inputs = fixture.spec.inputs.len();
    let line = |found: &&Rejected| Line { sign: '+', text: fixtures::rejection_line(found, inputs) };
    lines.extend(left.iter().map(line));
    (!lines.is_empty()).then(|| Failure::Rejected {
        file: expected.rejected_file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        diff: lines,
        unexpected: left.into_iter().cloned().collect(),
    })
}

fn ordered(mut lines: Vec<String>, order: Order) -> Vec<String> {
    if order == Order::Any {
        lines.sort_unstable();
    }
    lines
}

/// Writes what came out over what was expected, where they differ.
fn bless(fixture: &Fixture, expected: &Expected, run: &Run, failures: &[Failure]) -> Result<Vec<String>, Error> {
    let mut written = Vec::new();
    let mut note = |file: &std::path::Path, diff: &[Line]| {
        let count = |sign| diff.iter().filter(|line| line.sign == sign).count();
        written.push(format!("wrote {}: {} lines less, {} more", file.display(), count('-'), count('+')));
    };
    for failure in failures {
        match failure {
            Failure::Rows { port, diff, .. } => {
                let place =
                    expected.ports.iter().position(|listing| listing.port == *port).expect("a port of the operator");
                expected.ports[place].write(&run.ports[place])?;
                note(&expected.ports[place].file, diff);
            }
            Failure::Rejected { diff, .. } => {
                fixtures::write_rejected(&expected.rejected_file, &run.rejected, fixture.spec.inputs.len())?;
                note(&expected.rejected_file, diff);
            }
            _ => {}
        }
    }
    Ok(written)
}

/// What came of a run, in lines that can be compared with those of another.
struct Found {
    /// Names and lines: of each port, and of the rejected rows.
    listings: Vec<(String, Vec<String>)>,
}

impl Found {
    fn of(trial: &Trial, order: Order, run: &Run) -> Self {
        let port = |((name, schema), batches): ((&str, &Schema), &Vec<_>)| {
            (format!("port `{name}`"), ordered(fixtures::lines(schema, batches), order))
        };
        let mut listings: Vec<(String, Vec<String>)> = trial.ports().zip(&run.ports).map(port).collect();
        let mut rejected: Vec<String> = run.rejected.iter().map(|found| fixtures::rejection_line(found, 2)).collect();
        rejected.sort_unstable();
        listings.push(("rejected rows".to_owned(), rejected));
        listings.push(("error".to_owned(), run.error.iter().map(ToString::to_string).collect()));
        Self { listings }
    }

    fn differences(&self, other: &Self) -> Vec<(String, Vec<Line>)> {
        let pairs = self.listings.iter().zip(&other.listings);
        let differ = pairs.map(|((name, expected), (_, found))| (name.clone(), diff(expected, found)));
        differ.filter(|(_, diff)| !diff.is_empty()).collect()
    }
}

/// Runs a fixture in the ways that must make no difference: how many that were, and the first failure of each kind.
fn try_ways(
    trial: &Trial,
    fixture: &Fixture,
    seed: u64,
    plain: &Found,
    usage: &mut OperatorUsage,
) -> (usize, Vec<Failure>) {
    let mut cuts: Vec<Cut> = (0..RANDOM_CUTS).map(|i| Cut::Random { seed: seed.wrapping_add(i) }).collect();
    if fixture.rows <= SINGLE_ROWS_MAX {
        cuts.insert(0, Cut::Single);
    }
    let (mut cut_failure, mut instance_failure) = (None, None);
    let mut ways = 0;
    let mut run = |cut: Cut, renew: bool| {
        let run = trial.run(&fixture.script, Way { cut, renew, ..Way::PLAIN });
        ways += 1;
        join(usage, &run.usage);
        (Found::of(trial, fixture.spec.order, &run), how(cut, &run))
    };
    for (place, cut) in cuts.into_iter().enumerate() {
        let (found, how) = run(cut, false);
        let differences = plain.differences(&found);
        if !differences.is_empty() && cut_failure.is_none() {
            cut_failure = Some(Failure::Way { way: "cut", how, rule: CUT_RULE, differences });
        }
        // One cut is left out: what one instance more shows costs as much as all calls together.
        if instance_failure.is_none() && place < 2 {
            let (renewed, how) = run(cut, true);
            let differences = found.differences(&renewed);
            if !differences.is_empty() {
                let how = format!("a new instance for every call, {how}");
                instance_failure = Some(Failure::Way { way: "replace", how, rule: INSTANCE_RULE, differences });
            }
        }
    }
    (ways, cut_failure.into_iter().chain(instance_failure).collect())
}

/// Runs a fixture with something done between its pieces: how many ways that were, and the failures.
fn try_disturbances(
    trial: &Trial,
    fixture: &Fixture,
    seed: u64,
    plain: &Run,
    usage: &mut OperatorUsage,
) -> (usize, Vec<Failure>) {
    let cut = Cut::Random { seed };
    let disturbed = |disturbance| Way { cut, disturbance, ..Way::PLAIN };
    let mut ways = vec![
        ("restore", disturbed(Disturbance::Restore), INSTANCE_RULE, "its state through a snapshot and back between"),
        ("crash", disturbed(Disturbance::Crash), INSTANCE_RULE, "every piece lost and handled again,"),
    ];
    // The numbers of rejected rows are those of a subtask, and tell how rows were dealt out.
    let numbered = !plain.rejected.is_empty();
    if trial.can_rescale() && !numbered {
        ways.push(("rescale", disturbed(Disturbance::Rescale { seed }), INSTANCE_RULE, "another parallelism between"));
    }
    if trial.can_reorder() && !numbered {
        let reorder = Some(seed);
        ways.push(("reorder", Way { reorder, ..Way::PLAIN }, ORDER_RULE, "rows of different keys in another order,"));
    }
    let mut failures = Vec::new();
    let count = ways.len();
    for (name, way, rule, what) in ways {
        let run = trial.run(&fixture.script, way);
        // What is handled twice says nothing of how near limits are.
        if way.disturbance != Disturbance::Crash {
            join(usage, &run.usage);
        }
        // Between keys there is no order.
        let order = match name {
            "rescale" | "reorder" => Order::Any,
            _ => fixture.spec.order,
        };
        let differences = Found::of(trial, order, plain).differences(&Found::of(trial, order, &run));
        if !differences.is_empty() {
            let how = format!("{what} {}", how(cut, &run));
            failures.push(Failure::Way { way: name, how, rule, differences });
        }
    }
    (count, failures)
}

/// How the rows were cut.
fn how(cut: Cut, run: &Run) -> String {
    if cut == Cut::Single {
        return "row by row".to_owned();
    }
    let mut shown = 0;
    let mut steps = Vec::new();
    for pieces in &run.pieces {
        let room = PIECES_SHOWN - shown;
        let sizes: Vec<String> = pieces.iter().take(room).map(ToString::to_string).collect();
        shown += sizes.len();
        let more = if pieces.len() > room { "+..." } else { "" };
        steps.push(sizes.join("+") + more);
        if shown == PIECES_SHOWN {
            break;
        }
    }
    format!("rows cut into {}", steps.join(", then "))
}

fn join(all: &mut OperatorUsage, one: &OperatorUsage) {
    all.instance.join(&one.instance);
    all.state_bytes = all.state_bytes.max(one.state_bytes);
    all.timers = all.timers.max(one.timers);
}
