//! Stateful sets.

use portolan_api::field::{Path, Shown};
use portolan_api::{field, validation};
use portolan_base::Timestamp;
use serde_json::{Value, json};

use crate::resources::at::{At, Errors};
use crate::resources::core::persistent_volume_claim;
use crate::resources::core::pod_template::{claim_warnings, default_template, validate_template_metadata};
use crate::resources::json::{self, entries, is_set, items, object_or_new, objects, same, set, set_zero, spec, text};
use crate::resources::print::{self, integer};
use crate::resources::workload::of_template_warnings;
use crate::strategy::{AGE, CONTAINERS, Column, Context, Generations, IMAGES, NAME, NameRule, Strategy};

/// The strategy of stateful sets.
pub(crate) struct StatefulSet;

const COLUMNS: &[Column] =
    &[NAME, Column::string("Ready").about("Number of the pod with ready state"), AGE, CONTAINERS.wide(), IMAGES.wide()];

const MUTABLE: [&str; 8] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
    "status",
];
const KEEPS_ALL: &str =
    "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended";
const UPDATE_FORBIDDEN: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";

impl Strategy for StatefulSet {
    fn generations(&self) -> Generations {
        Generations::FromCreation
    }

    fn default(&self, object: &mut Value) {
        let Some(spec) = spec(object) else { return };
        set_zero(spec, "podManagementPolicy", "OrderedReady");
        set(spec, "replicas", 1);
        set(spec, "revisionHistoryLimit", 10);
        if let Some(strategy) = object_or_new(spec, "updateStrategy") {
            if !strategy.get("type").is_some_and(is_set) {
                strategy.insert("type".to_owned(), "RollingUpdate".into());
                object_or_new(strategy, "rollingUpdate");
            }
            if strategy["type"] == "RollingUpdate"
                && let Some(rolling) = json::object(strategy, "rollingUpdate")
            {
                set(rolling, "partition", 0);
            }
        }
        if let Some(ordinals) = json::object(spec, "ordinals") {
            set(ordinals, "start", 0);
        }
        if let Some(policy) = object_or_new(spec, "persistentVolumeClaimRetentionPolicy") {
            set_zero(policy, "whenDeleted", "Retain");
            set_zero(policy, "whenScaled", "Retain");
        }
        default_template(spec);
        for claim in objects(spec, "volumeClaimTemplates") {
            claim.insert("apiVersion".to_owned(), "v1".into());
            claim.insert("kind".to_owned(), "PersistentVolumeClaim".into());
            if let Some(spec) = object_or_new(claim, "spec") {
                persistent_volume_claim::default_spec(spec);
            }
            if let Some(status) = object_or_new(claim, "status") {
                set_zero(status, "phase", "Pending");
            }
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, at, spec) = (Errors(validate_spec(object)), At::root("spec"), &object["spec"]);
        // These cannot change later.
        let list = at.child("volumeClaimTemplates");
        for (index, claim) in items(&spec["volumeClaimTemplates"]).iter().enumerate() {
            persistent_volume_claim::validate_spec(&claim["spec"], &list.index(index).child("spec"), &mut errors);
        }
        errors.obeys_if_set(&at.child("serviceName"), &spec["serviceName"], validation::is_dns1123_label);
        errors.0
    }

    fn validate_changed(
        &self,
        new: &Value,
        old: &Value,
        context: &Context,
        _warnings: &mut Vec<String>,
    ) -> Vec<field::Error> {
        let mut errors = validate_spec(new);
        errors.extend(self.validate_update(new, old, context));
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value, context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        if context.subresource == "status" {
            let counts = [
                "replicas",
                "readyReplicas",
                "currentReplicas",
                "updatedReplicas",
                "availableReplicas",
                "observedGeneration",
                "collisionCount",
            ];
            let bounds = [
                ("readyReplicas", "replicas"),
                ("currentReplicas", "replicas"),
                ("updatedReplicas", "replicas"),
                ("availableReplicas", "replicas"),
                ("availableReplicas", "readyReplicas"),
            ];
            errors.status_counts(&new["status"], &counts, &bounds);
            errors.collision_count(&new["status"], &old["status"]);
            return errors.0;
        }
        let (new, old) = (&new["spec"], &old["spec"]);
        let changed =
            entries(new).chain(entries(old)).any(|(name, _)| !MUTABLE.contains(&name) && !same(&new[name], &old[name]));
        if changed {
            errors.forbidden(&At::root("spec"), UPDATE_FORBIDDEN);
        }
        errors.0
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let mut warnings = of_template_warnings(object);
        let list = Path::new("spec").child("volumeClaimTemplates");
        for (index, claim) in items(&object["spec"]["volumeClaimTemplates"]).iter().enumerate() {
            warnings.extend(claim_warnings(&claim["spec"], &list.index(index).child("spec")));
        }
        if object["spec"]["revisionHistoryLimit"].as_i64().is_some_and(|limit| limit < 0) {
            warnings.push(KEEPS_ALL.to_owned());
        }
        warnings
    }

