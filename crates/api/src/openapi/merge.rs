//! Documents of version 2 that other servers answer with, put together with this server's own.
//!
//! The rules are those of `k8s.io/kube-openapi/pkg/aggregator`: of two paths the first stays, a definition that
//! differs from the first of its name gets another name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::{Map, Value};

const DEFINITIONS: &str = "#/definitions/";
const PARAMETERS: &str = "#/parameters/";
const KINDS: &str = "x-kubernetes-group-version-kind";

/// What a server's document says about a version of a group: its paths, and all definitions but those that only
/// other paths need.
pub fn v2_part(document: Value, group: &str, version: &str) -> Value {
    let prefix = format!("/apis/{group}/{version}/");
    without_paths(document, |path| path.starts_with(&prefix))
}

/// Adds what another server's document says. Fails, and adds nothing, if the kinds of a definition are no list of kinds.
pub fn v2_merge(whole: &mut Value, part: &Value) -> Result<(), String> {
    let taken: Vec<&String> = of(part, "paths").keys().filter(|path| of(whole, "paths").contains_key(*path)).collect();
    if taken.len() == of(part, "paths").len() {
        return Ok(());
    }
    let mut part = match taken.is_empty() {
        true => part.clone(),
        false => {
            let kept: Vec<String> =
                of(part, "paths").keys().filter(|path| !of(whole, "paths").contains_key(*path)).cloned().collect();
            without_paths(part.clone(), |path| kept.iter().any(|kept| path.starts_with(kept.as_str())))
        }
    };
    for (field, prefix, is_same) in [
        ("definitions", DEFINITIONS, same_definition as fn(&Value, &Value) -> bool),
        ("parameters", PARAMETERS, |one, other| one == other),
    ] {
        let names = new_names(of(whole, field), of(&part, field), is_same);
        rename(&mut part, field, prefix, &names);
    }
    let mut kinds = Vec::new();
    for (name, definition) in of(&part, "definitions") {
        if let Some(known) = of(whole, "definitions").get(name)
            && let Some(merged) = merged_kinds(&known[KINDS], &definition[KINDS])?
        {
            kinds.push((name.clone(), merged));
        }
    }
    for (name, merged) in kinds {
        whole["definitions"][name][KINDS] = merged;
    }
    for field in ["definitions", "parameters", "paths"] {
        let Some(new) = part.get_mut(field).and_then(Value::as_object_mut).map(std::mem::take) else { continue };
        if !whole[field].is_object() {
            whole[field] = Map::new().into();
        }
        if let Some(all) = whole[field].as_object_mut() {
            for (name, value) in new {
                all.entry(name).or_insert(value);
            }
        }
    }
    Ok(())
}

/// The entries of a part of a document.
fn of<'a>(document: &'a Value, field: &str) -> &'a Map<String, Value> {
    static NONE: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
    document[field].as_object().unwrap_or(&NONE)
}

/// A document with some of its paths, without the definitions that the other paths alone needed.
fn without_paths(mut document: Value, keeps: impl Fn(&str) -> bool) -> Value {
    if !document["paths"].is_object() {
        return document;
    }
    let before = used(&document);
    if let Some(paths) = document["paths"].as_object_mut() {
        paths.retain(|path, _| keeps(path));
    }
    let after = used(&document);
    if let Some(definitions) = document["definitions"].as_object_mut() {
        definitions.retain(|name, _| after.contains(name) || !before.contains(name));
    }
    document
}

/// The definitions that the paths need, by themselves or through others.
fn used(document: &Value) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    let mut parameters = BTreeSet::new();
    let mut open: Vec<&Value> = vec![&document["paths"]];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(target)) = fields.get("$ref") {
                    if let Some(name) = target.strip_prefix(DEFINITIONS)
                        && used.insert(name.to_owned())
                    {
                        open.push(&document["definitions"][name]);
                    } else if let Some(name) = target.strip_prefix(PARAMETERS)
                        && parameters.insert(name)
                    {
                        open.push(&document["parameters"][name]);
                    }
                }
                open.extend(fields.values());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    used
}

/// What those of `new` must be called instead whose names mean something else already.
fn new_names(
    known: &Map<String, Value>,
    new: &Map<String, Value>,
    is_same: fn(&Value, &Value) -> bool,
) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for (name, value) in new {
        if known.get(name).is_none_or(|known| is_same(known, value)) {
            continue;
        }
        let candidates = (2..).map(|number| format!("{name}_v{number}"));
        let fits = |candidate: &String| match known.get(candidate) {
            Some(known) => is_same(known, value),
            None => !taken.contains(candidate) && !new.contains_key(candidate),
        };
        let Some(chosen) = candidates.into_iter().find(fits) else { continue };
        taken.insert(chosen.clone());
        names.insert(name.clone(), chosen);
    }
    names
}

fn rename(document: &mut Value, field: &str, prefix: &str, names: &BTreeMap<String, String>) {
    if names.is_empty() {
        return;
    }
    if let Some(entries) = document[field].as_object_mut() {
        let renamed = std::mem::take(entries).into_iter().map(|(name, value)| match names.get(&name) {
            Some(new) => (new.clone(), value),
            None => (name, value),
        });
        *entries = renamed.collect();
    }
    let mut open = vec![document];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(target)) = fields.get_mut("$ref")
                    && let Some(new) = target.strip_prefix(prefix).and_then(|name| names.get(name))
                {
                    *target = format!("{prefix}{new}");
                }
                open.extend(fields.values_mut());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
}

