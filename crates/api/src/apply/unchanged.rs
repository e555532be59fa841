//! Applies that leave the object as it is, found in its stored bytes.
//!
//! Most applies say again what is there, or are the first of a manager who says what is there. Of those nothing but
//! the list of managers is written, and neither the object nor what the other managers own needs to be decoded: one
//! walk along the applied object and the stored bytes holds the one against its schema and against the other, and
//! writes down the paths that are claimed.

use std::ops::Range;

use serde_json::{Map, Value};

use super::fields::IDENTITY;
use super::paths::{Key, Member, Paths};
use super::recorded::{self, Owner};
use super::stored::Cursor;
use super::{Kind, Manager, last_applied, shape};
use crate::description::{ListType, Schema, Type};
use crate::schema::{is_canonical, prune};

#[cfg(test)]
mod tests;

/// What is written of an apply that leaves the object as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unchanged {
    /// The new `managedFields`, encoded; `None` if they are as they were.
    pub managers: Option<Vec<u8>>,
    /// Where the old ones stand in the stored bytes.
    pub place: Range<usize>,
}

/// Applies `applied` to a stored object, if that changes nothing but the managers: what [`super::apply_apart`] would
/// say then, whether it is forced or not.
///
/// `None` does not mean that something changes: it is said of all that is not worth the effort too, of errors for
/// instance. The whole way has to be gone then.
pub fn apply_unchanged(stored: &[u8], applied: &Value, kind: &Kind<'_>, manager: &Manager<'_>) -> Option<Unchanged> {
    let applied = applied.as_object()?;
    let is_there = |path: &[&str]| match path {
        [first, rest @ ..] => rest.iter().try_fold(applied.get(*first)?, |value, name| value.get(*name)),
        [] => None,
    };
    if kind.ignored.iter().any(|path| is_there(path).is_some()) || is_there(&["metadata", "managedFields"]).is_some() {
        return None;
    }
    if manager.name == last_applied::KUBECTL
        && crate::encoded::raw_at(stored, &["metadata", "annotations", last_applied::ANNOTATION]).is_some()
    {
        return None;
    }
    let mut walk = Walk {
        stored: Cursor::new(stored),
        paths: Paths::new(),
        api_version: manager.api_version,
        managers: Vec::new(),
        place: 0..0,
    };
    walk.object(applied, kind.schema)?;
    let Walk { paths, managers: mut list, place, .. } = walk;
    let owned = Some(paths.bytes).filter(|owned| !owned.is_empty() && !list.is_empty())?;
    match list.iter_mut().find(|entry| entry.applies_as(manager)) {
        // What nobody owns any more would go.
        Some(entry) if entry.fields != owned && !recorded::is_within(entry.fields, &owned) => return None,
        Some(entry) => entry.fields = &owned,
        None => list.push(Owner::agreeing(manager, &owned)),
    }
    list.sort_by(Owner::order);
    let managers = recorded::write(&list, manager.api_version);
    Some(Unchanged { managers: Some(managers).filter(|managers| **managers != stored[place.clone()]), place })
}

/// A walk along an applied object and the stored one.
///
/// Each step returns `None` where the two differ in what is applied, and where the schema has something to say
/// against it.
struct Walk<'a> {
    stored: Cursor<'a>,
    /// What is claimed.
    paths: Paths,
    /// The version of all that is walked along.
    api_version: &'a str,
    managers: Vec<Owner<'a>>,
    /// Where those stand.
    place: Range<usize>,
}

