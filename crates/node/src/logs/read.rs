//! Reading a container's log.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use portolan_base::Timestamp;
use tokio::fs::File;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncSeekExt as _, BufReader};
use tokio::sync::mpsc;

use super::line::{self, Stream};

/// How much is read at once while looking for the last lines.
const BLOCK: u64 = 64 << 10;
/// How often a followed file is looked at. Log files cannot wake anybody without inotify, and a
/// person who follows does not notice less.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(200);

/// Which part of a log is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Lines from the end; all if `None`.
    pub(crate) tail_lines: Option<u64>,
    /// Lines written at or after this.
    pub(crate) since: Option<Timestamp>,
    /// Bytes at most.
    pub(crate) limit_bytes: Option<u64>,
    /// Each line begins with its time.
    pub(crate) timestamps: bool,
    /// Only one of the outputs.
    pub(crate) stream: Option<Stream>,
}

/// Sends a log, and with `follow` whatever is written later until `follow` ends.
///
/// Ends early when the receiver is gone.
///
/// # Errors
/// The file cannot be read.
pub(crate) async fn read(
    path: &Path,
    options: &Options,
    follow: Option<impl Future<Output = ()>>,
    output: &mpsc::Sender<Bytes>,
) -> std::io::Result<()> {
    let mut file = File::open(path).await?;
    let end = file.metadata().await?.len();
    let start = match options.tail_lines {
        Some(lines) => start_of_tail(&mut file, end, lines).await?,
        None => 0,
    };
    file.seek(SeekFrom::Start(start)).await?;
    let mut writer = Writer { options, output, left: options.limit_bytes, mid_line: false };
    let mut raw = Vec::new();
    let Some(follow) = follow else {
        // What is written from now on belongs to no last lines that were counted.
        writer.lines(&mut BufReader::new(file.take(end - start)), &mut raw).await?;
        return Ok(());
    };
    let mut reader = BufReader::new(file);
    tokio::pin!(follow);
    let mut ended = false;
    while writer.lines(&mut reader, &mut raw).await? {
        if rotated(&reader, path).await? {
            // What came into it after the last look; now it gets nothing more.
            if !writer.lines(&mut reader, &mut raw).await? {
                break;
            }
            reader = BufReader::new(File::open(path).await?);
            continue;
        }
        if ended {
            break;
        }
        tokio::select! {
            // What was written before the end is still read.
            () = &mut follow => ended = true,
            () = tokio::time::sleep(FOLLOW_INTERVAL) => {}
            () = output.closed() => break,
        }
    }
    Ok(())
}

/// The last lines of a log, for a termination message.
///
/// # Errors
/// The file cannot be read.
pub(crate) async fn tail(path: &Path, lines: usize, bytes: usize) -> std::io::Result<String> {
    let mut file = File::open(path).await?;
    let end = file.metadata().await?.len();
    let start = start_of_tail(&mut file, end, lines as u64).await?;
    file.seek(SeekFrom::Start(start)).await?;
    let mut reader = BufReader::new(file.take(end - start));
    let (mut raw, mut text) = (Vec::new(), Vec::new());
    while next(&mut reader, &mut raw).await? {
        if let Some(line) = line::parse(&std::mem::take(&mut raw)) {
            text.extend_from_slice(line.text);
        }
    }
    let from = text.len().saturating_sub(bytes);
    Ok(String::from_utf8_lossy(&text[from..]).into_owned())
}

/// Appends to `raw` until it is a whole line; `false` if the file has no more for now.
async fn next(reader: &mut (impl AsyncBufRead + Unpin), raw: &mut Vec<u8>) -> std::io::Result<bool> {
    reader.read_until(b'\n', raw).await?;
    Ok(raw.last() == Some(&b'\n'))
}

/// Whether another file took the place of the one that is read.
async fn rotated(reader: &BufReader<File>, path: &Path) -> std::io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;

    let open = reader.get_ref().metadata().await?;
    match tokio::fs::metadata(path).await {
        Ok(current) => Ok((open.dev(), open.ino()) != (current.dev(), current.ino())),
        // Between renaming and opening anew.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Where the last `lines` lines before `end` begin.
async fn start_of_tail(file: &mut File, mut end: u64, lines: u64) -> std::io::Result<u64> {
    if lines == 0 {
        return Ok(end);
    }
    // The break at the very end ends the last line; it does not begin another.
    let mut breaks = 0;
    let mut last = true;
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(start)).await?;
        let mut block = Vec::new();
        (&mut *file).take(end - start).read_to_end(&mut block).await?;
        for (index, byte) in block.iter().enumerate().rev() {
            if *byte == b'\n' && !std::mem::take(&mut last) {
                breaks += 1;
                if breaks == lines {
                    return Ok(start + index as u64 + 1);
                }
            }
            last = false;
        }
        end = start;
    }
    Ok(0)
}

struct Writer<'a> {
    options: &'a Options,
    output: &'a mpsc::Sender<Bytes>,
    left: Option<u64>,
    mid_line: bool,
}

impl Writer<'_> {
    /// Sends the lines that there are; `false` once no more is wanted. `raw` is the beginning of the next one.
    async fn lines(&mut self, reader: &mut (impl AsyncBufRead + Unpin), raw: &mut Vec<u8>) -> std::io::Result<bool> {
        while next(reader, raw).await? {
            if !self.line(&std::mem::take(raw)).await {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sends a line if it is wanted; `false` once no more is wanted.
    async fn line(&mut self, raw: &[u8]) -> bool {
        // A damaged line is left out, as upstream does.
        let Some(line) = line::parse(raw) else { return true };
        if self.options.since.is_some_and(|since| line.time < since)
            || self.options.stream.is_some_and(|stream| line.stream != stream)
        {
            return true;
        }
        let mut bytes = Vec::with_capacity(line.text.len() + 36);
        if self.options.timestamps && !self.mid_line {
            bytes.extend_from_slice(line.time_text.as_bytes());
            bytes.push(b' ');
        }
        bytes.extend_from_slice(line.text);
        self.mid_line = line.partial;
        if let Some(left) = &mut self.left {
            bytes.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= bytes.len() as u64;
        }
        let more = self.left != Some(0);
        (bytes.is_empty() || self.output.send(bytes.into()).await.is_ok()) && more
    }
}

/// Earlier parts of a rotated log are not read; the current file is the log, as upstream.
pub(crate) fn rotated_name(path: &Path, stamp: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(stamp);
    PathBuf::from(name)
}
