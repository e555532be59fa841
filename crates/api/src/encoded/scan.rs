//! A scanner over compact JSON that only finds where values end.

use std::borrow::Cow;

use super::block::container_length;

/// The fields of an encoded object, in their order.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The fields of `object`, which begins with `{`.
    pub(super) fn of(object: &'a [u8]) -> Option<Self> {
        (object.first() == Some(&b'{')).then(|| Self { rest: &object[1..] })
    }

    /// The fields from the first one on, without the `{` before it.
    pub(super) fn from_first(fields: &'a [u8]) -> Self {
        Self { rest: fields }
    }

    /// The next key (raw, without quotes) and value; `Some(None)` at the end, `None` if malformed.
    #[allow(clippy::option_option)]
    pub(super) fn next(&mut self) -> Option<Option<(&'a [u8], &'a [u8])>> {
        let Some((key, rest)) = self.next_key()? else { return Some(None) };
        let length = value_length(rest)?;
        self.rest = &rest[length..];
        Some(Some((key, &rest[..length])))
    }

    /// The value of a field from its beginning, with all that follows it. `None` if there is no such field.
    pub(super) fn find(mut self, name: &str) -> Option<&'a [u8]> {
        loop {
            let (key, rest) = self.next_key()??;
            if is_key(key, name) {
                return Some(rest);
            }
            self.rest = &rest[value_length(rest)?..];
        }
    }

    /// What was not read yet: at the end, the brace that closes the object and all that follows.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next key, and what follows its colon.
    #[allow(clippy::option_option)]
    fn next_key(&self) -> Option<Option<(&'a [u8], &'a [u8])>> {
        let rest = match self.rest.first()? {
            b'}' => return Some(None),
            b',' => &self.rest[1..],
            _ => self.rest,
        };
        let key_length = string_length(rest)?;
        let key = &rest[1..key_length - 1];
        Some(Some((key, rest[key_length..].strip_prefix(b":")?)))
    }
}

/// The items of an encoded list, up to the first that is malformed.
pub(super) struct Items<'a> {
    rest: &'a [u8],
}

impl<'a> Items<'a> {
    pub(super) fn of(list: &'a [u8]) -> Self {
        Self { rest: list.strip_prefix(b"[").unwrap_or_default() }
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.strip_prefix(b",").unwrap_or(self.rest);
        if rest.first() == Some(&b']') {
            return None;
        }
        let (item, rest) = rest.split_at(value_length(rest)?);
        self.rest = rest;
        Some(item)
    }
}

/// The length of the string at the start of `bytes`, with its quotes.
pub(super) fn string_length(bytes: &[u8]) -> Option<usize> {
    if bytes.first() != Some(&b'"') {
        return None;
    }
    let mut index = 1;
    loop {
        index += quote_or_escape(&bytes[index..])?;
        if bytes[index] == b'"' {
            return Some(index + 1);
        }
        index += 2;
        if index > bytes.len() {
            return None;
        }
    }
}

/// The place of the first quote or backslash.
pub(crate) fn quote_or_escape(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    // Eight at a time: the lowest high bit that is set belongs to the first byte that is zero.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\')));
        if found != 0 {
            return Some(index * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let found = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    Some(words.len() * 8 + found)
}

/// The length of the value at the start of `bytes`.
pub(crate) fn value_length(bytes: &[u8]) -> Option<usize> {
    match bytes.first()? {
        b'"' => string_length(bytes),
        b'{' | b'[' => container_length(bytes),
        // A value has at least a byte: whoever goes on behind it comes to an end.
        _ => bytes.iter().position(|byte| matches!(byte, b',' | b'}' | b']')).filter(|length| *length > 0),
    }
}

/// The text of an encoded string.
pub(super) fn text(value: &[u8]) -> Option<Cow<'_, str>> {
    let inner = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    unescape(inner)
}

/// The text between the quotes of an encoded string.
pub(super) fn unescape(inner: &[u8]) -> Option<Cow<'_, str>> {
    let inner = std::str::from_utf8(inner).ok()?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(&format!("\"{inner}\"")).ok().map(Cow::Owned)
}

/// Whether a raw key is `name`.
pub(super) fn is_key(key: &[u8], name: &str) -> bool {
    key == name.as_bytes() || (key.contains(&b'\\') && unescape(key).is_some_and(|key| key == name))
}
