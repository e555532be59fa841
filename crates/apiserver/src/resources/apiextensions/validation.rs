//! What is wrong with a definition.
//!
//! Source: `apiextensions-apiserver/pkg/apis/apiextensions/validation`.

use portolan_api::field::{Error, Path};
use portolan_api::validation as names;
use serde_json::Value;

use super::versions;
use crate::resources::at::{At, Errors};

const APPROVAL: &str = "api-approved.kubernetes.io";

pub(super) fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    object[name].as_str().unwrap_or_default()
}

pub(super) fn list(value: &Value) -> impl Iterator<Item = (usize, &Value)> + Clone {
    value.as_array().map_or(&[][..], Vec::as_slice).iter().enumerate()
}

/// What is wrong with the specification of a definition, and with its name.
pub(super) fn definition(object: &Value) -> Vec<Error> {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    let mut errors = Vec::new();
    let wanted = format!("{}.{}", text(&spec["names"], "plural"), text(spec, "group"));
    let name = text(&object["metadata"], "name");
    if name != wanted {
        let detail = "must be spec.names.plural+\".\"+spec.group";
        errors.push(Error::invalid(&Path::new("metadata").child("name"), name, detail));
    }
    let group = text(spec, "group");
    let group_path = path.child("group");
    let problems = names::is_dns1123_subdomain(group);
    if group.is_empty() {
        errors.push(Error::required(&group_path, ""));
    } else if !problems.is_empty() {
        errors.push(Error::invalid(&group_path, group, problems.join(",")));
    } else if !group.contains('.') {
        errors.push(Error::invalid(&group_path, group, "should be a domain with at least one dot"));
    }
    errors.extend(one_of(&path.child("scope"), text(spec, "scope"), &["Cluster", "Namespaced"]));
    errors.extend(versions::all(spec, &path));
    let names_path = path.child("names");
    for name in ["plural", "singular", "kind", "listKind"] {
        if text(&spec["names"], name).is_empty() {
            errors.push(Error::required(&names_path.child(name), ""));
        }
    }
    let wrong_names = all_names(&spec["names"], &names_path);
    // The names that are accepted are those that are wanted: what is wrong with them is told once.
    let tells_of_names = !wrong_names.is_empty();
    errors.extend(wrong_names);
    errors.extend(versions::shared(spec, &path));
    errors.extend(conversion(&spec["conversion"], &path.child("conversion")));
    if !tells_of_names {
        errors.extend(all_names(&object["status"]["acceptedNames"], &Path::new("status").child("acceptedNames")));
    }
    errors.extend(approval(object, group));
    if spec["preserveUnknownFields"] == true {
        let detail =
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        errors.push(Error::invalid(&path.child("preserveUnknownFields"), true, detail));
    }
    errors
}

fn one_of(path: &Path, value: &str, known: &[&str]) -> Option<Error> {
    match value {
        "" => Some(Error::required(path, "")),
        value if known.contains(&value) => None,
        other => Some(Error::not_supported(path, other, known)),
    }
}

fn all_names(wanted: &Value, path: &Path) -> Vec<Error> {
    let mut errors = Vec::new();
    let mut check = |path: Path, name: &str, mixed: bool| {
        let plain = if mixed { name.to_lowercase() } else { name.to_owned() };
        let problems = names::is_dns1035_label(&plain);
        if !name.is_empty() && !problems.is_empty() {
            let before = if mixed { "may have mixed case, but should otherwise match: " } else { "" };
            errors.push(Error::invalid(&path, name, format!("{before}{}", problems.join(","))));
        }
    };
    for (name, mixed) in [("plural", false), ("singular", false), ("kind", true), ("listKind", true)] {
        check(path.child(name), text(wanted, name), mixed);
    }
    for field in ["shortNames", "categories"] {
        for (index, name) in list(&wanted[field]) {
            check(path.child(field).index(index), name.as_str().unwrap_or_default(), false);
        }
    }
    let kind = text(wanted, "kind");
    if !kind.is_empty() && kind == text(wanted, "listKind") {
        errors.push(Error::invalid(&path.child("listKind"), kind, "kind and listKind may not be the same"));
    }
    errors
}

