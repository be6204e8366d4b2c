//! The books of the bank: what the rows of its sinks say, what a savepoint says, and what is wrong with either. Money is neither made nor
//! lost, so every transfer has two legs that add up to nothing, and so do all balances and what is in transit, at every savepoint.
//!
//! What is known here of the bank is what `tests/guests/rust-accounts` does under the configuration of `bank.toml`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// From a transfer to the booking of its credit, ms: at least, and how much more at most.
const WAIT_MS: i64 = 2_000;
const SPREAD_MS: i64 = 3_000;
/// The time of timers that wait for the end of all input.
const END: i64 = i64::MAX;

/// One booking: half of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Leg {
    account: i64,
    amount: i64,
    at: i64,
}

/// What the rows say that the sinks have made visible.
#[derive(Debug, Default)]
pub(crate) struct Bookings {
    /// By transfer.
    debits: BTreeMap<i64, Leg>,
    credits: BTreeMap<i64, Leg>,
    /// At the end, by account.
    balances: BTreeMap<i64, i64>,
    violations: Vec<String>,
}

impl Bookings {
    /// Reads rows, each with how often it is there.
    pub(crate) fn read(rows: &BTreeMap<String, u64>) -> Result<Self> {
        let mut bookings = Self::default();
        for (row, &count) in rows {
            let value: Value = serde_json::from_str(row).with_context(|| format!("{row} is no JSON"))?;
            bookings.add(&value).with_context(|| format!("could not read {row}"))?;
            if count > 1 {
                bookings.violations.push(format!("it is there {count} times: {row}"));
            }
        }
        Ok(bookings)
    }

    fn add(&mut self, row: &Value) -> Result<()> {
        let account = number(row, "account")?;
        if row["leg"].is_null() {
            if self.balances.insert(account, number(row, "balance")?).is_some() {
                self.violations.push(format!("account {account} has two balances"));
            }
            return Ok(());
        }
        let transfer = number(row, "transfer")?;
        let leg = Leg { account, amount: number(row, "amount")?, at: number(row, "at")? };
        let legs = match row["leg"].as_str() {
            Some("debit") => &mut self.debits,
            Some("credit") => &mut self.credits,
            other => bail!("{other:?} is no leg"),
        };
        if legs.insert(transfer, leg).is_some() {
            self.violations.push(format!("a leg of transfer {transfer} has two bookings, {row} is one"));
        }
        Ok(())
    }

    /// What is wrong with all bookings there are, of so many transfers.
    pub(crate) fn violations_at_the_end(&self, transfers: u64) -> Vec<String> {
        let mut wrong = self.violations.clone();
        for transfer in self.debits.keys().chain(self.credits.keys()).collect::<BTreeSet<_>>() {
            match (self.debits.get(transfer), self.credits.get(transfer)) {
                (Some(debit), Some(credit)) => wrong.extend(wrong_with(*transfer, debit, credit)),
                (debit, _) => {
                    let missing = if debit.is_some() { "credit" } else { "debit" };
                    wrong.push(format!("transfer {transfer} has no {missing}"));
                }
            }
        }
        let count = self.debits.len() as u64;
        if count != transfers {
            wrong.push(format!("there are {count} transfers, not {transfers}"));
        }
        let sums = self.sums();
        if sums != self.balances {
            let differ = sums.iter().find(|(account, sum)| self.balances.get(account) != Some(sum));
            wrong.push(format!("balances are not the sums of bookings; the first account: {differ:?}"));
        }
        let sum: i64 = self.balances.values().sum();
        if sum != 0 {
            wrong.push(format!("the balances at the end add up to {sum}"));
        }
        wrong
    }

    /// What all bookings of each account add up to.
    fn sums(&self) -> BTreeMap<i64, i64> {
        let mut sums = BTreeMap::new();
        for leg in self.debits.values().chain(self.credits.values()) {
            *sums.entry(leg.account).or_insert(0) += leg.amount;
        }
        sums
    }
}

fn wrong_with(transfer: i64, debit: &Leg, credit: &Leg) -> Vec<String> {
    let mut wrong = Vec::new();
    if debit.amount + credit.amount != 0 || debit.amount >= 0 {
        wrong.push(format!("transfer {transfer} takes {} and gives {}", debit.amount, credit.amount));
    }
    let waited = credit.at - transfer;
    if debit.at != transfer || !(WAIT_MS..=WAIT_MS + SPREAD_MS).contains(&waited) {
        wrong.push(format!("transfer {transfer} was booked at {} and {}", debit.at, credit.at));
    }
    wrong
}

/// What the rows of a savepoint say.
#[derive(Debug, Default)]
pub(crate) struct Books {
    balances: BTreeMap<i64, i64>,
    /// By account and transfer.
    in_transit: BTreeMap<(i64, i64), i64>,
    /// By account and time.
    timers: BTreeSet<(i64, i64)>,
}

