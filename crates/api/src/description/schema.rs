//! Schemas, and a cursor that walks them.

use std::collections::HashMap;

use serde_json::Value;

use super::fields::Fields;
use super::{GroupVersionKind, Name, OwnedKind, builtin};

/// Definitions that refer to each other.
#[derive(Debug)]
pub struct Table {
    /// All of them.
    pub definitions: Vec<Definition>,
    by_name: HashMap<Name, usize>,
    /// By group, version and kind.
    by_kind: HashMap<OwnedKind, usize>,
}

impl Table {
    /// A table of these definitions, whose types refer to each other by their place.
    pub fn new(definitions: Vec<Definition>) -> Self {
        let by_name = definitions.iter().enumerate().map(|(index, it)| (it.name.clone(), index)).collect();
        let by_kind =
            definitions.iter().enumerate().filter_map(|(index, it)| Some((it.kind.clone()?, index))).collect();
        Self { definitions, by_name, by_kind }
    }

    /// The definition of a kind.
    pub fn of_kind(&self, kind: GroupVersionKind<'_>) -> Option<&Definition> {
        self.by_kind.get(&kind as &dyn KindKey).map(|index| &self.definitions[*index])
    }

    /// The schema of a kind.
    pub fn schema(&self, kind: GroupVersionKind<'_>) -> Option<Schema<'_>> {
        self.by_kind.get(&kind as &dyn KindKey).map(|index| Schema::of_definition(self, *index))
    }

    /// The schema of a definition.
    pub fn named(&self, name: &str) -> Option<Schema<'_>> {
        self.by_name.get(name).map(|index| Schema::of_definition(self, *index))
    }

    /// The place of a definition.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }
}

/// What a table is asked for by kind: names that it owns, or borrowed ones.
trait KindKey {
    fn key(&self) -> GroupVersionKind<'_>;
}

impl KindKey for OwnedKind {
    fn key(&self) -> GroupVersionKind<'_> {
        self.borrowed()
    }
}

impl KindKey for GroupVersionKind<'_> {
    fn key(&self) -> GroupVersionKind<'_> {
        *self
    }
}

impl PartialEq for dyn KindKey + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for dyn KindKey + '_ {}

impl std::hash::Hash for dyn KindKey + '_ {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl<'a> std::borrow::Borrow<dyn KindKey + 'a> for OwnedKind {
    fn borrow(&self) -> &(dyn KindKey + 'a) {
        self
    }
}

/// A named schema.
#[derive(Debug)]
pub struct Definition {
    /// Name, for example `io.k8s.api.core.v1.Pod`.
    pub name: Name,
    /// The kind that it defines, if it is one.
    pub kind: Option<OwnedKind>,
    /// Whether its objects have one owner as a whole.
    pub atomic: bool,
    /// Whether its objects may have fields that it does not know; those are [`Type::Dynamic`].
    pub open: bool,
    /// Whether it is a kind whose status is written apart.
    pub has_status: bool,
    /// The type of its values: [`Type::Struct`] of itself, or something simple such as a quantity.
    pub r#type: Type,
    /// Its fields, sorted by name; empty if the type is simple.
    pub fields: Fields,
}

impl Definition {
    /// The fields that are in every object of this definition, if only as null.
    pub(crate) fn always(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| field.is_always)
    }
}

/// A field of an object.
#[derive(Debug)]
pub struct Field {
    /// Name.
    pub name: Name,
    /// Whether it must be present.
    pub required: bool,
    /// The type of its value.
    pub r#type: Type,
    /// The definition that the document refers to, if any.
    pub(crate) reference: Option<usize>,
    /// How its value is owned and merged if it is a list.
    pub list: ListType,
    /// Whether its value has one owner as a whole although it is an object.
    pub atomic: bool,
    /// How a strategic merge patch treats it.
    pub patch: PatchStrategy,
    /// Which field tells the items of a list apart in a strategic merge patch.
    pub patch_merge_key: Option<Name>,
    /// Whether a value with nothing in it is as good as none: upstream's types cannot tell the two apart.
    pub(crate) leaves_out_empty: bool,
    /// Whether upstream's types have it in every object.
    pub(crate) is_always: bool,
    /// Whether it is something there even if nobody sets it, and not null.
    pub(crate) is_never_null: bool,
    /// What an item that lacks this field has there, for fields that tell items apart.
    pub(crate) default: Option<Value>,
}

/// The type of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// Anything; one owner for all of it.
    Any,
    /// Anything, with owners as its values suggest: objects field by field, all else as a whole.
    Dynamic,
    /// Text.
    String,
    /// Base64.
    Bytes,
    /// RFC 3339 with seconds.
    Time,
    /// RFC 3339 with microseconds.
    MicroTime,
    /// True or false.
    Boolean,
    /// An integer of 32 bits.
    Int32,
    /// An integer of 64 bits.
    Int64,
    /// A floating point number.
    Number,
    /// An amount such as `100m` or `1Gi`; a bare number is accepted.
    Quantity,
    /// A 32 bit integer or text.
    IntOrString,
    /// An object with the fields of a definition.
    Struct(usize),
    /// What a definition that is built in says, in a table of another. A cursor never shows this.
    Builtin(usize),
    /// An object with values of one type.
    Map(Box<Type>),
    /// A list with items of one type.
    List(Box<Type>),
}

/// How server-side apply treats a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ListType {
    /// One owner for the whole list.
    #[default]
    Atomic,
    /// Scalars, each at most once, each with its owners.
    Set,
    /// Objects told apart by these fields, each with its owners.
    Map(Vec<Name>),
}

