//! Operators whose keys share what a second input says.

use wasmill_sdk::{
    Broadcast, BroadcastOperator, Call, Ctx, Error, Operator, Row, Timer, Timestamp,
    data::{
        Cell, Column, Context, DataType, Descriptor, EntryAction, EntryChanges, Failure, Field, Input, Notice, Notices,
        Outcome, Port, Reads, Reply, Shape,
    },
    ports::New,
    state::{Map, Shared, State},
    testing::Harness,
};

#[derive(Row, Clone)]
struct Sale {
    shop: i64,
    currency: String,
    amount: f64,
}

#[derive(Row)]
struct Amount<'a> {
    currency: &'a str,
    amount: f64,
}

#[derive(Row, Clone)]
struct Rate {
    currency: String,
    rate: f64,
}

#[derive(State)]
struct Takings {
    waiting: Map<String, f64>,
}

#[derive(Shared, Debug, PartialEq)]
struct Rates {
    #[state(name = "rate", version = 2)]
    rates: Map<String, f64>,
    seen: Map<i64, bool>,
}

#[derive(Row, Debug, PartialEq)]
struct Euros {
    euros: f64,
}

/// Sums up what each shop takes in each currency, and tells what it was in euros at the end.
struct InEuros;

impl BroadcastOperator for InEuros {
    type Config = ();
    type Input<'a> = Amount<'a>;
    type SharedInput<'a> = Rate;
    type State = Takings;
    type Shared = Rates;
    type Output = New<Euros>;
    const TIMERS: bool = true;
    const PREFETCH: bool = true;

    fn open(_: (), _: &Context) -> Result<Self, Error> {
        Ok(Self)
    }

    fn prefetch(&self, row: &Amount<'_>, takings: &Takings, rates: &Rates) {
        takings.waiting.want(row.currency);
        rates.rates.want_all();
    }

    fn prefetch_timer(&self, _: Timer, takings: &Takings, rates: &Rates) {
        takings.waiting.want_all();
        rates.rates.want_all();
    }

    fn on_row(
        &mut self,
        row: Amount<'_>,
        takings: &mut Takings,
        rates: &Rates,
        ctx: &mut Ctx<New<Euros>>,
    ) -> Result<(), Error> {
        *takings.waiting.get_or_insert(row.currency.to_owned(), 0.0) += row.amount;
        ctx.set_timer(Timer::EventTime(Timestamp::END));
        if let Some(rate) = rates.rates.get(row.currency) {
            ctx.out.emit(Euros { euros: row.amount * rate });
        }
        Ok(())
    }

    fn on_shared_row(&mut self, row: Rate, rates: &mut Rates) -> Result<(), Error> {
        if row.rate < 0.0 {
            return Err(Error::new("a rate is not negative"));
        }
        rates.rates.insert(row.currency, row.rate);
        Ok(())
    }

    fn on_timer(
        &mut self,
        _: Timer,
        takings: &mut Takings,
        rates: &Rates,
        ctx: &mut Ctx<New<Euros>>,
    ) -> Result<(), Error> {
        let euros = takings.waiting.iter().map(|(currency, sum)| sum * rates.rates.get(&currency).unwrap_or(0.0)).sum();
        ctx.out.emit(Euros { euros });
        takings.waiting.clear();
        Ok(())
    }
}

fn sale(shop: i64, currency: &str, amount: f64) -> Sale {
    Sale { shop, currency: currency.to_owned(), amount }
}

fn rate(currency: &str, rate: f64) -> Rate {
    Rate { currency: currency.to_owned(), rate }
}

fn in_euros() -> Harness<Broadcast<InEuros>> {
    Harness::setup().keyed_input::<Sale>(&["shop"]).input::<Rate>().open().expect("it opens")
}

