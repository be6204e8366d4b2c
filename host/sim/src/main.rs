//! `wasmill-sim`: runs seeds, as many as one likes, and shows one that breaks a rule event by event.

use std::{env, process::ExitCode, time::Instant};

use wasmill_sim::{Counts, Options, Outcome, run};

const USAGE: &str = "\
wasmill-sim [--seeds N] [--seed S] [--jobs J]

  --seeds N   run N seeds (1000)
  --seed S    begin at seed S (0); alone: run this one and print every event
  --jobs J    threads (1)";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match Arguments::read(&arguments) {
        Some(Arguments { seed, seeds: None, .. }) => show(seed.unwrap_or(0)),
        Some(Arguments { seed, seeds: Some(seeds), jobs }) => search(seed.unwrap_or(0), seeds, jobs),
        None => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

struct Arguments {
    seed: Option<u64>,
    seeds: Option<u64>,
    jobs: u64,
}

impl Arguments {
    fn read(words: &[String]) -> Option<Self> {
        let mut read = Self { seed: None, seeds: None, jobs: 1 };
        for pair in words.chunks(2) {
            let [flag, number] = pair else { return None };
            let number: u64 = number.parse().ok()?;
            match flag.as_str() {
                "--seed" => read.seed = Some(number),
                "--seeds" => read.seeds = Some(number),
                "--jobs" => read.jobs = number.max(1),
                _ => return None,
            }
        }
        if read.seed.is_none() && read.seeds.is_none() {
            read.seeds = Some(1_000);
        }
        Some(read)
    }
}

/// Prints every event of a seed.
fn show(seed: u64) -> ExitCode {
    let outcome = run(seed, Options { show: true, ..Options::default() });
    outcome.lines.iter().for_each(|line| println!("{line}"));
    println!(
        "seed {seed}: {} events, {} simulated ms, hash {:016x}",
        outcome.events, outcome.simulated_ms, outcome.hash
    );
    if outcome.broken.is_some() { broken(&outcome) } else { ExitCode::SUCCESS }
}

/// Runs seeds on several threads until one breaks a rule.
#[expect(clippy::disallowed_methods, reason = "how long it took is for people; no seed sees it")]
fn search(first: u64, seeds: u64, jobs: u64) -> ExitCode {
    let begun = Instant::now();
    let share = |job: u64| (first..first + seeds).skip(job as usize).step_by(jobs as usize);
    let found: Vec<(Counts, u64, Option<Outcome>)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs).map(|job| scope.spawn(move || run_share(share(job)))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a seed has panicked; its number is above")).collect()
    });
    let mut counts = Counts::default();
    found.iter().for_each(|(share, ..)| counts.add(share));
    let simulated_h = found.iter().map(|(_, ms, _)| ms).sum::<u64>() as f64 / 3_600_000.0;
    let seconds = begun.elapsed().as_secs_f64();
    println!("{counts:#?}");
    match found.iter().filter_map(|(.., outcome)| outcome.as_ref()).min_by_key(|outcome| outcome.seed) {
        Some(outcome) => broken(outcome),
        None => {
            println!("{seeds} seeds from {first}, {simulated_h:.1} simulated hours in {seconds:.1} s: every rule held");
            ExitCode::SUCCESS
        }
    }
}

fn run_share(seeds: impl Iterator<Item = u64>) -> (Counts, u64, Option<Outcome>) {
    let (mut counts, mut simulated_ms) = (Counts::default(), 0);
    for seed in seeds {
        let outcome = run(seed, Options::default());
        counts.add(&outcome.counts);
        simulated_ms += outcome.simulated_ms;
        if outcome.broken.is_some() {
            return (counts, simulated_ms, Some(outcome));
        }
    }
    (counts, simulated_ms, None)
}

fn broken(outcome: &Outcome) -> ExitCode {
    println!("{}", outcome.explain());
    ExitCode::FAILURE
}
