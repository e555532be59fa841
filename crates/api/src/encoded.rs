//! Reads a little of an encoded object without decoding it.
//!
//! Objects are stored as `serde_json` writes a [`serde_json::Value`]: no white space, keys sorted,
//! and without `metadata.resourceVersion`, which is spliced in when the object is sent.

use std::borrow::Cow;

use crate::selector::LabelSelector;

mod block;
mod scan;
#[cfg(test)]
mod tests;

use scan::Fields;
pub(crate) use scan::{quote_or_escape, value_length};

/// Where `"resourceVersion":"N"` goes into an encoded object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Splice {
    /// Offset at which the text is inserted.
    pub offset: usize,
    comma: Comma,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comma {
    Before,
    After,
    None,
}

impl Splice {
    /// The text to insert, with the comma that it needs.
    pub fn text(&self, resource_version: u64) -> String {
        match self.comma {
            Comma::After => format!("\"resourceVersion\":\"{resource_version}\","),
            Comma::Before => format!(",\"resourceVersion\":\"{resource_version}\""),
            Comma::None => format!("\"resourceVersion\":\"{resource_version}\""),
        }
    }

    /// Appends `object` with its resource version to `output`.
    pub fn write(&self, object: &[u8], resource_version: u64, output: &mut Vec<u8>) {
        let text = self.text(resource_version);
        output.reserve(object.len() + text.len());
        output.extend_from_slice(&object[..self.offset]);
        output.extend_from_slice(text.as_bytes());
        output.extend_from_slice(&object[self.offset..]);
    }
}

/// The identity and labels of an encoded object, borrowed from its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// Its namespace; empty for kinds without.
    pub namespace: Cow<'a, str>,
    /// Its UID.
    pub uid: Cow<'a, str>,
    /// When it is to be gone, if it is being deleted.
    pub deletion_timestamp: Option<Cow<'a, str>>,
    /// Where its resource version goes.
    pub splice: Splice,
    labels: &'a [u8],
}

impl<'a> Header<'a> {
    /// Reads the header. `None` if the bytes are not an encoded object with metadata.
    pub fn scan(object: &'a [u8]) -> Option<Self> {
        let mut fields = Fields::of(value_from(object, &["metadata"])?)?;
        let mut header = Self {
            name: Cow::Borrowed(""),
            namespace: Cow::Borrowed(""),
            uid: Cow::Borrowed(""),
            deletion_timestamp: None,
            splice: Splice { offset: 0, comma: Comma::None },
            labels: b"{}",
        };
        let mut found = false;
        while let Some((key, value)) = fields.next()? {
            if !found {
                header.splice.comma = Comma::Before;
            }
            if !found && key > b"resourceVersion".as_slice() {
                // The opening quote of the key.
                header.splice = Splice { offset: offset_in(object, key) - 1, comma: Comma::After };
                found = true;
            }
            match key {
                b"deletionTimestamp" => header.deletion_timestamp = Some(scan::text(value)?),
                b"labels" => header.labels = value,
                b"name" => header.name = scan::text(value)?,
                b"namespace" => header.namespace = scan::text(value)?,
                b"uid" => header.uid = scan::text(value)?,
                _ => {}
            }
        }
        if !found {
            header.splice.offset = offset_in(object, fields.rest());
        }
        Some(header)
    }

    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<Cow<'a, str>> {
        string_at(self.labels, &[key])
    }

    /// All labels.
    pub fn labels(&self) -> Vec<(Cow<'a, str>, Cow<'a, str>)> {
        let mut labels = Vec::new();
        let Some(mut fields) = Fields::of(self.labels) else { return labels };
        while let Some(Some((key, value))) = fields.next() {
            if let (Some(key), Some(value)) = (scan::unescape(key), scan::text(value)) {
                labels.push((key, value));
            }
        }
        labels
    }

    /// Whether the labels are what `selector` wants.
    pub fn matches(&self, selector: &LabelSelector) -> bool {
        selector.matches(|key| self.label(key))
    }
}

/// The place of `part`, which is a slice of `whole`.
fn offset_in(whole: &[u8], part: &[u8]) -> usize {
    part.as_ptr() as usize - whole.as_ptr() as usize
}

