//! Transcripts of an agent: what it is told, then what it does.

use expect_test::{Expect, expect};
use wasmill_model::{
    fault::{Code, Domain},
    ids::CheckpointId,
    portions::Asks,
};

use super::*;
use crate::message::{At, Cause, Checkpoints, Trigger};

const JOB: JobId = JobId(1);

fn subtask(chain: u32, index: u32) -> Subtask {
    Subtask { chain, index }
}

/// What an agent hears.
enum Hears {
    Registered(u64),
    /// The version, and for each order the job, the count of the attempt and the wish.
    Orders(u64, Vec<(u64, u32, Wish)>),
    OrdersOf(u64, u64, Vec<(u64, u32, Wish)>),
    Contact,
    Acknowledged(u64),
    Says(u32, u32, SubtaskState),
    Tells(u32, u32, Said),
    /// As `Orders`, of the first attempt of the first job, with its checkpoints.
    Keeps(u64, Wish, Checkpoints),
    /// As `Orders`, of the first attempt of the first job, whose source may go on up to a watermark.
    Limits(u64, Wish, Timestamp),
    /// As `Orders`, of the first attempt of the first job, whose source has been given so many portions.
    Gives(u64, Wish, u32),
    Passes(Timestamp),
}

use Hears::{
    Acknowledged, Contact, Gives, Keeps, Limits, Orders as Ordered, OrdersOf, Passes, Registered, Says, Tells,
};

fn orders(epoch: u64, version: u64, orders: Vec<(u64, u32, Wish)>) -> Event {
    let order = |(job, count, wish)| Order {
        job: JobId(job),
        attempt: Attempt::new(Epoch(epoch), count),
        wish,
        subtasks: vec![subtask(0, 0), subtask(1, 0)],
        placement: Vec::new(),
        restore: None,
        checkpoints: Checkpoints::default(),
        limits: Vec::new(),
        given: Vec::new(),
    };
    Event::Orders(Orders { epoch: Epoch(epoch), version, orders: orders.into_iter().map(order).collect() })
}

fn keeps(version: u64, wish: Wish, checkpoints: Checkpoints) -> Event {
    let Event::Orders(mut all) = orders(1, version, vec![(1, 1, wish)]) else { panic!("it makes orders") };
    all.orders[0].checkpoints = checkpoints;
    all.orders[0].restore = Some(Restore { manifest: "manifest-7".to_owned(), ..Restore::default() });
    Event::Orders(all)
}

fn reached(triggered: u64, completed: u64, given_up: u64) -> Checkpoints {
    let id = |n: u64| (n > 0).then_some(CheckpointId(n));
    let triggered = id(triggered).map(|id| Trigger { id, savepoint: false });
    Checkpoints { triggered, completed: id(completed), given_up: id(given_up) }
}

fn shown(checkpoints: Checkpoints) -> String {
    let Checkpoints { triggered, completed, given_up } = checkpoints;
    let number = |id: Option<CheckpointId>| id.map_or(0, |id| id.0);
    let triggered = number(triggered.map(|trigger| trigger.id));
    format!("take {triggered}, completed {}, given up {}", number(completed), number(given_up))
}

fn show(command: &Command) -> String {
    match command {
        Command::Start { job, attempt, subtasks, restore, .. } => {
            let subtasks: Vec<String> = subtasks.iter().map(Subtask::to_string).collect();
            let from = restore.as_ref().map_or(String::new(), |restore| format!(" from {}", restore.manifest));
            format!("start {job} {attempt}: {}{from}", subtasks.join(" "))
        }
        Command::Checkpoints { attempt, checkpoints, .. } => format!("{attempt}: {}", shown(*checkpoints)),
        Command::Limits { attempt, limits, .. } => {
            let limits: Vec<String> = limits.iter().map(|(subtask, limit)| format!("{subtask} to {limit}")).collect();
            format!("{attempt}: {}", limits.join(", "))
        }
        Command::Give { attempt, given, .. } => {
            let given = given.iter().map(|(subtask, Given { portions, .. })| format!("{subtask} has {portions:?}"));
            format!("{attempt}: {}", given.collect::<Vec<_>>().join(", "))
        }
        Command::Drain { job, attempt } => format!("drain {job} {attempt}"),
        Command::Commit { job, attempt } => format!("commit {job} {attempt}"),
        Command::Stop { job, attempt } => format!("stop {job} {attempt}"),
        Command::Release { job, attempt } => format!("release {job} {attempt}"),
        Command::Report(Reports { sequence, reports, .. }) => {
            let name = |state: &SubtaskState| match state {
                SubtaskState::Failed(cause) => format!("failed: {}", cause.message),
                state => format!("{state:?}"),
            };
            let said = |said: &Said| match said {
                Said::State(state) => name(state),
                Said::Part { at: At::Checkpoint(id), .. } => format!("part of {}", id.0),
                Said::Part { at: At::End, .. } => "part at its end".to_owned(),
                Said::Declined { checkpoint, .. } => format!("declines {}", checkpoint.0),
                Said::Committed(to) => format!("committed to {}", to.0),
                Said::Asks(asks) => format!("has {} of {}", asks.has, asks.of),
            };
            let all: Vec<String> =
                reports.iter().map(|r| format!("{} {} {}", r.attempt, r.subtask, said(&r.said))).collect();
            format!("report to {sequence}: {}", all.join(", "))
        }
        Command::Register => "register".to_owned(),
    }
}

