//! What may not change, in the form in which upstream shows it, and what becomes of requests for certificates.

use expect_test::expect;

use super::{check_create, check_update, check_update_of};

#[test]
fn drivers_of_a_node_change_nothing_but_their_limits() {
    let old =
        "{spec: {drivers: [{name: a, nodeID: x, topologyKeys: [k], allocatable: {count: 1}}, {name: b, nodeID: y}]}}";
    check_update(
        "storage.k8s.io/csinodes",
        &[
            (old, "{spec: {drivers: [{name: a, nodeID: x, topologyKeys: [k], allocatable: {count: 5}}]}}"),
            (old, "{spec: {drivers: [{name: a, nodeID: x, topologyKeys: ['', k, k]}]}}"),
            (old, "{spec: {drivers: [{name: b, nodeID: z}, {name: c, nodeID: z}]}}"),
        ],
        expect![[r#"
            ok
            spec.drivers[0]: Required value
            spec.drivers[0]: Invalid value: "": name part must be non-empty
            spec.drivers[0]: Invalid value: "": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
            spec.drivers[0]: Duplicate value: "k"
            spec.drivers: Invalid value: {"Name":"a","NodeID":"x","TopologyKeys":["","k","k"],"Allocatable":null}: field is immutable
            spec.drivers: Invalid value: {"Name":"b","NodeID":"z","TopologyKeys":null,"Allocatable":null}: field is immutable"#]],
    );
}

#[test]
fn attachments_do_not_change() {
    let old = "{spec: {attacher: a, nodeName: n, source: {persistentVolumeName: v}}}";
    check_update(
        "storage.k8s.io/volumeattachments",
        &[
            (old, old),
            (old, "{spec: {attacher: a, nodeName: n, source: {persistentVolumeName: ''}}}"),
            (
                old,
                "{spec: {attacher: a, nodeName: n, source: {inlineVolumeSpec: {accessModes: [ReadWriteOnce], csi: {driver: d, volumeHandle: h}}}}}",
            ),
        ],
        expect![[r#"
            ok
            spec.source.persistentVolumeName: Required value: must specify non empty persistentVolumeName
            spec.source.persistentVolumeName: Invalid value: "": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            spec: Invalid value: {"Attacher":"a","Source":{"PersistentVolumeName":"","InlineVolumeSpec":null},"NodeName":"n"}: field is immutable
            spec: Invalid value: {"Attacher":"a","Source":{"PersistentVolumeName":null,"InlineVolumeSpec":{"Capacity":null,"GCEPersistentDisk":null,"AWSElasticBlockStore":null,"HostPath":null,"Glusterfs":null,"NFS":null,"RBD":null,"Quobyte":null,"ISCSI":null,"FlexVolume":null,"Cinder":null,"CephFS":null,"FC":null,"Flocker":null,"AzureFile":null,"VsphereVolume":null,"AzureDisk":null,"PhotonPersistentDisk":null,"PortworxVolume":null,"ScaleIO":null,"Local":null,"StorageOS":null,"CSI":{"Driver":"d","VolumeHandle":"h","ReadOnly":false,"FSType":"","VolumeAttributes":null,"ControllerPublishSecretRef":null,"NodeStageSecretRef":null,"NodePublishSecretRef":null,"ControllerExpandSecretRef":null,"NodeExpandSecretRef":null},"AccessModes":["ReadWriteOnce"],"ClaimRef":null,"PersistentVolumeReclaimPolicy":"","StorageClassName":"","MountOptions":null,"VolumeMode":null,"NodeAffinity":null,"VolumeAttributesClassName":null}},"NodeName":"n"}: field is immutable"#]],
    );
    let inline =
        |fields: &str| format!("{{spec: {{attacher: a, nodeName: n, source: {{inlineVolumeSpec: {{{fields}}}}}}}}}");
    let cases = [
        inline(
            "accessModes: [ReadWriteOnce], csi: {driver: d, volumeHandle: h}, volumeMode: Filesystem, persistentVolumeReclaimPolicy: Retain",
        ),
        inline(
            "claimRef: {}, capacity: {storage: 1Gi}, nodeAffinity: {}, storageClassName: s, volumeMode: Block, persistentVolumeReclaimPolicy: Delete",
        ),
        inline("accessModes: [ReadWriteOncePod, ReadOnlyMany], csi: {driver: d}, hostPath: {path: /a}"),
    ];
    let cases: Vec<&str> = cases.iter().map(String::as_str).collect();
    check_create(
        "storage.k8s.io/volumeattachments",
        &cases,
        expect![[r#"
        ok
        spec.source.inlineVolumeSpec.claimRef: Forbidden: may not be specified in the context of inline volumes
        spec.source.inlineVolumeSpec.capacity: Forbidden: may not be specified in the context of inline volumes
        spec.source.inlineVolumeSpec.csi: Required value: has to be specified in the context of inline volumes
        spec.source.inlineVolumeSpec.accessModes: Required value
        spec.source.inlineVolumeSpec.persistentVolumeReclaimPolicy: Forbidden: may only be Retain in the context of inline volumes
        spec.source.inlineVolumeSpec.nodeAffinity: Forbidden: may not be specified in the context of inline volumes
        spec.source.inlineVolumeSpec: Required value: must specify a volume type
        spec.source.inlineVolumeSpec.storageClassName: Forbidden: may not be specified in the context of inline volumes
        spec.source.inlineVolumeSpec.volumeMode: Forbidden: may not specify volumeMode other than Filesystem in the context of inline volumes
        spec.source.inlineVolumeSpec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes
        spec.source.inlineVolumeSpec.hostPath: Forbidden: may not specify more than 1 volume type"#]],
    );
    check_update_of(
        "storage.k8s.io/volumeattachments",
        "status",
        &[(old, "{status: {attached: true, attachError: {message: m, errorCode: -1}, detachError: {errorCode: 1}}}")],
        expect!["status.attachError.errorCode: Invalid value: -1: must be between 0 and 2147483647, inclusive"],
    );
}

#[test]
fn revisions_keep_their_data() {
    check_create(
        "apps/controllerrevisions",
        &["{revision: 1, data: {}}", "{revision: -1, data: null}", "{data: [1]}", "{data: 5}"],
        expect![[r#"
            ok
            revision: Invalid value: -1: must be greater than or equal to 0
            data: Required value: data is mandatory
            data: Required value: data must be a valid JSON object
            data: Required value: data must be a valid JSON object"#]],
    );
    let old = "{revision: 1, data: {a: b}}";
    check_update(
        "apps/controllerrevisions",
        &[(old, "{revision: 2, data: {a: b}}"), (old, "{revision: -1, data: {}}"), (old, "{revision: 1}")],
        expect![[r#"
            ok
            revision: Invalid value: -1: must be greater than or equal to 0
            data: Invalid value: {}: field is immutable
            data: Invalid value: null: field is immutable"#]],
    );
}

#[test]
fn events_of_the_newer_group_tell_the_same_for_ever() {
    let old = "{apiVersion: events.k8s.io/v1, kind: Event, metadata: {namespace: default}, eventTime: '2026-01-01T00:00:00.000000Z', regarding: {kind: Pod, namespace: default, name: p}, reason: R, note: m, type: Normal, action: A, reportingController: a.b/c, reportingInstance: i}";
    let told = "reason: R, note: m, type: Normal, action: A, reportingController: a.b/c, reportingInstance: i";
    let cases = [
        old.replace(
            "reportingInstance: i",
            "reportingInstance: i, series: {count: 2, lastObservedTime: '2026-01-01T00:00:05.000000Z'}",
        ),
        old.replace("reportingInstance: i", "reportingInstance: i, series: {count: 1}"),
        old.replace(told, "deprecatedCount: 3"),
        old.replace(
            "regarding: {kind: Pod, namespace: default, name: p}",
            "related: {kind: Node, name: n}, deprecatedSource: {host: h}",
        ),
        old.replace("00.000000Z", "01.000000Z"),
    ];
    let cases: Vec<(&str, &str)> = cases.iter().map(|new| (old, new.as_str())).collect();
    check_update(
        "events.k8s.io/events",
        &cases,
        expect![[r#"
        ok
        series.count: Invalid value: "": should be at least 2
        series.lastObservedTime: Required value
        reportingController: Required value
        reportingController: Invalid value: "": name part must be non-empty
        reportingController: Invalid value: "": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        reportingInstance: Required value
        action: Required value
        reason: Required value
        reason: Invalid value: "": field is immutable
        message: Invalid value: "": field is immutable
        count: Invalid value: 3: field is immutable
        reason: Invalid value: "": field is immutable
        type: Invalid value: "": field is immutable
        action: Invalid value: "": field is immutable
        reportingController: Invalid value: "": field is immutable
        reportingInstance: Invalid value: "": field is immutable
        involvedObject: Invalid value: {"Kind":"","Namespace":"","Name":"","UID":"","APIVersion":"","ResourceVersion":"","FieldPath":""}: field is immutable
        source: Invalid value: {"Component":"","Host":"h"}: field is immutable
        related: Invalid value: {"Kind":"Node","Namespace":"","Name":"n","UID":"","APIVersion":"","ResourceVersion":"","FieldPath":""}: field is immutable
        eventTime: Invalid value: "2026-01-01T00:00:01.000000Z": field is immutable"#]],
    );
    // The older group changes them as it likes, and takes events without a type.
    let old = "{apiVersion: v1, kind: Event, metadata: {namespace: default}, involvedObject: {kind: Pod, namespace: default, name: p}}";
    let new = "{apiVersion: v1, kind: Event, metadata: {namespace: default}, involvedObject: {kind: Pod, namespace: default, name: q}, reason: S}";
    check_update("events", &[(old, new)], expect!["ok"]);
}

#[test]
fn addresses_and_ranges_of_services_stay() {
    let old = "{metadata: {name: 10.0.0.1}, spec: {parentRef: {resource: services, namespace: n, name: s}}}";
    check_update(
        "networking.k8s.io/ipaddresses",
        &[
            (old, old),
            (old, "{metadata: {name: 10.0.0.1}, spec: {parentRef: {resource: services, namespace: n, name: t}}}"),
            (old, "{metadata: {name: 10.0.0.1}, spec: {}}"),
        ],
        expect![[r#"
            ok
            spec.parentRef: Invalid value: {"Group":"","Resource":"services","Namespace":"n","Name":"t"}: field is immutable
            spec.parentRef: Required value
            spec.parentRef: Invalid value: null: field is immutable"#]],
    );
    let (one, two) = ("{spec: {cidrs: [10.0.0.0/24]}}", "{spec: {cidrs: [10.0.0.0/24, 'fd00::/112']}}");
    check_update(
        "networking.k8s.io/servicecidrs",
        &[
            (one, two),
            (two, one),
            (two, two),
            (one, "{spec: {cidrs: [x]}}"),
            (one, "{spec: {cidrs: [10.1.0.0/24, 10.0.0.0/24]}}"),
            (two, "{spec: {cidrs: [10.0.0.0/24, 'fd01::/112']}}"),
            (one, "{spec: {}}"),
        ],
        expect![[r#"
            ok
            spec.cidrs: Invalid value: ["10.0.0.0/24"]: field is immutable
            ok
            spec.cidrs[0]: Invalid value: "x": field is immutable
            spec.cidrs[0]: Invalid value: "10.1.0.0/24": field is immutable
            spec.cidrs: Invalid value: ["10.1.0.0/24","10.0.0.0/24"]: may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64
            spec.cidrs[1]: Invalid value: "fd01::/112": field is immutable
            spec.cidrs: Invalid value: null: field is immutable"#]],
    );
    check_create(
        "networking.k8s.io/servicecidrs",
        &["{spec: {cidrs: [10.0.0.0/24, 'fd00:0::/112']}}", "{spec: {cidrs: [010.0.0.0/24, x, x]}}"],
        expect![[r#"
            spec.cidrs[1]: Invalid value: "fd00:0::/112": must be in canonical form ("fd00::/112")
            spec.cidrs: Invalid value: {"CIDRs":["010.0.0.0/24","x","x"]}: may only hold up to 2 values"#]],
    );
}

#[test]
fn requests_for_certificates() {
    let signed_by = |name: &str| format!("{{spec: {{request: eA==, usages: [any], signerName: '{name}'}}}}");
    let cases = [
        "{spec: {}}".to_owned(),
        "{spec: {request: eA==, usages: [any, any, x, x], signerName: a.b/c}}".to_owned(),
        signed_by("kubernetes.io/legacy-unknown"),
        signed_by("a.b/c.d"),
        signed_by("a"),
        signed_by("a/b/c"),
        signed_by("/"),
        signed_by("a_b.c/D"),
        signed_by(&format!("{0}.{0}.{0}.{0}/b", "x".repeat(63))),
    ];
    let cases: Vec<&str> = cases.iter().map(String::as_str).collect();
    check_create(
        "certificates.k8s.io/certificatesigningrequests",
        &cases,
        expect![[r#"
        spec.request: Invalid value: null: PEM block type must be CERTIFICATE REQUEST
        spec.usages: Required value
        spec.signerName: Required value
        spec.request: Invalid value: "eA==": PEM block type must be CERTIFICATE REQUEST
        spec.usages[1]: Duplicate value: "any"
        spec.usages[2]: Unsupported value: "x": supported values: "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment", "decipher only", "digital signature", "email protection", "encipher only", "ipsec end system", "ipsec tunnel", "ipsec user", "key agreement", "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime", "server auth", "signing", "timestamping"
        spec.usages[3]: Unsupported value: "x": supported values: "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment", "decipher only", "digital signature", "email protection", "encipher only", "ipsec end system", "ipsec tunnel", "ipsec user", "key agreement", "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime", "server auth", "signing", "timestamping"
        spec.usages[3]: Duplicate value: "x"
        spec.request: Invalid value: "eA==": PEM block type must be CERTIFICATE REQUEST
        spec.signerName: Invalid value: "kubernetes.io/legacy-unknown": the legacy signerName is not allowed via this API version
        spec.request: Invalid value: "eA==": PEM block type must be CERTIFICATE REQUEST
        spec.request: Invalid value: "eA==": PEM block type must be CERTIFICATE REQUEST
        spec.signerName: Invalid value: "a": must be a fully qualified domain and path of the form 'example.com/signer-name'
        spec.request: Invalid value: "eA==": PEM block type must be CERTIFICATE REQUEST
        spec.signerName: Invalid value: "a/b/c": must be a fully qualified domain and path of the form 'example.com/signer-name'
        spec.request: Invalid value: "eA==": PEM block type must be CERTIFICATE REQUEST
        spec.signerName: Invalid value: "": validating label "": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
        spec.signerName: Invalid value: "": should be a domain with at least two segments separated by dots
        spec.signerName: Invalid value: "": validating label "": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        spec.request: Invalid value: "eA==": PEM block type must be CERTIFICATE REQUEST
        spec.signerName: Invalid value: "a_b.c": validating label "a_b": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
        spec.signerName: Invalid value: "D": validating label "D": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        spec.request: Invalid value: "eA==": PEM block type must be CERTIFICATE REQUEST
        spec.signerName: Too long: may not be more than 253 bytes"#]],
    );
}

#[test]
fn what_becomes_of_requests_for_certificates() {
    let object = |status: &str| format!("{{spec: {{}}, status: {{{status}}}}}");
    let case = |subresource: &str, old: &str, new: &str| {
        let (strategy, context) =
            (super::of("certificates.k8s.io/certificatesigningrequests"), super::context(subresource));
        let (old, mut new) = (super::yaml(&object(old)), super::yaml(&object(new)));
        strategy.prepare_for_update(&mut new, &old, &context);
        super::lines(&strategy.validate_update(&new, &old, &context))
    };
    let condition = |kind: &str, status: &str| format!("{{type: {kind}, status: '{status}', reason: R}}");
    let conditions = |list: &[(&str, &str)]| {
        let list: Vec<String> = list.iter().map(|(kind, status)| condition(kind, status)).collect();
        format!("conditions: [{}]", list.join(", "))
    };
    let (approved, denied) = (conditions(&[("Approved", "True")]), conditions(&[("Denied", "True")]));
    let both = conditions(&[("Approved", "True"), ("Denied", "True")]);
    let lines = [
        case("approval", "", &approved),
        case("approval", "", &both),
        case("approval", &both, &both),
        case("approval", &approved, &denied),
        case("approval", "", &conditions(&[("Approved", "False"), ("''", ""), ("Mine", "Maybe"), ("Mine", "Unknown")])),
        case("approval", "", &format!("{approved}, certificate: eA==")),
        case("status", "", &approved),
        case("status", &approved, &approved.replace("reason: R", "reason: S")),
        case("status", "", &conditions(&[("Failed", "True")])),
        case("status", &conditions(&[("Failed", "True")]), ""),
        case("status", "", "certificate: eA=="),
        case("status", "certificate: eA==", "certificate: eQ=="),
    ];
    expect![[r#"
        ok
        status.conditions: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive
        ok
        status.conditions: Forbidden: updates may not remove a condition of type "Approved"
        status.conditions[0].status: Unsupported value: "False": supported values: "True"
        status.conditions[1].type: Required value
        status.conditions[1].status: Required value
        status.conditions[2].status: Unsupported value: "Maybe": supported values: "False", "True", "Unknown"
        status.conditions[3].type: Duplicate value: "Mine"
        ok
        status.conditions: Forbidden: updates may not add a condition of type "Approved"
        ok
        ok
        status.conditions: Forbidden: updates may not remove a condition of type "Failed"
        status.certificate: Invalid value: "<certificate data>": must contain at least one CERTIFICATE PEM block
        status.certificate: Forbidden: updates may not modify existing certificate content"#]]
    .assert_eq(&lines.join("\n"));
}
