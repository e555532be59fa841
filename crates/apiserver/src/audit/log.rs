//! The file that the records go to, and its predecessors.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use parking_lot::Mutex;
use portolan_base::Timestamp;
use portolan_base::clock::earlier;
use tokio::sync::Notify;

mod predecessors;

use predecessors::Predecessor;

/// Where records go (`--audit-log-*`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFile {
    /// The file; `-` is the standard output.
    pub path: PathBuf,
    /// How large it may grow before the next one is begun; 0: without end.
    pub most_bytes: u64,
    /// How many predecessors are kept; 0: all.
    pub most_files: usize,
    /// How long predecessors are kept; nothing: for ever.
    pub longest: Option<Duration>,
    /// Whether predecessors are compressed.
    pub compress: bool,
}

/// Writes lines, each whole.
#[derive(Debug)]
pub(super) struct Log {
    settings: LogFile,
    open: Mutex<Open>,
    rotated: Notify,
}

#[derive(Debug)]
enum Open {
    Output,
    File { file: File, bytes: u64 },
}

impl Log {
    pub(super) fn open(settings: LogFile) -> io::Result<Self> {
        let open = if settings.path == Path::new("-") { Open::Output } else { begin(&settings.path)? };
        if matches!(open, Open::File { .. }) {
            // Nobody compresses yet.
            for left in predecessors::unfinished(&settings.path)? {
                remove(&left).unwrap_or_else(|error| tracing::warn!(%error, ?left, "cannot remove what is left"));
            }
        }
        let log = Self { settings, open: Mutex::new(open), rotated: Notify::new() };
        // What is left of the time before.
        log.rotated.notify_one();
        Ok(log)
    }

    /// Appends a line.
    pub(super) fn write(&self, line: &[u8], now: Timestamp) -> io::Result<()> {
        let mut open = self.open.lock();
        if let Open::File { bytes, .. } = &*open
            && self.settings.most_bytes > 0
            && *bytes > 0
            && bytes + line.len() as u64 > self.settings.most_bytes
        {
            fs::rename(&self.settings.path, Predecessor::new(&self.settings.path, now).plain())?;
            *open = begin(&self.settings.path)?;
            // What became of predecessors is no reason to lose a record.
            for error in self.sweep(now) {
                tracing::warn!(%error, "cannot remove an old audit log");
            }
            self.rotated.notify_one();
        }
        match &mut *open {
            Open::Output => io::stdout().lock().write_all(line),
            Open::File { file, bytes } => {
                file.write_all(line)?;
                *bytes += line.len() as u64;
                Ok(())
            }
        }
    }

    /// Waits until there may be something to compress.
    pub(super) async fn rotated(&self) {
        if !self.settings.compress || self.settings.path == Path::new("-") {
            return std::future::pending().await;
        }
        self.rotated.notified().await;
    }

    /// Compresses all predecessors; takes its time. Returns what failed: those that are swept away meanwhile did not.
    pub(super) fn compress(&self) -> Vec<io::Error> {
        let mut failures = Vec::new();
        for predecessor in self.predecessors(&mut failures) {
            let Err(error) = compress_one(&predecessor) else { continue };
            failures.extend(remove(&predecessor.unfinished()).err());
            failures.extend(Some(error).filter(|error| error.kind() != io::ErrorKind::NotFound));
        }
        failures
    }

    /// The newest first.
    fn predecessors(&self, failures: &mut Vec<io::Error>) -> Vec<Predecessor> {
        predecessors::all(&self.settings.path).unwrap_or_else(|error| {
            failures.push(error);
            Vec::new()
        })
    }

    /// Removes predecessors that are too old or too many; returns what failed.
    fn sweep(&self, now: Timestamp) -> Vec<io::Error> {
        let oldest = self.settings.longest.map(|age| predecessors::date(earlier(now, age)));
        let mut failures = Vec::new();
        for (index, predecessor) in self.predecessors(&mut failures).into_iter().enumerate() {
            let too_many = self.settings.most_files > 0 && index >= self.settings.most_files;
            if too_many || oldest.as_ref().is_some_and(|oldest| predecessor.date < *oldest) {
                failures.extend(remove(predecessor.plain()).err());
                failures.extend(remove(&predecessor.compressed()).err());
            }
        }
        failures
    }
}

fn compress_one(predecessor: &Predecessor) -> io::Result<()> {
    let mut plain = match File::open(predecessor.plain()) {
        // It is compressed already.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let part = predecessor.unfinished();
    let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&part)?;
    let mut encoder = GzEncoder::new(file, Compression::default());
    io::copy(&mut plain, &mut encoder)?;
    encoder.finish()?.sync_all()?;
    fs::rename(part, predecessor.compressed())?;
    remove(predecessor.plain())
}

