//! The managers of a stored object as they stand there: who they are is read, what they own stays bytes.

use std::cmp::Ordering;

use super::compare::Comparison;
use super::encoded::{self, By};
use super::fields::{Element, FieldSet, HERE, Node};
use super::managers::{Operation, seconds};
use super::paths::{Key, Member, Paths};
use super::shape::{self, Place};
use super::stored::{Cursor, MOST_DEPTH, Text};
use super::{Force, Manager, known};
use crate::description::{Schema, Type};

/// A manager, and the encoded set of what it owns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner<'a> {
    manager: &'a str,
    operation: Operation,
    subresource: &'a str,
    time: Option<&'a str>,
    /// Without the braces around it.
    pub(super) fields: &'a [u8],
}

/// Reads the list of managers at the cursor, if it is written as this server writes it, all of it in the version
/// `api_version`, whose schema it fits. To write it again would then give the same bytes.
pub(super) fn read<'a>(cursor: &mut Cursor<'a>, api_version: &str, schema: Schema<'_>) -> Option<Vec<Owner<'a>>> {
    let mut list: Vec<Owner<'a>> = Vec::with_capacity(4);
    cursor.expect(b'[')?;
    let mut is_first = true;
    while cursor.follows(b']', &mut is_first)? {
        let entry = entry(cursor, api_version, schema)?;
        // Entries of one manager count as one.
        if list.iter().any(|known| known.identity() == entry.identity()) {
            return None;
        }
        list.push(entry);
    }
    Some(list)
}

