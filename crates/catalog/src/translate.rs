//! Services and endpoint slices of the API in the words of the catalog.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use portolan_api::typed::kinds::core::v1 as core;
use portolan_api::typed::kinds::discovery::v1::EndpointSlice;
use portolan_api::typed::{
    ExternalNode, Health as StoredHealth, HealthCheck, HealthCheckStatus, Object as _, ServiceInstance,
};

use crate::model::{
    Check, Endpoint, EndpointPort, Health, Instance, InstancePort, Key, Locality, Node, Origin, Protocol, Service,
    ServicePort, ServiceType, Status, TrafficPolicy, Weights,
};
use crate::pool::{Own, Pool};
use crate::registration::Registration;

pub(crate) fn service(key: &Key, object: &core::Service, endpoints: Arc<[Endpoint]>) -> Service {
    let spec = object.spec.clone().unwrap_or_default();
    let addresses = |texts: Option<Vec<String>>| -> Vec<IpAddr> {
        texts.unwrap_or_default().iter().filter_map(|text| text.parse().ok()).collect()
    };
    let listed = spec.cluster_ips.filter(|listed| !listed.is_empty());
    let cluster_texts = listed.or_else(|| spec.cluster_ip.map(|address| vec![address]));
    let headless = cluster_texts.as_ref().is_some_and(|texts| texts.iter().any(|text| text == "None"));
    let service_type = match spec.type_.as_deref() {
        Some("ExternalName") => ServiceType::ExternalName(spec.external_name.unwrap_or_default().into()),
        _ if headless => ServiceType::Headless,
        Some("NodePort") => ServiceType::NodePort,
        Some("LoadBalancer") => ServiceType::LoadBalancer,
        _ => ServiceType::ClusterIp,
    };
    let balancer = object.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = balancer.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default();
    let policy = |name: Option<&str>| match name {
        Some("Local") => TrafficPolicy::Local,
        _ => TrafficPolicy::Cluster,
    };
    let affinity = (spec.session_affinity.as_deref() == Some("ClientIP")).then(|| {
        let client = spec.session_affinity_config.and_then(|config| config.client_ip);
        let seconds = client.and_then(|client| client.timeout_seconds).unwrap_or(10_800);
        Duration::from_secs(u64::try_from(seconds).unwrap_or(10_800).max(1))
    });
    let (balanced, is_alias) =
        (service_type == ServiceType::LoadBalancer, matches!(service_type, ServiceType::ExternalName(_)));
    Service {
        key: key.clone(),
        service_type,
        cluster_addresses: if is_alias { Vec::new() } else { addresses(cluster_texts) },
        load_balancer_addresses: ingress
            .iter()
            .filter(|_| balanced)
            .filter(|entry| entry.ip_mode.as_deref() != Some("Proxy"))
            .filter_map(|entry| entry.ip.as_deref()?.parse().ok())
            .collect(),
        external_addresses: addresses(spec.external_ips),
        load_balancer_source_ranges: spec
            .load_balancer_source_ranges
            .unwrap_or_default()
            .iter()
            .map(|range| range.as_str().into())
            .collect(),
        ports: spec.ports.unwrap_or_default().iter().filter_map(service_port).collect(),
        session_affinity: affinity,
        external_traffic_policy: policy(spec.external_traffic_policy.as_deref()),
        internal_traffic_policy: policy(spec.internal_traffic_policy.as_deref()),
        publish_not_ready_addresses: spec.publish_not_ready_addresses.unwrap_or(false),
        selector: spec.selector.unwrap_or_default(),
        labels: object.metadata.labels.clone().unwrap_or_default(),
        endpoints,
    }
}

fn service_port(port: &core::ServicePort) -> Option<ServicePort> {
    Some(ServicePort {
        name: port.name.as_deref().unwrap_or_default().into(),
        protocol: Protocol::of(port.protocol.as_deref()),
        port: u16::try_from(port.port).ok()?,
        node_port: port.node_port.and_then(|number| u16::try_from(number).ok()).filter(|number| *number != 0),
    })
}

/// Merges slices; an address that several slices name with the same ports counts once.
pub(crate) fn endpoints<'a>(slices: impl Iterator<Item = &'a EndpointSlice>) -> Arc<[Endpoint]> {
    let mut endpoints = Vec::new();
    for slice in slices {
        let ports: Arc<[EndpointPort]> = slice
            .ports
            .iter()
            .flatten()
            .filter_map(|port| {
                Some(EndpointPort {
                    name: port.name.as_deref().unwrap_or_default().into(),
                    protocol: Protocol::of(port.protocol.as_deref()),
                    port: u16::try_from(port.port?).ok()?,
                })
            })
            .collect();
        for endpoint in slice.endpoints.iter().flatten() {
            let conditions = endpoint.conditions.clone().unwrap_or_default();
            // Unknown readiness counts as ready, unknown serving as readiness (API documentation of the conditions).
            let ready = conditions.ready.unwrap_or(true);
            let target = endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"));
            let pod = target.map(|target| {
                let namespace = target.namespace.as_deref().unwrap_or_else(|| slice.namespace());
                Key::new(namespace, target.name.as_deref().unwrap_or_default())
            });
            // Only the first address is meaningful; the others are unspecified by the API.
            let Some(address) = endpoint.addresses.first().and_then(|text| text.parse().ok()) else { continue };
            endpoints.push(Endpoint {
                address,
                ports: ports.clone(),
                ready,
                serving: conditions.serving.unwrap_or(ready),
                terminating: conditions.terminating.unwrap_or(false),
                node: endpoint.node_name.as_deref().map(Into::into),
                zone: endpoint.zone.as_deref().map(Into::into),
                hostname: endpoint.hostname.as_deref().map(Into::into),
                pod,
            });
        }
    }
    let order = |endpoint: &Endpoint| (endpoint.address, endpoint.ports.first().map(|port| port.port));
    endpoints.sort_by_key(order);
    endpoints.dedup_by(|left, right| left.address == right.address && left.ports == right.ports);
    endpoints.into()
}

