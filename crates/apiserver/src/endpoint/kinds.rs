//! Whether an object is of the built-in kind that it should be of.
//!
//! Source: `k8s.io/apimachinery/pkg/runtime/serializer`.

use portolan_api::decode;
use portolan_api::description::{GroupVersionKind, builtin};
use portolan_api::{conversion, schema};
use portolan_base::go;
use serde_json::{Map, Value};

/// Where an object comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// It was sent. Without a kind or a version it is of those that are expected.
    Body,
    /// A patch made it of one that had both.
    Patch,
}

/// What is expected of an object.
pub(super) struct Expected<'a> {
    pub(super) kind: GroupVersionKind<'a>,
    pub(super) origin: Origin,
}

/// Why an object is not of its kind.
#[derive(Debug)]
pub(super) enum Misfit {
    /// Nobody can tell what kind it is of.
    Untold(String),
    /// It is of another one. The text is what a decoder says.
    Other { version: String, kind: String, why: String },
    /// It is of another version.
    Version(String),
    /// It has no version any more: it would be of the form that upstream has in memory, of which these fields are not.
    Internal { unknown: Vec<String> },
}

/// Kinds that every version of every group has.
pub(crate) const EVERYWHERE: [&str; 7] =
    ["CreateOptions", "DeleteOptions", "GetOptions", "ListOptions", "PatchOptions", "UpdateOptions", "WatchEvent"];

/// Kinds of the core group that are no resources.
pub(crate) const CORE: [&str; 6] = ["APIGroup", "APIGroupList", "APIResourceList", "APIVersions", "List", "Status"];

/// Checks what an object says that it is, and says so in it if it does not. `data` is the object as it came.
pub(super) fn expect(object: &mut Value, expected: &Expected<'_>, data: impl FnOnce() -> String) -> Result<(), Misfit> {
    if let Some(problem) = unreadable(object) {
        return Err(Misfit::Untold(problem));
    }
    if object.is_null() {
        *object = Value::Object(Map::new());
    }
    let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    if let Some(problem) = version_problem(api_version) {
        return Err(Misfit::Untold(problem));
    }
    let (group, version) = match api_version {
        "" | "/" => ("", ""),
        text => text.split_once('/').unwrap_or(("", text)),
    };
    let found = GroupVersionKind { group, version, kind };
    if found != expected.kind {
        expect_same(found, object, expected, data)?;
    }
    name(object, expected.kind);
    Ok(())
}

/// Why a text names no version of a group.
pub(crate) fn version_problem(api_version: &str) -> Option<String> {
    (api_version.matches('/').count() > 1).then(|| format!("unexpected GroupVersion string: {api_version}"))
}

/// Says in an object what it is.
pub(super) fn name(object: &mut Value, kind: GroupVersionKind<'_>) {
    let Some(fields) = object.as_object_mut() else { return };
    fields.insert("apiVersion".into(), kind.api_version().into());
    fields.insert("kind".into(), kind.kind.into());
    if fields.get("metadata").is_none_or(Value::is_null) {
        fields.insert("metadata".into(), Value::Object(Map::new()));
    }
}

fn expect_same(
    found: GroupVersionKind<'_>,
    object: &Value,
    expected: &Expected<'_>,
    data: impl FnOnce() -> String,
) -> Result<(), Misfit> {
    let GroupVersionKind { group, version, kind } = expected.kind;
    // What was sent is of the expected version if it names none, and what was patched is of none.
    let default = if expected.origin == Origin::Body { version } else { INTERNAL };
    let mut found = found;
    if found.kind.is_empty() {
        found.kind = kind;
    }
    if found.version.is_empty() && (found.group.is_empty() || found.group == group) {
        (found.group, found.version) = (group, default);
    }
    if found == expected.kind {
        return Ok(());
    }
    let is_kind = (found.group, found.kind) == (group, kind);
    let other =
        |why: String| Err(Misfit::Other { version: found.version.to_owned(), kind: found.kind.to_owned(), why });
    if found.version.is_empty() {
        return other(format!("Object 'apiVersion' is missing in '{}'", data()));
    }
    if found.version == INTERNAL && is_kind {
        return Err(Misfit::Internal { unknown: unknown_in_memory(object) });
    }
    if !is_registered(found, group) {
        return other(not_registered(found, group));
    }
    let resource = builtin().resource_of_kind(expected.kind);
    let converts = resource.and_then(|resource| conversion::of(&resource.group, &resource.name));
    if is_kind || converts.is_some_and(|it| found.kind == kind && it.knows(&found.api_version())) {
        return Err(Misfit::Version(found.api_version()));
    }
    if let Some(problem) = builtin().schema(found).and_then(|schema| schema::check_at(object, schema).wrong_type) {
        return other(problem);
    }
    // Options and the like are of one version, whatever the group.
    let version = if EVERYWHERE.contains(&found.kind) { "v1" } else { found.version };
    other(format!("converting ({version}.{}) to ({}.{kind}): unknown conversion", found.kind, package(group, kind)))
}

