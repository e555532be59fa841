use std::path::PathBuf;

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::*;
use crate::description::{GroupVersionKind, builtin};

fn findings(value: &Value) -> String {
    let field = |name| value.get(name).and_then(Value::as_str).unwrap_or_default();
    let kind = GroupVersionKind::from_api_version(field("apiVersion"), field("kind"));
    let findings = check(value, kind);
    let refusal = findings.refusal(kind);
    strict_decoding_error(&findings.unknown).into_iter().chain(refusal).collect::<Vec<_>>().join("\n")
}

fn check_findings(mut value: Value, api_version: &str, kind: &str, expected: Expect) {
    value["apiVersion"] = api_version.into();
    value["kind"] = kind.into();
    expected.assert_eq(&findings(&value));
}

#[test]
fn says_what_is_wrong_in_upstreams_words() {
    let deployment = |spec: Value, expected| check_findings(json!({ "spec": spec }), "apps/v1", "Deployment", expected);
    deployment(json!({"replicas": 3}), expect![[""]]);
    deployment(
        json!({"foo": 1, "template": {"spec": {"containers": [{"name": "a"}, {"nam": "b"}]}}}),
        expect![[
            r#"strict decoding error: unknown field "spec.foo", unknown field "spec.template.spec.containers[1].nam""#
        ]],
    );
    deployment(
        json!({"replicas": "3"}),
        expect![[
            r#"Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"#
        ]],
    );
    deployment(
        json!({"replicas": 3.5}),
        expect![[
            r#"Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal number 3.5 into Go struct field DeploymentSpec.spec.replicas of type int32"#
        ]],
    );
    deployment(
        json!({"template": []}),
        expect![[
            r#"Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal array into Go struct field DeploymentSpec.spec.template of type v1.PodTemplateSpec"#
        ]],
    );
    deployment(
        json!({"template": {"spec": {"containers": {}}}}),
        expect![[
            r#"Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container"#
        ]],
    );
    deployment(
        json!({"template": {"spec": {"containers": [{"ports": [{"containerPort": "80"}]}]}}}),
        expect![[
            r#"Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct field ContainerPort.spec.template.spec.containers.ports.containerPort of type int32"#
        ]],
    );
    let pod = |container: Value, expected| {
        check_findings(json!({"spec": {"containers": [container]}}), "v1", "Pod", expected);
    };
    pod(json!({"resources": {"requests": {"cpu": "1", "memory": 5}}}), expect![[""]]);
    pod(
        json!({"resources": {"requests": {"cpu": "much"}}}),
        expect![[
            r#"Pod in version "v1" cannot be handled as a Pod: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"#
        ]],
    );
    check_findings(
        json!({"metadata": {"labels": {"a": 1}}}),
        "v1",
        "Pod",
        expect![[
            r#"Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string"#
        ]],
    );
    check_findings(
        json!({"data": {"a": "!"}}),
        "v1",
        "Secret",
        expect![[r#"Secret in version "v1" cannot be handled as a Secret: illegal base64 data at input byte 0"#]],
    );
    check_findings(
        json!({"spec": {"ports": [{"targetPort": true}]}}),
        "v1",
        "Service",
        expect![[
            r#"Service in version "v1" cannot be handled as a Service: json: cannot unmarshal bool into Go struct field ServicePort.spec.ports.targetPort of type int32"#
        ]],
    );
}

#[test]
fn types_are_called_what_upstream_calls_them() {
    let told = |container: Value| {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [container]}});
        findings(&pod).rsplit_once(" of type ").map(|(_, name)| name.to_owned()).unwrap_or_default()
    };
    for (container, expected) in [
        (json!({"image": 1}), "string"),
        (json!({"imagePullPolicy": 1}), "v1.PullPolicy"),
        (json!({"ports": [{"protocol": []}]}), "v1.Protocol"),
        (json!({"securityContext": {"capabilities": {"add": 1}}}), "[]v1.Capability"),
        (json!({"securityContext": {"capabilities": {"add": [1]}}}), "v1.Capability"),
        (json!({"resources": {"limits": 1}}), "v1.ResourceList"),
    ] {
        assert_eq!(told(container.clone()), expected, "{container}");
    }
    for line in include_str!("../description/named.txt").lines().filter(|line| !line.starts_with('#')) {
        let (definition, fields) = line.split_once(' ').expect("fields");
        let schema = builtin().definition(definition).unwrap_or_else(|| panic!("{definition} is not defined"));
        for field in fields.split(' ').filter_map(|field| field.split('=').next()) {
            assert!(schema.field(field).is_some(), "{definition} {field}");
        }
    }
}

