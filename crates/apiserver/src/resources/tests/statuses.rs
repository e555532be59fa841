//! What is written to statuses.

use expect_test::expect;

use super::{check_update_of, of, yaml};

#[test]
fn points_of_load_balancers() {
    let of_type = |kind: &str| format!("{{spec: {{type: {kind}, clusterIP: 10.43.0.9, ports: [{{port: 80}}]}}}}");
    let (balanced, inside) = (of_type("LoadBalancer"), of_type("ClusterIP"));
    let with = |spec: &str, points: &str| {
        spec.replacen('{', &format!("{{status: {{loadBalancer: {{ingress: [{points}]}}}}, "), 1)
    };
    let points = [
        (&balanced, "{ip: 1.2.3.4}, {hostname: a.b}"),
        (&balanced, "{ip: 1.2.3.04}, {hostname: 1.2.3.4}, {hostname: A_b}"),
        (&balanced, "{ipMode: VIP}, {ip: 1.2.3.4, ipMode: Other}"),
        (&inside, "{ip: 1.2.3.4}"),
    ];
    let cases = points.map(|(spec, points)| (spec.clone(), with(spec, points)));
    let cases: Vec<(&str, &str)> = cases.iter().map(|(old, new)| (old.as_str(), new.as_str())).collect();
    check_update_of(
        "services",
        "status",
        &cases,
        expect![[r#"
        ok
        status.loadBalancer.ingress[0].ip: Invalid value: "1.2.3.04": must not have leading 0s
        status.loadBalancer.ingress[1].hostname: Invalid value: "1.2.3.4": must be a DNS name, not an IP address
        status.loadBalancer.ingress[2].hostname: Invalid value: "A_b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        status.loadBalancer.ingress[0].ipMode: Forbidden: may not be specified when `ip` is not set
        status.loadBalancer.ingress[1].ipMode: Unsupported value: "Other": supported values: "Proxy", "VIP"
        status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"#]],
    );
    let ingress = "{spec: {defaultBackend: {service: {name: a, port: {number: 80}}}}}";
    let cases = ["{ip: 1.2.3.4}, {hostname: a.b}", "{ip: x}, {hostname: 1.2.3.4}"].map(|points| with(ingress, points));
    let cases: Vec<(&str, &str)> = cases.iter().map(|new| (ingress, new.as_str())).collect();
    check_update_of(
        "networking.k8s.io/ingresses",
        "status",
        &cases,
        expect![[r#"
        ok
        status.loadBalancer.ingress[0].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)
        status.loadBalancer.ingress[1].hostname: Invalid value: "1.2.3.4": must be a DNS name, not an IP address"#]],
    );
    let odd = yaml("{status: {loadBalancer: {ingress: [{ip: 'fd00:0::1'}]}}}");
    assert_eq!(
        of("services").status_warnings(&odd),
        [
            "status.loadBalancer.ingress[0]: IPv6 address \"fd00:0::1\" should be in RFC 5952 canonical format (\"fd00::1\")"
        ]
    );
}

#[test]
fn namespaces_nodes_and_volumes() {
    check_update_of(
        "namespaces",
        "status",
        &[
            ("{metadata: {name: a}}", "{metadata: {name: a}, status: {}}"),
            ("{metadata: {name: a}}", "{metadata: {name: a}, status: {phase: Terminating}}"),
            (
                "{metadata: {name: a, deletionTimestamp: '2026-01-01T00:00:00Z'}}",
                "{metadata: {name: a, deletionTimestamp: '2026-01-01T00:00:00Z'}, status: {phase: Active}}",
            ),
        ],
        expect![[r#"
            ok
            status.Phase: Invalid value: "Terminating": may only be 'Active' if `deletionTimestamp` is empty
            status.Phase: Invalid value: "Active": may only be 'Terminating' if `deletionTimestamp` is not empty"#]],
    );
    check_update_of(
        "nodes",
        "status",
        &[(
            "{metadata: {name: a}}",
            "{metadata: {name: a}, status: {capacity: {cpu: -1, a.b/c: 500m}, addresses: [{type: Hostname, address: h}, {type: Hostname, address: h}]}}",
        )],
        expect![[r#"
            status.capacity.a.b/c: Invalid value: "500m": must be an integer
            status.capacity.cpu: Invalid value: "-1": must be greater than or equal to 0
            status.allocatable.a.b/c: Invalid value: "500m": must be an integer
            status.allocatable.cpu: Invalid value: "-1": must be greater than or equal to 0
            status.addresses[1]: Duplicate value: {"Type":"Hostname","Address":"h"}"#]],
    );
    let claim = "{spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}";
    check_update_of(
        "persistentvolumeclaims",
        "status",
        &[
            (claim, "{status: {phase: Bound, capacity: {storage: 1Gi}, allocatedResources: {storage: 1Gi}}}"),
            (
                claim,
                "{status: {capacity: {storage: -1}, allocatedResources: {cpu: 1, a.b/c: 1500m}, allocatedResourceStatuses: {storage: Other}}}",
            ),
        ],
        expect![[r#"
            ok
            status.capacity[storage]: Invalid value: -1: must be a valid resource quantity
            status.allocatedResourceStatuses: Unsupported value: "storage": supported values: "ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress", "NodeResizeInfeasible", "NodeResizePending"
            status.allocatedResources: Unsupported value: "cpu": supported values: "storage""#]],
    );
}
