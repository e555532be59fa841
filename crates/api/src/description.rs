//! The description of the API: groups, resources and the schema of every kind.
//!
//! What is built in is read once, at first use, from the tables that `cargo xtask codegen` reduces
//! from the published API document, plus the few facts that the document lacks (`names`). Kinds that
//! users define are added while the server runs: each change makes a new [`Description`] that shares
//! everything else with the one before, so whoever holds one sees one state of the API.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::custom;
use crate::typed::Scope;

mod extend;
mod fields;
mod names;
mod read;
mod schema;
#[cfg(test)]
mod tests;

pub use extend::by_priority;
pub use fields::Fields;
pub use schema::{Definition, Field, ListType, PatchStrategy, Schema, Table, Type};

/// A name of the API: part of the program for what is built in, read for the rest.
pub type Name = Cow<'static, str>;

/// A kind with its group and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupVersionKind<'a> {
    /// Group; empty for the core group.
    pub group: &'a str,
    /// Version, for example `v1`.
    pub version: &'a str,
    /// Kind, for example `Pod`.
    pub kind: &'a str,
}

impl<'a> GroupVersionKind<'a> {
    /// The kind that an object with these fields is of.
    pub fn from_api_version(api_version: &'a str, kind: &'a str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Self { group, version, kind }
    }

    /// `group/version`, or `version` in the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }
}

impl fmt::Display for GroupVersionKind<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.group.is_empty() {
            write!(formatter, "{}/", self.group)?;
        }
        write!(formatter, "{}, Kind={}", self.version, self.kind)
    }
}

/// A kind with its group and version that owns its names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OwnedKind {
    /// Group; empty for the core group.
    pub group: Name,
    /// Version, for example `v1`.
    pub version: Name,
    /// Kind, for example `Pod`.
    pub kind: Name,
}

impl OwnedKind {
    /// The same, as it is passed around.
    pub fn borrowed(&self) -> GroupVersionKind<'_> {
        GroupVersionKind { group: &self.group, version: &self.version, kind: &self.kind }
    }
}

impl From<GroupVersionKind<'static>> for OwnedKind {
    fn from(kind: GroupVersionKind<'static>) -> Self {
        Self { group: kind.group.into(), version: kind.version.into(), kind: kind.kind.into() }
    }
}

/// An API group and the versions of it that are served.
#[derive(Debug, Clone)]
pub struct Group {
    /// Name; empty for the core group.
    pub name: Name,
    /// Its versions, the preferred one first; never empty.
    pub versions: Vec<Arc<Version>>,
}

/// One version of a group.
#[derive(Debug)]
pub struct Version {
    /// Name of the group; empty for the core group.
    pub group: Name,
    /// Version, for example `v1`.
    pub version: Name,
    /// Its resources, sorted by name.
    pub resources: Vec<Arc<Resource>>,
    /// Its documents, each made when it is first asked for.
    pub documents: Documents,
}

/// Documents about a version, kept as long as the version stays as it is.
#[derive(Debug, Default)]
pub struct Documents {
    /// Its part of the aggregated discovery document.
    pub(crate) discovery: OnceLock<String>,
    /// Its OpenAPI document.
    pub(crate) openapi: OnceLock<bytes::Bytes>,
    /// Hash of what its OpenAPI document is made from.
    pub(crate) hash: OnceLock<String>,
}

impl Version {
    /// A version without documents as yet.
    pub fn new(group: Name, version: Name, resources: Vec<Arc<Resource>>) -> Self {
        Self { group, version, resources, documents: Documents::default() }
    }

    /// `group/version`, or `version` in the core group.
    pub fn api_version(&self) -> String {
        GroupVersionKind { group: &self.group, version: &self.version, kind: "" }.api_version()
    }

    /// The resource with this name.
    pub fn resource(&self, name: &str) -> Option<&Arc<Resource>> {
        let index = self.resources.binary_search_by(|resource| (*resource.name).cmp(name)).ok()?;
        Some(&self.resources[index])
    }
}

/// A collection of objects of one kind.
#[derive(Debug)]
pub struct Resource {
    /// Group; empty for the core group.
    pub group: Name,
    /// Version.
    pub version: Name,
    /// Name as in a URL, for example `pods`.
    pub name: Name,
    /// Name of one object, for example `pod`.
    pub singular: String,
    /// Kind of the objects.
    pub kind: Name,
    /// Kind of a list of them.
    pub list_kind: Name,
    /// Where the objects live.
    pub scope: Scope,
    /// What can be done, sorted: `create`, `delete`, `deletecollection`, `get`, `list`, `patch`, `update`, `watch`.
    pub verbs: Vec<&'static str>,
    /// Abbreviations, for example `po`.
    pub short_names: Vec<Name>,
    /// Groups of resources such as `all`.
    pub categories: Vec<Name>,
    /// What hangs below one object, sorted by name.
    pub subresources: Vec<Subresource>,
    /// What its definition says, if a user defined it.
    pub custom: Option<Arc<custom::Version>>,
}

