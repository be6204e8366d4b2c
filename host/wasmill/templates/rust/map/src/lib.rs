//! Adds to each order what it comes to.
//!
//! A map: a function from a row to columns that are added to it. It reads the columns that `Order` names; all others pass
//! by without being copied into the sandbox.

#![cfg_attr(not(test), no_std)]

use wasmill_sdk::{Config, Row, prelude::*};

wasmill_sdk::no_std!();
wasmill_sdk::export!(total);

/// What is read of a row.
#[derive(Row)]
struct Order {
    quantity: i64,
    price: f64,
}

/// What is added to it.
#[derive(Row)]
struct Total {
    total: f64,
}

/// What a job file may say under `config`.
#[derive(Config)]
struct Settings {
    /// The part of the price that is not paid, from 0 to 1.
    #[config(default = 0.0)]
    discount: f64,
}

/// An error fails its row: the job file's `on_error` says what becomes of it.
#[wasmill_sdk::map]
fn total(order: Order, config: &Settings) -> Result<Total, String> {
    if order.quantity < 0 {
        return Err(format!("quantity {} is negative", order.quantity));
    }
    Ok(Total { total: order.quantity as f64 * order.price * (1.0 - config.discount) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::Harness;

    #[derive(Row, Debug, PartialEq)]
    struct Out {
        quantity: i64,
        price: f64,
        total: f64,
    }

    fn order(quantity: i64, price: f64) -> Order {
        Order { quantity, price }
    }

    #[test]
    fn the_discount_is_taken_off() {
        let setup = Harness::<total>::setup().config(r#"{"discount":0.5}"#).input::<Order>();
        let mut harness = setup.open().expect("it opens");
        harness.process([order(2, 10.0), order(0, 3.0)]).expect("no row fails");
        let out = |quantity, price, total| Out { quantity, price, total };
        assert_eq!(harness.take::<Out>("out"), [out(2, 10.0, 10.0), out(0, 3.0, 0.0)]);
    }

    #[test]
    fn a_negative_quantity_fails_its_row() {
        let mut harness = Harness::<total>::setup().input::<Order>().open().expect("it opens");
        let failure = harness.process([order(1, 1.0), order(-1, 1.0)]).expect_err("the second is negative");
        assert_eq!((failure.row, failure.message.as_str()), (Some(1), "quantity -1 is negative"));
    }
}
