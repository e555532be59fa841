//! What is wrong with a definition.
//!
//! Source: `apiextensions-apiserver/pkg/apis/apiextensions/validation`.

use std::collections::{BTreeMap, HashSet};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use portolan_api::custom;
use portolan_api::field::{Error, Path};
use portolan_api::validation as names;
use portolan_base::go;
use serde_json::Value;

use super::versions;
use crate::resources::at::{At, Errors};
use crate::resources::pem::why_not_authorities;
use crate::resources::url;

const APPROVAL: &str = "api-approved.kubernetes.io";

pub(super) fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    object[name].as_str().unwrap_or_default()
}

pub(super) fn list(value: &Value) -> impl Iterator<Item = (usize, &Value)> + Clone {
    value.as_array().map_or(&[][..], Vec::as_slice).iter().enumerate()
}

/// What is wrong with a new definition, but for what it remembers of versions.
pub(super) fn created(object: &Value) -> Vec<Error> {
    let wanted = format!("{}.{}", text(&object["spec"]["names"], "plural"), text(&object["spec"], "group"));
    let mut errors = Errors::default();
    errors.decided_name(&object["metadata"], &wanted, "must be spec.names.plural+\".\"+spec.group");
    let mut errors = errors.0;
    errors.extend(specified(object));
    errors.extend(approval(object, None));
    errors.extend(keeps_all(object));
    errors
}

/// The same for what a definition becomes. Its name is that of what it was.
pub(super) fn changed(new: &Value, old: &Value) -> Vec<Error> {
    let mut errors = specified(new);
    errors.extend(bundle(new, old));
    errors.extend(approval(new, Some(old)));
    if old["spec"]["preserveUnknownFields"] != true {
        errors.extend(keeps_all(new));
    }
    errors
}

fn specified(object: &Value) -> Vec<Error> {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    let mut errors = Vec::new();
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
    errors
}

fn keeps_all(object: &Value) -> Option<Error> {
    let path = Path::new("spec").child("preserveUnknownFields");
    let detail =
        "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
    (object["spec"]["preserveUnknownFields"] == true).then(|| Error::invalid(&path, true, detail))
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
    let mut check = |path: Path, name: &str, mixed: bool, may_be_empty: bool| {
        let plain = if mixed { name.to_lowercase() } else { name.to_owned() };
        let problems = names::is_dns1035_label(&plain);
        let is_fine = problems.is_empty() || (may_be_empty && name.is_empty());
        if !is_fine {
            let before = if mixed { "may have mixed case, but should otherwise match: " } else { "" };
            errors.push(Error::invalid(&path, name, format!("{before}{}", problems.join(","))));
        }
    };
    for (name, mixed) in [("plural", false), ("singular", false), ("kind", true), ("listKind", true)] {
        check(path.child(name), text(wanted, name), mixed, true);
    }
    for field in ["shortNames", "categories"] {
        for (index, name) in list(&wanted[field]) {
            check(path.child(field).index(index), name.as_str().unwrap_or_default(), false, false);
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
    let mut seen = HashSet::new();
    for (index, version) in given.iter().enumerate() {
        if !seen.insert(version) {
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

/// What is wrong with the bundle that the server of a webhook is known by. A definition that is not served yet may have
/// any, and one that has a wrong bundle may keep it or get another.
fn bundle(new: &Value, old: &Value) -> Option<Error> {
    let conversion = &new["spec"]["conversion"];
    let is_forgiven = !custom::is_established(old) || unusable_bundle(&old["spec"]["conversion"]).is_some();
    let why = unusable_bundle(conversion).filter(|_| !is_forgiven && text(conversion, "strategy") == "Webhook")?;
    let path = Path::new("spec").child("conversion").child("webhookClientConfig").child("caBundle");
    Some(Error::invalid(&path, conversion["webhook"]["clientConfig"]["caBundle"].clone(), why))
}

/// Why the server of a conversion webhook cannot be known by its bundle, if it has one.
pub(crate) fn unusable_bundle(conversion: &Value) -> Option<String> {
    let encoded = text(&conversion["webhook"]["clientConfig"], "caBundle");
    let bundle = BASE64_STANDARD.decode(encoded).unwrap_or_default();
    if bundle.is_empty() { None } else { why_not_authorities(&bundle) }
}

/// What a definition says of the community's approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Approval {
    Missing,
    Bypassed,
    Given,
    Invalid,
}

impl Approval {
    fn of(object: &Value) -> Self {
        match text(&object["metadata"]["annotations"], APPROVAL) {
            "" => Self::Missing,
            given if given.starts_with("unapproved") => Self::Bypassed,
            given => match url::parse(given) {
                Ok(url) if !url.scheme.is_empty() && !url.host.is_empty() => Self::Given,
                _ => Self::Invalid,
            },
        }
    }
}

/// Groups of the community may only be used for what it has looked at. What was said before may stay.
fn approval(object: &Value, old: Option<&Value>) -> Option<Error> {
    let group = text(&object["spec"], "group");
    let is_protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|own| group.strip_suffix(own).is_some_and(|before| before.is_empty() || before.ends_with('.')));
    let approval = Approval::of(object);
    if !is_protected || old.is_some_and(|old| Approval::of(old) == approval) {
        return None;
    }
    let path = Path::new("metadata").child("annotations").key(APPROVAL);
    match approval {
        Approval::Given | Approval::Bypassed => None,
        Approval::Missing => {
            let detail = "protected groups must have approval annotation \"api-approved.kubernetes.io\", see \
                          https://github.com/kubernetes/enhancements/pull/1111";
            Some(Error::required(&path, detail))
        }
        Approval::Invalid => {
            let detail = "protected groups must have approval annotation \"api-approved.kubernetes.io\" with either a \
                          URL or a reason starting with \"unapproved\", see \
                          https://github.com/kubernetes/enhancements/pull/1111";
            Some(Error::invalid(&path, text(&object["metadata"]["annotations"], APPROVAL), detail))
        }
    }
}

/// What is wrong with the record of versions in which objects are stored.
pub(super) fn stored_versions(object: &Value) -> Vec<Error> {
    let path = Path::new("status").child("storedVersions");
    let stored = &object["status"]["storedVersions"];
    let known: Vec<&str> = list(stored).map(|(_, version)| version.as_str().unwrap_or_default()).collect();
    if known.is_empty() {
        return vec![Error::invalid(&path, stored.clone(), "must have at least one stored version")];
    }
    let mut errors = Vec::new();
    // Those that no version has named yet.
    let mut left: BTreeMap<&str, usize> = known.iter().enumerate().map(|(index, name)| (*name, index)).collect();
    for (_, version) in list(&object["spec"]["versions"]) {
        let name = text(version, "name");
        if left.remove(name).is_none() && version["storage"] == true {
            errors.push(Error::invalid(&path, stored.clone(), format!("must have the storage version {name}")));
        }
    }
    for (name, index) in left {
        let detail = format!(
            "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions \
             until a storage migration ensures no data remains persisted in {name} and removes {name} from \
             status.storedVersions"
        );
        errors.push(Error::invalid(&path.index(index), name, detail));
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
            warnings.push(format!("unrecognized format {}", go::quote(format)));
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