/// How a strategic merge patch treats a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PatchStrategy {
    /// Lists are merged item by item.
    pub merge: bool,
    /// The value is replaced as a whole.
    pub replace: bool,
    /// `$retainKeys` is understood.
    pub retain_keys: bool,
}

static ATOMIC: ListType = ListType::Atomic;
static DYNAMIC: Type = Type::Dynamic;

/// A place in the schema of a kind: the type there, and how the value there is merged.
#[derive(Debug, Clone, Copy)]
pub struct Schema<'a> {
    table: &'a Table,
    r#type: &'a Type,
    field: Option<&'a Field>,
}

impl<'a> Schema<'a> {
    pub(crate) fn of_definition(table: &'a Table, index: usize) -> Self {
        Self::of_type(table, &table.definitions[index].r#type, None)
    }

    fn of_type(table: &'a Table, r#type: &'a Type, field: Option<&'a Field>) -> Self {
        match r#type {
            Type::Builtin(index) => {
                let table = &*builtin().definitions;
                Self { table, r#type: &table.definitions[*index].r#type, field }
            }
            _ => Self { table, r#type, field },
        }
    }

    /// The type here.
    pub fn r#type(self) -> &'a Type {
        self.r#type
    }

    /// The definition here, if the value is an object with known fields.
    pub fn definition(self) -> Option<&'a Definition> {
        match self.r#type {
            Type::Struct(index) => Some(&self.table.definitions[*index]),
            _ => None,
        }
    }

    /// Which of the definitions that are built in is here, if it is one of them.
    pub(crate) fn builtin_definition(self) -> Option<usize> {
        match self.r#type {
            Type::Struct(index) if std::ptr::eq(self.table, &*builtin().definitions) => Some(*index),
            _ => None,
        }
    }

    /// The fields of the object here; empty if its fields are not known.
    pub fn fields(self) -> &'a [Field] {
        self.definition().map_or(&[], |definition| &definition.fields)
    }

    /// The place of a known field, or of a value of a map.
    pub fn field(self, name: &str) -> Option<Schema<'a>> {
        match self.r#type {
            Type::Struct(index) => {
                let definition = &self.table.definitions[*index];
                match definition.fields.get(name) {
                    Some(field) => Some(self.at(field)),
                    None => definition.open.then_some(Self { r#type: &DYNAMIC, field: None, ..self }),
                }
            }
            Type::Map(values) => Some(Self::of_type(self.table, values, None)),
            Type::Dynamic => Some(Self { field: None, ..self }),
            _ => None,
        }
    }

    /// The place of a field of the definition here.
    pub fn at(self, field: &'a Field) -> Schema<'a> {
        Self::of_type(self.table, &field.r#type, Some(field))
    }

    /// The place of a list's items.
    pub fn items(self) -> Option<Schema<'a>> {
        match self.r#type {
            Type::List(items) => Some(Self::of_type(self.table, items, None)),
            Type::Dynamic => Some(Self { field: None, ..self }),
            _ => None,
        }
    }

    /// The place of a map's values.
    pub fn values(self) -> Option<Schema<'a>> {
        match self.r#type {
            Type::Map(values) => Some(Self::of_type(self.table, values, None)),
            _ => None,
        }
    }

    /// Whether a value here is as good as none: a zero, or an empty text, list or map of a field that upstream
    /// leaves out then.
    #[inline]
    pub(crate) fn leaves_out(self, value: &Value) -> bool {
        self.field.is_some_and(|field| field.leaves_out_empty)
            && match value {
                Value::Null => true,
                Value::Bool(value) => !value,
                Value::Number(number) => number.as_f64() == Some(0.0),
                Value::String(text) => text.is_empty(),
                Value::Array(items) => items.is_empty(),
                Value::Object(fields) => fields.is_empty(),
            }
    }

    /// Whether upstream's types have the field here in every object.
    pub(crate) fn is_always(self) -> bool {
        self.field.is_some_and(|field| field.is_always)
    }

    /// What an object that lacks this field has there, as far as its schema says.
    pub(crate) fn default(self) -> Option<&'a Value> {
        self.field?.default.as_ref()
    }

    /// How server-side apply treats the list here.
    pub fn list_type(self) -> &'a ListType {
        self.field.map_or(&ATOMIC, |field| &field.list)
    }

    /// Whether the value here has one owner as a whole. For [`Type::Dynamic`] that is only so of values that
    /// are no objects.
    pub fn is_atomic(self) -> bool {
        match self.r#type {
            Type::List(_) => *self.list_type() == ListType::Atomic,
            Type::Dynamic => false,
            Type::Struct(_) | Type::Map(_) => {
                self.field.is_some_and(|field| field.atomic) || self.definition().is_some_and(|it| it.atomic)
            }
            _ => true,
        }
    }

    /// Whether the value here is an object of any kind that is kept as it came, as the data of a revision: it has one
    /// owner as a whole.
    pub(crate) fn is_raw(self) -> bool {
        matches!(self.r#type, Type::Any) && self.field.is_some_and(|field| field.reference.is_some())
    }

    /// How a strategic merge patch treats the value here.
    pub fn patch_strategy(self) -> PatchStrategy {
        self.field.map(|field| field.patch).unwrap_or_default()
    }

    /// Which field tells items apart in a strategic merge patch.
    pub fn patch_merge_key(self) -> Option<&'a str> {
        self.field.and_then(|field| field.patch_merge_key.as_deref())
    }
}
