//! Schemas, and a cursor that walks them.

use super::{Description, GroupVersionKind};

/// A named schema.
#[derive(Debug)]
pub struct Definition {
    /// Name, for example `io.k8s.api.core.v1.Pod`.
    pub name: &'static str,
    /// The kind that it defines, if it is one.
    pub kind: Option<GroupVersionKind<'static>>,
    /// Whether its objects have one owner as a whole.
    pub atomic: bool,
    /// The type of its values: [`Type::Struct`] of itself, or something simple such as a quantity.
    pub r#type: Type,
    /// Its fields, sorted by name; empty if the type is simple.
    pub fields: Vec<Field>,
}

/// A field of an object.
#[derive(Debug)]
pub struct Field {
    /// Name.
    pub name: &'static str,
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
    pub patch_merge_key: Option<&'static str>,
}

/// The type of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// Anything.
    Any,
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
    Map(Vec<&'static str>),
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

/// A place in the schema of a kind: the type there, and how the value there is merged.
#[derive(Debug, Clone, Copy)]
pub struct Schema<'a> {
    description: &'a Description,
    r#type: &'a Type,
    field: Option<&'a Field>,
}

impl<'a> Schema<'a> {
    pub(super) fn of_definition(description: &'a Description, index: usize) -> Self {
        let r#type = &description.definitions[index].r#type;
        Self { description, r#type, field: None }
    }

    /// The type here.
    pub fn r#type(self) -> &'a Type {
        self.r#type
    }

    /// The definition here, if the value is an object with known fields.
    pub fn definition(self) -> Option<&'a Definition> {
        match self.r#type {
            Type::Struct(index) => Some(&self.description.definitions[*index]),
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
            Type::Struct(_) => {
                let fields = self.fields();
                let index = fields.binary_search_by(|field| field.name.cmp(name)).ok()?;
                Some(self.at(&fields[index]))
            }
            Type::Map(values) => Some(Self { r#type: values, field: None, ..self }),
            _ => None,
        }
    }

    /// The place of a field of the definition here.
    pub fn at(self, field: &'a Field) -> Schema<'a> {
        Self { description: self.description, r#type: &field.r#type, field: Some(field) }
    }

    /// The place of a list's items.
    pub fn items(self) -> Option<Schema<'a>> {
        match self.r#type {
            Type::List(items) => Some(Self { r#type: items, field: None, ..self }),
            _ => None,
        }
    }

    /// The place of a map's values.
    pub fn values(self) -> Option<Schema<'a>> {
        match self.r#type {
            Type::Map(values) => Some(Self { r#type: values, field: None, ..self }),
            _ => None,
        }
    }

    /// How server-side apply treats the list here.
    pub fn list_type(self) -> &'a ListType {
        self.field.map_or(&ATOMIC, |field| &field.list)
    }

    /// Whether the value here has one owner as a whole.
    pub fn is_atomic(self) -> bool {
        match self.r#type {
            Type::List(_) => *self.list_type() == ListType::Atomic,
            Type::Struct(_) | Type::Map(_) => {
                self.field.is_some_and(|field| field.atomic) || self.definition().is_some_and(|it| it.atomic)
            }
            _ => true,
        }
    }

    /// How a strategic merge patch treats the value here.
    pub fn patch_strategy(self) -> PatchStrategy {
        self.field.map(|field| field.patch).unwrap_or_default()
    }

    /// Which field tells items apart in a strategic merge patch.
    pub fn patch_merge_key(self) -> Option<&'static str> {
        self.field.and_then(|field| field.patch_merge_key)
    }
}
