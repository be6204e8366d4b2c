//! Operators that are functions of a row, as their authors write and test them.

use wasmill_sdk::{
    Config, Error, Row, Timestamp,
    data::Shape,
    filter, flat_map, map,
    ports::{Extend, New, Pass, Ports},
    testing::Harness,
};

#[derive(Row, Debug, Clone, PartialEq)]
struct Bid<'a> {
    auction: i64,
    price: f64,
    channel: &'a str,
    note: Option<&'a str>,
    seen: bool,
    #[row(name = "dateTime")]
    at: Timestamp,
}

#[derive(Row, Debug, PartialEq)]
struct BidOwned {
    auction: i64,
    note: Option<String>,
}

fn bid(auction: i64) -> Bid<'static> {
    let note = (auction % 2 == 0).then_some("even");
    Bid { auction, price: auction as f64 / 2.0, channel: "web", note, seen: auction == 3, at: Timestamp(auction) }
}

fn auctions(rows: &[BidOwned]) -> Vec<i64> {
    rows.iter().map(|row| row.auction).collect()
}

#[derive(Config)]
struct Limit {
    #[config(default = 2.0)]
    price: f64,
}

#[derive(Row)]
struct Seen<'a> {
    price: f64,
    note: Option<&'a str>,
    seen: bool,
}

#[filter]
fn keep(bid: Seen<'_>, limit: &Limit) -> bool {
    bid.price > limit.price || bid.note.is_none() && !bid.seen
}

#[test]
fn a_filter_keeps_rows_as_they_are() {
    let check = |config: &str, rows: &[i64], expect: &[i64]| {
        let mut harness = Harness::<keep>::setup().config(config).input::<Bid>().open().expect("it opens");
        harness.process(rows.iter().map(|&row| bid(row))).expect("no row fails");
        assert_eq!(auctions(&harness.take("out")), expect, "{config} {rows:?}");
    };
    check("{}", &[1, 2, 3, 4, 5], &[1, 5]);
    check("{}", &[1, 1], &[1, 1]);
    check("{}", &[2, 3], &[]);
    check(r#"{"price":0}"#, &[1, 2, 3], &[1, 2, 3]);
    let many: Vec<i64> = (0..1000).collect();
    let odd: Vec<i64> = many.iter().copied().filter(|row| row % 2 == 1 && *row != 3).collect();
    check(r#"{"price":1e6}"#, &many, &odd);
}

#[test]
fn only_the_named_columns_are_read() {
    let harness = Harness::<keep>::setup().input::<Bid>().open().expect("it opens");
    assert_eq!(harness.descriptor().inputs[0].columns, ["price", "note", "seen"]);
    assert!(!harness.descriptor().inputs[0].keyed);
}

#[derive(Row)]
struct Auction {
    auction: i64,
}

#[derive(Row)]
struct Named<'a> {
    channel: String,
    parity: Option<&'a str>,
}

#[map]
fn named(row: Auction) -> Result<Option<Named<'static>>, String> {
    match row.auction {
        ..0 => Err(format!("auction {} is negative", row.auction)),
        0 => Ok(None),
        n => Ok(Some(Named { channel: format!("#{n}"), parity: (n % 2 == 1).then_some("odd") })),
    }
}

#[test]
fn a_map_replaces_and_adds_columns() {
    #[derive(Row, Debug, PartialEq)]
    struct Out {
        auction: i64,
        channel: String,
        parity: Option<String>,
    }
    let out = |auction, channel: &str, parity: Option<&str>| Out {
        auction,
        channel: channel.to_owned(),
        parity: parity.map(str::to_owned),
    };
    let mut harness = Harness::<named>::setup().input::<Bid>().open().expect("it opens");
    harness.process([bid(1), bid(2)]).expect("no row fails");
    assert_eq!(harness.take::<Out>("out"), [out(1, "#1", Some("odd")), out(2, "#2", None)]);
    harness.process([bid(0), bid(3), bid(0)]).expect("no row fails");
    assert_eq!(harness.take::<Out>("out"), [out(3, "#3", Some("odd"))]);
    harness.process([bid(0)]).expect("no row fails");
    assert_eq!(harness.take::<Out>("out"), []);
}

#[test]
fn a_failure_names_its_row() {
    let mut harness = Harness::<named>::setup().input::<Bid>().open().expect("it opens");
    let failure = harness.process([bid(1), bid(-5), bid(2)]).expect_err("the second is negative");
    assert_eq!((failure.fatal, failure.row, failure.message.as_str()), (false, Some(1), "auction -5 is negative"));
    assert_eq!(auctions(&harness.take("out")), []);
}

