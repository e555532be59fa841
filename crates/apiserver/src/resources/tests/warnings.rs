//! What is said of objects that are taken.

use expect_test::{Expect, expect};

use super::{context, of, yaml};

fn check(resource: &str, objects: &[&str], expected: Expect) {
    let strategy = of(resource);
    let lines = objects.iter().map(|text| {
        let mut object = yaml(text);
        strategy.default(&mut object);
        strategy.prepare_for_create(&mut object, &context(""));
        let warnings = strategy.warnings(&object);
        if warnings.is_empty() { "nothing".to_owned() } else { warnings.join("\n") }
    });
    expected.assert_eq(&lines.collect::<Vec<_>>().join("\n"));
}

#[test]
fn of_pods() {
    check(
        "pods",
        &[
            "{metadata: {name: a}, spec: {containers: [{name: a, image: x}]}}",
            "{metadata: {name: a.b, annotations: {scheduler.alpha.kubernetes.io/critical-pod: '', seccomp.security.alpha.kubernetes.io/pod: x}}, spec: {containers: [{name: a, image: x}]}}",
            "{metadata: {name: a}, spec: {terminationGracePeriodSeconds: -1, nodeSelector: {beta.kubernetes.io/arch: amd64}, imagePullSecrets: [{name: s}, {name: s}, {}], hostAliases: [{ip: 1.2.3.4}, {ip: 1.2.3.4}, {ip: 'fd00:0::1'}], containers: [{name: a, image: x}]}}",
            "{metadata: {name: a}, spec: {containers: [{name: a, image: x, ports: [{containerPort: 80, name: p}, {containerPort: 80}, {containerPort: 81, hostIP: 1.2.3.4}]}, {name: b, image: x, ports: [{containerPort: 80, hostPort: 8080, name: p}]}]}}",
            "{metadata: {name: a}, spec: {overhead: {memory: 100m}, containers: [{name: a, image: x, resources: {requests: {memory: 200m}, limits: {memory: 1500m, ephemeral-storage: 0.5}}}]}}",
            "{metadata: {name: a}, spec: {containers: [{name: a, image: x, env: [{name: A, value: x}, {name: A, value: '$(A)y'}, {name: A, value: z}]}]}}",
            "{metadata: {name: a}, spec: {affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: beta.kubernetes.io/os, operator: Exists}]}]}}, podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, podAffinityTerm: {topologyKey: z}}]}}, topologySpreadConstraints: [{maxSkew: 1, topologyKey: failure-domain.beta.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule}], containers: [{name: a, image: x}]}}",
            "{metadata: {name: a}, spec: {volumes: [{name: g, gitRepo: {repository: r}}, {name: c, configMap: {name: m, items: [{key: a, path: d}, {key: b, path: d/e}]}}, {name: p, projected: {sources: [{serviceAccountToken: {path: token}}, {secret: {name: s, items: [{key: a, path: token}]}}, {}]}}], containers: [{name: a, image: x}]}}",
        ],
        expect![[r#"
            nothing
            metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [must not contain dots]
            metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; use the "priorityClassName" field instead
            metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]: non-functional in v1.27+; use the "seccompProfile" field instead
            spec.nodeSelector[beta.kubernetes.io/arch]: deprecated since v1.14; use "kubernetes.io/arch" instead
            spec.hostAliases[1].ip: duplicate ip "1.2.3.4"
            spec.imagePullSecrets[1].name: duplicate name "s"
            spec.imagePullSecrets[2].name: invalid empty name ""
            spec.hostAliases[2].ip: IPv6 address "fd00:0::1" should be in RFC 5952 canonical format ("fd00::1")
            spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]
            spec.containers[0].ports[2]: hostIP set without hostPort: {Name: HostPort:0 ContainerPort:81 Protocol:TCP HostIP:1.2.3.4}
            spec.containers[1].ports[0]: overlapping port definition with spec.containers[0].ports[0]
            spec.containers[1].ports[0]: overlapping port definition with spec.containers[0].ports[1]
            spec.containers[1].ports[0]: duplicate port name "p" with spec.containers[0].ports[0], services and probes that select ports by name will use spec.containers[0].ports[0]
            spec.overhead[memory]: fractional byte value "100m" is invalid, must be an integer
            spec.containers[0].resources.limits[memory]: fractional byte value "1500m" is invalid, must be an integer
            spec.containers[0].resources.requests[memory]: fractional byte value "200m" is invalid, must be an integer
            spec.containers[0].resources.limits[ephemeral-storage]: fractional byte value "500m" is invalid, must be an integer
            spec.containers[0].resources.requests[ephemeral-storage]: fractional byte value "500m" is invalid, must be an integer
            spec.containers[0].env[2]: hides previous definition of "A", which may be dropped when using apply
            spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].key: beta.kubernetes.io/os is deprecated since v1.14; use "kubernetes.io/os" instead
            spec.topologySpreadConstraints[0].topologyKey: failure-domain.beta.kubernetes.io/zone is deprecated since v1.17; use "topology.kubernetes.io/zone" instead
            spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod
            spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.labelSelector: a null labelSelector results in matching no pod
            spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+
            volume "c" (ConfigMap "m"): overlapping paths: "d/e" with "d"
            volume "p" (Projected) has no sources provided
            volume "p" (Projected): overlapping paths: "token" (Secret "s") with "token" (ServiceAccountToken)"#]],
    );
}

