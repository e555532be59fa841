//! Frames and records: how a group of transactions becomes bytes, and back.
//!
//! A frame is what one group commit writes: a header with its own checksum, then one record per
//! transaction under a second checksum. A frame is written only after the one before it is
//! durable, so a valid frame behind a damaged one proves that the damage is not a torn write.

use std::ops::Range;

/// Bytes of a frame's header.
pub(super) const FRAME_HEADER: usize = 32;
/// Frames begin at multiples of this.
pub(super) const FRAME_ALIGNMENT: usize = 8;
const FRAME_MAGIC: u32 = u32::from_le_bytes(*b"PFRM");

const TAG_PUT: u8 = 1;
const TAG_DELETE: u8 = 2;
const TAG_LEASE_GRANTED: u8 = 3;
const TAG_LEASE_ENDED: u8 = 4;
const TAG_COMPACTED: u8 = 5;

/// One step of a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    Put { key: &'a [u8], value: &'a [u8], lease: u64 },
    Delete { key: &'a [u8] },
    LeaseGranted { id: u64, ttl_ms: u64 },
    LeaseEnded { id: u64 },
    Compacted { revision: u64 },
}

/// A frame in the making.
#[derive(Debug)]
pub(super) struct Group {
    bytes: Vec<u8>,
    record: usize,
    steps: u32,
    last_revision: u64,
}

impl Group {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; FRAME_HEADER], record: FRAME_HEADER, steps: 0, last_revision: 0 }
    }

    /// Empties the group, keeping its buffer unless that has become large.
    pub(super) fn clear(&mut self) {
        if self.bytes.capacity() > 1 << 20 {
            self.bytes = vec![0; FRAME_HEADER];
        } else {
            self.bytes.clear();
            self.bytes.resize(FRAME_HEADER, 0);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.len() == FRAME_HEADER
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Starts a record; steps follow, then [`Group::finish`].
    pub(super) fn begin(&mut self) {
        self.record = self.bytes.len();
        self.steps = 0;
        self.bytes.extend_from_slice(&[0; 12]);
    }

    /// Ends the record. Without steps nothing remains of it.
    pub(super) fn finish(&mut self, revision: u64) {
        if self.steps == 0 {
            self.bytes.truncate(self.record);
            return;
        }
        self.last_revision = revision;
        self.bytes[self.record..self.record + 8].copy_from_slice(&revision.to_le_bytes());
        self.bytes[self.record + 8..self.record + 12].copy_from_slice(&self.steps.to_le_bytes());
    }

    pub(super) fn push(&mut self, step: &Step<'_>) {
        self.steps += 1;
        match *step {
            Step::Put { key, value, lease } => {
                self.bytes.push(TAG_PUT);
                self.length(key.len());
                self.length(value.len());
                self.number(lease);
                self.bytes.extend_from_slice(key);
                self.bytes.extend_from_slice(value);
            }
            Step::Delete { key } => {
                self.bytes.push(TAG_DELETE);
                self.length(key.len());
                self.bytes.extend_from_slice(key);
            }
            Step::LeaseGranted { id, ttl_ms } => {
                self.bytes.push(TAG_LEASE_GRANTED);
                self.number(id);
                self.number(ttl_ms);
            }
            Step::LeaseEnded { id } => {
                self.bytes.push(TAG_LEASE_ENDED);
                self.number(id);
            }
            Step::Compacted { revision } => {
                self.bytes.push(TAG_COMPACTED);
                self.number(revision);
            }
        }
    }

    fn length(&mut self, length: usize) {
        let length = u32::try_from(length).expect("keys and values are limited before they get here");
        self.bytes.extend_from_slice(&length.to_le_bytes());
    }

    fn number(&mut self, number: u64) {
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }

    /// Fills in the header and returns the whole frame, padded to the alignment.
    pub(super) fn seal(&mut self, salt: u32, sequence: u64) -> &[u8] {
        let payload = self.bytes.len() - FRAME_HEADER;
        let payload_crc = crc32c::crc32c_append(salt, &self.bytes[FRAME_HEADER..]);
        let header = &mut self.bytes[..FRAME_HEADER];
        header[0..4].copy_from_slice(&FRAME_MAGIC.to_le_bytes());
        let length = u32::try_from(payload).expect("a group is limited to a few mebibytes");
        header[4..8].copy_from_slice(&length.to_le_bytes());
        header[8..16].copy_from_slice(&sequence.to_le_bytes());
        header[16..24].copy_from_slice(&self.last_revision.to_le_bytes());
        header[24..28].copy_from_slice(&payload_crc.to_le_bytes());
        let header_crc = crc32c::crc32c_append(salt, &header[..28]);
        header[28..32].copy_from_slice(&header_crc.to_le_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(FRAME_ALIGNMENT), 0);
        &self.bytes
    }
}

/// What stands at a place in a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Frame {
        sequence: u64,
        last_revision: u64,
        payload: Range<usize>,
        next: usize,
    },
    /// Nothing was ever written here: an empty header, or no room for one.
    End,
    /// A frame that cannot be believed; a search for later ones may start at `resume`.
    Damaged {
        problem: &'static str,
        resume: usize,
    },
}

