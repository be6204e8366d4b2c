//! A folder as what a checkpoint store stands on: of one host, or one that several have mounted.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use wasmill_durable::{Point, step};

use super::{Listed, Name, Objects};
use crate::{
    Hash,
    durable::{FILE, MANIFEST, Steps, Unfinished, folder_of, sync_folder},
    file::Expected,
};

/// How often a folder is made before something is put there: whoever removes empty ones may be in between.
const FOLDER_TRIES: usize = 8;

/// A folder. Names are paths below it.
#[derive(Debug, Clone)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// A folder, made if it is not there.
    pub fn create(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        Self::open(root)
    }

    /// A folder that must be there: one that somebody forgot to mount is not made up.
    pub fn open(root: &Path) -> io::Result<Self> {
        let root = root.canonicalize()?;
        if root.is_dir() { Ok(Self { root }) } else { Err(io::ErrorKind::NotADirectory.into()) }
    }

    fn path(&self, name: &Name) -> PathBuf {
        name.parts().fold(self.root.clone(), |path, part| path.join(part))
    }

    /// Begins a file where this name is to be, and makes the folders above it.
    fn begin(&self, name: &Name, steps: Steps) -> io::Result<(Unfinished, File)> {
        let path = self.path(name);
        let mut tries = FOLDER_TRIES;
        loop {
            tries -= 1;
            match Unfinished::create(&path, Some(steps)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && tries > 0 => self.make_folder(&path)?,
                begun => return begun,
            }
        }
    }

    /// Makes the folder of a file, and those above it, durable.
    fn make_folder(&self, file: &Path) -> io::Result<()> {
        let folder = folder_of(file);
        if folder == self.root {
            return Err(io::ErrorKind::NotFound.into());
        }
        match fs::create_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_folder(folder)?;
                match fs::create_dir(folder) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                    made => made,
                }?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made?,
        }
        sync_folder(folder)
    }

    /// Removes the folders above a file that are empty now.
    fn tidy(&self, file: &Path) {
        let mut folder = folder_of(file);
        while folder != self.root && fs::remove_dir(folder).is_ok() {
            folder = folder_of(folder);
        }
    }

    fn list_into(&self, folder: &Path, name: &str, listed: &mut Vec<Listed>) -> io::Result<()> {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            // What has no name of ours is not ours.
            let Some(name) = entry.file_name().to_str().map(|part| format!("{name}/{part}")) else { continue };
            let Ok(parsed) = name.parse::<Name>() else { continue };
            let metadata = match entry.metadata() {
                // Somebody has just removed it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata?,
            };
            if metadata.is_dir() {
                self.list_into(&entry.path(), &name, listed)?;
            } else if metadata.is_file() {
                listed.push(Listed { name: parsed, bytes: metadata.len(), modified: metadata.modified()? });
            }
        }
        Ok(())
    }
}

impl Objects for Folder {
    fn place(&self) -> String {
        self.root.display().to_string()
    }

    fn put_all(&self, name: &Name, from: &mut dyn Read, expected: &Expected) -> io::Result<Option<String>> {
        let (unfinished, target) = self.begin(name, FILE)?;
        copied(from, target, unfinished, expected)
    }

    fn open(&self, name: &Name) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(self.path(name))?))
    }

    fn get_file(&self, name: &Name, to: &Path, expected: &Expected) -> io::Result<Option<String>> {
        let mut source = File::open(self.path(name))?;
        // That something is not found is said of the source only.
        let begun =
            Unfinished::create(to, None).map_err(|error| io::Error::other(format!("{}: {error}", to.display())));
        let (unfinished, target) = begun?;
        copied(&mut source, target, unfinished, expected)
    }

    fn put(&self, name: &Name, bytes: &[u8]) -> io::Result<()> {
        let (unfinished, mut file) = self.begin(name, FILE)?;
        file.write_all(bytes)?;
        unfinished.sync(&file)?;
        unfinished.finish()
    }

    fn put_new(&self, name: &Name, bytes: &[u8]) -> io::Result<bool> {
        let (unfinished, mut file) = self.begin(name, MANIFEST)?;
        file.write_all(bytes)?;
        unfinished.sync(&file)?;
        unfinished.finish_new()
    }

    fn read(&self, name: &Name, bytes_max: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.path(name))?.take(bytes_max + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > bytes_max { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
    }

    fn has(&self, name: &Name) -> io::Result<bool> {
        self.path(name).try_exists()
    }

    fn list(&self, below: &Name) -> io::Result<Vec<Listed>> {
        let mut listed = Vec::new();
        self.list_into(&self.path(below), below.as_str(), &mut listed)?;
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(listed)
    }

    fn settle(&self, below: &Name) -> io::Result<()> {
        match File::open(self.path(below)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            opened => opened?.sync_all(),
        }
    }

    fn rename(&self, from: &Name, to: &Name) -> io::Result<()> {
        let to = self.path(to);
        fs::rename(self.path(from), &to)?;
        sync_folder(&to)
    }

    fn delete(&self, name: &Name) -> io::Result<()> {
        let path = self.path(name);
        step(Point::StoreDelete)?;
        fs::remove_file(&path)?;
        step(Point::StoreDeleted)?;
        sync_folder(&path)?;
        self.tidy(&path);
        Ok(())
    }
}

/// Copies what is read to a file that is begun. If what was read is not as expected, the copy is dropped, and the answer says how it
/// differs.
fn copied(
    source: &mut dyn Read,
    target: File,
    unfinished: Unfinished,
    expected: &Expected,
) -> io::Result<Option<String>> {
    // One byte more shows that there are more.
    let source = source.take(expected.bytes.saturating_add(1));
    let (blake3, bytes) = Hash::of_all(Copying { source, target: &target })?;
    if bytes != expected.bytes {
        let found = if bytes > expected.bytes { "longer".to_owned() } else { format!("{bytes} bytes long") };
        return Ok(Some(format!("it is {found}, and should be {} bytes long", expected.bytes)));
    }
    if blake3 != expected.blake3 {
        return Ok(Some(format!("its blake3 is {blake3}, and should be {}", expected.blake3)));
    }
    unfinished.sync(&target)?;
    unfinished.finish()?;
    Ok(None)
}

/// Writes to another file what is read through it.
struct Copying<'a, R> {
    source: R,
    target: &'a File,
}

impl<R: Read> Read for Copying<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.target.write_all(&buffer[..read])?;
        Ok(read)
    }
}
