//! What goes wrong in a run: how often, and the faults that strike at a time.

use wasmill_model::Timestamp;

use crate::{
    network::Way,
    random::Random,
    world::{BEGIN_MS, Happening, World},
};

/// How a run is: drawn once from its seed, so that some are calm and some are not.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    pub(crate) taskmanagers: usize,
    pub(crate) clients: usize,
    /// Until then things go wrong.
    pub(crate) faults_until_ms: Timestamp,
    pub(crate) delay_permille: u32,
    pub(crate) loss_permille: u32,
    pub(crate) repeat_permille: u32,
    pub(crate) slow_disk_permille: u32,
    pub(crate) failing_disk_permille: u32,
    pub(crate) failing_subtask_permille: u32,
    pub(crate) slow_stop_permille: u32,
    pub(crate) slow_store_permille: u32,
    pub(crate) failing_store_permille: u32,
    pub(crate) declining_permille: u32,
    pub(crate) slow_commit_permille: u32,
    /// Of the checkpoints that an attempt begins from.
    pub(crate) damaged_permille: u32,
    /// Of the times at which a source is asked for rows.
    pub(crate) silent_permille: u32,
    /// Of the manifests of which something is lost, and of what becomes visible and is taken away.
    pub(crate) lost_permille: u32,
    pub(crate) taken_permille: u32,
    pub(crate) request_timeout_ms: Timestamp,
    pub(crate) history_jobs_max: usize,
    jobmanager_crashes: i64,
    taskmanager_crashes: i64,
    pauses: i64,
    partitions: i64,
    cordons: i64,
    resets: i64,
}

impl Profile {
    pub(crate) fn new(random: &mut Random, damages: &mut Random, times: &mut Random, losses: &mut Random) -> Self {
        let mut often = |most: i64| if random.permille(400) { 0 } else { random.between(1, most) };
        let permille = |n: i64| n as u32;
        let (delay, loss, repeat) = (permille(often(80)), permille(often(40)), permille(often(40)));
        let (slow_disk, failing_disk) = (permille(often(150)), permille(often(60)));
        let (failing_subtask, slow_stop) = (permille(often(200)), permille(often(150)));
        let (slow_store, failing_store) = (permille(often(200)), permille(often(100)));
        let (declining, slow_commit) = (permille(often(60)), permille(often(900)));
        let (jobmanager_crashes, taskmanager_crashes) = (often(4), often(6));
        let (pauses, partitions, cordons, resets) = (often(4), often(6), often(3), often(4));
        Self {
            taskmanagers: random.between(1, 4) as usize,
            clients: random.between(1, 6) as usize,
            faults_until_ms: BEGIN_MS + random.between(4_000, 16_000),
            delay_permille: delay,
            loss_permille: loss,
            repeat_permille: repeat,
            slow_disk_permille: slow_disk,
            failing_disk_permille: failing_disk,
            failing_subtask_permille: failing_subtask,
            slow_stop_permille: slow_stop,
            slow_store_permille: slow_store,
            failing_store_permille: failing_store,
            declining_permille: declining,
            slow_commit_permille: slow_commit,
            damaged_permille: if damages.permille(300) { 0 } else { damages.between(100, 800) as u32 },
            lost_permille: if losses.permille(500) { 0 } else { losses.between(50, 700) as u32 },
            taken_permille: if losses.permille(600) { 0 } else { losses.between(20, 400) as u32 },
            silent_permille: if times.permille(400) { 0 } else { times.between(5, 60) as u32 },
            request_timeout_ms: random.between(1_000, 5_000),
            history_jobs_max: random.between(1, 6) as usize,
            jobmanager_crashes,
            taskmanager_crashes,
            pauses,
            partitions,
            cordons,
            resets,
        }
    }
}

/// Something that strikes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    CrashJobManager,
    StartJobManager,
    CrashTaskManager {
        taskmanager: usize,
    },
    StartTaskManager {
        taskmanager: usize,
    },
    /// None: the JobManager.
    Pause {
        taskmanager: Option<usize>,
        for_ms: Timestamp,
    },
    Resume {
        taskmanager: Option<usize>,
    },
    Cut {
        taskmanager: usize,
        to_jobmanager: bool,
        from_jobmanager: bool,
        for_ms: Timestamp,
    },
    Reset {
        taskmanager: usize,
    },
    Cordon {
        taskmanager: usize,
        on: bool,
    },
    /// Jobs that nobody knows are ended.
    EndUnknown,
}

