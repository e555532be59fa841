//! What is wrong with the versions of a definition.

use std::collections::BTreeSet;

use portolan_api::custom::{Notation, field_path};
use portolan_api::field::{Error, ErrorType, Path, Shown};
use portolan_api::validation as names;
use serde_json::Value;

use super::schema;
use super::validation::{list, text};

const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
const MOST_SELECTABLE_FIELDS: usize = 8;

/// What of the versions is the same in all of them: that is told once, as of the definition itself.
///
/// Source: the conversion of `v1`, which moves it there.
pub(super) struct Shared {
    schema: bool,
    subresources: bool,
    columns: bool,
    selectable: bool,
}

impl Shared {
    fn of(versions: &Value) -> Self {
        let same = |field: &str| list(versions).all(|(_, version)| version[field] == versions[0][field]);
        Self {
            schema: same("schema"),
            subresources: same("subresources"),
            columns: same("additionalPrinterColumns"),
            selectable: same("selectableFields"),
        }
    }

    /// Something is wrong with the versions, which are shown without what they share.
    fn invalid(&self, path: &Path, versions: &Value, detail: &str) -> Error {
        let shown: Vec<String> = list(versions).map(|(_, version)| schema::version_as_shown(version, self)).collect();
        let shown = if versions.is_array() { format!("[{}]", shown.join(",")) } else { "null".to_owned() };
        Error::invalid(path, Shown::Text(shown), detail)
    }

    /// Fields of a version that are told of the definition.
    pub(super) fn fields(&self) -> impl Iterator<Item = &'static str> {
        let fields = [
            ("schema", self.schema),
            ("subresources", self.subresources),
            ("additionalPrinterColumns", self.columns),
            ("selectableFields", self.selectable),
        ];
        fields.into_iter().filter(|(_, is_shared)| *is_shared).map(|(field, _)| field)
    }
}

/// What is wrong with them, one by one and together.
pub(super) fn all(spec: &Value, path: &Path) -> Vec<Error> {
    let place = path.child("versions");
    let versions = list(&spec["versions"]);
    let shared = Shared::of(&spec["versions"]);
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
        errors.extend(one(version, &path, &shared));
    }
    let all_names: Vec<&str> = versions.clone().map(|(_, version)| text(version, "name")).collect();
    if all_names.iter().collect::<BTreeSet<_>>().len() < all_names.len() {
        errors.push(shared.invalid(&place, &spec["versions"], "must contain unique version names"));
    }
    if versions.filter(|(_, version)| version["storage"] == true).count() != 1 {
        let detail = "must have exactly one version marked as storage version";
        errors.push(shared.invalid(&place, &spec["versions"], detail));
    }
    // Once definitions had one version only; it is that of the first one still.
    if let Some(first) = all_names.first().filter(|first| !first.is_empty()) {
        let problems = names::is_dns1035_label(first);
        if !problems.is_empty() {
            errors.push(Error::invalid(&path.child("version"), *first, problems.join(",")));
        }
    }
    errors
}

/// What is wrong with what all versions share.
pub(super) fn shared(spec: &Value, path: &Path) -> Vec<Error> {
    let (shared, first) = (Shared::of(&spec["versions"]), &spec["versions"][0]);
    let mut errors = Vec::new();
    if shared.schema {
        let has_status = list(&spec["versions"]).any(|(_, version)| has_status(version));
        errors.extend(schema::problems(&first["schema"]["openAPIV3Schema"], has_status, &path.child("validation")));
    }
    if shared.subresources {
        errors.extend(scale(&first["subresources"]["scale"], &path.child("subresources")));
    }
    if shared.columns {
        errors.extend(columns(first, path));
    }
    if shared.selectable && list(&first["selectableFields"]).next().is_some() {
        if shared.schema && !first["schema"].is_null() {
            errors.extend(selectable(first, &path.child("selectableFields")));
        } else {
            let detail = "may only be set when validations.schema is included";
            errors.push(Error::invalid(&path.child("selectableFields"), "", detail));
        }
    }
    errors
}

fn one(version: &Value, path: &Path, shared: &Shared) -> Vec<Error> {
    let mut errors = deprecation(version, path);
    if !shared.schema {
        let schema = &version["schema"]["openAPIV3Schema"];
        errors.extend(schema::problems(schema, has_status(version), &path.child("schema")));
    }
    if !shared.subresources {
        errors.extend(scale(&version["subresources"]["scale"], &path.child("subresources")));
    }
    if !shared.columns {
        errors.extend(columns(version, path));
    }
    if !shared.selectable && list(&version["selectableFields"]).next().is_some() {
        if shared.schema || version["schema"]["openAPIV3Schema"].is_null() {
            let detail = "may only be set when `version.schema.openAPIV3Schema` is not included";
            errors.push(Error::invalid(&path.child("selectableFields"), "", detail));
        } else {
            errors.extend(selectable(version, &path.child("selectableFields")));
        }
    }
    errors
}

fn has_status(version: &Value) -> bool {
    version["subresources"]["status"].is_object()
}

fn columns(version: &Value, path: &Path) -> Vec<Error> {
    let place = path.child("additionalPrinterColumns");
    let columns = list(&version["additionalPrinterColumns"]);
    columns.flat_map(|(index, column)| printer_column(column, &place.index(index))).collect()
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
        _ => None,
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
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for (index, field) in list(&version["selectableFields"]) {
        let place = path.index(index).child("jsonPath");
        let given = text(field, "jsonPath");
        if given.is_empty() {
            errors.push(Error::required(&place, ""));
            continue;
        }
        let (names, schema) = match field_path(given, &version["schema"]["openAPIV3Schema"], Notation::Dots) {
            Ok(found) => found,
            Err(error) => {
                errors.push(Error::invalid(&place, given, format!("is an invalid path: {error}")));
                continue;
            }
        };
        if names.split(['.', '[']).next() == Some("metadata") {
            errors.push(Error::invalid(&place, given, "must not point to fields in metadata"));
        }
        if !matches!(text(schema, "type"), "string" | "boolean" | "integer") {
            let detail = "must point to a field of type string, boolean or integer. Enum string fields and strings \
                          with formats are allowed.";
            errors.push(Error::invalid(&place, given, detail));
        }
        if !seen.insert(names) {
            errors.push(Error::duplicate(&place, given));
        }
    }
    if seen.len() > MOST_SELECTABLE_FIELDS {
        let error = Error::invalid(path, seen.len(), format!("must have at most {MOST_SELECTABLE_FIELDS} items"));
        errors.push(Error { error_type: ErrorType::TooMany, ..error });
    }
    errors
}
