//! Division by a number known only at run time, without a division instruction.

/// A divisor with its reciprocal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Divisor {
    divisor: u64,
    /// 2^64 / divisor, rounded down or one less.
    reciprocal: u64,
}

impl Divisor {
    /// # Panics
    /// If it is 0.
    pub(super) fn new(divisor: u64) -> Self {
        Self { divisor, reciprocal: u64::MAX / divisor }
    }

    /// Quotient and remainder of a number below 2^63.
    #[inline]
    pub(super) fn divide(self, number: u64) -> (u64, u64) {
        // The product falls short of the true quotient by less than one, so that one correction is enough.
        let quotient = ((u128::from(number) * u128::from(self.reciprocal)) >> 64) as u64;
        let remainder = number - quotient * self.divisor;
        let short = remainder >= self.divisor;
        (quotient + u64::from(short), if short { remainder - self.divisor } else { remainder })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn divides_as_the_processor_does(number in 0..=u64::MAX >> 1, divisor in 1_u64.., shift in 0_u32..63) {
            for (number, divisor) in [(number, divisor), (number >> shift, divisor), (number, (divisor >> shift).max(1))] {
                prop_assert_eq!(Divisor::new(divisor).divide(number), (number / divisor, number % divisor));
            }
        }
    }
}