/// How an instance is by itself.
fn own_health(object: &ServiceInstance, pool: &mut Pool) -> Health {
    let verdict = object.verdict();
    let reason = match verdict.reason {
        reason if !reason.is_empty() => pool.texts.share(reason),
        _ if object.lease_term().is_some() => pool.texts.share("registered, its lease is kept"),
        _ => pool.texts.share("registered without a lease"),
    };
    let created = || object.metadata.creation_timestamp.as_ref();
    let since = verdict.since.as_ref().or_else(created).map(|time| time.0);
    Health { status: status(verdict.health), reason, since }
}

/// How an instance is, all things considered, if its machine is worse than itself.
pub(crate) fn health_of_node(instance: &Instance, node: &Node) -> Option<Health> {
    let check = node.checks.iter().max_by_key(|check| check.status)?;
    // An administrator's decision stands above all checks.
    let decided = instance.registration.as_ref().is_some_and(|it| it.administrative().is_some());
    if check.status <= instance.health.status || decided {
        return None;
    }
    let output = check.output.trim();
    let colon = if output.is_empty() { "" } else { ": " };
    let reason = format!("node {}, check {}{colon}{output}", instance.node, check.name).into();
    Some(Health { status: check.status, reason, since: check.since })
}

/// An instance that registered itself, whatever its machine is like.
pub(crate) fn registered_instance(object: &ServiceInstance, key: &Key, service: &Key, pool: &mut Pool) -> Instance {
    let spec = &object.spec;
    let is_own_name = spec.instance_id.is_empty() || spec.instance_id == *key.name;
    let id: Arc<str> = if is_own_name { key.name.clone() } else { spec.instance_id.as_str().into() };
    let weight = |value: i32| u32::try_from(value).unwrap_or(0);
    let locality = spec.locality.clone().unwrap_or_default();
    let health = own_health(object, pool);
    let no_map = BTreeMap::new();
    let mut ports = Vec::with_capacity(spec.ports.len());
    for port in &spec.ports {
        let Ok(number) = u16::try_from(port.port) else { continue };
        let (name, protocol) = (pool.texts.share(port.name.as_str()), Protocol::of(Some(&port.protocol)));
        ports.push(InstancePort { name, port: number, protocol });
    }
    let mut map = |map: &BTreeMap<String, String>| pool.maps.share(Own(map.clone()));
    Instance {
        name: id.clone(),
        service: service.name.clone(),
        namespace: service.namespace.clone(),
        id,
        address: spec.address.as_str().into(),
        labels: map(object.metadata.labels.as_ref().unwrap_or(&no_map)),
        metadata: map(&spec.metadata),
        ports: pool.ports.share(Own(ports)),
        health,
        node: pool.texts.share(spec.node.as_str()),
        tags: pool.tags.share(Own(spec.tags.clone())),
        version: pool.texts.share(spec.version.as_str()),
        weights: spec.weights.map_or_else(Weights::default, |weights| Weights {
            passing: weight(weights.passing),
            warning: weight(weights.warning),
        }),
        locality: pool.localities.share(Own(Locality {
            region: locality.region,
            zone: locality.zone,
            rack: locality.rack,
        })),
        ttl: object.lease_ttl(),
        origin: Origin::Registry,
        checks: match &spec.checks[..] {
            [] => pool.no_checks(),
            wanted => checks(wanted, object.status.as_ref().map_or(&[], |status| &status.checks)),
        },
        registration: Some(Box::new(Registration::of(object, key.name.clone()))),
        created_index: 0,
        modified_index: 0,
    }
}

/// A machine outside the cluster, as the catalog shows it.
pub fn external_node(object: &ExternalNode) -> Node {
    let spec = &object.spec;
    let address = spec.address.parse::<IpAddr>().ok();
    let locality = spec.locality.clone().unwrap_or_default();
    Node {
        name: spec.node.as_str().into(),
        id: spec.node_id.as_str().into(),
        host: if address.is_some() { "".into() } else { spec.address.as_str().into() },
        addresses: address.into_iter().collect(),
        pod_cidr: None,
        locality: Locality { region: locality.region, zone: locality.zone, rack: locality.rack },
        tagged_addresses: spec.tagged_addresses.clone(),
        metadata: spec.metadata.clone(),
        checks: checks(&spec.checks, object.status.as_ref().map_or(&[], |status| &status.checks)),
        origin: Origin::Registry,
        created_index: 0,
        modified_index: 0,
    }
}

fn status(health: StoredHealth) -> Status {
    match health {
        StoredHealth::Passing => Status::Passing,
        StoredHealth::Warning => Status::Warning,
        StoredHealth::Critical => Status::Critical,
    }
}

fn checks(wanted: &[HealthCheck], found: &[HealthCheckStatus]) -> Arc<[Check]> {
    wanted
        .iter()
        .map(|check| {
            let found = found.iter().find(|found| found.id == check.id);
            Check {
                id: check.id.as_str().into(),
                name: check.display_name().into(),
                check_type: check.r#type.as_str(),
                status: status(found.map_or_else(|| check.initial(), |found| found.health)),
                output: found.map(|found| found.output.clone()).unwrap_or_default(),
                notes: check.notes.clone(),
                since: found.and_then(|found| found.since.as_ref()).map(|time| time.0),
            }
        })
        .collect()
}
