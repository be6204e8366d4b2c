//! The `blackhole` sink: takes rows and forgets them.

use std::hint::black_box;

use wasmill_model::{Batch, ids::CheckpointId};

use crate::{CheckpointKind, Error, Sink, SinkPart};

pub(crate) struct Blackhole;

impl Sink for Blackhole {
    fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        black_box(batch);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn checkpoint(&mut self, _: CheckpointId, _: CheckpointKind) -> Result<SinkPart, Error> {
        Ok(SinkPart::default())
    }

    fn completed(&mut self, _: CheckpointId) -> Result<(), Error> {
        Ok(())
    }

    fn prepare(&mut self) -> Result<SinkPart, Error> {
        Ok(SinkPart::default())
    }

    fn commit(&mut self) -> Result<(), Error> {
        Ok(())
    }
}
