//! Checkpoints: everything that was live at one revision, sorted, in one immutable file.
//!
//! The same format serves as the log's starting point and as a snapshot to restore from.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::check::Damage;
use super::files::{Access, File, Files, read_all, write_all};
use super::index::pack;
use super::record::{Reader, read_u32, read_u64};
use crate::{Entry, LeaseId, Revision};

const MAGIC: &[u8; 8] = b"PTLNCKP1";
const HEADER: usize = 40;
const BLOCK_HEADER: usize = 8;
/// A block is written once it holds this much.
const BLOCK_BYTES: usize = 1 << 20;
const TAG_ENTRIES: u8 = 1;
const TAG_LEASES: u8 = 2;
const TAG_END: u8 = 3;

/// What a checkpoint says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) store: u64,
    pub(super) revision: Revision,
    /// The oldest segment that replay needs.
    pub(super) log_from: u64,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0..8].copy_from_slice(MAGIC);
        bytes[8..16].copy_from_slice(&self.store.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.revision.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.log_from.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..32]);
        bytes[32..36].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let header = bytes.get(..HEADER).ok_or("the checkpoint is shorter than its header")?;
        if header[..7] != MAGIC[..7] {
            return Err("this is not a checkpoint");
        }
        if header[7] != MAGIC[7] {
            return Err("the checkpoint was written by a later version of the program");
        }
        if crc32c::crc32c(&header[..32]) != read_u32(header, 32) {
            return Err("the checkpoint's header does not match its checksum");
        }
        let (store, revision, log_from) = (read_u64(header, 8), read_u64(header, 16), read_u64(header, 24));
        Ok(Self { store, revision: Revision(revision), log_from })
    }
}

/// The name of a checkpoint's file.
pub(super) fn name(revision: Revision) -> String {
    format!("checkpoint-{:016x}.snapshot", revision.0)
}

/// The revision in a checkpoint's file name.
pub(super) fn revision_of(name: &str) -> Option<Revision> {
    let digits = name.strip_prefix("checkpoint-")?.strip_suffix(".snapshot")?;
    u64::from_str_radix(digits, 16).ok().map(Revision)
}

/// Writes a checkpoint piece by piece, so that it never stands in memory as a whole.
#[derive(Debug)]
pub(super) struct Writer {
    file: Box<dyn File>,
    offset: u64,
    block: Vec<u8>,
    entries: u64,
}

impl Writer {
    pub(super) fn create(files: &dyn Files, path: &Path, header: Header) -> io::Result<Self> {
        let file = files.open(path, Access::Create)?;
        write_all(file.as_ref(), &header.encode(), 0)?;
        let mut writer =
            Self { file, offset: HEADER as u64, block: Vec::with_capacity(BLOCK_BYTES + (64 << 10)), entries: 0 };
        writer.start(TAG_ENTRIES);
        Ok(writer)
    }

    fn start(&mut self, tag: u8) {
        self.block.clear();
        self.block.resize(BLOCK_HEADER, 0);
        self.block.push(tag);
    }

    fn flush(&mut self) -> io::Result<()> {
        let payload = &self.block[BLOCK_HEADER..];
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
        let crc = crc32c::crc32c(payload);
        self.block[0..4].copy_from_slice(&length.to_le_bytes());
        self.block[4..8].copy_from_slice(&crc.to_le_bytes());
        write_all(self.file.as_ref(), &self.block, self.offset)?;
        self.offset += self.block.len() as u64;
        Ok(())
    }

    pub(super) fn push(&mut self, entry: &Entry) -> io::Result<()> {
        for length in [entry.key.len(), entry.value.len()] {
            self.block.extend_from_slice(&u32::try_from(length).map_err(io::Error::other)?.to_le_bytes());
        }
        let lease = entry.lease.map_or(0, |id| id.0);
        for number in [entry.create_revision.0, entry.mod_revision.0, entry.version, lease] {
            self.block.extend_from_slice(&number.to_le_bytes());
        }
        self.block.extend_from_slice(&entry.key);
        self.block.extend_from_slice(&entry.value);
        self.entries += 1;
        if self.block.len() >= BLOCK_BYTES {
            self.flush()?;
            self.start(TAG_ENTRIES);
        }
        Ok(())
    }

