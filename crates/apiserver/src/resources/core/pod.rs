//! Pods.

use portolan_api::{field, time};
use portolan_base::Timestamp;
use serde_json::{Value, json};

use super::pod_row;
use super::pod_status;
use super::pod_template::{
    default_pod_level_requests, default_pod_spec, pod_warnings, requests_from_limits, validate_pod_spec,
};
use super::pod_update;
use crate::resources::at::{At, Errors};
use crate::resources::json::{is_set, items, set, spec, text};
use crate::strategy::{AGE, Column, Context, Generations, NAME, Strategy, keep_other_half};

/// The annotation that says which file of a node a pod is an image of.
pub(crate) const MIRROR: &str = "kubernetes.io/config.mirror";

/// The strategy of pods.
pub(crate) struct Pod;

const COLUMNS: &[Column] = &[
    NAME,
    Column::string("Ready").about("The aggregate readiness state of this pod for accepting traffic."),
    Column::string("Status").about("The aggregate status of the containers in this pod."),
    Column::string("Restarts").about(
        "The number of times the containers in this pod have been restarted and when the last container in this pod \
         has restarted.",
    ),
    AGE,
    Column::string("IP").of("core.PodStatus", "podIP").wide(),
    Column::string("Node").of("core.PodSpec", "nodeName").wide(),
    Column::string("Nominated Node").of("core.PodStatus", "nominatedNodeName").wide(),
    Column::string("Readiness Gates").of("core.PodSpec", "readinessGates").wide(),
];

const SELECTABLE: &[&str] = &[
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
];

/// How long a pod has for its end.
const GRACE: &str = "terminationGracePeriodSeconds";

impl Strategy for Pod {
    fn generations(&self) -> Generations {
        Generations::FromCreation
    }

    fn default(&self, object: &mut Value) {
        if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
            pod_status::default_addresses(status);
        }
        let Some(spec) = spec(object) else { return };
        set(spec, "enableServiceLinks", true);
        default_pod_spec(spec);
        requests_from_limits(spec);
        default_pod_level_requests(spec);
        // Templates keep what they say.
        if spec.get(GRACE).and_then(Value::as_i64).is_some_and(|seconds| seconds < 0) {
            spec.insert(GRACE.to_owned(), 1.into());
        }
        if spec.get("hostNetwork") == Some(&Value::Bool(true)) {
            default_host_ports(spec);
        }
    }

    fn prepare_for_create(&self, object: &mut Value, context: &Context) {
        let class = portolan_api::quota::quality_of_service(&object["spec"]);
        let mut status = json!({"phase": "Pending", "qosClass": class});
        if is_set(&object["spec"]["schedulingGates"]) {
            status["conditions"] = json!([gated(context.now)]);
        }
        if let Some(fields) = object.as_object_mut() {
            fields.insert("status".to_owned(), status);
        }
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value, context: &Context) {
        match context.subresource.as_str() {
            // A binding sets the node in the spec and says so in a condition of the status.
            "binding" => {}
            "ephemeralcontainers" | "resize" => pod_update::keep_the_rest(new, old, &context.subresource),
            "status" => {
                keep_other_half(new, old, true);
                pod_status::keep_what_was_known(new, old);
            }
            _ => keep_other_half(new, old, false),
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        let (at, spec) = (At::root("spec"), &object["spec"]);
        validate_pod_spec(spec, &at, &mut errors);
        for field in ["containers", "initContainers", "ephemeralContainers"] {
            let list = at.child(field);
            for (index, container) in items(&spec[field]).iter().enumerate() {
                let image = text(&container["image"]);
                if image.trim() != image {
                    let detail = "must not have leading or trailing whitespace";
                    errors.invalid(&list.index(index).child("image"), image, detail);
                }
            }
        }
        let list = at.child("volumes");
        for (index, volume) in items(&spec["volumes"]).iter().enumerate() {
            if !volume["image"].is_null() && !is_set(&volume["image"]["reference"]) {
                errors.required(&list.index(index).child("image").child("reference"), "");
            }
        }
        if is_set(&spec["schedulingGates"]) && is_set(&spec["nodeName"]) {
            let detail = "cannot be set until all schedulingGates have been cleared";
            errors.forbidden(&at.child("nodeName"), detail);
        }
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, context: &Context) -> Vec<field::Error> {
        match context.subresource.as_str() {
            "binding" => Vec::new(),
            "status" => pod_status::validate(new, old),
            subresource => pod_update::validate(new, old, subresource),
        }
    }

    fn validate_changed(
        &self,
        new: &Value,
        old: &Value,
        context: &Context,
        _warnings: &mut Vec<String>,
    ) -> Vec<field::Error> {
        let mut errors = pod_update::validate_annotations(new, old);
        // What was there before is forgiven.
        let is_same = matches!(context.subresource.as_str(), "" | "status") && new["spec"] == old["spec"];
        if !is_same {
            errors.extend(self.validate(new, context));
        }
        if !is_same || context.subresource == "status" {
            errors.extend(self.validate_update(new, old, context));
        }
        errors
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        pod_warnings(object)
    }

    fn update_warnings(&self, _new: &Value, _old: &Value) -> Vec<String> {
        // Pods are changed by controllers and nodes, and often.
        Vec::new()
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        pod_row::cells(object, now)
    }

    fn selectable_fields(&self) -> &'static [&'static str] {
        SELECTABLE
    }

    fn selectable_field(&self, object: &Value, name: &str) -> Option<String> {
        let (spec, status) = (&object["spec"], &object["status"]);
        Some(match name {
            "spec.nodeName" => text(&spec["nodeName"]).to_owned(),
            "spec.restartPolicy" => text(&spec["restartPolicy"]).to_owned(),
            "spec.schedulerName" => text(&spec["schedulerName"]).to_owned(),
            "spec.serviceAccountName" => text(&spec["serviceAccountName"]).to_owned(),
            "spec.hostNetwork" => (spec["hostNetwork"] == true).to_string(),
            "status.phase" => text(&status["phase"]).to_owned(),
            "status.podIP" => match text(&status["podIPs"][0]["ip"]) {
                "" => text(&status["podIP"]).to_owned(),
                first => first.to_owned(),
            },
            "status.nominatedNodeName" => text(&status["nominatedNodeName"]).to_owned(),
            _ => return None,
        })
    }

    fn default_grace_period_seconds(&self, object: &Value) -> Option<i64> {
        let (spec, phase) = (&object["spec"], text(&object["status"]["phase"]));
        // Nothing runs that could use the time.
        if !is_set(&spec["nodeName"]) || matches!(phase, "Succeeded" | "Failed") {
            return Some(0);
        }
        spec[GRACE].as_i64().map(|seconds| seconds.max(1)).or(Some(30))
    }
}

/// What is said of a pod that is not to be scheduled yet.
fn gated(now: Timestamp) -> Value {
    json!({
        "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
        "message": "Scheduling is blocked due to non-empty scheduling gates",
        "lastProbeTime": null, "lastTransitionTime": time::format(now),
    })
}

/// In the node's network a container's port is the node's.
fn default_host_ports(spec: &mut serde_json::Map<String, Value>) {
    for list in ["containers", "initContainers"] {
        for container in crate::resources::json::objects(spec, list) {
            for port in crate::resources::json::objects(container, "ports") {
                if !port.get("hostPort").is_some_and(is_set)
                    && let Some(number) = port.get("containerPort").cloned()
                {
                    port.insert("hostPort".to_owned(), number);
                }
            }
        }
    }
}
