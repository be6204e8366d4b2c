//! What a checkpoint store stands on: things with names, written whole or not at all.

use std::{
    fmt,
    io::{self, Read},
    path::Path,
    time::SystemTime,
};

use super::Name;
use crate::file::Expected;

/// A place for things with names: a folder, or one day an object store. All that is done is durable when it is answered, and
/// nothing is seen before it is whole.
pub trait Objects: fmt::Debug + Send + Sync {
    /// Where it is, for messages.
    fn place(&self) -> String;

    /// Puts all that is read. If it is not as expected, nothing is put, and the answer says how it differs. No more is read than
    /// shows that.
    fn put_all(&self, name: &Name, from: &mut dyn Read, expected: &Expected) -> io::Result<Option<String>>;

    /// Opens something, to be read piece by piece; it can be read to its end whoever deletes it meanwhile.
    fn open(&self, name: &Name) -> io::Result<Box<dyn Read + Send>>;

    /// Copies a file from there, in place of what stands under the path. If what is read is not as expected, the path stays as
    /// it was, and the answer says how it differs.
    fn get_file(&self, name: &Name, to: &Path, expected: &Expected) -> io::Result<Option<String>>;

    /// Puts bytes in place of what has the name.
    fn put(&self, name: &Name, bytes: &[u8]) -> io::Result<()>;

    /// Puts bytes, unless something has the name: then the answer is `false`. Of several who try, one is answered `true`.
    fn put_new(&self, name: &Name, bytes: &[u8]) -> io::Result<bool>;

    /// All bytes of something that is not longer than this.
    fn read(&self, name: &Name, bytes_max: u64) -> io::Result<Vec<u8>>;

    /// Whether something has the name.
    fn has(&self, name: &Name) -> io::Result<bool>;

    /// All that is below a name, at any depth, in the order of the names. Nothing, if nothing has it.
    fn list(&self, below: &Name) -> io::Result<Vec<Listed>>;

    /// Makes durable which names there are right below one: whoever gave them may have died before.
    fn settle(&self, below: &Name) -> io::Result<()>;

    /// Gives something another name.
    fn rename(&self, from: &Name, to: &Name) -> io::Result<()>;

    /// Removes something.
    fn delete(&self, name: &Name) -> io::Result<()>;
}

/// Something that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub name: Name,
    pub bytes: u64,
    pub modified: SystemTime,
}
