//! Ids. Each is a type of its own, so that none is taken for another.
//!
//! In JSON an id is its number as a string: programs that keep numbers as doubles would lose digits of it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Number).map(Self)
            }
        }
    };
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        id!($(#[$doc])* $name);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = NoId;

            fn from_str(text: &str) -> Result<Self, NoId> {
                let number = text.strip_prefix($prefix).and_then(number);
                number.map(Self).ok_or_else(|| NoId { text: text.to_owned(), prefix: $prefix })
            }
        }
    };
}

id!(
    /// A job, for its whole life. Never reused.
    JobId,
    "job-"
);
id!(
    /// One try at running a job. A later attempt has a higher number: the high half is the life of the JobManager that made
    /// it, the low half counts the attempts of the job in that life. So no number is ever used twice, and none has to be
    /// written down before it is used.
    Attempt
);
id!(
    /// A TaskManager, as the JobManager knows it.
    TaskManagerId,
    "taskmanager-"
);
id!(
    /// One life of a TaskManager's process. A later life has a higher number.
    Incarnation,
    "incarnation-"
);
id!(
    /// One life of the JobManager. A later life has a higher number.
    Epoch,
    "epoch-"
);

id!(
    /// A checkpoint or savepoint of a job. A later one has a higher number, also after a restart: the high half is the life of the
    /// JobManager that took it, the low half counts the job's checkpoints in that life.
    CheckpointId
);

impl CheckpointId {
    /// A checkpoint of a life of the JobManager: 1 for a job's first in it.
    pub fn new(epoch: Epoch, count: u32) -> Self {
        assert!(epoch.0 <= u64::from(u32::MAX), "{epoch} is beyond what a checkpoint can tell");
        Self(epoch.0 << 32 | u64::from(count))
    }

    /// `EPOCH.COUNT`, as people write it.
    pub fn number(self) -> String {
        format!("{}.{}", self.0 >> 32, self.0 as u32)
    }

    /// The opposite of [`CheckpointId::number`].
    pub fn from_number(text: &str) -> Option<Self> {
        let (epoch, count) = text.split_once('.')?;
        let half = |digits| number(digits).and_then(|half| u32::try_from(half).ok());
        Some(Self::new(Epoch(u64::from(half(epoch)?)), half(count)?))
    }
}

impl fmt::Display for CheckpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "checkpoint-{}", self.number())
    }
}

impl Attempt {
    /// An attempt of a life of the JobManager: 1 for a job's first in it.
    pub fn new(epoch: Epoch, count: u32) -> Self {
        assert!(epoch.0 <= u64::from(u32::MAX), "{epoch} is beyond what an attempt can tell");
        Self(epoch.0 << 32 | u64::from(count))
    }

    /// The life of the JobManager that made it.
    pub fn epoch(self) -> Epoch {
        Epoch(self.0 >> 32)
    }

    /// Which of the job's attempts in that life it is.
    pub fn count(self) -> u32 {
        self.0 as u32
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attempt-{}.{}", self.epoch().0, self.count())
    }
}

/// A text that is not the id it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no id of the form {prefix}7")]
pub struct NoId {
    pub text: String,
    pub prefix: &'static str,
}

/// A number in the one way it is written: digits only, no zeros in front.
fn number(digits: &str) -> Option<u64> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    if plain { digits.parse().ok() } else { None }
}

/// Reads the number of an id from JSON.
struct Number;

impl de::Visitor<'_> for Number {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the number of an id, as a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
        number(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

/// One parallel instance of a chain of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Subtask {
    /// The chain's place in the plan.
    pub chain: u32,
    /// 0..parallelism of the chain.
    pub index: u32,
}

impl fmt::Display for Subtask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.chain, self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_shown() {
        assert_eq!("job-7".parse(), Ok(JobId(7)));
        assert_eq!(TaskManagerId(9).to_string().parse(), Ok(TaskManagerId(9)));
        for bad in ["", "7", "job-", "job-07", "job-+7", "job- 7", "job--7", "task-7", "job-18446744073709551616"] {
            let error = bad.parse::<JobId>().expect_err(bad);
            assert_eq!(error.to_string(), format!("`{bad}` is no id of the form job-7"));
        }
    }

    #[test]
    fn attempts_of_a_later_life_are_later() {
        let attempt = Attempt::new(Epoch(3), 2);
        assert_eq!((attempt.epoch(), attempt.count(), attempt.to_string()), (Epoch(3), 2, "attempt-3.2".to_owned()));
        assert!(Attempt::new(Epoch(3), u32::MAX) < Attempt::new(Epoch(4), 1));
    }

    #[test]
    fn numbers_of_ids_are_strings_in_json() {
        let largest = JobId(u64::MAX);
        let json = serde_json::to_string(&largest).expect("it is plain");
        assert_eq!(json, "\"18446744073709551615\"");
        assert_eq!(serde_json::from_str::<JobId>(&json).expect("it is an id"), largest);
        for bad in ["7", "\"\"", "\"job-7\"", "\"07\"", "\"18446744073709551616\""] {
            assert!(serde_json::from_str::<JobId>(bad).is_err(), "{bad}");
        }
    }
}
