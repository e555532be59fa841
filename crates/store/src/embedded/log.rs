//! The log: appending frames to segments, and reading them all back.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::check::Damage;
use super::files::{Access, Files, read_all, write_all};
use super::record::{FRAME_HEADER, Found, Group, frame_at, next_valid_frame};
use super::segment::{self, Header, SEGMENT_HEADER, Segment};

/// A segment that is no longer written to.
#[derive(Debug, Clone)]
pub(super) struct Sealed {
    pub(super) number: u64,
    pub(super) bytes: u64,
    pub(super) last_revision: u64,
}

/// What the committer and the keeper share about segments.
#[derive(Debug)]
pub(super) struct Segments {
    pub(super) files: Arc<dyn Files>,
    pub(super) directory: PathBuf,
    pub(super) store: u64,
    pub(super) segment_bytes: u64,
    /// Oldest first.
    pub(super) sealed: Mutex<Vec<Sealed>>,
    /// The next segment, made ahead of time. Held locked while it is being made.
    pub(super) spare: Mutex<Option<Segment>>,
    /// The number of the segment that is written to. Changes only while `spare` is locked.
    pub(super) active: AtomicU64,
}

impl Segments {
    /// Makes the segment `number` ahead of time unless that has been done.
    pub(super) fn prepare(&self, number: u64) -> io::Result<()> {
        let mut spare = self.spare.lock();
        // The committer may have gone on to a later segment while this waited for its turn.
        if spare.is_none() && number == self.active.load(Ordering::Acquire) + 1 {
            *spare = Some(self.create(number, self.segment_bytes)?);
        }
        Ok(())
    }

    fn create(&self, number: u64, size: u64) -> io::Result<Segment> {
        segment::create(self.files.as_ref(), &self.directory, Header { store: self.store, number, size })
    }
}

/// The writing end of the log.
#[derive(Debug)]
pub(super) struct Log {
    segments: Arc<Segments>,
    active: Segment,
    offset: u64,
    sequence: u64,
    last_revision: u64,
}

impl Log {
    /// Goes on behind `tail`.
    pub(super) fn resume(segments: Arc<Segments>, tail: Tail) -> io::Result<Self> {
        let Tail { active, offset, sequence, last_revision, .. } = tail;
        let active = match active {
            Some(active) => active,
            None => segments.create(1, segments.segment_bytes)?,
        };
        segments.active.store(active.header.number, Ordering::Release);
        Ok(Self { segments, active, offset, sequence, last_revision })
    }

    /// Appends a group and makes it durable.
    ///
    /// After an error nothing may be appended any more: what the file holds is unknown.
    pub(super) fn append(&mut self, group: &mut Group, last_revision: u64) -> io::Result<()> {
        let size = (group.len() + FRAME_HEADER) as u64;
        if self.offset + size > self.active.header.size {
            self.rotate(size)?;
        }
        self.sequence += 1;
        let frame = group.seal(self.active.header.salt(), self.sequence);
        write_all(self.active.file.as_ref(), frame, self.offset)?;
        self.active.file.sync()?;
        self.offset += frame.len() as u64;
        self.last_revision = last_revision;
        Ok(())
    }

    fn rotate(&mut self, at_least: u64) -> io::Result<()> {
        let needed = at_least + SEGMENT_HEADER as u64;
        let number = self.active.header.number + 1;
        let mut spare = self.segments.spare.lock();
        let next = match spare.take() {
            Some(spare) if spare.header.size >= needed => spare,
            // None ready, or a group that is larger than a segment: replaces the spare one.
            _ => self.segments.create(number, self.segments.segment_bytes.max(needed))?,
        };
        let full = std::mem::replace(&mut self.active, next);
        self.segments.active.store(number, Ordering::Release);
        self.offset = SEGMENT_HEADER as u64;
        let sealed = Sealed { number: number - 1, bytes: full.header.size, last_revision: self.last_revision };
        self.segments.sealed.lock().push(sealed);
        Ok(())
    }

    /// The number of the segment that should be prepared now, if the active one is half full.
    pub(super) fn wants_spare(&self) -> Option<u64> {
        (self.offset > self.active.header.size / 2).then_some(self.active.header.number + 1)
    }

    pub(super) fn active_bytes(&self) -> u64 {
        self.active.header.size
    }
}

/// Where the log ends.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) sealed: Vec<Sealed>,
    active: Option<Segment>,
    offset: u64,
    sequence: u64,
    last_revision: u64,
    /// The torn write that the log ends with, if it does.
    pub(super) torn: Option<Torn>,
    pub(super) frames: u64,
}

/// The remains of a write that was never acknowledged.
#[derive(Debug, Clone)]
pub(super) struct Torn {
    pub(super) number: u64,
    pub(super) offset: u64,
    pub(super) problem: &'static str,
}

