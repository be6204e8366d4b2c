//! Credit: what may be under way on a channel.
//!
//! The reader gives a window of so many batches and bytes, once, and then gives back what has been taken out of its gate. A
//! batch may be sent while there is room for one in the window, and if its bytes fit too, or if at most half of the bytes
//! are used: so a batch of any size passes in the end, and what is under way is never more than half a window and one batch
//! besides. Credit is given back in halves of the window, which leaves room at all times and makes few frames.

use crate::Error;

/// So many batches, and so many bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    pub batches: u32,
    pub bytes: u64,
}

/// The writer's side.
#[derive(Debug, Default)]
pub struct Allowance {
    window: Option<Amount>,
    used: Amount,
}

/// The reader's side.
#[derive(Debug)]
pub struct Window {
    size: Amount,
    /// Of the window: what has come and is not given back.
    used: Amount,
    /// Of that: what has been taken out of the gate.
    owed: Amount,
}

impl Amount {
    fn has_room(self, used: Self, bytes: u64) -> bool {
        used.batches < self.batches && (used.bytes.saturating_add(bytes) <= self.bytes || used.bytes <= self.bytes / 2)
    }

    fn add(&mut self, other: Self) {
        self.batches += other.batches;
        self.bytes += other.bytes;
    }

    fn checked_sub(self, other: Self) -> Option<Self> {
        Some(Self { batches: self.batches.checked_sub(other.batches)?, bytes: self.bytes.checked_sub(other.bytes)? })
    }
}

impl Allowance {
    /// Takes the credit for a batch of so many bytes, if there is enough.
    #[must_use]
    pub fn take(&mut self, bytes: u64) -> bool {
        let room = self.window.is_some_and(|window| window.has_room(self.used, bytes));
        if room {
            self.used.add(Amount { batches: 1, bytes });
        }
        room
    }

    /// Credit has come.
    ///
    /// # Errors
    /// If it is more than was used.
    pub fn credit(&mut self, amount: Amount) -> Result<(), Error> {
        if self.window.is_none() {
            self.window = Some(amount);
        } else {
            self.used = self.used.checked_sub(amount).ok_or(Error::Credit)?;
        }
        Ok(())
    }
}

impl Window {
    pub fn new(size: Amount) -> Self {
        Self { size, used: Amount::default(), owed: Amount::default() }
    }

    /// The credit that is given at the start.
    pub fn size(&self) -> Amount {
        self.size
    }

    /// Checks that there is credit for a batch of which so many bytes have come.
    ///
    /// # Errors
    /// If there is none.
    pub fn check(&self, bytes: u64) -> Result<(), Error> {
        if self.size.has_room(self.used, bytes) { Ok(()) } else { Err(Error::Overrun) }
    }

    /// A batch has come.
    ///
    /// # Errors
    /// If there was no credit for it.
    pub fn arrived(&mut self, bytes: u64) -> Result<(), Error> {
        self.check(bytes)?;
        self.used.add(Amount { batches: 1, bytes });
        Ok(())
    }

    /// Batches have been taken out of the gate: the credit that is to be given back now, if any.
    ///
    /// # Panics
    /// If they had not arrived.
    pub fn taken(&mut self, amount: Amount) -> Option<Amount> {
        self.owed.add(amount);
        assert!(self.used.checked_sub(self.owed).is_some(), "{:?} of {:?} taken", self.owed, self.used);
        let due = self.owed.batches >= self.size.batches.div_ceil(2) || self.owed.bytes >= self.size.bytes.div_ceil(2);
        due.then(|| {
            let owed = std::mem::take(&mut self.owed);
            self.used = self.used.checked_sub(owed).unwrap_or_default();
            owed
        })
    }
}

#[cfg(test)]
mod tests;
