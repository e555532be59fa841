//! A walk along an applied object and the stored one.

use std::cell::LazyCell;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::ops::Range;

use serde_json::Value;

use super::claim;
use super::edit::{Edit, Step};
use super::fields::IDENTITY;
use super::manifest::{Fields, Items, Part, Scalar};
use super::paths::{Key, Member, Paths};
use super::recorded::{self, Owner};
use super::segments::Segments;
use super::shape;
use super::stored::{Cursor, Text};
use crate::description::{ListType, Schema, Type};
use crate::encoded::value_from;
use crate::schema::{is_canonical_text, prune};

/// The walk.
///
/// Each step returns `None` where the two differ in a way that is not worth the effort, and where the schema has
/// something to say against what is applied.
pub(super) struct Walk<'a> {
    stored: Cursor<'a>,
    /// What is claimed.
    pub(super) paths: Paths,
    /// The version of all that is walked along.
    api_version: &'a str,
    pub(super) managers: Vec<Owner<'a>>,
    /// Where those stand.
    pub(super) place: Range<usize>,
    /// What differs.
    pub(super) edits: Vec<Edit>,
    /// Room for those of the next list.
    elements: Elements,
}

/// An object whose fields are walked along.
#[derive(Clone, Copy)]
enum Level<'s> {
    /// The metadata of an object with this schema.
    Metadata(Schema<'s>),
    Other,
}

