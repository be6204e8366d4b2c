//! What is shown of a job.

use expect_test::{Expect, expect};
use wasmill_rest::{Cause, CheckpointState, JobSummary, LatencyDetail, SubtaskDetail, VertexKind};

use super::*;

fn vertex(name: &str, kind: VertexKind, metrics: VertexMetrics) -> VertexDetail {
    let plugin = (kind == VertexKind::Operator).then(|| format!("sha256:{}", "0123456789abcdef".repeat(4)));
    VertexDetail { name: name.to_owned(), kind, parallelism: 4, chain: 0, plugin, metrics: Some(metrics) }
}

fn job() -> JobDetail {
    let summary = JobSummary {
        id: "job-7".to_owned(),
        name: "fraud".to_owned(),
        state: "RUNNING".to_owned(),
        submitted_ms: 1_517_966_700_000,
        ended_ms: None,
        slots: 4,
        restarts: 2,
        rows_read: 1_234_567,
        rows_written: 1_234,
        cpu_seconds: 12.34,
        cause: None,
        decision: None,
        checkpoints: None,
        version: 0,
        savepoint: None,
    };
    let source = VertexMetrics {
        rows_out: 1_234_567,
        rows_out_per_second: 17_300.0,
        busy: 0.2,
        idle: 0.05,
        back_pressured: 0.75,
        watermark_ms: Some(1_517_966_773_840),
        ..VertexMetrics::default()
    };
    let operator = VertexMetrics {
        rows_in: 1_230_000,
        rows_out: 1_234,
        rows_in_per_second: 17_300.0,
        rows_out_per_second: 3.21,
        busy: 1.0,
        state_bytes: 12 << 20,
        cpu_seconds: 11.5,
        ..VertexMetrics::default()
    };
    let latency = LatencyDetail { p50_ms: 0.2, p99_ms: 1.4, p999_ms: 2.0, max_ms: 12.0 };
    let sink = VertexMetrics { rows_in: 1_234, idle: 1.0, latency: Some(latency), ..VertexMetrics::default() };
    let subtask = |index, worker: &str, state: &str| SubtaskDetail {
        chain: 0,
        index,
        vertices: Vec::new(),
        worker: worker.to_owned(),
        state: state.to_owned(),
    };
    JobDetail {
        summary,
        attempt: "attempt-1.3".to_owned(),
        vertices: vec![
            vertex("payments", VertexKind::Source, source),
            vertex("an-operator-with-a-rather-long-name", VertexKind::Operator, operator),
            vertex("alerts", VertexKind::Sink, sink),
        ],
        edges: Vec::new(),
        subtasks: vec![
            subtask(0, "taskmanager-1", "RUNNING"),
            subtask(1, "taskmanager-1", "DEPLOYING"),
            subtask(2, "taskmanager-2", "RUNNING"),
            subtask(3, "taskmanager-2", "RUNNING"),
        ],
        warnings: vec!["nobody reads the port `score.late`".to_owned()],
    }
}

const NOW: Timestamp = 1_517_966_780_000;

#[track_caller]
fn check(job: &JobDetail, terminal: Terminal, expect: &Expect) {
    let drawn = whole(job, &terminal, NOW);
    if terminal.attended {
        // What went wrong is told in whole sentences.
        let lines = drawn.lines().take_while(|line| !line.starts_with("error["));
        let width = lines.map(console::measure_text_width).max().unwrap_or_default();
        assert!(width <= terminal.width, "{width} columns:\n{drawn}");
    }
    assert!(drawn.chars().all(|c| c == '\n' || !c.is_control()), "{drawn:?}");
    expect.assert_eq(&drawn);
}

fn terminal(width: usize) -> Terminal {
    Terminal { attended: true, redraws: true, width, columns: width, colors: false, unicode: false }
}

