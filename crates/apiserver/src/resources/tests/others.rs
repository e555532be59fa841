//! Kinds that no controller of ours acts on: defaults, errors, updates and rows.

use expect_test::expect;

use super::{check_create, check_rows, check_stored, check_update};

#[test]
fn limit_ranges() {
    check_stored(
        "limitranges",
        "{spec: {limits: [{type: Container, max: {cpu: 2000m}, min: {memory: 1Mi}, default: {memory: 2Mi}}]}}",
        expect![[r#"
            spec:
              limits:
              - default:
                  cpu: '2'
                  memory: 2Mi
                defaultRequest:
                  cpu: '2'
                  memory: 2Mi
                max:
                  cpu: '2'
                min:
                  memory: 1Mi
                type: Container
        "#]],
    );
    check_create(
        "limitranges",
        &[
            "{spec: {limits: [{type: Pod, default: {cpu: 1}, max: {cpu: 1, foo: 1}, min: {cpu: 2}}, {type: Pod}]}}",
            "{spec: {limits: [{type: PersistentVolumeClaim, max: {foo: 1}}, {type: Container, default: {cpu: 3}, max: {cpu: 2}, defaultRequest: {cpu: 4}, maxLimitRequestRatio: {cpu: 0.5}}]}}",
            "{spec: {limits: [{type: thing}]}}",
        ],
        expect![[r#"
            spec.limits[0].max[foo]: Invalid value: "foo": must be a standard resource type or fully qualified
            spec.limits[0].max[foo]: Invalid value: "foo": must be a standard resource for containers
            spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'
            spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1
            spec.limits[0].default[cpu]: Invalid value: "2": min value 2 is greater than default value 1
            spec.limits[1].type: Duplicate value: "Pod"
            spec.limits[0].max[foo]: Invalid value: "foo": must be a standard resource type or fully qualified
            spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither was provided
            spec.limits[1].defaultRequest[cpu]: Invalid value: "4": default request value 4 is greater than max value 2
            spec.limits[1].defaultRequest[cpu]: Invalid value: "4": default request value 4 is greater than default limit value 3
            spec.limits[1].default[cpu]: Invalid value: "2": default value 3 is greater than max value 2
            spec.limits[1].maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less than 1
            spec.limits[0].type: Invalid value: "thing": must be a standard limit type or fully qualified"#]],
    );
}

#[test]
fn resource_quotas() {
    check_create(
        "resourcequotas",
        &[
            "{spec: {hard: {pods: '10', services: 1.5k, secrets: 2000m, requests.cpu: 1, count/deployments.apps: 2, requests.nvidia.com/gpu: 1, hugepages-2Mi: 1Mi}}}",
            "{spec: {hard: {foo: 1, pods: 1500m, cpu: -1}, scopes: [BestEffort, NotBestEffort, Other]}}",
            "{spec: {hard: {pods: 1}, scopeSelector: {matchExpressions: [{scopeName: PriorityClass, operator: In}, {scopeName: Terminating, operator: In, values: [a]}, {scopeName: x, operator: y}]}}}",
        ],
        expect![[r#"
            ok
            spec.hard[cpu]: Invalid value: "-1": must be greater than or equal to 0
            spec.hard[foo]: Invalid value: "foo": must be a standard resource for quota
            spec.hard[pods]: Invalid value: "1500m": must be an integer
            spec.scopes: Invalid value: ["BestEffort","NotBestEffort","Other"]: unsupported scope applied to resource
            spec.scopes: Invalid value: ["BestEffort","NotBestEffort","Other"]: unsupported scope
            spec.scopes: Invalid value: ["BestEffort","NotBestEffort","Other"]: conflicting scopes
            spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector
            spec.scopeSelector.matchExpressions.operator: Invalid value: "In": must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity
            spec.scopeSelector.matchExpressions.scopeName: Invalid value: "x": unsupported scope
            spec.scopeSelector.matchExpressions.operator: Invalid value: "y": not a valid selector operator"#]],
    );
    check_update(
        "resourcequotas",
        &[("{spec: {hard: {pods: 1}, scopes: [Terminating]}}", "{spec: {hard: {pods: 2}, scopes: [NotTerminating]}}")],
        expect![[r#"spec.scopes: Invalid value: ["NotTerminating"]: field is immutable"#]],
    );
    check_rows(
        "resourcequotas",
        &[
            "{metadata: {name: q}, status: {hard: {pods: '10', limits.cpu: '2', requests.cpu: '1'}, used: {pods: '3', limits.cpu: 500m}}}",
        ],
        expect![[r#"
            NAME; REQUEST; LIMIT; AGE
            q; pods: 3/10, requests.cpu: 0/1; limits.cpu: 500m/2; <unknown>"#]],
    );
}

#[test]
fn runtime_classes_and_api_services() {
    check_create(
        "node.k8s.io/runtimeclasses",
        &[
            "{metadata: {name: a}, handler: runc, scheduling: {tolerations: [{operator: Exists}, {operator: Exists}]}}",
            "{metadata: {name: a}, handler: run_c, overhead: {podFixed: {cpu: -1}}}",
        ],
        expect![[r#"
            scheduling.tolerations[1]: Duplicate value: {"Key":"","Operator":"Exists","Value":"","Effect":"","TolerationSeconds":null}
            handler: Invalid value: "run_c": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
            overhead.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0"#]],
    );
    check_update(
        "node.k8s.io/runtimeclasses",
        &[("{handler: a}", "{handler: b}")],
        expect![[r#"handler: Invalid value: "b": field is immutable"#]],
    );
    check_create(
        "apiregistration.k8s.io/apiservices",
        &[
            "{metadata: {name: v1.a.b}, spec: {group: a.b, version: v1, groupPriorityMinimum: 100, versionPriority: 100, service: {namespace: n, name: s}}}",
            "{metadata: {name: x}, spec: {group: a.b, version: v1, caBundle: QUJD, service: {port: 70000}}}",
            "{metadata: {name: v2.}, spec: {version: v2, insecureSkipTLSVerify: true, groupPriorityMinimum: 30000, versionPriority: 1}}",
        ],
        expect![[r#"
            ok
            metadata.name: Invalid value: "x": must be `spec.version+"."+spec.group`: "v1.a.b"
            spec.groupPriorityMinimum: Invalid value: 0: must be positive and less than 20000
            spec.versionPriority: Invalid value: 0: must be positive and less than 1000
            spec.service.namespace: Required value
            spec.service.name: Required value
            spec.service.port: Invalid value: 70000: port is not valid: must be between 1 and 65535, inclusive
            spec.group: Required value: only v1 may have an empty group and it better be legacy kube
            spec.groupPriorityMinimum: Invalid value: 30000: must be positive and less than 20000
            spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify"#]],
    );
    check_rows(
        "apiregistration.k8s.io/apiservices",
        &[
            "{metadata: {name: v1.}, spec: {}, status: {conditions: [{type: Available, status: 'True'}]}}",
            "{metadata: {name: v1.a}, spec: {service: {namespace: n, name: s}}, status: {conditions: [{type: Available, status: 'False', reason: MissingEndpoints}]}}",
        ],
        expect![[r#"
            NAME; SERVICE; AVAILABLE; AGE
            v1.; Local; True; <unknown>
            v1.a; n/s; False (MissingEndpoints); <unknown>"#]],
    );
}

#[test]
fn storage() {
    check_stored(
        "storage.k8s.io/csidrivers",
        "{metadata: {name: a.b}, spec: {}}",
        expect![[r#"
        metadata:
          name: a.b
        spec:
          attachRequired: true
          fsGroupPolicy: ReadWriteOnceWithFSType
          podInfoOnMount: false
          requiresRepublish: false
          seLinuxMount: false
          storageCapacity: false
          volumeLifecycleModes:
          - Persistent
    "#]],
    );
    check_create(
        "storage.k8s.io/csidrivers",
        &[
            "{metadata: {name: a_b}, spec: {fsGroupPolicy: x, volumeLifecycleModes: [y], tokenRequests: [{audience: a, expirationSeconds: 1}, {audience: a}]}}",
        ],
        expect![[r#"
            spec.fsGroupPolicy: Unsupported value: "x": supported values: "File", "None", "ReadWriteOnceWithFSType"
            spec.volumeLifecycleModes: Unsupported value: "y": supported values: "Persistent", "Ephemeral"
            spec.tokenRequests[0].expirationSeconds: Invalid value: 1: may not specify a duration less than 10 minutes
            spec.tokenRequests[1].audience: Duplicate value: "a""#]],
    );
    check_update(
        "storage.k8s.io/csidrivers",
        &[("{metadata: {name: a}}", "{metadata: {name: a}, spec: {attachRequired: false, podInfoOnMount: true}}")],
        expect!["spec.attachedRequired: Invalid value: false: field is immutable"],
    );
    check_create(
        "storage.k8s.io/csinodes",
        &["{spec: {drivers: [{name: a, nodeID: x}, {name: a, allocatable: {count: -1}, topologyKeys: [k, k]}, {}]}}"],
        expect![[r#"
            spec.drivers[1].nodeID: Required value
            spec.drivers[1].allocatable.count: Invalid value: -1: must be greater than or equal to 0
            spec.drivers[1]: Duplicate value: "k"
            spec.drivers[1].name: Duplicate value: "a"
            spec.drivers[2].name: Required value
            spec.drivers[2].nodeID: Required value"#]],
    );
    check_update(
        "storage.k8s.io/csinodes",
        &[(
            "{spec: {drivers: [{name: a, nodeID: x}]}}",
            "{spec: {drivers: [{name: a, nodeID: y}, {name: b, nodeID: z}]}}",
        )],
        expect![[
            r#"spec.drivers: Invalid value: {"Name":"a","NodeID":"y","TopologyKeys":null,"Allocatable":null}: field is immutable"#
        ]],
    );
    check_create(
        "storage.k8s.io/volumeattachments",
        &[
            "{spec: {attacher: a, nodeName: n, source: {persistentVolumeName: v}}}",
            "{spec: {source: {}}}",
            "{spec: {attacher: a, nodeName: n, source: {persistentVolumeName: v, inlineVolumeSpec: {}}}}",
        ],
        expect![[r#"
            ok
            spec.attacher: Required value
            spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName
            spec.nodeName: Invalid value: "": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            spec.source: Forbidden: must specify exactly one of inlineVolumeSpec and persistentVolumeName"#]],
    );
    check_update(
        "storage.k8s.io/volumeattachments",
        &[(
            "{spec: {attacher: a, nodeName: n, source: {persistentVolumeName: v}}}",
            "{spec: {attacher: a, nodeName: m, source: {persistentVolumeName: v}}}",
        )],
        expect![[
            r#"spec: Invalid value: {"Attacher":"a","Source":{"PersistentVolumeName":"v","InlineVolumeSpec":null},"NodeName":"m"}: field is immutable"#
        ]],
    );
    check_create(
        "storage.k8s.io/volumeattributesclasses",
        &["{driverName: a}", "{driverName: '', parameters: {a: b}}"],
        expect![[r#"
            parameters: Required value: must contain at least one key/value pair
            driverName: Required value"#]],
    );
    check_update(
        "storage.k8s.io/volumeattributesclasses",
        &[("{driverName: a, parameters: {a: b}}", "{driverName: b, parameters: {a: c}}")],
        expect![[r#"
            driverName: Forbidden: updates to driverName are forbidden.
            parameters: Forbidden: updates to parameters are forbidden."#]],
    );
    check_create(
        "storage.k8s.io/csistoragecapacities",
        &["{storageClassName: A, capacity: -1}"],
        expect![[r#"
        storageClassName: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        capacity: Invalid value: "-1": must be greater than or equal to 0"#]],
    );
}

#[test]
fn networking() {
    check_create(
        "networking.k8s.io/servicecidrs",
        &[
            "{spec: {cidrs: [10.0.0.0/24, 'fd00::/112']}}",
            "{spec: {}}",
            "{spec: {cidrs: [10.0.0.1/24, x]}}",
            "{spec: {cidrs: [10.0.0.0/24, 10.1.0.0/24]}}",
        ],
        expect![[r#"
            ok
            spec.cidrs: Required value: at least one CIDR required
            spec.cidrs[0]: Invalid value: "10.0.0.1/24": must not have bits set beyond the prefix length
            spec.cidrs[1]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)
            spec.cidrs: Invalid value: ["10.0.0.0/24","10.1.0.0/24"]: may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"#]],
    );
    check_update(
        "networking.k8s.io/servicecidrs",
        &[
            ("{spec: {cidrs: [10.0.0.0/24]}}", "{spec: {cidrs: [10.0.0.0/24, 'fd00::/112']}}"),
            ("{spec: {cidrs: [10.0.0.0/24]}}", "{spec: {cidrs: [10.1.0.0/24]}}"),
        ],
        expect![[r#"
            ok
            spec.cidrs[0]: Invalid value: "10.1.0.0/24": field is immutable"#]],
    );
    check_create(
        "networking.k8s.io/ipaddresses",
        &[
            "{metadata: {name: 10.0.0.1}, spec: {parentRef: {resource: services, namespace: n, name: s}}}",
            "{metadata: {name: 'FD00::1'}, spec: {parentRef: {}}}",
            "{metadata: {name: x}, spec: {}}",
        ],
        expect![[r#"
            ok
            spec.parentRef.resource: Required value
            spec.parentRef.name: Required value
            spec.parentRef: Required value"#]],
    );
    check_rows(
        "networking.k8s.io/ipaddresses",
        &["{metadata: {name: 10.0.0.1}, spec: {parentRef: {resource: services, namespace: n, name: s}}}"],
        expect![[r#"
            NAME; PARENTREF
            10.0.0.1; services/n/s"#]],
    );
}

#[test]
fn flow_control() {
    check_create(
        "flowcontrol.apiserver.k8s.io/flowschemas",
        &[
            "{metadata: {name: a}, spec: {priorityLevelConfiguration: {name: p}, rules: [{subjects: [{kind: User, user: {name: u}}], resourceRules: [{verbs: ['*'], apiGroups: [''], resources: [pods], namespaces: ['*']}]}]}}",
            "{metadata: {name: a}, spec: {matchingPrecedence: 10001, distinguisherMethod: {type: x}, rules: [{subjects: [{kind: Group}, {kind: y}]}, {resourceRules: [{verbs: [twist, get]}]}]}}",
        ],
        expect![[r#"
            ok
            spec.matchingPrecedence: Invalid value: 10001: must not be greater than 10000
            spec.distinguisherMethod.type: Unsupported value: {"Type":"x"}: supported values: "ByNamespace", "ByUser"
            spec.priorityLevelConfiguration.name: Required value: must reference a priority level
            spec.rules[0].subjects[0].group: Required value: group is required when subject kind is 'Group'
            spec.rules[0].subjects[1].kind: Unsupported value: "y": supported values: "Group", "ServiceAccount", "User"
            spec.rules[0]: Required value: at least one of resourceRules and nonResourceRules has to be non-empty
            spec.rules[1].subjects: Required value: subjects must contain at least one value
            spec.rules[1].resourceRules[0].verbs: Unsupported value: ["twist","get"]: supported values: "create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"
            spec.rules[1].resourceRules[0].apiGroups: Required value: resource rules must supply at least one api group
            spec.rules[1].resourceRules[0].resources: Required value: resource rules must supply at least one resource
            spec.rules[1].resourceRules[0].namespaces: Required value: resource rules that are not cluster scoped must supply at least one namespace"#]],
    );
    check_stored(
        "flowcontrol.apiserver.k8s.io/prioritylevelconfigurations",
        "{metadata: {name: a}, spec: {type: Limited, limited: {limitResponse: {type: Queue, queuing: {}}}}}",
        expect![[r#"
            metadata:
              name: a
            spec:
              limited:
                lendablePercent: 0
                limitResponse:
                  queuing:
                    handSize: 8
                    queueLengthLimit: 50
                    queues: 64
                  type: Queue
                nominalConcurrencyShares: 30
              type: Limited
        "#]],
    );
    check_create(
        "flowcontrol.apiserver.k8s.io/prioritylevelconfigurations",
        &[
            "{metadata: {name: a}, spec: {type: Exempt, limited: {}}}",
            "{metadata: {name: a}, spec: {type: Limited, limited: {lendablePercent: 101, limitResponse: {type: Queue, queuing: {queues: 1, handSize: 2}}}}}",
            "{metadata: {name: a}, spec: {type: x}}",
            "{metadata: {name: a}, spec: {type: Limited, limited: {limitResponse: {type: Queue}}}}",
        ],
        expect![[r#"
            spec.type: Invalid value: "Exempt": must be 'Exempt' if and only if `name` is 'exempt'
            spec.limited: Forbidden: must be nil if the type is not Limited
            spec.limited.limitResponse.queuing.handSize: Invalid value: 2: should not be greater than queues (1)
            spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive
            spec.type: Unsupported value: "x": supported values: "Exempt", "Limited"
            spec.limited.limitResponse.queuing: Required value: must not be empty if limited.limitResponse.type is Limited"#]],
    );
}
