//! The log of a server in the background: a file that does not grow for ever.
//!
//! `portolan up` starts the server with its standard error connected to the log. The server notices that and
//! takes care of the file: before a line would make it too long, the file is set aside, and a new one takes
//! its name and the place of standard error. What others write there (a panic, a child) follows.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Longest file.
const MAX_BYTES: u64 = 10 << 20;
/// Files kept, the current one included.
const MAX_FILES: u32 = 3;

/// Puts a new file in the place of the one before.
type Redirect = fn(&File) -> io::Result<()>;

/// A log in several files: `NAME`, `NAME.1` before it, and so on.
pub(crate) struct LogFile {
    path: PathBuf,
    file: File,
    max_bytes: u64,
    max_files: u32,
    redirect: Redirect,
    /// Whether the last line written is whole.
    at_line_start: bool,
    /// After a failure, the size at which the next file is tried again.
    patience: u64,
}

impl LogFile {
    /// The log at `path`, if it is this process's standard error.
    pub(crate) fn of_standard_error(path: &Path) -> Option<Self> {
        let file = OpenOptions::new().append(true).open(path).ok()?;
        let connected = nix::sys::stat::fstat(io::stderr()).ok()?;
        let same = (connected.st_dev, connected.st_ino) == identity(&file.metadata().ok()?);
        let redirect: Redirect = |file| nix::unistd::dup2_stderr(file).map_err(io::Error::from);
        let path = path.to_owned();
        same.then_some(Self::new(path, file, redirect))
    }

    fn new(path: PathBuf, file: File, redirect: Redirect) -> Self {
        let (max_bytes, max_files) = (MAX_BYTES, MAX_FILES);
        Self { path, file, max_bytes, max_files, redirect, at_line_start: true, patience: 0 }
    }

    fn aside(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }

    /// Sets the file aside and begins a new one. On failure everything goes on in the old one.
    fn rotate(&mut self) -> io::Result<()> {
        let named = std::fs::metadata(&self.path);
        if named.is_ok_and(|named| self.file.metadata().is_ok_and(|own| identity(&own) != identity(&named))) {
            // Another process with the same log was faster.
            let file = OpenOptions::new().append(true).open(&self.path)?;
            (self.redirect)(&file)?;
            self.file = file;
            return Ok(());
        }
        for number in (1..self.max_files.saturating_sub(1)).rev() {
            match std::fs::rename(self.aside(number), self.aside(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let aside = self.aside(1);
        std::fs::rename(&self.path, &aside)?;
        let begun = OpenOptions::new().create(true).append(true).open(&self.path);
        match begun.and_then(|file| (self.redirect)(&file).map(|()| file)) {
            Ok(file) => {
                self.file = file;
                Ok(())
            }
            Err(error) => std::fs::rename(&aside, &self.path).and(Err(error)),
        }
    }
}

/// What tells two files apart, whatever they are called.
fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

impl Write for LogFile {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        // Others write to the file too, so its real size counts.
        let size = self.file.metadata().map_or(0, |metadata| metadata.len());
        let full = size.saturating_add(u64::try_from(text.len()).unwrap_or(u64::MAX)) > self.max_bytes;
        if full && self.at_line_start && size > self.patience {
            match self.rotate() {
                Ok(()) => self.patience = 0,
                Err(error) => {
                    // Said where the lines go.
                    let _ = writeln!(self.file, "the log cannot be set aside: {error}");
                    self.patience = size.saturating_add(self.max_bytes);
                }
            }
        }
        self.file.write_all(text)?;
        self.at_line_start = text.last() == Some(&b'\n');
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(folder: &Path, max_bytes: u64, max_files: u32) -> LogFile {
        let path = folder.join("portolan.log");
        let file = OpenOptions::new().create(true).append(true).open(&path).expect("a file");
        LogFile { max_bytes, max_files, ..LogFile::new(path, file, |_| Ok(())) }
    }

    /// All lines, oldest first.
    fn lines(folder: &Path) -> Vec<String> {
        let mut names: Vec<PathBuf> =
            folder.read_dir().expect("a folder").map(|it| it.expect("an entry").path()).collect();
        names.sort();
        let texts = names.iter().rev().map(|path| std::fs::read_to_string(path).expect("readable"));
        texts.collect::<String>().lines().map(str::to_owned).collect()
    }

    #[test]
    fn no_line_is_lost_or_cut_and_only_the_oldest_file_goes() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let expected: Vec<String> = (0..30).map(|number| format!("line {number:03}")).collect();
        let mut log = log(folder.path(), 99, 9);
        for line in &expected {
            log.write_all(format!("{line}\n").as_bytes()).expect("written");
        }
        assert_eq!(lines(folder.path()), expected);
        log.max_files = 3;
        log.write_all(b"line 030\n").expect("written");
        let kept = lines(folder.path());
        assert_eq!(kept.last().map(String::as_str), Some("line 030"));
        for entry in folder.path().read_dir().expect("a folder") {
            let length = entry.expect("an entry").metadata().expect("metadata").len();
            assert!(length <= 99, "{length} bytes");
        }
    }

    #[test]
    fn at_most_three_files_are_kept() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let mut log = log(folder.path(), 18, 3);
        for number in 0..20 {
            log.write_all(format!("line {number:03}\n").as_bytes()).expect("written");
        }
        assert_eq!(lines(folder.path()), (14..20).map(|number| format!("line {number:03}")).collect::<Vec<_>>());
        // Longer than a whole file: it gets one of its own.
        writeln!(log, "a line that is longer than the limit").expect("written");
        assert_eq!(lines(folder.path()).last().map(String::as_str), Some("a line that is longer than the limit"));
    }

    #[test]
    fn a_file_that_cannot_be_replaced_goes_on() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let mut log = log(folder.path(), 18, 3);
        log.redirect = |_| Err(io::Error::other("no"));
        for number in 0..3 {
            log.write_all(format!("line {number:03}\n").as_bytes()).expect("written");
        }
        // Said once, not with every line.
        assert_eq!(lines(folder.path()), ["line 000", "line 001", "the log cannot be set aside: no", "line 002"]);
    }

    #[test]
    fn two_writers_follow_each_other_to_the_new_file() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let (mut first, mut second) = (log(folder.path(), 18, 9), log(folder.path(), 18, 9));
        for (number, log) in [(0, true), (1, false), (2, true), (3, false), (4, false), (5, true)] {
            let log = if log { &mut first } else { &mut second };
            log.write_all(format!("line {number:03}\n").as_bytes()).expect("written");
        }
        assert_eq!(lines(folder.path()), (0..6).map(|number| format!("line {number:03}")).collect::<Vec<_>>());
    }

    #[test]
    fn a_line_in_parts_stays_whole() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let mut log = log(folder.path(), 18, 3);
        for part in ["line 000\n", "line", " 001 is long", " and ends\n", "line 002\n"] {
            log.write_all(part.as_bytes()).expect("written");
        }
        assert_eq!(lines(folder.path()), ["line 000", "line 001 is long and ends", "line 002"]);
    }
}
