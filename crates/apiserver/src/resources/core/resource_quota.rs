//! Resource quotas.

use portolan_api::field::Shown;
use portolan_api::quantity::Quantity;
use portolan_api::{field, validation};
use portolan_base::Timestamp;
use serde_json::Value;

use super::resource_name::{is_counted, is_standard_for_quota};
use crate::resources::at::{At, Errors};
use crate::resources::checks::IMMUTABLE;
use crate::resources::json::{canonical_quantities, entries, is_set, items, object, spec, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, NAME, Strategy};

/// The strategy of resource quotas.
pub(crate) struct ResourceQuota;

const COLUMNS: &[Column] = &[
    NAME,
    Column::string("Request").about("Request represents a minimum amount of cpu/memory that a container may consume."),
    Column::string("Limit").about(
        "Limits control the maximum amount of cpu/memory that a container may use independent of contention on the \
         node.",
    ),
    AGE,
];
/// Scopes that a quota may have.
pub(crate) const SCOPES: [&str; 7] = [
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
];
/// Scopes that select nothing together.
const OPPOSITES: [[&str; 2]; 2] = [["BestEffort", "NotBestEffort"], ["NotTerminating", "Terminating"]];
const OPERATORS: [&str; 4] = ["DoesNotExist", "Exists", "In", "NotIn"];

impl Strategy for ResourceQuota {
    fn default(&self, object: &mut Value) {
        if let Some(spec) = spec(object) {
            canonical_quantities(spec, "hard");
        }
        if let Some(status) = object.as_object_mut().and_then(|fields| self::object(fields, "status")) {
            canonical_quantities(status, "hard");
            canonical_quantities(status, "used");
        }
    }

    fn validate(&self, object: &Value, context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        let (at, spec) = (At::root("spec"), &object["spec"]);
        validate_amounts(&spec["hard"], &at.child("hard"), &mut errors);
        if context.subresource == "status" {
            let at = At::root("status");
            for field in ["hard", "used"] {
                validate_amounts(&object["status"][field], &at.child(field), &mut errors);
            }
        }
        validate_scopes(spec, &at, &mut errors);
        validate_scope_selector(spec, &at, &mut errors);
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        let sorted = |object: &Value| {
            let mut scopes: Vec<String> =
                items(&object["spec"]["scopes"]).iter().map(|scope| text(scope).to_owned()).collect();
            scopes.sort_unstable();
            scopes
        };
        if sorted(new) != sorted(old) {
            errors.invalid(&At::root("spec").child("scopes"), new["spec"]["scopes"].clone(), IMMUTABLE);
        }
        errors.0
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let hard = &object["spec"]["hard"];
        let amount =
            |name: &str| Some((name.to_owned(), hard[name].as_str()?, Quantity::parse(hard[name].as_str()?).ok()?));
        let of_resource = |name: &&str| {
            let bare = || matches!(*name, "cpu" | "memory").then(|| amount(name)).flatten();
            let (request_name, request, requested) = amount(&format!("requests.{name}")).or_else(bare)?;
            let (limit_name, limit, limited) = amount(&format!("limits.{name}"))?;
            (requested > limited)
                .then(|| format!("ResourceQuota {request_name} ({request}) should be less than {limit_name} ({limit})"))
        };
        ["cpu", "memory", "storage", "ephemeral-storage"].iter().filter_map(of_resource).collect()
    }

    fn update_warnings(&self, _new: &Value, _old: &Value) -> Vec<String> {
        Vec::new()
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let status = &object["status"];
        let column = |limits: bool| {
            entries(&status["hard"])
                .filter(|(name, _)| name.starts_with("limits.") == limits)
                .map(|(name, hard)| {
                    let used = status["used"][name].as_str().unwrap_or("0");
                    format!("{name}: {used}/{}", text(hard))
                })
                .collect::<Vec<_>>()
                .join(", ")
        };
        vec![print::name(object), column(false).into(), column(true).into(), print::age(object, now)]
    }
}

fn validate_amounts(amounts: &Value, at: &At<'_>, errors: &mut Errors) {
    for (name, amount) in entries(amounts) {
        let at = at.key(name);
        errors.obeys(&at, name, validation::is_qualified_name);
        if !name.contains('/') && !is_standard_for_quota(name) {
            errors.invalid(&at, name, "must be a standard resource for quota");
        }
        let read = errors.quantity(&at, amount);
        if read.is_some_and(|amount| is_counted(name) && !amount.is_whole()) {
            errors.invalid(&at, amount.clone(), "must be an integer");
        }
    }
}

