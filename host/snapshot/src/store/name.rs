//! Names in a checkpoint store: parts joined by `/`, none of which can lead out of it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

const BYTES_MAX: usize = 1_000;
const PART_BYTES_MAX: usize = 200;

/// A name in a checkpoint store, as `cluster-1/job-7/nonce`. Parts are letters, digits, `-`, `_` and `.`, and begin with none of
/// `.` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// A text that cannot be a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` cannot be a name in it", .0.escape_debug())]
pub struct NoName(pub String);

impl Name {
    /// A name of one part.
    pub fn part(text: &str) -> Result<Self, NoName> {
        if is_part(text) { Ok(Self(text.to_owned())) } else { Err(NoName(text.to_owned())) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its parts.
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// Its last part.
    pub fn last(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// Whether it is another name with a part added.
    pub(crate) fn is_below(&self, folder: &Self) -> bool {
        self.0.rsplit_once('/').is_some_and(|(above, _)| above == folder.0)
    }

    /// The name with something behind it.
    pub(crate) fn with_suffix(&self, suffix: &str) -> Result<Self, NoName> {
        format!("{}{suffix}", self.0).parse()
    }
}

fn is_part(part: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=PART_BYTES_MAX).contains(&part.len()) && !part.starts_with(['.', '-']) && part.chars().all(good)
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Name {
    type Err = NoName;

    fn from_str(text: &str) -> Result<Self, NoName> {
        let good = text.len() <= BYTES_MAX && text.split('/').all(is_part);
        if good { Ok(Self(text.to_owned())) } else { Err(NoName(text.to_owned())) }
    }
}

impl TryFrom<String> for Name {
    type Error = NoName;

    fn try_from(text: String) -> Result<Self, NoName> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere_else() {
        for good in ["a", "cluster-1/job-7/nonce", "c/job-7/files/41/count_2/0-ab.redb.damaged", "a..b"] {
            assert_eq!(good.parse::<Name>().map(String::from).as_deref(), Ok(good));
        }
        let long = "a".repeat(PART_BYTES_MAX + 1);
        let deep = vec!["a"; BYTES_MAX].join("/");
        let bad = ["", "/", "a/", "/a", "a//b", "..", "a/../b", ".", "a/.b", "-a", "a\\b", "a b", "a\0", "é", "a:b"];
        for bad in bad.into_iter().chain([long.as_str(), deep.as_str()]) {
            assert_eq!(bad.parse::<Name>(), Err(NoName(bad.to_owned())), "{bad:?}");
        }
        assert_eq!(Name::part("a/b"), Err(NoName("a/b".to_owned())));
    }
}
