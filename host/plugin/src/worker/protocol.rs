//! What the worker child and its parent say to each other: one request on the child's standard input, one response on
//! its standard output, each a header and then a payload.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | length of the header, u32 little-endian |
//! | that many | the header, JSON |
//! | 8 | length of the payload, u64 little-endian |
//! | that many | the payload: a component in a request to inspect or compile, compiled code in a response, else nothing |

use std::{
    io::{self, Read, Write},
    path::PathBuf,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use wasmill_model::descriptor::{Descriptor, Input};

use crate::{
    digest::Digest,
    engine::Tier,
    inspect::{Inspection, Refusal},
    instance::Misfit,
    limits::Limits,
};

/// Bytes of a header, at most.
const HEADER_MAX: usize = 4 << 20;

/// What the child may use. It sets these limits itself before it reads what it is to work on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ChildLimits {
    pub(super) cpu_seconds: u64,
    pub(super) memory_bytes: u64,
    /// Bytes of the request's payload, at most.
    pub(super) payload_max: u64,
}

/// What the child is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) limits: ChildLimits,
    pub(super) task: Task,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub(super) enum Task {
    /// The payload is a component.
    Inspect,
    /// The payload is a component; it is inspected first.
    Compile {
        baseline: bool,
    },
    Describe(Box<Question>),
}

/// What an operator is asked by `describe`, and where its compiled code is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Question {
    /// The folder of a cache, and the key in it.
    pub(crate) cache: PathBuf,
    pub(crate) key: String,
    /// Of the component's bytes.
    pub(crate) digest: Digest,
    pub(crate) limits: Limits,
    pub(crate) config: String,
    pub(crate) inputs: Vec<Input>,
}

impl Task {
    pub(super) fn compile(tier: Tier) -> Self {
        Self::Compile { baseline: tier == Tier::Baseline }
    }
}

/// What has come of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "found", rename_all = "kebab-case")]
pub(super) enum Response {
    Inspected {
        inspection: Inspection,
    },
    Refused {
        refusal: Refusal,
    },
    /// The payload is the code.
    Compiled {
        inspection: Inspection,
    },
    Described {
        descriptor: Descriptor,
    },
    /// The compiler does not take the component.
    NotCompiled {
        message: String,
    },
    /// The compiler was refused memory.
    OutOfMemory,
    /// The compiler has panicked.
    Crashed {
        message: String,
    },
    /// The cache does not hold the code, or not unharmed.
    NotCached,
    /// The operator answered with an error.
    RefusedByOperator {
        message: String,
    },
    /// The operator answered what cannot be.
    Misfit {
        misfit: Misfit,
    },
    /// The operator could not answer.
    NotDescribed {
        message: String,
    },
    /// The child could not do its own part.
    Failed {
        message: String,
    },
}

/// Writes a header and a payload.
pub(super) fn write(to: &mut impl Write, header: &impl Serialize, payload: &[u8]) -> io::Result<()> {
    let header = serde_json::to_vec(header)?;
    let length = u32::try_from(header.len()).ok().filter(|_| header.len() <= HEADER_MAX);
    let length = length.ok_or_else(|| invalid(format!("header has {} bytes, more than {HEADER_MAX}", header.len())))?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(&header)?;
    to.write_all(&(payload.len() as u64).to_le_bytes())?;
    to.write_all(payload)?;
    to.flush()
}

/// Reads a header.
pub(super) fn read_header<H: DeserializeOwned>(from: &mut impl Read) -> io::Result<H> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > HEADER_MAX {
        return Err(invalid(format!("header has {length} bytes, more than {HEADER_MAX}")));
    }
    let mut header = vec![0; length];
    from.read_exact(&mut header)?;
    Ok(serde_json::from_slice(&header)?)
}

/// Reads a payload; memory is taken as bytes come in, never because a length promises them.
pub(super) fn read_payload(from: &mut impl Read, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut length = [0; 8];
    from.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > bytes_max {
        return Err(invalid(format!("payload has {length} bytes, more than {bytes_max}")));
    }
    let mut payload = Vec::new();
    from.take(length).read_to_end(&mut payload)?;
    if payload.len() as u64 != length {
        return Err(invalid(format!("payload ends after {} of {length} bytes", payload.len())));
    }
    Ok(payload)
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_reads_as_it_was_written_and_no_part_of_it_does() {
        let mut bytes = Vec::new();
        write(&mut bytes, &"header", b"payload").expect("a vector takes all that is written");
        let read = |mut from: &[u8], max| -> io::Result<(String, Vec<u8>)> {
            Ok((read_header(&mut from)?, read_payload(&mut from, max)?))
        };
        assert_eq!(read(&bytes, 7).expect("it is whole"), ("header".to_owned(), b"payload".to_vec()));
        assert_eq!(read(&bytes, 6).expect_err("it is too long").kind(), io::ErrorKind::InvalidData);
        for length in 0..bytes.len() {
            read(&bytes[..length], 7).expect_err("the end is missing");
        }
        read(&[0xff; 16], 7).expect_err("no header is as long as that");
    }
}