fn entry<'a>(cursor: &mut Cursor<'a>, api_version: &str, schema: Schema<'_>) -> Option<Owner<'a>> {
    let found = |is_found: bool| is_found.then_some(());
    found(cursor.passes(b"{\"apiVersion\":"))?;
    found(cursor.text()?.plain()? == api_version)?;
    found(cursor.passes(b",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":"))?;
    let start = cursor.at;
    if !known::passes(cursor, schema) {
        let is_empty = !set(cursor, Some(schema), 0)?;
        found(!is_empty)?;
        known::remember(&cursor.bytes[start..cursor.at], schema);
    }
    let fields = &cursor.bytes[start + 1..cursor.at - 1];
    found(cursor.passes(b",\"manager\":"))?;
    let manager = cursor.text()?.plain()?;
    found(cursor.passes(b",\"operation\":"))?;
    let operation = Operation::of(cursor.text()?.plain()?)?;
    let mut subresource = "";
    if cursor.passes(b",\"subresource\":") {
        subresource = cursor.text()?.plain().filter(|it| !it.is_empty())?;
    }
    let mut time = None;
    if cursor.passes(b",\"time\":") {
        time = Some(cursor.text()?.plain()?);
    }
    cursor.expect(b'}')?;
    Some(Owner { manager, operation, subresource, time, fields })
}

/// Passes a set of paths, which is inside so many others, and tells whether there are any in it.
fn set(cursor: &mut Cursor<'_>, place: Place<'_>, depth: usize) -> Option<bool> {
    if depth > MOST_DEPTH {
        return None;
    }
    cursor.expect(b'{')?;
    let mut is_first = true;
    // A path that ends here and goes on: the set says both.
    let ends_here = depth > 0 && cursor.passes(b"\".\":{}");
    if ends_here {
        is_first = false;
        (cursor.peek()? == b',').then_some(())?;
    }
    let mut before: Option<Text<'_>> = None;
    while cursor.follows(b'}', &mut is_first)? {
        let key = cursor.key()?;
        if !is_element(key) || before.is_some_and(|before| !is_before(before, key)) {
            return None;
        }
        before = Some(key);
        if !cursor.passes(b"{}") {
            set(cursor, inside(place, key)?, depth + 1)?;
        }
    }
    Some(before.is_some())
}

/// The place behind an element. `None` if what is behind it has one owner by now.
fn inside<'s>(place: Place<'s>, element: Text<'_>) -> Option<Place<'s>> {
    let inner = match element.raw.strip_prefix(b"f:") {
        Some(name) => shape::field(place, std::str::from_utf8(name).ok()?),
        None => shape::items(place),
    };
    let has_one_owner =
        |it: &Schema<'_>| matches!(it.r#type(), Type::Struct(_) | Type::Map(_) | Type::List(_)) && it.is_atomic();
    if inner.as_ref().is_some_and(has_one_owner) { None } else { Some(inner) }
}

/// Whether a text is an element in the one way in which it is written.
fn is_element(key: Text<'_>) -> bool {
    match key.raw {
        [b'f', b':', ..] => !key.escaped,
        [b'k', b':', b'{', .., b'}'] | [b'v', b':', _, ..] => !key.escaped || has_short_escapes(key),
        _ => false,
    }
}

/// Whether all that is escaped is quotes and backslashes.
fn has_short_escapes(key: Text<'_>) -> bool {
    let mut bytes = key.raw.iter();
    while let Some(byte) = bytes.next() {
        if *byte == b'\\' && !matches!(bytes.next(), Some(b'"' | b'\\')) {
            return false;
        }
    }
    true
}

/// Whether an element stands before another in a set.
fn is_before(one: Text<'_>, other: Text<'_>) -> bool {
    if !one.escaped && !other.escaped {
        return one.raw < other.raw;
    }
    // The order is that of what they mean. Where they differ is told apart without a copy unless that is an escape.
    if let Some(place) = one.raw.iter().zip(other.raw).position(|(one, other)| one != other)
        && ![one.raw[place.saturating_sub(1)], one.raw[place], other.raw[place]].contains(&b'\\')
    {
        return one.raw[place] < other.raw[place];
    }
    match (one.meant(), other.meant()) {
        (Some(one), Some(other)) => one < other,
        _ => false,
    }
}

impl<'a> Owner<'a> {
    /// Who applies what is there already: it gets no time of its own.
    pub(super) fn agreeing(manager: &Manager<'a>, fields: &'a [u8]) -> Self {
        Self {
            manager: manager.recorded_name(),
            operation: Operation::Apply,
            subresource: manager.subresource,
            time: None,
            fields,
        }
    }

    /// Who applies something else than there was.
    pub(super) fn changing(manager: &Manager<'a>, time: &'a str, fields: &'a [u8]) -> Self {
        Self { time: Some(time), ..Self::agreeing(manager, fields) }
    }

    /// Whether a path that it owns is in a set.
    pub(super) fn owns_any(&self, set: &FieldSet<'_>) -> Option<bool> {
        let mut cursor = Cursor::new(self.fields);
        if set.is_empty() { Some(false) } else { touches(&mut cursor, set, true) }
    }

    /// What is left of what it owns without the paths of these sets.
    pub(super) fn without(&self, lost: &[&FieldSet<'_>]) -> Option<Vec<u8>> {
        let mut left = Paths::new();
        leave(&mut Cursor::new(self.fields), lost, true, &mut left)?;
        Some(left.bytes)
    }

    fn identity(&self) -> (&str, Operation, &str) {
        (self.manager, self.operation, self.subresource)
    }

    /// Whether this is who applies.
    pub(super) fn applies_as(&self, manager: &Manager<'_>) -> bool {
        self.identity() == (manager.recorded_name(), Operation::Apply, manager.subresource)
    }

    /// How entries of one version stand in the list.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        let by_time = || match self.time == other.time {
            true => Ordering::Equal,
            false => self.time.map_or(0, seconds).cmp(&other.time.map_or(0, seconds)),
        };
        let by_name = || (self.manager, self.subresource).cmp(&(other.manager, other.subresource));
        self.operation.cmp(&other.operation).then_with(by_time).then_with(by_name)
    }
}

/// What is left of what each of these owns, for those who lose something. `None` if they would have to be asked.
pub(super) fn losses(list: &[Owner<'_>], comparison: &Comparison, force: Force) -> Option<Vec<Option<Vec<u8>>>> {
    let lost = [&comparison.added, &comparison.modified, &comparison.removed];
    let mut losses = Vec::with_capacity(list.len());
    for entry in list {
        let mut loses = false;
        for set in lost {
            loses |= entry.owns_any(set)?;
        }
        if !loses {
            losses.push(None);
            continue;
        }
        if force == Force::No {
            return None;
        }
        losses.push(Some(entry.without(&lost)?));
    }
    Some(losses)
}

/// Takes from each of these what it loses.
pub(super) fn lose<'a>(list: &mut Vec<Owner<'a>>, losses: &'a [Option<Vec<u8>>]) {
    for (entry, left) in list.iter_mut().zip(losses) {
        entry.fields = left.as_deref().unwrap_or(entry.fields);
    }
    list.retain(|entry| !entry.fields.is_empty());
}

/// What a set says of an element that is written so.
fn node<'s, 'n>(set: &'s FieldSet<'n>, key: Text<'_>) -> Option<&'s Node<'n>> {
    set.node(&Element::of(key.meant()?))
}

/// Whether the path that leads to the set at the cursor ends there, whatever else is in it.
fn ends_at(cursor: &Cursor<'_>) -> Option<bool> {
    let rest = cursor.bytes.get(cursor.at..)?;
    Some(rest.starts_with(b"{}") || rest.starts_with(b"{\".\":{}"))
}

/// Whether a path of the set at the cursor is in another one. `is_bare` if it has no braces around it.
fn touches(cursor: &mut Cursor<'_>, set: &FieldSet<'_>, is_bare: bool) -> Option<bool> {
    if !is_bare {
        cursor.expect(b'{')?;
    }
    let mut is_first = true;
    while cursor.at < cursor.bytes.len() && cursor.follows(b'}', &mut is_first)? {
        let Some(node) = node(set, cursor.key()?) else {
            cursor.value()?;
            continue;
        };
        if ends_at(cursor)? && node.is_member() {
            return Some(true);
        }
        if !node.has_children() {
            cursor.value()?;
        } else if touches(cursor, &node.children, false)? {
            return Some(true);
        }
    }
    Some(false)
}

/// Writes what is left of the set at the cursor without the paths of others. `is_bare` if it has no braces around it.
fn leave(cursor: &mut Cursor<'_>, lost: &[&FieldSet<'_>], is_bare: bool, left: &mut Paths) -> Option<()> {
    if !is_bare {
        cursor.expect(b'{')?;
    }
    let mut is_first = true;
    while cursor.at < cursor.bytes.len() && cursor.follows(b'}', &mut is_first)? {
        let start = cursor.at;
        let key = cursor.key()?;
        if key.raw == HERE.as_bytes() {
            cursor.value()?;
            continue;
        }
        let nodes: Vec<&Node<'_>> = lost.iter().filter_map(|set| node(set, key)).collect();
        if nodes.is_empty() {
            cursor.value()?;
            left.copy(&cursor.bytes[start..cursor.at]);
            continue;
        }
        let stays = ends_at(cursor)? && !nodes.iter().any(|node| node.is_member());
        let children: Vec<&FieldSet<'_>> = nodes.iter().map(|node| &node.children).collect();
        let open = left.open(Key::Written(key.raw), Member::from(stays));
        leave(cursor, &children, false, left)?;
        left.close(open);
    }
    Some(())
}

/// Whether all paths of a set are in another one.
pub(super) fn is_within(one: &[u8], other: &[u8]) -> bool {
    let [one, other] = [one, other].map(|set| [b"{", set, b"}"].concat());
    let decoded = |set| serde_json::from_slice::<FieldSet<'_>>(set).ok();
    decoded(&one).zip(decoded(&other)).is_some_and(|(one, other)| one.is_within(&other))
}

/// Writes a list of managers of one version.
pub(super) fn write(list: &[Owner<'_>], api_version: &str) -> Vec<u8> {
    let size: usize = list.iter().map(|entry| entry.fields.len() + entry.manager.len() + 256).sum();
    let mut bytes = Vec::with_capacity(size);
    for (index, entry) in list.iter().enumerate() {
        bytes.push(if index == 0 { b'[' } else { b',' });
        encoded::begin(api_version, &mut bytes);
        bytes.extend_from_slice(entry.fields);
        let Owner { manager, operation, subresource, time, .. } = *entry;
        encoded::end(&By { manager, operation, subresource, time }, &mut bytes);
    }
    bytes.push(b']');
    bytes
}
