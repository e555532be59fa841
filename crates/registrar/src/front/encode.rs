//! Writing the head of an ordinary answer, byte for byte as hyper would. Pure but for the date.

use std::cell::RefCell;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use http::{StatusCode, Version, header, response};

/// What the answer to a request does not need beside its fields, roughly.
const ROUGHLY: usize = 160;

/// Whether the connection stays after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// It does.
    Stays,
    /// It does not, which the client is told.
    Closes,
}

/// How long a body is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Length {
    /// In bytes.
    pub(super) body: usize,
    /// As much of it will be copied behind the head.
    pub(super) copied: usize,
}

/// Appends the head of an answer and tells whether its body is to follow. None, and nothing is appended, if the answer
/// is none that is written here.
pub(super) fn head(out: &mut Vec<u8>, head: &response::Parts, length: Length, after: After) -> Option<bool> {
    let status = head.status;
    if status.is_informational() || head.version != Version::HTTP_11 || !head.extensions.is_empty() {
        return None;
    }
    let before = out.len();
    out.reserve(ROUGHLY + 32 * head.headers.len() + length.copied);
    if status == StatusCode::OK {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    } else {
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(status.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(status.canonical_reason().unwrap_or("<none>").as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    for (name, value) in &head.headers {
        // Of these the connection would have to take notice.
        if matches!(
            *name,
            header::CONNECTION | header::CONTENT_LENGTH | header::DATE | header::TRAILER | header::TRANSFER_ENCODING
        ) {
            out.truncate(before);
            return None;
        }
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if after == After::Closes {
        out.extend_from_slice(b"connection: close\r\n");
    }
    // RFC 9110, section 6.4.1.
    let has_body = !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if has_body {
        out.extend_from_slice(b"content-length: ");
        number(out, length.body);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"date: ");
    date(out);
    out.extend_from_slice(b"\r\n\r\n");
    Some(has_body && length.body > 0)
}

fn number(out: &mut Vec<u8>, mut number: usize) {
    let (mut digits, mut at) = ([0; 20], 20);
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// A second and its text (RFC 9110, section 5.6.7).
struct Second {
    since_epoch: u64,
    text: Vec<u8>,
}

thread_local! {
    static NOW: RefCell<Second> = const { RefCell::new(Second { since_epoch: 0, text: Vec::new() }) };
}

fn date(out: &mut Vec<u8>) {
    let now = SystemTime::now();
    // A clock before 1970 is wrong whatever is told.
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    NOW.with_borrow_mut(|known| {
        if known.since_epoch != seconds || known.text.is_empty() {
            *known = Second { since_epoch: seconds, text: Vec::with_capacity(32) };
            // Writing to memory cannot fail.
            let _ = write!(known.text, "{}", httpdate::HttpDate::from(now));
        }
        out.extend_from_slice(&known.text);
    });
}
