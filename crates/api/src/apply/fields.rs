//! Sets of paths, and their form in `managedFields`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A set of paths into an object.
///
/// A path is a row of elements as `managedFields` writes them: `f:name` for a field, `k:{...}` for
/// an item of a list with keys, `v:...` for an item of a set, `i:0` for a place in a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSet {
    nodes: BTreeMap<String, Node>,
}

/// What the set says about an element.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Node {
    /// Whether the path that ends here is in the set.
    pub(super) member: bool,
    /// The paths that go on.
    pub(super) children: FieldSet,
}

impl Node {
    /// Whether the path is in the set, or is a field on the way to one that is.
    pub(super) fn is_member_or_way(&self, element: &str) -> bool {
        self.member || (element.starts_with("f:") && !self.children.is_empty())
    }
}

impl FieldSet {
    /// Reads the form of `managedFields`. Anything that is not an object is an empty set.
    pub fn from_value(value: &Value) -> Self {
        let mut set = Self::default();
        for (element, inner) in value.as_object().into_iter().flatten() {
            if element == "." {
                continue;
            }
            let children = Self::from_value(inner);
            let member = children.is_empty() || inner.get(".").is_some();
            set.nodes.insert(element.clone(), Node { member, children });
        }
        set
    }

    /// Writes the form of `managedFields`.
    pub fn to_value(&self) -> Value {
        let nodes = self.nodes.iter().map(|(element, node)| {
            let mut inner = node.children.to_value();
            if let (true, false, Value::Object(fields)) = (node.member, node.children.is_empty(), &mut inner) {
                fields.insert(".".into(), Value::Object(Map::new()));
            }
            (element.clone(), inner)
        });
        Value::Object(nodes.collect())
    }

    /// Whether no path is in the set.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub(super) fn node(&self, element: &str) -> Option<&Node> {
        self.nodes.get(element)
    }

    /// Adds the path that is this one element.
    pub(super) fn insert(&mut self, element: &str) {
        self.nodes.entry(element.to_owned()).or_default().member = true;
    }

    /// Adds paths behind an element.
    pub(super) fn insert_children(&mut self, element: &str, children: FieldSet) {
        if !children.is_empty() {
            self.nodes.entry(element.to_owned()).or_default().children.add(&children);
        }
    }

    /// Adds all paths of `other`.
    pub(super) fn add(&mut self, other: &Self) {
        for (element, node) in &other.nodes {
            let own = self.nodes.entry(element.clone()).or_default();
            own.member |= node.member;
            own.children.add(&node.children);
        }
    }

    /// Removes all paths of `other`.
    pub(super) fn remove(&mut self, other: &Self) {
        for (element, node) in &other.nodes {
            let Some(own) = self.nodes.get_mut(element) else { continue };
            own.member &= !node.member;
            own.children.remove(&node.children);
            if !own.member && own.children.is_empty() {
                self.nodes.remove(element);
            }
        }
    }

    /// The paths that are in both.
    pub(super) fn common(&self, other: &Self) -> Self {
        let mut common = Self::default();
        for (element, node) in &self.nodes {
            let Some(other) = other.nodes.get(element) else { continue };
            let node = Node { member: node.member && other.member, children: node.children.common(&other.children) };
            if node.member || !node.children.is_empty() {
                common.nodes.insert(element.clone(), node);
            }
        }
        common
    }

    /// The paths without longer ones in the set, as people write them: `.spec.ports[port=80].name`.
    pub(super) fn leaves(&self) -> Vec<String> {
        let mut leaves = Vec::new();
        self.collect_leaves("", &mut leaves);
        leaves
    }

    fn collect_leaves(&self, prefix: &str, leaves: &mut Vec<String>) {
        for (element, node) in &self.nodes {
            let path = format!("{prefix}{}", readable(element));
            if node.children.is_empty() {
                leaves.push(path);
            } else {
                node.children.collect_leaves(&path, leaves);
            }
        }
    }
}

/// An element as people write it.
pub(super) fn readable(element: &str) -> String {
    match element.split_once(':') {
        Some(("f", name)) => format!(".{name}"),
        Some(("v", value)) => format!("[={value}]"),
        Some(("i", index)) => format!("[{index}]"),
        Some(("k", keys)) => {
            let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
            let keys: Vec<String> = keys.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("[{}]", keys.join(","))
        }
        _ => format!(".{element}"),
    }
}
