//! Sets of paths.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Map, Value};

/// A step of a path.
///
/// Sorted as the texts of `managedFields` are: `f:` comes before all others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Element<'a> {
    /// A field: `f:name` in `managedFields`.
    Field(Cow<'a, str>),
    /// `k:{...}` for an item of a list with keys, `v:...` for an item of a set, `i:0` for a place in a list.
    Item(Cow<'a, str>),
}

impl<'a> Element<'a> {
    /// Reads an element as `managedFields` writes it.
    pub(super) fn parse(text: &'a str) -> Self {
        match text.strip_prefix("f:") {
            Some(name) => Self::Field(name.into()),
            None => Self::Item(text.into()),
        }
    }

    /// The same of a text that may be owned.
    pub(super) fn of(text: Cow<'a, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Self::parse(text),
            Cow::Owned(text) => match text.strip_prefix("f:") {
                Some(name) => Self::Field(name.to_owned().into()),
                None => Self::Item(text.into()),
            },
        }
    }

    /// A field.
    pub(super) fn field(name: &'a str) -> Self {
        Self::Field(name.into())
    }

    /// An item of a list, by its text.
    pub(super) fn item(text: String) -> Element<'static> {
        Element::Item(text.into())
    }

    /// The same without borrowing.
    pub(super) fn owned(&self) -> Element<'static> {
        match self {
            Self::Field(name) => Element::Field(Cow::Owned(name.clone().into_owned())),
            Self::Item(text) => Element::Item(Cow::Owned(text.clone().into_owned())),
        }
    }

    /// As `managedFields` writes it.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Field(name) => ["f:", name].concat(),
            Self::Item(text) => text.clone().into_owned(),
        }
    }

    /// Whether it is one that `managedFields` can have.
    pub(super) fn is_well_formed(&self) -> bool {
        let Self::Item(text) = self else { return true };
        match text.split_once(':') {
            Some(("i", index)) => index.parse::<i64>().is_ok(),
            Some(("k", keys)) => keys.starts_with('{') && keys.ends_with('}'),
            Some(("v", value)) => !value.is_empty(),
            _ => false,
        }
    }
}

/// A set of paths into an object.
///
/// A path is a row of [`Element`]s. In `managedFields` an element holds either nothing (the path ends
/// here), or longer paths, with a `.` among them if a path ends here as well. Sets that are read from
/// there borrow its texts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct FieldSet<'a>(Vec<Node<'a>>);

/// What a set says about an element. It ends here, or has children, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node<'a> {
    pub(super) element: Element<'a>,
    ends_here: bool,
    pub(super) children: FieldSet<'a>,
}

/// What says that a path ends although longer ones go on.
pub(super) const HERE: &str = ".";

/// Fields of metadata that nobody owns.
pub(super) const IDENTITY: [&str; 8] =
    ["creationTimestamp", "generation", "managedFields", "name", "namespace", "resourceVersion", "selfLink", "uid"];

/// No paths.
pub(super) static NOTHING: FieldSet<'static> = FieldSet(Vec::new());

impl Node<'_> {
    /// Whether the path is in the set.
    pub(super) fn is_member(&self) -> bool {
        self.ends_here
    }

    /// Whether longer paths are in the set.
    pub(super) fn has_children(&self) -> bool {
        !self.children.0.is_empty()
    }
}

impl<'a> FieldSet<'a> {
    /// Reads the form of `managedFields`; `None` if it is not well-formed. Anything that is not an object
    /// is an empty set.
    pub(super) fn read(value: &'a Value) -> Option<Self> {
        match value {
            Value::Object(fields) => read_nodes(fields).map(Self),
            _ => Some(Self::default()),
        }
    }

    /// Writes the form of `managedFields`.
    pub(super) fn to_value(&self) -> Value {
        Value::Object(self.0.iter().map(|node| (node.element.text(), node.to_value())).collect())
    }

