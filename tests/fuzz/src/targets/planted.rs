//! A reader with mistakes of the kinds that must be found: a run in which nothing fails says something only if these do.
//!
//! It reads a length, then that many bytes. What is longer than what follows is to be refused.

use crate::{Handled, Random, Target, mutate};

/// The mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It cuts off what is not there.
    Panic,
    /// It takes what is too short.
    WrongAnswer,
    /// It waits for what never comes.
    Loop,
    /// It makes room before it looks.
    Memory,
}

impl Fault {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Panic => "planted-panic",
            Self::WrongAnswer => "planted-wrong-answer",
            Self::Loop => "planted-loop",
            Self::Memory => "planted-memory",
        }
    }
}

#[derive(Debug)]
pub(super) struct Planted(pub(super) Fault);

impl Target for Planted {
    fn make(&self, random: &mut Random) -> Vec<u8> {
        let length = random.below(200);
        let mut input = (length as u32).to_le_bytes().to_vec();
        input.extend(random.bytes(length));
        if random.once_in(4) {
            mutate::bytes(&mut input, b"other", random);
        }
        input
    }

    fn run(&mut self, input: &[u8]) -> Result<Handled, String> {
        let Some((length, rest)) = input.split_first_chunk() else { return Ok(Handled::Refused) };
        let length = u32::from_le_bytes(*length) as usize;
        // Rare enough that it has to be looked for.
        let too_short = length > rest.len() && length.is_multiple_of(4);
        match self.0 {
            Fault::Panic if too_short => Err(format!("{} bytes were found", rest[..length].len())),
            Fault::WrongAnswer if too_short => Err("it accepts what is too short".to_owned()),
            Fault::Loop if too_short => loop {
                std::hint::black_box(rest);
            },
            Fault::Memory if too_short && length > 2 << 30 => {
                let room: Vec<u8> = Vec::with_capacity(length);
                std::hint::black_box(&room);
                Ok(Handled::Refused)
            }
            _ if length > rest.len() => Ok(Handled::Refused),
            _ => Ok(Handled::Accepted),
        }
    }
}
