//! The `stdout` sink: rows on standard output, whole lines at a time; Arrow and Parquet as one stream of bytes.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use wasmill_model::{Batch, Schema, ids::CheckpointId};

use crate::{
    CheckpointKind, Error, Sink, SinkPart,
    encode::{Container, Encoder, EncoderConfig},
};

/// Bytes to gather before they are written, if nothing asks for them sooner.
const GATHER_BYTES: usize = 64 << 10;

/// One subtask's part of standard output. Several write in turns, never into each other's lines.
pub(crate) struct StdoutSink<W = io::Stdout> {
    encoder: Encoder,
    gathered: Vec<u8>,
    ended: bool,
    out: W,
}

impl StdoutSink {
    pub(crate) fn open(config: &EncoderConfig, schema: &Schema, subtask: u32) -> Result<Self, Error> {
        Self::over(io::stdout(), config, schema, subtask)
    }
}

impl<W: Write + Send> StdoutSink<W> {
    /// The first subtask writes what stands before the first row, at once.
    fn over(out: W, config: &EncoderConfig, schema: &Schema, subtask: u32) -> Result<Self, Error> {
        let mut sink =
            Self { encoder: config.open(schema, Container::Stream), gathered: Vec::new(), ended: false, out };
        if subtask == 0 {
            sink.encoder.begin(&mut sink.gathered);
            sink.write_gathered()?;
        }
        Ok(sink)
    }

    fn write_gathered(&mut self) -> Result<(), Error> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        // One call holds standard output's lock from the first byte to the last.
        let result = self.out.write_all(&self.gathered).and_then(|()| self.out.flush());
        self.gathered.clear();
        result.map_err(|source| match source.kind() {
            io::ErrorKind::BrokenPipe => Error::OutputClosed,
            _ => failed(source),
        })
    }
}

fn failed(source: io::Error) -> Error {
    Error::Write { doing: "write to", path: PathBuf::from("standard output"), source }
}

impl<W: Write + Send> Sink for StdoutSink<W> {
    fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        self.encoder.rows(batch, &mut self.gathered).map_err(failed)?;
        if self.gathered.len() >= GATHER_BYTES { self.write_gathered() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.encoder.flush(&mut self.gathered).map_err(failed)?;
        self.write_gathered()
    }

    fn checkpoint(&mut self, _: CheckpointId, _: CheckpointKind) -> Result<SinkPart, Error> {
        self.flush()?;
        Ok(SinkPart::default())
    }

    fn completed(&mut self, _: CheckpointId) -> Result<(), Error> {
        Ok(())
    }

    /// Shows everything: standard output can take nothing back.
    fn prepare(&mut self) -> Result<SinkPart, Error> {
        if !std::mem::replace(&mut self.ended, true) {
            self.encoder.end(&mut self.gathered).map_err(failed)?;
        }
        self.write_gathered()?;
        Ok(SinkPart::default())
    }

    fn commit(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use arrow_array::{ArrayRef, Int64Array};
    use wasmill_model::{DataType, Field};

    use super::*;
    use crate::testing::settings;

    /// Remembers what each call wrote; fails as it is told.
    #[derive(Clone, Default)]
    struct Seen {
        writes: Arc<Mutex<Vec<String>>>,
        fails: Option<io::ErrorKind>,
    }

    impl Write for Seen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if let Some(kind) = self.fails {
                return Err(kind.into());
            }
            let text = String::from_utf8(bytes.to_vec()).expect("text");
            self.writes.lock().expect("no test panics while it holds it").push(text);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn open(seen: &Seen, format: &str, subtask: u32) -> Result<StdoutSink<Seen>, Error> {
        let config = EncoderConfig::read(&settings(&format!("format = \"{format}\""))).expect("valid settings");
        let schema = Schema::new(vec![Field::new("n", DataType::Int64)]).expect("one name");
        StdoutSink::over(seen.clone(), &config, &schema, subtask)
    }

    fn numbers(count: i64) -> Batch {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..count));
        Batch::new(count as usize, vec![column])
    }

    #[test]
    fn whole_lines_at_a_time() {
        let seen = Seen::default();
        let mut sink = open(&seen, "json", 0).expect("it opens");
        let writes = || seen.writes.lock().expect("no test panics while it holds it").clone();
        sink.write(&numbers(2)).expect("memory takes everything");
        assert_eq!(writes(), [""; 0], "rows are gathered");
        sink.flush().expect("memory takes everything");
        sink.flush().expect("nothing is left");
        assert_eq!(writes(), ["{\"n\":0}\n{\"n\":1}\n"]);
        sink.write(&numbers(20_000)).expect("memory takes everything");
        assert_eq!(writes().len(), 2, "so many are not kept back");
        sink.write(&numbers(1)).expect("memory takes everything");
        sink.prepare().and_then(|_| sink.commit()).expect("memory takes everything");
        assert_eq!(writes()[2], "{\"n\":0}\n");
        assert!(writes().iter().all(|text| text.ends_with('\n')));
    }

    #[test]
    fn one_header_however_many_subtasks() {
        let seen = Seen::default();
        let sinks = [open(&seen, "csv", 0), open(&seen, "csv", 1)];
        for mut sink in sinks.into_iter().flatten() {
            sink.write(&numbers(1)).and_then(|()| sink.flush()).expect("memory takes everything");
        }
        assert_eq!(*seen.writes.lock().expect("no test panics while it holds it"), ["n\n", "0\n", "0\n"]);
    }

    #[test]
    fn nobody_reads_any_more() {
        let closed = Seen { fails: Some(io::ErrorKind::BrokenPipe), ..Seen::default() };
        assert!(matches!(open(&closed, "csv", 0).err(), Some(Error::OutputClosed)));
        let mut sink = open(&closed, "json", 0).expect("nothing to write yet");
        sink.write(&numbers(1)).expect("gathered");
        assert!(matches!(sink.flush(), Err(Error::OutputClosed)));
        let full = Seen { fails: Some(io::ErrorKind::StorageFull), ..Seen::default() };
        let mut sink = open(&full, "json", 0).expect("nothing to write yet");
        sink.write(&numbers(1)).expect("gathered");
        let error = sink.prepare().expect_err("it is full").to_string();
        assert!(error.starts_with("could not write to standard output: "), "{error}");
    }
}
