//! Which registered instances stand behind a service, and on which ports.

use std::collections::HashMap;
use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use portolan_api::annotations::MIRRORED_SERVICE;
use portolan_api::typed::kinds::core::v1::{ObjectReference, Service, ServicePort, ServiceSpec};
use portolan_api::typed::{Checked, ExternalNode, Health, InstancePort, Object, ServiceInstance};
use portolan_client::Key;

use crate::endpoints::addresses::{Address, Group, Port, is_reached_by_others};
use crate::endpoints::plan::Groups;
use crate::endpoints::selector;
use crate::meta::is_deleting;

/// The service of the registry that a Service mirrors, or why it mirrors none; `None` if it says nothing of that.
pub fn mirror_target(service: &Service) -> Option<Result<Key, String>> {
    let text = service.metadata.annotations.as_ref()?.get(MIRRORED_SERVICE)?.trim();
    let is_alias = service.spec.as_ref().is_some_and(|spec| spec.type_.as_deref() == Some("ExternalName"));
    if selector(service).is_some() || is_alias {
        return Some(Err(format!(
            "annotation {MIRRORED_SERVICE} is ignored: the Service has a selector or is an alias"
        )));
    }
    let (namespace, name) = text.split_once('/').unwrap_or((service.namespace(), text));
    let is_name = |text: &str| !text.is_empty() && !text.contains(|sign: char| sign == '/' || sign.is_whitespace());
    Some(if is_name(namespace) && is_name(name) {
        Ok(Key::new(namespace, name))
    } else {
        Err(format!(
            "no endpoints: annotation {MIRRORED_SERVICE}: {text:?} is neither NAME nor NAMESPACE/NAME of a registered \
             service"
        ))
    })
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
    for (instance, machine) in instances {
        match place(spec, instance, machine) {
            Ok((group, address)) => {
                behind.groups.entry(group).or_default().insert(instance.uid().to_owned(), address);
            }
            Err(Unplaced::NoAddress) => behind.unreachable.push(instance.name().to_owned()),
            Err(Unplaced::Leaving | Unplaced::NoPort(_)) => {}
        }
    }
    behind
}

/// Why an instance does not stand behind a service.
pub(super) enum Unplaced<'a> {
    /// It is being deleted.
    Leaving,
    /// No other machine reaches it by what it registered with.
    NoAddress,
    /// It has none of the ports that the service leads to, of which this is the first.
    NoPort(&'a ServicePort),
}

/// Where an instance stands behind a service.
pub(super) fn place<'a>(
    spec: &'a ServiceSpec,
    instance: &ServiceInstance,
    machine: Option<&ExternalNode>,
) -> Result<(Group, Address), Unplaced<'a>> {
    if is_deleting(instance) {
        return Err(Unplaced::Leaving);
    }
    let address = instance.spec.address.parse::<IpAddr>().ok().filter(|address| is_reached_by_others(*address));
    let address = address.ok_or(Unplaced::NoAddress)?;
    let of_service = spec.ports.as_deref().unwrap_or_default();
    let ports: Vec<Port> = of_service.iter().filter_map(|port| resolve(port, &instance.spec.ports)).collect();
    if let Some(first) = of_service.first().filter(|_| ports.is_empty()) {
        return Err(Unplaced::NoPort(first));
    }
    let serving = health(instance, machine).0 != Health::Critical;
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
        ready: serving || spec.publish_not_ready_addresses == Some(true),
        serving,
        terminating: false,
    };
    Ok((Group { family, ports }, found))
}

/// Machines by the names that instances know them by.
pub(super) fn by_name<'a>(machines: impl IntoIterator<Item = &'a ExternalNode>) -> HashMap<&'a str, &'a ExternalNode> {
    machines.into_iter().map(|machine| (machine.spec.node.as_str(), machine)).collect()
}

/// As the instance is, or as its machine is if that is worse; an administrator's decision stands above. With the
/// reason.
pub(super) fn health(instance: &ServiceInstance, machine: Option<&ExternalNode>) -> (Health, String) {
    let own = instance.effective_health();
    let Some(machine) = machine.filter(|_| instance.spec.administrative.is_none()) else { return own };
    let found = machine.checks().iter().map(|check| {
        let result = machine.result(&check.id);
        (result.map_or_else(|| check.initial(), |result| result.health), check, result)
    });
    match found.max_by_key(|(health, ..)| *health) {
        Some((health, check, result)) if health > own.0 => {
            let output = result.map(|result| result.output.trim()).filter(|output| !output.is_empty());
            let output = output.map(|output| format!(": {output}")).unwrap_or_default();
            (health, format!("check {} of machine {}{output}", check.display_name(), machine.spec.node))
        }
        _ => own,
    }
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
        let metadata = json!({"name": "db", "namespace": "n", "annotations": {MIRRORED_SERVICE: "default/postgres"}});
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
        let with = |annotation: &str, spec: Value| {
            let mut own = service(json!([]));
            own.spec = Some(serde_json::from_value(spec).expect("a specification"));
            own.metadata.annotations = Some([(MIRRORED_SERVICE.to_owned(), annotation.to_owned())].into());
            mirror_target(&own)
        };
        assert_eq!(mirror_target(&service(json!([]))), Some(Ok(Key::new("default", "postgres"))));
        assert_eq!(with(" postgres ", json!({})), Some(Ok(Key::new("n", "postgres"))));
        assert_eq!(mirror_target(&Service::default()), None);
        for nothing in ["", "/", "a/", "/a", "a/b/c", "Bad Name/x", "Bad Name"] {
            let Some(Err(why)) = with(nothing, json!({})) else { panic!("{nothing} is a name") };
            assert!(why.contains("neither NAME nor NAMESPACE/NAME"), "{why}");
        }
        for other in [json!({"selector": {"app": "a"}}), json!({"type": "ExternalName", "externalName": "a.example"})] {
            let Some(Err(why)) = with("postgres", other.clone()) else { panic!("{other} mirrors") };
            assert!(why.contains("is ignored"), "{why}");
        }
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
        let because = "check c of machine vm".to_owned();
        assert_eq!(health(&instance, Some(&machine)), (Health::Critical, because));
        assert_eq!(health(&instance, None).0, Health::Passing);
    }
}