/// rule 51
#[test]
fn all_keys_see_what_the_second_input_said() {
    let mut harness = in_euros();
    harness.process([sale(1, "zl", 10.0)]).expect("no row fails");
    assert_eq!(harness.take::<Euros>("out"), []);
    harness.process_shared([rate("zl", 0.25), rate("kr", 0.5)]).expect("no row fails");
    harness.process([sale(2, "kr", 4.0), sale(1, "zl", 8.0)]).expect("no row fails");
    assert_eq!(harness.take::<Euros>("out"), [Euros { euros: 2.0 }, Euros { euros: 2.0 }]);
    // One request for the takings, one for the rates, in each of the two calls.
    assert_eq!(harness.state_reads(), 4);
    harness.replace_instance().expect("it opens again");
    harness.process_shared([rate("zl", 1.0)]).expect("no row fails");
    let kept = harness.shared::<Rates>();
    let rates = [("kr".to_owned(), 0.5), ("zl".to_owned(), 1.0)];
    assert_eq!(kept, Rates { rates: Map::of(rates), seen: Map::of([]) });
    harness.finish().expect("no timer fails");
    assert_eq!(harness.take::<Euros>("out"), [Euros { euros: 18.0 }, Euros { euros: 2.0 }]);
    assert_eq!((harness.keys(), harness.state_reads()), (0, 6));
}

#[test]
fn a_shared_row_that_fails_changes_nothing() {
    let mut harness = in_euros();
    let failure = harness.process_shared([rate("zl", 1.0), rate("kr", -1.0)]).expect_err("it is negative");
    assert_eq!((failure.row, &*failure.message), (Some(1), "a rate is not negative"));
    assert_eq!(harness.shared::<Rates>().rates.count(), 0);
}

#[test]
fn shared_cells_stand_behind_those_of_the_keys() {
    let harness = in_euros();
    let cells: Vec<_> =
        harness.descriptor().cells.iter().map(|c| (&*c.name, &*c.kind, c.sub_key.as_deref(), c.version)).collect();
    let expect = [
        ("waiting", "map", Some("utf8"), 1),
        ("rate", "broadcast", Some("utf8"), 2),
        ("seen", "broadcast", Some("int64"), 1),
    ];
    assert_eq!(cells, expect);
    let reads: Vec<_> = harness.descriptor().inputs.iter().map(|reads| (reads.keyed, reads.columns.len())).collect();
    assert_eq!(reads, [(true, 2), (false, 2)]);
}

#[test]
fn it_has_two_inputs() {
    let error =
        Harness::<Broadcast<InEuros>>::setup().keyed_input::<Sale>(&["shop"]).open().expect_err("one is missing");
    assert_eq!(error, "the operator has two inputs: a keyed one, and one that is broadcast");
}

/// Answers with changes of entries that the test names.
struct Breaks;

thread_local! {
    static ANSWER: std::cell::RefCell<Vec<EntryChanges>> = const { std::cell::RefCell::new(Vec::new()) };
}

impl Operator for Breaks {
    fn describe(_: &str, _: &[Input]) -> Result<Descriptor, Error> {
        let inputs = vec![Reads::columns([]).keyed(), Reads::columns([])];
        let shape = Shape::New(vec![Field::new("x", DataType::Int64)]);
        let cell = |name: &str, kind: &str, sub_key: Option<DataType>| Cell {
            kind: kind.to_owned(),
            sub_key: sub_key.map(|sub_key| sub_key.name().to_owned()),
            ..Cell::value(name, DataType::Int64)
        };
        let cells = vec![
            Cell::value("value", DataType::Int64),
            cell("list", "list", None),
            cell("map", "map", Some(DataType::Int64)),
            cell("all", "broadcast", Some(DataType::Int64)),
        ];
        let notices = Notices::END_OF_INPUT;
        Ok(Descriptor { cells, notices, ..Descriptor::new(inputs, vec![Port::new("out", shape)]) })
    }

    fn open(_: &Context) -> Result<Self, Error> {
        Ok(Self)
    }