impl World {
    pub(crate) fn plan_faults(&mut self) {
        let profile = self.profile.clone();
        for _ in 0..profile.jobmanager_crashes {
            self.plan(Fault::CrashJobManager);
        }
        for _ in 0..profile.taskmanager_crashes {
            let taskmanager = self.any_taskmanager();
            self.plan(Fault::CrashTaskManager { taskmanager });
        }
        for _ in 0..profile.pauses {
            let taskmanager = (!self.random.permille(300)).then(|| self.any_taskmanager());
            let for_ms = self.random.heavy_tailed(100, 3_000, 8_000, 300);
            self.plan(Fault::Pause { taskmanager, for_ms });
        }
        for _ in 0..profile.partitions {
            let taskmanager = self.any_taskmanager();
            let (to_jobmanager, from_jobmanager) = *[(true, true), (true, false), (false, true)]
                .get(self.random.between(0, 2) as usize)
                .expect("there are three");
            let for_ms = self.random.heavy_tailed(100, 3_000, 8_000, 300);
            self.plan(Fault::Cut { taskmanager, to_jobmanager, from_jobmanager, for_ms });
        }
        for _ in 0..profile.resets {
            let taskmanager = self.any_taskmanager();
            self.plan(Fault::Reset { taskmanager });
        }
        for _ in 0..profile.cordons {
            let taskmanager = self.any_taskmanager();
            self.plan(Fault::Cordon { taskmanager, on: true });
        }
        self.at(profile.faults_until_ms + 30_000, Happening::Fault(Fault::EndUnknown));
        for taskmanager in 0..self.taskmanagers.len() {
            // Also after the JobManager's last start, which may come a little later.
            for later_ms in [1, 20_000] {
                self.at(profile.faults_until_ms + later_ms, Happening::Fault(Fault::Cordon { taskmanager, on: false }));
            }
        }
    }

    fn plan(&mut self, fault: Fault) {
        let at_ms = self.random.between(BEGIN_MS + 50, self.profile.faults_until_ms);
        self.at(at_ms, Happening::Fault(fault));
    }

    fn any_taskmanager(&mut self) -> usize {
        self.random.between(0, self.taskmanagers.len() as i64 - 1) as usize
    }

    pub(crate) fn strike(&mut self, fault: Fault) {
        self.note(&[1], || format!("-- {fault:?}"));
        match fault {
            Fault::CrashJobManager => {
                if self.crash_jobmanager() {
                    self.counts.jobmanager_crashes += 1;
                    let down_ms = self.random.heavy_tailed(20, 1_000, 6_000, 200);
                    self.within(down_ms, Happening::Fault(Fault::StartJobManager));
                }
            }
            Fault::StartJobManager => self.start_jobmanager(),
            Fault::CrashTaskManager { taskmanager } => {
                if self.crash_taskmanager(taskmanager) {
                    self.counts.taskmanager_crashes += 1;
                    let down_ms = self.random.heavy_tailed(20, 1_000, 6_000, 200);
                    self.within(down_ms, Happening::Fault(Fault::StartTaskManager { taskmanager }));
                }
            }
            Fault::StartTaskManager { taskmanager } => self.start_taskmanager(taskmanager),
            Fault::Pause { taskmanager, for_ms } => self.pause(taskmanager, for_ms),
            Fault::Resume { taskmanager } => self.resume(taskmanager),
            Fault::Cut { taskmanager, to_jobmanager, from_jobmanager, for_ms } => {
                self.counts.partitions += 1;
                let until_ms = (self.now_ms + for_ms).min(self.profile.faults_until_ms);
                if to_jobmanager {
                    self.network.cut(taskmanager, Way::ToJobManager, until_ms);
                }
                if from_jobmanager {
                    self.network.cut(taskmanager, Way::ToTaskManager, until_ms);
                }
            }
            Fault::Reset { taskmanager } => self.reset(taskmanager),
            Fault::EndUnknown => self.end_unknown(),
            Fault::Cordon { taskmanager, on } => self.at(self.now_ms, Happening::Cordon { taskmanager, on }),
        }
    }

    fn pause(&mut self, taskmanager: Option<usize>, for_ms: Timestamp) {
        let pause = match taskmanager {
            None => &mut self.jobmanager.pause,
            Some(index) => &mut self.taskmanagers[index].pause,
        };
        if !pause.paused {
            pause.paused = true;
            self.counts.pauses += 1;
            self.within(for_ms, Happening::Fault(Fault::Resume { taskmanager }));
        }
    }
}
