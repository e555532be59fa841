//! What of a pod, a node and a self-registered instance the catalog keeps.

use std::net::IpAddr;
use std::sync::Arc;

use portolan_api::annotations::{PUBLISHED_NAME, PUBLISHED_PORT, PUBLISHED_TAGS};
use portolan_api::typed::Object as _;
use portolan_api::typed::kinds::core::v1 as core;
use portolan_base::Timestamp;

use crate::model::{
    Check, Health, HostPort, InstancePort, Key, Locality, Node, Origin, Pod, Protocol, Published, Status,
};

pub(crate) fn pod(object: &core::Pod) -> Pod {
    let spec = object.spec.as_ref();
    let status = object.status.as_ref();
    let text = |value: Option<&String>| -> Arc<str> { value.map(String::as_str).unwrap_or_default().into() };
    let hostname = spec.and_then(|spec| spec.hostname.as_deref()).unwrap_or_else(|| object.name());
    Pod {
        key: Key::new(object.namespace(), object.name()),
        address: status.and_then(|status| status.pod_ip.as_ref()).and_then(|address| address.parse().ok()),
        host_network: spec.and_then(|spec| spec.host_network).unwrap_or(false),
        node: text(spec.and_then(|spec| spec.node_name.as_ref())),
        hostname: hostname.into(),
        subdomain: text(spec.and_then(|spec| spec.subdomain.as_ref())),
        labels: Arc::new(object.metadata.labels.clone().unwrap_or_default()),
        host_ports: spec.map(host_ports).unwrap_or_default(),
        health: pod_health(object),
        has_ended: status.is_some_and(|status| matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"))),
        published: published(object),
        revision: object.revision(),
    }
}

/// What the annotations say about the pod's place in the registry.
fn published(object: &core::Pod) -> Option<Published> {
    let annotations = object.metadata.annotations.as_ref()?;
    let service = annotations.get(PUBLISHED_NAME).map(|name| name.trim()).filter(|name| !name.is_empty())?;
    let containers = object.spec.iter().flat_map(|spec| &spec.containers);
    let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
    let wanted = annotations.get(PUBLISHED_PORT).map(|port| port.trim());
    let found = match wanted.map(|wanted| (wanted, wanted.parse::<u16>().ok())) {
        None => ports.next(),
        Some((_, Some(number))) => ports.find(|port| port.container_port == i32::from(number)),
        Some((name, None)) => ports.find(|port| port.name.as_deref() == Some(name)),
    };
    let port = |number: u16, name: &str, protocol| InstancePort { name: name.into(), port: number, protocol };
    let port = match found {
        Some(found) => u16::try_from(found.container_port).ok().map(|number| {
            port(number, found.name.as_deref().unwrap_or_default(), Protocol::of(found.protocol.as_deref()))
        }),
        // Containers need not name the ports that they listen on.
        None => wanted.and_then(|wanted| wanted.parse().ok()).map(|number| port(number, "", Protocol::Tcp)),
    };
    let tags = annotations.get(PUBLISHED_TAGS).map(String::as_str).unwrap_or_default().split(',');
    let tags = tags.map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
    let port = port.filter(|port| port.port != 0);
    let complaint = wanted.filter(|_| port.is_none()).map(|wanted| {
        let number = !wanted.is_empty() && wanted.bytes().all(|digit| digit.is_ascii_digit());
        let why = if number { "is no port: it must be between 1 and 65535" } else { "names no port of a container" };
        format!("annotation {PUBLISHED_PORT}: {wanted:?} {why}").into()
    });
    Some(Published { service: service.into(), port, complaint, tags })
}

fn host_ports(spec: &core::PodSpec) -> Vec<HostPort> {
    // Containers that run side by side: ordinary ones and init containers that are restarted always.
    let sidecars = spec.init_containers.iter().flatten().filter(|container| container.restart_policy.is_some());
    let containers = spec.containers.iter().chain(sidecars);
    let ports = containers.flat_map(|container| container.ports.iter().flatten());
    let number = |port: i32| u16::try_from(port).ok().filter(|port| *port != 0);
    ports
        .filter_map(|port| {
            Some(HostPort {
                host_address: port.host_ip.as_deref().and_then(|address| address.parse().ok()),
                host_port: port.host_port.and_then(number)?,
                container_port: number(port.container_port)?,
                protocol: Protocol::of(port.protocol.as_deref()),
            })
        })
        .collect()
}

/// Merges the phase, the conditions and the state of the containers into one verdict.
fn pod_health(object: &core::Pod) -> Health {
    let status = object.status.as_ref();
    if let Some(deleted) = &object.metadata.deletion_timestamp {
        return critical("the pod is being deleted".into(), Some(deleted.0));
    }
    let phase = status.and_then(|status| status.phase.as_deref()).unwrap_or("Pending");
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
    let since = ready.and_then(|condition| condition.last_transition_time.as_ref()).map(|time| time.0);
    match ready {
        Some(condition) if condition.status == "True" => {
            Health { status: Status::Passing, reason: "the pod is ready".into(), since }
        }
        _ if matches!(phase, "Succeeded" | "Failed") => critical(format!("the pod has ended: {phase}"), since),
        _ => critical(unready_reason(phase, ready, status), since),
    }
}

fn unready_reason(phase: &str, ready: Option<&core::PodCondition>, status: Option<&core::PodStatus>) -> String {
    let containers = status.and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    for container in containers.iter().filter(|container| !container.ready) {
        let Some(state) = &container.state else { continue };
        let name = &container.name;
        if let Some(waiting) = &state.waiting {
            let reason = waiting.reason.as_deref().unwrap_or("waiting");
            let message = waiting.message.as_deref().map(|message| format!(": {message}")).unwrap_or_default();
            return format!("container {name} waits: {reason}{message}");
        }
        if let Some(ended) = &state.terminated {
            return format!("container {name} ended with exit code {}", ended.exit_code);
        }
        return format!("container {name} is not ready");
    }
    let message = ready.and_then(|condition| condition.message.as_deref().or(condition.reason.as_deref()));
    message.map_or_else(|| format!("the pod is not ready, its phase is {phase}"), str::to_owned)
}

fn critical(reason: String, since: Option<Timestamp>) -> Health {
    Health { status: Status::Critical, reason: reason.into(), since }
}

/// A node of the cluster in the words of the catalog.
pub fn node(object: &core::Node) -> Node {
    let listed = object.status.as_ref().and_then(|status| status.addresses.as_deref()).unwrap_or_default();
    let of_type = |kind: &'static str| {
        listed
            .iter()
            .filter(move |address| address.type_ == kind)
            .filter_map(|address| address.address.parse::<IpAddr>().ok())
    };
    let labels = object.metadata.labels.as_ref();
    let label =
        |name: &str| labels.and_then(|labels| labels.get(name)).map(String::as_str).unwrap_or_default().to_owned();
    let conditions = object.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
    Node {
        name: object.name().into(),
        id: object.uid().into(),
        host: "".into(),
        tagged_addresses: Default::default(),
        metadata: labels.cloned().unwrap_or_default(),
        checks: Arc::new([Check {
            id: "serfHealth".into(),
            name: "Serf Health Status".into(),
            check_type: "",
            status: match ready {
                Some(condition) if condition.status == "True" => Status::Passing,
                _ => Status::Critical,
            },
            output: ready.and_then(|condition| condition.message.clone()).unwrap_or_default(),
            notes: String::new(),
            since: ready.and_then(|condition| condition.last_transition_time.as_ref()).map(|time| time.0),
        }]),
        origin: Origin::Orchestrator,
        created_index: 0,
        modified_index: 0,
        addresses: of_type("InternalIP").chain(of_type("ExternalIP")).collect(),
        pod_cidr: object.spec.as_ref().and_then(|spec| spec.pod_cidr.as_deref()).map(Into::into),
        locality: Locality {
            region: label("topology.kubernetes.io/region"),
            zone: label("topology.kubernetes.io/zone"),
            rack: label("topology.kubernetes.io/rack"),
        },
    }
}
