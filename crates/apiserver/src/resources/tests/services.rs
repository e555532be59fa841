//! Families, addresses and ports of services, from what clients write to what is validated.

use expect_test::{Expect, expect};
use serde_json::Value;

use super::{context, lines, of, yaml};
use crate::resources::core::service_families;

/// What becomes of new versions of a service: the spec's addresses and families, or what is wrong.
fn check(old: Option<&str>, services: &[&str], expected: Expect) {
    let strategy = of("services");
    let prepared = |text: &str, old: Option<&Value>| {
        let mut service = yaml(&format!("{{metadata: {{name: s}}, spec: {text}}}"));
        strategy.default(&mut service);
        match old {
            None => strategy.prepare_for_create(&mut service, &context("")),
            Some(old) => strategy.prepare_for_update(&mut service, old, &context("")),
        }
        let settled = service_families::settle(&mut service, old);
        (service, settled)
    };
    let old = old.map(|text| prepared(text, None).0);
    let line = |text: &&str| {
        let (service, settled) = prepared(text, old.as_ref());
        if let Err(errors) = settled {
            return lines(&errors);
        }
        let mut errors = strategy.validate(&service, &context(""));
        errors.extend(old.iter().flat_map(|old| strategy.validate_update(&service, old, &context(""))));
        let spec = &service["spec"];
        let ports: Vec<String> =
            spec["ports"].as_array().into_iter().flatten().map(|it| it["nodePort"].to_string()).collect();
        match errors.is_empty() {
            true => {
                format!("{} {} {} {}", spec["clusterIPs"], spec["ipFamilies"], spec["ipFamilyPolicy"], ports.join(","))
            }
            false => lines(&errors),
        }
    };
    expected.assert_eq(&services.iter().map(line).collect::<Vec<_>>().join("\n"));
}

const PORTS: &str = "ports: [{port: 80}]";

fn with(fields: &str) -> String {
    format!("{{{PORTS}, {fields}}}")
}

#[test]
fn families_of_new_services() {
    let services = [
        with("selector: {a: b}"),
        with("clusterIP: None, selector: {a: b}"),
        with("clusterIP: None"),
        with("clusterIP: None, ipFamilyPolicy: SingleStack, ipFamilies: [IPv6]"),
        with("clusterIP: 'fd00::1'"),
        with("clusterIPs: [10.43.0.9]"),
        with("ipFamilyPolicy: Other"),
        with("ipFamilyPolicy: PreferDualStack"),
        with("ipFamilies: [IPv4, IPv6]"),
        with("clusterIP: None, clusterIPs: [None, None]"),
        "{type: ExternalName, externalName: a.b, ipFamilies: [IPv4]}".to_owned(),
    ];
    check(
        None,
        &services.each_ref().map(String::as_str),
        expect![[r#"
        null ["IPv4"] "SingleStack" null
        ["None"] ["IPv4"] "SingleStack" null
        ["None"] ["IPv4","IPv6"] "RequireDualStack" null
        ["None"] ["IPv6"] "SingleStack" null
        spec.clusterIPs[0]: Invalid value: ["fd00::1"]: IPv6 is not configured on this cluster
        spec.clusterIPs: Invalid value: ["10.43.0.9"]: must be empty when `clusterIP` is not specified
        spec.ipFamilyPolicy: Unsupported value: "Other": supported values: "PreferDualStack", "RequireDualStack", "SingleStack"
        null ["IPv4"] "PreferDualStack" null
        spec.ipFamilyPolicy: Invalid value: "SingleStack": must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified
        spec.clusterIPs: Invalid value: ["None","None"]: 'None' must be the first and only value
        spec.clusterIPs[1]: Invalid value: "None": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)
        spec.ipFamilies: Forbidden: may not be set for ExternalName services"#]],
    );
}

#[test]
fn new_versions_keep_what_they_leave_out() {
    let old = "{type: NodePort, clusterIP: 10.43.0.9, ports: [{name: a, port: 80, nodePort: 30000}, {name: b, port: 81, nodePort: 30001}]}";
    check(
        Some(old),
        &[
            "{type: NodePort, ports: [{name: b, port: 82}]}",
            "{type: NodePort, ports: [{name: a, port: 80, nodePort: 30001}, {name: b, port: 81}]}",
            "{ports: [{name: a, port: 80, nodePort: 30000}]}",
            "{ports: [{name: a, port: 80, nodePort: 30002}]}",
            "{type: NodePort, clusterIP: 10.43.0.10, ports: [{port: 80}]}",
            "{type: NodePort, clusterIP: '', clusterIPs: [10.43.0.10], ports: [{port: 80}]}",
            "{type: NodePort, clusterIP: None, ports: [{port: 80}]}",
            "{type: NodePort, ipFamilies: [IPv6], ports: [{port: 80}]}",
            "{type: NodePort, ipFamilyPolicy: PreferDualStack, ports: [{port: 80}]}",
            "{type: ExternalName, externalName: a.b, clusterIP: 10.43.0.9}",
            "{type: ExternalName, externalName: a.b, clusterIP: 10.43.0.10}",
        ],
        expect![[r#"
            ["10.43.0.9"] ["IPv4"] "SingleStack" 30001
            ["10.43.0.9"] ["IPv4"] "SingleStack" 30001,null
            ["10.43.0.9"] ["IPv4"] "SingleStack" null
            spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'
            spec.clusterIPs[0]: Invalid value: ["10.43.0.10"]: may not change once set
            spec.clusterIPs: Invalid value: ["10.43.0.10"]: first value must match `clusterIP`
            spec.clusterIPs[0]: Invalid value: "None": may not be set to 'None' for NodePort services
            spec.clusterIPs[0]: Invalid value: ["None"]: may not change once set
            spec.clusterIPs[0]: Invalid value: "10.43.0.9": expected an IPv6 value as indicated by `ipFamilies[0]`
            ["10.43.0.9"] ["IPv4"] "PreferDualStack" null
            null null null 
            null null null "#]],
    );
    check(
        Some("{clusterIP: None, ports: [{port: 80}]}"),
        &[
            "{clusterIP: None, ipFamilies: [IPv4], ports: [{port: 80}]}",
            "{clusterIP: None, ipFamilies: [IPv4], ipFamilyPolicy: SingleStack, ports: [{port: 80}]}",
            "{clusterIP: 10.43.0.9, ports: [{port: 80}]}",
        ],
        expect![[r#"
            spec.ipFamilyPolicy: Invalid value: "RequireDualStack": must be 'SingleStack' to release the secondary IP family
            ["None"] ["IPv4"] "SingleStack" null
            spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services"#]],
    );
}

#[test]
fn what_balancers_alone_have() {
    check(
        Some("{type: LoadBalancer, loadBalancerClass: a.b/c, ports: [{port: 80}]}"),
        &[
            "{type: LoadBalancer, loadBalancerClass: a.b/d, ports: [{port: 80}]}",
            "{type: LoadBalancer, ports: [{port: 80}]}",
            "{loadBalancerClass: a.b/c, allocateLoadBalancerNodePorts: true, ports: [{port: 80}]}",
            "{loadBalancerClass: a.b/d, allocateLoadBalancerNodePorts: false, ports: [{port: 80}]}",
        ],
        expect![[r#"
            spec.loadBalancerClass: Invalid value: "a.b/d": may not change once set
            spec.loadBalancerClass: Invalid value: null: may not change once set
            null ["IPv4"] "SingleStack" null
            spec.allocateLoadBalancerNodePorts: Forbidden: may only be used when `type` is 'LoadBalancer'
            spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'"#]],
    );
}
