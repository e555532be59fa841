//! Examining a store's directory without changing it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::files::Files;
use super::open::{OpenError, load};

/// A place at which a store's files are not as they were written.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Damage {
    /// Name of the file in the store's directory.
    pub file: String,
    /// Where in the file.
    pub offset: u64,
    /// What is wrong there.
    pub problem: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} at byte {}: {}", self.file, self.offset, self.problem)
    }
}

/// What [`check`] found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Revision of the checkpoint that replay starts from, if there is one.
    pub checkpoint: Option<u64>,
    /// Segments of the log, oldest first.
    pub segments: Vec<String>,
    /// Group commits in the log.
    pub frames: u64,
    /// Transactions in the log.
    pub records: u64,
    /// Oldest revision that can be read or watched from.
    pub compacted: u64,
    /// Newest revision.
    pub revision: u64,
    /// Live keys.
    pub keys: usize,
    /// Leases.
    pub leases: usize,
    /// The remains of an unacknowledged write at the end of the log. Harmless: cut at the next start.
    pub torn_tail: Option<Damage>,
    /// Why the store refuses to start, if it does.
    pub damage: Option<Damage>,
}

/// Reads and verifies everything in a store's directory; changes nothing.
///
/// # Errors
/// When the files cannot be read at all, or a running process holds the store.
pub fn check(files: Arc<dyn Files>, directory: &Path) -> Result<Report, OpenError> {
    let _claim = super::open::claim(files.as_ref(), directory)?;
    let mut report = Report {
        checkpoint: None,
        segments: Vec::new(),
        frames: 0,
        records: 0,
        compacted: 0,
        revision: 0,
        keys: 0,
        leases: 0,
        torn_tail: None,
        damage: None,
    };
    let names = files.list(directory).map_err(OpenError::io("list", directory))?;
    let mut numbers: Vec<_> = names.iter().filter_map(|name| super::segment::number_of(name)).collect();
    numbers.sort_unstable();
    report.segments = numbers.into_iter().map(super::segment::name).collect();
    match load(files, directory, 0) {
        Ok(loaded) => {
            report.checkpoint = (loaded.checkpoint.bytes > 0).then_some(loaded.checkpoint.revision.0);
            report.frames = loaded.tail.frames;
            report.records = loaded.records;
            report.compacted = loaded.index.compacted.0;
            report.revision = loaded.revision.0;
            report.keys = loaded.index.live();
            report.leases = loaded.leases.all().len();
            report.torn_tail = loaded.tail.torn.map(|torn| Damage {
                file: super::segment::name(torn.number),
                offset: torn.offset,
                problem: torn.problem.into(),
            });
        }
        Err(OpenError::Damaged { damage, .. }) => report.damage = Some(damage),
        Err(error) => return Err(error),
    }
    Ok(report)
}
