//! The file layer: the only way by which the store touches the disk.

use std::any::Any;
use std::fmt;
use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The file must exist and is only read.
    Read,
    /// The file must exist and is read and written.
    Write,
    /// The file is made, or emptied if it exists.
    Create,
}

/// Whether the store's directory could be claimed.
pub enum Claim {
    /// It is ours until the value is dropped.
    Held(Box<dyn Any + Send + Sync>),
    /// Another process has it; its id, if it could be read.
    Busy(Option<u32>),
}

/// One open file.
pub trait File: fmt::Debug + Send + Sync {
    /// Reads at `offset`; fewer bytes than asked for only at the end of the file.
    ///
    /// # Errors
    /// When the operating system refuses.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes at `offset`; may write less than all, as the operating system may.
    ///
    /// # Errors
    /// When the operating system refuses, for example because the disk is full.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Makes all that was written durable.
    ///
    /// # Errors
    /// When the operating system could not; what was written may then be lost for good.
    fn sync(&self) -> io::Result<()>;

    /// The file's length.
    ///
    /// # Errors
    /// When the operating system refuses.
    fn length(&self) -> io::Result<u64>;
}

/// The directory operations that the store needs.
pub trait Files: fmt::Debug + Send + Sync + 'static {
    /// Opens a file.
    ///
    /// # Errors
    /// When the operating system refuses.
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>>;

    /// The names in a directory, in no particular order.
    ///
    /// # Errors
    /// When the operating system refuses.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;

    /// Renames a file within its directory, replacing the target.
    ///
    /// # Errors
    /// When the operating system refuses.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// When the operating system refuses.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes creations, renames and removals in a directory durable.
    ///
    /// # Errors
    /// When the operating system could not.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;

    /// Makes a directory and its parents, if they are not there.
    ///
    /// # Errors
    /// When the operating system refuses.
    fn make_directory(&self, directory: &Path) -> io::Result<()>;

    /// Claims a directory for this process by locking the file at `path`.
    ///
    /// # Errors
    /// When the operating system refuses.
    fn claim(&self, path: &Path) -> io::Result<Claim>;
}

/// The operating system's files.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemFiles;

#[derive(Debug)]
struct SystemFile(fs::File);

impl File for SystemFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match FileExt::read_at(&self.0, &mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(&self.0, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

impl Files for SystemFiles {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match access {
            Access::Read => {}
            Access::Write => _ = options.write(true),
            // The store holds secrets: its files are readable by their owner only.
            Access::Create => _ = options.write(true).create(true).truncate(true).mode(0o600),
        }
        Ok(Box::new(SystemFile(options.open(path)?)))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let names = fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.collect()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        fs::File::open(directory)?.sync_all()
    }

    fn make_directory(&self, directory: &Path) -> io::Result<()> {
        if directory.is_dir() {
            return Ok(());
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        match directory.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => self.sync_directory(parent),
            _ => Ok(()),
        }
    }

    fn claim(&self, path: &Path) -> io::Result<Claim> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0)?;
                writeln!(file, "{}", std::process::id())?;
                Ok(Claim::Held(Box::new(file)))
            }
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                file.rewind()?;
                let holder = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                Ok(Claim::Busy(holder))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Writes all of `bytes` at `offset`.
pub(super) fn write_all(file: &dyn File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(bytes, offset) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::WriteZero, "the file takes no more bytes")),
            Ok(count) => {
                bytes = &bytes[count..];
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads a whole file.
pub(super) fn read_all(file: &dyn File) -> io::Result<Vec<u8>> {
    let length = usize::try_from(file.length()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    let count = file.read_at(&mut bytes, 0)?;
    bytes.truncate(count);
    Ok(bytes)
}