/// Whether two definitions say the same, but for the kinds that they are of.
fn same_definition(one: &Value, other: &Value) -> bool {
    let (Value::Object(one), Value::Object(other)) = (one, other) else { return one == other };
    let others = |of: &Map<String, Value>| of.keys().filter(|key| *key != KINDS).count();
    others(one) == others(other)
        && one.iter().filter(|(key, _)| *key != KINDS).all(|(key, value)| other.get(key) == Some(value))
}

/// The kinds of both; nothing if the second knows none that the first does not.
fn merged_kinds(one: &Value, other: &Value) -> Result<Option<Value>, String> {
    if other.is_null() {
        return Ok(None);
    }
    if one.is_null() {
        return Ok(Some(other.clone()));
    }
    let (mut all, more) = (keyed(one)?, keyed(other)?);
    let count = all.len();
    for (key, kind) in more {
        if !all.iter().any(|(known, _)| *known == key) {
            all.push((key, kind));
        }
    }
    if all.len() == count {
        return Ok(None);
    }
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(Some(all.into_iter().map(|(_, kind)| kind).collect()))
}

fn keyed(kinds: &Value) -> Result<Vec<(String, Value)>, String> {
    let list = kinds.as_array().ok_or_else(|| format!("expected slice of GroupVersionKinds, got: {kinds}"))?;
    let keyed = list.iter().map(|kind| {
        let text = |field: &str| kind[field].as_str().unwrap_or_default();
        let is_kind = kind.is_object();
        is_kind
            .then(|| (format!("{}/{}.{}", text("group"), text("version"), text("kind")), kind.clone()))
            .ok_or_else(|| format!("no group, version and kind: {kind}"))
    });
    keyed.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(paths: &[(&str, &str)], definitions: Value) -> Value {
        let paths = paths.iter().map(|(path, name)| {
            let schema = json!({"$ref": format!("{DEFINITIONS}{name}")});
            ((*path).to_owned(), json!({"get": {"responses": {"200": {"schema": schema}}}}))
        });
        json!({"paths": paths.collect::<Map<_, _>>(), "definitions": definitions})
    }

    fn refers(name: &str) -> Value {
        json!({"properties": {"it": {"$ref": format!("{DEFINITIONS}{name}")}}})
    }

    #[test]
    fn a_part_has_its_paths_and_what_they_need() {
        let whole = document(
            &[("/apis/a/v1/x", "X"), ("/apis/a/v1beta1/x", "Old"), ("/version", "Info")],
            json!({"X": refers("Deep"), "Deep": refers("X"), "Old": {}, "Info": {}, "Nobody": {}}),
        );
        let part = v2_part(whole, "a", "v1");
        let names = |field: &str| of(&part, field).keys().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!((names("paths"), names("definitions")), ("/apis/a/v1/x".into(), "Deep Nobody X".into()));
    }

    #[test]
    fn other_definitions_of_a_name_get_another_name() {
        let kind = |kind: &str| json!([{"group": "", "version": "v1", "kind": kind}]);
        let mut whole = document(
            &[("/a", "Meta")],
            json!({"Meta": {"type": "object"}, "Same": {"type": "string", KINDS: kind("B")}}),
        );
        let other = json!({"Meta": {"type": "array"}, "Same": {"type": "string", KINDS: kind("A")}, "Meta_v2": {}});
        for (path, definitions) in [
            ("/b", other.clone()),
            // The same once more: nothing new is needed.
            ("/c", other),
            ("/d", json!({"Meta": {"type": "integer"}})),
            // Its path is taken, and with it its definition is of no use.
            ("/a", json!({"Meta": {"type": "boolean"}})),
        ] {
            v2_merge(&mut whole, &document(&[(path, "Meta")], definitions)).expect("well formed");
        }
        let told = |path: &str| {
            let name = whole["paths"][path]["get"]["responses"]["200"]["schema"]["$ref"].as_str().expect("a name");
            format!("{path} {}", whole.pointer(&name[1..]).expect("it is there")["type"])
        };
        assert_eq!(
            ["/a", "/b", "/c", "/d"].map(told),
            ["/a \"object\"", "/b \"array\"", "/c \"array\"", "/d \"integer\""]
        );
        let names: Vec<_> = of(&whole, "definitions").keys().collect();
        assert_eq!(names, ["Meta", "Meta_v2", "Meta_v3", "Meta_v4", "Same"]);
        assert_eq!(whole["definitions"]["Same"][KINDS].to_string(), json!([kind("A")[0], kind("B")[0]]).to_string());
    }

    #[test]
    fn what_is_malformed_changes_nothing() {
        let mut whole = document(&[("/a", "A")], json!({"A": {KINDS: []}}));
        let before = whole.clone();
        for kinds in [json!("Pod"), json!(["Pod"])] {
            let part = document(&[("/b", "A")], json!({"A": {KINDS: kinds}, "B": {}}));
            v2_merge(&mut whole, &part).expect_err("no kinds");
            assert_eq!(whole, before);
        }
        for part in [json!(null), json!([]), json!({"paths": 1, "definitions": "x"}), json!({"paths": {}})] {
            v2_merge(&mut whole, &part).expect("nothing to add");
            assert_eq!(whole, before);
        }
    }
}
