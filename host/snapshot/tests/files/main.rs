//! Snapshot files as whoever uses them sees them: written, read, merged, damaged, and left behind by a crash.

mod copies;
mod crash;
mod damage;
mod limits;
mod make;
mod merge;
mod round_trip;
