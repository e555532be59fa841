use expect_test::expect;
use serde_json::json;

use super::{check_rows, now, of, yaml};

const META: &str = "metadata: {name: x, creationTimestamp: '2025-12-31T00:04:05Z'}";

fn rows(resource: &str, bodies: &[&str], expected: expect_test::Expect) {
    let objects: Vec<String> = bodies.iter().map(|body| format!("{{{META}, {body}}}")).collect();
    check_rows(resource, &objects.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

#[test]
fn workloads() {
    let template =
        "selector: {matchLabels: {app: a}}, template: {spec: {containers: [{name: c, image: i}, {name: d, image: j}]}}";
    rows(
        "apps/deployments",
        &[&format!(
            "spec: {{replicas: 3, {template}}}, status: {{readyReplicas: 1, updatedReplicas: 2, availableReplicas: 1}}"
        )],
        expect![[r#"
        NAME; READY; UP-TO-DATE; AVAILABLE; AGE | CONTAINERS; IMAGES; SELECTOR
        x; 1/3; 2; 1; 2d3h | c,d; i,j; app=a"#]],
    );
    rows(
        "apps/replicasets",
        &[&format!("spec: {{replicas: 3, {template}}}, status: {{replicas: 2, readyReplicas: 1}}")],
        expect![[r#"
        NAME; DESIRED; CURRENT; READY; AGE | CONTAINERS; IMAGES; SELECTOR
        x; 3; 2; 1; 2d3h | c,d; i,j; app=a"#]],
    );
    rows(
        "apps/daemonsets",
        &[&format!("spec: {{{template}}}, status: {{desiredNumberScheduled: 2, currentNumberScheduled: 1}}")],
        expect![[r#"
        NAME; DESIRED; CURRENT; READY; UP-TO-DATE; AVAILABLE; NODE SELECTOR; AGE | CONTAINERS; IMAGES; SELECTOR
        x; 2; 1; 0; 0; 0; <none>; 2d3h | c,d; i,j; app=a"#]],
    );
    rows(
        "apps/statefulsets",
        &[&format!("spec: {{replicas: 2, {template}}}, status: {{readyReplicas: 1}}")],
        expect![[r#"
        NAME; READY; AGE | CONTAINERS; IMAGES
        x; 1/2; 2d3h | c,d; i,j"#]],
    );
    rows(
        "batch/jobs",
        &[
            &format!(
                "spec: {{completions: 1, {template}}}, status: {{succeeded: 1, startTime: '2026-01-02T00:00:00Z', completionTime: '2026-01-02T00:00:42Z', conditions: [{{type: Complete, status: 'True'}}]}}"
            ),
            "spec: {parallelism: 2}",
        ],
        expect![[r#"
        NAME; STATUS; COMPLETIONS; DURATION; AGE | CONTAINERS; IMAGES; SELECTOR
        x; Complete; 1/1; 42s; 2d3h | c,d; i,j; app=a
        x; Running; 0/1 of 2; ; 2d3h | ; ; <none>"#]],
    );
    rows(
        "batch/cronjobs",
        &[
            "spec: {schedule: '@daily', suspend: false}, status: {lastScheduleTime: '2026-01-02T00:00:00Z', active: [{}]}",
        ],
        expect![[r#"
        NAME; SCHEDULE; TIMEZONE; SUSPEND; ACTIVE; LAST SCHEDULE; AGE | CONTAINERS; IMAGES; SELECTOR
        x; @daily; <none>; False; 1; 3h4m; 2d3h | ; ; <none>"#]],
    );
}

#[test]
fn services_and_endpoints() {
    rows(
        "services",
        &[
            "spec: {type: ClusterIP, clusterIP: 10.43.0.1, ports: [{port: 443, protocol: TCP}], selector: {a: b}}",
            "spec: {type: NodePort, clusterIP: 10.43.0.2, externalIPs: [1.2.3.4], ports: [{port: 80, protocol: TCP, nodePort: 30080}, {port: 53, protocol: UDP}]}",
            "spec: {type: LoadBalancer, clusterIP: 10.43.0.3, ports: [{port: 80, protocol: TCP, nodePort: 30081}]}",
            "spec: {type: LoadBalancer, clusterIP: 10.43.0.3, ports: [{port: 80, protocol: TCP}]}, status: {loadBalancer: {ingress: [{ip: 10.44.0.1}]}}",
            "spec: {type: ExternalName, externalName: a.b}",
            "spec: {type: ClusterIP, clusterIP: None}",
        ],
        expect![[r#"
            NAME; TYPE; CLUSTER-IP; EXTERNAL-IP; PORT(S); AGE | SELECTOR
            x; ClusterIP; 10.43.0.1; <none>; 443/TCP; 2d3h | a=b
            x; NodePort; 10.43.0.2; 1.2.3.4; 80:30080/TCP,53/UDP; 2d3h | <none>
            x; LoadBalancer; 10.43.0.3; <pending>; 80:30081/TCP; 2d3h | <none>
            x; LoadBalancer; 10.43.0.3; 10.44.0.1; 80/TCP; 2d3h | <none>
            x; ExternalName; <none>; a.b; <none>; 2d3h | <none>
            x; ClusterIP; None; <none>; <none>; 2d3h | <none>"#]],
    );
    rows(
        "endpoints",
        &["subsets: [{addresses: [{ip: 10.0.0.1}, {ip: 10.0.0.2}], ports: [{port: 80}, {port: 81}]}]", "subsets: []"],
        expect![[r#"
        NAME; ENDPOINTS; AGE
        x; 10.0.0.1:80,10.0.0.1:81,10.0.0.2:80 + 1 more...; 2d3h
        x; <none>; 2d3h"#]],
    );
    rows(
        "discovery.k8s.io/endpointslices",
        &[
            "addressType: IPv4, endpoints: [{addresses: [10.0.0.1]}, {addresses: [10.0.0.2]}], ports: [{port: 80, name: ''}]",
            "addressType: IPv4",
        ],
        expect![[r#"
        NAME; ADDRESSTYPE; PORTS; ENDPOINTS; AGE
        x; IPv4; 80; 10.0.0.1,10.0.0.2; 2d3h
        x; IPv4; <unset>; <unset>; 2d3h"#]],
    );
    rows(
        "networking.k8s.io/ingresses",
        &[
            "spec: {ingressClassName: c, rules: [{host: a.b}], tls: [{}]}, status: {loadBalancer: {ingress: [{ip: 1.2.3.4}]}}",
            "spec: {}",
        ],
        expect![[r#"
        NAME; CLASS; HOSTS; ADDRESS; PORTS; AGE
        x; c; a.b; 1.2.3.4; 80, 443; 2d3h
        x; <none>; *; ; 80; 2d3h"#]],
    );
    rows(
        "registry.portolan.dev/serviceinstances",
        &[
            "spec: {service: s, address: 10.0.0.9, ports: [{port: 80, protocol: TCP}], tags: [a, b], lease: {kind: ttl, ttlSeconds: 30}}, status: {health: passing}",
        ],
        expect![[r#"
        NAME; SERVICE; ADDRESS; PORTS; HEALTH; AGE | VERSION; TAGS; LEASE; REASON
        x; s; 10.0.0.9; 80/TCP; passing; 2d3h | ; a,b; 30s; "#]],
    );
}

#[test]
fn cluster() {
    check_rows(
        "nodes",
        &[
            "{metadata: {name: n, creationTimestamp: '2026-01-02T03:04:00Z', labels: {node-role.kubernetes.io/control-plane: ''}}, spec: {unschedulable: true}, status: {conditions: [{type: Ready, status: 'True'}], addresses: [{type: InternalIP, address: 10.0.0.1}], nodeInfo: {kubeletVersion: v1.36.0, osImage: Debian, kernelVersion: 6.1, containerRuntimeVersion: 'containerd://2'}}}",
            "{metadata: {name: m}, status: {conditions: [{type: Ready, status: Unknown}]}}",
        ],
        expect![[r#"
            NAME; STATUS; ROLES; AGE; VERSION | INTERNAL-IP; EXTERNAL-IP; OS-IMAGE; KERNEL-VERSION; CONTAINER-RUNTIME
            n; Ready,SchedulingDisabled; control-plane; 5s; v1.36.0 | 10.0.0.1; <none>; Debian; <unknown>; containerd://2
            m; NotReady; <none>; <unknown>;  | <none>; <none>; <unknown>; <unknown>; <unknown>"#]],
    );
    rows(
        "namespaces",
        &["status: {phase: Active}"],
        expect![[r#"
        NAME; STATUS; AGE
        x; Active; 2d3h"#]],
    );
    rows(
        "configmaps",
        &["data: {a: b}, binaryData: {c: d}"],
        expect![[r#"
        NAME; DATA; AGE
        x; 2; 2d3h"#]],
    );
    rows(
        "secrets",
        &["type: Opaque, data: {a: b}"],
        expect![[r#"
        NAME; TYPE; DATA; AGE
        x; Opaque; 1; 2d3h"#]],
    );
    rows(
        "persistentvolumeclaims",
        &[
            "spec: {volumeName: v, storageClassName: c}, status: {phase: Bound, capacity: {storage: 1Gi}, accessModes: [ReadWriteMany, ReadWriteOnce]}",
        ],
        expect![[r#"
        NAME; STATUS; VOLUME; CAPACITY; ACCESS MODES; STORAGECLASS; VOLUMEATTRIBUTESCLASS; AGE | VOLUMEMODE
        x; Bound; v; 1Gi; RWO,RWX; c; <unset>; 2d3h | <unset>"#]],
    );
    rows(
        "persistentvolumes",
        &[
            "spec: {capacity: {storage: 1Gi}, accessModes: [ReadOnlyMany], persistentVolumeReclaimPolicy: Retain, claimRef: {namespace: a, name: b}}, status: {phase: Bound}",
        ],
        expect![[r#"
        NAME; CAPACITY; ACCESS MODES; RECLAIM POLICY; STATUS; CLAIM; STORAGECLASS; VOLUMEATTRIBUTESCLASS; REASON; AGE | VOLUMEMODE
        x; 1Gi; ROX; Retain; Bound; a/b; ; <unset>; ; 2d3h | <unset>"#]],
    );
    rows(
        "policy/poddisruptionbudgets",
        &["spec: {minAvailable: 50%}, status: {disruptionsAllowed: 1}"],
        expect![[r#"
        NAME; MIN AVAILABLE; MAX UNAVAILABLE; ALLOWED DISRUPTIONS; AGE
        x; 50%; N/A; 1; 2d3h"#]],
    );
    rows(
        "autoscaling/horizontalpodautoscalers",
        &[
            "spec: {minReplicas: 1, maxReplicas: 5, scaleTargetRef: {kind: Deployment, name: a}, metrics: [{type: Resource, resource: {name: cpu, target: {averageUtilization: 80}}}]}, status: {currentReplicas: 2, currentMetrics: [{resource: {current: {averageUtilization: 12}}}]}",
            "apiVersion: autoscaling/v1, spec: {maxReplicas: 5, scaleTargetRef: {kind: Deployment, name: a}, targetCPUUtilizationPercentage: 50}, status: {currentCPUUtilizationPercentage: 12}",
        ],
        expect![[r#"
        NAME; REFERENCE; TARGETS; MINPODS; MAXPODS; REPLICAS; AGE
        x; Deployment/a; cpu: 12%/80%; 1; 5; 2; 2d3h
        x; Deployment/a; cpu: 12%/50%; <unset>; 5; 0; 2d3h"#]],
    );
    rows(
        "rbac.authorization.k8s.io/rolebindings",
        &[
            "roleRef: {kind: Role, name: r}, subjects: [{kind: User, name: u}, {kind: ServiceAccount, namespace: n, name: s}]",
        ],
        expect![[r#"
        NAME; ROLE; AGE | USERS; GROUPS; SERVICEACCOUNTS
        x; Role/r; 2d3h | u; ; n/s"#]],
    );
}

#[test]
fn component_statuses() {
    rows(
        "componentstatuses",
        &[
            "conditions: [{type: Healthy, status: 'True', message: ok}]",
            "conditions: [{type: Healthy, status: 'False', error: away}]",
            "conditions: []",
        ],
        expect![[r#"
            NAME; STATUS; MESSAGE; ERROR
            x; Healthy; ok; 
            x; Unhealthy; ; away
            x; Unknown; ; "#]],
    );
}

#[test]
fn events() {
    rows(
        "events",
        &[
            "type: Normal, reason: Started, message: ' Started container ', count: 3, involvedObject: {kind: Pod, name: p, fieldPath: 'spec.containers{c}'}, source: {component: kubelet, host: n1}, firstTimestamp: '2026-01-02T03:00:00Z', lastTimestamp: '2026-01-02T03:04:00Z'",
            "apiVersion: events.k8s.io/v1, type: Warning, reason: Failed, note: no, regarding: {kind: Pod, name: p}, reportingController: c, eventTime: '2026-01-02T03:00:00.000000Z'",
        ],
        expect![[r#"
            LAST SEEN; TYPE; REASON; OBJECT; MESSAGE | SUBOBJECT; SOURCE; FIRST SEEN; COUNT; NAME
            5s; Normal; Started; pod/p; Started container | spec.containers{c}; kubelet, n1; 4m5s; 3; x
            4m5s; Warning; Failed; pod/p; no | ; c; 4m5s; 1; x"#]],
    );
}

#[test]
fn numbers_and_booleans_are_no_texts() {
    let queuing = "{queues: 1, handSize: 2, queueLengthLimit: 3}";
    let limited = format!("spec: {{limited: {{nominalConcurrencyShares: 5, limitResponse: {{queuing: {queuing}}}}}}}");
    let levels = "flowcontrol.apiserver.k8s.io/prioritylevelconfigurations";
    let none = json!(["<none>", "<none>", "<none>", "<none>"]);
    for (resource, body, columns, expected) in [
        ("autoscaling/horizontalpodautoscalers", "spec: {minReplicas: 2, maxReplicas: 3}", 3..6, json!(["2", 3, 0])),
        ("events", "count: 2", 8..9, json!([2])),
        ("storage.k8s.io/storageclasses", "allowVolumeExpansion: true", 4..5, json!([true])),
        ("batch/cronjobs", "spec: {suspend: true}", 3..5, json!(["True", 0])),
        ("resource.k8s.io/resourceslices", "spec: {allNodes: true}", 1..2, json!([""])),
        (levels, &limited, 2..6, json!([5, 1, 2, 3])),
        (levels, "spec: {type: Exempt, exempt: {nominalConcurrencyShares: 5}}", 2..6, none),
    ] {
        let cells = of(resource).cells(&yaml(&format!("{{{META}, {body}}}")), now());
        assert_eq!(json!(cells[columns]), expected, "{resource} {body}");
    }
}
