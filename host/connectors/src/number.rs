//! Numbers and times as text: what an int64, a float64 and a timestamp may look like.

use std::fmt;

use crate::source_columns::TimeUnit;

/// Powers of ten that a float64 holds exactly.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// Most digits that surely fit a `u64`.
const DIGITS_MAX: usize = 19;

/// A number as JSON writes it, taken apart: `mantissa * 10^exponent`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Number<'a> {
    /// As it is written.
    pub(crate) text: &'a str,
    negative: bool,
    /// Its digits, if there are at most [`DIGITS_MAX`].
    mantissa: Option<u64>,
    exponent: i32,
}

/// Why a number is no int64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotInteger {
    Fraction,
    OutOfRange,
}

impl fmt::Display for NotInteger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fraction => "which is not whole",
            Self::OutOfRange => "which is out of range",
        })
    }
}

impl<'a> Number<'a> {
    /// Reads the number at the head of `bytes`, by JSON's grammar, and its length in bytes.
    /// `None` if there is none, or if what follows cannot follow a number.
    #[inline]
    pub(crate) fn scan(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let at = |i: usize| bytes.get(i).copied().unwrap_or(0);
        let negative = at(0) == b'-';
        let start = usize::from(negative);
        let mut end = start;
        let mut mantissa = 0_u64;
        while at(end).is_ascii_digit() {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(at(end) - b'0'));
            end += 1;
        }
        let mut digits = end - start;
        if digits == 0 || (digits > 1 && at(start) == b'0') {
            return None;
        }
        let mut exponent = 0_i32;
        if at(end) == b'.' {
            let point = end;
            end += 1;
            while at(end).is_ascii_digit() {
                mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(at(end) - b'0'));
                end += 1;
            }
            let fraction = end - point - 1;
            if fraction == 0 {
                return None;
            }
            digits += fraction;
            exponent = -i32::try_from(fraction).unwrap_or(i32::MAX);
        }
        if matches!(at(end), b'e' | b'E') {
            let (power, length) = scan_exponent(&bytes[end + 1..])?;
            exponent = exponent.saturating_add(power);
            end += 1 + length;
        }
        let text = std::str::from_utf8(&bytes[..end]).expect("digits and signs are ASCII");
        let mantissa = (digits <= DIGITS_MAX).then_some(mantissa);
        Some((Self { text, negative, mantissa, exponent }, end))
    }

    /// Its value, if it is whole and in range: `1.0` and `1e3` are whole, `1.5` is not.
    #[inline]
    pub(crate) fn integer(&self) -> Result<i64, NotInteger> {
        match self.mantissa {
            Some(mantissa) if self.exponent == 0 => signed(self.negative, mantissa),
            _ => self.integer_by_digits(),
        }
    }

    /// As a time, ms since the epoch. Seconds may have a fraction, of which whole milliseconds count.
    #[inline]
    pub(crate) fn time_ms(&self, unit: TimeUnit) -> Result<i64, NotInteger> {
        match self.integer() {
            Err(NotInteger::Fraction) if unit == TimeUnit::Seconds => self.thousandths().ok_or(NotInteger::OutOfRange),
            whole => unit.to_ms(whole?).ok_or(NotInteger::OutOfRange),
        }
    }

    /// A thousand times its value, cut off towards minus infinity.
    #[cold]
    fn thousandths(&self) -> Option<i64> {
        let Some(mantissa) = self.mantissa else { return Some((self.float()? * 1_000.0).floor() as i64) };
        let power = self.exponent + 3;
        let value = i128::from(mantissa) * if self.negative { -1 } else { 1 };
        let scale = 10_i128.checked_pow(power.unsigned_abs());
        let scaled = match (scale, power < 0) {
            (Some(scale), true) => value.div_euclid(scale),
            (Some(scale), false) => value.checked_mul(scale)?,
            (None, _) => value.signum().min(0),
        };
        i64::try_from(scaled).ok()
    }

    /// The slow and exact way, for points, exponents and many digits.
    #[cold]
    fn integer_by_digits(&self) -> Result<i64, NotInteger> {
        let coefficient = self.text.split(['e', 'E']).next().unwrap_or_default();
        let digits: String = coefficient.chars().filter(char::is_ascii_digit).collect();
        let digits = digits.trim_start_matches('0');
        let significant = digits.trim_end_matches('0');
        if significant.is_empty() {
            return Ok(0);
        }
        let zeros = i64::from(self.exponent) + (digits.len() - significant.len()) as i64;
        if zeros < 0 {
            return Err(NotInteger::Fraction);
        }
        if significant.len() as i64 + zeros > DIGITS_MAX as i64 {
            return Err(NotInteger::OutOfRange);
        }
        let value: u64 = significant.parse().expect("at most 19 digits fit a u64");
        signed(self.negative, value * 10_u64.pow(zeros as u32))
    }

    /// The nearest float64; `None` if it is beyond the largest one.
    #[inline]
    pub(crate) fn float(&self) -> Option<f64> {
        const EXACT_INTEGER_MAX: u64 = 1 << 53;
        if let Some(mantissa) = self.mantissa
            && mantissa <= EXACT_INTEGER_MAX
            && self.exponent.unsigned_abs() < EXACT_POWERS.len() as u32
        {
            let power = EXACT_POWERS[self.exponent.unsigned_abs() as usize];
            let size = if self.exponent < 0 { mantissa as f64 / power } else { mantissa as f64 * power };
            return Some(if self.negative { -size } else { size });
        }
        self.text.parse().ok().filter(|value: &f64| value.is_finite())
    }
}