/// The version of what upstream has in memory.
const INTERNAL: &str = "__internal";

/// What is said of a kind that the part of upstream's server that serves `of_group` has no type for.
pub(crate) fn not_registered(found: GroupVersionKind<'_>, of_group: &str) -> String {
    let kind = go::quote(found.kind);
    let scheme = scheme(of_group);
    if found.version == INTERNAL {
        return format!(
            "no kind {kind} is registered for the internal version of group {} in scheme {scheme}",
            go::quote(found.group)
        );
    }
    format!("no kind {kind} is registered for version {} in scheme {scheme}", go::quote(&found.api_version()))
}

/// What is said of options of another kind than those of a request.
pub(super) fn no_option(api_version: &str, kind: &str) -> String {
    let version = if api_version.is_empty() { "meta.k8s.io/v1" } else { api_version };
    let scheme = "\"pkg/apis/meta/internalversion/scheme/register.go:27\"";
    format!("no kind {} is registered for version {} in scheme {scheme}", go::quote(kind), go::quote(version))
}

/// Whether the part of upstream's server that serves `of_group` has a type for a kind.
fn is_registered(kind: GroupVersionKind<'_>, of_group: &str) -> bool {
    if kind.version == INTERNAL {
        return false;
    }
    let is_everywhere = || builtin().version(kind.group, kind.version).is_some() && EVERYWHERE.contains(&kind.kind);
    let is_core = || (kind.group, kind.version) == ("", "v1") && CORE.contains(&kind.kind);
    (scheme(kind.group) == scheme(of_group) || kind.group.is_empty() && is_core())
        && (builtin().definition_of_kind(kind).is_some() || is_everywhere() || is_core())
}

/// The place in upstream's source of the types that are served beside those of a group: they name themselves by it.
fn scheme(group: &str) -> &'static str {
    match group {
        "apiextensions.k8s.io" => "\"pkg/apiserver/apiserver.go:55\"",
        "apiregistration.k8s.io" => "\"pkg/apiserver/scheme/scheme.go:28\"",
        _ => "\"pkg/api/legacyscheme/scheme.go:30\"",
    }
}

/// The name of upstream's package that has the type in memory.
pub(crate) fn package<'a>(group: &'a str, kind: &str) -> &'a str {
    match (group, kind) {
        ("", _) | ("events.k8s.io", "Event") => "core",
        ("internal.apiserver.k8s.io", _) => "apiserverinternal",
        (group, _) => group.split('.').next().unwrap_or(group),
    }
}

/// The fields of an object that upstream's types in memory do not have under that name: all but those of metadata,
/// which are not inside a field there.
fn unknown_in_memory(object: &Value) -> Vec<String> {
    let metadata = builtin().definition("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
    let is_known = |name: &str| {
        matches!(name, "kind" | "apiVersion") || metadata.is_some_and(|schema| schema.field(name).is_some())
    };
    let names = object.as_object().into_iter().flat_map(Map::keys).filter(|name| !is_known(name));
    names.map(|name| format!("unknown field {}", go::quote(name))).collect()
}

/// Why nobody can read what kind an object is of.
pub(crate) fn unreadable(value: &Value) -> Option<String> {
    const BEGIN: &str = "couldn't get version/kind; json parse error: json: cannot unmarshal";
    const STRUCT: &str =
        r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;
    let fields = match value {
        Value::Null => return None,
        Value::Object(fields) => fields,
        other => return Some(format!("{BEGIN} {} into Go value of type {STRUCT}", decode::type_of(other))),
    };
    ["apiVersion", "kind"].into_iter().find_map(|name| match fields.get(name)? {
        Value::Null | Value::String(_) => None,
        other => Some(format!("{BEGIN} {} into Go struct field .{name} of type string", decode::type_of(other))),
    })
}
