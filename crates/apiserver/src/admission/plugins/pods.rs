//! Plugins that are off unless they are enabled, about single fields of pods and services.

use std::collections::BTreeSet;

use portolan_api::field::{Error, Path};
use serde_json::{Value, json};

use super::push;
use crate::admission::{Attributes, Operation};
use crate::resources::core::resource_name;
use crate::resources::json::items;
use crate::status::Status;

const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

fn is_pod(attributes: &Attributes<'_>) -> bool {
    attributes.is_main("", "pods") && matches!(attributes.operation, Operation::Create | Operation::Update)
}

fn images(pod: &Value) -> BTreeSet<&str> {
    let lists = CONTAINERS.iter().filter_map(|list| pod["spec"][*list].as_array());
    lists.flatten().filter_map(|container| container["image"].as_str()).collect()
}

/// AlwaysPullImages: nobody runs an image that others pulled with their credentials.
pub(super) fn pull_always(attributes: &mut Attributes<'_>) {
    if !concerns_images(attributes) {
        return;
    }
    let Some(spec) = attributes.new["spec"].as_object_mut() else { return };
    for list in CONTAINERS {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            container["imagePullPolicy"] = "Always".into();
        }
    }
    for volume in spec.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten() {
        if volume["image"].is_object() {
            volume["image"]["pullPolicy"] = "Always".into();
        }
    }
}

/// The same after everybody could change the pod.
pub(super) fn check_pull_always(attributes: &Attributes<'_>) -> Result<(), Status> {
    if !concerns_images(attributes) {
        return Ok(());
    }
    let spec = &attributes.new["spec"];
    let at = Path::new("spec");
    let mut wrong = Vec::new();
    let mut check = |policy: &Value, place: &dyn Fn() -> Path| {
        if policy != "Always" {
            wrong.push(Error::not_supported(&place(), policy.clone(), &["Always"]).to_string());
        }
    };
    for list in CONTAINERS {
        for (index, container) in items(&spec[list]).iter().enumerate() {
            check(&container["imagePullPolicy"], &|| at.child(list).index(index).child("imagePullPolicy"));
        }
    }
    for (index, volume) in items(&spec["volumes"]).iter().enumerate() {
        if volume["image"].is_object() {
            let place = || at.child("volumes").index(index).child("image").child("pullPolicy");
            check(&volume["image"]["pullPolicy"], &place);
        }
    }
    match wrong.as_slice() {
        [] => Ok(()),
        [one] => Err(attributes.forbidden(one)),
        all => Err(attributes.forbidden(&format!("[{}]", all.join(", ")))),
    }
}

fn concerns_images(attributes: &Attributes<'_>) -> bool {
    let has_new_images = || !images(&attributes.new).is_subset(&images(attributes.old));
    is_pod(attributes) && (attributes.operation == Operation::Create || has_new_images())
}

/// ExtendedResourceToleration: who asks for special hardware may run where it is kept for that.
pub(super) fn tolerate(attributes: &mut Attributes<'_>) {
    if !is_pod(attributes) {
        return;
    }
    let lists = ["containers", "initContainers"].iter().filter_map(|list| attributes.new["spec"][*list].as_array());
    let requests = lists.flatten().filter_map(|container| container["resources"]["requests"].as_object());
    let names: BTreeSet<String> = requests
        .flat_map(|requests| requests.keys())
        .filter(|name| resource_name::is_extended(name))
        .cloned()
        .collect();
    let Some(spec) = attributes.new["spec"].as_object_mut() else { return };
    for name in names {
        let toleration = json!({"key": name, "operator": "Exists", "effect": "NoSchedule"});
        let tolerations = spec.get("tolerations").and_then(Value::as_array);
        if !tolerations.is_some_and(|tolerations| tolerations.contains(&toleration)) {
            push(spec, "tolerations", toleration);
        }
    }
}

/// LimitPodHardAntiAffinityTopology: pods keep others away from single nodes only.
pub(super) fn check_anti_affinity(attributes: &Attributes<'_>) -> Result<(), Status> {
    if !is_pod(attributes) {
        return Ok(());
    }
    let place = "/spec/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution";
    let terms = attributes.new.pointer(place).and_then(Value::as_array).into_iter().flatten();
    let mut keys = terms.filter_map(|term| term["topologyKey"].as_str());
    match keys.find(|key| *key != "kubernetes.io/hostname") {
        Some(key) => Err(attributes.forbidden(&format!(
            "affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey {key} but only key \
             kubernetes.io/hostname is allowed"
        ))),
        None => Ok(()),
    }
}

/// DenyServiceExternalIPs: services get no further external addresses.
pub(super) fn check_external_addresses(attributes: &Attributes<'_>) -> Result<(), Status> {
    if !attributes.is_main("", "services") || !matches!(attributes.operation, Operation::Create | Operation::Update) {
        return Ok(());
    }
    let addresses = |service: &Value| service["spec"]["externalIPs"].as_array().cloned().unwrap_or_default();
    let before = addresses(attributes.old);
    if addresses(&attributes.new).iter().all(|address| before.contains(address)) {
        return Ok(());
    }
    Err(attributes.forbidden("Use of external IPs is denied by admission control"))
}
