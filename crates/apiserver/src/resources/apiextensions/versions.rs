//! What is wrong with the versions of a definition.

use portolan_api::custom::{JsonPath, Structure};
use portolan_api::field::{Error, ErrorType, Path};
use portolan_api::validation as names;
use serde_json::Value;

use super::validation::{list, text};
use crate::extensions::rules;

const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
const MOST_SELECTABLE_FIELDS: usize = 8;

/// What is wrong with them, one by one and together.
pub(super) fn all(spec: &Value, path: &Path) -> Vec<Error> {
    let place = path.child("versions");
    let versions = list(&spec["versions"]);
    let mut errors = Vec::new();
    for (index, version) in versions.clone() {
        if version["schema"]["openAPIV3Schema"].is_null() {
            errors.push(Error::required(&place.index(index).child("schema").child("openAPIV3Schema"), ""));
        }
    }
    for (index, version) in versions.clone() {
        let path = place.index(index);
        let name = text(version, "name");
        let problems = names::is_dns1035_label(name);
        if !problems.is_empty() {
            errors.push(Error::invalid(&path.child("name"), name, problems.join(",")));
        }
        errors.extend(one(version, &path));
    }
    let all_names: Vec<&str> = versions.clone().map(|(_, version)| text(version, "name")).collect();
    if all_names.iter().enumerate().any(|(index, name)| all_names[..index].contains(name)) {
        errors.push(Error::invalid(&place, spec["versions"].clone(), "must contain unique version names"));
    }
    if versions.filter(|(_, version)| version["storage"] == true).count() != 1 {
        let detail = "must have exactly one version marked as storage version";
        errors.push(Error::invalid(&place, spec["versions"].clone(), detail));
    }
    errors
}

fn one(version: &Value, path: &Path) -> Vec<Error> {
    let mut errors = deprecation(version, path);
    let (schema, schema_path) = (&version["schema"]["openAPIV3Schema"], path.child("schema").child("openAPIV3Schema"));
    if !schema.is_null() {
        if schema["nullable"] == true {
            let place = path.child("schema").child("openAPIV3Schema.nullable");
            errors.push(Error::forbidden(&place, "nullable cannot be true at the root"));
        }
        let Structure { errors: wrong, compilable } = Structure::of(schema, &schema_path);
        errors.extend(wrong);
        errors.extend(rules::problems(schema, &schema_path, &compilable));
    }
    errors.extend(scale(&version["subresources"]["scale"], &path.child("subresources")));
    for (index, column) in list(&version["additionalPrinterColumns"]) {
        errors.extend(printer_column(column, &path.child("additionalPrinterColumns").index(index)));
    }
    errors.extend(selectable(version, &path.child("selectableFields")));
    errors
}

fn deprecation(version: &Value, path: &Path) -> Vec<Error> {
    let Some(warning) = version["deprecationWarning"].as_str() else { return Vec::new() };
    let place = path.child("deprecationWarning");
    let invalid = |detail: String| Error::invalid(&place, warning, detail);
    if version["deprecated"] != true {
        return vec![invalid("can only be set for deprecated versions".into())];
    }
    let mut errors = Vec::new();
    if warning.len() > 256 {
        errors.push(invalid("must be <= 256 characters long".into()));
    }
    if warning.is_empty() {
        errors.push(invalid("must not be an empty string".into()));
    }
    if let Some((index, _)) = warning.char_indices().find(|(_, character)| character.is_control()) {
        errors.push(invalid(format!(
            "must only contain printable UTF-8 characters; non-printable character found at index {index}"
        )));
    }
    errors
}

fn simple_path(given: &str, path: &Path) -> Option<Error> {
    match given {
        "" => Some(Error::invalid(path, given, "must not be empty")),
        given if !given.starts_with('.') => {
            Some(Error::invalid(path, given, "must be a simple json path starting with ."))
        }
        given => JsonPath::parse(given).err().map(|problem| Error::invalid(path, given, problem)),
    }
}

