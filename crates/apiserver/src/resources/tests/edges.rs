//! What a comparison with upstream's packages found of kinds at the edges of what is allowed.

use expect_test::expect;

use super::refusals::check_all;
use super::{check_stored, check_update, of, yaml};

#[test]
fn what_is_not_there_is_not_what_is_empty() {
    check_all(
        "networking.k8s.io/networkpolicies",
        &["{spec: {policyTypes: [Other, ''], ingress: [{ports: [{protocol: ''}]}]}}".to_owned()],
        expect![[r#"
            spec.ingress[0].ports[0].protocol: Unsupported value: "": supported values: "TCP", "UDP", "SCTP"
            spec.policyTypes[0]: Unsupported value: "Other": supported values: "Ingress", "Egress"
            spec.policyTypes[1]: Unsupported value: "": supported values: "Ingress", "Egress""#]],
    );
    check_all(
        "discovery.k8s.io/endpointslices",
        &["{addressType: IPv4, endpoints: [{addresses: [10.0.0.1], nodeName: ''}], ports: [{protocol: ''}]}"
            .to_owned()],
        expect![[r#"
            endpoints[0].nodeName: Invalid value: "": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            ports[0].protocol: Unsupported value: "": supported values: "SCTP", "TCP", "UDP""#]],
    );
    check_all(
        "endpoints",
        &["{subsets: [{addresses: [{ip: 10.0.0.1, nodeName: ''}], ports: [{port: 80, appProtocol: ''}]}]}".to_owned()],
        expect![[r#"
            subsets[0].addresses[0].nodeName: Invalid value: "": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            subsets[0].ports[0].appProtocol: Invalid value: "": name part must be non-empty
            subsets[0].ports[0].appProtocol: Invalid value: "": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"#]],
    );
    check_all(
        "rbac.authorization.k8s.io/clusterroles",
        &["{aggregationRule: {clusterRoleSelectors: [{matchLabels: {'a b': c}}]}}".to_owned()],
        expect![[r#"
            aggregationRule.clusterRoleSelectors[0].matchLabels: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
            aggregationRule.clusterRoleSelectors[0]: Invalid value: null: invalid label selector."#]],
    );
    check_all(
        "nodes",
        &["{spec: {podCIDR: x, podCIDRs: [10.0.0.0/24]}}".to_owned()],
        expect![[
            r#"spec.podCIDRs[0]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"#
        ]],
    );
}

#[test]
fn defaults() {
    check_stored(
        "nodes",
        "{status: {capacity: {cpu: 1500m}}}",
        expect![[r#"
            status:
              allocatable:
                cpu: 1500m
              capacity:
                cpu: 1500m
        "#]],
    );
    check_stored(
        "discovery.k8s.io/endpointslices",
        "{addressType: IPv4, endpoints: [{addresses: [10.0.0.1], hints: {forZones: [{}]}}]}",
        expect![[r#"
            addressType: IPv4
            endpoints:
            - addresses:
              - 10.0.0.1
              conditions: {}
              hints:
                forZones:
                - name: ''
        "#]],
    );
}

#[test]
fn volumes_and_claims() {
    let volume = |spec: &str| format!("{{spec: {{accessModes: [ReadWriteOnce], {spec}}}}}");
    check_all(
        "persistentvolumes",
        &[
            volume("capacity: {storage: -1}, csi: {driver: a.b, volumeHandle: h}"),
            volume("capacity: {storage: 1, cpu: 1}, csi: {driver: a.b, volumeHandle: h}"),
            volume("capacity: {storage: 1}, hostPath: {path: /a}, volumeAttributesClassName: ''"),
            "{metadata: {annotations: {volume.beta.kubernetes.io/mount-options: ro}}, spec: {capacity: {storage: 1}, accessModes: [ReadWriteOnce], hostPath: {path: /a}}}".to_owned(),
        ],
        expect![[r#"
            spec.capacity[storage]: Invalid value: -1: must be a valid resource quantity
            spec.capacity[storage]: Invalid value: "-1": must be greater than zero
            spec.capacity: Unsupported value: {"cpu":"1","storage":"1"}: supported values: "storage"
            spec.volumeAttributesClassName: Required value: an empty string is disallowed
            spec.csi: Required value: has to be specified when using volumeAttributesClassName
            metadata.annotations.volume.beta.kubernetes.io/mount-options: Forbidden: may not specify mount options for this volume type"#]],
    );
    let on = |key: &str| {
        volume(&format!(
            "capacity: {{storage: 1}}, csi: {{driver: a.b, volumeHandle: h}}, nodeAffinity: {{required: {{nodeSelectorTerms: [{{matchExpressions: [{{key: {key}, operator: Exists}}]}}]}}}}"
        ))
    };
    let (old, new, other) = (on("beta.kubernetes.io/os"), on("kubernetes.io/os"), on("a"));
    check_update(
        "persistentvolumes",
        &[(&old, &new), (&old, &other)],
        expect![[r#"
        ok
        nodeAffinity: Invalid value: {"Required":{"NodeSelectorTerms":[{"MatchExpressions":[{"Key":"a","Operator":"Exists","Values":null}],"MatchFields":null}]}}: field is immutable, except for updating from beta label to GA"#]],
    );
    let claim = |more: &str| {
        format!("{{spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}, {more}}}}}")
    };
    let plain = claim("volumeMode: Block, dataSource: {kind: PersistentVolumeClaim, name: x}");
    check_update(
        "persistentvolumeclaims",
        &[
            (&plain, &plain),
            (
                &plain,
                &claim(
                    "volumeMode: Block, dataSource: {kind: PersistentVolumeClaim, name: x}, dataSourceRef: {kind: PersistentVolumeClaim, name: y}",
                ),
            ),
        ],
        expect![[r#"
            ok
            spec: Invalid value: {}: must match dataSourceRef
            spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims
            @@ -20,7 +20,7 @@
              "DataSourceRef": {
               "APIGroup": null,
               "Kind": "PersistentVolumeClaim",
            -  "Name": "x",
            +  "Name": "y",
               "Namespace": null
              },
              "VolumeAttributesClassName": null
        "#]],
    );
}

#[test]
fn flows() {
    check_all(
        "flowcontrol.apiserver.k8s.io/flowschemas",
        &["{spec: {priorityLevelConfiguration: {name: a}, distinguisherMethod: {}, rules: [{subjects: [{kind: ServiceAccount, serviceAccount: {name: A_b}}], resourceRules: [{verbs: [other], namespaces: [a.b]}], nonResourceRules: [{verbs: ['*', get], nonResourceURLs: [a, '/a*b', '']}]}]}}".to_owned()],
        expect![[r#"
            spec.distinguisherMethod.type: Unsupported value: {"Type":""}: supported values: "ByNamespace", "ByUser"
            spec.rules[0].subjects[0].serviceAccount.name: Invalid value: "A_b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            spec.rules[0].subjects[0].serviceAccount.namespace: Required value: must specify namespace for service account
            spec.rules[0].resourceRules[0].verbs: Unsupported value: ["other"]: supported values: "create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"
            spec.rules[0].resourceRules[0].apiGroups: Required value: resource rules must supply at least one api group
            spec.rules[0].resourceRules[0].resources: Required value: resource rules must supply at least one resource
            spec.rules[0].resourceRules[0].namespaces[0]: Invalid value: "a.b": each member of this list must be '*' or a DNS-1123 label; must not contain dots
            spec.rules[0].nonResourceRules[0].verbs: Invalid value: ["*","get"]: if '*' is present, must not specify other verbs
            spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: "a": must start with slash
            spec.rules[0].nonResourceRules[0].nonResourceURLs[1]: Invalid value: "/a*b": wildcard can only do suffix matching
            spec.rules[0].nonResourceRules[0].nonResourceURLs[2]: Invalid value: "": must not be empty"#]],
    );
    check_all(
        "flowcontrol.apiserver.k8s.io/prioritylevelconfigurations",
        &[
            "{spec: {type: Exempt, exempt: {nominalConcurrencyShares: -1, lendablePercent: 101}}}".to_owned(),
            "{spec: {type: Limited, limited: {borrowingLimitPercent: -1, limitResponse: {type: Queue, queuing: {queues: 1000001, handSize: 4, queueLengthLimit: -1}}}}}".to_owned(),
            "{spec: {}}".to_owned(),
        ],
        expect![[r#"
            spec.type: Invalid value: "Exempt": must be 'Exempt' if and only if `name` is 'exempt'
            spec.exempt.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer
            spec.exempt.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive
            spec.limited.limitResponse.queuing.queueLengthLimit: Invalid value: -1: must be positive
            spec.limited.limitResponse.queuing.handSize: Invalid value: 4: required entropy bits of deckSize 1000001 and handSize 4 should not be greater than 60
            spec.limited.borrowingLimitPercent: Invalid value: -1: if specified, must be a non-negative integer
            spec.type: Required value"#]],
    );
}

#[test]
fn drivers_whose_tokens_may_be_logged_are_warned_of() {
    let driver = of("storage.k8s.io/csidrivers");
    let warned = yaml("{spec: {tokenRequests: [{audience: a}]}}");
    assert_eq!(driver.warnings(&warned).len(), 1);
    assert!(driver.update_warnings(&warned, &warned).is_empty(), "nothing of it changed");
    let safe = yaml("{spec: {tokenRequests: [{audience: a}], serviceAccountTokenInSecrets: true}}");
    assert!(driver.warnings(&safe).is_empty());
}