/// Why the log could not be read.
#[derive(Debug)]
pub(super) enum ReadError {
    Io { operation: &'static str, path: PathBuf, source: io::Error },
    Damaged(Damage),
}

/// Reads the log and gives every frame's payload to `visit`, which may find it wanting.
///
/// `first` is the oldest segment that must be there. Changes nothing on disk.
pub(super) fn read(
    segments: &Segments,
    mut numbers: Vec<u64>,
    first: u64,
    mut visit: impl FnMut(&[u8]) -> Result<(), &'static str>,
) -> Result<Tail, ReadError> {
    numbers.retain(|&number| number >= first);
    numbers.sort_unstable();
    let mut tail = Tail {
        sealed: Vec::new(),
        active: None,
        offset: SEGMENT_HEADER as u64,
        sequence: 0,
        last_revision: 0,
        torn: None,
        frames: 0,
    };
    for (expected, number) in (first..).zip(numbers) {
        if number != expected {
            let problem = format!("the segment is missing, but {} is there", segment::name(number));
            return Err(ReadError::Damaged(Damage { file: segment::name(expected), offset: 0, problem }));
        }
        read_segment(segments, number, &mut tail, &mut visit)?;
    }
    // An empty segment made ahead of time goes on as the spare, or becomes the active one; either
    // way writing continues where the last frame ended.
    Ok(tail)
}

fn read_segment(
    segments: &Segments,
    number: u64,
    tail: &mut Tail,
    visit: &mut impl FnMut(&[u8]) -> Result<(), &'static str>,
) -> Result<(), ReadError> {
    let path = segment::path(&segments.directory, number);
    let failed = |operation| {
        let path = path.clone();
        move |source| ReadError::Io { operation, path, source }
    };
    let damaged = |offset: usize, problem: String| {
        ReadError::Damaged(Damage { file: segment::name(number), offset: offset as u64, problem })
    };
    let file = segments.files.open(&path, Access::Read).map_err(failed("open"))?;
    let bytes = read_all(file.as_ref()).map_err(failed("read"))?;
    let header = Header::decode(&bytes).map_err(|problem| damaged(0, problem.into()))?;
    if header.store != segments.store || header.number != number {
        return Err(damaged(0, "the segment belongs to another store or another place".into()));
    }
    if (bytes.len() as u64) < header.size {
        return Err(damaged(
            bytes.len(),
            format!("the segment was made with {} bytes and is now shorter", header.size),
        ));
    }
    let mut offset = SEGMENT_HEADER;
    let mut frames = 0;
    let revision_before = tail.last_revision;
    loop {
        match frame_at(&bytes, offset, header.salt()) {
            Found::Frame { sequence, last_revision, payload, next } => {
                if let Some(torn) = &tail.torn {
                    let problem = format!("{}; valid frames follow in {}", torn.problem, segment::name(number));
                    let file = segment::name(torn.number);
                    return Err(ReadError::Damaged(Damage { file, offset: torn.offset, problem }));
                }
                if tail.sequence != 0 && sequence != tail.sequence + 1 {
                    return Err(damaged(offset, format!("frame {sequence} follows frame {}", tail.sequence)));
                }
                visit(&bytes[payload]).map_err(|problem| damaged(offset, problem.into()))?;
                (tail.sequence, tail.last_revision, offset) = (sequence, last_revision, next);
                tail.frames += 1;
                frames += 1;
            }
            Found::End => {
                let Some(dirt) = bytes[offset..].iter().position(|&byte| byte != 0) else { break };
                let problem = "an empty frame header with content behind it";
                if let Some(valid) = next_valid_frame(&bytes, offset + dirt, header.salt()) {
                    return Err(damaged(offset, format!("{problem}; a valid frame follows at byte {valid}")));
                }
                tear(tail, number, offset, problem).map_err(ReadError::Damaged)?;
                break;
            }
            Found::Damaged { problem, resume } => {
                if let Some(valid) = next_valid_frame(&bytes, resume, header.salt()) {
                    return Err(damaged(offset, format!("{problem}; a valid frame follows at byte {valid}")));
                }
                tear(tail, number, offset, problem).map_err(ReadError::Damaged)?;
                break;
            }
        }
    }
    // The log goes on in the last segment that holds frames, else in the first one.
    if frames > 0 || tail.active.is_none() || tail.torn.as_ref().is_some_and(|torn| torn.number == number) {
        if let Some(before) = tail.active.take() {
            let Header { number, size, .. } = before.header;
            tail.sealed.push(Sealed { number, bytes: size, last_revision: revision_before });
        }
        tail.active = Some(Segment { file, header });
        tail.offset = offset as u64;
    }
    Ok(())
}

fn tear(tail: &mut Tail, number: u64, offset: usize, problem: &'static str) -> Result<(), Damage> {
    let torn = Torn { number, offset: offset as u64, problem };
    match tail.torn.replace(torn) {
        None => Ok(()),
        Some(earlier) => Err(Damage {
            file: segment::name(earlier.number),
            offset: earlier.offset,
            problem: format!("{}; later segments were written to", earlier.problem),
        }),
    }
}

impl Tail {
    /// Makes the end of the log ready to be written to: overwrites the torn rest with zeros, and
    /// removes segments made ahead of time, which are made anew when they are needed.
    pub(super) fn repair(&mut self, segments: &Segments, numbers: &[u64]) -> Result<(), ReadError> {
        let Some(active) = &mut self.active else { return Ok(()) };
        let path = segment::path(&segments.directory, active.header.number);
        let failed = |operation| {
            let path = path.clone();
            move |source| ReadError::Io { operation, path, source }
        };
        active.file = segments.files.open(&path, Access::Write).map_err(failed("open"))?;
        if self.torn.is_some() {
            let length = active.file.length().map_err(failed("examine"))?;
            let zeros = vec![0; usize::try_from(length - self.offset).unwrap_or(0)];
            write_all(active.file.as_ref(), &zeros, self.offset).map_err(failed("cut the torn end of"))?;
        }
        // What was read may have been written but not flushed when the process before was killed.
        active.file.sync().map_err(failed("flush"))?;
        let number = active.header.number;
        let spares: Vec<_> = numbers.iter().filter(|&&other| other > number).collect();
        for &&spare in spares.iter().rev() {
            let path = segment::path(&segments.directory, spare);
            segments.files.remove(&path).map_err(|source| ReadError::Io { operation: "remove", path, source })?;
        }
        if !spares.is_empty() {
            segments.files.sync_directory(&segments.directory).map_err(failed("flush the directory of"))?;
        }
        Ok(())
    }
}
