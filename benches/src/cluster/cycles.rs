//! Jobs that are submitted and cancelled in turn: what the processes hold more of afterwards.
//!
//! The JobManager remembers the last jobs that have ended, 100 of them as it is set up, so that its memory grows until it has had as
//! many: that is before the first look.

use std::{thread, time::Duration};

use anyhow::Result;

use super::{
    Figure, Places, SETTLE, STEADY, Verdict,
    process::{Held, Process},
    processes::{Cluster, Size},
};

/// The job's rows cross between the two.
const SIZE: Size = Size { taskmanagers: 2, slots: 1 };
const WARM: usize = 200;
const CYCLES: usize = 1_000;
const DEMAND_PERCENT: f64 = 2.0;

/// What there is at one moment.
struct Look {
    jobs: usize,
    /// Of the JobManager, then of each TaskManager.
    held: Vec<Held>,
}

pub(crate) fn figures(places: &Places) -> Result<Vec<Figure>> {
    let cluster = Cluster::start(places, SIZE)?;
    let warm = after(&cluster, WARM)?;
    let cycled = after(&cluster, CYCLES)?;
    Ok(compare(&format!("{CYCLES} cycles after {WARM}"), &warm, &cycled))
}

/// What there is after so many cycles, when all has settled.
fn after(cluster: &Cluster, cycles: usize) -> Result<Look> {
    for number in 0..cycles {
        let id = cluster.client.submit(STEADY, &[])?;
        // Every other one is cancelled while it is being started.
        if number % 2 == 0 {
            cluster.client.wait_for(&id, "RUNNING", Duration::from_millis(2))?;
        }
        cluster.client.cancel(&id)?;
    }
    thread::sleep(SETTLE);
    let processes = std::iter::once(&cluster.jobmanager).chain(&cluster.taskmanagers);
    let held = processes.map(Process::held).collect::<Result<_>>()?;
    Ok(Look { jobs: cluster.client.jobs()?.len(), held })
}

fn compare(what: &str, before: &Look, after: &Look) -> Vec<Figure> {
    let names = (0..before.held.len()).map(|place| match place {
        0 => "JobManager".to_owned(),
        place => format!("TaskManager {place}"),
    });
    let held = before.held.iter().zip(&after.held);
    let mut figures: Vec<Figure> =
        names.zip(held).map(|(name, (before, after))| figure(&format!("{what}, {name}"), before, after)).collect();
    let jobmanager = &mut figures[0];
    let more = after.held[0].pss_bytes as f64 - before.held[0].pss_bytes as f64;
    let remembered = after.jobs.saturating_sub(before.jobs);
    jobmanager.measured.push_str(&format!("; jobs remembered {} -> {}", before.jobs, after.jobs));
    if remembered > 0 {
        jobmanager.measured.push_str(&format!(", {:.1} kB more for each", more / remembered as f64 / 1e3));
    }
    jobmanager.values.extend([("jobs_before", before.jobs as f64), ("jobs_after", after.jobs as f64)]);
    figures
}

fn figure(name: &str, before: &Held, after: &Held) -> Figure {
    let percent = 100.0 * (after.pss_bytes as f64 / before.pss_bytes as f64 - 1.0);
    let is_flat = percent <= DEMAND_PERCENT;
    let is_left = after.threads > before.threads || after.descriptors > before.descriptors;
    Figure {
        name: name.to_owned(),
        demand: format!("<= +{DEMAND_PERCENT} %, no thread, no descriptor"),
        measured: format!(
            "{percent:+.2} % of {:.1} MB; threads {} -> {}; descriptors {} -> {}",
            before.megabytes(),
            before.threads,
            after.threads,
            before.descriptors,
            after.descriptors
        ),
        verdict: Verdict::of(is_flat && !is_left),
        values: vec![
            ("before_bytes", before.pss_bytes as f64),
            ("after_bytes", after.pss_bytes as f64),
            ("threads_before", before.threads as f64),
            ("threads_after", after.threads as f64),
            ("descriptors_before", before.descriptors as f64),
            ("descriptors_after", after.descriptors as f64),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_a_miss() {
        let before = Held { pss_bytes: 10_000_000, threads: 7, descriptors: 16 };
        let verdict = |after: Held| figure("one", &before, &after).verdict;
        assert_eq!(verdict(Held { pss_bytes: 10_199_999, ..before }), Verdict::Reached);
        assert_eq!(verdict(Held { pss_bytes: 10_300_000, ..before }), Verdict::Missed);
        assert_eq!(verdict(Held { threads: 8, ..before }), Verdict::Missed);
        assert_eq!(verdict(Held { descriptors: 17, ..before }), Verdict::Missed);
        assert_eq!(verdict(Held { pss_bytes: 9_000_000, threads: 6, descriptors: 16 }), Verdict::Reached);
    }

    #[test]
    fn the_jobmanager_comes_first_and_says_what_it_remembers() {
        let held = Held { pss_bytes: 1, threads: 1, descriptors: 1 };
        let look = |jobs| Look { jobs, held: vec![held; 3] };
        let figures = compare("cycles", &look(100), &look(1_000));
        let names: Vec<&str> = figures.iter().map(|figure| figure.name.as_str()).collect();
        assert_eq!(names, ["cycles, JobManager", "cycles, TaskManager 1", "cycles, TaskManager 2"]);
        let said = &figures[0].measured;
        assert!(said.ends_with("jobs remembered 100 -> 1000, 0.0 kB more for each"), "{said}");
        let full = compare("cycles", &look(1_000), &look(1_000));
        assert!(full[0].measured.ends_with("jobs remembered 1000 -> 1000"), "{}", full[0].measured);
    }
}
