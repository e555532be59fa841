//! Columns of `kubectl get`.

use portolan_api::openapi;
use serde_json::{Value, json};

/// Header of one column of `kubectl get`.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Title, for example `Up-to-date`.
    pub name: &'static str,
    /// Type of the cells: `string`, `integer`, `boolean`, `number`, `date`. Not all of upstream's cells are of the type
    /// that their column promises.
    pub value_type: &'static str,
    /// Format of the cells, for example `name`; may be empty.
    pub format: &'static str,
    /// 0: always shown; 1: shown with `-o wide`.
    pub priority: i32,
    /// What the column tells.
    pub about: About,
}

/// What is said of a column.
#[derive(Debug, Clone, Copy)]
pub enum About {
    /// Nothing.
    Nothing,
    /// These words.
    Words(&'static str),
    /// What `kubectl explain` says of a field of a definition, which is named without its version: `core.PodStatus`.
    Field(&'static str, &'static str),
}

impl About {
    fn words(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Words(words) => words,
            Self::Field(definition, field) => openapi::about_field(definition, field).unwrap_or_default(),
        }
    }
}

impl Column {
    /// A column of strings that is always shown.
    pub const fn string(name: &'static str) -> Self {
        Self { name, value_type: "string", format: "", priority: 0, about: About::Nothing }
    }

    /// A column of integers that is always shown.
    pub const fn integer(name: &'static str) -> Self {
        Self { value_type: "integer", ..Self::string(name) }
    }

    /// A column of booleans that is always shown.
    pub const fn boolean(name: &'static str) -> Self {
        Self { value_type: "boolean", ..Self::string(name) }
    }

    /// A column of times that is always shown.
    pub const fn date(name: &'static str) -> Self {
        Self { value_type: "date", ..Self::string(name) }
    }

    /// The same column, shown with `-o wide` only.
    #[must_use]
    pub const fn wide(self) -> Self {
        Self { priority: 1, ..self }
    }

    /// The same column with words about it.
    #[must_use]
    pub const fn about(self, words: &'static str) -> Self {
        Self { about: About::Words(words), ..self }
    }

    /// The same column with the words about a field: see [`About::Field`].
    #[must_use]
    pub const fn of(self, definition: &'static str, field: &'static str) -> Self {
        Self { about: About::Field(definition, field), ..self }
    }
}

/// The column of the object's name. Its cell: [`crate::resources::print::name`].
pub const NAME: Column = Column { format: "name", ..Column::string("Name") }.about(
    "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a \
     client to request the generation of an appropriate name automatically. Name is primarily intended for creation \
     idempotence and configuration definition. Cannot be updated. More info: \
     https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names",
);

/// The column of the time since the creation. Its cell: [`crate::resources::print::age`].
pub const AGE: Column = Column::string("Age").about(
    "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed \
     to be set in happens-before order across separate operations. Clients may not set this value. It is represented \
     in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: \
     https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata",
);

/// The same of a kind that a user defined.
pub(crate) const CUSTOM_AGE: Column = Column { value_type: "date", ..AGE };

/// The column of the time of the creation, of kinds that have no columns of their own. Its cell:
/// [`crate::resources::print::created_at`].
pub const CREATED_AT: Column = Column { about: AGE.about, ..Column::date("Created At") };

/// The wide columns of what makes pods. Their cells: [`crate::resources::print::containers`].
pub(crate) const CONTAINERS: Column = Column::string("Containers").about("Names of each container in the template.");
pub(crate) const IMAGES: Column =
    Column::string("Images").about("Images referenced by each container in the template.");

/// Columns as a table carries them.
pub(crate) fn definitions(columns: &[Column]) -> Value {
    columns.iter().map(definition).collect()
}

/// A column as a table carries it.
pub(crate) fn definition(column: &Column) -> Value {
    json!({
        "name": column.name, "type": column.value_type, "format": column.format,
        "description": column.about.words(), "priority": column.priority,
    })
}
