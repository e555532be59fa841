//! Reads the tables.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{
    Definition, Description, Field, Fields, Group, GroupVersionKind, ListType, PatchStrategy, Resource, Subresource,
    Table, Type, Version, names,
};
use crate::protobuf;
use crate::typed::Scope;

/// Fields whose emptiness says something: that all managers are to be forgotten, and that an autoscaler is left
/// without policies, which is refused.
const MEANT_IF_EMPTY: [(&str, &str); 2] = [
    ("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "managedFields"),
    ("io.k8s.api.autoscaling.v2.HPAScalingRules", "policies"),
];

/// The description that the two tables give.
///
/// They are compiled in and every line of them is read by the tests, so a malformed line is a bug
/// of the generator and panics.
pub(super) fn description(resources: &'static str, schemas: &'static str) -> Description {
    let definition_lines: Vec<&'static str> = schemas.lines().filter(|line| !line.starts_with(' ')).collect();
    let by_name: HashMap<&'static str, usize> =
        definition_lines.iter().enumerate().map(|(index, line)| (first_word(line), index)).collect();
    let simple: HashMap<&'static str, Type> = definition_lines
        .iter()
        .filter_map(|line| Some((first_word(line), line.split(' ').nth(1)?.strip_prefix('=')?)))
        .map(|(name, simple)| (name, type_of(simple, &by_name, &HashMap::new()).0))
        .collect();

    let mut definitions: Vec<Definition> = Vec::with_capacity(definition_lines.len());
    let mut lines = schemas.lines().peekable();
    while let Some(line) = lines.next() {
        let mut definition = definition(line, definitions.len(), &simple);
        let of_fields = std::iter::from_fn(|| lines.next_if(|line| line.starts_with(' ')));
        let fields: Vec<Field> = of_fields.map(|line| field(line.trim_start(), &by_name, &simple)).collect();
        definition.fields = fields.into();
        definitions.push(definition);
    }
    let mut each = |(name, field): (&str, &str), change: fn(&mut Field)| {
        let definition = by_name.get(name).map(|index| &mut definitions[*index]);
        if let Some(field) = definition.and_then(|definition| definition.fields.get_mut(field)) {
            change(field);
        }
    };
    for place in protobuf::left_out_if_empty().into_iter().filter(|place| !MEANT_IF_EMPTY.contains(place)) {
        each(place, |field| field.leaves_out_empty = true);
    }
    for (name, field) in always() {
        match field.strip_suffix('?') {
            Some(field) => each((name, field), |field| field.is_always = true),
            None => each((name, field), |field| (field.is_always, field.is_never_null) = (true, true)),
        }
    }
    let groups = groups(resources);
    let with_status: HashSet<GroupVersionKind<'_>> = groups
        .iter()
        .flat_map(|group| &group.versions)
        .flat_map(|version| &version.resources)
        .filter(|resource| resource.subresource("status").is_some())
        .map(|resource| resource.group_version_kind())
        .collect();
    for definition in &mut definitions {
        definition.has_status = definition.kind.as_ref().is_some_and(|kind| with_status.contains(&kind.borrowed()));
    }
    drop(with_status);
    Description::new(groups, Arc::new(Table::new(definitions)))
}

/// Definitions and fields that are always there in upstream's eyes, with `?` if they are null then.
pub(super) fn always() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = include_str!("always.txt").lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(' ')).flat_map(|(name, fields)| fields.split(' ').map(move |it| (name, it)))
}

