//! What one subtask has to decide, as pure functions of what happens: no sockets, no threads, no clocks.
//!
//! * `alignment`: when the barrier of a checkpoint has come by all channels.
//! * `watermark`: the watermark of several channels together.
//! * `source`: the watermark of a source, from the rows of its splits.
//! * `rounds`: in which order an operator's timers fire and its notices come when the watermark or the clock advances, and at
//!   the end of input.
//!
//! Nothing here keeps rows or state.

pub mod alignment;
pub mod rounds;
pub mod source;
pub mod watermark;

pub use alignment::{Alignment, Step};
pub use rounds::{Command, Event, NextTimers, Rounds, Wants};
pub use source::{WatermarkGenerator, WatermarkOptions};
pub use watermark::{Progress, Watermarks};
