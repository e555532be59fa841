//! The table of resources.

use super::*;

/// A group, version and kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) kind: String,
}

impl Kind {
    pub(super) fn of(value: &Value) -> Self {
        Self {
            group: super::text(value, "group").into(),
            version: super::text(value, "version").into(),
            kind: super::text(value, "kind").into(),
        }
    }

    /// `group/version/Kind`, without the group in the core group.
    pub(super) fn render(&self) -> String {
        let Self { group, version, kind } = self;
        if group.is_empty() { format!("{version}/{kind}") } else { format!("{group}/{version}/{kind}") }
    }
}

/// What can be done with one resource or subresource.
#[derive(Debug, Default)]
pub(super) struct Resource {
    pub(super) kind: Option<Kind>,
    namespaced: bool,
    verbs: BTreeSet<&'static str>,
    subresources: BTreeMap<String, Resource>,
}

/// Resources by (place of the group, group, version) and name.
pub(super) type Resources = BTreeMap<(usize, String, String), BTreeMap<String, Resource>>;

/// Reads the resources of all served versions from the paths.
pub(super) fn collect(document: &Value) -> Result<Resources> {
    let mut resources = Resources::new();
    for (path, operations) in super::object(document, "paths") {
        let Some((group, version, segments)) = split(path) else { continue };
        let Some(position) = GROUPS.iter().position(|known| *known == group) else {
            bail!("the group {group} has no place in the order of groups");
        };
        let entry = resources.entry((position, group.to_owned(), version.to_owned())).or_default();
        let operations: Vec<(&String, &Value)> =
            operations.as_object().into_iter().flatten().filter(|(method, _)| *method != "parameters").collect();
        let (namespaced, name, subresource) = match segments[..] {
            ["namespaces", "{namespace}", name] => (true, name, None),
            ["namespaces", "{namespace}", name, "{name}"] => (true, name, None),
            ["namespaces", "{namespace}", name, "{name}", subresource] => (true, name, Some(subresource)),
            [name] => (false, name, None),
            [name, "{name}"] => (false, name, None),
            [name, "{name}", subresource] => (false, name, Some(subresource)),
            // The old watch paths, and the path behind a proxy.
            _ => continue,
        };
        let resource = entry.entry(name.to_owned()).or_default();
        let resource = match subresource {
            Some(subresource) => resource.subresources.entry(subresource.to_owned()).or_default(),
            None => resource,
        };
        resource.namespaced |= namespaced;
        for (method, operation) in operations {
            let kind = operation
                .get("x-kubernetes-group-version-kind")
                .with_context(|| format!("{method} {path} names no kind"))?;
            // Delete operations of a collection and of an object name the same kind.
            resource.kind.get_or_insert_with(|| Kind::of(kind));
            match (super::text(operation, "x-kubernetes-action"), method.as_str()) {
                ("get", _) => resource.verbs.extend(["get"]),
                ("list", _) if group == MEASURED || UNWATCHED.contains(&name) => resource.verbs.extend(["list"]),
                ("list", _) => resource.verbs.extend(["list", "watch"]),
                ("post", _) => resource.verbs.extend(["create"]),
                ("put", _) => resource.verbs.extend(["update"]),
                ("patch", _) => resource.verbs.extend(["patch"]),
                ("delete", _) => resource.verbs.extend(["delete"]),
                ("deletecollection", _) => resource.verbs.extend(["deletecollection"]),
                ("connect", "get") => resource.verbs.extend(["get"]),
                ("connect", "post") => resource.verbs.extend(["create"]),
                ("connect", "put") => resource.verbs.extend(["update"]),
                ("connect", "patch") => resource.verbs.extend(["patch"]),
                ("connect", "delete") => resource.verbs.extend(["delete"]),
                ("connect", _) => {}
                (action, _) => bail!("{method} {path}: unknown action {action:?}"),
            }
        }
    }
    // `namespaces/{namespace}/bindings` and friends read like a subresource of a namespace only
    // where the first segment is a cluster-scoped path; those entries carry no verbs.
    for entry in resources.values_mut() {
        entry.retain(|_, resource| !resource.verbs.is_empty());
    }
    resources.retain(|_, entry| !entry.is_empty());
    Ok(resources)
}

/// Group, version and the rest of the path of a stable version, or of one that has none.
fn split(path: &str) -> Option<(&str, &str, Vec<&str>)> {
    let mut segments = path.split('/').skip(1);
    let group = match segments.next()? {
        "api" => "",
        "apis" => segments.next()?,
        _ => return None,
    };
    let version = segments.next()?;
    let number = version.strip_prefix('v')?;
    let number =
        if group == MEASURED { number.split_once("beta").map_or(number, |(stable, _)| stable) } else { number };
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let rest: Vec<&str> = segments.collect();
    (!rest.is_empty() && !rest[0].is_empty() && rest[0] != "watch").then_some((group, version, rest))
}

/// Writes the table.
pub(super) fn render(resources: &Resources) -> String {
    let mut text = String::new();
    for ((_, group, version), resources) in resources {
        if group.is_empty() { writeln!(text, "{version}") } else { writeln!(text, "{group}/{version}") }
            .expect("writing to a string succeeds");
        for (name, resource) in resources {
            let kind = resource.kind.as_ref().map(Kind::render).unwrap_or_default();
            let scope = if resource.namespaced { "namespaced" } else { "cluster" };
            writeln!(text, " {name} {kind} {scope} {}", verbs(resource)).expect("writing to a string succeeds");
            for (name, subresource) in &resource.subresources {
                let kind = subresource.kind.as_ref().map(Kind::render).unwrap_or_default();
                writeln!(text, "  {name} {kind} {}", verbs(subresource)).expect("writing to a string succeeds");
            }
        }
    }
    text
}

fn verbs(resource: &Resource) -> String {
    resource.verbs.iter().copied().collect::<Vec<_>>().join(",")
}
