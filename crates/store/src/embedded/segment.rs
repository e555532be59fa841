//! Segments: the files that the log consists of.
//!
//! A segment is filled with zeros and made durable before it gets its name, so that a group commit
//! only overwrites blocks that the file system knows already: one flush, no journal commit.

use std::io;
use std::path::{Path, PathBuf};

use super::files::{Access, File, Files, write_all};
use super::record::{read_u32, read_u64};

/// Where the first frame begins.
pub(super) const SEGMENT_HEADER: usize = 64;
const SEGMENT_MAGIC: &[u8; 8] = b"PTLNLOG1";
const PREFIX: &str = "log-";
const SUFFIX: &str = ".segment";
/// Zeros are written in pieces of this size.
const FILL: usize = 1 << 20;

/// What identifies a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) store: u64,
    pub(super) number: u64,
    pub(super) size: u64,
}

impl Header {
    fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut bytes = [0; SEGMENT_HEADER];
        bytes[0..8].copy_from_slice(SEGMENT_MAGIC);
        bytes[8..16].copy_from_slice(&self.store.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.size.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..32]);
        bytes[32..36].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let header = bytes.get(..SEGMENT_HEADER).ok_or("the segment is shorter than its header")?;
        if header[..7] != SEGMENT_MAGIC[..7] {
            return Err("this is not a log segment");
        }
        if header[7] != SEGMENT_MAGIC[7] {
            return Err("the segment was written by a later version of the program");
        }
        if crc32c::crc32c(&header[..32]) != read_u32(header, 32) {
            return Err("the segment's header does not match its checksum");
        }
        Ok(Self { store: read_u64(header, 8), number: read_u64(header, 16), size: read_u64(header, 24) })
    }

    /// Goes into every checksum, so that a frame is valid only in the segment it was written to.
    pub(super) fn salt(&self) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c(&self.store.to_le_bytes()), &self.number.to_le_bytes())
    }
}

/// The name of a segment's file.
pub(super) fn name(number: u64) -> String {
    format!("{PREFIX}{number:016x}{SUFFIX}")
}

/// The number in a segment's file name.
pub(super) fn number_of(name: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?, 16).ok()
}

/// A segment that can be written to.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) file: Box<dyn File>,
    pub(super) header: Header,
}

/// Makes an empty durable segment.
pub(super) fn create(files: &dyn Files, directory: &Path, header: Header) -> io::Result<Segment> {
    let path = path(directory, header.number);
    let temporary = path.with_extension("tmp");
    let file = files.open(&temporary, Access::Create)?;
    let zeros = vec![0; FILL];
    let mut offset = SEGMENT_HEADER as u64;
    while offset < header.size {
        let count = (header.size - offset).min(FILL as u64);
        write_all(file.as_ref(), &zeros[..usize::try_from(count).expect("at most a piece")], offset)?;
        offset += count;
    }
    write_all(file.as_ref(), &header.encode(), 0)?;
    file.sync()?;
    files.rename(&temporary, &path)?;
    files.sync_directory(directory)?;
    Ok(Segment { file, header })
}

pub(super) fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(name(number))
}