/// Looks for a frame at `offset`.
pub(super) fn frame_at(bytes: &[u8], offset: usize, salt: u32) -> Found {
    let Some(header) = bytes.get(offset..offset + FRAME_HEADER) else { return Found::End };
    if header.iter().all(|&byte| byte == 0) {
        return Found::End;
    }
    let resume = offset + FRAME_ALIGNMENT;
    if read_u32(header, 0) != FRAME_MAGIC {
        return Found::Damaged { problem: "no frame begins here, but the place is not empty", resume };
    }
    if crc32c::crc32c_append(salt, &header[..28]) != read_u32(header, 28) {
        return Found::Damaged { problem: "the frame's header does not match its checksum", resume };
    }
    let start = offset + FRAME_HEADER;
    let end = start + read_u32(header, 4) as usize;
    let next = end.next_multiple_of(FRAME_ALIGNMENT);
    let Some(payload) = bytes.get(start..end) else {
        return Found::Damaged { problem: "the frame reaches beyond the end of the file", resume: bytes.len() };
    };
    if crc32c::crc32c_append(salt, payload) != read_u32(header, 24) {
        return Found::Damaged { problem: "the frame's content does not match its checksum", resume: next };
    }
    let (sequence, last_revision) = (read_u64(header, 8), read_u64(header, 16));
    Found::Frame { sequence, last_revision, payload: start..end, next }
}

/// The first valid frame at or behind `from`.
pub(super) fn next_valid_frame(bytes: &[u8], from: usize, salt: u32) -> Option<usize> {
    let magic = FRAME_MAGIC.to_le_bytes();
    (from.next_multiple_of(FRAME_ALIGNMENT)..bytes.len().saturating_sub(FRAME_HEADER - 1))
        .step_by(FRAME_ALIGNMENT)
        .find(|&offset| {
            bytes[offset..offset + 4] == magic && matches!(frame_at(bytes, offset, salt), Found::Frame { .. })
        })
}

/// Calls `visit` for each record of a frame's payload: its revision and its steps.
pub(super) fn decode<E: From<&'static str>>(
    payload: &[u8],
    mut visit: impl FnMut(u64, &[Step<'_>]) -> Result<(), E>,
) -> Result<(), E> {
    const SHORT: &str = "a record ends too early although its checksum holds";
    let mut reader = Reader { bytes: payload };
    let mut steps = Vec::new();
    while !reader.bytes.is_empty() {
        let revision = reader.number().ok_or(SHORT)?;
        let count = reader.length().ok_or(SHORT)?;
        steps.clear();
        for _ in 0..count {
            steps.push(reader.step().ok_or(SHORT)?.ok_or("a record holds a step of an unknown kind")?);
        }
        visit(revision, &steps)?;
    }
    Ok(())
}

/// Takes numbers and byte strings off the front of a slice.
pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(taken)
    }

    pub(super) fn length(&mut self) -> Option<usize> {
        Some(read_u32(self.take(4)?, 0) as usize)
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        Some(read_u64(self.take(8)?, 0))
    }

    /// `None`: too short. `Some(None)`: unknown kind.
    fn step(&mut self) -> Option<Option<Step<'a>>> {
        Some(Some(match self.take(1)?[0] {
            TAG_PUT => {
                let (key, value, lease) = (self.length()?, self.length()?, self.number()?);
                Step::Put { key: self.take(key)?, value: self.take(value)?, lease }
            }
            TAG_DELETE => {
                let key = self.length()?;
                Step::Delete { key: self.take(key)? }
            }
            TAG_LEASE_GRANTED => Step::LeaseGranted { id: self.number()?, ttl_ms: self.number()? },
            TAG_LEASE_ENDED => Step::LeaseEnded { id: self.number()? },
            TAG_COMPACTED => Step::Compacted { revision: self.number()? },
            _ => return Some(None),
        }))
    }
}

pub(super) fn read_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes were taken"))
}

pub(super) fn read_u64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes were taken"))
}
