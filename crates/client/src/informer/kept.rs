//! The bytes of an object as an informer keeps them.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use portolan_api::encoded::Members;

use super::store::trimmed;
use crate::queue::Key;

const VERSION: &[u8] = b"\"resourceVersion\":\"";

/// An object without `metadata.managedFields`.
#[derive(Debug)]
pub(super) enum Kept {
    Own(Box<[u8]>),
    Shared(Shared),
}

/// An object whose members are the memory of the server's store: as long as nobody changes it, it
/// is there only once.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) revision: u64,
    /// What of the members is left out.
    managers: Range<u32>,
    /// Where annotations stand before that.
    annotations: Range<u32>,
    members: Bytes,
    /// The members are those of the metadata alone: the object ends after them, in a piece of its own.
    metadata_only: bool,
}

/// What two versions of an object differ in, apart from their revision and managers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Difference {
    Nothing,
    Annotations,
    /// Something else, or nobody looked.
    More,
}

/// What happened to a shared object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Put,
    Delete,
}

/// A line of a watch in pieces, read.
pub(super) struct SharedEvent {
    pub(super) change: Change,
    pub(super) key: Key,
    /// What comes before the version; the same for all objects of a kind.
    pub(super) opening: Bytes,
    pub(super) object: Shared,
}

impl SharedEvent {
    /// `None` if the line is something else: then it is read like any other.
    pub(super) fn read([head, members, end]: &[Bytes; 3]) -> Option<Self> {
        let metadata_only = match end.trim_ascii_end() {
            b"}" => false,
            b"}}" => true,
            _ => return None,
        };
        let rest = head.strip_prefix(b"{\"type\":\"")?;
        let (kind, rest) = split_once(rest, b"\",\"object\":")?;
        let change = match kind {
            b"ADDED" | b"MODIFIED" => Change::Put,
            b"DELETED" => Change::Delete,
            _ => return None,
        };
        let (opening, rest) = split_once(rest, VERSION)?;
        let digits = rest.strip_suffix(b",").unwrap_or(rest).strip_suffix(b"\"")?;
        let revision = std::str::from_utf8(digits).ok()?.parse().ok()?;
        let found = Members::scan(members)?;
        let place = |range: Range<usize>| Some(u32::try_from(range.start).ok()?..u32::try_from(range.end).ok()?);
        let managers = if found.managers.is_empty() { members.len()..members.len() } else { found.managers };
        let annotations = if found.annotations.end <= managers.start { found.annotations } else { 0..0 };
        let (managers, annotations) = (place(managers)?, place(annotations)?);
        let key = Key::new(found.namespace, found.name);
        if key.name.is_empty() {
            return None;
        }
        let opening = head.slice_ref(opening);
        Some(Self {
            change,
            key,
            opening,
            object: Shared { revision, managers, annotations, members: members.clone(), metadata_only },
        })
    }
}

fn split_once<'a>(bytes: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(separator.len()).position(|window| window == separator)?;
    Some((&bytes[..at], &bytes[at + separator.len()..]))
}

impl Kept {
    pub(super) fn of(encoded: &[u8]) -> Self {
        Self::Own(trimmed(encoded))
    }

    /// Keeps a shared object whole, because what comes before it is not what the others have.
    pub(super) fn whole(object: &Shared, opening: &[u8]) -> Self {
        let mut bytes = Vec::new();
        object.write(opening, &mut bytes);
        Self::Own(bytes.into())
    }

    /// The bytes in one piece; `opening` is what all shared objects begin with.
    pub(super) fn bytes<'a>(&'a self, opening: &[u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(object) => {
                scratch.clear();
                object.write(opening, scratch);
                scratch
            }
        }
    }

    /// What this version differs in from `other`, as far as a glance tells.
    pub(super) fn difference(&self, other: &Self) -> Difference {
        match (self, other) {
            (Self::Shared(one), Self::Shared(other)) => one.difference(other),
            _ => Difference::More,
        }
    }

    /// The revision, where it is known without looking into the bytes.
    pub(super) fn revision(&self) -> Option<u64> {
        match self {
            Self::Own(_) => None,
            Self::Shared(object) => Some(object.revision),
        }
    }
}

impl Shared {
    fn difference(&self, other: &Self) -> Difference {
        let ([before, notes, between, after], others) = (self.parts(), other.parts());
        if self.metadata_only != other.metadata_only || [before, between, after] != [others[0], others[2], others[3]] {
            return Difference::More;
        }
        if notes == others[1] { Difference::Nothing } else { Difference::Annotations }
    }

    /// The members up to the annotations, these, those up to the managers, and those behind.
    fn parts(&self) -> [&[u8]; 4] {
        let (notes, managers) = (&self.annotations, &self.managers);
        let places = [0..notes.start, notes.clone(), notes.end..managers.start];
        let [before, annotations, between] =
            places.map(|place| &self.members[place.start as usize..place.end as usize]);
        [before, annotations, between, &self.members[managers.end as usize..]]
    }