impl Resource {
    /// Its kind with group and version.
    pub fn group_version_kind(&self) -> GroupVersionKind<'_> {
        GroupVersionKind { group: &self.group, version: &self.version, kind: &self.kind }
    }

    /// The schema of its objects.
    pub fn schema(&self) -> Option<Schema<'_>> {
        match &self.custom {
            Some(custom) => Some(custom.schema()),
            None => builtin().schema(self.group_version_kind()),
        }
    }

    /// Whether the objects live in namespaces.
    pub fn is_namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }

    /// Whether `verb` can be done.
    pub fn allows(&self, verb: &str) -> bool {
        self.verbs.contains(&verb)
    }

    /// The subresource with this name.
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|subresource| subresource.name == name)
    }
}

/// Something below one object: `status`, `scale`, `exec`.
#[derive(Debug)]
pub struct Subresource {
    /// Name as in a URL.
    pub name: Name,
    /// Kind of what is sent and answered: `autoscaling/v1 Scale` for `scale`.
    pub kind: OwnedKind,
    /// What can be done, sorted.
    pub verbs: Vec<&'static str>,
}

impl Subresource {
    /// Whether `verb` can be done.
    pub fn allows(&self, verb: &str) -> bool {
        self.verbs.contains(&verb)
    }
}

/// Groups, resources and schemas: one state of the API, which never changes.
#[derive(Debug, Clone)]
pub struct Description {
    /// Built-in groups in the order of the tables, then the others by name.
    groups: Vec<Arc<Group>>,
    /// How many of the groups are built in.
    built_in: usize,
    definitions: Arc<Table>,
}

/// The description of the kinds that are built in.
pub fn builtin() -> &'static Description {
    static BUILTIN: OnceLock<Description> = OnceLock::new();
    BUILTIN.get_or_init(|| {
        // What webhooks answer is described nowhere else: nobody can ask for it.
        let schemas = concat!(include_str!("generated/schemas.txt"), include_str!("description/reviews.txt"));
        read::description(include_str!("generated/resources.txt"), schemas)
    })
}

impl Description {
    fn new(groups: Vec<Arc<Group>>, definitions: Arc<Table>) -> Self {
        Self { built_in: groups.len(), groups, definitions }
    }

    /// All groups, in the order in which a short name is looked up.
    pub fn groups(&self) -> &[Arc<Group>] {
        &self.groups
    }

    /// The group with this name.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.place(name).ok().map(|place| &*self.groups[place])
    }

    /// All versions of all groups.
    pub fn versions(&self) -> impl Iterator<Item = &Version> {
        self.groups.iter().flat_map(|group| &group.versions).map(|version| &**version)
    }

    /// All resources of all versions.
    pub fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.versions().flat_map(|version| &version.resources).map(|resource| &**resource)
    }

    /// One version of a group.
    pub fn version(&self, group: &str, version: &str) -> Option<&Version> {
        self.group(group)?.versions.iter().find(|candidate| candidate.version == version).map(|version| &**version)
    }

    /// A resource by the names in its URL.
    pub fn resource(&self, group: &str, version: &str, name: &str) -> Option<&Arc<Resource>> {
        self.version(group, version)?.resource(name)
    }

    /// The resource whose objects are of this kind.
    pub fn resource_of_kind(&self, kind: GroupVersionKind<'_>) -> Option<&Arc<Resource>> {
        self.version(kind.group, kind.version)?.resources.iter().find(|resource| resource.kind == kind.kind)
    }

    /// The schema of a kind. If its resource is at hand, [`Resource::schema`] is the shorter way.
    pub fn schema(&self, kind: GroupVersionKind<'_>) -> Option<Schema<'_>> {
        match self.definitions.schema(kind) {
            Some(schema) => Some(schema),
            None => self.resource_of_kind(kind)?.custom.as_ref().map(|custom| custom.schema()),
        }
    }

    /// All built-in definitions, sorted by name.
    pub fn definitions(&self) -> &[Definition] {
        &self.definitions.definitions
    }

    /// The built-in definition of a kind.
    pub fn definition_of_kind(&self, kind: GroupVersionKind<'_>) -> Option<&Definition> {
        self.definitions.of_kind(kind)
    }

    /// The schema of a built-in definition, for example `io.k8s.api.core.v1.PodSpec`.
    pub fn definition(&self, name: &str) -> Option<Schema<'_>> {
        self.definitions.named(name)
    }

    /// The place of a built-in definition in its table.
    pub(crate) fn definition_index(&self, name: &str) -> Option<usize> {
        self.definitions.index_of(name)
    }
}
