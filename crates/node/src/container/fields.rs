//! Values of `fieldRef` and `resourceFieldRef`. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};
use portolan_api::typed::Object;

use crate::config::Capacity;
use crate::pod::{self, quantity, whole};

/// What the pod learns about where it runs.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) node_name: String,
    pub(crate) host_addresses: Vec<String>,
    pub(crate) pod_addresses: Vec<String>,
    /// What pods may have of the node.
    pub(crate) allocatable: Capacity,
}

/// The value of a field of the pod.
///
/// # Errors
/// Upstream's text for a path that is not supported.
pub(crate) fn field(pod: &Pod, path: &str, place: &Place) -> Result<String, String> {
    if let Some((map, key)) = subscript(path) {
        let map = match map {
            "metadata.labels" => pod.metadata.labels.as_ref(),
            "metadata.annotations" => pod.metadata.annotations.as_ref(),
            _ => return Err(format!("fieldPath {path:?} does not support subscript")),
        };
        return Ok(map.and_then(|map| map.get(key)).cloned().unwrap_or_default());
    }
    Ok(match path {
        "metadata.name" => pod.name().to_owned(),
        "metadata.namespace" => pod.namespace().to_owned(),
        "metadata.uid" => pod.uid().to_owned(),
        "metadata.labels" => lines(pod.metadata.labels.as_ref()),
        "metadata.annotations" => lines(pod.metadata.annotations.as_ref()),
        "spec.nodeName" => place.node_name.clone(),
        "spec.serviceAccountName" => pod::spec(pod).service_account_name.clone().unwrap_or_default(),
        "status.hostIP" => place.host_addresses.first().cloned().unwrap_or_default(),
        "status.hostIPs" => place.host_addresses.join(","),
        "status.podIP" => place.pod_addresses.first().cloned().unwrap_or_default(),
        "status.podIPs" => place.pod_addresses.join(","),
        _ => return Err(format!("unsupported fieldPath: {path}")),
    })
}

/// The value of a resource of a container, in units of the divisor, rounded up.
///
/// # Errors
/// The resource or the divisor is not one.
pub(crate) fn resource(
    pod: &Pod,
    own: Option<&Container>,
    selector: &ResourceFieldSelector,
    place: &Place,
) -> Result<String, String> {
    let named = selector.container_name.as_deref().filter(|name| !name.is_empty());
    let other = named.and_then(|name| pod::container(pod, name)).map(|(_, container)| container);
    let container = match named {
        Some(name) => other.as_ref().ok_or_else(|| format!("container {name} not found"))?,
        None => own.ok_or("containerName is required")?,
    };
    // A container without a limit may use what the pod may, or all of the node.
    let resources = whole::allowed(pod, container);
    let (side, name) = selector.resource.split_once('.').unwrap_or(("", &selector.resource));
    let list = match side {
        "limits" => resources.limits.as_ref(),
        "requests" => resources.requests.as_ref(),
        _ => return Err(format!("unsupported container resource : {}", selector.resource)),
    };
    let default = match (side, name) {
        ("limits", "cpu") => i128::from(place.allocatable.cpu_milli),
        ("limits", "memory") => i128::from(place.allocatable.memory_bytes) * 1000,
        ("limits", "ephemeral-storage") => i128::from(place.allocatable.ephemeral_storage_bytes) * 1000,
        _ => 0,
    };
    let value = if name == "cpu" {
        quantity::milli(list, name).map(i128::from)
    } else {
        quantity::units(list, name).map(|units| i128::from(units) * 1000)
    };
    let divisor = match selector.divisor.as_ref().map(|divisor| divisor.0.as_str()).unwrap_or("0") {
        "0" | "" => 1000,
        text => portolan_api::quantity::Quantity::parse(text)
            .map(|divisor| i128::from(divisor.milli_value()))
            .map_err(|error| format!("divisor {text:?}: {error}"))?,
    };
    let divisor = if divisor <= 0 { 1000 } else { divisor };
    Ok((value.unwrap_or(default) + divisor - 1).div_euclid(divisor).to_string())
}

/// `metadata.labels['key']` as map and key.
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (map, rest) = path.split_once('[')?;
    let key = rest.strip_suffix(']')?;
    Some((map, key.trim_matches(['\'', '"'])))
}

fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let lines: Vec<String> = map.into_iter().flatten().map(|(key, value)| format!("{key}={value:?}")).collect();
    lines.join("\n")
}
