//! Which registered instances stand behind a service, and on which ports.

use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use portolan_api::typed::kinds::core::v1::{ObjectReference, Service, ServicePort};
use portolan_api::typed::{Checked, ExternalNode, Health, InstancePort, Object, ServiceInstance};
use portolan_client::Key;

use crate::endpoints::addresses::{Address, Group, Port, is_reached_by_others};
use crate::endpoints::plan::Groups;

/// Names the service of the registry whose instances stand behind a Service without selector: `NAME`, or
/// `NAMESPACE/NAME` of another namespace.
pub(super) const ANNOTATION: &str = "registry.portolan.dev/service";

/// The service of the registry that a Service mirrors, if it does.
pub(super) fn target(service: &Service) -> Option<Key> {
    let name = service.metadata.annotations.as_ref()?.get(ANNOTATION)?.trim();
    let (namespace, name) = name.split_once('/').unwrap_or((service.namespace(), name));
    (!namespace.is_empty() && !name.is_empty()).then(|| Key::new(namespace, name))
}

/// What stands behind a Service.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Behind {
    /// Addresses by the ports that they answer on.
    pub(super) groups: Groups,
    /// Instances that no packet can be sent to, as they registered with a name instead of an address, or with one
    /// that means each machine itself.
    pub(super) unreachable: Vec<String>,
}

/// Finds what stands behind a service: each instance with its machine, if that is known.
pub(super) fn behind<'a>(
    service: &Service,
    instances: impl Iterator<Item = (&'a ServiceInstance, Option<&'a ExternalNode>)>,
) -> Behind {
    let mut behind = Behind::default();
    let Some(spec) = &service.spec else { return behind };
    let publish_unready = spec.publish_not_ready_addresses == Some(true);
    for (instance, machine) in instances {
        let address = instance.spec.address.parse::<IpAddr>().ok().filter(|address| is_reached_by_others(*address));
        let Some(address) = address else {
            behind.unreachable.push(instance.name().to_owned());
            continue;
        };
        let of_service = spec.ports.as_deref().unwrap_or_default();
        let ports: Vec<Port> = of_service.iter().filter_map(|port| resolve(port, &instance.spec.ports)).collect();
        if ports.is_empty() && !of_service.is_empty() {
            continue;
        }
        let serving = health(instance, machine) != Health::Critical;
        let family = if address.is_ipv6() { "IPv6" } else { "IPv4" };
        let found = Address {
            ip: address.to_string(),
            pod: ObjectReference {
                kind: Some(ServiceInstance::KIND.to_owned()),
                namespace: Some(instance.namespace().to_owned()),
                name: Some(instance.name().to_owned()),
                uid: Some(instance.uid().to_owned()),
                ..ObjectReference::default()
            },
            node: None,
            hostname: None,
            ready: serving || publish_unready,
            serving,
            terminating: false,
        };
        behind.groups.entry(Group { family, ports }).or_default().insert(instance.uid().to_owned(), found);
    }
    behind
}

/// As the instance is, or as its machine is if that is worse; an administrator's decision stands above.
fn health(instance: &ServiceInstance, machine: Option<&ExternalNode>) -> Health {
    let (own, _) = instance.effective_health();
    if instance.spec.administrative.is_some() {
        return own;
    }
    let found = |machine: &ExternalNode, id: &str| {
        machine.results().iter().find(|found| found.id == id).map(|found| found.health)
    };
    let checks = machine.into_iter().flat_map(|machine| {
        machine.checks().iter().map(|check| found(machine, &check.id).unwrap_or_else(|| check.initial()))
    });
    checks.fold(own, Health::max)
}

/// The port of an instance that a service's port leads to: the one of its name; else the only one that the
/// instance has, unless `targetPort` says a number of its own; else that number.
fn resolve(port: &ServicePort, ports: &[InstancePort]) -> Option<Port> {
    let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
    let fits = |own: &&InstancePort| own.protocol.is_empty() || own.protocol.eq_ignore_ascii_case(&protocol);
    let named = |name: &str| ports.iter().filter(fits).find(|own| own.name == name).map(|own| own.port);
    let number = match &port.target_port {
        Some(IntOrString::String(name)) => named(name)?,
        // The API fills an absent `targetPort` with the port.
        Some(IntOrString::Int(number)) if *number != port.port => *number,
        _ => {
            let own: Vec<&InstancePort> = ports.iter().filter(fits).collect();
            let only = || if let [only] = own[..] { Some(only.port) } else { None };
            let name = port.name.as_deref().filter(|name| !name.is_empty());
            name.and_then(named).or_else(only).unwrap_or(port.port)
        }
    };
    let (name, app_protocol) = (port.name.clone().unwrap_or_default(), port.app_protocol.clone());
    Some(Port { name, port: number, protocol, app_protocol })
}