impl Walk<'_> {
    /// The object itself, whose stored members are not all in the order of their names.
    fn object(&mut self, applied: &Map<String, Value>, schema: Schema<'_>) -> Option<()> {
        let mut segments = Segments::default();
        let mut found = 0;
        let mut is_first = true;
        self.stored.expect(b'{')?;
        while self.stored.follows(b'}', &mut is_first)? {
            let name = self.stored.key()?.plain()?;
            let value = applied.get(name);
            found += usize::from(value.is_some());
            match (name, value) {
                ("metadata", Some(Value::Object(fields))) => {
                    let start = self.paths.bytes.len();
                    let open = self.paths.open(Key::Field("metadata"), Member::No);
                    self.metadata(fields, schema)?;
                    self.paths.close(open);
                    segments.add(name, start, &self.paths);
                }
                // An object that is applied has a name there.
                ("metadata", _) => return None,
                ("apiVersion" | "kind", Some(value)) => self.whole(value, schema.field(name)?)?,
                (name, Some(value)) => {
                    let start = self.paths.bytes.len();
                    self.field(name, value, schema)?;
                    segments.add(name, start, &self.paths);
                }
                (_, None) => drop(self.stored.value()?),
            }
        }
        segments.put_in_order(&mut self.paths);
        (found == applied.len() && self.stored.at == self.stored.bytes.len()).then_some(())
    }

    fn metadata(&mut self, applied: &Map<String, Value>, root: Schema<'_>) -> Option<()> {
        let schema = root.field("metadata")?;
        let mut wanted = applied.iter().peekable();
        let mut is_first = true;
        self.stored.expect(b'{')?;
        while self.stored.follows(b'}', &mut is_first)? {
            let key = self.stored.key()?.plain()?;
            match wanted.next_if(|(name, _)| *name == key) {
                _ if key == "managedFields" => {
                    let start = self.stored.at;
                    self.managers = recorded::read(&mut self.stored, self.api_version, root)?;
                    self.place = start..self.stored.at;
                }
                Some((name, value)) if IDENTITY.contains(&name.as_str()) => {
                    self.whole(value, schema.field(name)?)?;
                }
                Some((name, value)) => self.field(name, value, schema)?,
                None => drop(self.stored.value()?),
            }
        }
        wanted.next().is_none().then_some(())
    }

    /// A field of an object, and the path to it.
    fn field(&mut self, name: &str, value: &Value, around: Schema<'_>) -> Option<()> {
        let (inner, is_named) = match around.r#type() {
            Type::Struct(_) => (around.at(around.definition()?.fields.get(name)?), true),
            Type::Map(_) => (around.values()?, false),
            _ => return None,
        };
        let is_empty = value.as_object().is_some_and(Map::is_empty);
        let is_taken_apart = has_parts(value, inner);
        let open = self.paths.open(Key::Field(name), Member::from(!is_named || is_empty || !is_taken_apart));
        if is_taken_apart {
            self.parts(value, inner)?
        } else {
            self.whole(value, inner)?
        }
        self.paths.close(open);
        Some(())
    }

    /// What is in a value whose parts have owners.
    fn parts(&mut self, value: &Value, schema: Schema<'_>) -> Option<()> {
        match value {
            Value::Object(fields) => self.fields(fields, schema),
            Value::Array(list) => self.items(list, schema),
            _ => None,
        }
    }

    fn fields(&mut self, applied: &Map<String, Value>, schema: Schema<'_>) -> Option<()> {
        self.stored.expect(b'{')?;
        let mut is_first = true;
        // Both are in the order of their names.
        for (name, value) in applied {
            loop {
                if !self.stored.follows(b'}', &mut is_first)? {
                    return None;
                }
                let key = self.stored.key()?;
                if key.is(name) {
                    break;
                }
                self.stored.value()?;
            }
            self.field(name, value, schema)?;
        }
        self.stored.rest_of_object()
    }

    /// Items that have owners: they are there in this order, with others between them.
    fn items(&mut self, applied: &[Value], schema: Schema<'_>) -> Option<()> {
        let inner = schema.items()?;
        let elements = elements(applied, schema)?;
        let mut segments = Segments::default();
        let mut next = 0;
        let mut is_first = true;
        self.stored.expect(b'[')?;
        while self.stored.follows(b']', &mut is_first)? {
            if let (Some(element), Some(item)) = (elements.get(next), applied.get(next)) {
                let (at, length, empty) = (self.stored.at, self.paths.bytes.len(), self.paths.empty);
                let open = self.paths.open(Key::Item(element), Member::Yes);
                // If all that is applied of it is there, then so are the fields that tell it apart.
                let is_found = if has_parts(item, inner) { self.parts(item, inner) } else { self.whole(item, inner) };
                if is_found.is_some() && (names_all_keys(item, schema) || self.is_element(at, element, schema)) {
                    self.paths.close(open);
                    segments.add(element, length, &self.paths);
                    next += 1;
                    continue;
                }
                self.stored.at = at;
                self.paths.bytes.truncate(length);
                self.paths.empty = empty;
            }
            // One that is not applied stays, wherever it is.
            let item: Value = serde_json::from_slice(self.stored.value()?).ok()?;
            if !elements.is_empty()
                && shape::element_of(&item, Some(schema)).is_ok_and(|element| elements.contains(&element))
            {
                return None;
            }
        }
        segments.put_in_order(&mut self.paths);
        (next == applied.len()).then_some(())
    }

    /// Whether the stored item that begins there is this one.
    fn is_element(&self, at: usize, element: &str, schema: Schema<'_>) -> bool {
        let item = serde_json::from_slice::<Value>(&self.stored.bytes[at..self.stored.at]).ok();
        item.and_then(|item| shape::element_of(&item, Some(schema)).ok()).is_some_and(|found| found == element)
    }

    /// A value that has one owner: all of it is there, and nothing else.
    fn whole(&mut self, value: &Value, schema: Schema<'_>) -> Option<()> {
        match (schema.r#type(), value) {
            (Type::Struct(_) | Type::Map(_), Value::Object(fields)) => {
                let mut is_first = true;
                self.stored.expect(b'{')?;
                for (name, value) in fields {
                    if !self.stored.follows(b'}', &mut is_first)? || !self.stored.key()?.is(name) {
                        return None;
                    }
                    self.whole(value, schema.field(name)?)?;
                }
                self.stored.expect(b'}')
            }
            (Type::List(_), Value::Array(list)) => {
                if !schema.is_atomic() {
                    elements(list, schema)?;
                }
                let mut is_first = true;
                self.stored.expect(b'[')?;
                for item in list {
                    if !self.stored.follows(b']', &mut is_first)? {
                        return None;
                    }
                    self.whole(item, schema.items()?)?;
                }
                self.stored.expect(b']')
            }
            (r#type, scalar) => self.scalar(scalar, r#type, schema),
        }
    }

    fn scalar(&mut self, value: &Value, r#type: &Type, schema: Schema<'_>) -> Option<()> {
        let fits = match r#type {
            Type::Int32 | Type::Int64 | Type::Number => value.is_number(),
            Type::Boolean => value.is_boolean(),
            Type::String | Type::Bytes | Type::Time | Type::MicroTime => value.is_string(),
            Type::Quantity | Type::IntOrString => value.is_string() || value.is_number(),
            _ => false,
        };
        if !fits {
            return None;
        }
        if is_canonical(r#type, value) {
            return self.same(value);
        }
        let mut value = value.clone();
        prune(&mut value, schema);
        self.same(&value)
    }

    /// Passes a value that is neither an object nor a list if it is this one.
    fn same(&mut self, value: &Value) -> Option<()> {
        let is_same = match value {
            Value::String(text) => self.stored.text()?.is(text),
            Value::Bool(true) => self.stored.passes(b"true"),
            Value::Bool(false) => self.stored.passes(b"false"),
            number @ Value::Number(_) => self.stored.word()? == number.to_string().as_bytes(),
            _ => false,
        };
        is_same.then_some(())
    }
}