#[test]
fn a_job_fits_a_narrow_terminal() {
    check(
        &job(),
        terminal(60),
        &expect![[r#"
            job-7 fraud RUNNING, 1m20s since it was submitted
            attempt-1.3, restarts: 2, cpu: 12.3s
            watermark 2018-02-07 01:26:13, 6s behind
            ------------------------------------------------------------
             vertex             par   in/s   out/s   busy   idle   held
            ============================================================
             payments             4      0     17k    20%     5%    75%
            ------------------------------------------------------------
             an-operator-with     4    17k     3.2   100%     0%     0%
             -a-rather-long-n
             ame
            ------------------------------------------------------------
             alerts               4      0       0     0%   100%     0%
            ------------------------------------------------------------
            taskmanager-1: 1 DEPLOYING, 1 RUNNING
            taskmanager-2: 2 RUNNING
            warning: nobody reads the port `score.late`
        "#]],
    );
}

#[test]
fn a_wide_terminal_shows_more() {
    check(
        &job(),
        terminal(130),
        &expect![[r#"
            job-7 fraud RUNNING, 1m20s since it was submitted
            attempt-1.3, restarts: 2, cpu: 12.3s
            watermark 2018-02-07 01:26:13, 6s behind
            --------------------------------------------------------------------------------------------------------------------------------
             vertex                                par   in/s   out/s   busy   idle   held   rows in   rows out     p99     cpu       state
            ================================================================================================================================
             payments                                4      0     17k    20%     5%    75%         0       1.2M       -    0.0s           -
            --------------------------------------------------------------------------------------------------------------------------------
             an-operator-with-a-rather-long-name     4    17k     3.2   100%     0%     0%      1.2M       1.2k       -   11.5s   12.00 MiB
            --------------------------------------------------------------------------------------------------------------------------------
             alerts                                  4      0       0     0%   100%     0%      1.2k          0   1.4ms    0.0s           -
            --------------------------------------------------------------------------------------------------------------------------------
            taskmanager-1: 1 DEPLOYING, 1 RUNNING
            taskmanager-2: 2 RUNNING
            warning: nobody reads the port `score.late`
        "#]],
    );
}

#[test]
fn what_went_wrong_is_shown() {
    let mut job = job();
    job.summary.state = "FAILED".to_owned();
    job.summary.ended_ms = Some(job.summary.submitted_ms + 5_000);
    let cause = |message: &str| Cause {
        code: "operator-trapped".to_owned(),
        domain: "user".to_owned(),
        message: message.to_owned(),
    };
    job.summary.cause = Some(cause("operator score trapped\u{1b}]0;x\u{7}"));
    (job.warnings, job.subtasks) = (Vec::new(), Vec::new());
    if let Some(metrics) = &mut job.vertices[1].metrics {
        (metrics.rejected, metrics.traps) = (12, 3);
    }
    check(
        &job,
        Terminal { attended: false, redraws: false, width: 80, columns: 80, colors: false, unicode: false },
        &expect![[r#"
            job-7 fraud FAILED, 5s since it was submitted
            attempt-1.3, restarts: 2, cpu: 12.3s
            watermark 2018-02-07 01:26:13, 6s behind
             vertex                               par  in/s  out/s  busy  idle  held  rows in  rows out    p99    cpu      state
             payments                               4     0    17k   20%    5%   75%        0      1.2M      -   0.0s          -
             an-operator-with-a-rather-long-name    4   17k    3.2  100%    0%    0%     1.2M      1.2k      -  11.5s  12.00 MiB
             alerts                                 4     0      0    0%  100%    0%     1.2k         0  1.4ms   0.0s          -
            an-operator-with-a-rather-long-name: 12 rejected, 3 traps
            error[operator-trapped]: operator score trapped\u{1b}]0;x\u{7}
              for more: wasmill explain operator-trapped
        "#]],
    );
    check(
        &job,
        terminal(60),
        &expect![[r#"
            job-7 fraud FAILED, 5s since it was submitted
            attempt-1.3, restarts: 2, cpu: 12.3s
            watermark 2018-02-07 01:26:13, 6s behind
            ------------------------------------------------------------
             vertex             par   in/s   out/s   busy   idle   held
            ============================================================
             payments             4      0     17k    20%     5%    75%
            ------------------------------------------------------------
             an-operator-with     4    17k     3.2   100%     0%     0%
             -a-rather-long-n
             ame
            ------------------------------------------------------------
             alerts               4      0       0     0%   100%     0%
            ------------------------------------------------------------
            an-operator-with-a-rather-long-name: 12 rejected, 3 traps
            error[operator-trapped]: operator score trapped\u{1b}]0;x\u{7}
              for more: wasmill explain operator-trapped
        "#]],
    );
}

/// What is shown between the first lines and the table.
#[track_caller]
fn check_checkpoints(state: CheckpointState, width: usize, expect: &Expect) {
    let mut job = job();
    job.summary.checkpoints = Some(state);
    let drawn = whole(&job, &terminal(width), NOW);
    let lines: Vec<&str> = drawn.lines().skip(3).take_while(|line| !line.starts_with("---")).collect();
    assert!(lines.iter().all(|line| console::measure_text_width(line) <= width), "{drawn}");
    expect.assert_eq(&lines.join("\n"));
}

#[test]
fn the_age_of_the_newest_checkpoint_is_shown() {
    let healthy = || CheckpointState {
        completed: Some("job-7/1.41".to_owned()),
        age_ms: Some(4_200),
        taken: 41,
        ..CheckpointState::default()
    };
    check_checkpoints(CheckpointState::default(), 60, &expect!["checkpoint none yet"]);
    check_checkpoints(healthy(), 60, &expect!["checkpoint job-7/1.41, 4s ago"]);
    let under_way = || CheckpointState { under_way_ms: Some(1_000), waits_for: Some(3), ..healthy() };
    check_checkpoints(
        under_way(),
        60,
        &expect![[r#"
        checkpoint job-7/1.41, 4s ago
          next: 1s under way, waits for 3 subtasks"#]],
    );
    check_checkpoints(
        under_way(),
        100,
        &expect!["checkpoint job-7/1.41, 4s ago; next: 1s under way, waits for 3 subtasks"],
    );
    let one = CheckpointState { waits_for: Some(1), ..under_way() };
    check_checkpoints(one, 100, &expect!["checkpoint job-7/1.41, 4s ago; next: 1s under way, waits for 1 subtask"]);
}

#[test]
fn checkpoints_that_fail_are_counted_and_in_the_end_warned_of() {
    let failing = |failed_in_row| CheckpointState {
        completed: Some("job-7/1.41".to_owned()),
        age_ms: Some(185_000),
        failed_in_row,
        ..CheckpointState::default()
    };
    check_checkpoints(failing(2), 60, &expect!["checkpoint job-7/1.41, 3m05s ago, 2 failed since"]);
    check_checkpoints(
        failing(3),
        60,
        &expect![[r#"
        checkpoint job-7/1.41, 3m05s ago, 3 failed since
        warning: 3 checkpoints failed in a row, see its events"#]],
    );
    let never =
        CheckpointState { failed_in_row: 4, under_way_ms: Some(-5), waits_for: Some(2), ..CheckpointState::default() };
    check_checkpoints(
        never,
        60,
        &expect![[r#"
        checkpoint none yet, 4 failed since
          next: 0s under way, waits for 2 subtasks
        warning: 4 checkpoints failed in a row, see its events"#]],
    );
}

#[test]
fn a_job_that_was_stopped_shows_its_savepoint_and_a_replaced_one_its_version() {
    let mut job = job();
    (job.summary.state, job.summary.version) = ("STOPPED".to_owned(), 2);
    job.summary.savepoint = Some("before-v2".to_owned());
    let drawn = whole(&job, &terminal(60), NOW);
    let lines: Vec<&str> = drawn.lines().take(4).collect();
    expect![[r#"
        job-7 fraud STOPPED, 1m20s since it was submitted
        attempt-1.3, restarts: 2, version: 2, cpu: 12.3s
        watermark 2018-02-07 01:26:13, 6s behind
        savepoint before-v2"#]]
    .assert_eq(&lines.join("\n"));
}

#[test]
fn a_look_in_a_line_tells_rates() {
    expect!["job-7 RUNNING: 1.2M rows read, 1.2k written, in 17k/s, out 0/s"].assert_eq(&in_a_line(&job()));
}
