//! A place in an object while it is held against its schema.

use std::fmt;

use crate::description::Schema;

/// Where a walk along an object is; written out only when something is found.
pub(super) enum Place<'a> {
    Root,
    Field(&'a Place<'a>, &'a str),
    Key(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, usize),
}

impl Place<'_> {
    /// The path as upstream's decoder writes it, without keys of maps and indices, but with the structures that only
    /// its types have.
    pub(super) fn without_indices(&self, root: Schema<'_>) -> String {
        match self {
            Self::Root => String::new(),
            Self::Field(parent, name) => {
                let definition = parent.looked_up(root).0.and_then(Schema::definition);
                let embedded = definition.and_then(|definition| listed(EMBEDDED, &definition.name, name));
                [&*parent.without_indices(root), embedded.unwrap_or_default(), *name]
                    .into_iter()
                    .filter(|part| !part.is_empty())
                    .collect::<Vec<_>>()
                    .join(".")
            }
            Self::Key(parent, _) | Self::Item(parent, _) => parent.without_indices(root),
        }
    }

    /// The name that upstream's types have for what is here, if it is not what the schema says: `v1.PullPolicy`.
    pub(super) fn declared(&self, root: Schema<'_>) -> Option<&'static str> {
        self.looked_up(root).1
    }

    fn looked_up<'s>(&self, root: Schema<'s>) -> (Option<Schema<'s>>, Option<&'static str>) {
        match self {
            Self::Root => (Some(root), None),
            Self::Field(parent, name) => {
                let Some(schema) = parent.looked_up(root).0 else { return (None, None) };
                (schema.field(name), schema.definition().and_then(|definition| listed(NAMED, &definition.name, name)))
            }
            Self::Key(parent, _) => {
                let (schema, name) = parent.looked_up(root);
                (schema.and_then(Schema::values), name.and_then(within))
            }
            Self::Item(parent, _) => {
                let (schema, name) = parent.looked_up(root);
                (schema.and_then(Schema::items), name.and_then(within))
            }
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Self::Root, name) => formatter.write_str(name),
            Self::Field(parent, name) | Self::Key(parent, name) => write!(formatter, "{parent}.{name}"),
            Self::Item(parent, index) => write!(formatter, "{parent}[{index}]"),
        }
    }
}

/// The types of fields that have a name of their own, or of which parts have.
const NAMED: &str = include_str!("../description/named.txt");

/// The structures that fields stand in where upstream's types have one more than the API.
const EMBEDDED: &str = include_str!("../description/embedded.txt");

/// What a list says of a field.
fn listed(list: &'static str, definition: &str, field: &str) -> Option<&'static str> {
    let fields = list.lines().find_map(|line| line.strip_prefix(definition)?.strip_prefix(' '))?;
    fields.split(' ').find_map(|it| it.strip_prefix(field)?.strip_prefix('='))
}

/// The type of what is in a list or a map: `v1.Capability` of `[]v1.Capability`.
fn within(name: &'static str) -> Option<&'static str> {
    let (begin, inner) = name.split_once(']')?;
    (begin == "[" || begin.starts_with("map[")).then_some(inner.trim_start_matches('*'))
}
