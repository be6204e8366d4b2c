//! Keeps the balance of each account. A debit counts at once; a credit is in transit first, for `wait` and then up to `spread` more of
//! event time, and is booked by a timer. Every booking leaves by `bookings`, the balance at the end of all input by `balances`.
//!
//! Money is neither made nor lost: the balances and what is in transit add up to zero at every moment that cuts the input between two
//! transfers. What cannot happen is a fatal error: a transfer that comes twice, a timer without a credit, money in transit at the end.

use std::time::Duration;

use wasmill_sdk::{
    Config, Ctx, Error, Keyed, KeyedOperator, Row, Timer, Timestamp,
    data::{Context, Input},
    ports::{Key, Ports},
    state::{Map, State, Value},
};

wasmill_sdk::export!(Keyed<Accounts>);

#[derive(Config)]
struct Settings {
    /// How long every credit is in transit.
    wait: Duration,
    /// How much longer some are.
    spread: Duration,
}

#[derive(Row)]
struct Leg {
    transfer: i64,
    amount: i64,
}

/// A leg that counts, and since when: a number, as that of the transfer is.
#[derive(Row)]
struct Booking {
    transfer: i64,
    leg: String,
    amount: i64,
    at: i64,
}

#[derive(Row)]
struct Balance {
    balance: i64,
}

#[derive(Ports)]
struct Outputs {
    bookings: Key<Booking>,
    balances: Key<Balance>,
}

#[derive(State)]
struct Account {
    balance: Value<i64>,
    /// The amounts of credits that do not count yet, by their transfers.
    in_transit: Map<i64, i64>,
}

struct Accounts {
    wait_ms: i64,
    spread_ms: i64,
}

impl Accounts {
    /// When the credit of a transfer is booked. A transfer's number is its time.
    fn due(&self, transfer: i64) -> Timestamp {
        Timestamp(transfer + self.wait_ms + (transfer % 1_000_003 * 7_919).rem_euclid(self.spread_ms + 1))
    }

    fn book_credits(&self, now: Timestamp, account: &mut Account, ctx: &mut Ctx<Outputs>) -> Result<(), Error> {
        let latest = now.0 - self.wait_ms;
        let waiting = account.in_transit.range(latest - self.spread_ms..=latest);
        let due: Vec<(i64, i64)> = waiting.filter(|&(transfer, _)| self.due(transfer) == now).collect();
        if due.is_empty() {
            return Err(Error::fatal(format!("there is no credit for the timer at {}", now.0)));
        }
        for (transfer, amount) in due {
            account.in_transit.remove(&transfer);
            *account.balance.get_or_insert(0) += amount;
            ctx.out.bookings.emit(Booking { transfer, leg: "credit".to_owned(), amount, at: now.0 });
        }
        Ok(())
    }
}

impl KeyedOperator for Accounts {
    type Config = Settings;
    type Input<'a> = Leg;
    type State = Account;
    type Output = Outputs;
    const TIMERS: bool = true;
    const PREFETCH: bool = true;

    fn check(_: &Settings, input: &Input) -> Result<(), Error> {
        if input.event_times {
            Ok(())
        } else {
            Err(Error::new("credits wait for event time: give the source `event_time`"))
        }
    }

    fn open(settings: Settings, _: &Context) -> Result<Self, Error> {
        let ms = |time: Duration| i64::try_from(time.as_millis());
        Ok(Self { wait_ms: ms(settings.wait)?, spread_ms: ms(settings.spread)? })
    }

    fn prefetch(&self, leg: &Leg, account: &Account) {
        account.in_transit.want(&leg.transfer);
    }

    fn on_row(&mut self, leg: Leg, account: &mut Account, ctx: &mut Ctx<Outputs>) -> Result<(), Error> {
        let Leg { transfer, amount } = leg;
        if account.balance.is_empty() {
            ctx.set_timer(Timer::EventTime(Timestamp::END));
        }
        let balance = account.balance.get_or_insert(0);
        if amount < 0 {
            *balance += amount;
            ctx.out.bookings.emit(Booking { transfer, leg: "debit".to_owned(), amount, at: transfer });
            return Ok(());
        }
        if account.in_transit.contains(&transfer) {
            return Err(Error::fatal(format!("transfer {transfer} has come twice")));
        }
        account.in_transit.insert(transfer, amount);
        ctx.set_timer(Timer::EventTime(self.due(transfer)));
        Ok(())
    }

    fn prefetch_timer(&self, timer: Timer, account: &Account) {
        match timer {
            Timer::EventTime(Timestamp::END) | Timer::ProcessingTime(_) => {}
            Timer::EventTime(now) => account.in_transit.want_from(now.0 - self.wait_ms - self.spread_ms),
        }
    }

    fn on_timer(&mut self, timer: Timer, account: &mut Account, ctx: &mut Ctx<Outputs>) -> Result<(), Error> {
        match timer {
            Timer::EventTime(Timestamp::END) if account.in_transit.is_empty() => {
                ctx.out.balances.emit(Balance { balance: account.balance.get_or(0) });
                Ok(())
            }
            Timer::EventTime(Timestamp::END) => Err(Error::fatal("money is in transit at the end")),
            Timer::EventTime(now) => self.book_credits(now, account, ctx),
            Timer::ProcessingTime(_) => Err(Error::fatal("no such timer was set")),
        }
    }
}
