//! The `blackhole` sink: takes rows and forgets them.

use std::hint::black_box;

use wasmill_model::Batch;

use crate::{Error, Sink};

pub(crate) struct Blackhole;

impl Sink for Blackhole {
    fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        black_box(batch);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn prepare(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Error> {
        Ok(())
    }
}
