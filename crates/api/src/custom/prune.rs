//! Drops what a definition's schema does not know.
//!
//! Source: `apiextensions-apiserver/pkg/apiserver/schema/pruning`.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::node::{Additional, Node};
use crate::description::builtin;
use crate::schema;

/// The metadata of every object.
pub(super) const METADATA: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// What [`prune`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruned {
    /// Paths of the fields that it dropped: of the object's metadata, of what the schema knows, and of the metadata of
    /// objects within, as upstream looks at them; each sorted.
    pub unknown: Vec<String>,
    /// What of the metadata of the object, or of one within, is of a wrong type, in the words of a decoder. Such metadata
    /// is left as it is.
    pub wrong_metadata: Option<String>,
}

/// Drops unknown fields of an object.
pub fn prune(object: &mut Value, root: &Node) -> Pruned {
    let found = Pruned { unknown: Vec::new(), wrong_metadata: None };
    let mut pruner = Pruner { path: String::new(), found, of_metadata: Vec::new(), of_embedded: Vec::new() };
    if let Value::Object(fields) = object {
        if root.preserve_unknown {
            pruner.keep(fields, root, true);
        } else {
            pruner.fields(fields, root, true);
        }
    }
    let Pruner { mut found, mut of_metadata, mut of_embedded, .. } = pruner;
    for paths in [&mut of_metadata, &mut found.unknown, &mut of_embedded] {
        paths.sort();
    }
    found.unknown = [of_metadata, found.unknown, of_embedded].concat();
    found
}

struct Pruner {
    path: String,
    found: Pruned,
    of_metadata: Vec<String>,
    of_embedded: Vec<String>,
}

impl Pruner {
    /// Runs `work` with a longer path.
    fn within(&mut self, part: std::fmt::Arguments<'_>, work: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        // Writing to a `String` cannot fail.
        let _ = self.path.write_fmt(part);
        work(self);
        self.path.truncate(length);
    }

    fn field(&mut self, name: &str, work: impl FnOnce(&mut Self)) {
        if self.path.is_empty() {
            self.within(format_args!("{name}"), work)
        } else {
            self.within(format_args!(".{name}"), work)
        }
    }

    fn record(&mut self, name: &str) {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        self.found.unknown.push(path);
    }

    fn value(&mut self, value: &mut Value, node: Option<&Node>) {
        match (value, node) {
            (Value::Object(fields), Some(node)) if node.preserve_unknown => self.keep(fields, node, node.embedded),
            (Value::Object(fields), Some(node)) => self.fields(fields, node, node.embedded),
            (Value::Object(fields), None) => {
                for name in fields.keys() {
                    self.record(name);
                }
                fields.clear();
            }
            (Value::Array(items), Some(node)) if node.preserve_unknown => {
                let Some(inner) = node.items.as_deref() else { return };
                for (index, item) in items.iter_mut().enumerate() {
                    self.within(format_args!("[{index}]"), |this| this.value(item, Some(inner)));
                }
            }
            (Value::Array(items), node) => {
                let inner = node.and_then(|node| node.items.as_deref());
                for (index, item) in items.iter_mut().enumerate() {
                    self.within(format_args!("[{index}]"), |this| this.value(item, inner));
                }
            }
            _ => {}
        }
    }

    fn fields(&mut self, fields: &mut Map<String, Value>, node: &Node, is_object: bool) {
        fields.retain(|name, value| {
            if is_object && is_meta(name) {
                self.meta(name, value);
                return true;
            }
            if let Some(property) = node.properties.get(name) {
                self.field(name, |this| this.value(value, Some(property)));
            } else if let Some(additional) = &node.additional {
                let inner = match additional {
                    Additional::Schema(values) => Some(&**values),
                    Additional::Allowed(_) => None,
                };
                self.field(name, |this| this.value(value, inner));
            } else {
                self.record(name);
                return false;
            }
            true
        });
    }

    /// The same where unknown fields are kept.
    fn keep(&mut self, fields: &mut Map<String, Value>, node: &Node, is_object: bool) {
        for (name, value) in fields {
            if is_object && is_meta(name) {
                self.meta(name, value);
            } else if let Some(property) = node.field(name) {
                self.field(name, |this| this.value(value, Some(property)));
            }
        }
    }

    /// The metadata of an object, which no definition changes.
    fn meta(&mut self, name: &str, value: &mut Value) {
        if name != "metadata" {
            return;
        }
        let Some(place) = builtin().definition(METADATA) else { return };
        let findings = schema::check_at(value, place);
        let is_embedded = !self.path.is_empty();
        let own = if is_embedded { format!("{}.{name}", self.path) } else { name.to_owned() };
        // `unknown field "labels.x"`
        let unknown = findings.unknown.iter().filter_map(|text| text.split('"').nth(1));
        let unknown = unknown.map(|path| format!("{own}.{path}"));
        if is_embedded {
            self.of_embedded.extend(unknown)
        } else {
            self.of_metadata.extend(unknown)
        }
        match findings.wrong_type {
            None => drop(schema::prune(value, place)),
            // That of the object itself is looked at first, though it need not stand first.
            Some(problem) if is_embedded => {
                let problem = format!("{own}: Invalid value: {value}: {problem}");
                self.found.wrong_metadata.get_or_insert(problem);
            }
            wrong => self.found.wrong_metadata = wrong,
        }
    }
}

fn is_meta(name: &str) -> bool {
    matches!(name, "apiVersion" | "kind" | "metadata")
}
