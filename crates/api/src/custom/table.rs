//! The schema of a custom resource as the tables of built-in kinds have it: what merges work on.

use crate::description::{
    Definition, Field, Fields, GroupVersionKind, ListType, OwnedKind, PatchStrategy, Table, Type, builtin,
};

use super::node::{Additional, JsonType, Node};

/// The metadata of every object.
const METADATA: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Makes a table whose first definition is the kind itself.
pub(super) fn table(root: &Node, kind: GroupVersionKind<'_>, has_status: bool) -> Table {
    let mut builder = Builder { definitions: Vec::new() };
    builder.structure(root, Frame::Object);
    let mut definitions = builder.definitions;
    let own = |text: &str| text.to_owned().into();
    if let Some(first) = definitions.first_mut() {
        first.name = own(&super::definition::definition_name(kind));
        first.kind = Some(OwnedKind { group: own(kind.group), version: own(kind.version), kind: own(kind.kind) });
        first.has_status = has_status;
    }
    Table::new(definitions)
}

/// Whether a place is an object of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Frame {
    Object,
    Part,
}

struct Builder {
    definitions: Vec<Definition>,
}

impl Builder {
    fn structure(&mut self, node: &Node, frame: Frame) -> usize {
        let index = self.definitions.len();
        self.definitions.push(Definition {
            name: format!("#{index}").into(),
            kind: None,
            atomic: node.map_type == "atomic",
            open: node.preserve_unknown || node.additional == Some(Additional::Allowed(true)),
            has_status: false,
            r#type: Type::Struct(index),
            fields: Fields::default(),
        });
        let mut fields: Vec<Field> = Vec::new();
        if frame == Frame::Object {
            for name in ["apiVersion", "kind"] {
                fields.push(simple(name, Type::String));
            }
            if let Some(metadata) = builtin().definition_index(METADATA) {
                fields.push(simple("metadata", Type::Builtin(metadata)));
            }
        }
        for (name, property) in &node.properties {
            if frame == Frame::Object && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
                continue;
            }
            let r#type = self.r#type(property);
            fields.push(Field {
                name: name.clone().into(),
                required: node.checks.as_ref().is_some_and(|checks| checks.required.contains(name)),
                r#type,
                reference: None,
                list: list_type(property),
                atomic: property.map_type == "atomic",
                patch: PatchStrategy::default(),
                patch_merge_key: None,
                leaves_out_empty: false,
                is_always: false,
                is_never_null: false,
                default: property.default.clone(),
            });
        }
        self.definitions[index].fields = fields.into();
        index
    }

    fn r#type(&mut self, node: &Node) -> Type {
        if node.embedded {
            return Type::Struct(self.structure(node, Frame::Object));
        }
        match node.r#type {
            _ if node.int_or_string => Type::IntOrString,
            Some(JsonType::Object) if !node.properties.is_empty() => Type::Struct(self.structure(node, Frame::Part)),
            Some(JsonType::Object) => match &node.additional {
                Some(Additional::Schema(values)) => Type::Map(Box::new(self.r#type(values))),
                Some(Additional::Allowed(true)) => Type::Dynamic,
                _ if node.preserve_unknown => Type::Dynamic,
                _ => Type::Struct(self.structure(node, Frame::Part)),
            },
            Some(JsonType::Array) => {
                let items = node.items.as_ref().map_or(Type::Dynamic, |items| self.r#type(items));
                Type::List(Box::new(items))
            }
            Some(JsonType::String) => Type::String,
            Some(JsonType::Integer) => Type::Int64,
            Some(JsonType::Number) => Type::Number,
            Some(JsonType::Boolean) => Type::Boolean,
            None => Type::Dynamic,
        }
    }
}

fn simple(name: &'static str, r#type: Type) -> Field {
    Field {
        name: name.into(),
        required: false,
        r#type,
        reference: None,
        list: ListType::Atomic,
        atomic: false,
        patch: PatchStrategy::default(),
        patch_merge_key: None,
        leaves_out_empty: false,
        is_always: false,
        is_never_null: false,
        default: None,
    }
}

fn list_type(node: &Node) -> ListType {
    match node.list_type.as_str() {
        "set" => ListType::Set,
        "map" => ListType::Map(node.list_map_keys.iter().map(|key| key.clone().into()).collect()),
        _ => ListType::Atomic,
    }
}