#[derive(Row)]
struct Letter<'a> {
    letter: &'a str,
}

#[flat_map]
fn letters(bid: Bid<'_>, out: &mut New<Letter<'_>>) -> Result<(), Error> {
    if bid.channel == "broken" {
        return Err(Error::fatal("the channel is broken"));
    }
    bid.channel.split("").filter(|letter| !letter.is_empty()).for_each(|letter| out.emit(Letter { letter }));
    Ok(())
}

#[derive(Row, Debug, PartialEq)]
struct LetterOwned {
    letter: String,
}

#[test]
fn a_flat_map_makes_rows_with_the_event_time_of_theirs() {
    let mut harness = Harness::<letters>::setup().input::<Bid>().with_event_times().open().expect("it opens");
    harness.process_at([(Timestamp(7), bid(1)), (Timestamp(5), Bid { channel: "", ..bid(1) })]).expect("no row fails");
    let rows = harness.take_at::<LetterOwned>("out");
    let rows: Vec<_> = rows.iter().map(|(time, row)| (time.0, row.letter.as_str())).collect();
    assert_eq!(rows, [(7, "w"), (7, "e"), (7, "b")]);

    let mut without = Harness::<letters>::setup().input::<Bid>().open().expect("it opens");
    without.process([bid(1)]).expect("no row fails");
    assert_eq!(without.take::<LetterOwned>("out").len(), 3);
    assert!(!without.descriptor().ports[0].event_times);
}

#[test]
fn a_fatal_error_stays_fatal() {
    let mut harness = Harness::<letters>::setup().input::<Bid>().open().expect("it opens");
    let failure = harness.process([Bid { channel: "broken", ..bid(1) }]).expect_err("the channel is broken");
    assert_eq!((failure.fatal, failure.row), (true, Some(0)));
}

#[derive(Row)]
struct Reason<'a> {
    reason: &'a str,
}

#[derive(Ports)]
struct Sorted {
    good: Pass,
    #[port(name = "rejected")]
    bad: Extend<Reason<'static>>,
    copies: New<Auction>,
}

#[flat_map]
fn sort(row: Auction, out: &mut Sorted) {
    if row.auction < 0 {
        out.bad.emit(Reason { reason: "negative" });
        return;
    }
    (0..row.auction).for_each(|auction| out.copies.emit(Auction { auction }));
    out.good.emit();
}

#[test]
fn rows_leave_by_several_ports() {
    #[derive(Row, Debug, PartialEq)]
    struct Rejected {
        auction: i64,
        reason: String,
    }
    let mut harness = Harness::<sort>::setup().input::<Bid>().open().expect("it opens");
    let shapes: Vec<_> = harness.descriptor().ports.iter().map(|port| (port.name.as_str(), &port.shape)).collect();
    assert!(matches!(
        shapes[..],
        [("good", Shape::Pass(0)), ("rejected", Shape::Extend(_)), ("copies", Shape::New(_))]
    ));
    harness.process([bid(2), bid(-1), bid(1)]).expect("no row fails");
    assert_eq!(auctions(&harness.take("good")), [2, 1]);
    assert_eq!(harness.take::<Rejected>("rejected"), [Rejected { auction: -1, reason: "negative".to_owned() }]);
    assert_eq!(harness.take::<AuctionOut>("copies"), [0, 1, 0].map(|auction| AuctionOut { auction }));
}

#[derive(Row, Debug, PartialEq)]
struct AuctionOut {
    auction: i64,
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    #[derive(Row)]
    #[allow(dead_code)]
    struct Text {
        auction: String,
    }
    #[derive(Row)]
    #[allow(dead_code)]
    struct Nullable {
        auction: Option<i64>,
    }
    let error = Harness::<sort>::setup().input::<Text>().open().expect_err("text is no number");
    assert_eq!(error, "column `auction` is utf8, expected int64");
    let error = Harness::<sort>::setup().input::<Nullable>().open().expect_err("nulls are not expected");
    assert_eq!(error, "column `auction` may hold nulls: make the field that reads it an Option");
    let error = Harness::<sort>::setup().input::<LetterOwned>().open().expect_err("there is no auction");
    assert_eq!(error, "the input has no column `auction`; its columns: letter");
    let error = Harness::<sort>::setup().config(r#"{"x":1}"#).input::<Bid>().open().expect_err("no configuration");
    assert_eq!(error, "unknown key `x`: there is nothing to configure");
}
