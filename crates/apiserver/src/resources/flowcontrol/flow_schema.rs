//! Flow schemas: which requests share a priority level.

use portolan_api::field::Shown;
use portolan_api::{field, validation};
use portolan_base::Timestamp;
use serde_json::Value;

use super::priority_level;
use crate::fairness;
use crate::resources::at::{At, Errors};
use crate::resources::json::{is_set, items, set_zero, spec, text};
use crate::resources::print::{self, integer};
use crate::strategy::{AGE, Column, Context, Generations, NAME, Strategy};

/// The strategy of flow schemas.
pub(crate) struct FlowSchema;

const COLUMNS: &[Column] = &[
    NAME,
    Column::string("PriorityLevel").of("flowcontrol.PriorityLevelConfigurationReference", "name"),
    Column::string("MatchingPrecedence").of("flowcontrol.FlowSchemaSpec", "matchingPrecedence"),
    Column::string("DistinguisherMethod").of("flowcontrol.FlowSchemaSpec", "distinguisherMethod"),
    AGE,
    Column::string("MissingPL").about("references a broken or non-existent PriorityLevelConfiguration"),
];
/// What is asked first has the lowest number; 1 is kept for one of the system's own.
const LAST: i64 = 10_000;
const DISTINGUISHERS: [&str; 2] = ["ByNamespace", "ByUser"];
const SUBJECTS: [&str; 3] = ["Group", "ServiceAccount", "User"];
const VERBS: [&str; 9] = ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];

impl Strategy for FlowSchema {
    fn generations(&self) -> Generations {
        Generations::FromCreation
    }