#[cfg(test)]
mod tests {
    use portolan_api::typed::kinds::core::v1::Service;
    use serde_json::{Value, json};

    use super::*;

    fn service(ports: Value) -> Service {
        let metadata = json!({"name": "db", "namespace": "n", "annotations": {ANNOTATION: "default/postgres"}});
        serde_json::from_value(json!({"metadata": metadata, "spec": {"ports": ports}})).expect("a service")
    }

    fn instance(name: &str, address: &str, ports: Value, health: &str) -> ServiceInstance {
        let object = json!({
            "apiVersion": "registry.portolan.dev/v1", "kind": "ServiceInstance",
            "metadata": {"name": name, "namespace": "default", "uid": name},
            "spec": {"service": "postgres", "instanceId": name, "address": address, "ports": ports},
            "status": {"health": health, "reason": ""},
        });
        ServiceInstance::decode_value(&object).expect("an instance")
    }

    fn show(behind: &Behind) -> String {
        let groups = behind.groups.iter().flat_map(|(group, addresses)| {
            let ports: Vec<String> = group.ports.iter().map(|port| port.port.to_string()).collect();
            let ports = ports.join(",");
            addresses.values().map(move |it| format!("{}:{ports}{}", it.ip, if it.ready { "" } else { " down" }))
        });
        groups.collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn a_service_names_what_it_mirrors() {
        assert_eq!(target(&service(json!([]))), Some(Key::new("default", "postgres")));
        let mut own = service(json!([]));
        own.metadata.annotations = Some([(ANNOTATION.to_owned(), " postgres ".to_owned())].into());
        assert_eq!(target(&own), Some(Key::new("n", "postgres")));
        for nothing in ["", "/", "a/", "/a"] {
            own.metadata.annotations = Some([(ANNOTATION.to_owned(), nothing.to_owned())].into());
            assert_eq!(target(&own), None, "{nothing}");
        }
        assert_eq!(target(&Service::default()), None);
    }

    #[test]
    fn ports_are_found_by_name_by_number_or_as_the_only_one() {
        let one = json!([{"name": "sql", "port": 5432}]);
        let two = json!([{"name": "sql", "port": 5432}, {"name": "metrics", "port": 9187}]);
        let cases = [
            (json!([{"port": 80, "targetPort": 80}]), &one, "192.0.2.7:5432"),
            (json!([{"port": 80, "targetPort": 81}]), &one, "192.0.2.7:81"),
            (json!([{"port": 80, "targetPort": "metrics"}]), &two, "192.0.2.7:9187"),
            (json!([{"port": 80, "targetPort": "none"}]), &two, ""),
            (json!([{"name": "metrics", "port": 80}]), &two, "192.0.2.7:9187"),
            (json!([{"port": 80}]), &two, "192.0.2.7:80"),
            (json!([{"port": 80, "protocol": "UDP"}]), &one, "192.0.2.7:5432"),
        ];
        for (ports, registered, expected) in cases {
            let instance = instance("a", "192.0.2.7", registered.clone(), "passing");
            let behind = behind(&service(ports.clone()), [(&instance, None)].into_iter());
            assert_eq!(show(&behind), expected, "{ports}");
        }
    }

    #[test]
    fn the_sick_get_no_traffic_and_names_are_told_apart_from_addresses() {
        let port = json!([{"port": 5432}]);
        let all = [
            instance("a", "192.0.2.1", port.clone(), "passing"),
            instance("b", "192.0.2.2", port.clone(), "warning"),
            instance("c", "192.0.2.3", port.clone(), "critical"),
            instance("d", "db.example", port.clone(), "passing"),
            instance("e", "2001:db8::1", port.clone(), "passing"),
            instance("f", "127.0.0.1", port.clone(), "passing"),
            instance("g", "fe80::1", port, "passing"),
        ];
        let found = behind(&service(json!([{"port": 5432}])), all.iter().map(|instance| (instance, None)));
        assert_eq!(show(&found), "192.0.2.1:5432; 192.0.2.2:5432; 192.0.2.3:5432 down; 2001:db8::1:5432");
        assert_eq!(found.unreachable, ["d", "f", "g"]);
    }

    #[test]
    fn a_sick_machine_takes_its_instances_down() {
        let mut instance = instance("a", "192.0.2.1", json!([]), "passing");
        instance.spec.node = "vm".into();
        let machine = json!({
            "metadata": {"name": "vm"},
            "spec": {"node": "vm", "address": "192.0.2.1", "checks": [{"id": "c", "type": "ttl"}]},
            "status": {"checks": [{"id": "c", "health": "critical", "output": ""}]},
        });
        let machine: ExternalNode = serde_json::from_value(machine).expect("a machine");
        assert_eq!(health(&instance, Some(&machine)), Health::Critical);
        assert_eq!(health(&instance, None), Health::Passing);
    }
}
