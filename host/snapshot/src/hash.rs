//! blake3 of a file's bytes, written as 64 hexadecimal digits.

use std::{fmt, io::Read, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// blake3 of some bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

/// A text that is not a hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not 64 lower case hexadecimal digits")]
pub struct NoHash(pub String);

impl Hash {
    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The hash of all that a reader gives, and its length.
    pub fn of_all(mut reader: impl Read) -> std::io::Result<(Self, u64)> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(&mut reader)?;
        Ok((Self(*hasher.finalize().as_bytes()), hasher.count()))
    }
}

impl From<blake3::Hash> for Hash {
    fn from(hash: blake3::Hash) -> Self {
        Self(*hash.as_bytes())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = NoHash;

    fn from_str(text: &str) -> Result<Self, NoHash> {
        let plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let hash = blake3::Hash::from_hex(text).ok().filter(|_| plain);
        hash.map(|hash| Self(*hash.as_bytes())).ok_or_else(|| NoHash(text.to_owned()))
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";

    #[test]
    fn a_hash_reads_as_it_is_written() {
        let hash = Hash::of(b"");
        assert_eq!((hash.to_string().as_str(), EMPTY.parse()), (EMPTY, Ok(hash)));
        assert_eq!(Hash::of_all(&b"abc"[..]).expect("memory can be read"), (Hash::of(b"abc"), 3));
        let json = serde_json::to_string(&hash).expect("a hash is text");
        assert_eq!(serde_json::from_str::<Hash>(&json).expect("was just written"), hash);
    }

    #[test]
    fn other_texts_are_refused() {
        let wide = "é".repeat(32);
        for text in ["", &EMPTY[1..], &EMPTY.to_uppercase(), &format!("{EMPTY}0"), &wide] {
            assert_eq!(text.parse::<Hash>(), Err(NoHash(text.to_owned())));
        }
    }
}
