//! What a cluster holds that has nothing to do.

use std::{thread, time::Duration};

use anyhow::Result;

use super::{
    Figure, Places, Verdict,
    process::Held,
    processes::{Cluster, Size},
};

const AFTER: Duration = Duration::from_secs(2);
const DEMAND_MEGABYTES: f64 = 60.0;

pub(crate) fn figures(places: &Places) -> Result<Vec<Figure>> {
    let cluster = Cluster::empty(places, Size { taskmanagers: 1, slots: 2 })?;
    thread::sleep(AFTER);
    let (jobmanager, taskmanager) = (cluster.jobmanager.held()?, cluster.taskmanagers[0].held()?);
    let together = jobmanager.megabytes() + taskmanager.megabytes();
    Ok(vec![
        one("JobManager", &jobmanager),
        one("TaskManager", &taskmanager),
        Figure {
            name: "idle JobManager and TaskManager together: memory".to_owned(),
            demand: format!("<= {DEMAND_MEGABYTES} MB"),
            measured: format!("{together:.1} MB"),
            verdict: Verdict::of(together <= DEMAND_MEGABYTES),
            values: vec![("pss_bytes", (jobmanager.pss_bytes + taskmanager.pss_bytes) as f64)],
        },
    ])
}

fn one(name: &str, held: &Held) -> Figure {
    Figure {
        name: format!("idle {name}: memory"),
        demand: String::new(),
        measured: held.to_string(),
        verdict: Verdict::None,
        values: held.values(),
    }
}
