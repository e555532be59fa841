use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::*;

fn endpoints(metadata: &Value, subsets: &Value) -> Endpoints {
    let mut value = json!({"metadata": {"name": "db", "namespace": "n", "uid": "u"}, "subsets": subsets});
    for (key, field) in metadata.as_object().into_iter().flatten() {
        value["metadata"][key] = field.clone();
    }
    serde_json::from_value(value).expect("they are Endpoints")
}

fn text(slice: &EndpointSlice) -> String {
    let members = slice.endpoints.iter().flatten().map(|endpoint| {
        let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready);
        format!("{}{}", endpoint.addresses.join(","), if ready == Some(true) { "" } else { "(waiting)" })
    });
    let ports = slice
        .ports
        .iter()
        .flatten()
        .map(|port| format!("{}:{}", port.name.as_deref().unwrap_or_default(), port.port.unwrap_or_default()));
    let ports: Vec<String> = ports.collect();
    format!("{} {} [{}]", slice.address_type, ports.join(" "), members.collect::<Vec<_>>().join(" "))
}

fn describe(plan: &Plan) -> String {
    let all = |slices: &[EndpointSlice]| slices.iter().map(text).collect::<Vec<_>>().join("; ");
    format!("create {} | update {} | delete {}", all(&plan.create), all(&plan.update), plan.delete.join(" "))
}

fn check(before: Option<&Endpoints>, after: Option<&Endpoints>, expected: Expect) {
    let slices: Vec<Arc<EndpointSlice>> = plan(before, &[]).create.into_iter().map(Arc::new).collect();
    expected.assert_eq(&describe(&plan(after, &slices)));
}

fn one(ip: &str, port: i32) -> Endpoints {
    endpoints(&json!({}), &json!([{"addresses": [{"ip": ip}], "ports": [{"port": port}]}]))
}

#[test]
fn addresses_of_all_subsets_with_the_same_ports_and_family_share_a_slice() {
    let many = endpoints(
        &json!({}),
        &json!([
            {"addresses": [{"ip": "10.0.0.2"}, {"ip": "fd00::1"}], "ports": [{"name": "a", "port": 80}]},
            {"addresses": [{"ip": "10.0.0.1"}], "notReadyAddresses": [{"ip": "10.0.0.3"}], "ports": [{"name": "a", "port": 80}]},
            {"addresses": [{"ip": "10.0.0.1"}], "ports": [{"name": "b", "port": 81}]},
            {"notReadyAddresses": [{"ip": "10.0.0.2"}], "ports": [{"name": "a", "port": 80}]},
        ]),
    );
    check(
        None,
        Some(&many),
        expect![
            "create IPv4 a:80 [10.0.0.1 10.0.0.2 10.0.0.3(waiting)]; IPv4 b:81 [10.0.0.1]; IPv6 a:80 [fd00::1] | update  | delete "
        ],
    );
    check(Some(&many), Some(&many), expect!["create  | update  | delete "]);
}

#[test]
fn a_change_rewrites_the_slice_and_another_port_replaces_it() {
    let before = one("10.0.0.1", 80);
    check(Some(&before), Some(&one("10.0.0.2", 80)), expect!["create  | update IPv4 :80 [10.0.0.2] | delete "]);
    check(Some(&before), Some(&one("10.0.0.1", 81)), expect!["create IPv4 :81 [10.0.0.1] | update  | delete db-hnzxj"]);
}

#[test]
fn without_endpoints_or_addresses_the_slices_go() {
    let before = one("10.0.0.1", 80);
    check(Some(&before), None, expect!["create  | update  | delete db-hnzxj"]);
    check(Some(&before), Some(&endpoints(&json!({}), &json!([]))), expect!["create  | update  | delete db-hnzxj"]);
}

#[test]
fn labels_and_annotations_are_copied_but_for_notes_about_the_writing() {
    let metadata = json!({
        "labels": {"app": "db", "service.kubernetes.io/headless": ""},
        "annotations": {"kept": "yes", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
    });
    let plan = plan(Some(&endpoints(&metadata, &json!([{"addresses": [{"ip": "10.0.0.1"}]}]))), &[]);
    let metadata = serde_json::to_value(&plan.create[0].metadata).expect("it is JSON");
    assert_eq!(
        metadata["labels"],
        json!({
            "app": "db", "kubernetes.io/service-name": "db",
            "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
        })
    );
    assert_eq!(metadata["annotations"], json!({"kept": "yes"}));
    assert_eq!(metadata["ownerReferences"][0]["kind"], "Endpoints");
}

#[test]
fn what_a_controller_or_an_election_wrote_is_not_mirrored() {
    for (metadata, expected) in [
        (json!({}), true),
        (json!({"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}}), false),
        (json!({"labels": {"endpointslice.kubernetes.io/skip-mirror": "no"}}), true),
        (json!({"annotations": {"control-plane.alpha.kubernetes.io/leader": "{}"}}), false),
    ] {
        assert_eq!(is_mirrored(&endpoints(&metadata, &json!([]))), expected, "{metadata}");
    }
}
