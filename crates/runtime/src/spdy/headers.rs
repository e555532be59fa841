//! Header blocks: name-value pairs, compressed over the whole life of a connection.
//!
//! The SPDY protocol, draft 3.1, section 2.6.10.

use bytes::{Buf, BufMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use super::Error;
use super::dictionary::dictionary;

/// Headers of a stream. Names are lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// No headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a header; the name becomes lower case.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// The first value of a header, whatever the case of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// All headers in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Compresses header blocks; its state spans all blocks that one side sends.
pub(super) struct Compressor(Compress);

impl Compressor {
    pub(super) fn new() -> Self {
        let mut inner = Compress::new(Compression::default(), true);
        inner.set_dictionary(dictionary()).expect("a fresh stream takes a dictionary");
        Self(inner)
    }

    pub(super) fn compress(&mut self, headers: &Headers) -> Vec<u8> {
        let plain = encode(headers);
        let mut out = Vec::with_capacity(plain.len() + 64);
        let start = self.0.total_in();
        loop {
            let consumed = (self.0.total_in() - start) as usize;
            out.reserve(256);
            // Fails only after `Finish`, which is never asked for.
            let _ = self.0.compress_vec(&plain[consumed..], &mut out, FlushCompress::Sync);
            // A sync flush is complete once it leaves room in the output.
            if (self.0.total_in() - start) as usize == plain.len() && out.len() < out.capacity() {
                return out;
            }
        }
    }
}

/// Expands header blocks; its state spans all blocks that one side receives.
pub(super) struct Decompressor {
    inner: Decompress,
    limit: usize,
}

impl Decompressor {
    pub(super) fn new(limit: usize) -> Self {
        Self { inner: Decompress::new(true), limit }
    }

    pub(super) fn decompress(&mut self, block: &[u8]) -> Result<Headers, Error> {
        const BROKEN: Error = Error::Protocol("a header block cannot be decompressed");
        let mut plain = Vec::with_capacity(1024);
        let start = self.inner.total_in();
        loop {
            let consumed = (self.inner.total_in() - start) as usize;
            let before = (consumed, plain.len());
            if plain.len() > self.limit {
                return Err(Error::Protocol("a header block is too large"));
            }
            plain.reserve(1024);
            if let Err(error) = self.inner.decompress_vec(&block[consumed..], &mut plain, FlushDecompress::Sync) {
                if error.needs_dictionary().is_none() {
                    return Err(BROKEN);
                }
                self.inner.set_dictionary(dictionary()).map_err(|_| BROKEN)?;
                continue;
            }
            let consumed = (self.inner.total_in() - start) as usize;
            if consumed == block.len() && plain.len() < plain.capacity() {
                return decode(&plain);
            }
            if before == (consumed, plain.len()) {
                return Err(BROKEN);
            }
        }
    }
}

/// Pairs with the same name become one pair with the values separated by NUL.
fn encode(headers: &Headers) -> Vec<u8> {
    let mut merged: Vec<(&str, String)> = Vec::new();
    for (name, value) in headers.iter() {
        match merged.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => {
                values.push('\0');
                values.push_str(value);
            }
            None => merged.push((name, value.to_owned())),
        }
    }
    let mut out = Vec::new();
    out.put_u32(merged.len() as u32);
    for (name, value) in merged {
        for part in [name, &value] {
            out.put_u32(part.len() as u32);
            out.put_slice(part.as_bytes());
        }
    }
    out
}

fn decode(mut plain: &[u8]) -> Result<Headers, Error> {
    const BROKEN: Error = Error::Protocol("a header block is malformed");
    let count = plain.try_get_u32().map_err(|_| BROKEN)?;
    let mut text = || -> Result<String, Error> {
        let length = plain.try_get_u32().map_err(|_| BROKEN)? as usize;
        let (value, rest) = plain.split_at_checked(length).ok_or(BROKEN)?;
        plain = rest;
        String::from_utf8(value.to_vec()).map_err(|_| BROKEN)
    };
    let mut headers = Headers::new();
    for _ in 0..count {
        let name = text()?;
        for value in text()?.split('\0') {
            headers.0.push((name.to_ascii_lowercase(), value.to_owned()));
        }
    }
    Ok(headers)
}