/// Removes a file that somebody else may remove at the same time.
fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })
}

fn begin(path: &Path) -> io::Result<Open> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let bytes = file.metadata()?.len();
    Ok(Open::File { file, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_becomes_of_predecessors_loses_no_record() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.log");
        // It can neither be removed nor compressed.
        let stubborn = folder.path().join("audit-2026-01-01T00-00-00.000.log");
        fs::create_dir(&stubborn).expect("a folder");
        let settings = LogFile { path: path.clone(), most_bytes: 10, most_files: 1, longest: None, compress: true };
        let log = Log::open(settings).expect("opens");
        let mut now: Timestamp = "2026-01-02T03:04:05Z".parse().expect("a time");
        for record in [b"first 1\n", b"second2\n", b"third 3\n"] {
            log.write(record, now).expect("writes");
            now += Duration::from_secs(1);
        }
        assert_eq!(fs::read_to_string(&path).expect("reads"), "third 3\n");
        assert_eq!(log.compress().len(), 1, "tells of what it could not compress");
        let mut names: Vec<String> = fs::read_dir(folder.path())
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort_unstable();
        let expected = ["audit-2026-01-01T00-00-00.000.log", "audit-2026-01-02T03-04-07.000.log.gz", "audit.log"];
        assert_eq!(names, expected, "all others are compressed, nothing is left half done");
    }

    #[test]
    fn what_cannot_be_removed_keeps_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit");
        let old = |day: u8| folder.path().join(format!("audit-2026-01-{day:02}T00-00-00.000"));
        fs::create_dir(old(3)).expect("a folder");
        let left = folder.path().join("audit-2026-01-01T00-00-00.000.gz.part");
        for path in [&old(1), &old(2), &left] {
            fs::write(path, "").expect("writes");
        }
        let settings = LogFile { path: path.clone(), most_bytes: 10, most_files: 1, longest: None, compress: true };
        let log = Log::open(settings).expect("opens");
        assert!(!left.exists(), "a start removes what is half done");
        let now: Timestamp = "2026-01-04T00:00:00Z".parse().expect("a time");
        for record in [b"first 1\n", b"second2\n"] {
            log.write(record, now).expect("writes");
        }
        assert_eq!([1, 2, 3, 4].map(|day| old(day).exists()), [false, false, true, true]);
    }

    #[test]
    fn an_age_that_nothing_reaches_removes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.log");
        let longest = Some(Duration::from_secs(u64::from(u32::MAX) * 24 * 3600));
        let settings = LogFile { path, most_bytes: 10, most_files: 0, longest, compress: false };
        let log = Log::open(settings).expect("opens");
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().expect("a time");
        for second in 0..3 {
            log.write(b"1234567\n", now + Duration::from_secs(second)).expect("writes");
        }
        assert_eq!(folder.path().read_dir().expect("a folder").count(), 3);
    }

    #[test]
    fn a_full_file_is_put_aside_and_the_oldest_are_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("logs/audit.log");
        let settings = LogFile {
            path: path.clone(),
            most_bytes: 10,
            most_files: 2,
            longest: Some(Duration::from_secs(60)),
            compress: true,
        };
        let log = Log::open(settings.clone()).expect("opens");
        let mut now: Timestamp = "2026-01-02T03:04:05Z".parse().expect("a time");
        let count = || path.parent().expect("one").read_dir().expect("a folder").count();
        for _ in 0..5 {
            log.write(b"123456\n", now).expect("writes");
            now += Duration::from_secs(1);
        }
        assert_eq!(fs::read_to_string(&path).expect("reads"), "123456\n");
        assert_eq!(count(), 3, "the file and two before it");
        assert!(log.compress().is_empty());
        let names =
            || path.parent().expect("one").read_dir().expect("a folder").flatten().map(|entry| entry.file_name());
        let compressed = || names().filter(|name| name.to_string_lossy().ends_with(".log.gz")).count();
        assert_eq!((count(), compressed()), (3, 2));
        let text = names().find(|name| name.to_string_lossy().ends_with(".gz")).map(|name| path.with_file_name(name));
        let mut decoder = flate2::read::GzDecoder::new(File::open(text.expect("one")).expect("opens"));
        assert_eq!(io::read_to_string(&mut decoder).expect("decompresses"), "123456\n");
        drop(log);
        let log = Log::open(settings).expect("opens again");
        log.write(b"78\n", now + Duration::from_secs(120)).expect("writes");
        assert_eq!(fs::read_to_string(&path).expect("reads"), "123456\n78\n");
        log.write(b"9\n", now + Duration::from_secs(120)).expect("writes");
        assert_eq!(count(), 2, "those before are too old");
    }
}