/// The encoded value at a path of field names. `None` if there is none.
pub fn raw_at<'a>(object: &'a [u8], path: &[&str]) -> Option<&'a [u8]> {
    if path.is_empty() {
        return Some(object);
    }
    let value = value_from(object, path)?;
    Some(&value[..scan::value_length(value)?])
}

/// The encoded value at a path of field names, from its beginning and with all that follows it: where only a
/// part of it is looked at, its end need not be known.
pub fn value_from<'a>(object: &'a [u8], path: &[&str]) -> Option<&'a [u8]> {
    path.iter().try_fold(object, |object, name| Fields::of(object)?.find(name))
}

/// The encoded items of a list.
pub fn items(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    scan::Items::of(list)
}

/// The encoded reference to the owner that controls an encoded object.
pub fn controller(object: &[u8]) -> Option<&[u8]> {
    controller_among(raw_at(object, &["metadata", "ownerReferences"])?)
}

/// The encoded fields of an encoded object with their names, in their order, up to the first that is malformed.
/// What follows the object is not looked at.
pub fn fields(object: &[u8]) -> Vec<(Cow<'_, str>, &[u8])> {
    let mut found = Vec::new();
    let Some(mut fields) = Fields::of(object) else { return found };
    while let Some(Some((key, value))) = fields.next() {
        found.extend(scan::unescape(key).map(|key| (key, value)));
    }
    found
}

/// The reference to the owner that controls an object, among its encoded references to owners.
pub fn controller_among(owners: &[u8]) -> Option<&[u8]> {
    items(owners).find(|owner| raw_at(owner, &["controller"]) == Some(b"true".as_slice()))
}

/// What is known of an object from the members of its metadata: see [`Members::scan`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// Its namespace; empty for kinds without.
    pub namespace: Cow<'a, str>,
    /// Its UID.
    pub uid: Cow<'a, str>,
    /// Where `managedFields` stands, with one of the commas beside it; empty if it is not there.
    pub managers: std::ops::Range<usize>,
    /// Where the value of `annotations` stands; empty if it is not there.
    pub annotations: std::ops::Range<usize>,
}

impl<'a> Members<'a> {
    /// Reads from the first member of an object's metadata to their end; what follows is not looked at.
    pub fn scan(members: &'a [u8]) -> Option<Self> {
        let empty = || Cow::Borrowed("");
        let mut found = Self { name: empty(), namespace: empty(), uid: empty(), managers: 0..0, annotations: 0..0 };
        let mut fields = Fields::from_first(members);
        while let Some((key, value)) = fields.next()? {
            match key {
                b"name" => found.name = scan::text(value)?,
                b"namespace" => found.namespace = scan::text(value)?,
                b"uid" => found.uid = scan::text(value)?,
                b"annotations" => {
                    let start = offset_in(members, value);
                    found.annotations = start..start + value.len();
                }
                b"managedFields" => {
                    // From the opening quote of the key.
                    let (mut start, mut end) = (offset_in(members, key) - 1, offset_in(members, value) + value.len());
                    match start.checked_sub(1) {
                        Some(comma) => start = comma,
                        None if members.get(end) == Some(&b',') => end += 1,
                        None => {}
                    }
                    found.managers = start..end;
                }
                _ => {}
            }
        }
        Some(found)
    }
}

/// The text at a path of field names; numbers and truth values as they are written.
///
/// `None` if there is nothing, null, an object or a list.
pub fn string_at<'a>(object: &'a [u8], path: &[&str]) -> Option<Cow<'a, str>> {
    let value = raw_at(object, path)?;
    match value.first()? {
        b'"' => scan::text(value),
        b'{' | b'[' | b'n' => None,
        _ => std::str::from_utf8(value).ok().map(Cow::Borrowed),
    }
}

/// `object` with its resource version. `None` if it is not an encoded object with metadata.
pub fn with_resource_version(object: &[u8], resource_version: u64) -> Option<Vec<u8>> {
    let mut output = Vec::new();
    Header::scan(object)?.splice.write(object, resource_version, &mut output);
    Some(output)
}
