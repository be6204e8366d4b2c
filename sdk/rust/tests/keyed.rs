//! Operators with state and timers, and operators on whole columns.

use wasmill_sdk::{
    Call, Config, Ctx, Error, Keyed, KeyedOperator, Operator, Row, Timer, Timestamp, clock,
    data::{Context, DataType, Descriptor, Failure, Field, Input, Notice, Notices, Outcome, Port, Reads, Reply, Shape},
    log, metrics,
    ports::{Extend, Key, New, Ports},
    state::{State, Value},
    testing::{Harness, metric, take_log},
};

#[derive(Row, Debug, Clone, PartialEq)]
struct Event<'a> {
    user: &'a str,
    action: &'a str,
}

#[derive(Row)]
struct User<'a> {
    user: &'a str,
}

fn event<'a>(user: &'a str, action: &'a str) -> Event<'a> {
    Event { user, action }
}

/// Ends a session after ten seconds without an event.
struct Sessions {
    gap_ms: i64,
}

#[derive(Config)]
struct Gap {
    #[config(default = 10_000)]
    gap_ms: i64,
}

#[derive(Row)]
struct Action<'a> {
    action: &'a str,
}

#[derive(State, Debug, PartialEq)]
struct Session {
    events: Value<i64>,
    #[state(ttl_ms = 60_000, version = 2)]
    last: Value<String>,
    #[state(name = "end")]
    ends: Value<Timestamp>,
}

#[derive(Row)]
struct Ended {
    events: i64,
    last: String,
}

#[derive(Row)]
struct Nth {
    nth: i64,
}

#[derive(Ports)]
struct Outputs {
    sessions: Key<Ended>,
    numbered: Extend<Nth>,
    firsts: New<Nth>,
}

impl KeyedOperator for Sessions {
    type Config = Gap;
    type Input<'a> = Action<'a>;
    type State = Session;
    type Output = Outputs;
    const TIMERS: bool = true;
    const EVENT_TIMES: bool = true;

    fn open(config: Gap, _: &Context) -> Result<Self, Error> {
        Ok(Self { gap_ms: config.gap_ms })
    }

    fn on_row(&mut self, row: Action<'_>, state: &mut Session, ctx: &mut Ctx<Outputs>) -> Result<(), Error> {
        let time = ctx.event_time().ok_or_else(|| Error::fatal("sessions need event times"))?;
        if row.action == "logout" {
            state.last.set("logout".to_owned());
            return self.end(state, ctx);
        }
        if row.action.is_empty() {
            return Err(Error::new("no action"));
        }
        if let Some(old) = state.ends.take() {
            ctx.clear_timer(Timer::EventTime(old));
        }
        let nth = state.events.get_or_insert(0);
        *nth += 1;
        if *nth == 1 {
            ctx.out.firsts.emit(Nth { nth: time.0 });
        }
        ctx.out.numbered.emit(Nth { nth: *nth });
        state.last.set(row.action.to_owned());
        state.ends.set(time.plus_ms(self.gap_ms));
        ctx.set_timer(Timer::EventTime(time.plus_ms(self.gap_ms)));
        Ok(())
    }

    fn on_timer(&mut self, timer: Timer, state: &mut Session, ctx: &mut Ctx<Outputs>) -> Result<(), Error> {
        assert_eq!(Some(timer), ctx.event_time().map(Timer::EventTime));
        self.end(state, ctx)
    }
}

impl Sessions {
    fn end(&self, state: &mut Session, ctx: &mut Ctx<Outputs>) -> Result<(), Error> {
        let last = state.last.take().unwrap_or_default();
        ctx.out.sessions.emit(Ended { events: state.events.take().unwrap_or(0), last });
        if let Some(end) = state.ends.take() {
            ctx.clear_timer(Timer::EventTime(end));
        }
        Ok(())
    }
}

#[derive(Row, Debug, PartialEq)]
struct Out {
    user: String,
    events: i64,
    last: String,
}

fn out(user: &str, events: i64, last: &str) -> Out {
    Out { user: user.to_owned(), events, last: last.to_owned() }
}

fn sessions() -> Harness<Keyed<Sessions>> {
    let setup = Harness::setup().keyed_input::<Event>(&["user"]).with_event_times();
    setup.open().expect("it opens")
}

#[test]
fn a_timer_ends_the_session_of_its_key() {
    let mut harness = sessions();
    let at = |ms, user, action| (Timestamp(ms), event(user, action));
    harness.process_at([at(0, "ann", "a"), at(1_000, "bob", "b"), at(5_000, "ann", "c")]).expect("no row fails");
    assert_eq!((harness.timers(), harness.keys()), (2, 2));
    harness.advance_watermark(Timestamp(10_999)).expect("no timer fails");
    assert_eq!(harness.take::<Out>("sessions"), []);
    harness.advance_watermark(Timestamp(11_000)).expect("no timer fails");
    assert_eq!(harness.take::<Out>("sessions"), [out("bob", 1, "b")]);
    harness.finish().expect("no timer fails");
    assert_eq!(harness.take::<Out>("sessions"), [out("ann", 2, "c")]);
    assert_eq!((harness.timers(), harness.keys()), (0, 0));
}