    fn name_rule(&self) -> NameRule {
        NameRule::DnsLabel
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let (spec, status) = (&object["spec"], &object["status"]);
        let (names, images) = print::containers(&spec["template"]["spec"]);
        vec![
            print::name(object),
            format!("{}/{}", integer(&status["readyReplicas"]), integer(&spec["replicas"])).into(),
            print::age(object, now),
            names.into(),
            images.into(),
        ]
    }
}

/// What is wrong with a stateful set, new or changed.
fn validate_spec(object: &Value) -> Vec<field::Error> {
    let (mut errors, at, spec) = (Errors::default(), At::root("spec"), &object["spec"]);
    let policy = text(&spec["podManagementPolicy"]);
    if !matches!(policy, "OrderedReady" | "Parallel") {
        errors.invalid(&at.child("podManagementPolicy"), policy, "must be 'OrderedReady' or 'Parallel'");
    }
    let (strategy, at_strategy) = (&spec["updateStrategy"], at.child("updateStrategy"));
    match text(&strategy["type"]) {
        "OnDelete" if !strategy["rollingUpdate"].is_null() => errors.invalid(
            &at_strategy.child("rollingUpdate"),
            strategy["rollingUpdate"].clone(),
            "only allowed for updateStrategy 'RollingUpdate'",
        ),
        "OnDelete" => {}
        "RollingUpdate" => {
            let at = at_strategy.child("rollingUpdate");
            errors.not_negative(&at.child("partition"), &strategy["rollingUpdate"]["partition"]);
            errors.int_or_percent(&at.child("maxUnavailable"), &strategy["rollingUpdate"]["maxUnavailable"]);
        }
        other => {
            let shown = internal_strategy(other, &strategy["rollingUpdate"]);
            errors.invalid(&at_strategy, Shown::Text(shown), "must be 'RollingUpdate' or 'OnDelete'");
        }
    }
    errors.none_negative(&at, spec, &["replicas", "minReadySeconds"]);
    errors.not_negative(&at.child("ordinals.start"), &spec["ordinals"]["start"]);
    let retention = at.child("persistentVolumeClaimRetentionPolicy");
    for field in ["whenDeleted", "whenScaled"] {
        let value = &spec["persistentVolumeClaimRetentionPolicy"][field];
        errors.one_of_as_listed(&retention.child(field), value, &["Retain", "Delete"]);
    }
    if errors.selector_of_template(&at, spec, "statefulset", "") {
        let template = template_of_pods(spec);
        errors.lasting_template(&at, &template, "StatefulSet");
        // Upstream says it twice.
        validate_template_metadata(&template, &at.child("template"), &mut errors);
    }
    errors.0
}

/// The template with the volumes that its pods get for the claims, and without what its pods get otherwise.
fn template_of_pods(spec: &Value) -> Value {
    let mut template = spec["template"].clone();
    let Some(pod) = template.get_mut("spec").and_then(Value::as_object_mut) else { return template };
    pod.remove("hostname");
    pod.remove("subdomain");
    let mut volumes: Vec<Value> = Vec::new();
    for claim in items(&spec["volumeClaimTemplates"]) {
        let name = text(&claim["metadata"]["name"]);
        volumes.retain(|volume| volume["name"] != name);
        volumes.push(json!({"name": name, "persistentVolumeClaim": {"claimName": name}}));
    }
    let is_claim = |volume: &Value| volumes.iter().any(|claim| text(&claim["name"]) == text(&volume["name"]));
    let others = items(pod.get("volumes").unwrap_or(&Value::Null)).iter().filter(|volume| !is_claim(volume));
    let others: Vec<Value> = others.cloned().collect();
    volumes.extend(others);
    pod.insert("volumes".to_owned(), volumes.into());
    template
}

/// The strategy as upstream shows it as a whole: by the names of its own structures.
fn internal_strategy(kind: &str, rolling: &Value) -> String {
    let rolling = match rolling {
        Value::Null => "null".to_owned(),
        rolling => {
            let (partition, unavailable) = (integer(&rolling["partition"]), &rolling["maxUnavailable"]);
            format!(r#"{{"Partition":{partition},"MaxUnavailable":{unavailable}}}"#)
        }
    };
    format!(r#"{{"Type":{},"RollingUpdate":{rolling}}}"#, Value::from(kind))
}