    /// Whether no path is in the set.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn place(&self, element: &Element<'_>) -> Result<usize, usize> {
        // Most sets are made and read in order.
        match self.0.last().map(|last| last.element.cmp(element)) {
            None => Err(0),
            Some(Ordering::Less) => Err(self.0.len()),
            Some(Ordering::Equal) => Ok(self.0.len() - 1),
            Some(Ordering::Greater) => self.0.binary_search_by(|node| node.element.cmp(element)),
        }
    }

    /// What the set says about an element.
    pub(super) fn node(&self, element: &Element<'_>) -> Option<&Node<'a>> {
        self.place(element).ok().map(|place| &self.0[place])
    }

    /// All elements, in order.
    pub(super) fn nodes(&self) -> &[Node<'a>] {
        &self.0
    }

    /// The elements that longer paths go through.
    pub(super) fn branches(&self) -> impl Iterator<Item = &Node<'a>> {
        self.0.iter().filter(|node| node.has_children())
    }

    /// Whether a path is in the set.
    pub(super) fn has(&self, path: &[&str]) -> bool {
        let Some((last, way)) = path.split_last() else { return false };
        let mut set = self;
        for text in way {
            match set.node(&Element::parse(text)) {
                Some(node) => set = &node.children,
                None => return false,
            }
        }
        set.node(&Element::parse(last)).is_some_and(Node::is_member)
    }

    /// Whether all paths are in another set.
    pub(super) fn is_within(&self, other: &FieldSet<'_>) -> bool {
        self.0.iter().all(|node| {
            other
                .node(&node.element)
                .is_some_and(|other| (other.ends_here || !node.ends_here) && node.children.is_within(&other.children))
        })
    }

    /// Adds an element that the set lacks: the path of it alone if it ends there, and longer ones.
    pub(super) fn put(&mut self, element: Element<'a>, ends_here: bool, children: Self) {
        if ends_here || !children.is_empty() {
            self.add_node(Node { element, ends_here, children });
        }
    }

    /// The set of one path.
    pub(super) fn of(path: &[&'a str]) -> Self {
        let mut set = Self::default();
        match path {
            [] => {}
            [element] => set.put(Element::parse(element), true, Self::default()),
            [element, rest @ ..] => set.put(Element::parse(element), false, Self::of(rest)),
        }
        set
    }

    /// Removes a field with everything in it.
    pub(super) fn remove_field(&mut self, path: &[&str]) {
        let [name, rest @ ..] = path else { return };
        let Ok(place) = self.place(&Element::field(name)) else { return };
        let node = &mut self.0[place];
        if !rest.is_empty() {
            node.children.remove_field(rest);
        }
        if rest.is_empty() || !(node.ends_here || node.has_children()) {
            self.0.remove(place);
        }
    }

    /// Puts the path itself in the place of everything behind it.
    pub(super) fn replace_by_whole(&mut self, path: &[Element<'_>]) {
        let [element, rest @ ..] = path else { return };
        let Ok(place) = self.place(element) else { return };
        let node = &mut self.0[place];
        if rest.is_empty() {
            node.ends_here = true;
            node.children.0.clear();
        } else {
            node.children.replace_by_whole(rest);
        }
    }

    fn add_node(&mut self, new: Node<'a>) {
        match self.place(&new.element) {
            Ok(place) => {
                let node = &mut self.0[place];
                node.ends_here |= new.ends_here;
                if node.children.is_empty() {
                    node.children = new.children;
                } else {
                    new.children.0.into_iter().for_each(|child| node.children.add_node(child));
                }
            }
            Err(place) => self.0.insert(place, new),
        }
    }

    /// Adds all paths of `other`.
    pub(super) fn add(&mut self, other: Self) {
        if self.is_empty() {
            *self = other;
            return;
        }
        other.0.into_iter().for_each(|node| self.add_node(node));
    }

    /// Removes all paths of `other`.
    pub(super) fn remove(&mut self, other: &FieldSet<'_>) {
        for other in &other.0 {
            let Ok(place) = self.place(&other.element) else { continue };
            let node = &mut self.0[place];
            node.ends_here &= !other.ends_here;
            node.children.remove(&other.children);
            if !node.ends_here && !node.has_children() {
                self.0.remove(place);
            }
        }
    }

    /// The paths that are in both.
    pub(super) fn common(&self, other: &FieldSet<'_>) -> Self {
        let both = |other: &Node<'_>| {
            let node = self.node(&other.element)?;
            let ends_here = node.ends_here && other.ends_here;
            let children = node.children.common(&other.children);
            (ends_here || !children.is_empty()).then(|| Node { element: node.element.clone(), ends_here, children })
        };
        Self(other.0.iter().filter_map(both).collect())
    }

    /// Removes the fields that nobody owns: identity, and what the server keeps.
    pub(super) fn strip(&mut self) {
        self.remove_field(&["apiVersion"]);
        self.remove_field(&["kind"]);
        let Ok(place) = self.place(&Element::field("metadata")) else { return };
        let metadata = &mut self.0[place];
        metadata.ends_here = false;
        let is_identity =
            |element: &Element<'_>| matches!(element, Element::Field(name) if IDENTITY.contains(&&**name));
        metadata.children.0.retain(|node| !is_identity(&node.element));
        if !metadata.has_children() {
            self.0.remove(place);
        }
    }

    /// All paths of the set: as people write them, `.spec.ports[port=80].name`, and by element.
    pub(super) fn paths(&self) -> Vec<(String, Vec<String>)> {
        let mut paths = Vec::new();
        self.collect_paths(&mut Vec::new(), &mut paths);
        paths.into_iter().map(|path| (path.iter().map(|element| readable(element)).collect(), path)).collect()
    }

    /// Those that end here come before longer ones.
    fn collect_paths(&self, path: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
        for node in self.0.iter().filter(|node| node.ends_here) {
            paths.push(path.iter().cloned().chain([node.element.text()]).collect());
        }
        for node in self.branches() {
            path.push(node.element.text());
            node.children.collect_paths(path, paths);
            path.pop();
        }
    }
}

impl Node<'_> {
    fn to_value(&self) -> Value {
        let here = (self.ends_here && self.has_children()).then(|| (HERE.to_owned(), Value::Object(Map::new())));
        let children = self.children.0.iter().map(|node| (node.element.text(), node.to_value()));
        Value::Object(here.into_iter().chain(children).collect())
    }
}

fn read_nodes(fields: &Map<String, Value>) -> Option<Vec<Node<'_>>> {
    let mut nodes = Vec::with_capacity(fields.len());
    for (text, inner) in fields.iter().filter(|(text, _)| *text != HERE) {
        let element = Element::parse(text);
        let inner = inner.as_object().filter(|_| element.is_well_formed())?;
        let ends_here = inner.is_empty() || inner.contains_key(HERE);
        nodes.push(Node { element, ends_here, children: FieldSet(read_nodes(inner)?) });
    }
    Some(nodes)
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
