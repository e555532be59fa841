//! Sets of paths and managers as bytes, without a JSON tree in between.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::fields::{Element, FieldSet, HERE};
use super::managers::{Entry, Managers, Operation};

/// An entry of `managedFields`.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recorded<'a> {
    #[serde(borrow)]
    api_version: Cow<'a, str>,
    #[serde(borrow)]
    fields_type: Cow<'a, str>,
    #[serde(borrow, default, rename = "fieldsV1")]
    fields: FieldSet<'a>,
    #[serde(borrow, default)]
    manager: Cow<'a, str>,
    #[serde(borrow)]
    operation: Cow<'a, str>,
    #[serde(borrow, default)]
    subresource: Cow<'a, str>,
    time: Option<String>,
}

impl<'a> Managers<'a> {
    /// Reads an encoded list; `None` if it is malformed.
    pub(super) fn parse(list: &'a [u8]) -> Option<Self> {
        let list: Vec<Recorded<'a>> = serde_json::from_slice(list).ok()?;
        Self::of_entries(list.into_iter().map(Recorded::entry))
    }

    /// The encoded list; `None` if nobody owns anything.
    pub(super) fn encode(self) -> Option<Vec<u8>> {
        let entries = self.in_order();
        if entries.is_empty() {
            return None;
        }
        let mut bytes = Vec::with_capacity(4096);
        for (index, entry) in entries.iter().enumerate() {
            bytes.push(if index == 0 { b'[' } else { b',' });
            begin(&entry.api_version, &mut bytes);
            entry.fields.write_nodes(true, &mut bytes);
            let Entry { manager, operation, subresource, time, .. } = entry;
            end(&By { manager, operation: *operation, subresource, time: time.as_deref() }, &mut bytes);
        }
        bytes.push(b']');
        Some(bytes)
    }
}

impl<'a> Recorded<'a> {
    fn entry(self) -> Option<Entry<'a>> {
        let known = !self.api_version.is_empty() && self.fields_type == "FieldsV1";
        Some(Entry {
            operation: Operation::of(&self.operation).filter(|_| known)?,
            manager: self.manager,
            api_version: self.api_version,
            subresource: self.subresource,
            time: self.time.map(Cow::Owned),
            fields: self.fields,
        })
    }
}

/// Who owns what an entry of `managedFields` names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct By<'a> {
    pub(crate) manager: &'a str,
    pub(crate) operation: Operation,
    pub(crate) subresource: &'a str,
    pub(crate) time: Option<&'a str>,
}

/// Begins an entry of `managedFields`: its set of paths is to follow, without the braces around it.
pub(crate) fn begin(api_version: &str, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(b"{\"apiVersion\":");
    text(api_version, bytes);
    bytes.extend_from_slice(b",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":{");
}

/// Ends an entry of `managedFields` behind its set of paths.
pub(crate) fn end(by: &By<'_>, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(b"},\"manager\":");
    text(by.manager, bytes);
    bytes.extend_from_slice(b",\"operation\":");
    text(by.operation.name(), bytes);
    if !by.subresource.is_empty() {
        bytes.extend_from_slice(b",\"subresource\":");
        text(by.subresource, bytes);
    }
    if let Some(time) = by.time {
        bytes.extend_from_slice(b",\"time\":");
        text(time, bytes);
    }
    bytes.push(b'}');
}

/// Writes a text in quotes.
pub(super) fn text(text: &str, bytes: &mut Vec<u8>) {
    serde_json::to_writer(bytes, text).expect("writing to memory cannot fail");
}

/// Whether a text needs no escapes.
pub(super) fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\')
}

impl FieldSet<'_> {
    /// Its encoded form without the braces around it.
    pub(super) fn encoded(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(4096);
        self.write_nodes(true, &mut bytes);
        bytes
    }

    /// Writes what stands between the braces, as the first in there or not.
    fn write_nodes(&self, mut is_first: bool, bytes: &mut Vec<u8>) {
        for node in self.nodes() {
            if !is_first {
                bytes.push(b',');
            }
            is_first = false;
            node.element.write(bytes);
            bytes.extend_from_slice(b":{");
            let goes_on = node.is_member() && node.has_children();
            if goes_on {
                bytes.extend_from_slice(b"\".\":{}");
            }
            node.children.write_nodes(!goes_on, bytes);
            bytes.push(b'}');
        }
    }
}

impl Element<'_> {
    fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Field(name) if is_plain(name) => {
                bytes.extend_from_slice(b"\"f:");
                bytes.extend_from_slice(name.as_bytes());
                bytes.push(b'"');
            }
            Self::Field(_) => text(&self.text(), bytes),
            Self::Item(item) => text(item, bytes),
        }
    }
}

/// The elements of a set, and whether there is a `.` among them.
struct Nodes<'a> {
    set: FieldSet<'a>,
    is_here: bool,
}

impl<'de> Deserialize<'de> for Nodes<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NodesVisitor;

        impl<'de> Visitor<'de> for NodesVisitor {
            type Value = Nodes<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a set of paths")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Nodes<'de>, A::Error> {
                let mut nodes = Nodes { set: FieldSet::default(), is_here: false };
                while let Some(Name(name)) = access.next_key()? {
                    if name == HERE {
                        access.next_value::<IgnoredAny>()?;
                        nodes.is_here = true;
                        continue;
                    }
                    let element = Element::of(name);
                    if !element.is_well_formed() {
                        return Err(serde::de::Error::custom("a malformed element of a path"));
                    }
                    let inner: Nodes<'de> = access.next_value()?;
                    let ends_here = inner.is_here || inner.set.is_empty();
                    nodes.set.put(element, ends_here, inner.set);
                }
                Ok(nodes)
            }
        }

        deserializer.deserialize_map(NodesVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for FieldSet<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Nodes::deserialize(deserializer).map(|nodes| nodes.set)
    }
}

/// A name that is borrowed if it has no escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