#[test]
fn patched_values_are_taken_over_as_upstream_does() {
    let schema = builtin().schema(GroupVersionKind { group: "apps", version: "v1", kind: "Deployment" });
    let container = |value: Value| json!({"spec": {"template": {"spec": {"containers": [value]}}}});
    let surge = |value: Value| json!({"spec": {"strategy": {"rollingUpdate": {"maxSurge": value}}}});
    let replicas = |value: Value| json!({"spec": {"replicas": value}});
    for (value, expected) in [
        (replicas(json!("x")), "unrecognized type: int32"),
        (replicas(json!(2.5)), "cannot convert float64 to int32"),
        (json!({"spec": "x"}), "cannot restore struct from: string"),
        (json!({"spec": []}), "cannot restore struct from: slice"),
        (container(json!({"imagePullPolicy": 5})), "cannot convert int64 to v1.PullPolicy"),
        (container(json!({"ports": {}})), "cannot restore slice from map"),
        (
            container(json!({"resources": {"limits": {"cpu": true}}})),
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (surge(json!(true)), "json: cannot unmarshal bool into Go value of type int32"),
        (surge(json!(1.5)), "json: cannot unmarshal number 1.5 into Go value of type int32"),
    ] {
        let told = convert(&mut value.clone(), schema.expect("known"));
        assert_eq!(told.expect_err("is of a wrong type"), expected, "{value}");
    }
    for (mut value, expected) in [
        (replicas(json!(2.0)), replicas(json!(2))),
        (replicas(json!(4_294_967_297_u64)), replicas(json!(1))),
        (replicas(json!(1e19)), replicas(json!(0))),
        (surge(json!(2.0)), surge(json!(2))),
        (json!({"unheard": "x"}), json!({"unheard": "x"})),
    ] {
        convert(&mut value, schema.expect("known")).expect("fits");
        assert_eq!(value, expected);
    }
}

#[test]
fn prunes_to_one_form() {
    let mut pod = json!({
        "metadata": {"creationTimestamp": null, "foo": 1, "labels": {"a": null},
            "deletionTimestamp": "2026-01-01T02:00:00+01:00"},
        "spec": {"nodeName": null, "containers": [{
            "name": "a", "bad": {}, "resources": {"limits": {"cpu": 0.5, "memory": "1024Mi", "x": "10"}}}]}
    });
    let kind = GroupVersionKind { group: "", version: "v1", kind: "Pod" };
    drop(prune(&mut pod, builtin().schema(kind).expect("known")));
    assert_eq!(
        pod,
        json!({
            "metadata": {"labels": {"a": ""}, "deletionTimestamp": "2026-01-01T01:00:00Z"},
            "spec": {"containers": [{
                "name": "a", "resources": {"limits": {"cpu": "500m", "memory": "1Gi", "x": "10"}}}]}
        })
    );
}

#[test]
fn knows_when_there_is_nothing_to_prune() {
    let kind = GroupVersionKind { group: "", version: "v1", kind: "Pod" };
    let place = builtin().schema(kind).expect("known");
    for (pod, expected) in [
        (json!({"metadata": {"labels": {"a": "b"}, "creationTimestamp": "2026-01-01T01:00:00Z"}}), false),
        (json!({"spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": "500m"}}}]}}), false),
        (json!({"metadata": {"creationTimestamp": "2026-01-01T02:00:00+01:00"}}), true),
        (json!({"metadata": {"creationTimestamp": null}}), true),
        (json!({"metadata": {"labels": {"a": null}}}), true),
        (json!({"metadata": {"managedFields": [{"fieldsV1": null}]}}), true),
        (json!({"spec": {"foo": 1}}), true),
        (json!({"spec": {"containers": [null]}}), true),
        (json!({"spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": 1}}}]}}), true),
        (json!({"spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": "1000m"}}}]}}), true),
    ] {
        assert_eq!(check_at(&pod, place).to_prune, expected, "{pod}");
        let mut pruned = pod.clone();
        drop(prune(&mut pruned, place));
        assert_eq!(pruned != pod, expected, "{pod}");
    }
}

