//! The open sessions of one key: how a row joins them, and the bytes they are kept as.

use wasmill_sdk::prelude::*;

/// Open sessions of one key. More would make each row of the key expensive: the rows come in far from the order of their times.
const SESSIONS_MAX: usize = 1_024;

/// What has been summed up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Sum {
    /// No value yet, or no column.
    None,
    Whole(i64),
    Float(f64),
}

impl Sum {
    fn and(self, other: Self) -> Option<Self> {
        Some(match (self, other) {
            (Self::None, sum) | (sum, Self::None) => sum,
            (Self::Whole(a), Self::Whole(b)) => Self::Whole(a.checked_add(b)?),
            (Self::Float(a), Self::Float(b)) => Self::Float(a + b),
            (Self::Whole(_), Self::Float(_)) | (Self::Float(_), Self::Whole(_)) => return None,
        })
    }

    fn to_bytes(self) -> [u8; 9] {
        let (tag, bits) = match self {
            Self::None => (0, [0; 8]),
            Self::Whole(sum) => (1, sum.to_le_bytes()),
            Self::Float(sum) => (2, sum.to_le_bytes()),
        };
        let mut bytes = [tag; 9];
        bytes[1..].copy_from_slice(&bits);
        bytes
    }

    fn of_bytes(bytes: [u8; 9]) -> Self {
        let [tag, bits @ ..] = bytes;
        match tag {
            1 => Self::Whole(i64::from_le_bytes(bits)),
            2 => Self::Float(f64::from_le_bytes(bits)),
            _ => Self::None,
        }
    }
}

/// Rows of one key with no longer pause than the gap between them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Session {
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) count: i64,
    /// When its timer fires: never after the end and the gap.
    pub(crate) timer: i64,
    pub(crate) sum: Sum,
}

impl Session {
    /// The session of a row alone.
    pub(crate) fn of_row(time: i64, sum: Sum, gap_ms: i64) -> Self {
        Self { start: time, end: time, count: 1, timer: time.saturating_add(gap_ms), sum }
    }

    /// Both as one.
    fn and(self, other: Self) -> Result<Self, &'static str> {
        Ok(Self {
            start: self.start.min(other.start),
            end: self.end.max(other.end),
            count: self.count.saturating_add(other.count),
            timer: self.timer.min(other.timer),
            sum: self.sum.and(other.sum).ok_or("the sum of a session is beyond 64 bits")?,
        })
    }
}

/// Adds a row's session to those of its key, which stand in the order of their times, further apart than the gap. Returns the
/// timer to set, if the row makes a session of its own. On an error nothing has changed.
pub(crate) fn add(open: &mut Vec<Session>, new: Session, gap_ms: i64) -> Result<Option<i64>, &'static str> {
    // Sessions that end more than the gap before the row; then those that it joins.
    let is_near = |a: i64, b: i64| b.saturating_sub(a) <= gap_ms;
    let first = open.iter().rposition(|session| session.end < new.start && !is_near(session.end, new.start));
    let first = first.map_or(0, |place| place + 1);
    let later = open.get(first..).unwrap_or_default();
    let joined = later.iter().take_while(|session| session.start <= new.end || is_near(new.end, session.start)).count();
    if joined == 0 {
        if open.len() >= SESSIONS_MAX {
            return Err("the key has 1,024 open sessions: `out_of_order` of the source is very long beside `gap`");
        }
        open.insert(first, new);
        return Ok(Some(new.timer));
    }
    // The sessions' timers are set, so the row needs none: its own is not among those to choose the earliest from.
    let row = Session { timer: i64::MAX, ..new };
    let merged = later.iter().take(joined).try_fold(row, |merged, &session| session.and(merged))?;
    open.splice(first..first + joined, [merged]);
    Ok(None)
}

/// Bytes of a session: four numbers and a sum.
const SESSION_BYTES: usize = 4 * 8 + 9;

/// Appends the bytes of the sessions.
pub(crate) fn encode(sessions: &[Session], bytes: &mut Vec<u8>) {
    for session in sessions {
        for number in [session.start, session.end, session.count, session.timer] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&session.sum.to_bytes());
    }
}

/// The sessions of these bytes.
pub(crate) fn decode(bytes: &[u8]) -> Vec<Session> {
    let (sessions, _) = bytes.as_chunks::<SESSION_BYTES>();
    let number = |bytes: &[u8; SESSION_BYTES], place: usize| {
        let bytes = bytes.get(8 * place..).and_then(|bytes| bytes.first_chunk());
        bytes.map_or(0, |bytes| i64::from_le_bytes(*bytes))
    };
    let session = |bytes: &[u8; SESSION_BYTES]| Session {
        start: number(bytes, 0),
        end: number(bytes, 1),
        count: number(bytes, 2),
        timer: number(bytes, 3),
        sum: bytes.last_chunk().map_or(Sum::None, |sum| Sum::of_bytes(*sum)),
    };
    sessions.iter().map(session).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_read_as_they_were_written() {
        let session = |start, sum| Session { start, end: i64::MAX, count: 7, timer: -1, sum };
        let sessions = [session(i64::MIN, Sum::None), session(0, Sum::Whole(-3)), session(1, Sum::Float(0.5))];
        let mut bytes = Vec::new();
        encode(&sessions, &mut bytes);
        assert_eq!(bytes.len(), 3 * SESSION_BYTES);
        assert_eq!(decode(&bytes), sessions);
        assert_eq!(decode(&[]), []);
    }

    #[test]
    fn a_key_has_so_many_open_sessions_at_most() {
        let mut open = Vec::new();
        for n in 0..SESSIONS_MAX as i64 {
            assert_eq!(add(&mut open, Session::of_row(-100 * n, Sum::None, 10), 10), Ok(Some(10 - 100 * n)));
        }
        assert!(open.is_sorted_by_key(|session| session.start));
        let before = open.clone();
        let error = add(&mut open, Session::of_row(50, Sum::None, 10), 10).expect_err("there are too many");
        assert!(error.starts_with("the key has 1,024 open sessions"), "{error}");
        assert_eq!(open, before);
        assert_eq!(add(&mut open, Session::of_row(5, Sum::None, 10), 10), Ok(None));
    }
}
