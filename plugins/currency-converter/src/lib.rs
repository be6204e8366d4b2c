//! Multiplies a price by a rate: query 1 of the Nexmark benchmark. The README says how to configure it.

#![cfg_attr(not(test), no_std)]

use wasmill_sdk::{Config, Row, map, prelude::*};

wasmill_sdk::no_std!();
wasmill_sdk::export!(currency_converter);

#[derive(Row)]
struct Price {
    price: i64,
}

#[derive(Row)]
struct Converted {
    price: f64,
}

#[derive(Config)]
struct Settings {
    /// What to multiply by.
    #[config(default = 0.908)]
    rate: f64,
    /// The column with the price.
    #[config(default = "price", renames = "price")]
    column: String,
}

/// The price in the other currency, in place of the one that was there.
#[map]
fn currency_converter(bid: Price, settings: &Settings) -> Converted {
    Converted { price: bid.price as f64 * settings.rate }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::Harness;

    #[derive(Row, Debug)]
    struct Bid {
        bidder: i64,
        amount: i64,
    }

    #[derive(Row, Debug, PartialEq)]
    struct InEuro {
        bidder: i64,
        amount: f64,
    }

    #[test]
    fn the_price_is_replaced_in_its_place() {
        let setup = Harness::<currency_converter>::setup().config(r#"{"rate":0.5,"column":"amount"}"#).input::<Bid>();
        let mut harness = setup.open().expect("it opens");
        harness.process([Bid { bidder: 1, amount: 7 }, Bid { bidder: 2, amount: -2 }]).expect("no row fails");
        let expect = [InEuro { bidder: 1, amount: 3.5 }, InEuro { bidder: 2, amount: -1.0 }];
        assert_eq!(harness.take::<InEuro>("out"), expect);
    }

    #[test]
    fn the_rate_is_that_of_the_benchmark_if_none_is_given() {
        let mut harness = Harness::<currency_converter>::setup().input::<Price>().open().expect("it opens");
        harness.process([Price { price: 1_000 }]).expect("no row fails");
        #[derive(Row, Debug, PartialEq)]
        struct Euro {
            price: f64,
        }
        assert_eq!(harness.take::<Euro>("out"), [Euro { price: 908.0 }]);
    }

    #[test]
    fn a_column_of_another_type_is_refused() {
        #[derive(Row)]
        struct Text {
            #[allow(dead_code)]
            price: String,
        }
        let error = Harness::<currency_converter>::setup().input::<Text>().open().expect_err("text is no price");
        assert_eq!(error, "column `price` is utf8, expected int64");
    }
}