#[test]
fn each_port_has_its_rows() {
    #[derive(Row, Debug, PartialEq)]
    struct Numbered {
        user: String,
        action: String,
        nth: i64,
    }
    #[derive(Row, Debug, PartialEq)]
    struct First {
        nth: i64,
    }
    let mut harness = sessions();
    harness
        .process_at([
            (Timestamp(3), event("ann", "a")),
            (Timestamp(4), event("bob", "logout")),
            (Timestamp(5), event("ann", "b")),
        ])
        .expect("no row fails");
    let numbered = harness.take::<Numbered>("numbered");
    let numbered: Vec<_> = numbered.iter().map(|row| (row.user.as_str(), row.action.as_str(), row.nth)).collect();
    assert_eq!(numbered, [("ann", "a", 1), ("ann", "b", 2)]);
    assert_eq!(harness.take_at::<First>("firsts"), [(Timestamp(3), First { nth: 3 })]);
    assert_eq!(harness.take::<Out>("sessions"), [out("bob", 0, "logout")]);
}

#[test]
fn state_belongs_to_the_host() {
    let mut harness = sessions();
    harness.process_at([(Timestamp(1), event("ann", "a"))]).expect("no row fails");
    harness.replace_instance().expect("it opens again");
    harness.process_at([(Timestamp(2), event("ann", "b"))]).expect("no row fails");
    let expect = Session {
        events: Value::of(Some(2)),
        last: Value::of(Some("b".to_owned())),
        ends: Value::of(Some(Timestamp(10_002))),
    };
    assert_eq!(harness.state::<Session>(User { user: "ann" }), expect);
    assert!(harness.state::<Session>(User { user: "bob" }).events.is_empty());
}

#[test]
fn a_failed_call_changes_nothing() {
    let mut harness = sessions();
    let failure = harness
        .process_at([(Timestamp(1), event("ann", "a")), (Timestamp(2), event("ann", ""))])
        .expect_err("there is no action");
    assert_eq!((failure.row, failure.message.as_str()), (Some(1), "no action"));
    assert_eq!((harness.timers(), harness.keys()), (0, 0));
}

#[test]
fn cells_say_how_long_they_live() {
    let harness = sessions();
    let cells: Vec<_> = harness
        .descriptor()
        .cells
        .iter()
        .map(|c| (c.name.as_str(), c.data_type.as_str(), c.ttl_ms, c.version))
        .collect();
    let expect = [("events", "int64", None, 1), ("last", "utf8", Some(60_000), 2), ("end", "timestamp", None, 1)];
    assert_eq!(cells, expect);
}

/// Counts rows in whole columns, and tells at the end.
#[derive(Default)]
struct Total {
    sum: i64,
}

impl Operator for Total {
    fn describe(_: &str, inputs: &[Input]) -> Result<Descriptor, Error> {
        inputs[0].require("n", DataType::Int64, false).map_err(Error::new)?;
        let shape = Shape::New(vec![Field::new("sum", DataType::Int64)]);
        let mut descriptor = Descriptor::new(vec![Reads::columns(["n"])], vec![Port::new("out", shape)]);
        descriptor.notices = Notices::END_OF_INPUT | Notices::WATERMARK;
        Ok(descriptor)
    }

    fn open(_: &Context) -> Result<Self, Error> {
        Ok(Self::default())
    }

    fn process(&mut self, call: &Call<'_>) -> Result<Reply, Failure> {
        self.sum += call.rows.i64s(0).iter().sum::<i64>();
        metrics::add("rows", call.rows.count() as u64);
        Ok(Reply::none())
    }

    fn on_notice(&mut self, notice: Notice, context: &Context) -> Result<Reply, Failure> {
        match notice {
            Notice::Watermark(time) => {
                assert_eq!(clock::watermark(), Timestamp(time));
                log::info!("{} has reached {time} at {}", context.operator, clock::now());
                Ok(Reply::none())
            }
            Notice::EndOfInput => {
                let column = wasmill_sdk::data::Column::of_i64s(&[self.sum]);
                Ok(Reply::rows(Outcome::replace(1, vec![column], None)))
            }
        }
    }
}

#[test]
fn columns_log_lines_numbers_and_notices() {
    #[derive(Row)]
    struct N {
        n: i64,
    }
    #[derive(Row, Debug, PartialEq)]
    struct Sum {
        sum: i64,
    }
    let mut harness = Harness::<Total>::setup().input::<N>().open().expect("it opens");
    harness.process((1..=100).map(|n| N { n })).expect("no row fails");
    harness.advance_clock(Timestamp(8)).expect("no timer fails");
    harness.advance_watermark(Timestamp(5)).expect("nothing fails");
    assert_eq!(take_log(), [(log::Level::Info, "operator has reached 5 at 8 ms".to_owned())]);
    assert_eq!(metric("rows"), Some(100.0));
    harness.finish().expect("nothing fails");
    assert_eq!(harness.take::<Sum>("out"), [Sum { sum: 5050 }]);
}

#[test]
#[should_panic(expected = "bad reply")]
fn the_harness_refuses_a_reply_that_breaks_the_contract() {
    struct Wrong;
    impl Operator for Wrong {
        fn describe(_: &str, _: &[Input]) -> Result<Descriptor, Error> {
            Ok(Descriptor::stateless(Reads::columns([]), Shape::Pass(0)))
        }
        fn open(_: &Context) -> Result<Self, Error> {
            Ok(Self)
        }
        fn process(&mut self, _: &Call<'_>) -> Result<Reply, Failure> {
            Ok(Reply::rows(Outcome::replace(0, vec![], None)))
        }
    }
    let mut harness = Harness::<Wrong>::setup().input::<Event>().open().expect("it opens");
    let _ = harness.process([event("ann", "a")]);
}
