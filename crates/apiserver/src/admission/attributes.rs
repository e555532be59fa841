//! What is asked for, as those who decide about it see it.

use portolan_api::description::GroupVersionKind;
use serde_json::{Map, Value, json};

use super::quota::Charge;
use crate::endpoint::{Call, metadata};
use crate::status::Status;

/// What happens to the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

impl Operation {
    /// As in rules and reviews.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// One write, or one connection.
pub(crate) struct Attributes<'a> {
    /// The request: who asks, for which resource and subresource.
    pub(crate) call: Call<'a>,
    pub(crate) operation: Operation,
    /// Kind of what is written, which for some subresources is their own.
    pub(crate) kind: GroupVersionKind<'a>,
    /// Name of the object; empty if it is not known yet.
    pub(crate) name: String,
    /// The object as it shall become; null for a deletion. For a connection: its options.
    pub(crate) new: Value,
    /// The object as it is; null for what is new.
    pub(crate) old: &'a Value,
    /// Options of the request, as an object of the kind `CreateOptions`, `UpdateOptions`, ...
    pub(crate) options: Value,
    pub(crate) dry_run: bool,
    /// Texts for the client's `Warning` headers.
    pub(crate) warnings: Vec<String>,
    /// What is written to quotas together with the object.
    pub(crate) charge: Option<Charge>,
}

impl<'a> Attributes<'a> {
    /// An object is to be created.
    pub(crate) fn create(call: &Call<'a>, new: Value, dry_run: bool) -> Self {
        let name = metadata::text(&new, "name").to_owned();
        Self::of(call, Operation::Create, name, new, &Value::Null, dry_run)
    }

    /// An object is to be changed.
    pub(crate) fn update(call: &Call<'a>, new: Value, old: &'a Value, dry_run: bool) -> Self {
        Self::of(call, Operation::Update, call.info.name.clone(), new, old, dry_run)
    }

    /// An object is to be deleted, with these `DeleteOptions`.
    pub(crate) fn delete(call: &Call<'a>, old: &'a Value, options: Value, dry_run: bool) -> Self {
        let mut attributes = Self::of(call, Operation::Delete, call.info.name.clone(), Value::Null, old, dry_run);
        attributes.kind = call.resource.group_version_kind();
        attributes.options = options;
        attributes
    }

    /// A connection to a pod, service or node is asked for.
    pub(crate) fn connect(call: &Call<'a>, options: Value) -> Self {
        let mut attributes = Self::of(call, Operation::Connect, call.info.name.clone(), options, &Value::Null, false);
        attributes.options = Value::Null;
        attributes
    }

    fn of(call: &Call<'a>, operation: Operation, name: String, new: Value, old: &'a Value, dry_run: bool) -> Self {
        Self {
            call: *call,
            operation,
            kind: call.body_kind(),
            name,
            new,
            old,
            options: options(call, operation, dry_run),
            dry_run,
            warnings: Vec::new(),
            charge: None,
        }
    }

    /// Namespace of the object; for a namespace itself its name, as upstream; else empty.
    pub(crate) fn namespace(&self) -> &str {
        if self.is_namespace() { &self.name } else { self.call.namespace() }
    }

    /// Whether it is about a namespace itself.
    pub(crate) fn is_namespace(&self) -> bool {
        self.is("", "namespaces")
    }

    /// Name of the subresource; empty for the object itself.
    pub(crate) fn subresource(&self) -> &'a str {
        &self.call.info.subresource
    }

    /// Whether it is about this resource or something below it.
    pub(crate) fn is(&self, group: &str, resource: &str) -> bool {
        self.call.resource.group == group && self.call.resource.name == resource
    }

    /// Whether it is about objects of this resource themselves, not about a subresource.
    pub(crate) fn is_main(&self, group: &str, resource: &str) -> bool {
        self.is(group, resource) && self.subresource().is_empty()
    }

    /// 403 about this object. It may not have got its name yet.
    pub(crate) fn forbidden(&self, why: &str) -> Status {
        let given = ["name", "generateName"].map(|field| metadata::text(&self.new, field));
        let name = [self.name.as_str()].into_iter().chain(given).find(|name| !name.is_empty()).unwrap_or("Unknown");
        Status::forbidden(&self.call.target(), name, why)
    }

    /// Notes something for the audit log.
    pub(crate) fn annotate(&self, key: impl Into<String>, value: impl Into<String>) {
        self.call.notes.add(key.into(), value.into());
    }
}

fn options(call: &Call<'_>, operation: Operation, dry_run: bool) -> Value {
    let kind = match operation {
        Operation::Create => "CreateOptions",
        Operation::Update => "UpdateOptions",
        Operation::Delete => "DeleteOptions",
        Operation::Connect => return Value::Null,
    };
    let mut options = Map::new();
    options.insert("kind".into(), kind.into());
    options.insert("apiVersion".into(), "meta.k8s.io/v1".into());
    if dry_run {
        options.insert("dryRun".into(), json!(["All"]));
    }
    for name in ["fieldManager", "fieldValidation"] {
        if !call.query.get(name).is_empty() {
            options.insert(name.into(), call.query.get(name).into());
        }
    }
    Value::Object(options)
}
