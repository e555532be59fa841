//! What a run of upstream's own strategies (1.36.3) says of objects at the edges of what is allowed.

use expect_test::expect;

use super::refusals::check_all;
use super::{check_stored, check_update};
use crate::strategy::Generations;

const TEMPLATE: &str = "template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: x}]}}";
const LABELLED: &str = "selector: {matchLabels: {a: b}}";
const CLAIM: &str = "spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}";

fn workload(fields: &str) -> String {
    format!("{{metadata: {{name: a}}, spec: {{{fields}}}}}")
}

#[test]
fn selectors_of_workloads() {
    let selectors = [
        "selector: {matchLabels: {}}",
        "selector: {}",
        "selector: {matchLabels: {a: 'b c', 'a b': c}}",
        "selector: {matchExpressions: [{key: a, operator: Foo}]}",
        "revisionHistoryLimit: 1",
    ];
    let objects = selectors.map(|selector| workload(&format!("{selector}, {TEMPLATE}")));
    check_all(
        "apps/replicasets",
        &objects,
        expect![[r#"
        spec.selector: Invalid value: {}: empty selector is invalid for deployment
        spec.selector: Invalid value: {}: empty selector is invalid for deployment
        spec.selector.matchLabels: Invalid value: "b c": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')
        spec.selector.matchLabels: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        spec.selector: Invalid value: {"matchLabels":{"a":"b c","a b":"c"}}: invalid label selector
        spec.selector.matchExpressions[0].operator: Invalid value: "Foo": not a valid selector operator
        spec.selector: Invalid value: {"matchExpressions":[{"key":"a","operator":"Foo"}]}: invalid label selector
        spec.selector: Required value
        spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`"#]],
    );
    check_all(
        "apps/deployments",
        &objects,
        expect![[r#"
        spec.selector: Invalid value: {}: empty selector is invalid for deployment
        spec.selector: Invalid value: {}: empty selector is invalid for deployment
        spec.selector.matchLabels: Invalid value: "b c": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')
        spec.selector.matchLabels: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        spec.selector: Invalid value: {"matchLabels":{"a":"b c","a b":"c"}}: invalid label selector
        spec.selector.matchExpressions[0].operator: Invalid value: "Foo": not a valid selector operator
        spec.selector: Invalid value: {"matchExpressions":[{"key":"a","operator":"Foo"}]}: invalid label selector
        spec.selector: Required value
        spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`"#]],
    );
    check_all(
        "apps/statefulsets",
        &objects,
        expect![[r#"
        spec.selector: Invalid value: {}: empty selector is invalid for statefulset
        spec.selector: Invalid value: {}: empty selector is invalid for statefulset
        spec.selector.matchLabels: Invalid value: "b c": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')
        spec.selector.matchLabels: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        spec.selector: Invalid value: {"matchLabels":{"a":"b c","a b":"c"}}
        spec.selector.matchExpressions[0].operator: Invalid value: "Foo": not a valid selector operator
        spec.selector: Invalid value: {"matchExpressions":[{"key":"a","operator":"Foo"}]}
        spec.selector: Required value
        spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`"#]],
    );
    check_all(
        "apps/daemonsets",
        &objects,
        expect![[r#"
        spec.selector: Invalid value: {}: empty selector is invalid for daemonset
        spec.selector: Invalid value: {}: empty selector is invalid for daemonset
        spec.selector.matchLabels: Invalid value: "b c": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')
        spec.selector.matchLabels: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        spec.selector.matchExpressions[0].operator: Invalid value: "Foo": not a valid selector operator
        spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`"#]],
    );
    let bare = "template: {spec: {containers: [{name: a, image: x}]}}";
    check_all(
        "apps/replicasets",
        &[
            workload(&format!("{LABELLED}, {bare}")),
            workload(
                "selector: {matchLabels: {a: b}}, template: {metadata: {labels: {}}, spec: {containers: [{name: a, image: x}]}}",
            ),
        ],
        expect![[r#"
            spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`
            spec.template.metadata.labels: Invalid value: {}: `selector` does not match template `labels`"#]],
    );
}

#[test]
fn strategies_of_workloads() {
    let with = |fields: &str| workload(&format!("{LABELLED}, {TEMPLATE}, {fields}"));
    check_all(
        "apps/deployments",
        &[with("strategy: {type: Foo}"), with("strategy: {type: Foo, rollingUpdate: {maxSurge: 1}}")],
        expect![[r#"
            spec.strategy: Unsupported value: {"Type":"Foo","RollingUpdate":null}: supported values: "Recreate", "RollingUpdate"
            spec.strategy: Unsupported value: {"Type":"Foo","RollingUpdate":{"MaxUnavailable":0,"MaxSurge":1}}: supported values: "Recreate", "RollingUpdate""#]],
    );
    check_all(
        "apps/daemonsets",
        &[with("updateStrategy: {type: Foo}")],
        expect![[
            r#"spec.updateStrategy: Unsupported value: {"Type":"Foo","RollingUpdate":null}: supported values: "RollingUpdate", "OnDelete""#
        ]],
    );
    let named = |name: &str| format!("volumeClaimTemplates: [{{{name}{CLAIM}}}]");
    check_all(
        "apps/statefulsets",
        &[
            with("podManagementPolicy: Foo, updateStrategy: {type: Foo}"),
            with(&named("")),
            with(&named("metadata: {name: A_b}, ")),
        ],
        expect![[r#"
            spec.podManagementPolicy: Invalid value: "Foo": must be 'OrderedReady' or 'Parallel'
            spec.updateStrategy: Invalid value: {"Type":"Foo","RollingUpdate":null}: must be 'RollingUpdate' or 'OnDelete'
            spec.template.spec.volumes[0].name: Required value
            spec.template.spec.volumes[0].persistentVolumeClaim.claimName: Required value
            spec.template.spec.volumes[0].name: Invalid value: "A_b": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"#]],
    );
}

#[test]
fn templates() {
    let template = "template: {metadata: {labels: {a: b, f: 'g h'}, annotations: {'x y': z}}, spec: {restartPolicy: Never, activeDeadlineSeconds: 3, containers: [{name: a, image: x}]}}";
    let object = [workload(&format!("{LABELLED}, {template}"))];
    check_all(
        "apps/deployments",
        &object,
        expect![[r#"
        spec.template.labels: Invalid value: "g h": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')
        spec.template.annotations: Invalid value: "x y": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"
        spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported"#]],
    );
    check_all(
        "apps/daemonsets",
        &object,
        expect![[r#"
        spec.template.labels: Invalid value: "g h": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')
        spec.template.annotations: Invalid value: "x y": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"
        spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in DaemonSet is not Supported"#]],
    );
    check_all(
        "apps/statefulsets",
        &object,
        expect![[r#"
        spec.template.labels: Invalid value: "g h": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')
        spec.template.annotations: Invalid value: "x y": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"
        spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in StatefulSet is not Supported
        spec.template.labels: Invalid value: "g h": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')
        spec.template.annotations: Invalid value: "x y": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"#]],
    );
}

#[test]
fn autoscalers() {
    let with = |target: &str, rest: &str| {
        format!(
            "{{apiVersion: autoscaling/v2, metadata: {{name: a}}, spec: {{maxReplicas: 3, scaleTargetRef: {{{target}}}, {rest}}}}}"
        )
    };
    let (target, none) = ("kind: D, name: d, apiVersion: apps/v1", "metrics: []");
    check_all(
        "autoscaling/horizontalpodautoscalers",
        &[
            with("kind: D, name: d, apiVersion: v1", none),
            with("kind: a/b, name: d", none),
            with("kind: D, name: d, apiVersion: a/b/c", none),
            with("kind: ReplicationController, name: d, apiVersion: v1", none),
            with(target, "metrics: [{type: Object, object: {metric: {name: x}, target: {type: Value, value: '1'}}}]"),
            with(
                target,
                "metrics: [{type: Object, object: {describedObject: {kind: a/b, name: c/d, apiVersion: a/b/c}, metric: {name: x/y}, target: {type: Value, value: '-1'}}}]",
            ),
            with(target, "metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization}}}]"),
            with(
                target,
                "metrics: [{type: Foo}, {type: ''}, {type: Pods}, {type: Pods, pods: {metric: {}, target: {}}}]",
            ),
            with(
                target,
                "metrics: [{type: External, external: {metric: {name: x}, target: {type: Foo, value: '1', averageValue: '0'}}}]",
            ),
            with(
                target,
                "metrics: [{type: ContainerResource, containerResource: {name: foo, container: '', target: {type: Utilization, averageUtilization: 0, averageValue: '1'}}}]",
            ),
            with(
                target,
                "metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 3}}, pods: {metric: {name: x}, target: {type: Value, averageValue: '1'}}}]",
            ),
            with(target, "behavior: {scaleUp: {policies: []}, scaleDown: {policies: []}}"),
            with(target, "behavior: {scaleUp: {selectPolicy: Foo, tolerance: '-1', policies: [{type: Foo}]}}"),
        ],
        expect![[r#"
            spec.scaleTargetRef.apiVersion: Invalid value: "v1": apiVersion must specify API group
            spec.scaleTargetRef.kind: Invalid value: "a/b": may not contain '/'
            spec.scaleTargetRef.apiVersion: Invalid value: "": apiVersion must specify API group
            spec.scaleTargetRef.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c
            ok
            spec.metrics[0].object.describedObject.kind: Required value
            spec.metrics[0].object.describedObject.name: Required value
            spec.metrics[0].object.describedObject.kind: Invalid value: "a/b": may not contain '/'
            spec.metrics[0].object.describedObject.name: Invalid value: "c/d": may not contain '/'
            spec.metrics[0].object.describedObject.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c
            spec.metrics[0].object.metric.name: Invalid value: "x/y": may not contain '/'
            spec.metrics[0].object.target.value: Invalid value: "-1": must be positive
            spec.metrics[0].resource.target.averageUtilization: Required value: must set either a target raw value or a target utilization
            spec.metrics[0].type: Unsupported value: "Foo": supported values: "ContainerResource", "External", "Object", "Pods", "Resource"
            spec.metrics[0].type: Unsupported value: "Foo": supported values: "ContainerResource", "External", "Object", "Pods", "Resource"
            spec.metrics[1].type: Required value: must specify a metric source type
            spec.metrics[1].type: Unsupported value: "": supported values: "ContainerResource", "External", "Object", "Pods", "Resource"
            spec.metrics[1].type: Unsupported value: "": supported values: "ContainerResource", "External", "Object", "Pods", "Resource"
            spec.metrics[2].pods: Required value: must populate information for the given metric source
            spec.metrics[3].pods.metric.name: Required value: must specify a metric name
            spec.metrics[3].pods.target.type: Required value: must specify a metric target type
            spec.metrics[3].pods.target.type: Invalid value: "": must be either Utilization, Value, or AverageValue
            spec.metrics[3].pods.target.averageValue: Required value: must specify a positive target averageValue
            spec.metrics[0].external.target.type: Invalid value: "Foo": must be either Utilization, Value, or AverageValue
            spec.metrics[0].external.target.averageValue: Invalid value: "0": must be positive
            spec.metrics[0].external.target.value: Forbidden: may not set both a target value for metric and a per-pod target
            spec.metrics[0].containerResource.name: Invalid value: "foo": must be a standard resource type or fully qualified
            spec.metrics[0].containerResource.name: Invalid value: "foo": must be a standard resource for containers
            spec.metrics[0].containerResource.container: Required value: must specify a container
            spec.metrics[0].containerResource.target.averageUtilization: Invalid value: 0: must be greater than 0
            spec.metrics[0].containerResource.target.averageValue: Forbidden: may not set both a target raw value and a target utilization
            spec.metrics[0].pods: Forbidden: must populate the given metric source only
            spec.behavior.scaleUp.policies: Required value: must specify at least one Policy
            spec.behavior.scaleDown.policies: Required value: must specify at least one Policy
            spec.behavior.scaleUp.selectPolicy: Unsupported value: "Foo": supported values: "Disabled", "Max", "Min"
            spec.behavior.scaleUp.policies[0].type: Unsupported value: "Foo": supported values: "Percent", "Pods"
            spec.behavior.scaleUp.policies[0].value: Invalid value: 0: must be greater than zero
            spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 0: must be greater than zero
            spec.behavior.scaleUp.tolerance: Invalid value: "-1": must be greater than or equal to 0"#]],
    );
    check_update(
        "autoscaling/horizontalpodautoscalers",
        &[
            (&with("kind: D, name: d", none), &with("kind: D, name: e", none)),
            (&with("kind: D, name: d", none), &with("kind: E, name: e", none)),
        ],
        expect![[r#"
            ok
            spec.scaleTargetRef.apiVersion: Invalid value: "": apiVersion must specify API group"#]],
    );
}

#[test]
fn volumes() {
    let with = |fields: &str| format!("{{metadata: {{name: a}}, spec: {{capacity: {{storage: 1Gi}}, {fields}}}}}");
    let once = |fields: &str| with(&format!("accessModes: [ReadWriteOnce], {fields}"));
    check_all(
        "persistentvolumes",
        &[
            once("csi: {}"),
            once(
                "csi: {driver: 'A b', volumeHandle: h, nodePublishSecretRef: {}, controllerPublishSecretRef: {name: x}, controllerExpandSecretRef: {namespace: A_b}}",
            ),
            with("accessModes: [''], hostPath: {path: /a, type: Foo}, volumeMode: ''"),
            once("local: {path: ../x}"),
            once("local: {}"),
            once("nfs: {path: x}"),
            once("persistentVolumeReclaimPolicy: Recycle, hostPath: {path: /}"),
        ],
        expect![[r#"
            spec.csi.driver: Required value
            spec.csi.volumeHandle: Required value
            spec.csi.driver: Invalid value: "A b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            spec.csi.controllerPublishSecretRef.namespace: Required value
            spec.csi.controllerExpandSecretRef.name: Required value
            spec.csi.controllerExpandSecretRef.namespace: Invalid value: "A_b": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
            spec.csi.nodePublishSecretRef.name: Required value
            spec.csi.nodePublishSecretRef.namespace: Required value
            spec.accessModes: Unsupported value: "": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"
            spec.hostPath.type: Unsupported value: "Foo": supported values: "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"
            spec.volumeMode: Unsupported value: "": supported values: "Block", "Filesystem"
            spec.local.path: Invalid value: "../x": must not contain '..'
            spec.nodeAffinity: Required value: Local volume requires node affinity
            spec.local.path: Required value
            spec.nodeAffinity: Required value: Local volume requires node affinity
            spec.nfs.server: Required value
            spec.nfs.path: Invalid value: "x": must be an absolute path
            spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'"#]],
    );
    check_all(
        "persistentvolumeclaims",
        &["{spec: {accessModes: [''], resources: {requests: {storage: 1Gi}}}}".to_owned()],
        expect![[
            r#"spec.accessModes: Unsupported value: "": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod""#
        ]],
    );
    check_all(
        "storage.k8s.io/storageclasses",
        &[
            "{provisioner: a.b/c, volumeBindingMode: '', allowedTopologies: [{}, {}]}".to_owned(),
            "{provisioner: a.b/c, allowedTopologies: [{matchLabelExpressions: [{key: a, values: [b]}]}, {matchLabelExpressions: [{key: a, values: [b]}]}]}".to_owned(),
        ],
        expect![[r#"
            volumeBindingMode: Unsupported value: "": supported values: "Immediate", "WaitForFirstConsumer"
            allowedTopologies[0].matchLabelExpressions: Duplicate value: ""
            allowedTopologies[0].matchLabelExpressions: Duplicate value: ""
            allowedTopologies[1].matchLabelExpressions: Duplicate value: ""
            allowedTopologies[1].matchLabelExpressions: Duplicate value: ""
            allowedTopologies[1].matchLabelExpressions: Duplicate value: ""
            allowedTopologies[1].matchLabelExpressions: Duplicate value: """#]],
    );
    check_all(
        "storage.k8s.io/csidrivers",
        &["{metadata: {name: a}, spec: {fsGroupPolicy: '', volumeLifecycleModes: ['', Foo]}}".to_owned()],
        expect![[r#"
            spec.fsGroupPolicy: Unsupported value: "": supported values: "File", "None", "ReadWriteOnceWithFSType"
            spec.volumeLifecycleModes: Unsupported value: "": supported values: "Persistent", "Ephemeral"
            spec.volumeLifecycleModes: Unsupported value: "Foo": supported values: "Persistent", "Ephemeral""#]],
    );
}

#[test]
fn names_of_other_objects() {
    let class = |parameters: &str| format!("{{spec: {{controller: a.b/c, parameters: {{{parameters}}}}}}}");
    check_all(
        "networking.k8s.io/ingressclasses",
        &[
            class("kind: a/b, name: c/d, apiGroup: 'A b', scope: Namespace"),
            class("kind: '', name: '', scope: Foo, namespace: x"),
            class("kind: x, name: y, namespace: x"),
            class("kind: x, name: y, scope: Namespace, namespace: A_b"),
            class("kind: x, name: y, scope: ''"),
            "{spec: {controller: 'a b/c d'}}".to_owned(),
            "{spec: {controller: ''}}".to_owned(),
        ],
        expect![[r#"
            spec.parameters.apiGroup: Invalid value: "A b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            spec.parameters.kind: Invalid value: "a/b": may not contain '/'
            spec.parameters.name: Invalid value: "c/d": may not contain '/'
            spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'
            spec.parameters.kind: Required value
            spec.parameters.name: Required value
            spec.parameters.scope: Unsupported value: "Foo": supported values: "Cluster", "Namespace"
            spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'
            spec.parameters.namespace: Invalid value: "A_b": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
            spec.parameters.scope: Unsupported value: "": supported values: "Cluster", "Namespace"
            spec.controller: Invalid value: "a b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            spec.controller: Invalid value: "c d": Invalid path (regex used for validation is '[A-Za-z0-9/\-._~%!$&'()*+,;=:]+')
            spec.controller: Required value"#]],
    );
    check_all(
        "networking.k8s.io/ingresses",
        &["{spec: {ingressClassName: '', defaultBackend: {service: {name: a, port: {number: 80}}}}}".to_owned()],
        expect![[
            r#"spec.ingressClassName: Invalid value: "": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"#
        ]],
    );
    check_all(
        "policy/poddisruptionbudgets",
        &["{spec: {unhealthyPodEvictionPolicy: ''}}".to_owned()],
        expect![[
            r#"spec.unhealthyPodEvictionPolicy: Unsupported value: "": supported values: "AlwaysAllow", "IfHealthyBudget""#
        ]],
    );
    check_all(
        "scheduling.k8s.io/priorityclasses",
        &["{value: 3, preemptionPolicy: ''}".to_owned(), "{value: 3, preemptionPolicy: Foo}".to_owned()],
        expect![[r#"
            preemptionPolicy: Required value
            preemptionPolicy: Unsupported value: "Foo": supported values: "PreemptLowerPriority", "Never""#]],
    );
    check_all(
        "limitranges",
        &["{spec: {limits: [{type: a/b/c}]}}".to_owned()],
        expect![[
            r#"spec.limits[0].type: Invalid value: "a/b/c": a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"#
        ]],
    );
    check_all(
        "discovery.k8s.io/endpointslices",
        &["{addressType: IPv4, ports: [{name: a, port: 0}, {name: b, port: 99999}, {name: c, appProtocol: ''}]}"
            .to_owned()],
        expect![[r#"
            ports[2].appProtocol: Invalid value: "": name part must be non-empty
            ports[2].appProtocol: Invalid value: "": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"#]],
    );
}

#[test]
fn pods_and_nodes() {
    check_all(
        "pods",
        &[
            "{spec: {restartPolicy: Foo, dnsPolicy: Foo, preemptionPolicy: '', tolerations: [{key: a, effect: Foo, operator: Foo}, {key: a, operator: Lt}], readinessGates: [{conditionType: a/b/c}], nodeSelector: {a: 'b c'}, containers: [{name: a, image: x, terminationMessagePolicy: Foo}]}}".to_owned(),
            "{spec: {containers: [{name: a, image: x}], volumes: [{name: v, projected: {sources: [{}]}}]}}".to_owned(),
        ],
        expect![[r#"
            spec.containers[0].terminationMessagePolicy: Unsupported value: "Foo": supported values: "File", "FallbackToLogsOnError"
            spec.restartPolicy: Unsupported value: "Foo": supported values: "Always", "OnFailure", "Never"
            spec.dnsPolicy: Unsupported value: "Foo": supported values: "ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"
            spec.nodeSelector: Invalid value: "b c": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')
            spec.tolerations[0].operator: Unsupported value: "Foo": supported values: "Equal", "Exists"
            spec.tolerations[0].effect: Unsupported value: "Foo": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"
            spec.tolerations[1].operator: Unsupported value: "Lt": supported values: "Equal", "Exists", "Lt", "Gt"
            spec.readinessGates[0].conditionType: Invalid value: "a/b/c": a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')
            spec.preemptionPolicy: Required value
            ok"#]],
    );
    check_all(
        "nodes",
        &["{spec: {taints: [{key: a, effect: NoSchedule}, {key: a, effect: NoSchedule}, {effect: Foo}, {key: b, value: 'c d'}]}}".to_owned()],
        expect![[r#"
            metadata.taints[1]: Duplicate value: {"Key":"a","Value":"","Effect":"NoSchedule","TimeAdded":null}: taints must be unique by key and effect pair
            metadata.taints[2].key: Invalid value: "": name part must be non-empty
            metadata.taints[2].key: Invalid value: "": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
            metadata.taints[2].effect: Unsupported value: "Foo": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"
            metadata.taints[3].value: Invalid value: "c d": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')
            metadata.taints[3].effect: Required value"#]],
    );
    let gated = |rest: &str| {
        format!("{{spec: {{schedulingGates: [{{name: g}}], containers: [{{name: a, image: x}}], {rest}}}}}")
    };
    let preferred = |weight: u8| {
        gated(&format!(
            "affinity: {{nodeAffinity: {{preferredDuringSchedulingIgnoredDuringExecution: [{{weight: {weight}, preference: {{matchExpressions: [{{key: a, operator: Exists}}]}}}}]}}}}"
        ))
    };
    let required = |terms: &str| {
        gated(&format!(
            "affinity: {{nodeAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: {{nodeSelectorTerms: [{terms}]}}}}}}"
        ))
    };
    let one = "matchExpressions: [{key: a, operator: Exists}]";
    let none = gated("nodeSelector: {}");
    let cases = [
        (preferred(5), preferred(6)),
        (none.clone(), required(&format!("{{{one}}}"))),
        (required(&format!("{{{one}}}")), required(&format!("{{{one}}}, {{{one}}}"))),
        (required(&format!("{{{one}}}")), required("{matchExpressions: [{key: b, operator: Exists}]}")),
        (
            required(&format!("{{{one}}}")),
            required("{matchExpressions: [{key: a, operator: Exists}, {key: b, operator: Exists}]}"),
        ),
        (gated("nodeSelector: {a: b}"), gated("nodeSelector: {a: b, c: d}")),
        (gated("nodeSelector: {a: b}"), gated("nodeSelector: {a: c}")),
        (none, gated("schedulerName: other")),
    ];
    let cases: Vec<(&str, &str)> = cases.iter().map(|(old, new)| (old.as_str(), new.as_str())).collect();
    check_update(
        "pods",
        &cases,
        expect![[r#"
            ok
            ok
            spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Invalid value: [{"MatchExpressions":[{"Key":"a","Operator":"Exists","Values":null}],"MatchFields":null},{"MatchExpressions":[{"Key":"a","Operator":"Exists","Values":null}],"MatchFields":null}]: no additions/deletions to non-empty NodeSelectorTerms list are allowed
            spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]: Invalid value: {"MatchExpressions":[{"Key":"b","Operator":"Exists","Values":null}],"MatchFields":null}: only additions are allowed (no mutations or deletions)
            ok
            ok
            spec.nodeSelector: Invalid value: {"a":"c"}: only additions to spec.nodeSelector are allowed (no mutations or deletions)
            spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)
            @@ -68,7 +68,7 @@
              "Subdomain": "",
              "SetHostnameAsFQDN": null,
              "Affinity": null,
            - "SchedulerName": "default-scheduler",
            + "SchedulerName": "other",
              "Tolerations": null,
              "HostAliases": null,
              "PriorityClassName": "",
        "#]],
    );
}

#[test]
fn quotas() {
    check_all(
        "resourcequotas",
        &["{spec: {hard: {pods: '1', services: '2'}, scopeSelector: {matchExpressions: [{scopeName: Foo, operator: In}, {scopeName: BestEffort, operator: In, values: [a]}, {scopeName: NotBestEffort, operator: Exists, values: [b]}, {scopeName: PriorityClass, operator: Foo}]}}}".to_owned()],
        expect![[r#"
            spec.scopeSelector.matchExpressions.scopeName: Invalid value: "Foo": unsupported scope
            spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector
            spec.scopeSelector.matchExpressions: Invalid value: {"MatchExpressions":[{"ScopeName":"Foo","Operator":"In","Values":null},{"ScopeName":"BestEffort","Operator":"In","Values":["a"]},{"ScopeName":"NotBestEffort","Operator":"Exists","Values":["b"]},{"ScopeName":"PriorityClass","Operator":"Foo","Values":null}]}: unsupported scope applied to resource
            spec.scopeSelector.matchExpressions.operator: Invalid value: "In": must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity
            spec.scopeSelector.matchExpressions: Invalid value: {"MatchExpressions":[{"ScopeName":"Foo","Operator":"In","Values":null},{"ScopeName":"BestEffort","Operator":"In","Values":["a"]},{"ScopeName":"NotBestEffort","Operator":"Exists","Values":["b"]},{"ScopeName":"PriorityClass","Operator":"Foo","Values":null}]}: unsupported scope applied to resource
            spec.scopeSelector.matchExpressions.values: Invalid value: ["b"]: must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector
            spec.scopeSelector.matchExpressions: Invalid value: {"MatchExpressions":[{"ScopeName":"Foo","Operator":"In","Values":null},{"ScopeName":"BestEffort","Operator":"In","Values":["a"]},{"ScopeName":"NotBestEffort","Operator":"Exists","Values":["b"]},{"ScopeName":"PriorityClass","Operator":"Foo","Values":null}]}: unsupported scope applied to resource
            spec.scopeSelector.matchExpressions.operator: Invalid value: "Foo": not a valid selector operator
            spec.scopeSelector.matchExpressions: Invalid value: null: conflicting scopes"#]],
    );
    let quota = |class: &str| {
        format!(
            "{{spec: {{hard: {{pods: '1'}}, scopeSelector: {{matchExpressions: [{{scopeName: PriorityClass, operator: In, values: [{class}]}}]}}}}}}"
        )
    };
    check_update("resourcequotas", &[(&quota("a"), &quota("b"))], expect!["ok"]);
}

#[test]
fn ports_without_a_number() {
    let old = "{spec: {type: NodePort, clusterIP: 10.0.0.1, ports: [{name: a, port: 80, nodePort: 30000}]}}";
    check_update(
        "services",
        &[
            (old, "{spec: {type: NodePort, clusterIP: 10.0.0.1, ports: [{name: a}]}}"),
            (old, "{spec: {type: LoadBalancer, ports: [{}]}}"),
        ],
        expect![[r#"
            spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive
            spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive
            spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive
            spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive"#]],
    );
}

#[test]
fn defaults() {
    check_stored(
        "apps/statefulsets",
        "{spec: {updateStrategy: {type: RollingUpdate}, ordinals: {}, volumeClaimTemplates: [{apiVersion: x, metadata: {name: v}}], selector: {matchLabels: {a: b}}}}",
        expect![[r#"
            spec:
              ordinals:
                start: 0
              persistentVolumeClaimRetentionPolicy:
                whenDeleted: Retain
                whenScaled: Retain
              podManagementPolicy: OrderedReady
              replicas: 1
              revisionHistoryLimit: 10
              selector:
                matchLabels:
                  a: b
              template:
                metadata: {}
                spec:
                  dnsPolicy: ClusterFirst
                  restartPolicy: Always
                  schedulerName: default-scheduler
                  securityContext: {}
                  terminationGracePeriodSeconds: 30
              updateStrategy:
                type: RollingUpdate
              volumeClaimTemplates:
              - apiVersion: v1
                kind: PersistentVolumeClaim
                metadata:
                  name: v
                spec:
                  volumeMode: Filesystem
                status:
                  phase: Pending
        "#]],
    );
    check_stored(
        "apps/daemonsets",
        "{spec: {selector: {matchLabels: {a: b}}, template: {spec: {containers: [{name: a, image: Foo/Bar}]}}}}",
        expect![[r#"
            metadata:
              annotations:
                deprecated.daemonset.template.generation: '1'
            spec:
              revisionHistoryLimit: 10
              selector:
                matchLabels:
                  a: b
              template:
                metadata: {}
                spec:
                  containers:
                  - image: Foo/Bar
                    imagePullPolicy: IfNotPresent
                    name: a
                    resources: {}
                    terminationMessagePath: /dev/termination-log
                    terminationMessagePolicy: File
                  dnsPolicy: ClusterFirst
                  restartPolicy: Always
                  schedulerName: default-scheduler
                  securityContext: {}
                  terminationGracePeriodSeconds: 30
              updateStrategy:
                rollingUpdate:
                  maxSurge: 0
                  maxUnavailable: 1
                type: RollingUpdate
        "#]],
    );
    check_stored(
        "batch/cronjobs",
        "{spec: {schedule: '* * * * *'}}",
        expect![[r#"
        spec:
          concurrencyPolicy: Allow
          failedJobsHistoryLimit: 1
          jobTemplate:
            metadata: {}
            spec:
              template:
                metadata: {}
                spec:
                  dnsPolicy: ClusterFirst
                  restartPolicy: Always
                  schedulerName: default-scheduler
                  securityContext: {}
                  terminationGracePeriodSeconds: 30
          schedule: '* * * * *'
          successfulJobsHistoryLimit: 3
          suspend: false
    "#]],
    );
}

#[test]
fn generations() {
    let (mut first, mut later) = (Vec::new(), Vec::new());
    for resource in portolan_api::description::builtin().resources() {
        let name = match &*resource.group {
            "" => resource.name.to_string(),
            group => format!("{}.{group}", resource.name),
        };
        match crate::resources::strategy(&resource.group, &resource.name).generations() {
            Generations::None => {}
            Generations::FromCreation => first.push(name),
            Generations::FromFirstChange => later.push(name),
        }
    }
    first.sort_unstable();
    first.dedup();
    later.dedup();
    expect![[r#"
        cronjobs.batch
        customresourcedefinitions.apiextensions.k8s.io
        daemonsets.apps
        deployments.apps
        deviceclasses.resource.k8s.io
        endpointslices.discovery.k8s.io
        externalnodes.registry.portolan.dev
        flowschemas.flowcontrol.apiserver.k8s.io
        ingressclasses.networking.k8s.io
        ingresses.networking.k8s.io
        jobs.batch
        mutatingadmissionpolicies.admissionregistration.k8s.io
        mutatingadmissionpolicybindings.admissionregistration.k8s.io
        mutatingwebhookconfigurations.admissionregistration.k8s.io
        networkpolicies.networking.k8s.io
        poddisruptionbudgets.policy
        pods
        podtemplates
        priorityclasses.scheduling.k8s.io
        prioritylevelconfigurations.flowcontrol.apiserver.k8s.io
        replicasets.apps
        replicationcontrollers
        resourceslices.resource.k8s.io
        serviceinstances.registry.portolan.dev
        statefulsets.apps
        validatingadmissionpolicies.admissionregistration.k8s.io
        validatingadmissionpolicybindings.admissionregistration.k8s.io
        validatingwebhookconfigurations.admissionregistration.k8s.io

        csidrivers.storage.k8s.io"#]]
    .assert_eq(&format!("{}\n\n{}", first.join("\n"), later.join("\n")));
}
