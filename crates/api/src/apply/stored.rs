//! A cursor over a stored object: compact JSON as `serde_json` writes it.
//!
//! Every step returns `None` at what is not that, or is there in a form that is not worth the effort: whoever
//! walks along then decodes the object.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::{self, Write};

use crate::encoded::{quote_or_escape, value_length};

/// Most objects and lists inside each other.
pub(super) const MOST_DEPTH: usize = 128;

/// A place in stored bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

/// The text between two quotes, as it stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Text<'a> {
    pub(super) raw: &'a [u8],
    /// Whether there are escapes in it.
    pub(super) escaped: bool,
}

impl<'a> Text<'a> {
    /// The text, if there are no escapes in it.
    pub(super) fn plain(self) -> Option<&'a str> {
        if self.escaped { None } else { std::str::from_utf8(self.raw).ok() }
    }

    /// What it means.
    pub(super) fn meant(self) -> Option<Cow<'a, str>> {
        match self.escaped {
            false => self.plain().map(Cow::Borrowed),
            true => serde_json::from_slice::<String>(&[b"\"", self.raw, b"\""].concat()).ok().map(Cow::Owned),
        }
    }

    /// How it stands in order to this text.
    pub(super) fn order(self, text: &str) -> Option<Ordering> {
        if !self.escaped {
            return Some(self.raw.cmp(text.as_bytes()));
        }
        Some((*self.meant()?).cmp(text))
    }

    /// Whether it is this text.
    pub(super) fn is(self, text: &str) -> bool {
        if !self.escaped {
            return self.raw == text.as_bytes();
        }
        let mut bytes = Vec::with_capacity(self.raw.len() + 2);
        super::encoded::text(text, &mut bytes);
        bytes[1..bytes.len() - 1] == *self.raw
    }
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Passes this byte.
    pub(super) fn expect(&mut self, byte: u8) -> Option<()> {
        if self.peek()? != byte {
            return None;
        }
        self.at += 1;
        Some(())
    }

    /// Passes these bytes if they are the next ones.
    pub(super) fn passes(&mut self, bytes: &[u8]) -> bool {
        let passes = self.bytes[self.at..].starts_with(bytes);
        if passes {
            self.at += bytes.len();
        }
        passes
    }

    /// Passes a comma if one more follows; `false` at the end of an object or list, which is passed too.
    pub(super) fn follows(&mut self, end: u8, is_first: &mut bool) -> Option<bool> {
        if self.peek()? == end {
            self.at += 1;
            return Some(false);
        }
        if !std::mem::replace(is_first, false) {
            self.expect(b',')?;
        }
        Some(true)
    }

    /// Passes a text.
    pub(super) fn text(&mut self) -> Option<Text<'a>> {
        self.expect(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at += quote_or_escape(self.bytes.get(self.at..)?)?;
            if self.bytes[self.at] == b'"' {
                let raw = &self.bytes[start..self.at];
                self.at += 1;
                return Some(Text { raw, escaped });
            }
            escaped = true;
            self.at += 2;
        }
    }

    /// Passes a key and its colon.
    pub(super) fn key(&mut self) -> Option<Text<'a>> {
        let key = self.text()?;
        self.expect(b':')?;
        Some(key)
    }

    /// Passes a number or a word.
    pub(super) fn word(&mut self) -> Option<&'a [u8]> {
        let rest = self.bytes.get(self.at..)?;
        let length = rest.iter().position(|byte| matches!(byte, b',' | b'}' | b']')).unwrap_or(rest.len());
        self.at += length;
        Some(&rest[..length]).filter(|word| !word.is_empty())
    }

    /// Passes a number or a word, and tells whether that is how this is written.
    pub(super) fn is_written(&mut self, value: impl fmt::Display) -> Option<bool> {
        struct Rest<'a>(&'a [u8]);

        impl fmt::Write for Rest<'_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                self.0 = self.0.strip_prefix(text.as_bytes()).ok_or(fmt::Error)?;
                Ok(())
            }
        }

        let mut rest = Rest(self.word()?);
        Some(write!(rest, "{value}").is_ok() && rest.0.is_empty())
    }

    /// Passes a value, and returns it.
    pub(super) fn value(&mut self) -> Option<&'a [u8]> {
        let rest = self.bytes.get(self.at..)?;
        let (value, _) = rest.split_at(value_length(rest)?);
        self.at += value.len();
        Some(value)
    }
}
