//! Time: milliseconds since the epoch, and durations as people write them.

use std::time::Duration;

/// Milliseconds since 1970-01-01T00:00Z. An event time, a watermark, a timer's time or the host's clock.
pub type Timestamp = i64;

/// The watermark as long as nothing is known.
pub const MIN: Timestamp = i64::MIN;

/// The watermark at the end of all input.
pub const MAX: Timestamp = i64::MAX;

/// Reads a duration: a whole or decimal number and a unit, `ms`, `s`, `m`, `h` or `d`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let number: f64 = text[..digits].parse().ok()?;
    let unit_ms = match text[digits..].trim_start() {
        "ms" => 1.0,
        "s" => 1_000.0,
        "m" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * unit_ms / 1_000.0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check = |text, ms: Option<u64>| {
            assert_eq!(parse_duration(text), ms.map(Duration::from_millis), "{text}");
        };
        check("20ms", Some(20));
        check("2s", Some(2_000));
        check("1.5 s", Some(1_500));
        check("1m", Some(60_000));
        check("1h", Some(3_600_000));
        check("30d", Some(30 * 86_400_000));
        for bad in ["", "2", "s", "2 weeks", "-1s", "1..5s", "2S", "99999999999999999999d"] {
            check(bad, None);
        }
    }
}
