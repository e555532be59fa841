//! What `kubectl explain` says of definitions and their fields.
//!
//! The words are the project's own, in the files of `about/`: a line for a definition, named by group and kind
//! because all its versions mean the same, then lines for its fields. They are part of the program and searched
//! where they lie; the table of their places is made with the first document and takes some ten kilobytes.

use std::borrow::Cow;
use std::sync::OnceLock;

use crate::description::Definition;

/// The files, each with the kinds of one area.
pub(super) const FILES: [&str; 7] = [
    include_str!("about/access.txt"),
    include_str!("about/cluster.txt"),
    include_str!("about/meta.txt"),
    include_str!("about/pods.txt"),
    include_str!("about/registry.txt"),
    include_str!("about/volumes.txt"),
    include_str!("about/workloads.txt"),
];

/// Definition, field (empty for the definition itself) and words, sorted.
type Entry = (&'static str, &'static str, &'static str);

/// The words about a definition, or with a name about that field of it.
pub(super) fn about(definition: &Definition, field: &str) -> Option<Cow<'static, str>> {
    let name = short_name(&definition.name);
    let of_any = fallback(definition).and_then(|any| find(any, field));
    match find(&name, field).or(of_any) {
        Some(words) => Some(Cow::Borrowed(words)),
        None if field.is_empty() && is_list(definition) => {
            let list = definition.kind.as_ref()?;
            let items = list.kind.strip_suffix("List").unwrap_or(&list.kind);
            Some(Cow::Owned(format!("{} is a list of {items}", list.kind)))
        }
        None => None,
    }
}

/// The words about a field of a definition, which is named by group and kind: `core.Pod`.
pub fn about_field(definition: &str, field: &str) -> Option<&'static str> {
    find(definition, field)
}

/// `core.Pod` for `io.k8s.api.core.v1.Pod`.
fn short_name(definition: &str) -> String {
    let mut parts = definition.rsplit('.');
    let kind = parts.next().unwrap_or_default();
    // Whatever stands between kind and group is the version.
    let group = parts.nth(1).unwrap_or_default();
    format!("{group}.{kind}")
}

/// The entry of the files for definitions of this sort.
fn fallback(definition: &Definition) -> Option<&'static str> {
    if definition.name.ends_with("Condition") {
        return Some("*condition");
    }
    definition.kind.as_ref().map(|_| if is_list(definition) { "*list" } else { "*kind" })
}

fn is_list(definition: &Definition) -> bool {
    definition.kind.is_some() && definition.fields.iter().any(|field| &*field.name == "items")
}

fn find(definition: &str, field: &str) -> Option<&'static str> {
    let entries = entries();
    let at = entries.binary_search_by(|(name, of, _)| (*name, *of).cmp(&(definition, field))).ok()?;
    Some(entries[at].2)
}

fn entries() -> &'static [Entry] {
    static ENTRIES: OnceLock<Vec<Entry>> = OnceLock::new();
    ENTRIES.get_or_init(|| {
        let mut entries: Vec<Entry> = FILES.iter().flat_map(|file| read(file)).collect();
        entries.sort_unstable();
        entries.shrink_to_fit();
        entries
    })
}

/// The entries of a file. A line that is no entry is passed over: the tests below find it.
fn read(file: &'static str) -> impl Iterator<Item = Entry> {
    let mut definition = "";
    file.lines().filter(|line| !line.starts_with('#')).filter_map(move |line| match line.strip_prefix(' ') {
        Some(field) => field.split_once(": ").map(|(field, words)| (definition, field, words)),
        None => {
            let words;
            (definition, words) = line.split_once(": ").unwrap_or((line, ""));
            Some((definition, "", words)).filter(|_| !words.is_empty())
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::description::builtin;

    /// Every definition by its short name, with the fields of all versions.
    fn described() -> BTreeMap<String, BTreeSet<&'static str>> {
        let mut all: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for definition in builtin().definitions() {
            let fields = definition.fields.iter().map(|field| &*field.name);
            all.entry(short_name(&definition.name)).or_default().extend(fields);
        }
        all
    }

    #[test]
    fn every_line_is_about_something_and_said_once() {
        let all = described();
        let lines = FILES.iter().flat_map(|file| file.lines());
        let said = lines.filter(|line| !line.starts_with('#') && !line.starts_with('*')).count();
        let general = entries().iter().filter(|(name, ..)| name.starts_with('*')).count();
        let fields_of_general =
            FILES.iter().flat_map(|file| read(file)).filter(|(name, ..)| name.starts_with('*')).count();
        assert_eq!((entries().len(), general), (said, fields_of_general), "a line is no entry");
        for pair in entries().windows(2) {
            assert_ne!((pair[0].0, pair[0].1), (pair[1].0, pair[1].1), "said twice");
        }
        for (name, field, words) in entries().iter().filter(|(name, ..)| !name.starts_with('*')) {
            let fields = all.get(*name);
            assert!(fields.is_some_and(|fields| field.is_empty() || fields.contains(field)), "{name} {field:?}");
            assert!(words.ends_with('.'), "{name} {field}: {words}");
        }
    }

    #[test]
    fn every_kind_that_is_served_says_what_it_is() {
        for resource in builtin().resources() {
            for kind in [&resource.kind, &resource.list_kind] {
                let kind = crate::description::GroupVersionKind { kind, ..resource.group_version_kind() };
                let Some(definition) = builtin().definition_of_kind(kind) else { continue };
                assert!(about(definition, "").is_some(), "{kind}");
                for field in definition.fields.iter() {
                    assert!(about(definition, &field.name).is_some(), "{kind} {}", field.name);
                }
            }
        }
    }

    #[test]
    fn every_field_of_the_registrys_kinds_is_described() {
        let own = builtin().definitions().iter().filter(|it| it.name.starts_with("dev.portolan.registry."));
        for definition in own {
            for field in definition.fields.iter().map(|field| &*field.name).chain([""]) {
                assert!(about(definition, field).is_some(), "{} {field:?}", definition.name);
            }
        }
    }

    #[test]
    fn the_kinds_that_most_people_ask_for_leave_nothing_out() {
        for name in [
            "apps.DeploymentSpec",
            "apps.DeploymentStatus",
            "apps.StatefulSetSpec",
            "batch.CronJobSpec",
            "batch.JobSpec",
            "core.Container",
            "core.ContainerPort",
            "core.PodSpec",
            "core.Probe",
            "core.SecurityContext",
            "core.ServicePort",
            "core.ServiceSpec",
            "core.VolumeMount",
            "meta.ObjectMeta",
            "networking.IngressSpec",
            "rbac.PolicyRule",
        ] {
            let silent: Vec<&str> =
                described()[name].iter().copied().filter(|field| find(name, field).is_none()).collect();
            assert!(silent.is_empty(), "{name}: {silent:?}");
        }
    }
}