#[test]
fn of_templates() {
    const TEMPLATE: &str = "template: {metadata: {labels: {a: b}ANNOTATIONS}, spec: {restartPolicy: Never, containers: [{name: a, image: x, ports: [{containerPort: 80}, {containerPort: 80}]}]}}";
    const ANNOTATIONS: &str = ", annotations: {container.apparmor.security.beta.kubernetes.io/a: unconfined}";
    let of_workload = TEMPLATE.replace("ANNOTATIONS", ANNOTATIONS);
    let workload = format!("{{metadata: {{name: a.b}}, spec: {{{of_workload}}}}}");
    let said = [
        "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [must not contain dots]",
        "spec.template.metadata.annotations[container.apparmor.security.beta.kubernetes.io/a]: deprecated since v1.30; use the \"appArmorProfile\" field instead",
        "spec.template.spec.containers[0].ports[1]: duplicate port definition with spec.template.spec.containers[0].ports[0]",
    ];
    for resource in ["apps/deployments", "apps/replicasets", "replicationcontrollers", "batch/jobs"] {
        assert_eq!(of(resource).warnings(&yaml(&workload)), said, "{resource}");
    }
    let plain = TEMPLATE.replace("ANNOTATIONS", "");
    let daemon = format!("{{metadata: {{name: a.b}}, spec: {{{plain}}}}}");
    check(
        "apps/daemonsets",
        &[&daemon],
        expect![
            "spec.template.spec.containers[0].ports[1]: duplicate port definition with spec.template.spec.containers[0].ports[0]"
        ],
    );
    let cron = format!("{{metadata: {{name: a}}, spec: {{jobTemplate: {{spec: {{{plain}}}}}}}}}");
    check(
        "batch/cronjobs",
        &[&cron],
        expect![
            "spec.jobTemplate.spec.template.spec.containers[0].ports[1]: duplicate port definition with spec.jobTemplate.spec.template.spec.containers[0].ports[0]"
        ],
    );
    let claims = "revisionHistoryLimit: -1, volumeClaimTemplates: [{metadata: {name: c}, spec: {resources: {requests: {storage: 100m}}}}]";
    let set = format!("{{metadata: {{name: a}}, spec: {{{claims}, {plain}}}}}");
    check(
        "apps/statefulsets",
        &[&set],
        expect![[r#"
        spec.template.spec.containers[0].ports[1]: duplicate port definition with spec.template.spec.containers[0].ports[0]
        spec.volumeClaimTemplates[0].spec.resources.requests[storage]: fractional byte value "100m" is invalid, must be an integer
        spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"#]],
    );
}

#[test]
fn of_others() {
    check(
        "services",
        &[
            "{metadata: {name: a}, spec: {clusterIP: None, sessionAffinity: ClientIP, externalIPs: [1.2.3.4], externalName: x, ports: [{port: 80}]}}",
            "{metadata: {name: a, annotations: {service.kubernetes.io/topology-aware-hints: auto}}, spec: {trafficDistribution: PreferClose, externalIPs: ['fd00:0::1'], ports: [{port: 80}]}}",
        ],
        expect![[r#"
            spec.externalIPs is ignored for headless services
            spec.SessionAffinity is ignored for headless services
            spec.externalName is ignored when spec.type is not "ExternalName"
            annotation service.kubernetes.io/topology-aware-hints is deprecated, please use service.kubernetes.io/topology-mode instead
            spec.externalIPs[0]: IPv6 address "fd00:0::1" should be in RFC 5952 canonical format ("fd00::1")
            spec.externalIPs is deprecated and may no longer be implemented in some clusters
            spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone""#]],
    );
    check(
        "persistentvolumeclaims",
        &[
            "{metadata: {name: a, annotations: {volume.beta.kubernetes.io/storage-class: c}}, spec: {resources: {requests: {storage: 1500m}}}}",
        ],
        expect![[r#"
        metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use "storageClassName" attribute instead
        spec.resources.requests[storage]: fractional byte value "1500m" is invalid, must be an integer"#]],
    );
    check(
        "persistentvolumes",
        &["{metadata: {name: a}, spec: {persistentVolumeReclaimPolicy: Recycle, glusterfs: {}}}"],
        expect![[r#"
        spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.
        spec.glusterfs: deprecated in v1.25, non-functional in v1.26+"#]],
    );
    check(
        "networking.k8s.io/ingresses",
        &["{metadata: {name: a, annotations: {kubernetes.io/ingress.class: c}}, spec: {}}"],
        expect![[
            r#"annotation "kubernetes.io/ingress.class" is deprecated, please use 'spec.ingressClassName' instead"#
        ]],
    );
    check(
        "discovery.k8s.io/endpointslices",
        &[
            "{metadata: {name: a}, addressType: FQDN}",
            "{metadata: {name: a}, addressType: IPv6, endpoints: [{addresses: ['fd00:0::1']}]}",
        ],
        expect![[r#"
        spec.addressType: FQDN endpoints are deprecated
        endpoints[0].addresses[0]: IPv6 address "fd00:0::1" should be in RFC 5952 canonical format ("fd00::1")"#]],
    );
    check(
        "nodes",
        &["{metadata: {name: a}, spec: {configSource: {}, externalID: x, podCIDRs: ['fd00:0::/64']}}"],
        expect![[r#"
        spec.configSource: the feature is removed
        spec.externalID: this field is deprecated, and is unused by Kubernetes
        spec.podCIDRs[0]: IPv6 CIDR value "fd00:0::/64" should be in RFC 5952 canonical format ("fd00::/64")"#]],
    );
    check(
        "storage.k8s.io/storageclasses",
        &[
            "{metadata: {name: a}, allowedTopologies: [{matchLabelExpressions: [{key: failure-domain.beta.kubernetes.io/zone, values: [a]}]}]}",
        ],
        expect![[
            r#"allowedTopologies[0].matchLabelExpressions[0].key: deprecated since v1.17; use "topology.kubernetes.io/zone" instead"#
        ]],
    );
    check(
        "node.k8s.io/runtimeclasses",
        &["{metadata: {name: a}, handler: h, scheduling: {nodeSelector: {beta.kubernetes.io/os: linux}}}"],
        expect![[r#"scheduling.nodeSelector: deprecated since v1.14; use "kubernetes.io/os" instead"#]],
    );
    check(
        "serviceaccounts",
        &["{metadata: {name: a, annotations: {kubernetes.io/enforce-mountable-secrets: 'true'}}}"],
        expect![
            "metadata.annotations[kubernetes.io/enforce-mountable-secrets]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
        ],
    );
    check(
        "resourcequotas",
        &["{metadata: {name: a}, spec: {hard: {cpu: '4', limits.cpu: '2', requests.memory: 1Gi, limits.memory: 2Gi}}}"],
        expect!["ResourceQuota cpu (4) should be less than limits.cpu (2)"],
    );
}
