//! Keeps the bids on every n-th auction: query 2 of the Nexmark benchmark. The README says how to configure it.

#![cfg_attr(not(test), no_std)]

use wasmill_sdk::{Config, Row, filter, prelude::*};

wasmill_sdk::no_std!();
wasmill_sdk::export!(auction_filter);

#[derive(Row, Debug, Clone, Copy, PartialEq)]
struct Bid {
    auction: i64,
}

#[derive(Config)]
struct Settings {
    /// Rows whose number is a multiple of this are kept; with 0 every row fails.
    #[config(default = 123)]
    modulus: i64,
    /// The column with the number.
    #[config(default = "auction", renames = "auction")]
    column: String,
}

/// Whether the auction's number is a multiple of the modulus.
#[filter]
fn auction_filter(bid: Bid, settings: &Settings) -> Result<bool, &'static str> {
    bid.auction.checked_rem(settings.modulus).map(|rest| rest == 0).ok_or("`modulus` is 0")
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::Harness;

    fn kept(config: &str, auctions: &[i64]) -> Vec<i64> {
        let mut harness = Harness::<auction_filter>::setup().config(config).input::<Bid>().open().expect("it opens");
        harness.process(auctions.iter().map(|&auction| Bid { auction })).expect("no row fails");
        harness.take::<Bid>("out").iter().map(|bid| bid.auction).collect()
    }

    #[test]
    fn multiples_of_the_modulus_are_kept() {
        assert_eq!(kept("{}", &[0, 1, 122, 123, 124, 246, -123]), [0, 123, 246, -123]);
        assert_eq!(kept(r#"{"modulus":2}"#, &[1, 2, 3, 4]), [2, 4]);
        assert_eq!(kept("{}", &[1, 2]), []);
        assert_eq!(kept(r#"{"modulus":1}"#, &[1, 2]), [1, 2]);
    }

    #[test]
    fn another_column_can_be_named() {
        #[derive(Row, Debug, PartialEq)]
        struct Order {
            note: String,
            id: i64,
        }
        let setup = Harness::<auction_filter>::setup().config(r#"{"column":"id","modulus":10}"#).input::<Order>();
        let mut harness = setup.open().expect("it opens");
        let order = |id| Order { note: format!("order {id}"), id };
        harness.process([order(10), order(11)]).expect("no row fails");
        assert_eq!(harness.take::<Order>("out"), [order(10)]);
        assert_eq!(harness.descriptor().inputs[0].columns, ["id"]);
    }

    #[test]
    fn a_modulus_of_0_fails() {
        let mut harness =
            Harness::<auction_filter>::setup().config(r#"{"modulus":0}"#).input::<Bid>().open().expect("it opens");
        let failure = harness.process([Bid { auction: 1 }]).expect_err("nothing can be divided by 0");
        assert_eq!((failure.row, failure.message.as_str()), (Some(0), "`modulus` is 0"));
    }
}