#[test]
fn drops_what_upstreams_types_cannot_tell_from_nothing() {
    let container = json!({"name": "a", "args": [], "command": ["", "x"], "env": [{"name": "A", "value": ""}], "envFrom": [],
        "tty": false, "stdin": false, "resources": {}, "workingDir": "", "securityContext": {"privileged": false},
        "ports": [{"containerPort": 80, "hostPort": 0, "name": ""}], "volumeMounts": [], "livenessProbe": {"periodSeconds": 0}});
    let cases = [
        (
            "apps/v1",
            "Deployment",
            json!({"metadata": {"name": "a", "labels": {}, "annotations": {"a": ""}, "ownerReferences": [], "finalizers": []},
                "spec": {"replicas": 0, "minReadySeconds": 0, "paused": false, "revisionHistoryLimit": 0, "selector": {"matchLabels": {}},
                    "strategy": {}, "template": {"metadata": {"annotations": {}}, "spec": {
                        "affinity": {}, "containers": [container], "enableServiceLinks": false, "hostNetwork": false,
                        "imagePullSecrets": [], "initContainers": [], "nodeSelector": {}, "securityContext": {}, "tolerations": [],
                        "volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "configMap": {"name": "", "items": []}}]}}},
                "status": {"replicas": 0, "conditions": []}}),
            json!({"metadata": {"name": "a", "annotations": {"a": ""}},
                "spec": {"replicas": 0, "revisionHistoryLimit": 0, "selector": {}, "strategy": {},
                    "template": {"metadata": {}, "spec": {
                        "affinity": {}, "containers": [{"name": "a", "command": ["", "x"], "env": [{"name": "A"}], "resources": {},
                            "securityContext": {"privileged": false}, "ports": [{"containerPort": 80}], "livenessProbe": {}}],
                        "enableServiceLinks": false, "securityContext": {},
                        "volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "configMap": {}}]}}},
                "status": {}}),
        ),
        (
            "v1",
            "Service",
            json!({"spec": {"externalIPs": [], "externalName": "", "publishNotReadyAddresses": false, "selector": {},
                "allocateLoadBalancerNodePorts": false, "ports": [{"port": 80, "nodePort": 0}], "ipFamilies": []},
                "status": {"loadBalancer": {"ingress": []}}}),
            json!({"spec": {"allocateLoadBalancerNodePorts": false, "ports": [{"port": 80}]}, "status": {"loadBalancer": {}}}),
        ),
        ("v1", "ConfigMap", json!({"data": {}, "binaryData": {}, "immutable": false}), json!({"immutable": false})),
        (
            "v1",
            "ConfigMap",
            json!({"data": {"a": ""}, "binaryData": {"b": ""}}),
            json!({"data": {"a": ""}, "binaryData": {"b": ""}}),
        ),
        // Always shown, whatever is in it.
        ("rbac.authorization.k8s.io/v1", "Role", json!({"rules": []}), json!({"rules": []})),
        (
            "apps/v1",
            "ReplicaSet",
            json!({"status": {"replicas": 0, "readyReplicas": 0}}),
            json!({"status": {"replicas": 0}}),
        ),
        (
            "policy/v1",
            "PodDisruptionBudget",
            json!({"spec": {"selector": {}, "minAvailable": 0}, "status": {"currentHealthy": 0, "observedGeneration": 0}}),
            json!({"spec": {"selector": {}, "minAvailable": 0}, "status": {"currentHealthy": 0}}),
        ),
        (
            "networking.k8s.io/v1",
            "NetworkPolicy",
            json!({"spec": {"podSelector": {}, "ingress": [], "policyTypes": []}}),
            json!({"spec": {"podSelector": {}}}),
        ),
    ];
    for (api_version, kind, given, expected) in cases {
        let place = builtin().schema(GroupVersionKind::from_api_version(api_version, kind)).expect("known");
        let mut pruned = given.clone();
        assert_eq!(check_at(&given, place).to_prune, given != expected, "{kind}");
        drop(prune(&mut pruned, place));
        assert_eq!(pruned, expected, "{kind}");
        assert!(!check_at(&pruned, place).to_prune, "{kind}");
    }
}

/// The published example of every served kind fits its schema and survives pruning.
#[test]
fn published_examples_have_no_findings() {
    let Ok(folder) = std::env::var("PORTOLAN_KUBERNETES_FIXTURES") else { return };
    let folder = PathBuf::from(folder);
    assert!(folder.is_dir(), "PORTOLAN_KUBERNETES_FIXTURES is not a folder: {}", folder.display());
    // Groups that are not part of the published examples.
    let others = ["apiextensions.k8s.io", "apiregistration.k8s.io", "metrics.k8s.io", "registry.portolan.dev"];
    for resource in builtin().resources().filter(|resource| !others.contains(&&*resource.group)) {
        let group = if resource.group.is_empty() { "core" } else { &*resource.group };
        let file = folder.join(format!("{group}.{}.{}.json", resource.version, resource.kind));
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut value: Value = serde_json::from_str(&text).expect("the example is JSON");
        assert_eq!(findings(&value), "", "{}", file.display());
        let original = value.clone();
        let place = builtin().schema(resource.group_version_kind()).expect("known");
        drop(prune(&mut value, place));
        fill(&mut value, place);
        fill_status(&mut value, place);
        assert_eq!(value, original, "{}", file.display());
    }
}

#[test]
fn what_upstream_always_shows_is_filled_in() {
    let cases = [
        ("v1", "Secret", json!({}), json!({"metadata": {}})),
        ("apps/v1", "Deployment", json!({"metadata": {}, "status": null}), json!({"metadata": {}, "status": {}})),
        (
            "storage.k8s.io/v1",
            "CSIDriver",
            json!({"spec": {"tokenRequests": [{"expirationSeconds": 5}]}}),
            json!({"metadata": {}, "spec": {"tokenRequests": [{"audience": "", "expirationSeconds": 5}]}}),
        ),
        (
            "storage.k8s.io/v1",
            "CSINode",
            json!({"spec": {"drivers": [{"name": "d", "nodeID": "n"}]}}),
            json!({"metadata": {}, "spec": {"drivers": [{"name": "d", "nodeID": "n", "topologyKeys": null}]}}),
        ),
        ("rbac.authorization.k8s.io/v1", "Role", json!({}), json!({"rules": null})),
        ("rbac.authorization.k8s.io/v1", "Role", json!({"rules": []}), json!({"rules": []})),
        (
            "v1",
            "PersistentVolumeClaim",
            json!({"spec": {"dataSource": {"kind": "K", "name": "n"}}, "status": {}}),
            json!({
                "metadata": {}, "spec": {"dataSource": {"apiGroup": null, "kind": "K", "name": "n"}, "resources": {}},
                "status": {},
            }),
        ),
        (
            "apps/v1",
            "StatefulSet",
            json!({"status": {"conditions": [{}]}}),
            json!({
                "metadata": {}, "spec": {
                    "selector": null, "serviceName": "",
                    "template": {"metadata": {}, "spec": {"containers": null}}, "updateStrategy": {}
                },
                "status": {
                    "availableReplicas": 0, "replicas": 0,
                    "conditions": [{"lastTransitionTime": null, "status": "", "type": ""}],
                },
            }),
        ),
    ];
    for (api_version, kind, given, expected) in cases {
        let place = builtin().schema(GroupVersionKind::from_api_version(api_version, kind)).expect("known");
        let mut filled = given.clone();
        fill(&mut filled, place);
        let status = given.get("status").filter(|status| !status.is_null());
        assert_eq!(filled.get("status").is_some(), status.is_some(), "{kind}: a status belongs to who writes it");
        fill_status(&mut filled, place);
        for (field, expected) in expected.as_object().expect("an object") {
            assert_eq!(filled[field], *expected, "{kind} {field}");
        }
    }
}

#[test]
fn empty_lists_are_none_once_they_were_stored() {
    let place = builtin().schema(GroupVersionKind::from_api_version("rbac.authorization.k8s.io/v1", "ClusterRole"));
    let mut object = json!({"rules": [{"verbs": []}, {"verbs": ["get"]}]});
    drop_empty_lists(&mut object, place.expect("known"));
    assert_eq!(object, json!({"rules": [{"verbs": null}, {"verbs": ["get"]}]}));
    object["rules"] = json!([]);
    drop_empty_lists(&mut object, place.expect("known"));
    assert_eq!(object, json!({"rules": null}));
}

#[test]
fn empty_lists_and_maps_that_are_dropped_can_be_shown() {
    let place = builtin().schema(GroupVersionKind::from_api_version("v1", "Pod")).expect("known");
    let given = json!({
        "metadata": {"labels": {}, "name": "a"},
        "spec": {"nodeSelector": {}, "hostPID": false, "containers": [{"name": "a", "args": []}, {"name": "b"}]},
    });
    let mut pruned = given.clone();
    let emptied = prune(&mut pruned, place);
    assert_eq!(pruned["spec"], json!({"containers": [{"name": "a"}, {"name": "b"}]}));
    let mut expected = given;
    expected["spec"].as_object_mut().map(|spec| spec.remove("hostPID"));
    assert_eq!(emptied.restored(&pruned), Some(expected));
    // What took the place of a list stays, and so does an object that has none of its places.
    let other = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"nodeSelector": {"a": "b"}}});
    assert_eq!(emptied.restored(&other), None);
    assert_eq!(prune(&mut pruned, place).restored(&pruned), None);
}

#[test]
fn the_first_misfit_is_that_of_the_body() {
    let schema = builtin().schema(GroupVersionKind { group: "", version: "v1", kind: "Service" }).expect("known");
    let cases = [
        (
            &br#"{"spec": {"type": 5, "clusterIP": []}, "kind": 1}"#[..],
            "number into Go struct field ServiceSpec.spec.type",
        ),
        (br#"{"spec": {"ports": [{"port": 1e400}, {"port": "x"}]}}"#, "number 1e400 into Go struct field ServicePort"),
        (br#"{"spec": {"ports": {}, "selector": {"a": 1}}}"#, "object into Go struct field ServiceSpec.spec.ports"),
        (b"{\"spec\": {\"ports\": \"\xff\"}}", "string into Go struct field ServiceSpec.spec.ports"),
        // Decoders of single types end the reading.
        (br#"{"spec": {"type": 5, "ports": [{"targetPort": true}]}}"#, "bool into Go struct field ServicePort"),
    ];
    for (body, expected) in cases {
        let told = first_misfit(body, schema).unwrap_or_default();
        assert!(told.starts_with(&format!("json: cannot unmarshal {expected}")), "{told}");
    }
    for fine in [&br#"{"spec": {"ports": [{"port": 1, "targetPort": "x"}], "type": null}, "nope": 1e400}"#[..], b"{"] {
        assert_eq!(first_misfit(fine, schema), None);
    }
}

#[test]
fn problems_of_a_body_come_in_its_order() {
    let schema =
        builtin().schema(GroupVersionKind { group: "apps", version: "v1", kind: "Deployment" }).expect("known");
    let body = br#"{"unknown1": "val", "unknownDupe": 1, "unknownDupe": 2, "spec": {"paused": true, "paused": false,
        "template": {"metadata": {"labels": {"a": "b", "a": "c"}, "labelz": {}}, "spec": {"containers": [
            {"name": "a", "unknownNested": {"name": 1, "name": 2}, "imagePullPolicy": "x", "imagePullPolicy": "y"}]}}},
        "apiVersion": "apps/v1", "apiVersion": "apps/v1"}"#;
    let expected = [
        r#"unknown field "unknown1""#,
        r#"unknown field "unknownDupe""#,
        r#"duplicate field "spec.paused""#,
        r#"duplicate field "spec.template.metadata.labels.a""#,
        r#"unknown field "spec.template.metadata.labelz""#,
        r#"unknown field "spec.template.spec.containers[0].unknownNested""#,
        r#"duplicate field "spec.template.spec.containers[0].imagePullPolicy""#,
        r#"duplicate field "apiVersion""#,
    ];
    assert_eq!(strict_problems(body, schema), expected);
    assert_eq!(strict_problems(b"{\"spec\": [", schema), [""; 0]);
    let error = strict_decoding_error(&["unknown field \"a\"".into(), "line 3: key \"b\" already set in map".into()]);
    let expected =
        "strict decoding error: yaml: unmarshal errors:\n  line 3: key \"b\" already set in map, unknown field \"a\"";
    assert_eq!(error.as_deref(), Some(expected));
}