/// How a value that is applied is taken apart; see [`shape::Parts`].
enum Parts<'m> {
    Whole,
    Object(Fields<'m>),
    List(Items<'m>),
}

fn parts<'m>(value: Part<'m>, schema: Schema<'_>) -> Parts<'m> {
    match value {
        Part::Object(fields) if shape::has_fields(Some(schema)) => Parts::Object(fields),
        Part::List(items) if shape::has_items(Some(schema)) => Parts::List(items),
        _ => Parts::Whole,
    }
}

/// A key at which the walk through an object stopped.
enum At<'a> {
    Key(usize, Text<'a>),
    /// The brace that ends it is there.
    End(usize),
}

impl<'a> Walk<'a> {
    pub(super) fn new(stored: &'a [u8], api_version: &'a str) -> Self {
        Self {
            stored: Cursor::new(stored),
            paths: Paths::new(),
            api_version,
            managers: Vec::new(),
            place: 0..0,
            edits: Vec::new(),
            elements: Elements::default(),
        }
    }

    /// The object itself, whose stored members are not all in the order of their names.
    pub(super) fn object(&mut self, applied: Fields<'_>, schema: Schema<'_>) -> Option<()> {
        let mut segments = Segments::with_capacity(applied.len());
        let mut found = 0;
        let mut is_first = true;
        self.stored.expect(b'{')?;
        while self.stored.follows(b'}', &mut is_first)? {
            let name = self.stored.key()?.plain()?;
            let value = applied.get(name);
            found += usize::from(value.is_some());
            let (start, edits) = (self.paths.bytes.len(), self.edits.len());
            match (name, value) {
                ("metadata", Some(Part::Object(fields))) => {
                    let open = self.paths.open(Key::Field("metadata"), Member::No);
                    self.fields(fields, schema.field("metadata")?, Level::Metadata(schema))?;
                    self.paths.close(open);
                    self.edited_inside(edits, || Step::Field("metadata".to_owned()));
                }
                // An object that is applied has a name there.
                ("metadata", _) => return None,
                ("apiVersion" | "kind", Some(value)) => self.whole(value, schema.field(name)?)?,
                (name, Some(value)) => self.field(name, value, schema)?,
                (_, None) => drop(self.stored.value()?),
            }
            segments.add(name, start, &self.paths);
        }
        segments.put_in_order(&mut self.paths)?;
        (found == applied.len() && self.stored.at == self.stored.bytes.len()).then_some(())
    }

    /// Notes for what was found to differ that it is inside of something.
    fn edited_inside(&mut self, from: usize, step: impl Fn() -> Step) {
        self.edits[from..].iter_mut().for_each(|edit| edit.inside(step()));
    }

    /// A field of an object that is there, and the path to it.
    fn field(&mut self, name: &str, value: Part<'_>, around: Schema<'_>) -> Option<()> {
        let (inner, is_named) = field_of(around, name)?;
        let open = self.paths.open(Key::Field(name), member(value, inner, is_named));
        match parts(value, inner) {
            Parts::Whole => self.leaf(name, value, (around, inner))?,
            parts => {
                let edits = self.edits.len();
                self.parts(parts, inner)?;
                self.edited_inside(edits, || Step::Field(name.to_owned()));
            }
        }
        self.paths.close(open);
        Some(())
    }

    /// What is in a value whose parts have owners.
    fn parts(&mut self, parts: Parts<'_>, schema: Schema<'_>) -> Option<()> {
        match parts {
            Parts::Object(fields) => self.fields(fields, schema, Level::Other),
            Parts::List(list) => self.items(list, schema),
            Parts::Whole => None,
        }
    }

    /// A value that has one owner, the one that is there or another one.
    fn leaf(&mut self, name: &str, value: Part<'_>, (around, inner): (Schema<'_>, Schema<'_>)) -> Option<()> {
        let start = self.stored.at;
        if self.whole(value, inner).is_some() {
            return Some(());
        }
        self.stored.at = start;
        let old: Value = serde_json::from_slice(self.stored.value()?).ok()?;
        if !matches!(shape::parts(&old, Some(inner)), shape::Parts::Whole) {
            return None;
        }
        let range = start..self.stored.at;
        let edit = Edit::new(range, name, (Some(&old), &value.to_value()), (around, inner))?;
        self.edits.push(edit);
        Some(())
    }

    fn fields(&mut self, applied: Fields<'_>, schema: Schema<'_>, level: Level<'_>) -> Option<()> {
        self.stored.expect(b'{')?;
        let start = self.stored.at;
        let mut is_first = true;
        let mut stopped = None;
        // Both are in the order of their names.
        for (name, value) in applied.iter() {
            let (at, is_there) = loop {
                let at = match stopped.take() {
                    Some(at) => at,
                    None if self.stored.follows(b'}', &mut is_first)? => At::Key(self.stored.at, self.stored.key()?),
                    None => At::End(self.stored.at - 1),
                };
                match at {
                    At::Key(_, key) => match key.order(name)? {
                        Ordering::Less => self.pass(key, level)?,
                        Ordering::Equal => break (at, true),
                        Ordering::Greater => break (at, false),
                    },
                    At::End(_) => break (at, false),
                }
            };
            let is_identity = matches!(level, Level::Metadata(_)) && IDENTITY.contains(&name);
            match is_there {
                true if is_identity => self.whole(value, schema.field(name)?)?,
                true => self.field(name, value, schema)?,
                false if is_identity => return None,
                false => {
                    self.new_field(name, value, schema, &at, start)?;
                    stopped = Some(at);
                }
            }
        }
        loop {
            match stopped.take() {
                Some(At::End(_)) => return Some(()),
                Some(At::Key(_, key)) => self.pass(key, level)?,
                None => {
                    if !self.stored.follows(b'}', &mut is_first)? {
                        return Some(());
                    }
                    let key = self.stored.key()?;
                    self.pass(key, level)?;
                }
            }
        }
    }

    /// Passes a stored field of which nothing is applied.
    fn pass(&mut self, key: Text<'_>, level: Level<'_>) -> Option<()> {
        match level {
            Level::Metadata(root) if key.is("managedFields") => {
                let start = self.stored.at;
                self.managers = recorded::read(&mut self.stored, self.api_version, root)?;
                self.place = start..self.stored.at;
            }
            _ => drop(self.stored.value()?),
        }
        Some(())
    }

    /// A field that comes before a key, or at the end of an object whose first field stands at `start`.
    fn new_field(&mut self, name: &str, value: Part<'_>, around: Schema<'_>, at: &At<'_>, start: usize) -> Option<()> {
        let (inner, is_named) = field_of(around, name)?;
        let (place, before_others) = match at {
            At::Key(place, _) => (*place, true),
            At::End(place) => (*place, false),
        };
        let tree = value.to_value();
        let mut edit = Edit::new(place..place, name, (None, &tree), (around, inner))?;
        let is_only = place == start && self.edits.last().is_none_or(|edit| edit.written().0.start != place);
        edit.insert(before_others, is_only);
        self.edits.push(edit);
        let open = self.paths.open(Key::Field(name), member(value, inner, is_named));
        let inside = claim::field_set(&tree, Some(inner)).encoded();
        if !inside.is_empty() {
            self.paths.copy(&inside);
        }
        self.paths.close(open);
        Some(())
    }

    /// Items that have owners: they are there in this order, with others between them.
    fn items(&mut self, applied: Items<'_>, schema: Schema<'_>) -> Option<()> {
        // Those of lists in it are read while these are looked at.
        let mut elements = std::mem::take(&mut self.elements);
        elements.read(applied, schema)?;
        self.items_told_apart(applied, &elements, schema)?;
        self.elements = elements;
        Some(())
    }

    fn items_told_apart(&mut self, applied: Items<'_>, elements: &Elements, schema: Schema<'_>) -> Option<()> {
        let inner = schema.items()?;
        // Of most lists nobody asks.
        let among = LazyCell::new(|| elements.iter().collect::<HashSet<&str>>());
        let mut segments = Segments::with_capacity(applied.len());
        let mut next = 0;
        let mut place = 0;
        let mut is_first = true;
        self.stored.expect(b'[')?;
        while self.stored.follows(b']', &mut is_first)? {
            match (elements.get(next), applied.get(next)) {
                (Some(element), Some(item)) if self.is_item(item, schema)? => {
                    let (length, edits) = (self.paths.bytes.len(), self.edits.len());
                    let open = self.paths.open(Key::Item(element), Member::Yes);
                    match parts(item, inner) {
                        Parts::Whole => self.whole(item, inner)?,
                        parts => self.parts(parts, inner)?,
                    }
                    self.paths.close(open);
                    self.edited_inside(edits, || Step::Item(element.to_owned(), place));
                    segments.add(element, length, &self.paths);
                    next += 1;
                }
                _ => {
                    // One that is not applied stays, wherever it is.
                    let item = serde_json::from_slice(self.stored.value()?).ok()?;
                    if shape::element_of(&item, Some(schema)).is_ok_and(|element| among.contains(&*element)) {
                        return None;
                    }
                }
            }
            place += 1;
        }
        segments.put_in_order(&mut self.paths)?;
        (next == applied.len()).then_some(())
    }

    /// Whether the stored item that begins here is this one.
    fn is_item(&self, item: Part<'_>, schema: Schema<'_>) -> Option<bool> {
        let rest = self.stored.bytes.get(self.stored.at..)?;
        match schema.list_type() {
            ListType::Map(keys) => {
                let is_same = |key: &str| {
                    let wanted = shape::key_value(Some(schema), key, |key| item.at(&[key]).map(Scalar::from));
                    match (value_from(rest, &[key]), wanted) {
                        (Some(found), Some(wanted)) => same(&mut Cursor::new(found), wanted).is_some(),
                        (Some(_), None) => false,
                        (None, wanted) => wanted == shape::key_value(Some(schema), key, |_| None),
                    }
                };
                Some(keys.iter().all(|key| is_same(key)))
            }
            _ => Some(same(&mut Cursor::new(rest), item.into()).is_some()),
        }
    }

    /// A value that has one owner: all of it is there, and nothing else.
    fn whole(&mut self, value: Part<'_>, schema: Schema<'_>) -> Option<()> {
        match (schema.r#type(), value) {
            (Type::Struct(_) | Type::Map(_), Part::Object(fields)) => {
                let mut is_first = true;
                self.stored.expect(b'{')?;
                for (name, value) in fields.iter() {
                    if !self.stored.follows(b'}', &mut is_first)? || !self.stored.key()?.is(name) {
                        return None;
                    }
                    self.whole(value, schema.field(name)?)?;
                }
                self.stored.expect(b'}')
            }
            (Type::List(_), Part::List(list)) => {
                if !schema.is_atomic() {
                    self.elements.read(list, schema)?;
                    if !self.elements.are_different() {
                        return None;
                    }
                }
                let mut is_first = true;
                self.stored.expect(b'[')?;
                for item in list.iter() {
                    if !self.stored.follows(b']', &mut is_first)? {
                        return None;
                    }
                    self.whole(item, schema.items()?)?;
                }
                self.stored.expect(b']')
            }
            (Type::Struct(_) | Type::Map(_) | Type::List(_), _) => None,
            // Of these the schema says nothing, so that they have one form.
            (Type::Any | Type::Dynamic, value) => {
                let stored = self.stored.value()?;
                (*stored == serde_json::to_vec(&value.to_value()).ok()?).then_some(())
            }
            (r#type, scalar) if claim::wanted_instead(r#type, &scalar.into()).is_some() => None,
            (r#type, scalar) if is_canonical_text(r#type, scalar.as_text()) => same(&mut self.stored, scalar.into()),
            (_, scalar) => {
                let mut scalar = scalar.to_value();
                drop(prune(&mut scalar, schema));
                same(&mut self.stored, (&scalar).into())
            }
        }
    }
}

/// The place of a field, and whether the schema names it.
fn field_of<'s>(around: Schema<'s>, name: &str) -> Option<(Schema<'s>, bool)> {
    match around.definition().and_then(|definition| definition.fields.get(name)) {
        Some(field) => Some((around.at(field), true)),
        None => Some((around.field(name)?, false)),
    }
}

/// Whether a path ends at a field that is applied.
fn member(value: Part<'_>, place: Schema<'_>, is_named: bool) -> Member {
    let is_empty = matches!(value, Part::Object(fields) if fields.is_empty());
    let has_parts = !matches!(parts(value, place), Parts::Whole);
    Member::from(!is_named || is_empty || !has_parts)
}

/// Passes a value that is neither an object nor a list if it is this one.
fn same(stored: &mut Cursor<'_>, value: Scalar<'_>) -> Option<()> {
    let is_same = match value {
        Scalar::Text(text) => stored.text()?.is(text),
        Scalar::Bool(true) => stored.passes(b"true"),
        Scalar::Bool(false) => stored.passes(b"false"),
        Scalar::Number(number) => stored.is_written(number)?,
        Scalar::Other => false,
    };
    is_same.then_some(())
}

/// The elements of the items of a list, one behind the other.
#[derive(Default)]
struct Elements {
    text: String,
    ends: Vec<usize>,
}

impl Elements {
    /// Takes those of items that are applied, in place of others. `None` if one has none.
    fn read(&mut self, applied: Items<'_>, schema: Schema<'_>) -> Option<()> {
        self.text.clear();
        self.ends.clear();
        self.ends.reserve(applied.len());
        for item in applied.iter() {
            let given = |key: &str| item.at(&[key]).map(Scalar::from);
            if !shape::write_keys(Some(schema), given, &mut self.text) {
                shape::write_element(&item.to_value(), Some(schema), &mut self.text).ok()?;
            }
            self.ends.push(self.text.len());
        }
        Some(())
    }

    /// Whether no two items are told apart by the same.
    fn are_different(&self) -> bool {
        let mut sorted: Vec<&str> = self.iter().collect();
        sorted.sort_unstable();
        sorted.windows(2).all(|pair| pair[0] != pair[1])
    }

    fn get(&self, place: usize) -> Option<&str> {
        let start = place.checked_sub(1).map_or(Some(&0), |before| self.ends.get(before))?;
        Some(&self.text[*start..*self.ends.get(place)?])
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len()).filter_map(|place| self.get(place))
    }
}
