//! Mutating and validating webhook configurations.

use std::collections::BTreeSet;

use portolan_api::{field, validation};
use portolan_base::Timestamp;
use serde_json::{Map, Value};

use crate::admission::policy::hook::ENVIRONMENT;
use crate::resources::at::{At, Errors};
use crate::resources::json::{items, object, object_or_new, objects, set, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, Generations, NAME, Strategy};

/// The strategy of both kinds of configuration.
pub(crate) struct WebhookConfiguration {
    /// Whether the hooks may change objects.
    pub(crate) is_mutating: bool,
}

const COLUMNS: &[Column] = &[
    NAME,
    Column::integer("Webhooks").about("Webhooks indicates the number of webhooks registered in this configuration"),
    AGE,
];
const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];

impl Strategy for WebhookConfiguration {
    fn generations(&self) -> Generations {
        Generations::FromCreation
    }

    fn is_new_generation(&self, new: &Value, old: &Value) -> bool {
        new.get("webhooks") != old.get("webhooks")
    }

    fn default(&self, configuration: &mut Value) {
        let Some(fields) = configuration.as_object_mut() else { return };
        for hook in objects(fields, "webhooks") {
            default_hook(hook, self.is_mutating);
        }
    }

    fn prepare_for_create(&self, object: &mut Value, _context: &Context) {
        object["metadata"]["generation"] = 1.into();
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value, _context: &Context) {
        let generation = old["metadata"]["generation"].as_i64().unwrap_or(1);
        let raised = i64::from(new["webhooks"] != old["webhooks"]);
        new["metadata"]["generation"] = (generation + raised).into();
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, list) = (Errors::default(), At::root("webhooks"));
        let mut names = BTreeSet::new();
        for (index, hook) in items(&object["webhooks"]).iter().enumerate() {
            let at = list.index(index);
            check_hook(&mut errors, &at, hook, self.is_mutating);
            let name = text(&hook["name"]);
            if !name.is_empty() && !names.insert(name) {
                errors.duplicate(&at.child("name"), hook["name"].clone());
            }
        }
        errors.0
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![print::name(object), items(&object["webhooks"]).len().into(), print::age(object, now)]
    }
}

fn default_hook(hook: &mut Map<String, Value>, is_mutating: bool) {
    set(hook, "failurePolicy", "Fail");
    set(hook, "matchPolicy", "Equivalent");
    set(hook, "timeoutSeconds", 10);
    if is_mutating {
        set(hook, "reinvocationPolicy", "Never");
    }
    object_or_new(hook, "namespaceSelector");
    object_or_new(hook, "objectSelector");
    for rule in objects(hook, "rules") {
        set(rule, "scope", "*");
    }
    if let Some(service) = object(hook, "clientConfig").and_then(|config| object(config, "service")) {
        set(service, "port", 443);
    }
}

fn check_hook(errors: &mut Errors, at: &At<'_>, hook: &Value, is_mutating: bool) {
    fully_qualified(errors, &at.child("name"), text(&hook["name"]));
    let rules = at.child("rules");
    for (index, rule) in items(&hook["rules"]).iter().enumerate() {
        errors.rule_with_operations(&rules.index(index), rule);
    }
    errors.one_of_if_present(&at.child("failurePolicy"), &hook["failurePolicy"], &["Fail", "Ignore"]);
    errors.one_of_if_present(&at.child("matchPolicy"), &hook["matchPolicy"], &["Equivalent", "Exact"]);
    let allowed = ["None", "NoneOnDryRun"];
    let effects = at.child("sideEffects");
    if hook["sideEffects"].is_null() {
        errors.required(&effects, format!("must specify one of {}", allowed.join(", ")));
    }
    errors.one_of_if_present(&effects, &hook["sideEffects"], &allowed);
    if let Some(seconds) = hook["timeoutSeconds"].as_i64().filter(|seconds| !(1..=30).contains(seconds)) {
        let detail = "the timeout value must be between 1 and 30 seconds";
        errors.invalid(&at.child("timeoutSeconds"), seconds, detail);
    }
    errors.label_selector(&at.child("namespaceSelector"), &hook["namespaceSelector"]);
    errors.label_selector(&at.child("objectSelector"), &hook["objectSelector"]);
    if is_mutating {
        errors.one_of_if_present(&at.child("reinvocationPolicy"), &hook["reinvocationPolicy"], &["IfNeeded", "Never"]);
    }
    errors.client_config(&at.child("clientConfig"), &hook["clientConfig"]);
    errors.match_conditions(&at.child("matchConditions"), &hook["matchConditions"], &ENVIRONMENT);
    review_versions(errors, &at.child("admissionReviewVersions"), &hook["admissionReviewVersions"]);
}

fn fully_qualified(errors: &mut Errors, at: &At<'_>, name: &str) {
    if name.is_empty() {
        return errors.required(at, "");
    }
    let problems = validation::is_dns1123_subdomain(name);
    if !problems.is_empty() {
        return errors.invalid(at, name, problems.join(","));
    }
    if name.split('.').count() < 3 {
        errors.invalid(at, name, "should be a domain with at least three segments separated by dots");
    }
}

fn review_versions(errors: &mut Errors, at: &At<'_>, list: &Value) {
    let versions = items(list);
    if versions.is_empty() {
        return errors.required(at, format!("must specify one of {}", REVIEW_VERSIONS.join(", ")));
    }
    let mut seen = BTreeSet::new();
    for (index, version) in versions.iter().enumerate() {
        let at = at.index(index);
        if !seen.insert(text(version)) {
            errors.invalid(&at, version.clone(), "duplicate version");
            continue;
        }
        errors.obeys(&at, text(version), validation::is_dns1035_label);
    }
    if !versions.iter().any(|version| REVIEW_VERSIONS.contains(&text(version))) {
        errors.invalid(at, list.clone(), format!("must include at least one of {}", REVIEW_VERSIONS.join(", ")));
    }
}
