//! Puts a batch together that came in several frames.

use crate::{BATCH_BYTES_MAX, Error};

/// What has come of a batch of one channel.
#[derive(Debug, Default)]
pub struct Assembly {
    bytes: Vec<u8>,
}

impl Assembly {
    /// Takes the body of a DATA frame; gives the whole if this was the last.
    ///
    /// # Errors
    /// If the batch grows larger than one may be.
    pub fn add(&mut self, body: Vec<u8>, more: bool) -> Result<Option<Vec<u8>>, Error> {
        if self.bytes.len() + body.len() > BATCH_BYTES_MAX {
            return Err(Error::BatchBytes);
        }
        if self.bytes.is_empty() {
            self.bytes = body;
        } else {
            self.bytes.extend_from_slice(&body);
        }
        Ok((!more).then(|| std::mem::take(&mut self.bytes)))
    }

    /// Bytes that wait for their rest.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}
