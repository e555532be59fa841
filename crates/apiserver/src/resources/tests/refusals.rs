//! What upstream refuses of values that look right at first sight, kind by kind.

use expect_test::expect;

use super::{check_create, check_update_of};

const POD: &str = "{metadata: {name: a}, spec: {FIELDS, containers: [{name: a, image: x CONTAINER}]}}";

fn pod(fields: &str, container: &str) -> String {
    let fields = if fields.is_empty() { "restartPolicy: Always" } else { fields };
    POD.replace("FIELDS", fields).replace("CONTAINER", container)
}

pub(super) fn check_all(resource: &str, objects: &[String], expected: expect_test::Expect) {
    let objects: Vec<&str> = objects.iter().map(String::as_str).collect();
    check_create(resource, &objects, expected);
}

#[test]
fn pods() {
    let volume = |source: &str| pod(&format!("volumes: [{{name: v, {source}}}]"), "");
    check_all(
        "pods",
        &[
            pod("os: {name: foo}", ""),
            pod("os: {}", ""),
            pod(
                "securityContext: {supplementalGroupsPolicy: Foo, seLinuxChangePolicy: Foo, fsGroupChangePolicy: Foo}",
                "",
            ),
            pod(
                "securityContext: {appArmorProfile: {type: Zed}}",
                ", securityContext: {appArmorProfile: {type: Localhost}}",
            ),
            pod(
                "securityContext: {appArmorProfile: {}}",
                ", securityContext: {appArmorProfile: {type: Unconfined, localhostProfile: p}}",
            ),
            pod(
                "",
                ", securityContext: {seccompProfile: {type: RuntimeDefault, localhostProfile: p}, procMount: Unmasked}",
            ),
            pod("hostUsers: false, hostPID: true", ""),
            pod("hostnameOverride: 'A b', setHostnameAsFQDN: true, hostNetwork: true", ""),
            pod("", ", resources: {claims: [{name: q}]}"),
            pod(
                "resourceClaims: [{name: q, resourceClaimName: r}]",
                ", resources: {claims: [{name: q}, {name: q, request: a}, {name: z}, {}]}",
            ),
            pod("hostAliases: [{ip: 1.2.3.04, hostnames: [a]}, {ip: '::ffff:1.2.3.4'}, {ip: q}]", ""),
            pod("dnsConfig: {nameservers: [1.2.3.04]}", ""),
            volume("ephemeral: {}"),
            volume("ephemeral: {volumeClaimTemplate: {spec: {}}}"),
            volume(
                "ephemeral: {volumeClaimTemplate: {metadata: {name: n}, spec: {accessModes: [ReadWriteOnce, ReadWriteOncePod], storageClassName: 'A b', resources: {requests: {storage: 1Gi}}}}}",
            ),
            volume("image: {pullPolicy: Never}"),
            volume("image: {reference: r, pullPolicy: Later}"),
            volume("iscsi: {iqn: iqn.2001-04.com.example:disk, lun: 999}"),
            volume("iscsi: {targetPortal: p, iqn: disk, lun: 1, chapAuthSession: true}"),
            volume("iscsi: {targetPortal: p, iqn: iqn.x, lun: 1, initiatorName: eui.1}"),
            volume("fc: {}"),
            volume("fc: {targetWWNs: [a], wwids: [b]}"),
            volume("csi: {driver: 'A b', nodePublishSecretRef: {}}"),
            volume("gitRepo: {directory: ../x}"),
            volume("nfs: {server: s, path: relative}"),
            volume("gcePersistentDisk: {partition: 256}"),
            volume("flocker: {datasetName: a/b, datasetUUID: u}"),
        ],
        expect![[r#"
            spec.os: Unsupported value: "foo": supported values: "linux", "windows"
            spec.os.name: Required value
            spec.securityContext.fsGroupChangePolicy: Unsupported value: "Foo": supported values: "Always", "OnRootMismatch"
            spec.securityContext.supplementalGroupsPolicy: Unsupported value: "Foo": supported values: "Merge", "Strict"
            spec.securityContext.seLinuxChangePolicy: Unsupported value: "Foo": supported values: "MountOption", "Recursive"
            spec.containers[0].securityContext.appArmorProfile.localhostProfile: Required value: must be set when AppArmor type is Localhost
            spec.securityContext.appArmorProfile.type: Unsupported value: "Zed": supported values: "Localhost", "RuntimeDefault", "Unconfined"
            spec.containers[0].securityContext.appArmorProfile.localhostProfile: Invalid value: "p": can only be set when AppArmor type is Localhost
            spec.securityContext.appArmorProfile.type: Required value: type is required when appArmorProfile is set
            spec.containers[0].securityContext.seccompProfile.localhostProfile: Invalid value: {"localhostProfile":"p","type":"RuntimeDefault"}: can only be set when seccomp type is Localhost
            spec.containers[0].securityContext.procMount: Invalid value: "Unmasked": `hostUsers` must be false to use `Unmasked`
            spec.HostPID: Forbidden: when `hostUsers` is false
            spec.hostnameOverride: Forbidden: may not be specified when setHostnameAsFQDN is true
            spec.hostnameOverride: Forbidden: may not be specified when hostNetwork is true
            spec.hostnameOverride: Invalid value: "A b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            spec.containers[0].resources.claims[0]: Not found: "q": must be one of the names in pod.spec.resourceClaims which is empty
            spec.containers[0].resources.claims[1]: Duplicate value: "q"
            spec.containers[0].resources.claims[2]: Not found: "z": must be one of the names in pod.spec.resourceClaims: q
            spec.containers[0].resources.claims[3]: Required value
            spec.hostAliases[0].ip: Invalid value: "1.2.3.04": must not have leading 0s
            spec.hostAliases[1].ip: Invalid value: "::ffff:1.2.3.4": must not be an IPv4-mapped IPv6 address
            spec.hostAliases[2].ip: Invalid value: "q": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)
            spec.dnsConfig.nameservers[0]: Invalid value: "1.2.3.04": must not have leading 0s
            spec.volumes[0].ephemeral.volumeClaimTemplate: Required value
            spec.volumes[0].ephemeral.volumeClaimTemplate.spec.accessModes: Required value: at least 1 access mode is required
            spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value
            spec.volumes[0].ephemeral.volumeClaimTemplate.metadata.name: Forbidden: cannot be set
            spec.volumes[0].ephemeral.volumeClaimTemplate.spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes
            spec.volumes[0].ephemeral.volumeClaimTemplate.spec.storageClassName: Invalid value: "A b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            spec.volumes[0].image.reference: Required value
            spec.volumes[0].image.pullPolicy: Unsupported value: "Later": supported values: "Always", "IfNotPresent", "Never"
            spec.volumes[0].iscsi.targetPortal: Required value
            spec.volumes[0].iscsi.lun: Invalid value: 999: must be between 0 and 255, inclusive
            spec.volumes[0].iscsi.iqn: Invalid value: "disk": must be valid format starting with iqn, eui, or naa
            spec.volumes[0].iscsi.secretRef: Required value
            spec.volumes[0].iscsi.iqn: Invalid value: "iqn.x": must be valid format
            spec.volumes[0].iscsi.initiatorname: Invalid value: "eui.1": must be valid format
            spec.volumes[0].fc.targetWWNs: Required value: must specify either targetWWNs or wwids, but not both
            spec.volumes[0].fc.targetWWNs: Invalid value: ["a"]: targetWWNs and wwids can not be specified simultaneously
            spec.volumes[0].fc.lun: Required value: lun is required if targetWWNs is specified
            spec.volumes[0].csi.driver: Invalid value: "A b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            spec.volumes[0].csi.nodePublishSecretRef.name: Required value
            spec.volumes[0].gitRepo.repository: Required value
            spec.volumes[0].gitRepo.directory: Invalid value: "../x": must not contain '..'
            spec.volumes[0].nfs.path: Invalid value: "relative": must be an absolute path
            spec.volumes[0].gcePersistentDisk.pdName: Required value
            spec.volumes[0].gcePersistentDisk.partition: Invalid value: 256: must be between 0 and 255, inclusive
            spec.volumes[0].flocker: Invalid value: "resource": datasetName and datasetUUID can not be specified simultaneously
            spec.volumes[0].flocker.datasetName: Invalid value: "a/b": must not contain '/'"#]],
    );
}

#[test]
fn services() {
    let service = |fields: &str| format!("{{metadata: {{name: a}}, spec: {{ports: [{{port: 80}}], {fields}}}}}");
    check_all(
        "services",
        &[
            service("externalIPs: [127.0.0.1, 0.0.0.0, 169.254.1.1, 224.0.0.5, '::1', 1.2.3.04, q]"),
            service("clusterIP: 10.43.0.9, ipFamilies: [IPv6]"),
            service("ipFamilies: [IPv4, IPv4]"),
            service("clusterIPs: [10.43.0.9, 10.43.0.10]"),
            service("type: LoadBalancer, loadBalancerSourceRanges: [10.0.0.1/8, 10.0.0.0/08, ' 10.0.0.0/8 ', x]"),
            service("healthCheckNodePort: 30000"),
        ],
        expect![[r#"
            spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)
            spec.externalIPs[1]: Invalid value: "0.0.0.0": may not be unspecified (0.0.0.0)
            spec.externalIPs[2]: Invalid value: "169.254.1.1": may not be in the link-local range (169.254.0.0/16, fe80::/10)
            spec.externalIPs[3]: Invalid value: "224.0.0.5": may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)
            spec.externalIPs[4]: Invalid value: "::1": may not be in the loopback range (127.0.0.0/8, ::1/128)
            spec.externalIPs[5]: Invalid value: "1.2.3.04": must not have leading 0s
            spec.externalIPs[6]: Invalid value: "q": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)
            spec.clusterIPs[0]: Invalid value: "10.43.0.9": expected an IPv6 value as indicated by `ipFamilies[0]`
            spec.ipFamilies[1]: Duplicate value: "IPv4"
            spec.clusterIPs: Invalid value: ["10.43.0.9","10.43.0.10"]: must be empty when `clusterIP` is not specified
            spec.clusterIPs: Invalid value: ["10.43.0.9","10.43.0.10"]: may specify no more than one IP for each IP family
            spec.LoadBalancerSourceRanges[0]: Invalid value: "10.0.0.1/8": must not have bits set beyond the prefix length
            spec.LoadBalancerSourceRanges[1]: Invalid value: "10.0.0.0/08": must not have leading 0s in IP or prefix length
            spec.LoadBalancerSourceRanges[3]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)
            spec.healthCheckNodePort: Invalid value: 30000: may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"#]],
    );
}

