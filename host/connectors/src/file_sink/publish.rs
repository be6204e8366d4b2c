//! Giving a prepared file its name, once, whoever else tries the same, and however often it is tried.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use wasmill_durable::{Point, step};

use super::{FileName, part::failed};
use crate::Error;

/// Digits of a number, so that names sort as they were made. Larger numbers have more.
pub(super) const DIGITS: usize = 6;

/// What happens if something has the name already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is replaced.
    Replace,
    /// It stays; the file gets the next number that is free.
    Number,
}

/// Makes a prepared file visible. One that is gone while its target is there was made visible before, by this process, an earlier
/// one, or one that was thought to be dead.
pub(super) fn publish(temporary: &Path, target: &Path, taken: Taken) -> Result<(), Error> {
    let renamed = step(Point::SinkPublish).and_then(|()| match taken {
        Taken::Replace => fs::rename(temporary, target),
        Taken::Number => rename_to_free(temporary, target),
    });
    match renamed {
        Ok(()) => step(Point::SinkPublished).map_err(|source| failed("create", target, source)),
        Err(error) if error.kind() == io::ErrorKind::NotFound && target.exists() => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Error::Unpublished { target: target.to_owned(), temporary: temporary.to_owned() })
        }
        Err(error) => Err(failed("create", target, error)),
    }
}

fn rename_to_free(temporary: &Path, target: &Path) -> io::Result<()> {
    let mut target = target.to_owned();
    loop {
        match renameat_with(CWD, temporary, CWD, &target, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::EXIST) => {}
            // A file system that has no such call: a second name, and then the first one goes.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => match fs::hard_link(temporary, &target) {
                Ok(()) => return fs::remove_file(temporary),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            },
            Err(error) => return Err(error.into()),
        }
        // Half of the two steps above was done by somebody who then died.
        let same = |a: &Path, b: &Path| Some(fs::metadata(a).ok()?.ino() == fs::metadata(b).ok()?.ino());
        match same(temporary, &target) {
            Some(true) => return fs::remove_file(temporary),
            Some(false) => target = next_number(&target).ok_or(io::ErrorKind::AlreadyExists)?,
            None if temporary.exists() => {}
            None => return Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// `counts.0.000002.jsonl` of `counts.0.000001.jsonl`.
fn next_number(target: &Path) -> Option<PathBuf> {
    let name = target.file_name()?.to_str()?;
    let is_number = |part: &str| part.len() >= DIGITS && part.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts: Vec<String> = name.split('.').map(str::to_owned).collect();
    let number = parts.iter_mut().rev().find(|part| is_number(part))?;
    *number = format!("{:0DIGITS$}", number.parse::<u64>().ok()?.checked_add(1)?);
    Some(target.with_file_name(parts.join(".")))
}

/// The highest number of a subtask's files that are there; 0 if there is none.
pub(super) fn last_number(name: &FileName, subtask: u32) -> io::Result<u64> {
    let (prefix, ending) = (format!("{}.{subtask}.", name.stem), name.ending());
    let mut last = 0;
    for entry in fs::read_dir(&name.folder)? {
        let found = entry?.file_name();
        let number = found.to_str().and_then(|found| found.strip_prefix(&prefix)?.strip_suffix(&ending));
        let digits = number.filter(|text| text.len() >= DIGITS && text.bytes().all(|byte| byte.is_ascii_digit()));
        last = last.max(digits.and_then(|digits| digits.parse().ok()).unwrap_or(0));
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_published_once_however_often_it_is_tried() {
        let folder = tempfile::tempdir().expect("room for a folder");
        let path = |name: &str| folder.path().join(name);
        let (first, second) = (path("c.0.000001.jsonl"), path("c.0.000002.jsonl"));
        fs::write(path("a"), "a").expect("room for a file");
        for _ in 0..2 {
            publish(&path("a"), &first, Taken::Number).expect("it is free, or done");
        }
        fs::write(path("b"), "b").expect("room for a file");
        publish(&path("b"), &first, Taken::Number).expect("the next number is free");
        assert_eq!(fs::read_to_string(&first).expect("it is there"), "a");
        assert_eq!(fs::read_to_string(&second).expect("it is there"), "b");
        fs::hard_link(&second, path("c")).expect("room for a name");
        publish(&path("c"), &second, Taken::Number).expect("half of it was done");
        assert!(!path("c").exists() && !path("c.0.000003.jsonl").exists());
        fs::write(path("d"), "d").expect("room for a file");
        publish(&path("d"), &first, Taken::Replace).expect("it may be replaced");
        assert_eq!(fs::read_to_string(&first).expect("it is there"), "d");
        let gone = publish(&path("e"), &path("f"), Taken::Number).expect_err("nothing is there");
        assert!(gone.to_string().contains("could not make"), "{gone}");
    }
}
