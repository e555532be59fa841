//! Reads the tables.

use std::collections::HashMap;

use super::{
    Definition, Description, Field, Group, GroupVersionKind, ListType, PatchStrategy, Resource, Subresource, Type,
    Version, names,
};
use crate::typed::Scope;

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
    for line in schemas.lines() {
        match line.strip_prefix(' ') {
            None => definitions.push(definition(line, definitions.len(), &simple)),
            Some(line) => {
                let fields = &mut definitions.last_mut().expect("a definition comes before its fields").fields;
                fields.push(field(line, &by_name, &simple));
            }
        }
    }
    let by_kind = definitions.iter().enumerate().filter_map(|(index, it)| Some((it.kind?, index))).collect();
    Description { groups: groups(resources), definitions, by_name, by_kind }
}

fn first_word(line: &'static str) -> &'static str {
    line.split(' ').next().unwrap_or_default()
}

fn definition(line: &'static str, index: usize, simple: &HashMap<&'static str, Type>) -> Definition {
    let mut words = line.split(' ');
    let name = words.next().unwrap_or_default();
    let r#type = simple.get(name).cloned().unwrap_or(Type::Struct(index));
    let mut definition = Definition { name, kind: None, atomic: false, r#type, fields: Vec::new() };
    for word in words {
        if let Some(path) = word.strip_prefix("kind=") {
            definition.kind = Some(kind(path));
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
        name: name.trim_end_matches('!'),
        required: name.ends_with('!'),
        r#type,
        reference,
        list: ListType::Atomic,
        atomic: false,
        patch: PatchStrategy::default(),
        patch_merge_key: None,
    };
    for word in words {
        match word.split_once('=') {
            None if word == "set" => field.list = ListType::Set,
            None if word == "atomic" => field.atomic = true,
            Some(("map", keys)) => field.list = ListType::Map(keys.split(',').collect()),
            Some(("key", key)) => field.patch_merge_key = Some(key),
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

fn groups(table: &'static str) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for line in table.lines() {
        let words: Vec<&'static str> = line.trim_start().split(' ').collect();
        match (line.len() - line.trim_start().len(), &words[..]) {
            (0, [api_version]) => {
                let GroupVersionKind { group, version, .. } = GroupVersionKind::from_api_version(api_version, "");
                if groups.last().is_none_or(|last| last.name != group) {
                    groups.push(Group { name: group, versions: Vec::new() });
                }
                // Newer versions come later in the table and are preferred.
                let versions = &mut groups.last_mut().expect("just pushed").versions;
                versions.insert(0, Version { group, version, resources: Vec::new() });
            }
            (1, [name, path, scope, verbs]) => {
                let version = &mut groups.last_mut().expect("a version comes before its resources").versions[0];
                let kind = kind(path).kind;
                let names = names::of(version.group, name);
                version.resources.push(Resource {
                    group: version.group,
                    version: version.version,
                    name,
                    singular: kind.to_lowercase(),
                    kind,
                    scope: if *scope == "namespaced" { Scope::Namespaced } else { Scope::Cluster },
                    verbs: verbs.split(',').collect(),
                    short_names: names.short,
                    categories: names.categories,
                    subresources: Vec::new(),
                });
            }
            (2, [name, path, verbs]) => {
                let version = &mut groups.last_mut().expect("a version comes before its resources").versions[0];
                let resource = version.resources.last_mut().expect("a resource comes before its subresources");
                resource.subresources.push(Subresource { name, kind: kind(path), verbs: verbs.split(',').collect() });
            }
            _ => panic!("malformed line {line:?}"),
        }
    }
    groups
}