#[test]
fn endpoints_and_slices() {
    check_create(
        "endpoints",
        &[
            "{metadata: {name: a}, subsets: [{addresses: [{ip: 10.0.0.1}], ports: [{port: 80}]}]}",
            "{metadata: {name: a}, subsets: [{addresses: [{ip: 127.0.0.1}, {ip: '::1'}, {ip: 0.0.0.0}, {ip: 127.0.0.01}], ports: [{port: 80}]}]}",
            "{metadata: {name: a}, subsets: [{notReadyAddresses: [{ip: 169.254.169.254}, {ip: 'fe80::1'}, {ip: 224.0.0.1}, {ip: q, nodeName: 'A b'}], ports: [{}]}]}",
        ],
        expect![[r#"
            ok
            subsets[0].addresses[0].ip: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)
            subsets[0].addresses[1].ip: Invalid value: "::1": may not be in the loopback range (127.0.0.0/8, ::1/128)
            subsets[0].addresses[2].ip: Invalid value: "0.0.0.0": may not be unspecified (0.0.0.0)
            subsets[0].addresses[3].ip: Invalid value: "127.0.0.01": must not have leading 0s
            subsets[0].addresses[3].ip: Invalid value: "127.0.0.01": may not be in the loopback range (127.0.0.0/8, ::1/128)
            subsets[0].notReadyAddresses[0].ip: Invalid value: "169.254.169.254": may not be in the link-local range (169.254.0.0/16, fe80::/10)
            subsets[0].notReadyAddresses[1].ip: Invalid value: "fe80::1": may not be in the link-local range (169.254.0.0/16, fe80::/10)
            subsets[0].notReadyAddresses[2].ip: Invalid value: "224.0.0.1": may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)
            subsets[0].notReadyAddresses[3].ip: Invalid value: "q": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)
            subsets[0].notReadyAddresses[3].nodeName: Invalid value: "A b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            subsets[0].notReadyAddresses[3].ip: Invalid value: "q": must be a valid IP address
            subsets[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"#]],
    );
    let slice = |kind: &str, endpoint: &str| {
        format!("{{metadata: {{name: a}}, addressType: {kind}, endpoints: [{endpoint}], ports: [{{port: 80}}]}}")
    };
    check_all(
        "discovery.k8s.io/endpointslices",
        &[
            slice("IPv4", "{addresses: [10.0.0.1]}"),
            slice("IPv4", "{addresses: [127.0.0.1]}, {addresses: ['fd00::1']}, {addresses: [10.0.0.01]}"),
            slice("IPv6", "{addresses: ['::1', 'fe80::1', 'fd00:0::1', 10.0.0.1]}"),
            slice("FQDN", "{addresses: [localhost, a.example.com., 'A b']}"),
            slice(
                "IPv4",
                "{addresses: [10.0.0.1], hints: {forZones: [{name: a}, {name: a}, {name: 'a b'}]}, deprecatedTopology: {'a b': c}, hostname: ''}",
            ),
        ],
        expect![[r#"
            ok
            endpoints[0].addresses[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)
            endpoints[1].addresses: Invalid value: "fd00::1": must be an IPv4 address
            endpoints[2].addresses[0]: Invalid value: "10.0.0.01": must not have leading 0s
            endpoints[0].addresses[0]: Invalid value: "::1": may not be in the loopback range (127.0.0.0/8, ::1/128)
            endpoints[0].addresses[1]: Invalid value: "fe80::1": may not be in the link-local range (169.254.0.0/16, fe80::/10)
            endpoints[0].addresses[2]: Invalid value: "fd00:0::1": must be in canonical form ("fd00::1")
            endpoints[0].addresses: Invalid value: "10.0.0.1": must be an IPv6 address
            endpoints[0].addresses[0]: Invalid value: "localhost": should be a domain with at least two segments separated by dots
            endpoints[0].addresses[2]: Invalid value: "A b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            endpoints[0].deprecatedTopology: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
            endpoints[0].hostname: Invalid value: "": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
            endpoints[0].hints.forZones[1].name: Duplicate value: "a"
            endpoints[0].hints.forZones[2].name: Invalid value: "a b": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"#]],
    );
}

#[test]
fn others() {
    let workload = |fields: &str| {
        format!(
            "{{metadata: {{name: a}}, spec: {{selector: {{matchLabels: {{a: b}}}}, template: {{metadata: {{labels: {{a: b}}}}, spec: {{containers: [{{name: a, image: x}}]}}}}, {fields}}}}}"
        )
    };
    let daemon = |rolling: &str| workload(&format!("updateStrategy: {{rollingUpdate: {{{rolling}}}}}"));
    check_all(
        "apps/daemonsets",
        &[
            daemon("maxSurge: 1"),
            daemon("maxSurge: 10%, maxUnavailable: 0"),
            daemon("maxUnavailable: 0"),
            daemon("maxSurge: 1, maxUnavailable: 10%"),
        ],
        expect![[r#"
            spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero
            ok
            spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0
            spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero"#]],
    );
    check_all(
        "apps/statefulsets",
        &[
            workload("ordinals: {start: -1}, serviceName: 'A b', revisionHistoryLimit: -1"),
            workload("volumeClaimTemplates: [{metadata: {name: c}, spec: {}}]"),
        ],
        expect![[r#"
            spec.ordinals.start: Invalid value: -1: must be greater than or equal to 0
            spec.serviceName: Invalid value: "A b": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
            spec.volumeClaimTemplates[0].spec.accessModes: Required value: at least 1 access mode is required
            spec.volumeClaimTemplates[0].spec.resources[storage]: Required value"#]],
    );
    let policy = |block: &str| {
        format!("{{metadata: {{name: a}}, spec: {{podSelector: {{}}, ingress: [{{from: [{{ipBlock: {block}}}]}}]}}}}")
    };
    check_all(
        "networking.k8s.io/networkpolicies",
        &[
            policy("{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}"),
            policy("{cidr: 10.0.0.0/8, except: [11.0.0.0/16, 10.0.0.0/8, 0.0.0.0/0, x]}"),
            policy("{cidr: 10.0.0.1/8}"),
            policy("{cidr: 10.0.0.0/33}"),
            policy("{}"),
        ],
        expect![[r#"
            ok
            spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`
            spec.ingress[0].from[0].ipBlock.except[1]: Invalid value: "10.0.0.0/8": must be a strict subset of `cidr`
            spec.ingress[0].from[0].ipBlock.except[2]: Invalid value: "0.0.0.0/0": must be a strict subset of `cidr`
            spec.ingress[0].from[0].ipBlock.except[3]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)
            spec.ingress[0].from[0].ipBlock.cidr: Invalid value: "10.0.0.1/8": must not have bits set beyond the prefix length
            spec.ingress[0].from[0].ipBlock.cidr: Invalid value: "10.0.0.0/33": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)
            spec.ingress[0].from[0].ipBlock.cidr: Required value"#]],
    );
    let cron = |zone: &str| {
        format!(
            "{{metadata: {{name: a}}, spec: {{schedule: '* * * * *', timeZone: {zone}, jobTemplate: {{spec: {{template: {{spec: {{restartPolicy: Never, containers: [{{name: a, image: x}}]}}}}}}}}}}}}"
        )
    };
    check_all(
        "batch/cronjobs",
        &[cron("Europe/Berlin"), cron("Foo/Bar"), cron("Local"), cron("''")],
        expect![[r#"
            ok
            spec.timeZone: Invalid value: "Foo/Bar": unknown time zone Foo/Bar
            spec.timeZone: Invalid value: "Local": timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones
            spec.timeZone: Invalid value: "": timeZone must be nil or non-empty string"#]],
    );
    check_create(
        "storage.k8s.io/storageclasses",
        &[
            "{metadata: {name: a}, provisioner: 'a b'}",
            "{metadata: {name: a}, provisioner: a.example.com/b, parameters: {'': v}}",
            "{metadata: {name: a}, provisioner: a, allowedTopologies: [{matchLabelExpressions: [{key: zone}, {key: zone, values: [a, a]}]}]}",
        ],
        expect![[r#"
            provisioner: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
            parameters: Invalid value: "": field can not be empty.
            allowedTopologies[0].matchLabelExpressions[0].values: Required value
            allowedTopologies[0].matchLabelExpressions[1].values[1]: Duplicate value: "a"
            allowedTopologies[0].matchLabelExpressions[1].key: Duplicate value: "zone""#]],
    );
    check_create(
        "nodes",
        &[
            "{metadata: {name: a}, spec: {podCIDR: 1.2.3.4/99}}",
            "{metadata: {name: a}, spec: {podCIDR: 10.42.0.0/24}}",
            "{metadata: {name: a}, spec: {podCIDRs: [10.42.0.0/24, 10.42.1.0/24]}}",
        ],
        expect![[r#"
            spec.podCIDRs[0]: Invalid value: "1.2.3.4/99": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)
            ok
            spec.podCIDRs: Invalid value: ["10.42.0.0/24","10.42.1.0/24"]: may specify no more than one CIDR for each IP family"#]],
    );
    let volume = |fields: &str| {
        format!(
            "{{metadata: {{name: a}}, spec: {{capacity: {{storage: 1Gi}}, hostPath: {{path: /a}}, accessModes: [ReadWriteOnce], {fields}}}}}"
        )
    };
    check_all(
        "persistentvolumes",
        &[volume("storageClassName: 'A b'"), volume("nodeAffinity: {}"), volume("volumeAttributesClassName: 'A b'")],
        expect![[r#"
            spec.storageClassName: Invalid value: "A b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            spec.nodeAffinity.required: Required value: must specify required node constraints
            spec.volumeAttributesClassName: Invalid value: "A b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            spec.csi: Required value: has to be specified when using volumeAttributesClassName"#]],
    );
    check_create(
        "persistentvolumeclaims",
        &[
            "{metadata: {name: a}, spec: {accessModes: [ReadWriteOncePod, ReadOnlyMany], storageClassName: 'A b', resources: {requests: {storage: '0'}}}}",
            "{metadata: {name: a}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}, dataSource: {kind: Foo}}}",
        ],
        expect![[r#"
            spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes
            spec.resources[storage]: Invalid value: "0": must be greater than zero
            spec.storageClassName: Invalid value: "A b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            ok"#]],
    );
    check_create(
        "coordination.k8s.io/leases",
        &[
            "{metadata: {name: a}, spec: {strategy: Foo}}",
            "{metadata: {name: a}, spec: {strategy: e.io/x, preferredHolder: h}}",
            "{metadata: {name: a}, spec: {preferredHolder: h}}",
        ],
        expect![[r#"
            spec.strategy.strategy: Unsupported value: "Foo": supported values: "OldestEmulationVersion"
            ok
            spec.preferredHolder: Forbidden: may only be specified if `strategy` is defined"#]],
    );
    check_create(
        "networking.k8s.io/ingresses",
        &[
            "{metadata: {name: a}, spec: {defaultBackend: {service: {name: s, port: {number: 80}}}, tls: [{secretName: 'A b'}]}}",
        ],
        expect![[
            r#"spec.tls[0].secretName: Invalid value: "A b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"#
        ]],
    );
    let scaler = |most: i64| {
        format!(
            "{{apiVersion: autoscaling/v2, metadata: {{name: a}}, spec: {{maxReplicas: {most}, scaleTargetRef: {{kind: Deployment, name: d}}}}}}"
        )
    };
    check_all(
        "autoscaling/horizontalpodautoscalers",
        &[scaler(1), scaler(0), scaler(-1)],
        expect![[r#"
            spec.scaleTargetRef.apiVersion: Invalid value: "": apiVersion must specify API group
            spec.maxReplicas: Required value: must be set and greater than 0
            spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`
            spec.scaleTargetRef.apiVersion: Invalid value: "": apiVersion must specify API group
            spec.maxReplicas: Invalid value: -1: must be greater than or equal to 1
            spec.maxReplicas: Invalid value: -1: must be greater than or equal to `minReplicas`
            spec.scaleTargetRef.apiVersion: Invalid value: "": apiVersion must specify API group"#]],
    );
    check_update_of(
        "policy/poddisruptionbudgets",
        "status",
        &[("{metadata: {name: a}}", "{metadata: {name: a}, status: {disruptionsAllowed: -1, expectedPods: 1}}")],
        expect!["status.disruptionsAllowed: Invalid value: -1: must be greater than or equal to 0"],
    );
    check_all(
        "podtemplates",
        &["{metadata: {name: a}, template: {metadata: {labels: {'a b': c}, annotations: {'a b': c}}, spec: {containers: [{name: a, image: x}]}}}".into()],
        expect![[r#"
            template.labels: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
            template.annotations: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"#]],
    );
}