    fn process(&mut self, _: &Call<'_>) -> Result<Reply, Failure> {
        Ok(Reply { entries: ANSWER.with_borrow(Clone::clone), ..Reply::none() })
    }

    fn on_notice(&mut self, _: Notice, _: &Context) -> Result<Reply, Failure> {
        Ok(Reply { entries: ANSWER.with_borrow(Clone::clone), ..Reply::rows(Outcome::DropAll) })
    }
}

/// The message of the panic when a call of an input is answered by these changes; `None`: there is none.
fn answered(input: Option<usize>, change: EntryChanges) -> Option<String> {
    ANSWER.set(vec![change]);
    let made = std::panic::catch_unwind(|| {
        let setup = Harness::<Breaks>::setup().keyed_input::<Sale>(&["shop"]).input::<Rate>();
        let mut harness = setup.open().expect("it opens");
        match input {
            Some(0) => harness.process([sale(1, "zl", 1.0)]).expect("no row fails"),
            Some(_) => harness.process_shared([rate("zl", 1.0)]).expect("no row fails"),
            None => harness.finish().expect("nothing fails"),
        }
    });
    made.err().map(|panic| match panic.downcast_ref::<&str>() {
        Some(literal) => (*literal).to_owned(),
        None => panic.downcast_ref::<String>().cloned().unwrap_or_default(),
    })
}

/// rule 49, rule 50, rule 51, rule 52
#[test]
fn changes_that_break_the_contract_are_panics() {
    let (value, list, map, all) = (0, 1, 2, 3);
    let one = || Some(Column::of_i64s(&[1]));
    let change = |cell, action, group: u32, sub_keys, values| EntryChanges {
        cell,
        action,
        groups: group.to_le_bytes().to_vec(),
        sub_keys,
        values,
    };
    let good = [
        (Some(0), change(list, EntryAction::Append, 0, None, one())),
        (Some(0), change(list, EntryAction::Remove, 0, one(), None)),
        (Some(0), change(map, EntryAction::Put, 0, one(), one())),
        (Some(0), change(map, EntryAction::Clear, 0, None, None)),
        (Some(1), change(all, EntryAction::Put, 0, one(), one())),
    ];
    for (input, change) in good {
        assert_eq!(answered(input, change.clone()), None, "{change:?}");
    }
    let bad = [
        (Some(0), change(9, EntryAction::Clear, 0, None, None), "there is no cell 9"),
        (Some(0), change(value, EntryAction::Clear, 0, None, None), "which has a value only"),
        (Some(0), change(list, EntryAction::Put, 0, one(), one()), "which is a list"),
        (Some(0), change(map, EntryAction::Append, 0, None, one()), "which is no list"),
        (Some(0), change(map, EntryAction::Put, 0, None, one()), "no sub-keys"),
        (Some(0), change(map, EntryAction::Put, 0, one(), None), "no values"),
        (Some(0), change(map, EntryAction::Remove, 0, one(), one()), "values of what is removed"),
        (Some(0), change(map, EntryAction::Clear, 0, one(), None), "what is cleared"),
        (Some(0), change(list, EntryAction::Append, 0, one(), one()), "sub-keys of what is appended"),
        (Some(0), change(map, EntryAction::Clear, 1, None, None), "group 1 of 1"),
        (Some(0), change(all, EntryAction::Put, 0, one(), one()), "only rows without keys"),
        (Some(1), change(map, EntryAction::Clear, 0, None, None), "in a call without keys"),
        (Some(1), change(all, EntryAction::Put, 1, one(), one()), "has no groups"),
        (None, change(all, EntryAction::Put, 0, one(), one()), "a notice can change nothing"),
    ];
    for (input, change, expect) in bad {
        let message = answered(input, change.clone()).unwrap_or_else(|| panic!("{change:?} is taken"));
        assert!(message.contains(expect), "{message}: expected {expect}");
    }
}
