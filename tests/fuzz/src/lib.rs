//! Random inputs for what reads strangers' bytes, and the rules that must hold for each.
//!
//! A [`Target`] makes inputs and judges what the host does with one. An input follows from a seed and a number, and from
//! nothing that was made before it, so that any of them can be made again alone. [`runner`] makes them in a child process,
//! so that an endless loop, a stack overflow or memory without end is found like a panic is.

pub mod child;
pub mod mutate;
pub mod random;
pub mod runner;
pub mod targets;

pub use random::Random;

/// What became of an input that was handled as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// It was taken for good, and is.
    Accepted,
    /// It was refused, with a reason.
    Refused,
}

/// Something of the host that takes strangers' bytes.
pub trait Target {
    /// Makes an input.
    fn make(&self, random: &mut Random) -> Vec<u8>;

    /// Gives it to the host. An error says which rule is broken; a panic breaks one too.
    fn run(&mut self, input: &[u8]) -> Result<Handled, String>;
}

/// The input with this number.
pub fn input(target: &dyn Target, seed: u64, number: u64) -> Vec<u8> {
    target.make(&mut Random::new(seed, number))
}
