//! How much of its files a source has read.

use std::{
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Counts the bytes that are read of several files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meter {
    done: Arc<AtomicU64>,
    total: u64,
}

impl Meter {
    /// For files of so many bytes; 0: that is not known.
    pub(crate) fn of(total: u64) -> Self {
        Self { done: Arc::default(), total }
    }

    /// The same reader, counted.
    pub(crate) fn read<R>(&self, inner: R) -> Metered<R> {
        Metered { inner, done: self.done.clone() }
    }

    /// Bytes read.
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Relaxed)
    }

    /// Bytes read, of how many.
    pub(crate) fn progress(&self) -> Option<(u64, u64)> {
        (self.total > 0).then(|| (self.done(), self.total))
    }
}

/// A reader whose bytes are counted.
#[derive(Debug)]
pub(crate) struct Metered<R> {
    inner: R,
    done: Arc<AtomicU64>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.done.fetch_add(read as u64, Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn bytes_are_counted_over_all_files() {
        let folder = tempfile::tempdir().expect("room for a folder");
        let paths = ["a", "b"].map(|name| folder.path().join(name));
        for path in &paths {
            fs::write(path, [0; 100]).expect("room for a file");
        }
        let meter = Meter::of(200);
        assert_eq!(meter.progress(), Some((0, 200)));
        for path in &paths {
            io::copy(&mut meter.read(fs::File::open(path).expect("it is there")), &mut io::sink()).expect("readable");
        }
        assert_eq!(meter.progress(), Some((200, 200)));
        assert_eq!(Meter::of(0).progress(), None);
    }
}
