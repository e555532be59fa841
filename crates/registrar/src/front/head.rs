//! Reading the head of an ordinary request. Pure.
//!
//! Ordinary is what nearly all clients send, and what can be read in one way only: HTTP/1.1 in origin form, with a length
//! or without a body, on a connection that stays. Whatever else there is, and whatever is wrong, is left to hyper.

use std::mem::MaybeUninit;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

/// More fields than that are unusual.
const MOST_FIELDS: usize = 48;
/// No head of an ordinary request is larger.
const LARGEST_HEAD: usize = 8 << 10;
/// Nor is its body.
const LARGEST_BODY: usize = 64 << 10;

/// What bytes begin with.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time, and nearly all are the large one")]
pub(super) enum Begin {
    /// A whole ordinary request.
    Request(Ordinary),
    /// The beginning of a head.
    Part,
    /// A head, and the beginning of its body.
    PartOfBody,
    /// Something else; what was taken off already.
    Unusual(Bytes),
}

/// An ordinary request.
#[derive(Debug)]
pub(super) struct Ordinary {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// As it came.
    pub(super) raw: Bytes,
}

/// Takes a request off the front of `unread`, if a whole ordinary one is there; `seen` bytes of it were found to be a
/// part of a head before.
pub(super) fn take(unread: &mut BytesMut, seen: usize, body_limit: usize) -> Begin {
    // As hyper does: what a head has wrong is of interest once it has ended, and so it is not read again before.
    if seen > 0 && unread.len() < LARGEST_HEAD && !has_end(&unread[seen.saturating_sub(3)..]) {
        return Begin::Part;
    }
    let Found { method, path, fields, count, head, length } = match find(unread, body_limit) {
        Ok(found) => found,
        Err(Not::Whole) => return Begin::Part,
        Err(Not::Ordinary) => return Begin::Unusual(Bytes::new()),
    };
    if unread.len() - head < length {
        return Begin::PartOfBody;
    }
    let raw = unread.split_to(head + length).freeze();
    let Ok(uri) = Uri::from_maybe_shared(raw.slice(path.range())) else { return Begin::Unusual(raw) };
    let mut headers = HeaderMap::with_capacity(count);
    for (name, value) in &fields[..count] {
        let value = HeaderValue::from_maybe_shared(raw.slice(value.range()));
        let Ok(name) = HeaderName::from_bytes(&raw[name.range()]) else { return Begin::Unusual(raw) };
        let Ok(value) = value else { return Begin::Unusual(raw) };
        headers.append(name, value);
    }
    Begin::Request(Ordinary { method, uri, headers, body: raw.slice(head..), raw })
}

fn has_end(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|two| two == b"\n\n") || bytes.windows(3).any(|three| three == b"\n\r\n")
}

/// A part of a head, none of which is larger than a number of this size.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    start: u16,
    end: u16,
}

impl Place {
    fn of(part: &[u8], whole: &[u8]) -> Self {
        let start = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
        debug_assert!(start + part.len() <= LARGEST_HEAD, "a part of a head that is not too large");
        Self { start: start as u16, end: (start + part.len()) as u16 }
    }

    fn range(self) -> Range<usize> {
        self.start.into()..self.end.into()
    }
}

/// Where what is in a head.
struct Found {
    method: Method,
    path: Place,
    /// Name and value of each; so many of them.
    fields: [(Place, Place); MOST_FIELDS],
    count: usize,
    head: usize,
    length: usize,
}

/// What a head is not.
enum Not {
    /// There yet.
    Whole,
    /// Of this kind.
    Ordinary,
}

fn find(bytes: &[u8], body_limit: usize) -> Result<Found, Not> {
    let mut room = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; MOST_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    let head = match request.parse_with_uninit_headers(bytes, &mut room) {
        Ok(httparse::Status::Complete(head)) if head <= LARGEST_HEAD => head,
        Ok(httparse::Status::Partial) if bytes.len() < LARGEST_HEAD => return Err(Not::Whole),
        Ok(_) | Err(_) => return Err(Not::Ordinary),
    };
    let (Some(1), Some(method), Some(path)) = (request.version, request.method.and_then(ordinary), request.path) else {
        return Err(Not::Ordinary);
    };
    if !path.starts_with('/') {
        return Err(Not::Ordinary);
    }
    let (mut length, mut hosts) = (None, 0);
    for field in request.headers.iter() {
        match meaning(field) {
            Meaning::Body(bytes) if length.is_none() => length = Some(bytes),
            Meaning::Host => hosts += 1,
            Meaning::None => {}
            Meaning::Body(_) | Meaning::Unusual => return Err(Not::Ordinary),
        }
    }
    // RFC 9112, section 3.2: this is refused.
    if hosts != 1 {
        return Err(Not::Ordinary);
    }
    let length = length.unwrap_or(0);
    if length > body_limit.min(LARGEST_BODY) {
        return Err(Not::Ordinary);
    }
    let mut fields = [Default::default(); MOST_FIELDS];
    for (place, field) in fields.iter_mut().zip(request.headers.iter()) {
        *place = (Place::of(field.name.as_bytes(), bytes), Place::of(field.value, bytes));
    }
    let (path, count) = (Place::of(path.as_bytes(), bytes), request.headers.len());
    Ok(Found { method, path, fields, count, head, length })
}

/// What a field says about how the request is read.
enum Meaning {
    /// Nothing.
    None,
    /// That there is a body of so many bytes.
    Body(usize),
    /// Whom it is for.
    Host,
    /// Something else.
    Unusual,
}

fn meaning(field: &httparse::Header<'_>) -> Meaning {
    let is = |name: &str| field.name.eq_ignore_ascii_case(name);
    match field.name.len() {
        4 if is("host") => Meaning::Host,
        7 if is("upgrade") => Meaning::Unusual,
        6 if is("expect") => Meaning::Unusual,
        17 if is("transfer-encoding") => Meaning::Unusual,
        10 if is("connection") && !field.value.eq_ignore_ascii_case(b"keep-alive") => Meaning::Unusual,
        14 if is("content-length") => {
            // Seven digits are more than any that counts.
            let digits = field.value.len() <= 7 && field.value.iter().all(u8::is_ascii_digit);
            let number = std::str::from_utf8(field.value).ok().filter(|_| digits).and_then(|text| text.parse().ok());
            number.map_or(Meaning::Unusual, Meaning::Body)
        }
        _ => Meaning::None,
    }
}

fn ordinary(method: &str) -> Option<Method> {
    match method {
        "GET" => Some(Method::GET),
        "PUT" => Some(Method::PUT),
        "POST" => Some(Method::POST),
        "DELETE" => Some(Method::DELETE),
        _ => None,
    }
}
