//! What travels between TaskManagers, as bytes: frames, and batches in them.
//!
//! A connection carries *frames*; most belong to a *channel*, the way of rows from one subtask to another. [`Decoder`] turns bytes into
//! frames, [`Encoder`] and [`decode`] turn batches into bodies of frames and back, [`credit`] counts what may be under way.
//!
//! Pure: no sockets, no threads, no clock. Whatever comes from the network is taken for hostile: every length is checked
//! before memory is taken for it, and nothing that arrives makes anything here panic or gives an array that is not valid.
//! `docs/reference/data-plane.md` draws the bytes.

mod assembly;
mod body;
pub mod credit;
mod decode;
mod decoder;
mod encode;
mod error;
mod frame;
mod layout;
mod views;

pub use assembly::Assembly;
pub use body::Body;
pub use decode::decode;
pub use decoder::Decoder;
pub use encode::Encoder;
pub use error::Error;
pub use frame::{Checksum, Frame, HEADER_BYTES, Hello, Identity, Open, Reason};
pub use layout::{Column, Layout};

/// The version of the protocol that is spoken here.
pub const VERSION: u16 = 1;

/// Bytes of a frame behind its header, at most: enough for a whole batch of numbers, so little that what is urgent never waits long
/// behind one.
pub const FRAME_BYTES_MAX: usize = 1 << 20;

/// Bytes of one batch in all its frames, at most.
pub const BATCH_BYTES_MAX: usize = 64 << 20;

/// Rows of one batch, at most. Chains send up to 4,096.
pub const ROWS_MAX: usize = 1 << 16;

/// Bytes of a cluster's name, at most.
pub const CLUSTER_BYTES_MAX: usize = 255;

/// Bytes of the words that tell why something is closed, at most.
pub const WORDS_BYTES_MAX: usize = 255;
