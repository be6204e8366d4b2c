//! What is under way stays within the window, and a batch of any size passes in the end.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const WINDOW: Amount = Amount { batches: 8, bytes: 1_000 };

#[test]
fn a_sender_that_is_early_waits() {
    let mut allowance = Allowance::default();
    assert!(!allowance.take(1));
    allowance.credit(WINDOW).expect("the first credit is the window");
    assert!(allowance.take(5_000), "an empty channel takes a batch of any size");
    assert!(!allowance.take(1));
    assert_eq!(allowance.credit(Amount { batches: 1, bytes: 5_001 }), Err(Error::Credit));
    allowance.credit(Amount { batches: 1, bytes: 5_000 }).expect("so much was used");
    assert!(allowance.take(1));
}

#[test]
fn an_overrun_is_seen() {
    let mut window = Window::new(WINDOW);
    (0..8).for_each(|_| window.arrived(1).expect("there is room"));
    assert_eq!(window.arrived(1), Err(Error::Overrun));
    let mut window = Window::new(WINDOW);
    window.arrived(501).expect("there is room");
    assert_eq!(window.arrived(500), Err(Error::Overrun));
    window.arrived(499).expect("there is room");
}

#[test]
fn credit_is_given_back_in_halves() {
    let mut window = Window::new(WINDOW);
    (0..8).for_each(|_| window.arrived(10).expect("there is room"));
    let one = Amount { batches: 1, bytes: 10 };
    let given: Vec<Option<Amount>> = (0..4).map(|_| window.taken(one)).collect();
    assert_eq!(given, [None, None, None, Some(Amount { batches: 4, bytes: 40 })]);
}

proptest! {
    /// Writer and reader with a wire between them that delays both ways: all batches pass, in whatever order things happen.
    #[test]
    fn nothing_is_overrun_and_nothing_stands_still(
        sizes in prop::collection::vec(prop_oneof![1_u64..200, 400_u64..3_000], 1..60),
        steps in prop::collection::vec(0_u8..4, 0..400),
    ) {
        let (mut allowance, mut window) = (Allowance::default(), Window::new(WINDOW));
        let (mut there, mut back, mut gate) = (VecDeque::new(), VecDeque::from([window.size()]), VecDeque::new());
        let mut next = sizes.iter().copied().peekable();
        let mut passed = 0;
        // Chance first, then everything in turn until nothing moves.
        for step in steps.into_iter().chain((0..4).cycle().take(sizes.len() * 20 + 20)) {
            match step {
                0 => if let Some(&bytes) = next.peek() && allowance.take(bytes) {
                    there.push_back(bytes);
                    next.next();
                },
                1 => if let Some(bytes) = there.pop_front() {
                    window.arrived(bytes).expect("the sender had credit");
                    gate.push_back(bytes);
                },
                2 => if let Some(bytes) = gate.pop_front() {
                    passed += 1;
                    back.extend(window.taken(Amount { batches: 1, bytes }));
                },
                _ => if let Some(amount) = back.pop_front() {
                    allowance.credit(amount).expect("it was used");
                },
            }
            let under_way: u64 = there.iter().chain(&gate).sum();
            let largest = sizes.iter().max().copied().unwrap_or(0);
            prop_assert!(under_way <= WINDOW.bytes.max(WINDOW.bytes / 2 + largest));
            prop_assert!(there.len() + gate.len() <= WINDOW.batches as usize);
        }
        prop_assert_eq!(passed, sizes.len());
    }
}
