//! Sets of paths, kept in the form that `managedFields` has.

use serde_json::{Map, Value};

/// A set of paths into an object.
///
/// A path is a row of elements as `managedFields` writes them: `f:name` for a field, `k:{...}` for
/// an item of a list with keys, `v:...` for an item of a set, `i:0` for a place in a list. What an
/// element holds is either nothing (the path ends here), or longer paths, with a `.` among them if
/// a path ends here as well. Sets of stored objects are read and written without conversion.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSet(Nodes);

/// The elements of a set.
type Nodes = Map<String, Value>;

const HERE: &str = ".";

/// Fields of metadata that nobody owns.
pub(super) const IDENTITY: [&str; 8] =
    ["creationTimestamp", "generation", "managedFields", "name", "namespace", "resourceVersion", "selfLink", "uid"];

/// What a set says about an element.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node<'a>(&'a Value);

impl<'a> Node<'a> {
    /// The elements behind this one.
    pub(super) fn children(self) -> Children<'a> {
        Children(self.0.as_object())
    }

    /// Whether the path is in the set.
    pub(super) fn is_member(self) -> bool {
        is_member(self.0)
    }

    /// Whether longer paths are in the set.
    pub(super) fn has_children(self) -> bool {
        has_children(self.0)
    }
}

/// The elements below one element, if any.
#[derive(Debug, Clone, Copy)]
pub(super) struct Children<'a>(Option<&'a Nodes>);

impl<'a> Children<'a> {
    /// No elements.
    pub(super) const NONE: Self = Self(None);

    pub(super) fn node(self, element: &str) -> Option<Node<'a>> {
        self.0?.get(element).map(Node)
    }

    /// The elements that longer paths go through.
    pub(super) fn branches(self) -> impl Iterator<Item = (&'a str, Node<'a>)> {
        let nodes = self.0.into_iter().flatten().map(|(element, node)| (element.as_str(), Node(node)));
        nodes.filter(|(element, node)| *element != HERE && node.has_children())
    }
}

impl FieldSet {
    /// Reads the form of `managedFields`. Anything that is not an object is an empty set.
    pub fn from_value(value: Value) -> Self {
        let Value::Object(mut nodes) = value else { return Self::default() };
        nodes.remove(HERE);
        Self(nodes)
    }

    /// Writes the form of `managedFields`.
    pub fn into_value(self) -> Value {
        Value::Object(self.0)
    }

    /// Whether no path is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn children(&self) -> Children<'_> {
        Children(Some(&self.0))
    }

    /// Whether a path is in the set.
    pub(super) fn has(&self, path: &[&str]) -> bool {
        let Some((last, way)) = path.split_last() else { return false };
        let mut children = self.children();
        for element in way {
            match children.node(element) {
                Some(node) => children = node.children(),
                None => return false,
            }
        }
        children.node(last).is_some_and(Node::is_member)
    }

    /// Adds an element that the set lacks: the path of it alone if it ends there, and longer ones.
    pub(super) fn put(&mut self, element: String, ends_here: bool, children: Self) {
        let mut nodes = children.0;
        if nodes.is_empty() && !ends_here {
            return;
        }
        if ends_here && !nodes.is_empty() {
            nodes.insert(HERE.to_owned(), Value::Object(Nodes::new()));
        }
        self.0.insert(element, Value::Object(nodes));
    }

    /// The set of one path.
    pub(super) fn of(path: &[&str]) -> Self {
        let mut set = Self::default();
        match path {
            [] => {}
            [element] => set.insert(element),
            [element, rest @ ..] => set.insert_children(element, Self::of(rest)),
        }
        set
    }

    /// Removes a field with everything in it.
    pub(super) fn remove_field(&mut self, path: &[&str]) {
        remove_below(&mut self.0, path);
    }

    /// Puts the path itself in the place of everything behind it.
    pub(super) fn replace_by_whole(&mut self, path: &[String]) {
        let Some((last, way)) = path.split_last() else { return };
        let mut nodes = &mut self.0;
        for element in way {
            match nodes.get_mut(element) {
                Some(Value::Object(inner)) => nodes = inner,
                _ => return,
            }
        }
        nodes.insert(last.clone(), Value::Object(Nodes::new()));
    }

    /// Adds the path that is this one element.
    pub(super) fn insert(&mut self, element: &str) {
        let node = self.0.entry(element).or_insert_with(|| Value::Object(Nodes::new()));
        set_member(node, true);
    }

    /// Adds paths behind an element.
    pub(super) fn insert_children(&mut self, element: &str, children: FieldSet) {
        if children.is_empty() {
            return;
        }
        match self.0.get_mut(element) {
            Some(node) => add_node(node, &Value::Object(children.0)),
            None => {
                self.0.insert(element.to_owned(), Value::Object(children.0));
            }
        }
    }

    /// Adds all paths of `other`.
    pub(super) fn add(&mut self, other: &Self) {
        add(&mut self.0, &other.0);
    }

    /// Removes all paths of `other`.
    pub(super) fn remove(&mut self, other: &Self) {
        remove(&mut self.0, &other.0);
    }

    /// The paths that are in both.
    pub(super) fn common(&self, other: &Self) -> Self {
        Self(common(&self.0, &other.0))
    }

    /// Removes the fields that nobody owns: identity, and what the server keeps.
    pub(super) fn strip(&mut self) {
        self.0.remove("f:apiVersion");
        self.0.remove("f:kind");
        let Some(Value::Object(metadata)) = self.0.get_mut("f:metadata") else { return };
        metadata.retain(|element, _| {
            element != HERE && !element.strip_prefix("f:").is_some_and(|name| IDENTITY.contains(&name))
        });
        if metadata.is_empty() {
            self.0.remove("f:metadata");
        }
    }

    /// All paths of the set: as people write them, `.spec.ports[port=80].name`, and by element.
    pub(super) fn paths(&self) -> Vec<(String, Vec<String>)> {
        let mut paths = Vec::new();
        collect_paths(&self.0, &mut Vec::new(), &mut paths);
        paths.into_iter().map(|path| (path.iter().map(|element| readable(element)).collect(), path)).collect()
    }

    /// Whether all elements are such.
    pub(super) fn is_well_formed(&self) -> bool {
        fn is_element(element: &str) -> bool {
            match element.split_once(':') {
                Some(("f", _)) => true,
                Some(("i", index)) => index.parse::<i64>().is_ok(),
                Some(("k", keys)) => keys.starts_with('{') && keys.ends_with('}'),
                Some(("v", value)) => !value.is_empty(),
                _ => false,
            }
        }
        fn is_set(nodes: &Nodes) -> bool {
            nodes
                .iter()
                .all(|(element, node)| element == HERE || (is_element(element) && node.as_object().is_some_and(is_set)))
        }
        is_set(&self.0)
    }
}