    fn write(&self, opening: &[u8], bytes: &mut Vec<u8>) {
        use std::io::Write as _;
        let (before, after) =
            (&self.members[..self.managers.start as usize], &self.members[self.managers.end as usize..]);
        bytes.reserve(opening.len() + VERSION.len() + before.len() + after.len() + 24);
        bytes.extend_from_slice(opening);
        bytes.extend_from_slice(VERSION);
        write!(bytes, "{}\"", self.revision).expect("writing to memory cannot fail");
        let first = before.first().or(after.first());
        if !matches!(first, None | Some(b'}' | b',')) {
            bytes.push(b',');
        }
        bytes.extend_from_slice(before);
        bytes.extend_from_slice(after);
        if self.metadata_only {
            bytes.push(b'}');
        }
    }
}

/// The opening of a kind, as the store of an informer holds it.
pub(super) type Opening = Arc<[u8]>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_reads_like_what_was_sent() {
        for (members, expected) in [
            (
                r#""managedFields":[{"a":1}],"name":"a","namespace":"n"},"spec":1}"#,
                r#","name":"a","namespace":"n"},"spec":1}"#,
            ),
            (r#""name":"a","managedFields":[{"a":1}]}}"#, r#","name":"a"}}"#),
            (r#""name":"a"}}"#, r#","name":"a"}}"#),
        ] {
            let head = r#"{"type":"ADDED","object":{"kind":"X","metadata":{"resourceVersion":"12","#;
            let pieces = [head, members, "}"].map(|piece| Bytes::copy_from_slice(piece.as_bytes()));
            let event = SharedEvent::read(&pieces).expect("an event");
            assert_eq!((event.change, event.key.name.as_str()), (Change::Put, "a"));
            let mut scratch = Vec::new();
            let kept = Kept::Shared(event.object);
            let bytes = kept.bytes(&event.opening, &mut scratch);
            let expected = format!(r#"{{"kind":"X","metadata":{{"resourceVersion":"12"{expected}"#);
            assert_eq!(String::from_utf8_lossy(bytes), expected);
        }
    }

    #[test]
    fn a_glance_tells_what_two_versions_differ_in() {
        let kept = |members: &str| {
            let head = r#"{"type":"MODIFIED","object":{"kind":"X","metadata":{"resourceVersion":"12","#;
            let pieces = [head, members, "}"].map(|piece| Bytes::copy_from_slice(piece.as_bytes()));
            Kept::Shared(SharedEvent::read(&pieces).expect("an event").object)
        };
        let old = kept(r#""annotations":{"a":"1"},"managedFields":[{"a":1}],"name":"a"},"spec":1}"#);
        for (members, difference) in [
            (r#""annotations":{"a":"1"},"managedFields":[{"b":22}],"name":"a"},"spec":1}"#, Difference::Nothing),
            (r#""annotations":{"a":"1"},"managedFields":[{"a":1}],"name":"a"},"spec":2}"#, Difference::More),
            (r#""annotations":{"a":"22"},"managedFields":[],"name":"a"},"spec":1}"#, Difference::Annotations),
            (r#""annotations":{"a":"1"},"labels":{},"managedFields":[],"name":"a"},"spec":1}"#, Difference::More),
            (r#""managedFields":[],"name":"a"},"spec":1}"#, Difference::More),
            (r#""annotations":{"a":"1"},"name":"a"},"spec":1}"#, Difference::More),
            // Not in the order of the server's own objects.
            (r#""managedFields":[{"a":1}],"annotations":{"a":"1"},"name":"a"},"spec":1}"#, Difference::More),
        ] {
            assert_eq!(kept(members).difference(&old), difference, "{members}");
        }
        let (one, other) = (r#""annotations":{"a":"1"},"name":"a"}}"#, r#""annotations":{},"name":"a"}}"#);
        assert_eq!(kept(one).difference(&kept(other)), Difference::Annotations);
        assert_eq!(Kept::of(b"{}").difference(&old), Difference::More);
    }

    #[test]
    fn metadata_alone_is_an_object_too() {
        let head = r#"{"type":"ADDED","object":{"kind":"X","metadata":{"resourceVersion":"12","#;
        let pieces = [head, r#""name":"a"}"#, "}}\n"].map(|piece| Bytes::copy_from_slice(piece.as_bytes()));
        let event = SharedEvent::read(&pieces).expect("an event");
        let mut scratch = Vec::new();
        let kept = Kept::Shared(event.object);
        let bytes = kept.bytes(&event.opening, &mut scratch);
        assert_eq!(String::from_utf8_lossy(bytes), r#"{"kind":"X","metadata":{"resourceVersion":"12","name":"a"}}"#);
    }
}
