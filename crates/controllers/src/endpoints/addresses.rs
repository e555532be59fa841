//! Which addresses a service has, before they are arranged into objects.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use portolan_api::typed::Object;
use portolan_api::typed::kinds::core::v1::{ObjectReference, Pod, Service, ServicePort};

use crate::meta::{is_deleting, is_ready, phase};

/// A port on which pods answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Port {
    pub(crate) name: String,
    pub(crate) port: i32,
    pub(crate) protocol: String,
    pub(crate) app_protocol: Option<String>,
}

/// Pods that can share an object: same address family, same ports.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Group {
    pub(crate) family: &'static str,
    pub(crate) ports: Vec<Port>,
}

/// One address, of a pod or of an instance that registered itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Address {
    pub(crate) ip: String,
    pub(crate) pod: ObjectReference,
    pub(crate) node: Option<String>,
    pub(crate) hostname: Option<String>,
    /// Answers, and is not on its way out (or the service wants it anyway).
    pub(crate) ready: bool,
    /// Answers.
    pub(crate) serving: bool,
    /// On its way out.
    pub(crate) terminating: bool,
}

/// The addresses behind a service: those of pods with an address that are not finished, by pod UID.
pub(crate) fn addresses(service: &Service, pods: &[Arc<Pod>]) -> BTreeMap<Group, BTreeMap<String, Address>> {
    let mut groups: BTreeMap<Group, BTreeMap<String, Address>> = BTreeMap::new();
    let Some(spec) = &service.spec else { return groups };
    let publish_unready = spec.publish_not_ready_addresses == Some(true);
    for pod in pods {
        if matches!(phase(pod), "Succeeded" | "Failed") {
            continue;
        }
        let Some(ip) = pod.status.as_ref().and_then(|status| status.pod_ip.clone()) else { continue };
        // One address that the API refuses would keep all others from being written.
        if ip.parse().is_ok_and(|ip| !is_reached_by_others(ip)) {
            continue;
        }
        let family = if ip.contains(':') { "IPv6" } else { "IPv4" };
        let ports = spec.ports.iter().flatten().filter_map(|port| resolve(port, pod)).collect();
        let (serving, terminating) = (is_ready(pod), is_deleting(&**pod));
        let pod_spec = pod.spec.as_ref();
        let subdomain = pod_spec.and_then(|spec| spec.subdomain.as_deref());
        let hostname = pod_spec.and_then(|spec| spec.hostname.clone()).filter(|_| subdomain == Some(service.name()));
        let address = Address {
            ip,
            pod: ObjectReference {
                kind: Some("Pod".to_owned()),
                namespace: Some(pod.namespace().to_owned()),
                name: Some(pod.name().to_owned()),
                uid: Some(pod.uid().to_owned()),
                ..ObjectReference::default()
            },
            node: pod_spec.and_then(|spec| spec.node_name.clone()),
            hostname,
            ready: publish_unready || (serving && !terminating),
            serving,
            terminating,
        };
        groups.entry(Group { family, ports }).or_default().insert(pod.uid().to_owned(), address);
    }
    groups
}

/// Whether an address leads from other machines to one: the API takes no other ones as endpoints.
pub(crate) fn is_reached_by_others(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let is_of_link = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.octets()[..3] == [224, 0, 0],
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.segments()[0] & 0xff0f == 0xff02,
    };
    !is_of_link && !address.is_loopback() && !address.is_unspecified()
}

/// The number of a service's port on this pod; `None` if the pod has no port of that name.
fn resolve(port: &ServicePort, pod: &Pod) -> Option<Port> {
    let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
    let number = match &port.target_port {
        None => port.port,
        Some(IntOrString::Int(0)) => port.port,
        Some(IntOrString::Int(number)) => *number,
        Some(IntOrString::String(name)) if name.is_empty() => port.port,
        Some(IntOrString::String(name)) => {
            let spec = pod.spec.as_ref()?;
            let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
            let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
            let found = ports.find(|found| {
                found.name.as_ref() == Some(name) && found.protocol.as_deref().unwrap_or("TCP") == protocol
            });
            found?.container_port
        }
    };
    Some(Port {
        name: port.name.clone().unwrap_or_default(),
        port: number,
        protocol,
        app_protocol: port.app_protocol.clone(),
    })
}