    /// Writes leases and the end, and makes the file durable. Returns its size.
    pub(super) fn finish(mut self, leases: &[(u64, u64)]) -> io::Result<u64> {
        self.flush()?;
        // Chunked for the same reason as entries: a block stays small.
        for leases in leases.chunks(BLOCK_BYTES / 16) {
            self.start(TAG_LEASES);
            for number in leases.iter().flat_map(|&(id, ttl_ms)| [id, ttl_ms]) {
                self.block.extend_from_slice(&number.to_le_bytes());
            }
            self.flush()?;
        }
        self.start(TAG_END);
        for number in [self.entries, leases.len() as u64] {
            self.block.extend_from_slice(&number.to_le_bytes());
        }
        self.flush()?;
        self.file.sync()?;
        Ok(self.offset)
    }
}

/// One thing that a checkpoint holds.
#[derive(Debug)]
pub(super) enum Item {
    Entry(Arc<Entry>),
    Lease { id: u64, ttl_ms: u64 },
}

/// Why a checkpoint could not be read.
#[derive(Debug)]
pub(super) enum ReadError {
    Io(io::Error),
    Damaged(Damage),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads only what a checkpoint says about itself.
pub(super) fn read_header(file: &dyn File, name: &str) -> Result<Header, ReadError> {
    let mut bytes = [0; HEADER];
    let count = file.read_at(&mut bytes, 0)?;
    Header::decode(&bytes[..count])
        .map_err(|problem| ReadError::Damaged(Damage { file: name.into(), offset: 0, problem: problem.into() }))
}

/// Reads and verifies a whole checkpoint; what it holds goes to `visit`, keys in order.
pub(super) fn read(file: &dyn File, name: &str, mut visit: impl FnMut(Item)) -> Result<Header, ReadError> {
    let header = read_header(file, name)?;
    let damaged =
        |offset: u64, problem: &str| ReadError::Damaged(Damage { file: name.into(), offset, problem: problem.into() });
    let length = file.length()?;
    let mut offset = HEADER as u64;
    let (mut entries, mut leases) = (0, 0);
    let mut payload = Vec::new();
    loop {
        let mut block = [0; BLOCK_HEADER];
        if file.read_at(&mut block, offset)? < BLOCK_HEADER {
            return Err(damaged(offset, "the checkpoint ends before its end mark"));
        }
        let size = read_u32(&block, 0);
        if u64::from(size) > length - offset {
            return Err(damaged(offset, "a block reaches beyond the end of the file"));
        }
        payload.resize(size as usize, 0);
        let count = file.read_at(&mut payload, offset + BLOCK_HEADER as u64)?;
        if count < payload.len() || crc32c::crc32c(&payload) != read_u32(&block, 4) {
            return Err(damaged(offset, "a block does not match its checksum"));
        }
        let malformed = || damaged(offset, "a block is malformed although its checksum holds");
        let mut reader = Reader { bytes: &payload };
        match reader.take(1).ok_or_else(malformed)?[0] {
            TAG_ENTRIES => {
                while !reader.bytes.is_empty() {
                    visit(Item::Entry(read_entry(&mut reader).ok_or_else(malformed)?));
                    entries += 1;
                }
            }
            TAG_LEASES => {
                while !reader.bytes.is_empty() {
                    let id = reader.number().ok_or_else(malformed)?;
                    visit(Item::Lease { id, ttl_ms: reader.number().ok_or_else(malformed)? });
                    leases += 1;
                }
            }
            TAG_END => {
                let counted = (reader.number(), reader.number());
                if counted != (Some(entries), Some(leases)) {
                    return Err(damaged(offset, "the number of entries is not what the end mark says"));
                }
                return Ok(header);
            }
            _ => return Err(malformed()),
        }
        offset += BLOCK_HEADER as u64 + u64::from(size);
    }
}

fn read_entry(reader: &mut Reader<'_>) -> Option<Arc<Entry>> {
    let (key, value) = (reader.length()?, reader.length()?);
    let (create, modified) = (reader.number()?, reader.number()?);
    let (version, lease) = (reader.number()?, reader.number()?);
    let (key, value) = pack(reader.take(key)?, reader.take(value)?);
    Some(Arc::new(Entry {
        key,
        value,
        create_revision: Revision(create),
        mod_revision: Revision(modified),
        version,
        lease: (lease != 0).then_some(LeaseId(lease)),
    }))
}

/// Copies a checkpoint, after verifying it, as the starting point of another store.
pub(super) fn copy(
    files: &dyn Files,
    (from, name): (&dyn File, &str),
    to: &Path,
    header: impl FnOnce(Header) -> Header,
) -> Result<Header, ReadError> {
    let header = header(read(from, name, |_| {})?);
    let mut bytes = read_all(from)?;
    bytes[..HEADER].copy_from_slice(&header.encode());
    let file = files.open(to, Access::Create)?;
    write_all(file.as_ref(), &bytes, 0)?;
    file.sync()?;
    Ok(header)
}
