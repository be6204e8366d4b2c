//! Who is named, for what subtasks were doing.

use wasmill_model::ids::CheckpointId;
use wasmill_runtime::activity::BarrierWait;

use super::*;

/// Sources `fast` and `slow`, an operator `join` of both on two subtasks, and a sink behind it; each a chain of its own.
fn plan() -> Plan {
    let vertex = |name: &str, kind: &str, parallelism: u32, chain: u32| {
        format!(r#"{{"name":"{name}","kind":"{kind}","parallelism":{parallelism},"chain":{chain}}}"#)
    };
    let edge = |from: &str, to: &str| {
        format!(r#"{{"from":"{from}","to":"{to}","exchange":"hash","key":[],"schema":"","queued_bytes":0}}"#)
    };
    let vertices = [
        vertex("fast", "source", 1, 0),
        vertex("slow", "source", 2, 1),
        vertex("join", "operator", 2, 2),
        vertex("out", "sink", 1, 3),
    ];
    let edges = [edge("fast.out", "join"), edge("slow.out", "join"), edge("join.out", "out")];
    let (vertices, edges) = (vertices.join(","), edges.join(","));
    let json =
        format!(r#"{{"name":"j","slots":2,"slots_free":0,"vertices":[{vertices}],"edges":[{edges}],"warnings":[]}}"#);
    serde_json::from_str(&json).expect("it is a plan")
}

const FAST: Subtask = Subtask { chain: 0, index: 0 };
const SLOW: Subtask = Subtask { chain: 1, index: 1 };
const SLOW_OTHER: Subtask = Subtask { chain: 1, index: 0 };
const JOIN: Subtask = Subtask { chain: 2, index: 0 };
const JOIN_OTHER: Subtask = Subtask { chain: 2, index: 1 };
const SINK: Subtask = Subtask { chain: 3, index: 0 };

fn figures(subtask: Subtask, doing: Doing, watermark_ms: Timestamp) -> SubtaskFigures {
    let is_source = subtask.chain < 2;
    SubtaskFigures {
        subtask,
        doing,
        doing_ms: 4_200,
        standing: Standing::Active,
        watermark_ms: Some(watermark_ms),
        unchanged_ms: 4_200,
        silent_ms: is_source.then_some(0),
        idle_after_ms: None,
        limit_ms: None,
        held_by: match subtask.chain {
            2 => Some(Channel { edge: 1, writer: 1 }),
            3 => Some(Channel { edge: 2, writer: 0 }),
            _ => None,
        },
        barrier: None,
    }
}

/// A job in which all wait for input, and the second subtask of `slow` has the lowest watermark.
fn quiet() -> Vec<SubtaskFigures> {
    vec![
        figures(FAST, Doing::Reading, 50_000),
        figures(SLOW_OTHER, Doing::Reading, 30_000),
        SubtaskFigures { doing_ms: 10, ..figures(SLOW, Doing::Reading, 20_000) },
        figures(JOIN, Doing::WaitingForInput, 20_000),
        figures(JOIN_OTHER, Doing::WaitingForInput, 20_000),
        figures(SINK, Doing::WaitingForInput, 20_000),
    ]
}

/// The quiet job, with one of its subtasks changed.
fn but(subtask: Subtask, change: impl Fn(&mut SubtaskFigures)) -> Vec<SubtaskFigures> {
    let mut all = quiet();
    all.iter_mut().filter(|figures| figures.subtask == subtask).for_each(change);
    all
}

fn with_scene<T>(all: &[SubtaskFigures], look: impl FnOnce(&Scene<'_>) -> T) -> T {
    let plan = plan();
    let in_step = [0, 1].map(|chain| InStep { chain, group: 0, max_drift_ms: Some(10_000) });
    let places = all.iter().map(|figures| (figures.subtask, TaskManagerId(u64::from(figures.subtask.index) + 1)));
    look(&Scene {
        plan: &plan,
        in_step: &in_step,
        places: places.collect(),
        figures: all.iter().map(|figures| (figures.subtask, figures)).collect(),
        over: BTreeMap::new(),
    })
}

#[track_caller]
fn check_watermark(all: &[SubtaskFigures], path: &[&str], expect: &str) {
    with_scene(all, |scene| {
        let held = scene.watermark().expect("somebody holds it");
        let names: Vec<String> = held.path.iter().map(|hop| format!("{}[{}]", hop.vertex, hop.subtask)).collect();
        assert_eq!(
            (names.join(" ").as_str(), sentence("it", &held.path).as_deref()),
            (path.join(" ").as_str(), Some(expect))
        );
    });
}

#[test]
fn the_way_leads_from_the_sink_to_who_holds_the_watermark() {
    let to_slow = &["out[0]", "join[0]", "slow[1]"];
    check_watermark(
        &quiet(),
        to_slow,
        "it is held by source.slow subtask 1 on taskmanager-2, which is reading its input",
    );
    let silent = |idle_after_ms| {
        but(SLOW, move |figures| {
            (figures.doing, figures.silent_ms, figures.idle_after_ms) =
                (Doing::WaitingForRows, Some(4_200), idle_after_ms);
        })
    };
    let says = |why: &str| format!("it is held by source.slow subtask 1 on taskmanager-2, which {why}");
    check_watermark(&silent(Some(5_000)), to_slow, &says("has read no row for 4.2 s and is not idle before 5.0 s"));
    check_watermark(
        &silent(None),
        to_slow,
        &says("has read no row for 4.2 s and is never idle, since its input has an end"),
    );
    let stuck = but(SLOW, |figures| figures.doing_ms = 75_000);
    check_watermark(&stuck, to_slow, &says("has been reading its input for 1 min 15 s, and nothing comes"));
    let timeless = but(SLOW, |figures| {
        (figures.standing, figures.watermark_ms, figures.doing_ms) = (Standing::Timeless, None, 10);
    });
    check_watermark(&timeless, to_slow, &says("has no `event_time`, so that it has no watermark before its end"));
    let slow_call = but(JOIN, |figures| figures.doing = Doing::Calling { vertex: 2 });
    let expect = "it is held by operator.join subtask 0 on taskmanager-1, which has been in one call for 4.2 s";
    check_watermark(&slow_call, &["out[0]", "join[0]"], expect);
}

#[test]
fn back_pressure_leads_to_who_takes_nothing() {
    let mut all = but(JOIN, |figures| figures.doing = Doing::WaitingForCredit { edge: 2, reader: 0 });
    all.iter_mut().filter(|figures| figures.subtask == SINK).for_each(|figures| {
        (figures.doing, figures.doing_ms) = (Doing::Calling { vertex: 3 }, 30_000);
    });
    let expect = "it is held by sink.out subtask 0 on taskmanager-1, which has been writing for 30.0 s, and the write does not come back";
    check_watermark(&all, &["out[0]"], expect);
    with_scene(&all, |scene| {
        let path = scene.path(JOIN, WaitsFor::Watermark, &BTreeSet::new());
        assert_eq!(path[0].why, "has waited for credit from sink.out subtask 0 for 4.2 s (back-pressure)");
        assert_eq!(path[1].vertex, "out");
    });
}

#[test]
fn a_source_that_waits_for_others_leads_to_the_slowest() {
    let all = but(FAST, |figures| figures.doing = Doing::Ahead);
    with_scene(&all, |scene| {
        let path = scene.path(FAST, WaitsFor::Watermark, &BTreeSet::new());
        let why = "has been paused by alignment for 4.2 s: 30.0 s ahead of source.slow subtask 1";
        assert_eq!((path[0].why.as_str(), path[1].vertex.as_str(), path[1].subtask), (why, "slow", 1));
    });
}

#[test]
fn nobody_holds_the_watermark_of_a_job_that_has_read_all_or_waits_for_nothing() {
    for standing in [Standing::Idle, Standing::Finished] {
        let all = but(SINK, |figures| figures.standing = standing);
        with_scene(&all, |scene| assert_eq!(scene.watermark(), None, "{standing:?}"));
    }
    with_scene(&[], |scene| assert_eq!(scene.watermark(), None));
    with_scene(&quiet(), |scene| {
        let slow = &scene.vertices()[1];
        assert_eq!((slow.watermark_ms, slow.active, slow.idle, slow.finished), (Some(20_000), 2, 0, 0));
    });
}

#[test]
fn a_barrier_is_held_by_who_has_not_passed_it_on() {
    let wait = BarrierWait {
        checkpoint: CheckpointId(7),
        waited_ms: 2_000,
        channel: Channel { edge: 1, writer: 1 },
        missing: 2,
    };
    let mut all = but(JOIN, |figures| figures.barrier = Some(wait.clone()));
    all.iter_mut().filter(|figures| figures.subtask == SLOW).for_each(|figures| figures.doing_ms = 9_000);
    with_scene(&all, |scene| {
        let held = scene.checkpoint("job-1/1.7".to_owned(), 9_000, &[SLOW, JOIN, SINK]);
        let names: Vec<&str> = held.path.iter().map(|hop| hop.vertex.as_str()).collect();
        assert_eq!((names.as_slice(), held.taken, held.subtasks), (["out", "join", "slow"].as_slice(), 3, 6));
        let whys: Vec<&str> = held.path.iter().map(|hop| hop.why.as_str()).collect();
        assert_eq!(
            whys,
            [
                "has got no barrier yet by join.out from operator.join subtask 0",
                "has waited for a barrier by slow.out from source.slow subtask 1 for 2.0 s, and by 1 more",
                "has been reading its input for 9.0 s, and nothing comes",
            ]
        );
        assert_eq!(held.missing.len(), 3);
        let written = scene.checkpoint("job-1/1.7".to_owned(), 9_000, &[JOIN_OTHER]);
        assert_eq!(written.path[0].why, "has barriers on their way to it, or its part is being written");
        assert_eq!(scene.checkpoint("job-1/1.7".to_owned(), 9_000, &[]).path, []);
    });
}

#[test]
fn what_leads_in_a_circle_ends() {
    let mut all = quiet();
    for figures in &mut all {
        figures.doing = match figures.subtask {
            JOIN => Doing::WaitingForCredit { edge: 2, reader: 0 },
            _ => figures.doing,
        };
    }
    check_watermark(
        &all,
        &["out[0]", "join[0]"],
        "it is held by operator.join subtask 0 on taskmanager-1, which has waited for credit from sink.out subtask 0 for 4.2 s (back-pressure)",
    );
}

#[test]
fn times_are_said_as_people_say_them() {
    let expect = ["0.0 s", "59.9 s", "1 min 0 s", "2 h 5 min", "3 days"];
    assert_eq!([40, 59_990, 60_000, 7_500_000, 260_000_000].map(span), expect);
}