/// Whether the parts of a value have owners of their own.
fn has_parts(value: &Value, schema: Schema<'_>) -> bool {
    let is_split = match schema.r#type() {
        Type::Struct(_) | Type::Map(_) => value.is_object(),
        Type::List(_) => value.is_array(),
        _ => false,
    };
    is_split && !schema.is_atomic()
}

/// The elements of items that are applied. `None` if one cannot be told apart from the others.
fn elements(applied: &[Value], schema: Schema<'_>) -> Option<Vec<String>> {
    let mut elements: Vec<String> = Vec::with_capacity(applied.len());
    for item in applied {
        elements.push(shape::element_of(item, Some(schema)).ok()?);
    }
    let mut sorted: Vec<&str> = elements.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let is_unique = sorted.windows(2).all(|pair| pair[0] != pair[1]);
    is_unique.then_some(elements)
}

/// Whether an item names all that tells it apart from others, so that nothing of that is filled in.
fn names_all_keys(item: &Value, schema: Schema<'_>) -> bool {
    match schema.list_type() {
        ListType::Map(keys) => keys.iter().all(|key| item.get(&**key).is_some()),
        _ => true,
    }
}

/// Elements of one level that are written, in whatever order they came.
#[derive(Default)]
struct Segments<'k> {
    written: Vec<(&'k str, Range<usize>)>,
}

impl<'k> Segments<'k> {
    /// Notes what was written from `start` on for an element, if anything was.
    fn add(&mut self, element: &'k str, start: usize, paths: &Paths) {
        let end = paths.bytes.len();
        if end > start {
            self.written.push((element, start + usize::from(paths.bytes[start] == b',')..end));
        }
    }

    fn put_in_order(mut self, paths: &mut Paths) {
        let Some(first) = self.written.first().map(|(_, range)| range.start) else { return };
        if self.written.is_sorted_by_key(|(element, _)| *element) {
            return;
        }
        self.written.sort_by_key(|(element, _)| *element);
        let written = paths.bytes.split_off(first);
        for (index, (_, range)) in self.written.into_iter().enumerate() {
            if index > 0 {
                paths.bytes.push(b',');
            }
            paths.bytes.extend_from_slice(&written[range.start - first..range.end - first]);
        }
    }
}
