//! From bytes as they come to frames.

use crate::{
    Checksum, Error, Frame, HEADER_BYTES,
    frame::{Header, Kind},
};

/// Takes bytes in pieces of any size, and gives frames. After an error it gives nothing but that error.
#[derive(Debug)]
pub struct Decoder {
    checksum: Checksum,
    /// The start of a header.
    head: Vec<u8>,
    /// A header whose body is coming, and what has come of it.
    frame: Option<(Header, Vec<u8>)>,
    failed: Option<Error>,
}

impl Decoder {
    pub fn new(checksum: Checksum) -> Self {
        Self { checksum, head: Vec::with_capacity(HEADER_BYTES), frame: None, failed: None }
    }

    /// Takes from the front of `input` what belongs to the next frame; `None` if it does not end in it.
    ///
    /// # Errors
    /// If what came is no frame.
    pub fn feed(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let fed = self.advance(input);
        if let Err(error) = &fed {
            self.failed = Some(error.clone());
            self.frame = None;
        }
        fed
    }

    /// Where the rest of a large body may be put directly, and how many bytes of it are missing: whoever reads may append
    /// up to that many, and call [`Self::feed`] with nothing.
    pub fn body(&mut self) -> Option<(&mut Vec<u8>, usize)> {
        let (header, body) = self.frame.as_mut()?;
        let missing = header.bytes as usize - body.len();
        (header.kind == Kind::Data).then_some((body, missing))
    }

    fn advance(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, Error> {
        if self.frame.is_none() {
            let Some(header) = self.header(input)? else { return Ok(None) };
            self.frame = Some((header, Vec::with_capacity(header.bytes as usize)));
        }
        let Some((header, body)) = &mut self.frame else { return Ok(None) };
        let missing =
            (header.bytes as usize).checked_sub(body.len()).ok_or(Error::Body("it is longer than it says"))?;
        let (taken, rest) = input.split_at(missing.min(input.len()));
        *input = rest;
        body.extend_from_slice(taken);
        if taken.len() < missing {
            return Ok(None);
        }
        let Some((header, body)) = self.frame.take() else { return Ok(None) };
        header.check(self.checksum, &body)?;
        Frame::read(header, body).map(Some)
    }

    fn header(&mut self, input: &mut &[u8]) -> Result<Option<Header>, Error> {
        if self.head.is_empty()
            && let Some((whole, rest)) = input.split_first_chunk::<HEADER_BYTES>()
        {
            *input = rest;
            return Header::read(whole).map(Some);
        }
        let (taken, rest) = input.split_at((HEADER_BYTES - self.head.len()).min(input.len()));
        *input = rest;
        self.head.extend_from_slice(taken);
        let Some(whole) = self.head.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let header = Header::read(whole)?;
        self.head.clear();
        Ok(Some(header))
    }
}

#[cfg(test)]
mod tests;
