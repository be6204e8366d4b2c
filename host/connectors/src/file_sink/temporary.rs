//! Temporary files beside their targets: a dot, the target's name, a dot, six random characters, `.tmp`. Whoever writes one holds
//! a lock on it.
//!
//! The system drops the lock of a process that is killed, and so the next run of the same sink knows which to remove.

use std::{
    fs::{self, File, Permissions, TryLockError},
    io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use tempfile::TempPath;

const SUFFIX: &str = ".tmp";
/// Characters that `tempfile` makes up.
const RANDOM_CHARS: usize = 6;
/// Sweepers may take a new file for an old one in the instant before it is locked; this often it is made again.
const TRIES: usize = 10;

/// Makes and locks a temporary file for a target of this name. Dropping the path removes it; the lock lasts as long as the
/// file is open.
pub(super) fn create(folder: &Path, name: &str) -> io::Result<(File, TempPath)> {
    for _ in 0..TRIES {
        let file = tempfile::Builder::new()
            .prefix(&prefix(name))
            .suffix(SUFFIX)
            .rand_bytes(RANDOM_CHARS)
            // As any new file: the umask takes away from it.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)?;
        let (file, path) = file.into_parts();
        match file.try_lock() {
            // Where there are no locks, nobody can sweep either.
            Ok(()) | Err(TryLockError::Error(_)) if file.metadata()?.nlink() > 0 => return Ok((file, path)),
            _ => {}
        }
    }
    Err(io::Error::other("its temporary file is removed again and again"))
}

/// Removes temporary files for a target of this name that nobody writes any more. One that cannot be removed stays: it
/// harms nobody.
pub(super) fn sweep(folder: &Path, name: &str) {
    sweep_but(folder, name, &[]);
}

/// The same, but for some that a checkpoint needs.
pub(super) fn sweep_but(folder: &Path, name: &str, keep: &[&Path]) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let prefix = prefix(name);
    for entry in entries.flatten() {
        let found = entry.file_name();
        let middle = found.to_str().and_then(|found| found.strip_prefix(&prefix)?.strip_suffix(SUFFIX));
        let ours = |middle: &str| middle.len() == RANDOM_CHARS && middle.bytes().all(|b| b.is_ascii_alphanumeric());
        if !middle.is_some_and(ours) || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let path = entry.path();
        if keep.contains(&path.as_path()) {
            continue;
        }
        if let Ok(file) = File::open(&path)
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_file(&path);
        }
    }
}

fn prefix(name: &str) -> String {
    format!(".{name}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_holds_is_swept() {
        let folder = tempfile::tempdir().expect("room for a folder");
        let held = create(folder.path(), "out.jsonl").expect("it can be made");
        let others = ["out.jsonl", ".out.jsonl", ".out.jsonl.tmp", ".out.jsonl.abc.tmp", ".other.jsonl.abcdef.tmp"];
        for name in others.iter().chain(&[".out.jsonl.abcdef.tmp", ".out.jsonl.AB12cd.tmp"]) {
            fs::write(folder.path().join(name), "left").expect("room for a file");
        }
        fs::create_dir(folder.path().join(".out.jsonl.folder.tmp")).expect("room for a folder");
        sweep(folder.path(), "out.jsonl");
        assert!(held.1.is_file(), "its writer lives");
        for name in others.iter().chain(&[".out.jsonl.folder.tmp"]) {
            assert!(folder.path().join(name).exists(), "{name} is none of ours");
        }
        for name in [".out.jsonl.abcdef.tmp", ".out.jsonl.AB12cd.tmp"] {
            assert!(!folder.path().join(name).exists(), "{name} is left of a writer that is gone");
        }
        let (file, path) = held;
        drop(file);
        let left = path.keep().expect("it is there");
        sweep(folder.path(), "out.jsonl");
        assert!(!left.exists());
        sweep(&folder.path().join("missing"), "out.jsonl");
    }
}
