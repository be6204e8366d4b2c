//! What lies under a snapshot file's database: the file, in the ways it is used.
//!
//! None of them locks: a file has its writer to itself while it is unfinished, and nobody writes to it afterwards.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{Mutex, PoisonError},
};

use redb::StorageBackend;

/// A file that is being written. It is not synced before it is complete, when its writer does it: nobody reads it until then,
/// so nothing of it needs to survive.
#[derive(Debug)]
pub(super) struct Unsynced(pub(super) File);

impl StorageBackend for Unsynced {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }
}

/// A file that is read and never written.
#[derive(Debug)]
pub(super) struct ReadOnly(pub(super) File);

impl StorageBackend for ReadOnly {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, _len: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, _offset: u64, _data: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

/// A file that is read, and what is written to it, in memory: checking a database's integrity writes to it.
#[derive(Debug)]
pub(super) struct Overlay {
    file: File,
    written: Mutex<Pages>,
}

#[derive(Debug)]
struct Pages {
    /// Of the file with what is written.
    len: u64,
    /// How much of the file is still to be seen.
    file_len: u64,
    /// By its number, each page of which something was written.
    pages: BTreeMap<u64, Box<[u8; PAGE]>>,
}

const PAGE: usize = 4096;

impl Overlay {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { file, written: Mutex::new(Pages { len, file_len: len, pages: BTreeMap::new() }) })
    }

    fn pages<T>(&self, work: impl FnOnce(&mut Pages) -> T) -> T {
        work(&mut self.written.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Pages {
    /// What of a piece of the storage lies in which page: the page, where in it, and where in the piece.
    fn cut(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
        let mut done = 0;
        std::iter::from_fn(move || {
            let at = offset + done as u64;
            let within = (at % PAGE as u64) as usize;
            let taken = (PAGE - within).min(length - done);
            let part = done..done + taken;
            done += taken;
            (taken > 0).then_some((at / PAGE as u64, within, part))
        })
    }

    /// Reads what is in the file, and zeros behind its end.
    fn read_file(&self, file: &File, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let there = self.file_len.saturating_sub(offset).min(out.len() as u64) as usize;
        let (known, zeros) = out.split_at_mut(there);
        file.read_exact_at(known, offset)?;
        zeros.fill(0);
        Ok(())
    }
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.pages(|pages| pages.len))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.pages(|pages| {
            if offset.checked_add(out.len() as u64).is_none_or(|end| end > pages.len) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            pages.read_file(&self.file, offset, out)?;
            for (page, within, part) in Pages::cut(offset, out.len()) {
                if let Some(bytes) = pages.pages.get(&page) {
                    let length = part.len();
                    out[part].copy_from_slice(&bytes[within..within + length]);
                }
            }
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.pages(|pages| {
            pages.len = len;
            pages.file_len = pages.file_len.min(len);
            // What comes back after a cut is zero.
            pages.pages.retain(|&page, _| page * (PAGE as u64) < len);
            if let Some(bytes) = pages.pages.get_mut(&(len / PAGE as u64)) {
                bytes[(len % PAGE as u64) as usize..].fill(0);
            }
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.pages(|pages| {
            pages.len = pages.len.max(offset.saturating_add(data.len() as u64));
            for (page, within, part) in Pages::cut(offset, data.len()) {
                if !pages.pages.contains_key(&page) {
                    let mut bytes = Box::new([0; PAGE]);
                    pages.read_file(&self.file, page * PAGE as u64, &mut bytes[..])?;
                    pages.pages.insert(page, bytes);
                }
                let bytes = pages.pages.get_mut(&page).expect("it was put there if it was not");
                bytes[within..within + part.len()].copy_from_slice(&data[part]);
            }
            Ok(())
        })
    }
}