impl Books {
    /// Adds a row, as `wasmill state export` writes it.
    pub(crate) fn add(&mut self, line: &str) -> Result<()> {
        let line: Value = serde_json::from_str(line).with_context(|| format!("{line} is no JSON"))?;
        let row = &line["row"];
        let account = number(&row["key"], "account").with_context(|| format!("{line} has no account"))?;
        let is_new = match line["name"].as_str() {
            Some("values") => self.balances.insert(account, number(&row["values"], "balance")?).is_none(),
            Some("in_transit") => {
                let transfer = number(row, "sub_key")?;
                self.in_transit.insert((account, transfer), number(row, "value")?).is_none()
            }
            Some("event-time timers") => self.timers.insert((account, number(row, "time")?)),
            other => bail!("the bank has no state {other:?}"),
        };
        if is_new { Ok(()) } else { bail!("it is there twice: {line}") }
    }

    /// What is wrong with a savepoint by itself: it must be a moment between two transfers.
    pub(crate) fn violations(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let (booked, waiting): (i64, i64) = (self.balances.values().sum(), self.in_transit.values().sum());
        if booked + waiting != 0 {
            wrong.push(format!(
                "balances add up to {booked} and {waiting} is in transit: {} too much",
                booked + waiting
            ));
        }
        for account in self.in_transit.keys().map(|(account, _)| account).filter(|a| !self.balances.contains_key(a)) {
            wrong.push(format!("account {account} has money in transit and no balance"));
        }
        // Of a job that was stopped as it came to its end, all timers have fired.
        let has_ended = self.in_transit.is_empty() && self.timers.is_empty();
        for account in self.balances.keys().filter(|account| !has_ended && !self.timers.contains(&(**account, END))) {
            wrong.push(format!("account {account} has no timer for the end"));
        }
        let credits_due = |account: i64, due: i64| {
            let range = (account, due - WAIT_MS - SPREAD_MS)..=(account, due - WAIT_MS);
            self.in_transit.range(range).next().is_some()
        };
        for (account, time) in self.timers.iter().filter(|(_, time)| *time != END) {
            if !credits_due(*account, *time) {
                wrong.push(format!("account {account} has a timer at {time} and no credit for it"));
            }
        }
        for (account, transfer) in self.in_transit.keys() {
            let range = (*account, transfer + WAIT_MS)..=(*account, transfer + WAIT_MS + SPREAD_MS);
            if self.timers.range(range).next().is_none() {
                wrong.push(format!("transfer {transfer} is in transit to account {account} and has no timer"));
            }
        }
        wrong
    }

    /// What is wrong with what could be seen when the savepoint was complete: everything from before it must be there.
    pub(crate) fn violations_against(&self, visible: &Bookings) -> Vec<String> {
        let mut wrong = visible.violations.clone();
        for ((account, transfer), amount) in &self.in_transit {
            match visible.debits.get(transfer) {
                Some(debit) if debit.amount + amount == 0 => {}
                Some(debit) => wrong.push(format!("transfer {transfer} took {} for {amount} in transit", debit.amount)),
                None => wrong.push(format!("transfer {transfer} is in transit to {account}, its debit cannot be seen")),
            }
        }
        wrong
    }

    /// What is wrong if the job has ended with the savepoint: what can be seen then is what it says, no more and no less.
    pub(crate) fn violations_of_a_stop(&self, visible: &Bookings) -> Vec<String> {
        let mut wrong = self.violations_against(visible);
        let mut sums = visible.sums();
        // An account that has only credits in transit has a balance and no booking.
        self.balances.keys().for_each(|account| *sums.entry(*account).or_default() += 0);
        for (account, sum) in &sums {
            let balance = self.balances.get(account);
            if balance != Some(sum) {
                wrong.push(format!("account {account} has the balance {balance:?}, bookings of {sum} can be seen"));
            }
        }
        let waiting: BTreeSet<i64> = self.in_transit.keys().map(|(_, transfer)| *transfer).collect();
        for transfer in visible.debits.keys() {
            if visible.credits.contains_key(transfer) == waiting.contains(transfer) {
                wrong.push(format!("the credit of transfer {transfer} is both booked and in transit, or neither"));
            }
        }
        wrong
    }
}

impl fmt::Display for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { balances, in_transit, timers } = self;
        write!(f, "{} accounts, {} credits in transit, {} timers", balances.len(), in_transit.len(), timers.len())
    }
}

fn number(row: &Value, name: &str) -> Result<i64> {
    row[name].as_i64().with_context(|| format!("`{name}` is no number"))
}

#[cfg(test)]
mod tests;
