//! Judges payments of a card by rules that change while it runs. The README says what the rules are.
//!
//! Rows of the two inputs come in no particular order, so a payment waits until the watermark has reached its time: then all rules of
//! that time are there, and whoever judges it gets the same result, however fast each input is read.

#![cfg_attr(not(test), no_std)]

use serde::{Deserialize, Serialize};
use wasmill_sdk::{
    Broadcast, BroadcastOperator, Ctx, Error, Row, Timer, Timestamp,
    data::{Context, Input},
    ports::{Key, Ports},
    prelude::*,
    state::{Cbor, Map, Shared, State},
};

wasmill_sdk::no_std!();
wasmill_sdk::export!(Broadcast<Fraud>);

/// The longest span a rule can look back on.
const DAY_MS: i64 = 86_400_000;

#[derive(Row)]
struct Payment<'a> {
    payment: &'a str,
    amount: f64,
    country: &'a str,
}

/// A version of a rule: what it says from `at` on.
#[derive(Row)]
struct RuleRow<'a> {
    rule: &'a str,
    at: Timestamp,
    window_s: i64,
    payments_max: Option<i64>,
    amount_max: Option<f64>,
    country: Option<&'a str>,
}

#[derive(Row)]
struct Alert {
    at: Timestamp,
    payment: String,
    rule: String,
    /// How many payments there were within the rule's span, and of what amount together.
    payments: i64,
    amount: f64,
    /// What the card has paid since midnight, UTC.
    today: f64,
}

#[derive(Ports)]
struct Outputs {
    alerts: Key<Alert>,
}

/// A payment as it is kept.
#[derive(Serialize, Deserialize, Clone)]
struct Paid {
    payment: String,
    amount: f64,
    country: String,
}

#[derive(State)]
struct Card {
    /// Payments whose time has not come, by their times.
    waiting: Map<Timestamp, Cbor<Vec<Paid>>>,
    /// Judged payments, as long as a rule can look at them.
    #[state(ttl_ms = 86_400_000, event_time)]
    recent: Map<Timestamp, Cbor<Vec<Paid>>>,
    /// The sum of each day, for two days more.
    #[state(ttl_ms = 172_800_000, event_time)]
    sums: Map<i64, f64>,
}

/// What a rule says from a time on.
#[derive(Serialize, Deserialize, Clone)]
struct Version {
    since_ms: i64,
    window_ms: i64,
    payments_max: Option<i64>,
    amount_max: Option<f64>,
    country: Option<String>,
}

#[derive(Shared)]
struct Rules {
    /// The versions of each rule, in the order of their times.
    rules: Map<String, Cbor<Vec<Version>>>,
}

struct Fraud;

impl BroadcastOperator for Fraud {
    type Config = ();
    type Input<'a> = Payment<'a>;
    type SharedInput<'a> = RuleRow<'a>;
    type State = Card;
    type Shared = Rules;
    type Output = Outputs;
    const TIMERS: bool = true;
    const EVENT_TIMES: bool = true;
    const PREFETCH: bool = true;

    fn check((): &(), payments: &Input, rules: &Input) -> Result<(), Error> {
        if !payments.event_times || !rules.event_times {
            return Err(Error::new("payments and rules are compared by their times: give both sources `event_time`"));
        }
        Ok(())
    }

    fn open((): (), _: &Context) -> Result<Self, Error> {
        Ok(Self)
    }

    fn prefetch(&self, _: &Payment<'_>, card: &Card, _: &Rules) {
        // Few: those between the watermark and the latest payment.
        card.waiting.want_all();
    }

    fn on_row(&mut self, row: Payment<'_>, card: &mut Card, _: &Rules, ctx: &mut Ctx<Outputs>) -> Result<(), Error> {
        if !row.amount.is_finite() || row.amount <= 0.0 {
            return Err(Error::new(format!("the amount of payment {} is {}, not above 0", row.payment, row.amount)));
        }
        let at = ctx.event_time().ok_or_else(|| Error::fatal("payments have times"))?;
        let paid = Paid { payment: row.payment.into(), amount: row.amount, country: row.country.into() };
        card.waiting.get_or_insert(at, Cbor(Vec::new())).push(paid);
        ctx.set_timer(Timer::EventTime(at));
        Ok(())
    }