#[test]
fn limits_of_sources_are_those_of_the_newest_orders() {
    check(
        vec![
            Registered(1),
            Limits(1, Wish::Run, 100),
            Limits(2, Wish::Run, 100),
            Limits(4, Wish::Run, 70),
            Limits(3, Wish::Run, 90),
            Limits(5, Wish::Stop, 200),
        ],
        expect![[r#"
            - 
            - start job-1 attempt-1.1: 0[0] 1[0]; attempt-1.1: 0[0] to 100
            - 
            - attempt-1.1: 0[0] to 70
            - 
            - attempt-1.1: 0[0] to 200; stop job-1 attempt-1.1
        "#]],
    );
}

#[test]
fn a_source_that_asks_is_given_what_the_newest_orders_say() {
    let asks = |has| Tells(1, 0, Said::Asks(Asks { of: 9, has }));
    check(
        vec![
            Registered(1),
            Ordered(1, vec![(1, 1, Wish::Run)]),
            asks(0),
            Gives(2, Wish::Run, 1),
            // Of two asks the later one counts, and it is said until it was taken.
            asks(1),
            Passes(600),
            Contact,
            asks(2),
            Acknowledged(2),
            Gives(4, Wish::Run, 3),
            Gives(3, Wish::Run, 2),
            Gives(5, Wish::Run, 3),
        ],
        expect![[r#"
            - 
            - start job-1 attempt-1.1: 0[0] 1[0]
            - report to 1: attempt-1.1 0[0] has 0 of 9
            - attempt-1.1: 0[0] has [0]
            - report to 2: attempt-1.1 0[0] has 1 of 9
            - report to 2: attempt-1.1 0[0] has 1 of 9
            - 
            - report to 3: attempt-1.1 0[0] has 2 of 9
            - 
            - attempt-1.1: 0[0] has [0, 1, 2]
            - 
            - 
        "#]],
    );
}

fn check(all: Vec<Hears>, expected: Expect) {
    let mut agent = Agent::new(Config::default(), TaskManagerId(1), Incarnation(1));
    let mut now_ms = 0;
    let mut transcript = String::new();
    for hears in all {
        let commands = match hears {
            Registered(epoch) => agent.handle(now_ms, Event::Registered { epoch: Epoch(epoch), asked_ms: now_ms }),
            Ordered(version, all) => agent.handle(now_ms, orders(1, version, all)),
            OrdersOf(epoch, version, all) => agent.handle(now_ms, orders(epoch, version, all)),
            Contact => agent.handle(now_ms, Event::Contact { asked_ms: now_ms }),
            Acknowledged(sequence) => agent.handle(now_ms, Event::Acknowledged { sequence }),
            Says(count, chain, state) => {
                let attempt = Attempt::new(Epoch(1), count);
                let said = Said::State(state);
                agent.handle(now_ms, Event::Subtask { job: JOB, attempt, subtask: subtask(chain, 0), said })
            }
            Tells(count, chain, said) => {
                let attempt = Attempt::new(Epoch(1), count);
                agent.handle(now_ms, Event::Subtask { job: JOB, attempt, subtask: subtask(chain, 0), said })
            }
            Limits(version, wish, limit) => {
                let Event::Orders(mut all) = orders(1, version, vec![(1, 1, wish)]) else { panic!("it makes orders") };
                all.orders[0].limits = vec![(subtask(0, 0), limit)];
                agent.handle(now_ms, Event::Orders(all))
            }
            Gives(version, wish, portions) => {
                let Event::Orders(mut all) = orders(1, version, vec![(1, 1, wish)]) else { panic!("it makes orders") };
                let given = Given { portions: (0..portions).collect(), is_all: false };
                all.orders[0].given = vec![(subtask(0, 0), given)];
                agent.handle(now_ms, Event::Orders(all))
            }
            Keeps(version, wish, checkpoints) => agent.handle(now_ms, keeps(version, wish, checkpoints)),
            Passes(at_ms) => {
                now_ms = at_ms;
                agent.advance(now_ms)
            }
        };
        let commands: Vec<String> = commands.iter().map(show).collect();
        transcript += &format!("- {}\n", commands.join("; "));
    }
    expected.assert_eq(&transcript);
}

use SubtaskState::{Committed, Prepared, Running as Runs, Stopped};
use Wish::{Commit, Drain, Run, Stop};

#[test]
fn a_job_from_start_to_release() {
    check(
        vec![
            Registered(1),
            Ordered(1, vec![(1, 1, Run)]),
            Ordered(1, vec![(1, 1, Run)]),
            Says(1, 0, Runs),
            Says(1, 1, Runs),
            Acknowledged(2),
            Ordered(2, vec![(1, 1, Drain)]),
            Says(1, 0, Prepared),
            Says(1, 1, Prepared),
            Ordered(3, vec![(1, 1, Commit)]),
            Says(1, 0, Committed),
            Says(1, 1, Committed),
            Acknowledged(6),
            Ordered(4, vec![]),
        ],
        expect![[r#"
            - 
            - start job-1 attempt-1.1: 0[0] 1[0]
            - 
            - report to 1: attempt-1.1 0[0] Running
            - report to 2: attempt-1.1 0[0] Running, attempt-1.1 1[0] Running
            - 
            - drain job-1 attempt-1.1
            - report to 3: attempt-1.1 0[0] Prepared
            - report to 4: attempt-1.1 0[0] Prepared, attempt-1.1 1[0] Prepared
            - commit job-1 attempt-1.1
            - report to 5: attempt-1.1 1[0] Prepared, attempt-1.1 0[0] Committed
            - report to 6: attempt-1.1 0[0] Committed, attempt-1.1 1[0] Committed; release job-1 attempt-1.1
            - 
            - 
        "#]],
    );
}

#[test]
fn nothing_is_followed_before_it_is_registered() {
    check(
        vec![Ordered(1, vec![(1, 1, Run)]), Contact, Passes(9_000)],
        expect![[r#"
        - 
        - 
        - 
    "#]],
    );
}

#[test]
fn reports_are_repeated_until_they_are_acknowledged_the_newest_of_each_subtask() {
    check(
        vec![
            Registered(1),
            Ordered(1, vec![(1, 1, Run)]),
            Says(1, 0, Runs),
            Says(1, 1, Runs),
            Passes(499),
            Passes(500),
            Says(1, 0, Prepared),
            Acknowledged(2),
            Passes(1_000),
            Acknowledged(3),
            Passes(1_500),
        ],
        expect![[r#"
            - 
            - start job-1 attempt-1.1: 0[0] 1[0]
            - report to 1: attempt-1.1 0[0] Running
            - report to 2: attempt-1.1 0[0] Running, attempt-1.1 1[0] Running
            - 
            - report to 2: attempt-1.1 0[0] Running, attempt-1.1 1[0] Running
            - report to 3: attempt-1.1 1[0] Running, attempt-1.1 0[0] Prepared
            - 
            - report to 3: attempt-1.1 0[0] Prepared
            - 
            - 
        "#]],
    );
}

#[test]
fn without_an_answer_for_a_lease_everything_is_stopped() {
    check(
        vec![
            Registered(1),
            Ordered(1, vec![(1, 1, Run)]),
            Passes(1_000),
            Contact,
            Passes(2_999),
            Passes(3_000),
            // Outside: neither a commit nor anything else is followed, and nobody is told how it ends.
            Ordered(2, vec![(1, 1, Commit), (2, 1, Run)]),
            Says(1, 0, Stopped),
            Says(1, 1, Stopped),
            Registered(1),
            Ordered(3, vec![(2, 2, Run)]),
        ],
        expect![[r#"
            - 
            - start job-1 attempt-1.1: 0[0] 1[0]
            - 
            - 
            - 
            - stop job-1 attempt-1.1; register
            - 
            - 
            - release job-1 attempt-1.1
            - 
            - start job-2 attempt-1.2: 0[0] 1[0]
        "#]],
    );
}

#[test]
fn who_has_slept_is_outside_whatever_comes_first() {
    let slept = vec![Registered(1), Ordered(1, vec![(1, 1, Run)])];
    let commit = || Ordered(2, vec![(1, 1, Commit)]);
    check(
        slept.into_iter().chain([Passes(2_000), commit()]).collect(),
        expect![[r#"
        - 
        - start job-1 attempt-1.1: 0[0] 1[0]
        - stop job-1 attempt-1.1; register
        - 
    "#]],
    );
    let mut agent = Agent::new(Config::default(), TaskManagerId(1), Incarnation(1));
    agent.handle(0, Event::Registered { epoch: Epoch(1), asked_ms: 0 });
    agent.handle(0, orders(1, 1, vec![(1, 1, Run)]));
    let late = agent.handle(2_000, orders(1, 2, vec![(1, 1, Commit)]));
    expect!["stop job-1 attempt-1.1; register"].assert_eq(&late.iter().map(show).collect::<Vec<_>>().join("; "));
}

#[test]
fn nothing_starts_before_what_is_not_ordered_is_over() {
    check(
        vec![
            Registered(1),
            Ordered(1, vec![(1, 1, Run)]),
            Says(1, 0, Runs),
            Ordered(2, vec![(1, 2, Run), (2, 1, Run)]),
            Says(1, 0, Stopped),
            Says(1, 1, Stopped),
        ],
        expect![[r#"
            - 
            - start job-1 attempt-1.1: 0[0] 1[0]
            - report to 1: attempt-1.1 0[0] Running
            - stop job-1 attempt-1.1
            - 
            - release job-1 attempt-1.1; start job-1 attempt-1.2: 0[0] 1[0]; start job-2 attempt-1.1: 0[0] 1[0]
        "#]],
    );
}

#[test]
fn a_registration_takes_nothing_over() {
    check(
        vec![
            Registered(1),
            Ordered(7, vec![(1, 1, Run)]),
            Says(1, 0, Runs),
            Registered(2),
            // Of the life before, and too late.
            Registered(1),
            Ordered(8, vec![(1, 2, Run)]),
            OrdersOf(2, 1, vec![(1, 1, Run)]),
            Says(1, 0, Stopped),
            Says(1, 1, Stopped),
        ],
        expect![[r#"
            - 
            - start job-1 attempt-1.1: 0[0] 1[0]
            - report to 1: attempt-1.1 0[0] Running
            - stop job-1 attempt-1.1
            - 
            - 
            - 
            - 
            - release job-1 attempt-1.1; start job-1 attempt-2.1: 0[0] 1[0]
        "#]],
    );
}

#[test]
fn an_attempt_that_has_ended_does_not_start_again() {
    let cause = Cause { code: Code::BadRow, domain: Domain::User, message: "bad row".to_owned() };
    check(
        vec![
            Registered(1),
            Ordered(1, vec![(1, 2, Run)]),
            Says(2, 0, SubtaskState::Failed(cause)),
            Ordered(2, vec![(1, 2, Stop)]),
            Says(2, 1, Stopped),
            Ordered(3, vec![(1, 2, Run)]),
            Ordered(4, vec![(1, 1, Run)]),
            Ordered(5, vec![(1, 3, Run)]),
        ],
        expect![[r#"
            - 
            - start job-1 attempt-1.2: 0[0] 1[0]
            - report to 1: attempt-1.2 0[0] failed: bad row
            - stop job-1 attempt-1.2
            - report to 2: attempt-1.2 0[0] failed: bad row, attempt-1.2 1[0] Stopped; release job-1 attempt-1.2
            - 
            - 
            - start job-1 attempt-1.3: 0[0] 1[0]
        "#]],
    );
}

#[test]
fn what_never_started_is_said_to_have_stopped() {
    check(
        vec![Registered(1), Ordered(2, vec![(1, 1, Stop)]), Ordered(3, vec![(2, 1, Commit)])],
        expect![[r#"
        - 
        - report to 2: attempt-1.1 0[0] Stopped, attempt-1.1 1[0] Stopped
        - 
    "#]],
    );
}

fn part(checkpoint: u64) -> Said {
    Said::Part { at: At::Checkpoint(CheckpointId(checkpoint)), content: String::new() }
}

fn end() -> Said {
    Said::Part { at: At::End, content: String::new() }
}

#[test]
fn checkpoints_are_passed_on_as_they_rise_and_before_what_ends_an_attempt() {
    check(
        vec![
            Registered(1),
            Keeps(1, Run, reached(0, 0, 0)),
            Keeps(2, Run, reached(2, 0, 0)),
            // Late, and the same again.
            Keeps(1, Run, reached(1, 0, 0)),
            Keeps(3, Run, reached(2, 0, 0)),
            // A trigger of the past does not come back, whatever is ordered.
            Keeps(4, Run, reached(1, 0, 2)),
            Keeps(5, Commit, reached(2, 3, 2)),
            Keeps(6, Stop, reached(2, 4, 2)),
            // It has been told to stop.
            Keeps(7, Stop, reached(5, 5, 2)),
        ],
        expect![[r#"
            - 
            - start job-1 attempt-1.1: 0[0] 1[0] from manifest-7
            - attempt-1.1: take 2, completed 0, given up 0
            - 
            - 
            - attempt-1.1: take 2, completed 0, given up 2
            - attempt-1.1: take 2, completed 3, given up 2; commit job-1 attempt-1.1
            - attempt-1.1: take 2, completed 4, given up 2; stop job-1 attempt-1.1
            - 
        "#]],
    );
}

#[test]
fn an_attempt_starts_with_what_is_known_of_its_checkpoints() {
    check(
        vec![Registered(1), Keeps(1, Drain, reached(3, 2, 0)), Keeps(2, Stop, reached(4, 4, 0))],
        expect![[r#"
        - 
        - start job-1 attempt-1.1: 0[0] 1[0] from manifest-7; attempt-1.1: take 3, completed 2, given up 0; drain job-1 attempt-1.1
        - attempt-1.1: take 4, completed 4, given up 0; stop job-1 attempt-1.1
    "#]],
    );
    check(
        vec![Registered(1), Keeps(1, Stop, reached(4, 4, 0))],
        expect![[r#"
        - 
        - report to 2: attempt-1.1 0[0] Stopped, attempt-1.1 1[0] Stopped
    "#]],
    );
}

#[test]
fn the_newest_of_each_kind_is_reported_in_order_and_the_part_at_the_end_beside_that_before_it() {
    check(
        vec![
            Registered(1),
            Ordered(1, vec![(1, 1, Run)]),
            Says(1, 0, Runs),
            Tells(1, 0, Said::Committed(CheckpointId(7))),
            Tells(1, 0, part(8)),
            Tells(1, 0, part(9)),
            Tells(1, 0, Said::Declined { checkpoint: CheckpointId(10), reason: String::new() }),
            Tells(1, 0, end()),
            Tells(1, 0, Said::Committed(CheckpointId(9))),
            Says(1, 0, Prepared),
            Acknowledged(8),
            Passes(500),
            Says(1, 0, Stopped),
            // What is over says nothing more.
            Tells(1, 0, part(11)),
        ],
        expect![[r#"
            - 
            - start job-1 attempt-1.1: 0[0] 1[0]
            - report to 1: attempt-1.1 0[0] Running
            - report to 2: attempt-1.1 0[0] Running, attempt-1.1 0[0] committed to 7
            - report to 3: attempt-1.1 0[0] Running, attempt-1.1 0[0] committed to 7, attempt-1.1 0[0] part of 8
            - report to 4: attempt-1.1 0[0] Running, attempt-1.1 0[0] committed to 7, attempt-1.1 0[0] part of 9
            - report to 5: attempt-1.1 0[0] Running, attempt-1.1 0[0] committed to 7, attempt-1.1 0[0] part of 9, attempt-1.1 0[0] declines 10
            - report to 6: attempt-1.1 0[0] Running, attempt-1.1 0[0] committed to 7, attempt-1.1 0[0] part of 9, attempt-1.1 0[0] declines 10, attempt-1.1 0[0] part at its end
            - report to 7: attempt-1.1 0[0] Running, attempt-1.1 0[0] part of 9, attempt-1.1 0[0] declines 10, attempt-1.1 0[0] part at its end, attempt-1.1 0[0] committed to 9
            - report to 8: attempt-1.1 0[0] part of 9, attempt-1.1 0[0] declines 10, attempt-1.1 0[0] part at its end, attempt-1.1 0[0] committed to 9, attempt-1.1 0[0] Prepared
            - 
            - 
            - report to 9: attempt-1.1 0[0] Stopped
            - 
        "#]],
    );
}
