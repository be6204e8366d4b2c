//! Makes a transfer of money of every bid: `price` goes from the bidder's account to one that follows from the bid. The two legs leave
//! as rows, `-price` for the payer and `price` for the payee. The time of the bid is the transfer's number, so no two may have the same.

use wasmill_sdk::{Config, Error, Row, Timestamp, flat_map, ports::New};

wasmill_sdk::export!(transfers);

#[derive(Row)]
struct Bid {
    auction: i64,
    bidder: i64,
    price: i64,
    date_time: Timestamp,
}

#[derive(Row)]
struct Leg {
    account: i64,
    transfer: i64,
    amount: i64,
}

#[derive(Config)]
struct Settings {
    /// How many accounts there are.
    accounts: i64,
    /// The number of the first one.
    #[config(default = 1000)]
    first: i64,
}

#[flat_map]
fn transfers(bid: Bid, settings: &Settings, out: &mut New<Leg>) -> Result<(), Error> {
    if bid.price <= 0 || settings.accounts <= 0 {
        return Err(Error::fatal(format!("the price of a bid is {}, of {} accounts", bid.price, settings.accounts)));
    }
    let (transfer, amount) = (bid.date_time.0, bid.price);
    let payee = settings.first + (bid.auction.wrapping_mul(7_919) ^ amount).rem_euclid(settings.accounts);
    out.emit(Leg { account: bid.bidder, transfer, amount: -amount });
    out.emit(Leg { account: payee, transfer, amount });
    Ok(())
}