    fn on_shared_row(&mut self, row: RuleRow<'_>, rules: &mut Rules) -> Result<(), Error> {
        let window_ms = row.window_s.saturating_mul(1_000);
        if !(1..=DAY_MS).contains(&window_ms) {
            return Err(Error::new(format!("rule {} looks back {} s: it can be 1 s to a day", row.rule, row.window_s)));
        }
        let version = Version {
            since_ms: row.at.0,
            window_ms,
            payments_max: row.payments_max,
            amount_max: row.amount_max,
            country: row.country.map(str::to_owned),
        };
        let versions = rules.rules.get_or_insert(row.rule.to_owned(), Cbor(Vec::new()));
        let place = versions.partition_point(|earlier| earlier.since_ms <= version.since_ms);
        versions.insert(place, version);
        Ok(())
    }

    fn prefetch_timer(&self, timer: Timer, card: &Card, rules: &Rules) {
        rules.rules.want_all();
        if let Timer::EventTime(at) = timer {
            card.waiting.want(&at);
            card.recent.want_from(at.plus_ms(1 - DAY_MS));
            card.sums.want(&day(at));
        }
    }

    fn on_timer(&mut self, timer: Timer, card: &mut Card, rules: &Rules, ctx: &mut Ctx<Outputs>) -> Result<(), Error> {
        let Timer::EventTime(at) = timer else { return Ok(()) };
        let Some(Cbor(waiting)) = card.waiting.take(&at) else { return Ok(()) };
        let rules: Vec<(String, Version)> = rules.rules.iter().filter_map(|rule| in_force(rule, at)).collect();
        let longest_ms = rules.iter().map(|(_, version)| version.window_ms).max().unwrap_or(1);
        let mut seen: Vec<(Timestamp, Paid)> = Vec::new();
        for (time, Cbor(paid)) in card.recent.range(at.plus_ms(1 - longest_ms)..=at) {
            seen.extend(paid.into_iter().map(|paid| (time, paid)));
        }
        for paid in &waiting {
            seen.push((at, paid.clone()));
            let today = card.sums.get_or_insert(day(at), 0.0);
            *today += paid.amount;
            for (rule, version) in &rules {
                if let Some((payments, amount)) = broken(version, at, paid, &seen) {
                    let (payment, rule) = (paid.payment.clone(), rule.clone());
                    ctx.out.alerts.emit(Alert { at, payment, rule, payments, amount, today: *today });
                }
            }
        }
        card.recent.get_or_insert(at, Cbor(Vec::new())).extend(waiting);
        Ok(())
    }
}

/// The day a moment is in, counted from the epoch.
fn day(at: Timestamp) -> i64 {
    at.0.div_euclid(DAY_MS)
}

/// The version of a rule that holds at a time.
fn in_force((rule, Cbor(versions)): (String, Cbor<Vec<Version>>), at: Timestamp) -> Option<(String, Version)> {
    versions.into_iter().rfind(|version| version.since_ms <= at.0).map(|version| (rule, version))
}

/// How many payments there were within a rule's span, and their sum, if a payment breaks it. `seen`: those up to it.
fn broken(version: &Version, at: Timestamp, paid: &Paid, seen: &[(Timestamp, Paid)]) -> Option<(i64, f64)> {
    let is_meant = |paid: &Paid| version.country.as_ref().is_none_or(|country| *country == paid.country);
    if !is_meant(paid) {
        return None;
    }
    let start = at.plus_ms(-version.window_ms);
    let within = seen.iter().filter(|(time, paid)| *time > start && is_meant(paid));
    let (payments, amount) = within.fold((0, 0.0), |(count, sum), (_, paid)| (count + 1, sum + paid.amount));
    let is_broken =
        version.payments_max.is_some_and(|max| payments > max) || version.amount_max.is_some_and(|max| amount > max);
    is_broken.then_some((payments, amount))
}

#[cfg(test)]
mod tests;
