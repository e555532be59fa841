//! Why the instances of a mirrored service take requests or not, in words for a person. Pure.

use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use portolan_api::typed::kinds::core::v1::{Service, ServicePort, ServiceSpec};
use portolan_api::typed::{ExternalNode, Object, ServiceInstance};
use portolan_client::Key;

use super::plan::{Unplaced, by_name, health, place};

/// One line per fact of a Service that mirrors `target`; `instances` are those of the namespace of that.
pub fn explain_mirror(
    service: &Service,
    target: &Key,
    instances: &[ServiceInstance],
    machines: &[ExternalNode],
) -> Vec<String> {
    let followed = format!("it follows the registered service {target}");
    let instances: Vec<&ServiceInstance> =
        instances.iter().filter(|instance| instance.spec.service == target.name).collect();
    if instances.is_empty() {
        return vec![format!(
            "{followed}; no endpoints: no instance of that name is registered in namespace {}",
            target.namespace
        )];
    }
    let (nothing, machines) = (ServiceSpec::default(), by_name(machines));
    let spec = service.spec.as_ref().unwrap_or(&nothing);
    let complaint =
        |instance: &&ServiceInstance| complaint(spec, instance, machines.get(instance.spec.node.as_str()).copied());
    let complaints: Vec<String> = instances.iter().filter_map(complaint).collect();
    let well = instances.len() - complaints.len();
    let mut reasons = vec![format!("{followed}: {well} of its {} instances take requests", instances.len())];
    reasons.extend(complaints);
    reasons
}

/// Why an instance takes no requests; `None` if it does.
fn complaint(spec: &ServiceSpec, instance: &ServiceInstance, machine: Option<&ExternalNode>) -> Option<String> {
    let (name, address) = (instance.name(), &instance.spec.address);
    Some(match place(spec, instance, machine) {
        Ok((_, found)) if found.ready => return None,
        Ok(_) => match health(instance, machine).1.as_str() {
            "" => format!("instance {name} is critical"),
            reason => format!("instance {name} is critical: {reason}"),
        },
        Err(Unplaced::Leaving) => format!("instance {name} is being deleted"),
        Err(Unplaced::NoAddress) if address.parse::<IpAddr>().is_ok() => {
            format!("instance {name} registered with {address}, which does not lead to it from other machines")
        }
        Err(Unplaced::NoAddress) => {
            format!("instance {name} registered with {address:?}, and endpoints are IP addresses")
        }
        Err(Unplaced::NoPort(port)) => no_port(port, instance),
    })
}

fn no_port(port: &ServicePort, instance: &ServiceInstance) -> String {
    let wanted = match &port.target_port {
        Some(IntOrString::String(name)) => name.as_str(),
        // Numbers are taken as they are.
        _ => "",
    };
    let (number, name) = (port.port, instance.name());
    match instance.spec.ports.iter().find(|own| own.name == wanted) {
        Some(own) => {
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            format!("port {number}: port {wanted:?} of instance {name} is for {}, not {protocol}", own.protocol)
        }
        None => format!("port {number}: instance {name} has no port named {wanted:?}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn explained(spec: Value, service: &str) -> Vec<String> {
        let spec = json!({"metadata": {"namespace": "shop", "name": "db"}, "spec": spec});
        let service_of = serde_json::from_value(spec).expect("a service");
        let instance = |name: &str, address: &str, health: &str, more: Value| {
            let mut object = json!({"metadata": {"namespace": "shop", "name": name},
                "spec": {"service": "legacy", "address": address, "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}]},
                "status": {"health": health, "reason": "disk"}});
            object["spec"]["node"] = more["node"].clone();
            object["metadata"]["deletionTimestamp"] = more["deleted"].clone();
            ServiceInstance::decode_value(&object).expect("an instance")
        };
        let instances = [
            instance("a", "192.0.2.1", "passing", json!({"node": ""})),
            instance("b", "192.0.2.2", "critical", json!({"node": ""})),
            instance("c", "vm", "passing", json!({"node": ""})),
            instance("d", "127.0.0.1", "passing", json!({"node": ""})),
            instance("e", "192.0.2.5", "passing", json!({"node": "sick"})),
            instance("f", "192.0.2.6", "passing", json!({"node": "", "deleted": "2026-01-01T00:00:00Z"})),
        ];
        let machine = json!({
            "metadata": {"name": "sick"},
            "spec": {"node": "sick", "address": "192.0.2.5", "checks": [{"id": "c", "name": "power", "type": "ttl"}]},
            "status": {"checks": [{"id": "c", "health": "critical", "output": "off"}]},
        });
        let machines = [serde_json::from_value(machine).expect("a machine")];
        explain_mirror(&service_of, &Key::new("shop", service), &instances, &machines)
    }

    #[test]
    fn what_takes_no_requests_says_why() {
        let follows = |well: usize| {
            format!("it follows the registered service shop/legacy: {well} of its 6 instances take requests")
        };
        let unreachable = [
            r#"instance c registered with "vm", and endpoints are IP addresses"#,
            "instance d registered with 127.0.0.1, which does not lead to it from other machines",
        ];
        let (b, e) = ("instance b is critical: disk", "instance e is critical: check power of machine sick: off");
        let deleted = "instance f is being deleted";
        let port = json!({"port": 80, "targetPort": "sql"});
        let cases = [
            (json!({"ports": [port]}), 1, vec![b, unreachable[0], unreachable[1], e, deleted]),
            (json!({}), 1, vec![b, unreachable[0], unreachable[1], e, deleted]),
            (
                json!({"ports": [port], "publishNotReadyAddresses": true}),
                3,
                vec![unreachable[0], unreachable[1], deleted],
            ),
            (
                json!({"ports": [{"port": 80, "targetPort": "http"}]}),
                0,
                vec![
                    r#"port 80: instance a has no port named "http""#,
                    r#"port 80: instance b has no port named "http""#,
                    unreachable[0],
                    unreachable[1],
                    r#"port 80: instance e has no port named "http""#,
                    deleted,
                ],
            ),
            (
                json!({"ports": [{"port": 80, "targetPort": "sql", "protocol": "UDP"}]}),
                0,
                vec![
                    r#"port 80: port "sql" of instance a is for TCP, not UDP"#,
                    r#"port 80: port "sql" of instance b is for TCP, not UDP"#,
                    unreachable[0],
                    unreachable[1],
                    r#"port 80: port "sql" of instance e is for TCP, not UDP"#,
                    deleted,
                ],
            ),
        ];
        for (spec, well, complaints) in cases {
            let mut expected = vec![follows(well)];
            expected.extend(complaints.into_iter().map(str::to_owned));
            assert_eq!(explained(spec.clone(), "legacy"), expected, "{spec}");
        }
        assert_eq!(
            explained(json!({}), "none"),
            [
                "it follows the registered service shop/none; no endpoints: no instance of that name is registered in namespace shop"
            ]
        );
    }
}
