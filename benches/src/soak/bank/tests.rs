//! Books with one mistake each: every one is found.

use super::*;

const FIRST: i64 = 1_700_000_000_000;

fn leg(account: i64, transfer: i64, leg: &str, amount: i64, at: i64) -> String {
    format!(r#"{{"account":{account},"transfer":{transfer},"leg":"{leg}","amount":{amount},"at":{at}}}"#)
}

fn balance(account: i64, balance: i64) -> String {
    format!(r#"{{"account":{account},"balance":{balance}}}"#)
}

/// Two transfers: 30 from account 1 to 2, and 5 from 2 to 3.
fn all() -> Vec<String> {
    let second = FIRST + 1;
    vec![
        leg(1, FIRST, "debit", -30, FIRST),
        leg(2, FIRST, "credit", 30, FIRST + 2_000),
        leg(2, second, "debit", -5, second),
        leg(3, second, "credit", 5, second + 5_000),
        balance(1, -30),
        balance(2, 25),
        balance(3, 5),
    ]
}

fn read(rows: &[String]) -> Bookings {
    let mut counted = BTreeMap::new();
    rows.iter().for_each(|row| *counted.entry(row.clone()).or_insert(0) += 1);
    Bookings::read(&counted).expect("it is well formed")
}

#[track_caller]
fn check(wrong: &[String], expect: &str) {
    assert!(wrong.iter().any(|wrong| wrong.contains(expect)), "{expect}: {wrong:#?}");
}

#[test]
fn books_in_order_have_nothing_wrong() {
    assert_eq!(read(&all()).violations_at_the_end(2), [""; 0]);
}

#[test]
fn what_is_wrong_with_the_bookings_at_the_end_is_found() {
    let without = |place: usize| {
        let mut rows = all();
        rows.remove(place);
        read(&rows).violations_at_the_end(2)
    };
    check(&without(0), "transfer 1700000000000 has no debit");
    check(&without(3), "transfer 1700000000001 has no credit");
    check(&without(5), "balances are not the sums of bookings; the first account: Some((2, 25))");
    check(&without(5), "the balances at the end add up to -25");
    let with = |row: String| read(&[all(), vec![row]].concat()).violations_at_the_end(2);
    check(&with(all()[1].clone()), "it is there 2 times");
    check(&with(leg(4, FIRST, "credit", 30, FIRST + 2_000)), "a leg of transfer 1700000000000 has two bookings");
    check(&with(balance(3, 6)), "account 3 has two balances");
    let instead = |place: usize, row: String| {
        let mut rows = all();
        rows[place] = row;
        read(&rows).violations_at_the_end(2)
    };
    check(&instead(1, leg(2, FIRST, "credit", 31, FIRST + 2_000)), "takes -30 and gives 31");
    check(&instead(1, leg(2, FIRST, "credit", 30, FIRST + 1_999)), "was booked at");
    check(&instead(3, leg(3, FIRST + 1, "credit", 5, FIRST + 5_002)), "was booked at");
    // Both legs of a transfer are gone: nothing else tells.
    let first = [&all()[..2], &[balance(1, -30), balance(2, 30)]].concat();
    check(&read(&first).violations_at_the_end(2), "there are 1 transfers, not 2");
}

fn value(account: i64, balance: i64) -> String {
    format!(r#"{{"name":"values","row":{{"key":{{"account":{account}}},"values":{{"balance":{balance}}}}}}}"#)
}

fn waiting(account: i64, transfer: i64, amount: i64) -> String {
    format!(r#"{{"name":"in_transit","row":{{"key":{{"account":{account}}},"sub_key":{transfer},"value":{amount}}}}}"#)
}

fn timer(account: i64, time: i64) -> String {
    format!(r#"{{"name":"event-time timers","row":{{"key":{{"account":{account}}},"time":{time}}}}}"#)
}

/// The savepoint between the first credit and the second one.
fn savepoint() -> Vec<String> {
    vec![
        value(1, -30),
        value(2, 25),
        value(3, 0),
        waiting(3, FIRST + 1, 5),
        timer(3, FIRST + 5_001),
        timer(1, END),
        timer(2, END),
        timer(3, END),
    ]
}

fn books(rows: &[String]) -> Books {
    let mut books = Books::default();
    rows.iter().for_each(|row| books.add(row).expect("it is well formed"));
    books
}

#[test]
fn a_savepoint_in_order_has_nothing_wrong() {
    let at_the_end = [value(1, -30), value(2, 25), value(3, 5)];
    assert_eq!(books(&at_the_end).violations(), [""; 0]);
    let books = books(&savepoint());
    assert_eq!(books.to_string(), "3 accounts, 1 credits in transit, 4 timers");
    assert_eq!(books.violations(), [""; 0]);
    assert_eq!(books.violations_of_a_stop(&read(&all()[..3])), [""; 0]);
    // More may be visible than the savepoint says, as the job goes on.
    assert_eq!(books.violations_against(&read(&all()[..4])), [""; 0]);
}

#[test]
fn what_is_wrong_with_a_savepoint_is_found() {
    let instead = |place: usize, row: Option<String>| {
        let mut rows = savepoint();
        rows.remove(place);
        rows.extend(row);
        books(&rows).violations()
    };
    check(&instead(3, None), "balances add up to -5 and 0 is in transit: -5 too much");
    check(&instead(3, None), "account 3 has a timer at 1700000005001 and no credit for it");
    check(&instead(1, Some(value(2, 30))), "5 too much");
    check(&instead(4, None), "is in transit to account 3 and has no timer");
    check(&instead(4, Some(timer(3, FIRST + 2_000))), "and no credit for it");
    check(&instead(2, None), "account 3 has money in transit and no balance");
    check(&instead(6, None), "account 2 has no timer for the end");
    let mut books = books(&savepoint());
    assert!(books.add(&value(1, -30)).is_err());
    assert!(books.add(r#"{"name":"other","row":{"key":{"account":1}}}"#).is_err());
}

#[test]
fn what_is_seen_and_a_savepoint_are_held_against_each_other() {
    let books = books(&savepoint());
    check(&books.violations_against(&read(&all()[..2])), "its debit cannot be seen");
    check(&books.violations_of_a_stop(&read(&all()[..4])), "is both booked and in transit, or neither");
    check(&books.violations_of_a_stop(&read(&all()[1..3])), "account 1 has the balance Some(-30), bookings of 0");
    let other = [&all()[..3], &[leg(9, FIRST + 7, "debit", -1, FIRST + 7)]].concat();
    check(&books.violations_of_a_stop(&read(&other)), "account 9 has the balance None, bookings of -1");
}