/// Whether a quota of a resource can be narrowed to a scope.
fn fits(scope: &str, resource: &str) -> bool {
    let of_pods = ["cpu", "memory", "ephemeral-storage"]
        .iter()
        .any(|name| resource == *name || resource.strip_prefix("limits.") == Some(name))
        || ["requests.cpu", "requests.memory", "requests.ephemeral-storage", "pods"].contains(&resource);
    match scope {
        "BestEffort" => resource == "pods",
        "CrossNamespacePodAffinity" | "NotBestEffort" | "NotTerminating" | "PriorityClass" | "Terminating" => {
            of_pods || resource.contains("hugepages-")
        }
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        _ => true,
    }
}

fn validate_scopes(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let at = at.child("scopes");
    let shown = &spec["scopes"];
    let scopes: Vec<&str> = items(shown).iter().map(text).collect();
    for scope in &scopes {
        if !SCOPES.contains(scope) {
            errors.invalid(&at, shown.clone(), "unsupported scope");
        }
        for (resource, _) in entries(&spec["hard"]).filter(|(name, _)| is_standard_for_quota(name)) {
            if !fits(scope, resource) {
                errors.invalid(&at, shown.clone(), "unsupported scope applied to resource");
            }
        }
    }
    for _ in OPPOSITES.iter().filter(|pair| pair.iter().all(|scope| scopes.contains(scope))) {
        errors.invalid(&at, shown.clone(), "conflicting scopes");
    }
}

/// Upstream's paths leave out which expression it is.
fn validate_scope_selector(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let (selector, list) = (at.child("scopeSelector"), "matchExpressions");
    let (at, expressions) = (selector.child(list), items(&spec["scopeSelector"][list]));
    for expression in expressions {
        let (scope, operator) = (text(&expression["scopeName"]), text(&expression["operator"]));
        if !SCOPES.contains(&scope) {
            errors.invalid(&at.child("scopeName"), scope, "unsupported scope");
        }
        for (resource, _) in entries(&spec["hard"]).filter(|(name, _)| is_standard_for_quota(name)) {
            if !fits(scope, resource) {
                let detail = "unsupported scope applied to resource";
                errors.invalid(&at, Shown::Text(internal_selector(expressions)), detail);
            }
        }
        let needs_exists = matches!(
            scope,
            "BestEffort" | "CrossNamespacePodAffinity" | "NotBestEffort" | "NotTerminating" | "Terminating"
        );
        if needs_exists && operator != "Exists" {
            let detail = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, \
                          ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, \
                          ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
            errors.invalid(&at.child("operator"), operator, detail);
        }
        let has_values = is_set(&expression["values"]);
        match operator {
            "In" | "NotIn" if !has_values => {
                errors.required(
                    &at.child("values"),
                    "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
                );
            }
            "Exists" | "DoesNotExist" if has_values => errors.invalid(
                &at.child("values"),
                expression["values"].clone(),
                "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
            ),
            operator if !OPERATORS.contains(&operator) => {
                errors.invalid(&at.child("operator"), operator, "not a valid selector operator");
            }
            _ => {}
        }
    }
    let has = |scope: &&str| expressions.iter().any(|expression| text(&expression["scopeName"]) == *scope);
    for _ in OPPOSITES.iter().filter(|pair| pair.iter().all(has)) {
        errors.invalid(&at, spec["scopes"].clone(), "conflicting scopes");
    }
}

/// A selector of scopes as upstream shows it as a whole: by the names of its own structures.
fn internal_selector(expressions: &[Value]) -> String {
    let internal = |expression: &Value| {
        let part = |name: &str| Value::from(text(&expression[name]));
        let (scope, operator) = (part("scopeName"), part("operator"));
        format!(r#"{{"ScopeName":{scope},"Operator":{operator},"Values":{}}}"#, expression["values"])
    };
    let expressions: Vec<String> = expressions.iter().map(internal).collect();
    format!(r#"{{"MatchExpressions":[{}]}}"#, expressions.join(","))
}