fn conversion(conversion: &Value, path: &Path) -> Vec<Error> {
    if conversion.is_null() {
        return Vec::new();
    }
    let mut errors: Vec<Error> =
        one_of(&path.child("strategy"), text(conversion, "strategy"), &["None", "Webhook"]).into_iter().collect();
    let webhook = &conversion["webhook"];
    if text(conversion, "strategy") != "Webhook" {
        if !webhook.is_null() {
            let detail = "should not be set when strategy is not set to Webhook";
            errors.push(Error::forbidden(&path.child("webhookClientConfig"), detail));
            if list(&webhook["conversionReviewVersions"]).next().is_some() {
                errors.push(Error::forbidden(&path.child("conversionReviewVersions"), detail));
            }
        }
        return errors;
    }
    let (config, config_path) = (&webhook["clientConfig"], path.child("webhookClientConfig"));
    let (url, service) = (&config["url"], &config["service"]);
    if config.is_null() {
        errors.push(Error::required(&config_path, "required when strategy is set to Webhook"));
    } else if url.is_null() == service.is_null() {
        errors.push(Error::required(&config_path, "exactly one of url or service is required"));
    } else {
        let (spec, mut found) = (At::root("spec"), Errors::default());
        found.client_config(&spec.child("conversion").child("webhookClientConfig"), config);
        errors.extend(found.0);
    }
    let (reviews, reviews_path) = (&webhook["conversionReviewVersions"], path.child("conversionReviewVersions"));
    let given: Vec<&str> = list(reviews).filter_map(|(_, version)| version.as_str()).collect();
    if given.is_empty() {
        errors.push(Error::required(&reviews_path, ""));
    }
    for (index, version) in given.iter().enumerate() {
        if given[..index].contains(version) {
            errors.push(Error::invalid(&reviews_path.index(index), *version, "duplicate version"));
        } else {
            for problem in names::is_dns1035_label(version) {
                errors.push(Error::invalid(&reviews_path.index(index), *version, problem));
            }
        }
    }
    if !given.is_empty() && !given.iter().any(|version| matches!(*version, "v1" | "v1beta1")) {
        errors.push(Error::invalid(&reviews_path, reviews.clone(), "must include at least one of v1, v1beta1"));
    }
    errors
}

/// Groups of the community may only be used for what it has looked at.
fn approval(object: &Value, group: &str) -> Option<Error> {
    let protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|own| group.strip_suffix(own).is_some_and(|before| before.is_empty() || before.ends_with('.')));
    if !protected {
        return None;
    }
    let given = text(&object["metadata"]["annotations"], APPROVAL);
    let path = Path::new("metadata").child("annotations").key(APPROVAL);
    if given.starts_with("unapproved") || given.starts_with("https://") || given.starts_with("http://") {
        return None;
    }
    Some(if given.is_empty() {
        let detail = "protected groups must have approval annotation \"api-approved.kubernetes.io\", see \
                      https://github.com/kubernetes/enhancements/pull/1111";
        Error::required(&path, detail)
    } else {
        let detail = "protected groups must have approval annotation \"api-approved.kubernetes.io\" with either a URL \
                      or a reason starting with \"unapproved\", see https://github.com/kubernetes/enhancements/pull/1111";
        Error::invalid(&path, given, detail)
    })
}

/// What is wrong with the record of versions in which objects are stored.
pub(super) fn stored_versions(object: &Value) -> Vec<Error> {
    let path = Path::new("status").child("storedVersions");
    let stored = &object["status"]["storedVersions"];
    let known: Vec<&str> = list(stored).filter_map(|(_, version)| version.as_str()).collect();
    if known.is_empty() {
        return vec![Error::invalid(&path, stored.clone(), "must have at least one stored version")];
    }
    let mut errors = Vec::new();
    let versions = list(&object["spec"]["versions"]);
    for (_, version) in versions.clone() {
        let name = text(version, "name");
        if version["storage"] == true && !known.contains(&name) {
            errors.push(Error::invalid(&path, stored.clone(), format!("must have the storage version {name}")));
        }
    }
    for (index, name) in known.iter().enumerate() {
        if !versions.clone().any(|(_, version)| text(version, "name") == *name) {
            let detail = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions \
                 until a storage migration ensures no data remains persisted in {name} and removes {name} from \
                 status.storedVersions"
            );
            errors.push(Error::invalid(&path.index(index), *name, detail));
        }
    }
    errors
}

/// What is accepted but does not do what its author may think.
pub(super) fn warnings(object: &Value) -> Vec<String> {
    const FORMATS: [&str; 34] = [
        "bsonobjectid",
        "uri",
        "email",
        "hostname",
        "ipv4",
        "ipv6",
        "cidr",
        "mac",
        "uuid",
        "uuid3",
        "uuid4",
        "uuid5",
        "isbn",
        "isbn10",
        "isbn13",
        "creditcard",
        "ssn",
        "hexcolor",
        "rgbcolor",
        "byte",
        "password",
        "date",
        "duration",
        "datetime",
        "date-time",
        "int32",
        "int64",
        "float",
        "double",
        "k8s-short-name",
        "k8s-long-name",
        "binary",
        "",
        "int-or-string",
    ];
    fn visit(schema: &Value, warnings: &mut Vec<String>) {
        let format = text(schema, "format");
        if !FORMATS.contains(&format) {
            warnings.push(format!("unrecognized format {format:?}"));
        }
        let item = text(&schema["items"], "type");
        if schema["x-kubernetes-list-type"] == "set" && matches!(item, "object" | "array") {
            warnings.push(format!(
                "x-kubernetes-list-type: set for items of type {item:?} is not supported by server-side apply or CEL \
                 validation rules"
            ));
        }
        schema["properties"].as_object().into_iter().flatten().for_each(|(_, inner)| visit(inner, warnings));
        for name in ["items", "additionalProperties"] {
            if schema[name].is_object() {
                visit(&schema[name], warnings);
            }
        }
    }
    let mut warnings = Vec::new();
    for (_, version) in list(&object["spec"]["versions"]) {
        visit(&version["schema"]["openAPIV3Schema"], &mut warnings);
    }
    warnings.dedup();
    warnings
}
