//! Stateful sets.

use portolan_api::field::Path;
use portolan_api::{field, validation};
use portolan_base::Timestamp;
use serde_json::Value;

use crate::resources::at::{At, Errors};
use crate::resources::core::persistent_volume_claim;
use crate::resources::core::pod_template::{claim_warnings, default_template};
use crate::resources::json::{entries, items, object_or_new, objects, same, set, set_zero, spec, text};
use crate::resources::print::{self, integer};
use crate::resources::workload::of_template_warnings;
use crate::strategy::{AGE, Column, Context, NAME, Strategy};

/// The strategy of stateful sets.
pub(crate) struct StatefulSet;

const COLUMNS: &[Column] =
    &[NAME, Column::string("Ready"), AGE, Column::string("Containers").wide(), Column::string("Images").wide()];

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
    fn default(&self, object: &mut Value) {
        let Some(spec) = spec(object) else { return };
        set_zero(spec, "podManagementPolicy", "OrderedReady");
        set(spec, "replicas", 1);
        set(spec, "revisionHistoryLimit", 10);
        if let Some(strategy) = object_or_new(spec, "updateStrategy") {
            set_zero(strategy, "type", "RollingUpdate");
            if strategy["type"] == "RollingUpdate"
                && let Some(rolling) = object_or_new(strategy, "rollingUpdate")
            {
                set(rolling, "partition", 0);
            }
        }
        if let Some(policy) = object_or_new(spec, "persistentVolumeClaimRetentionPolicy") {
            set_zero(policy, "whenDeleted", "Retain");
            set_zero(policy, "whenScaled", "Retain");
        }
        default_template(spec);
        for claim in objects(spec, "volumeClaimTemplates") {
            set_zero(claim, "apiVersion", "v1");
            set_zero(claim, "kind", "PersistentVolumeClaim");
            if let Some(spec) = object_or_new(claim, "spec") {
                persistent_volume_claim::default_spec(spec);
            }
            if let Some(status) = object_or_new(claim, "status") {
                set_zero(status, "phase", "Pending");
            }
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let (mut errors, at, spec) = (Errors::default(), At::root("spec"), &object["spec"]);
        errors.required_one_of(
            &at.child("podManagementPolicy"),
            &spec["podManagementPolicy"],
            &["OrderedReady", "Parallel"],
        );
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
            other => errors.invalid(&at_strategy, other, "must be 'RollingUpdate' or 'OnDelete'"),
        }
        errors.none_negative(&at, spec, &["replicas", "minReadySeconds"]);
        errors.not_negative(&at.child("ordinals.start"), &spec["ordinals"]["start"]);
        let retention = at.child("persistentVolumeClaimRetentionPolicy");
        for field in ["whenDeleted", "whenScaled"] {
            let value = &spec["persistentVolumeClaimRetentionPolicy"][field];
            errors.one_of(&retention.child(field), value, &["Delete", "Retain"]);
        }
        let list = at.child("volumeClaimTemplates");
        for (index, claim) in items(&spec["volumeClaimTemplates"]).iter().enumerate() {
            persistent_volume_claim::validate_spec(&claim["spec"], &list.index(index).child("spec"), &mut errors);
        }
        errors.obeys_if_set(&at.child("serviceName"), &spec["serviceName"], validation::is_dns1123_label);
        errors.selector_of_template(&at, spec);
        errors.lasting_template_with_claims(&at, spec);
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        if context.subresource == "status" {
            let counts = ["replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
            let bounds = [
                ("readyReplicas", "replicas"),
                ("currentReplicas", "replicas"),
                ("updatedReplicas", "replicas"),
                ("availableReplicas", "readyReplicas"),
            ];
            errors.status_counts(&new["status"], &counts, &bounds);
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

impl Errors {
    /// Volume mounts of a stateful set may name a claim template instead of a volume.
    fn lasting_template_with_claims(&mut self, at: &At<'_>, spec: &Value) {
        let first = self.0.len();
        self.lasting_template(at, spec);
        let claims = items(&spec["volumeClaimTemplates"]);
        let is_claim = |name: &Value| claims.iter().any(|claim| &claim["metadata"]["name"] == name);
        let mut index = 0;
        self.0.retain(|error| {
            index += 1;
            index <= first || error.error_type != field::ErrorType::NotFound || !is_claim(&error.value)
        });
    }
}