fn scale(scale: &Value, path: &Path) -> Vec<Error> {
    if scale.is_null() {
        return Vec::new();
    }
    let mut errors = Vec::new();
    for (name, roots, required) in [
        ("specReplicasPath", &[".spec."][..], true),
        ("statusReplicasPath", &[".status."], true),
        ("labelSelectorPath", &[".spec.", ".status."], false),
    ] {
        let (given, place) = (text(scale, name), path.child(&format!("scale.{name}")));
        if given.is_empty() {
            if required {
                errors.push(Error::required(&place, ""));
            }
        } else if let Some(error) = simple_path(given, &place) {
            errors.push(error);
        } else if !roots.iter().any(|root| given.starts_with(root)) {
            let detail = match roots {
                [root] => format!("should be a json path under {}", root.trim_end_matches('.')),
                _ => "should be a json path under either .spec or .status".to_owned(),
            };
            errors.push(Error::invalid(&place, given, detail));
        }
    }
    errors
}

fn printer_column(column: &Value, path: &Path) -> Vec<Error> {
    let mut errors = Vec::new();
    if text(column, "name").is_empty() {
        errors.push(Error::required(&path.child("name"), ""));
    }
    let types = format!("must be one of {}", COLUMN_TYPES.join(","));
    match text(column, "type") {
        "" => errors.push(Error::required(&path.child("type"), types)),
        known if COLUMN_TYPES.contains(&known) => {}
        other => errors.push(Error::invalid(&path.child("type"), other, types)),
    }
    let format = text(column, "format");
    if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
        let detail = format!("must be one of {}", COLUMN_FORMATS.join(","));
        errors.push(Error::invalid(&path.child("format"), format, detail));
    }
    let place = path.child("JSONPath");
    match text(column, "jsonPath") {
        "" => errors.push(Error::required(&place, "")),
        given => errors.extend(simple_path(given, &place)),
    }
    errors
}

fn selectable(version: &Value, path: &Path) -> Vec<Error> {
    let mut errors = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for (index, field) in list(&version["selectableFields"]) {
        let place = path.index(index).child("jsonPath");
        let given = text(field, "jsonPath");
        if given.is_empty() {
            errors.push(Error::required(&place, ""));
            continue;
        }
        let parsed = JsonPath::parse(given).ok().filter(|_| given.starts_with('.'));
        let names: Option<Vec<String>> =
            parsed.and_then(|path| path.fields().map(|names| names.into_iter().map(str::to_owned).collect()));
        let schema = names.as_ref().and_then(|names| {
            names.iter().try_fold(&version["schema"]["openAPIV3Schema"], |schema, name| {
                let property = schema["properties"].get(name);
                property.or_else(|| schema.get("additionalProperties").filter(|values| values.is_object()))
            })
        });
        let is_metadata = names.as_ref().and_then(|names| names.first()).is_some_and(|name| name == "metadata");
        match schema {
            None if !is_metadata => {
                let detail = format!("is an invalid path: does not refer to a valid field: {given}");
                errors.push(Error::invalid(&place, given, detail));
                continue;
            }
            _ if is_metadata => errors.push(Error::invalid(&place, given, "must not point to fields in metadata")),
            Some(schema) if !matches!(text(schema, "type"), "string" | "boolean" | "integer") => {
                let detail = "must point to a field of type string, boolean or integer. Enum string fields and strings \
                              with formats are allowed.";
                errors.push(Error::invalid(&place, given, detail));
            }
            _ => {}
        }
        if seen.contains(&given) {
            errors.push(Error::duplicate(&place, given));
        } else {
            seen.push(given);
        }
    }
    if seen.len() > MOST_SELECTABLE_FIELDS {
        let error = Error::invalid(path, seen.len(), format!("must have at most {MOST_SELECTABLE_FIELDS} items"));
        errors.push(Error { error_type: ErrorType::TooMany, ..error });
    }
    errors
}