/// Whether a path ends at a node.
fn is_member(node: &Value) -> bool {
    node.as_object().is_none_or(|nodes| nodes.is_empty() || nodes.contains_key(HERE))
}

fn has_children(node: &Value) -> bool {
    node.as_object().is_some_and(|nodes| nodes.keys().any(|element| element != HERE))
}

/// Ends a path at a node with children, or does not.
fn set_member(node: &mut Value, is_member: bool) {
    let has_children = has_children(node);
    let Value::Object(nodes) = node else { return };
    if is_member && has_children {
        nodes.insert(HERE.to_owned(), Value::Object(Nodes::new()));
    } else {
        nodes.remove(HERE);
    }
}

fn add(nodes: &mut Nodes, other: &Nodes) {
    for (element, other) in other.iter().filter(|(element, _)| *element != HERE) {
        match nodes.get_mut(element) {
            Some(node) => add_node(node, other),
            None => {
                nodes.insert(element.clone(), other.clone());
            }
        }
    }
}

fn add_node(node: &mut Value, other: &Value) {
    // An inner set without children is a path that ends; one of children only is not.
    let is_end = is_member(node) || is_member(other);
    if let (Value::Object(nodes), Value::Object(other)) = (&mut *node, other) {
        add(nodes, other);
    }
    set_member(node, is_end);
}

fn remove(nodes: &mut Nodes, other: &Nodes) {
    for (element, other) in other.iter().filter(|(element, _)| *element != HERE) {
        let Some(node) = nodes.get_mut(element) else { continue };
        let is_end = is_member(node) && !is_member(other);
        if let (Value::Object(nodes), Value::Object(other)) = (&mut *node, other) {
            remove(nodes, other);
        }
        if is_end || has_children(node) {
            set_member(node, is_end);
        } else {
            nodes.remove(element);
        }
    }
}

fn common(nodes: &Nodes, other: &Nodes) -> Nodes {
    let mut both = Nodes::new();
    for (element, node) in nodes.iter().filter(|(element, _)| *element != HERE) {
        let Some(other) = other.get(element) else { continue };
        let is_end = is_member(node) && is_member(other);
        let children = match (node, other) {
            (Value::Object(nodes), Value::Object(other)) => common(nodes, other),
            _ => Nodes::new(),
        };
        if is_end || !children.is_empty() {
            let mut node = Value::Object(children);
            set_member(&mut node, is_end);
            both.insert(element.clone(), node);
        }
    }
    both
}

/// Those that end here come before longer ones.
fn collect_paths(nodes: &Nodes, path: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
    let elements = || nodes.iter().filter(|(element, _)| *element != HERE);
    for (element, _) in elements().filter(|(_, node)| is_member(node)) {
        paths.push(path.iter().chain([element]).cloned().collect());
    }
    for (element, node) in elements() {
        if let Value::Object(nodes) = node
            && has_children(node)
        {
            path.push(element.clone());
            collect_paths(nodes, path, paths);
            path.pop();
        }
    }
}

fn remove_below(nodes: &mut Nodes, path: &[&str]) {
    let [name, rest @ ..] = path else { return };
    let element = format!("f:{name}");
    if rest.is_empty() {
        nodes.remove(&element);
        return;
    }
    let Some(node) = nodes.get_mut(&element) else { return };
    let is_end = is_member(node);
    if let Value::Object(inner) = &mut *node {
        remove_below(inner, rest);
    }
    if is_end || has_children(node) {
        set_member(node, is_end);
    } else {
        nodes.remove(&element);
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