/// The number behind an `e`, and its length. One too large to matter comes out as a very large one.
fn scan_exponent(bytes: &[u8]) -> Option<(i32, usize)> {
    let signed = matches!(bytes.first(), Some(b'+' | b'-'));
    let digits = bytes[usize::from(signed)..].iter().take_while(|b| b.is_ascii_digit()).count();
    if digits == 0 {
        return None;
    }
    let length = usize::from(signed) + digits;
    let text = &bytes[usize::from(signed)..length];
    let size = text.iter().fold(0_i32, |n, b| n.saturating_mul(10).saturating_add(i32::from(b - b'0')));
    Some((if bytes[0] == b'-' { -size } else { size }, length))
}

fn signed(negative: bool, size: u64) -> Result<i64, NotInteger> {
    let value = if negative { 0_i64.checked_sub_unsigned(size) } else { 0_i64.checked_add_unsigned(size) };
    value.ok_or(NotInteger::OutOfRange)
}

/// Milliseconds since the epoch of an RFC 3339 time such as `2018-02-07T01:26:13.840Z`; finer digits are cut off.
pub fn rfc3339_ms(text: &str) -> Option<i64> {
    chrono::DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn int64_takes_whole_numbers_only() {
        let check = |text: &str, expected: Result<i64, NotInteger>| {
            let (number, length) = Number::scan(text.as_bytes()).unwrap_or_else(|| panic!("{text} is a number"));
            assert_eq!(length, text.len(), "{text}");
            assert_eq!(number.integer(), expected, "{text}");
        };
        check("0", Ok(0));
        check("-0", Ok(0));
        check("17", Ok(17));
        check("-17", Ok(-17));
        check("1.0", Ok(1));
        check("1e3", Ok(1_000));
        check("1E+3", Ok(1_000));
        check("1200e-2", Ok(12));
        check("0.0012e4", Ok(12));
        check("0e999999999999", Ok(0));
        check("9223372036854775807", Ok(i64::MAX));
        check("9223372036854775807.000", Ok(i64::MAX));
        check("-9223372036854775808", Ok(i64::MIN));
        check("922337203685477580.7e1", Ok(i64::MAX));
        check("9223372036854775808", Err(NotInteger::OutOfRange));
        check("-9223372036854775809", Err(NotInteger::OutOfRange));
        check("99999999999999999999", Err(NotInteger::OutOfRange));
        check("1e19", Err(NotInteger::OutOfRange));
        check("1e999999999999", Err(NotInteger::OutOfRange));
        check("1.5", Err(NotInteger::Fraction));
        check("1e-1", Err(NotInteger::Fraction));
        check("9223372036854775807.5", Err(NotInteger::Fraction));
    }

    #[test]
    fn times_as_numbers() {
        let check = |text: &str, unit: TimeUnit, expected: Result<i64, NotInteger>| {
            let (number, _) = Number::scan(text.as_bytes()).unwrap_or_else(|| panic!("{text} is a number"));
            assert_eq!(number.time_ms(unit), expected, "{text} {unit:?}");
        };
        check("1517966773", TimeUnit::Seconds, Ok(1_517_966_773_000));
        check("1517966773.84", TimeUnit::Seconds, Ok(1_517_966_773_840));
        check("1517966773.8409999", TimeUnit::Seconds, Ok(1_517_966_773_840));
        check("1.51796677384e9", TimeUnit::Seconds, Ok(1_517_966_773_840));
        check("-0.0005", TimeUnit::Seconds, Ok(-1));
        check("1e-999999999", TimeUnit::Seconds, Ok(0));
        check("1517966773.84012345678901234", TimeUnit::Seconds, Ok(1_517_966_773_840));
        check("9223372036854775807", TimeUnit::Seconds, Err(NotInteger::OutOfRange));
        check("1517966773840", TimeUnit::Milliseconds, Ok(1_517_966_773_840));
        check("1.5", TimeUnit::Milliseconds, Err(NotInteger::Fraction));
        check("1517966773840999", TimeUnit::Microseconds, Ok(1_517_966_773_840));
        check("-1", TimeUnit::Nanoseconds, Ok(-1));
    }

    #[test]
    fn float64_is_the_nearest() {
        let texts =
            ["0", "-0", "1.5", "0.1", "1e22", "1e23", "123456789012345678", "5e-324", "2.2250738585072011e-308"];
        let more =
            ["1.7976931348623157e308", "-118.6671667", "34.4945", "9007199254740993", "0.000001", "123456.789e-7"];
        for text in texts.into_iter().chain(more) {
            let (number, _) = Number::scan(text.as_bytes()).unwrap_or_else(|| panic!("{text} is a number"));
            let expected: f64 = text.parse().unwrap_or_else(|_| panic!("{text} is a float"));
            assert_eq!(number.float().map(f64::to_bits), Some(expected.to_bits()), "{text}");
        }
        let (huge, _) = Number::scan(b"1e999").expect("a number");
        assert_eq!(huge.float(), None);
    }

    #[test]
    fn only_what_json_calls_a_number() {
        for text in ["", "-", "+1", "01", "-01", ".5", "1.", "1.e3", "1e", "1e+", "abc", "NaN", "--1"] {
            assert!(Number::scan(text.as_bytes()).is_none(), "{text}");
        }
        let (number, length) = Number::scan(b"12,34").expect("a number");
        assert_eq!((number.text, length), ("12", 2));
    }

    #[test]
    fn times() {
        let check = |text, expected| assert_eq!(rfc3339_ms(text), expected, "{text}");
        check("1970-01-01T00:00:00Z", Some(0));
        check("2018-02-07T01:26:13.840Z", Some(1_517_966_773_840));
        check("2018-02-07T02:26:13.8409+01:00", Some(1_517_966_773_840));
        check("1969-12-31T23:59:59.999Z", Some(-1));
        check("2018-02-07 01:26:13", None);
        check("2018-02-30T01:26:13Z", None);
        check("yesterday", None);
    }
}