    fn default(&self, object: &mut Value) {
        if let Some(spec) = spec(object) {
            set_zero(spec, "matchingPrecedence", 1000);
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        let (at, spec) = (At::root("spec"), &object["spec"]);
        let precedence = integer(&spec["matchingPrecedence"]);
        if precedence <= 0 {
            errors.invalid(&at.child("matchingPrecedence"), precedence, "must be a positive value");
        }
        if precedence > LAST {
            let detail = format!("must not be greater than {LAST}");
            errors.invalid(&at.child("matchingPrecedence"), precedence, detail);
        }
        if precedence == 1 && text(&object["metadata"]["name"]) != "exempt" {
            errors.invalid(
                &at.child("matchingPrecedence"),
                1,
                "only the schema named 'exempt' may have matchingPrecedence 1",
            );
        }
        let method = &spec["distinguisherMethod"];
        if !method.is_null() && !DISTINGUISHERS.contains(&text(&method["type"])) {
            let at = at.child("distinguisherMethod");
            let shown = format!(r#"{{"Type":{}}}"#, Value::from(text(&method["type"])));
            errors.not_supported(&at.child("type"), Shown::Text(shown), &DISTINGUISHERS);
        }
        let level = at.child("priorityLevelConfiguration");
        let name = &spec["priorityLevelConfiguration"]["name"];
        if is_set(name) {
            errors.obeys(&level.child("name"), text(name), validation::is_dns1123_subdomain);
        } else {
            errors.required(&level.child("name"), "must reference a priority level");
        }
        let list = at.child("rules");
        for (index, rule) in items(&spec["rules"]).iter().enumerate() {
            validate_rule(rule, &list.index(index), &mut errors);
        }
        let name = text(&object["metadata"]["name"]);
        if fairness::mandatory("FlowSchema", name).is_some_and(|fixed| fixed["spec"] != *spec) {
            errors.invalid(&at, spec.clone(), format!("spec of '{name}' must equal the fixed value"));
        }
        priority_level::validate_conditions(object, &mut errors);
        errors.0
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let spec = &object["spec"];
        let dangling = items(&object["status"]["conditions"]).iter().find(|it| text(&it["type"]) == "Dangling");
        vec![
            print::name(object),
            text(&spec["priorityLevelConfiguration"]["name"]).into(),
            integer(&spec["matchingPrecedence"]).into(),
            spec["distinguisherMethod"]["type"].as_str().unwrap_or(print::NONE).into(),
            print::age(object, now),
            dangling.map_or("?", |condition| text(&condition["status"])).into(),
        ]
    }
}

fn validate_rule(rule: &Value, at: &At<'_>, errors: &mut Errors) {
    if items(&rule["subjects"]).is_empty() {
        errors.required(&at.child("subjects"), "subjects must contain at least one value");
    }
    let list = at.child("subjects");
    for (index, subject) in items(&rule["subjects"]).iter().enumerate() {
        let at = list.index(index);
        let kind = text(&subject["kind"]);
        let field = match kind {
            "Group" => "group",
            "ServiceAccount" => "serviceAccount",
            "User" => "user",
            _ => {
                errors.not_supported(&at.child("kind"), kind, &SUBJECTS);
                continue;
            }
        };
        let (at, part) = (at.child(field), &subject[field]);
        if part.is_null() {
            let detail = format!("{field} is required when subject kind is '{kind}'");
            errors.required(&at, detail);
            continue;
        }
        errors.present(&at.child("name"), &part["name"]);
        if kind == "ServiceAccount" {
            if part["name"] != "*" {
                errors.obeys_if_set(&at.child("name"), &part["name"], validation::is_dns1123_subdomain);
            }
            errors.obeys_if_set(&at.child("namespace"), &part["namespace"], validation::is_dns1123_label);
            if !is_set(&part["namespace"]) {
                errors.required(&at.child("namespace"), "must specify namespace for service account");
            }
        }
    }
    if items(&rule["resourceRules"]).is_empty() && items(&rule["nonResourceRules"]).is_empty() {
        let detail = "at least one of resourceRules and nonResourceRules has to be non-empty";
        errors.required(at, detail);
    }
    let list = at.child("resourceRules");
    for (index, rule) in items(&rule["resourceRules"]).iter().enumerate() {
        let at = list.index(index);
        validate_verbs(rule, &at, errors);
        for (field, one, others) in [("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")] {
            let none = format!("resource rules must supply at least one {one}");
            validate_list(rule, field, &none, others, &at, errors);
        }
        let namespaces = at.child("namespaces");
        if !is_set(&rule["namespaces"]) && rule["clusterScope"] != true {
            let detail = "resource rules that are not cluster scoped must supply at least one namespace";
            errors.required(&namespaces, detail);
        } else if is_set(&rule["namespaces"]) && !validate_list(rule, "namespaces", "", "namespaces", &at, errors) {
            for (index, name) in items(&rule["namespaces"]).iter().enumerate() {
                for problem in validation::is_dns1123_label(text(name)) {
                    let detail = format!("each member of this list must be '*' or a DNS-1123 label; {problem}");
                    errors.invalid(&namespaces.index(index), name.clone(), detail);
                }
            }
        }
    }
    let list = at.child("nonResourceRules");
    for (index, rule) in items(&rule["nonResourceRules"]).iter().enumerate() {
        let at = list.index(index);
        validate_verbs(rule, &at, errors);
        let none = "nonResourceURLs must contain at least one value";
        if !validate_list(rule, "nonResourceURLs", none, "non-resource URLs", &at, errors) {
            let list = at.child("nonResourceURLs");
            for (index, path) in items(&rule["nonResourceURLs"]).iter().map(text).enumerate() {
                if let Some(problem) = path_problem(path) {
                    errors.invalid(&list.index(index), path, problem);
                }
            }
        }
    }
}

/// What is wrong with a path of requests that are not for resources.
fn path_problem(path: &str) -> Option<&'static str> {
    let stars = path.matches('*').count();
    match path {
        "" => Some("must not be empty"),
        "/" => None,
        _ if !path.starts_with('/') => Some("must start with slash"),
        _ if path.contains(' ') => Some("must not contain white-space"),
        _ if path.contains("//") => Some("must not contain double slash"),
        _ if stars > 1 || stars == 1 && !path.ends_with("/*") => Some("wildcard can only do suffix matching"),
        _ => None,
    }
}

fn validate_verbs(rule: &Value, at: &At<'_>, errors: &mut Errors) {
    let has_all = validate_list(rule, "verbs", "verbs must contain at least one value", "verbs", at, errors);
    if !has_all && !items(&rule["verbs"]).iter().all(|verb| VERBS.contains(&text(verb))) {
        errors.not_supported(&at.child("verbs"), rule["verbs"].clone(), &VERBS);
    }
}

/// A list that names something; `*` only alone. Returns whether that is in it.
fn validate_list(rule: &Value, field: &str, none: &str, others: &str, at: &At<'_>, errors: &mut Errors) -> bool {
    let at = at.child(field);
    let list = items(&rule[field]);
    if list.is_empty() {
        errors.required(&at, none);
    }
    let has_all = list.iter().any(|item| item == "*");
    if has_all && list.len() > 1 {
        let detail = format!("if '*' is present, must not specify other {others}");
        errors.invalid(&at, rule[field].clone(), detail);
    }
    has_all
}
