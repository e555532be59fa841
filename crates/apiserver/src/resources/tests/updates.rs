use expect_test::expect;

use portolan_api::annotations::CREATED_REVISION;
use serde_json::{Value, json};

use super::{check_update, check_update_of, context, of};

#[test]
fn pods() {
    let old = "{spec: {containers: [{name: a, image: x}]}}";
    check_update(
        "pods",
        &[
            (
                old,
                "{spec: {containers: [{name: a, image: y}], activeDeadlineSeconds: 5, tolerations: [{key: k, operator: Exists}]}}",
            ),
            (old, "{spec: {containers: [{name: b, image: x}], nodeName: n}}"),
            (old, "{spec: {containers: [{name: a, image: x}, {name: b, image: x}]}}"),
            (
                "{spec: {activeDeadlineSeconds: 5, tolerations: [{key: k, operator: Exists}], containers: [{name: a, image: x}]}}",
                old,
            ),
        ],
        expect![[r#"
            ok
            spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)
            @@ -3,7 +3,7 @@
              "InitContainers": null,
              "Containers": [
               {
            -   "Name": "a",
            +   "Name": "b",
                "Image": "x",
                "Command": null,
                "Args": null,
            @@ -42,7 +42,7 @@
              "NodeSelector": null,
              "ServiceAccountName": "",
              "AutomountServiceAccountToken": null,
            - "NodeName": "",
            + "NodeName": "n",
              "SecurityContext": {
               "HostNetwork": false,
               "HostPID": false,

            spec.containers: Forbidden: pod updates may not add or remove containers
            spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value
            spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"#]],
    );
}

#[test]
fn volumes() {
    let old = "{spec: {accessModes: [ReadWriteOnce], capacity: {storage: 1Gi}, hostPath: {path: /a}}}";
    check_update(
        "persistentvolumes",
        &[
            (old, "{spec: {accessModes: [ReadWriteOnce], capacity: {storage: 2Gi}, hostPath: {path: /a}}}"),
            (
                old,
                "{spec: {accessModes: [ReadWriteOnce], capacity: {storage: 1Gi}, volumeMode: Block, hostPath: {path: /b}}}",
            ),
        ],
        expect![[r#"
            ok
            spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation
            @@ -2,7 +2,7 @@
              "GCEPersistentDisk": null,
              "AWSElasticBlockStore": null,
              "HostPath": {
            -  "Path": "/a",
            +  "Path": "/b",
               "Type": ""
              },
              "Glusterfs": null,

            volumeMode: Invalid value: "Block": field is immutable"#]],
    );
}

#[test]
fn immutable_fields() {
    check_update(
        "apps/deployments",
        &[(
            "{spec: {selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: a}}, spec: {containers: [{name: a, image: x}]}}}}",
            "{spec: {selector: {matchLabels: {app: b}}, template: {metadata: {labels: {app: b}}, spec: {containers: [{name: a, image: x}]}}}}",
        )],
        expect![[r#"spec.selector: Invalid value: {"matchLabels":{"app":"b"}}: field is immutable"#]],
    );
    check_update(
        "services",
        &[
            (
                "{spec: {clusterIP: 10.43.0.5, ports: [{port: 80}]}}",
                "{spec: {clusterIP: 10.43.0.6, ports: [{port: 80}]}}",
            ),
            ("{spec: {clusterIP: 10.43.0.5, ports: [{port: 80}]}}", "{spec: {ports: [{port: 80}]}}"),
            ("{spec: {clusterIP: 10.43.0.5, ports: [{port: 80}]}}", "{spec: {type: ExternalName, externalName: a.b}}"),
            (
                "{spec: {type: NodePort, clusterIP: 10.43.0.5, externalTrafficPolicy: Local, ports: [{port: 80, nodePort: 30000}]}}",
                "{spec: {type: ExternalName, externalName: a.b, clusterIP: 10.43.0.5, externalTrafficPolicy: Local, ports: [{port: 80, nodePort: 30000}]}}",
            ),
            (
                "{spec: {type: NodePort, clusterIP: 10.43.0.5, externalTrafficPolicy: Local, ports: [{port: 80, nodePort: 30000}]}}",
                "{spec: {clusterIP: 10.43.0.5, externalTrafficPolicy: Cluster, ports: [{port: 80, nodePort: 30001}]}}",
            ),
        ],
        expect![[r#"
            spec.clusterIPs[0]: Invalid value: ["10.43.0.6"]: may not change once set
            ok
            ok
            ok
            spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'
            spec.externalTrafficPolicy: Invalid value: "Cluster": may only be set for externally-accessible services"#]],
    );
    check_update(
        "configmaps",
        &[("{immutable: true, data: {a: b}}", "{data: {a: c}}")],
        expect![[r#"
        immutable: Forbidden: field is immutable when `immutable` is set
        data: Forbidden: field is immutable when `immutable` is set"#]],
    );
    check_update(
        "secrets",
        &[("{type: a}", "{type: b}")],
        expect![[r#"type: Invalid value: "b": field is immutable"#]],
    );
    check_update(
        "rbac.authorization.k8s.io/rolebindings",
        &[("{roleRef: {kind: Role, name: a}}", "{roleRef: {kind: Role, name: b}}")],
        expect![[
            r#"roleRef: Invalid value: {"APIGroup":"rbac.authorization.k8s.io","Kind":"Role","Name":"b"}: cannot change roleRef"#
        ]],
    );
    check_update(
        "apps/statefulsets",
        &[(
            "{spec: {serviceName: a, selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: a}}, spec: {containers: [{name: a, image: x}]}}}}",
            "{spec: {serviceName: b, replicas: 3, selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: a}}, spec: {containers: [{name: a, image: x}]}}}}",
        )],
        expect![
            "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
        ],
    );
    check_update(
        "persistentvolumeclaims",
        &[(
            "{spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}",
            "{spec: {accessModes: [ReadWriteMany], resources: {requests: {storage: 2Gi}}}}",
        )],
        expect![[r#"
            spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims
            @@ -1,12 +1,12 @@
             {
              "AccessModes": [
            -  "ReadWriteOnce"
            +  "ReadWriteMany"
              ],
              "Selector": null,
              "Resources": {
               "Limits": null,
               "Requests": {
            -   "storage": "1Gi"
            +   "storage": "2Gi"
               }
              },
              "VolumeName": "",
        "#]],
    );
}

#[test]
fn ephemeral_containers_can_be_added_and_nothing_else() {
    let old = "{spec: {containers: [{name: a, image: x}], ephemeralContainers: [{name: e, image: y}]}}";
    check_update_of(
        "pods",
        "ephemeralcontainers",
        &[
            (
                old,
                "{spec: {containers: [{name: a, image: x}], ephemeralContainers: [{name: f, image: y, targetContainerName: a}, {name: e, image: y}]}}",
            ),
            // Everything else is kept as it was.
            (
                old,
                "{spec: {nodeName: other, containers: [{name: b, image: z}], ephemeralContainers: [{name: e, image: y}]}}",
            ),
            (old, "{spec: {containers: [{name: a, image: x}]}}"),
            (old, "{spec: {containers: [{name: a, image: x}], ephemeralContainers: [{name: e, image: z}]}}"),
        ],
        expect![[r#"
            ok
            ok
            spec.ephemeralContainers: Forbidden: existing ephemeral containers "e" may not be removed

            spec.ephemeralContainers: Forbidden: existing ephemeral containers "e" may not be changed
            @@ -1,6 +1,6 @@
             {
              "Name": "e",
            - "Image": "y",
            + "Image": "z",
              "Command": null,
              "Args": null,
              "WorkingDir": "",
        "#]],
    );
}

#[test]
fn a_resize_changes_processor_and_memory_and_nothing_else() {
    let pod = |resources: &str| {
        format!(
            "{{spec: {{containers: [{{name: a, image: x, resources: {resources}}}], initContainers: [{{name: i, image: x}}, {{name: s, image: x, restartPolicy: Always}}]}}}}"
        )
    };
    let old = pod("{requests: {cpu: 1, memory: 1Gi, a.b/c: 1}, limits: {cpu: 2, a.b/c: 1}}");
    let cases = [
        pod("{requests: {cpu: 500m, memory: 2Gi, a.b/c: 1}, limits: {cpu: 3, a.b/c: 1}}"),
        pod("{requests: {cpu: 500m, memory: 2Gi, a.b/c: 1}, limits: {cpu: 3, memory: 3Gi, a.b/c: 1}}"),
        pod("{requests: {cpu: 1, a.b/c: 1}, limits: {a.b/c: 1}}"),
        pod("{requests: {cpu: 1, memory: 1Gi, a.b/c: 2}, limits: {cpu: 2, a.b/c: 2}}"),
        pod("{requests: {cpu: 2, memory: 1Gi, a.b/c: 1}, limits: {cpu: 2, memory: 1Gi, a.b/c: 1}}"),
        pod("{}"),
        old.replace("name: s, image: x,", "name: s, image: x, resources: {requests: {cpu: 1}},"),
        old.replace("name: i, image: x", "name: i, image: x, resources: {requests: {cpu: 1}}"),
        old.replace("name: a, image: x", "name: a, image: other"),
        old.replace("name: a,", "name: b,"),
        old.replace("spec: {", "spec: {resources: {requests: {cpu: 1}}, "),
    ];
    let cases: Vec<(&str, &str)> = cases.iter().map(|new| (old.as_str(), new.as_str())).collect();
    let whole = |resources: &str| format!("{{spec: {{{resources}containers: [{{name: a, image: x}}]}}}}");
    let old = whole(
        "resources: {requests: {cpu: 2, memory: 1Gi, hugepages-2Mi: 2Mi}, limits: {cpu: 4, hugepages-2Mi: 2Mi}}, ",
    );
    let of_pod = [
        old.replace("cpu: 2", "cpu: 3").replace("cpu: 4", "cpu: 5"),
        old.replace("cpu: 2, ", ""),
        old.replace(", memory: 1Gi", ""),
        old.replace("hugepages-2Mi: 2Mi", "hugepages-2Mi: 4Mi"),
        whole(""),
    ];
    let cases: Vec<(&str, &str)> =
        cases.into_iter().chain(of_pod.iter().map(|new| (old.as_str(), new.as_str()))).collect();
    check_update_of(
        "pods",
        "resize",
        &cases,
        expect![[r#"
            ok
            ok
            spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed
            spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed
            spec: Forbidden: only cpu and memory resources are mutable
            ok
            spec: Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing
            spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed
            spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed
            spec: Forbidden: only cpu and memory resources are mutable
            ok
            ok
            ok
            spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize
            ok
            ok
            ok
            spec.resources.requests: Forbidden: pod-level resource requests cannot be removed
            spec: Forbidden: only cpu and memory resources are mutable at pod-level
            spec: Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing
            spec.resources: Forbidden: pod-level resources cannot be removed"#]],
    );
}

/// Registries show when something was registered, whoever changed it since.
#[test]
fn what_registered_remembers_when_it_came_into_being() {
    let of_user = |noted: &str| json!({CREATED_REVISION: noted});
    // Annotations that are stored at revision 7, what the client sends, whether that changes anything else, and what is
    // written.
    let cases = [
        (Value::Null, Value::Null, false, Value::Null),
        (Value::Null, Value::Null, true, of_user("7")),
        (Value::Null, of_user("3"), true, of_user("7")),
        (Value::Null, json!({"a": "b"}), false, json!({"a": "b", CREATED_REVISION: "7"})),
        (of_user("2"), Value::Null, false, of_user("2")),
        (of_user("2"), of_user("9"), true, of_user("2")),
    ];
    for resource in ["registry.portolan.dev/serviceinstances", "registry.portolan.dev/externalnodes"] {
        for (stored, sent, changes, written) in &cases {
            for subresource in ["", "status"] {
                let object = |annotations: &Value, changed: bool| {
                    let mut metadata = json!({"name": "a"});
                    if !annotations.is_null() {
                        metadata["annotations"] = annotations.clone();
                    }
                    let value = i32::from(changed).to_string();
                    json!({"metadata": metadata, "spec": {"address": value}, "status": {"reason": value}})
                };
                let mut old = object(stored, false);
                old["metadata"]["resourceVersion"] = "7".into();
                let mut new = object(sent, *changes);
                of(resource).prepare_for_update(&mut new, &old, &context(subresource));
                assert_eq!(&new["metadata"]["annotations"], written, "{resource} {subresource} {stored} {sent}");
            }
        }
        let mut new = json!({"metadata": {"name": "a", "annotations": of_user("3")}, "spec": {}});
        of(resource).prepare_for_create(&mut new, &context(""));
        assert_eq!(new["metadata"]["annotations"], json!({}), "{resource}");
    }
}