fn first_word(line: &'static str) -> &'static str {
    line.split(' ').next().unwrap_or_default()
}

fn definition(line: &'static str, index: usize, simple: &HashMap<&'static str, Type>) -> Definition {
    let mut words = line.split(' ');
    let name = words.next().unwrap_or_default();
    let r#type = simple.get(name).cloned().unwrap_or(Type::Struct(index));
    let mut definition = Definition {
        name: name.into(),
        kind: None,
        atomic: false,
        open: false,
        has_status: false,
        r#type,
        fields: Fields::default(),
    };
    for word in words {
        if let Some(path) = word.strip_prefix("kind=") {
            definition.kind = Some(kind(path).into());
        } else if word == "atomic" {
            definition.atomic = true;
        }
    }
    definition
}

fn field(line: &'static str, by_name: &HashMap<&'static str, usize>, simple: &HashMap<&'static str, Type>) -> Field {
    let mut words = line.split(' ');
    let name = words.next().unwrap_or_default();
    let (r#type, reference) = type_of(words.next().expect("a field has a type"), by_name, simple);
    let mut field = Field {
        name: name.trim_end_matches('!').into(),
        required: name.ends_with('!'),
        r#type,
        reference,
        list: ListType::Atomic,
        atomic: false,
        patch: PatchStrategy::default(),
        patch_merge_key: None,
        leaves_out_empty: false,
        is_always: false,
        is_never_null: false,
        default: None,
    };
    for word in words {
        match word.split_once('=') {
            None if word == "set" => field.list = ListType::Set,
            None if word == "atomic" => field.atomic = true,
            Some(("map", keys)) => field.list = ListType::Map(keys.split(',').map(Into::into).collect()),
            Some(("key", key)) => field.patch_merge_key = Some(key.into()),
            Some(("strategy", strategies)) => {
                for strategy in strategies.split(',') {
                    match strategy {
                        "merge" => field.patch.merge = true,
                        "replace" => field.patch.replace = true,
                        "retainKeys" => field.patch.retain_keys = true,
                        other => panic!("unknown patch strategy {other}"),
                    }
                }
            }
            _ => panic!("unknown attribute {word} of field {line}"),
        }
    }
    field
}

/// The type written as `text`, and the innermost definition that it refers to.
fn type_of(
    text: &'static str,
    by_name: &HashMap<&'static str, usize>,
    simple: &HashMap<&'static str, Type>,
) -> (Type, Option<usize>) {
    if let Some(items) = text.strip_prefix("[]") {
        let (items, reference) = type_of(items, by_name, simple);
        return (Type::List(Box::new(items)), reference);
    }
    if let Some(values) = text.strip_prefix("{}") {
        let (values, reference) = type_of(values, by_name, simple);
        return (Type::Map(Box::new(values)), reference);
    }
    if let Some(name) = text.strip_prefix('&') {
        let index = *by_name.get(name).unwrap_or_else(|| panic!("{name} is not defined"));
        return (simple.get(name).cloned().unwrap_or(Type::Struct(index)), Some(index));
    }
    let simple = match text {
        "any" => Type::Any,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "time" => Type::Time,
        "micro-time" => Type::MicroTime,
        "bool" => Type::Boolean,
        "int32" => Type::Int32,
        "int64" => Type::Int64,
        "number" => Type::Number,
        "quantity" => Type::Quantity,
        "int-or-string" => Type::IntOrString,
        other => panic!("unknown type {other}"),
    };
    (simple, None)
}

fn kind(path: &'static str) -> GroupVersionKind<'static> {
    let (api_version, kind) = path.rsplit_once('/').expect("a kind is written version/Kind or group/version/Kind");
    GroupVersionKind::from_api_version(api_version, kind)
}

/// Versions and their resources.
type Versions = Vec<(&'static str, Vec<Resource>)>;

fn groups(table: &'static str) -> Vec<Arc<Group>> {
    let mut groups: Vec<(&'static str, Versions)> = Vec::new();
    for line in table.lines() {
        let words: Vec<&'static str> = line.trim_start().split(' ').collect();
        match (line.len() - line.trim_start().len(), &words[..]) {
            (0, [api_version]) => {
                let GroupVersionKind { group, version, .. } = GroupVersionKind::from_api_version(api_version, "");
                if groups.last().is_none_or(|(last, _)| *last != group) {
                    groups.push((group, Vec::new()));
                }
                // Newer versions come later in the table and are preferred.
                groups.last_mut().expect("just pushed").1.insert(0, (version, Vec::new()));
            }
            (1, [name, path, scope, verbs]) => {
                let (group, versions) = groups.last_mut().expect("a version comes before its resources");
                let (version, resources) = &mut versions[0];
                let kind = kind(path).kind;
                let names = names::of(group, name);
                resources.push(Resource {
                    group: (*group).into(),
                    version: (*version).into(),
                    name: (*name).into(),
                    singular: kind.to_lowercase(),
                    kind: kind.into(),
                    list_kind: format!("{kind}List").into(),
                    scope: if *scope == "namespaced" { Scope::Namespaced } else { Scope::Cluster },
                    verbs: verbs.split(',').collect(),
                    short_names: names.short.iter().map(|name| (*name).into()).collect(),
                    categories: names.categories.iter().map(|name| (*name).into()).collect(),
                    subresources: Vec::new(),
                    custom: None,
                });
            }
            (2, [name, path, verbs]) => {
                let versions = &mut groups.last_mut().expect("a version comes before its resources").1;
                let resource = versions[0].1.last_mut().expect("a resource comes before its subresources");
                let subresource =
                    Subresource { name: (*name).into(), kind: kind(path).into(), verbs: verbs.split(',').collect() };
                resource.subresources.push(subresource);
            }
            _ => panic!("malformed line {line:?}"),
        }
    }
    let versions = |group: &'static str, versions: Versions| {
        let arcs = |resources: Vec<Resource>| resources.into_iter().map(Arc::new).collect();
        let version =
            |(version, resources): (&'static str, _)| Version::new(group.into(), version.into(), arcs(resources));
        versions.into_iter().map(|it| Arc::new(version(it))).collect()
    };
    groups
        .into_iter()
        .map(|(name, them)| Arc::new(Group { name: name.into(), versions: versions(name, them) }))
        .collect()
}
