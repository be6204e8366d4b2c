//! Numbers and times as people read them: short, and always as wide as expected.

use std::time::Duration;

use wasmill_model::Timestamp;

/// `45s`, `3m05s`, `2h07m`, `3d04h`.
pub fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// At most five characters: `999`, `1.2k`, `34k`, `1.2M`.
pub fn short(count: u64) -> String {
    const UNITS: [&str; 6] = ["k", "M", "G", "T", "P", "E"];
    if count < 1_000 {
        return count.to_string();
    }
    let mut value = count as f64 / 1_000.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1_000.0;
        unit += 1;
    }
    match value {
        ..9.95 => format!("{value:.1}{}", UNITS[unit]),
        _ => format!("{value:.0}{}", UNITS[unit]),
    }
}

/// `2018-02-07 01:26` of milliseconds since the epoch, UTC.
pub fn date(at_ms: Timestamp) -> String {
    let days = at_ms.div_euclid(86_400_000);
    let minutes = at_ms.rem_euclid(86_400_000) / 60_000;
    // The civil calendar in eras of 400 years that begin on the first of March.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}", minutes / 60, minutes % 60)
}

/// The same to the second.
pub(crate) fn date_time(at_ms: Timestamp) -> String {
    format!("{}:{:02}", date(at_ms), at_ms.rem_euclid(60_000) / 1_000)
}

/// A part of a whole, of 0 to 1, in percent.
pub(crate) fn percent(part: f64) -> String {
    format!("{:.0}%", part.clamp(0.0, 1.0) * 100.0)
}

/// How much a second, at most five characters.
pub(crate) fn rate(per_second: f64) -> String {
    if per_second > 0.0 && per_second < 9.95 { format!("{per_second:.1}") } else { short(per_second as u64) }
}

/// How long something took: `0.4ms`, `12ms`, `1.2s`, `45s`, `3m05s`.
pub(crate) fn took(ms: f64) -> String {
    match ms {
        ..9.95 => format!("{ms:.1}ms"),
        ..999.5 => format!("{ms:.0}ms"),
        ..9_950.0 => format!("{:.1}s", ms / 1_000.0),
        _ => clock(Duration::from_millis(ms as u64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let counts = [0, 999, 1_000, 9_949, 9_950, 34_499, 999_499, 999_500, 1_234_567, u64::MAX];
        assert_eq!(
            counts.map(short),
            ["0", "999", "1.0k", "9.9k", "10k", "34k", "999k", "1.0M", "1.2M", "18E"].map(str::to_owned)
        );
        let times = [0, 59, 60, 3_599, 3_600, 86_399, 90_000].map(Duration::from_secs);
        let ms = [0.0, 0.123, 12.3, 999.4, 1_234.0, 9_999.0, 185_000.0];
        assert_eq!(ms.map(took), ["0.0ms", "0.1ms", "12ms", "999ms", "1.2s", "9s", "3m05s"].map(str::to_owned));
        assert_eq!(times.map(clock), ["0s", "59s", "1m00s", "59m59s", "1h00m", "23h59m", "1d01h"].map(str::to_owned));
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let check = |at: Timestamp, expected: &str| assert_eq!(date(at), expected);
        check(0, "1970-01-01 00:00");
        check(1_517_966_773_840, "2018-02-07 01:26");
        check(951_782_400_000, "2000-02-29 00:00");
        check(-1, "1969-12-31 23:59");
        check(4_107_542_399_999, "2100-02-28 23:59");
    }
}
