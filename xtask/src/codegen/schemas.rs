//! The table of definitions.

use super::resources::{Kind, Resources};
use super::*;

const REFERENCE: &str = "#/definitions/";

/// Needed although only parameters refer to it.
const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";

/// Definitions whose JSON is not what their schema says.
const SPECIAL: [(&str, &str); 5] = [
    ("io.k8s.apimachinery.pkg.api.resource.Quantity", "quantity"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime", "micro-time"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1", "any"),
    ("io.k8s.apimachinery.pkg.runtime.RawExtension", "any"),
    (PATCH, "any"),
];

/// Writes definitions.
pub(super) fn render(definitions: &BTreeMap<&str, &Value>) -> Result<String> {
    let mut text = String::new();
    for (name, schema) in definitions {
        definition(&mut text, name, schema)?;
    }
    Ok(text)
}

/// The definitions that the resources need, by name.
pub(super) fn needed<'a>(document: &'a Value, resources: &Resources) -> Result<BTreeMap<&'a str, &'a Value>> {
    let definitions = document.get("definitions").and_then(Value::as_object).context("no definitions")?;
    let versions: BTreeSet<(&str, &str)> =
        resources.keys().map(|(_, group, version)| (group.as_str(), version.as_str())).collect();
    let mut needed = BTreeMap::new();
    let mut queue: Vec<&str> = definitions
        .iter()
        .filter(|(_, definition)| {
            kinds(definition).any(|kind| versions.contains(&(kind.group.as_str(), kind.version.as_str())))
        })
        .map(|(name, _)| name.as_str())
        .chain([PATCH])
        .collect();
    while let Some(name) = queue.pop() {
        let definition = definitions.get(name).with_context(|| format!("{name} is not defined"))?;
        if needed.insert(name, definition).is_none() {
            references(definition, &mut queue);
        }
    }
    Ok(needed)
}

fn kinds(definition: &Value) -> impl Iterator<Item = Kind> {
    definition.get("x-kubernetes-group-version-kind").and_then(Value::as_array).into_iter().flatten().map(Kind::of)
}

fn references<'a>(schema: &'a Value, found: &mut Vec<&'a str>) {
    match schema {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(target) if name == "$ref" => found.extend(target.strip_prefix(REFERENCE)),
                    value => references(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

fn definition(text: &mut String, name: &str, definition: &Value) -> Result<()> {
    text.push_str(name);
    let properties = definition.get("properties").and_then(Value::as_object);
    let simple = match SPECIAL.iter().find(|(special, _)| *special == name) {
        Some((_, simple)) => Some((*simple).to_owned()),
        None if properties.is_some() || super::text(definition, "type") == "object" => None,
        None => Some(type_of(definition)?),
    };
    if let Some(simple) = simple {
        write!(text, " ={simple}")?;
    }
    attributes(text, definition);
    // Options and Status belong to every group; the kinds they are listed for carry no news.
    let kinds: Vec<Kind> = kinds(definition).collect();
    if let [kind] = &kinds[..] {
        write!(text, " kind={}", kind.render())?;
    }
    text.push('\n');
    let required: BTreeSet<&str> =
        definition.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    for (field, schema) in properties.unwrap_or(&Map::new()) {
        let mark = if required.contains(field.as_str()) { "!" } else { "" };
        write!(text, " {field}{mark} {}", type_of(schema).with_context(|| format!("{name}.{field}"))?)?;
        attributes(text, schema);
        text.push('\n');
    }
    Ok(())
}

fn type_of(schema: &Value) -> Result<String> {
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        return Ok(format!("&{}", target.strip_prefix(REFERENCE).context("a reference outside definitions")?));
    }
    Ok(match (super::text(schema, "type"), super::text(schema, "format")) {
        ("", _) => "any".into(),
        ("string", "") => "string".into(),
        ("string", "byte") => "bytes".into(),
        ("string", "date-time") => "time".into(),
        ("string", "int-or-string") => "int-or-string".into(),
        ("boolean", _) => "bool".into(),
        ("integer", "int32") => "int32".into(),
        ("integer", _) => "int64".into(),
        ("number", _) => "number".into(),
        ("array", _) => {
            let items = schema.get("items").context("an array without items")?;
            format!("[]{}", type_of(items)?)
        }
        ("object", _) => match schema.get("additionalProperties") {
            Some(values) if values.is_object() => format!("{{}}{}", type_of(values)?),
            _ => "{}any".into(),
        },
        (other, format) => bail!("unknown type {other:?} {format:?}"),
    })
}

fn attributes(text: &mut String, schema: &Value) {
    match super::text(schema, "x-kubernetes-list-type") {
        "set" => text.push_str(" set"),
        "map" => {
            let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
            let keys: Vec<&str> = keys.into_iter().flatten().filter_map(Value::as_str).collect();
            text.push_str(" map=");
            text.push_str(&keys.join(","));
        }
        _ => {}
    }
    if super::text(schema, "x-kubernetes-map-type") == "atomic" {
        text.push_str(" atomic");
    }
    for (attribute, name) in [("x-kubernetes-patch-strategy", "strategy"), ("x-kubernetes-patch-merge-key", "key")] {
        let value = super::text(schema, attribute);
        if !value.is_empty() {
            text.push_str(&format!(" {name}={value}"));
        }
    }
}
