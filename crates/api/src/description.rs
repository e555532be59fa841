//! The description of the API: groups, resources and the schema of every kind.
//!
//! Read once, at first use, from the tables that `cargo xtask codegen` reduces from the published
//! API document, plus the few facts that the document lacks (`names`).

use std::collections::HashMap;
use std::fmt;
use std::sync::OnceLock;

use crate::typed::Scope;

mod names;
mod read;
mod schema;
#[cfg(test)]
mod tests;

pub use schema::{Definition, Field, ListType, PatchStrategy, Schema, Type};

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

/// An API group and the versions of it that are served.
#[derive(Debug)]
pub struct Group {
    /// Name; empty for the core group.
    pub name: &'static str,
    /// Its versions, the preferred one first; never empty.
    pub versions: Vec<Version>,
}

/// One version of a group.
#[derive(Debug)]
pub struct Version {
    /// Name of the group; empty for the core group.
    pub group: &'static str,
    /// Version, for example `v1`.
    pub version: &'static str,
    /// Its resources, sorted by name.
    pub resources: Vec<Resource>,
}

impl Version {
    /// `group/version`, or `version` in the core group.
    pub fn api_version(&self) -> String {
        GroupVersionKind { group: self.group, version: self.version, kind: "" }.api_version()
    }

    /// The resource with this name.
    pub fn resource(&self, name: &str) -> Option<&Resource> {
        self.resources.iter().find(|resource| resource.name == name)
    }
}

/// A collection of objects of one kind.
#[derive(Debug)]
pub struct Resource {
    /// Group; empty for the core group.
    pub group: &'static str,
    /// Version.
    pub version: &'static str,
    /// Name as in a URL, for example `pods`.
    pub name: &'static str,
    /// Name of one object, for example `pod`.
    pub singular: String,
    /// Kind of the objects.
    pub kind: &'static str,
    /// Where the objects live.
    pub scope: Scope,
    /// What can be done, sorted: `create`, `delete`, `deletecollection`, `get`, `list`, `patch`, `update`, `watch`.
    pub verbs: Vec<&'static str>,
    /// Abbreviations, for example `po`.
    pub short_names: &'static [&'static str],
    /// Groups of resources such as `all`.
    pub categories: &'static [&'static str],
    /// What hangs below one object, sorted by name.
    pub subresources: Vec<Subresource>,
}

impl Resource {
    /// Its kind with group and version.
    pub fn group_version_kind(&self) -> GroupVersionKind<'static> {
        GroupVersionKind { group: self.group, version: self.version, kind: self.kind }
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
    pub name: &'static str,
    /// Kind of what is sent and answered: `autoscaling/v1 Scale` for `scale`.
    pub kind: GroupVersionKind<'static>,
    /// What can be done, sorted.
    pub verbs: Vec<&'static str>,
}

impl Subresource {
    /// Whether `verb` can be done.
    pub fn allows(&self, verb: &str) -> bool {
        self.verbs.contains(&verb)
    }
}

/// Groups, resources and schemas.
#[derive(Debug)]
pub struct Description {
    groups: Vec<Group>,
    definitions: Vec<Definition>,
    by_name: HashMap<&'static str, usize>,
    by_kind: HashMap<GroupVersionKind<'static>, usize>,
}

/// The description of the kinds that are built in.
pub fn builtin() -> &'static Description {
    static BUILTIN: OnceLock<Description> = OnceLock::new();
    BUILTIN.get_or_init(|| {
        read::description(include_str!("generated/resources.txt"), include_str!("generated/schemas.txt"))
    })
}

impl Description {
    /// All groups, in the order in which a short name is looked up.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The group with this name.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == name)
    }

    /// All versions of all groups.
    pub fn versions(&self) -> impl Iterator<Item = &Version> {
        self.groups.iter().flat_map(|group| &group.versions)
    }

    /// All resources of all versions.
    pub fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.versions().flat_map(|version| &version.resources)
    }

    /// One version of a group.
    pub fn version(&self, group: &str, version: &str) -> Option<&Version> {
        self.group(group)?.versions.iter().find(|candidate| candidate.version == version)
    }

    /// A resource by the names in its URL.
    pub fn resource(&self, group: &str, version: &str, name: &str) -> Option<&Resource> {
        self.version(group, version)?.resource(name)
    }

    /// The resource whose objects are of this kind.
    pub fn resource_of_kind(&self, kind: GroupVersionKind<'_>) -> Option<&Resource> {
        self.version(kind.group, kind.version)?.resources.iter().find(|resource| resource.kind == kind.kind)
    }

    /// The schema of a kind.
    pub fn schema(&self, kind: GroupVersionKind<'_>) -> Option<Schema<'_>> {
        self.by_kind.get(&kind).map(|index| Schema::of_definition(self, *index))
    }

    /// All definitions, sorted by name.
    pub fn definitions(&self) -> &[Definition] {
        &self.definitions
    }

    /// The definition of a kind.
    pub fn definition_of_kind(&self, kind: GroupVersionKind<'_>) -> Option<&Definition> {
        self.by_kind.get(&kind).map(|index| &self.definitions[*index])
    }

    /// The schema of a definition, for example `io.k8s.api.core.v1.PodSpec`.
    pub fn definition(&self, name: &str) -> Option<Schema<'_>> {
        self.by_name.get(name).map(|index| Schema::of_definition(self, *index))
    }
}
