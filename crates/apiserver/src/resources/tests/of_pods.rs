//! Statuses of pods and of what owns them, and rules that came late.

use expect_test::expect;
use serde_json::json;

use super::{check_create, check_stored, check_update, check_update_of, context, of, yaml};

#[test]
fn reports_about_pods() {
    let old =
        "{spec: {containers: [{name: a, image: x, resources: {requests: {a.b/c: 1}}}], restartPolicy: OnFailure}}";
    let cases = [
        "{status: {phase: Running, hostIP: 10.0.0.1, hostIPs: [{ip: 10.0.0.1}], podIP: 10.1.0.1, podIPs: [{ip: 10.1.0.1}, {ip: 'fd00::1'}], conditions: [{type: Ready, status: 'True'}]}}",
        "{status: {observedGeneration: -1, qosClass: Guaranteed, nominatedNodeName: A, conditions: [{type: a b, observedGeneration: -1}]}}",
        "{status: {podIP: x, hostIP: 10.0.0.1, hostIPs: [{ip: 10.0.0.2}, {ip: 10.0.0.3}]}}",
        "{status: {podIPs: [{ip: 10.0.0.2}, {ip: x}]}}",
        "{status: {containerStatuses: [{name: a, user: {linux: {uid: -1, gid: 1, supplementalGroups: [-1]}}, allocatedResourcesStatus: [{name: a.b/c, resources: [{resourceID: r, health: Healthy}, {resourceID: r}]}, {name: d}, {name: 'claim:d'}]}]}}",
        "{status: {ephemeralContainerStatuses: [{name: e, allocatedResourcesStatus: [{name: d}]}], resourceClaimStatuses: [{name: x, resourceClaimName: A}, {name: x}]}}",
    ];
    let cases: Vec<(&str, &str)> = cases.iter().map(|new| (old, *new)).collect();
    check_update_of(
        "pods",
        "status",
        &cases,
        expect![[r#"
        ok
        status.conditions[0].observedGeneration: Invalid value: -1: must be a non-negative integer
        status.conditions[0].Type: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        status.nominatedNodeName: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        status.observedGeneration: Invalid value: -1: must be a non-negative integer
        status.qosClass: Invalid value: "Guaranteed": field is immutable
        status.hostIPs[0].ip: Invalid value: "10.0.0.2": must be equal to `hostIP`
        status.podIPs[0]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)
        status.hostIPs: Invalid value: [{"IP":"10.0.0.2"},{"IP":"10.0.0.3"}]: may specify no more than one IP for each IP family
        status.podIPs[1]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)
        status.podIPs: Internal error: failed to check for dual stack with error:invalid IP[1]: x
        status.podIPs: Invalid value: [{"IP":"10.0.0.2"},{"IP":"x"}]: may specify no more than one IP for each IP family
        status.containerStatuses[0].user.linux.uid: Invalid value: -1: must be between 0 and 2147483647, inclusive
        status.containerStatuses[0].user.linux.supplementalGroups[0]: Invalid value: -1: must be between 0 and 2147483647, inclusive
        status.containerStatuses[0].allocatedResourcesStatus[0].resources[1].health: Unsupported value: "": supported values: "Healthy", "Unhealthy", "Unknown"
        status.containerStatuses[0].allocatedResourcesStatus[0].resources[1].resourceID: Duplicate value: "r"
        status.containerStatuses[0].allocatedResourcesStatus[1].name: Invalid value: "d": must match one of the container's resource requests
        status.containerStatuses[0].allocatedResourcesStatus[2].name: Invalid value: "claim:d": must match one of the container's resource claims in a format 'claim:<claimName>/<request>' or 'claim:<claimName>' if request is empty
        status.ephemeralContainerStatuses[0].allocatedResourcesStatus: Forbidden: must not be specified in container status
        status.resourceClaimStatuses[0].name: Invalid value: "x": must match the name of an entry in `spec.resourceClaims`
        status.resourceClaimStatuses[0].resourceClaimName: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        status.resourceClaimStatuses[1].name: Invalid value: "x": must match the name of an entry in `spec.resourceClaims`
        status.resourceClaimStatuses[1].name: Duplicate value: "x""#]],
    );
}

#[test]
fn what_has_ended_runs_again_if_the_pod_wants_that() {
    let run = |list: &str, policy: &str, container: &str, code: i64| {
        let strategy = of("pods");
        let context = super::context("status");
        let pod = |state: &str| {
            let statuses = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];
            let statuses = statuses.iter().find(|statuses| list.starts_with(&statuses[..4])).expect("it has statuses");
            let other = ", containers: [{name: o, image: x}]".repeat(usize::from(list != "containers"));
            yaml(&format!(
                "{{spec: {{restartPolicy: {policy}, {list}: [{{name: a, image: x{container}}}]{other}}}, status: {{{statuses}: [{{name: a, state: {state}}}]}}}}"
            ))
        };
        let old = pod(&format!("{{terminated: {{exitCode: {code}}}}}"));
        strategy.validate_changed(&pod("{running: {}}"), &old, &context, &mut Vec::new()).is_empty()
    };
    let rule =
        ", restartPolicy: Never, restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [3]}}]";
    let all = ", restartPolicy: Never, restartPolicyRules: [{action: RestartAllContainers, exitCodes: {operator: NotIn, values: [0]}}]";
    let cases = [
        ("containers", "Always", "", 0, true),
        ("containers", "OnFailure", "", 0, false),
        ("containers", "OnFailure", "", 1, true),
        ("containers", "Never", "", 1, false),
        ("containers", "Never", ", restartPolicy: Always", 1, true),
        ("containers", "Always", rule, 3, true),
        ("containers", "Always", rule, 4, false),
        ("containers", "Never", all, 1, true),
        ("containers", "Never", all, 0, true),
        ("initContainers", "Never", "", 1, false),
        ("initContainers", "Never", rule, 3, true),
        ("initContainers", "Never", all, 0, true),
        ("ephemeralContainers", "Always", "", 1, false),
        ("ephemeralContainers", "Always", all, 1, false),
    ];
    for (list, policy, container, code, expected) in cases {
        assert_eq!(run(list, policy, container, code), expected, "{list} {policy} {container} {code}");
    }
}

#[test]
fn rules_say_after_which_codes_containers_start_again() {
    let repeated = |text: &str, count: usize| vec![text; count].join(", ");
    let rule = "{action: Restart, exitCodes: {operator: In, values: [1]}}";
    let cases = [
        "restartPolicy: Never".to_owned(),
        format!("restartPolicy: Never, restartPolicyRules: [{}]", repeated(rule, 20)),
        format!(
            "restartPolicy: Always, restartPolicyRules: [{rule}, {{action: RestartAllContainers, exitCodes: {{operator: NotIn, values: [{}]}}}}]",
            repeated("2", 255)
        ),
        format!("restartPolicyRules: [{rule}, {{action: Stop}}]"),
        "restartPolicy: Often, restartPolicyRules: [{action: '', exitCodes: {operator: '', values: []}}]".to_owned(),
        format!("restartPolicy: Never, restartPolicyRules: [{}]", repeated(rule, 21)),
        format!(
            "restartPolicy: Never, restartPolicyRules: [{{action: Stop, exitCodes: {{operator: Is, values: [{}]}}}}]",
            repeated("2", 256)
        ),
    ];
    let pods = |list: &str| -> Vec<String> {
        let other = "containers: [{name: o, image: x}], ".repeat(usize::from(list != "containers"));
        cases.iter().map(|case| format!("{{spec: {{{other}{list}: [{{name: a, image: x, {case}}}]}}}}")).collect()
    };
    let of = |list: &str| pods(list).iter().map(|pod| super::create("pods", pod)).collect::<Vec<_>>().join("\n");
    expect![[r#"
        ok
        ok
        ok
        spec.containers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are used
        spec.containers[0].restartPolicyRules[1].action: Unsupported value: "Stop": supported values: "Restart", "RestartAllContainers"
        spec.containers[0].restartPolicyRules[1].exitCodes: Required value: must be specified
        spec.containers[0].restartPolicy: Unsupported value: "Often": supported values: "Always", "Never", "OnFailure"
        spec.containers[0].restartPolicyRules[0].action: Unsupported value: "": supported values: "Restart", "RestartAllContainers"
        spec.containers[0].restartPolicyRules[0].exitCodes.operator: Unsupported value: "": supported values: "In", "NotIn"
        spec.containers[0].restartPolicyRules: Too many: 21: must have at most 20 items
        spec.containers[0].restartPolicyRules[0].action: Unsupported value: "Stop": supported values: "Restart", "RestartAllContainers"
        spec.containers[0].restartPolicyRules[0].exitCodes.operator: Unsupported value: "Is": supported values: "In", "NotIn"
        spec.containers[0].restartPolicyRules[0].exitCodes.values: Too many: 256: must have at most 255 items"#]]
    .assert_eq(&of("containers"));
    expect![[r#"
        ok
        ok
        ok
        spec.initContainers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are used
        spec.initContainers[0].restartPolicy: Unsupported value: "Often": supported values: "Always", "Never", "OnFailure"
        spec.initContainers[0].restartPolicyRules[0].action: Unsupported value: "": supported values: "Restart", "RestartAllContainers"
        spec.initContainers[0].restartPolicyRules[0].exitCodes.operator: Unsupported value: "": supported values: "In", "NotIn"
        spec.initContainers[0].restartPolicyRules: Too many: 21: must have at most 20 items
        spec.initContainers[0].restartPolicyRules[0].action: Unsupported value: "Stop": supported values: "Restart", "RestartAllContainers"
        spec.initContainers[0].restartPolicyRules[0].exitCodes.operator: Unsupported value: "Is": supported values: "In", "NotIn"
        spec.initContainers[0].restartPolicyRules[0].exitCodes.values: Too many: 256: must have at most 255 items"#]]
    .assert_eq(&of("initContainers"));
}

#[test]
fn a_report_keeps_what_it_leaves_out() {
    let (strategy, context) = (of("pods"), super::context("status"));
    let old = yaml(
        "{spec: {nodeName: a}, status: {qosClass: Burstable, observedGeneration: 3, conditions: [{type: A, observedGeneration: 1}, {type: A, observedGeneration: 2}, {type: B, observedGeneration: 3}]}}",
    );
    let mut new =
        yaml("{spec: {}, status: {conditions: [{type: A}, {type: A}, {type: B, observedGeneration: 4}, {type: C}]}}");
    strategy.prepare_for_update(&mut new, &old, &context);
    let expected = yaml(
        "{spec: {nodeName: a}, status: {qosClass: Burstable, observedGeneration: 3, conditions: [{type: A, observedGeneration: 1}, {type: A, observedGeneration: 2}, {type: B, observedGeneration: 4}, {type: C}]}}",
    );
    assert_eq!(new, expected);
}

#[test]
fn one_address_and_the_list_of_them_say_the_same() {
    let cases = [
        ("{podIP: 1.1.1.1}", "{podIP: 1.1.1.1, podIPs: [{ip: 1.1.1.1}]}"),
        ("{podIPs: [{ip: 1.1.1.1}, {ip: '::1'}]}", "{podIP: 1.1.1.1, podIPs: [{ip: 1.1.1.1}, {ip: '::1'}]}"),
        ("{podIP: 1.1.1.1, podIPs: [{ip: 1.1.1.2}, {ip: '::1'}]}", "{podIP: 1.1.1.1, podIPs: [{ip: 1.1.1.1}]}"),
        ("{phase: Pending}", "{phase: Pending}"),
    ];
    for (given, expected) in cases {
        let mut pod = yaml(&format!("{{status: {given}}}"));
        of("pods").default(&mut pod);
        assert_eq!(pod["status"], yaml(expected), "{given}");
    }
}

#[test]
fn statuses_of_workloads() {
    let old = "{spec: {}, status: {collisionCount: 2}}";
    for resource in ["apps/deployments", "apps/statefulsets", "apps/daemonsets"] {
        let strategy = of(resource);
        let context = super::context("status");
        let wrong = |status: &str| {
            let mut new = yaml(&format!("{{status: {status}}}"));
            strategy.prepare_for_update(&mut new, &yaml(old), &context);
            super::lines(&strategy.validate_update(&new, &yaml(old), &context))
        };
        assert_eq!(wrong("{collisionCount: 2}"), "ok", "{resource}");
        let decremented = "status.collisionCount: Invalid value: 1: cannot be decremented";
        assert_eq!(wrong("{collisionCount: 1}"), decremented, "{resource}");
        assert_eq!(wrong("{}"), decremented.replace('1', "0"), "{resource}");
    }
    let workload = "{spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: x}]}}}}";
    let cases =
        [(workload, "{status: {replicas: 2, readyReplicas: 1, availableReplicas: 2, terminatingReplicas: -1}}")];
    for resource in ["apps/deployments", "apps/replicasets"] {
        check_update_of(
            resource,
            "status",
            &cases,
            expect![[r#"
            status.terminatingReplicas: Invalid value: -1: must be greater than or equal to 0
            status.availableReplicas: Invalid value: 2: cannot be greater than readyReplicas"#]],
        );
    }
    let cases = [(workload, "{status: {replicas: 0, readyReplicas: 1, availableReplicas: 2, observedGeneration: -1}}")];
    check_update_of(
        "apps/statefulsets",
        "status",
        &cases,
        expect![[r#"
        status.observedGeneration: Invalid value: -1: must be greater than or equal to 0
        status.readyReplicas: Invalid value: 1: cannot be greater than status.replicas
        status.availableReplicas: Invalid value: 2: cannot be greater than status.replicas
        status.availableReplicas: Invalid value: 2: cannot be greater than status.readyReplicas"#]],
    );
}

#[test]
fn statuses_of_disruption_budgets() {
    let old = "{spec: {minAvailable: 1}}";
    let cases = [
        "{status: {conditions: [{type: A, status: 'True', reason: R, lastTransitionTime: '2026-01-01T00:00:00Z', message: ''}]}}",
        "{status: {conditions: [{type: A, status: 'Yes', observedGeneration: -1, reason: a b}, {type: A, status: 'False', reason: 'A:B'}, {}]}}",
    ];
    let cases: Vec<(&str, &str)> = cases.iter().map(|new| (old, *new)).collect();
    check_update_of(
        "policy/poddisruptionbudgets",
        "status",
        &cases,
        expect![[r#"
        ok
        status.conditions[0].status: Unsupported value: "Yes": supported values: "False", "True", "Unknown"
        status.conditions[0].observedGeneration: Invalid value: -1: must be greater than or equal to zero
        status.conditions[0].lastTransitionTime: Required value
        status.conditions[0].reason: Invalid value: "a b": a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')
        status.conditions[1].type: Duplicate value: "A"
        status.conditions[1].lastTransitionTime: Required value
        status.conditions[2].type: Invalid value: "": name part must be non-empty
        status.conditions[2].type: Invalid value: "": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        status.conditions[2].status: Unsupported value: "": supported values: "False", "True", "Unknown"
        status.conditions[2].lastTransitionTime: Required value
        status.conditions[2].reason: Required value"#]],
    );
}

#[test]
fn what_cannot_change_is_not_looked_at_again() {
    let set = |fields: &str| {
        format!(
            "{{spec: {{selector: {{matchLabels: {{a: b}}}}, template: {{metadata: {{labels: {{a: b}}}}, spec: {{containers: [{{name: a, image: x}}]}}}}{fields}}}}}"
        )
    };
    let (old, new) = (set(""), set(", serviceName: A, volumeClaimTemplates: [{metadata: {name: v}}]"));
    check_create(
        "apps/statefulsets",
        &[&new],
        expect![[r#"
        spec.volumeClaimTemplates[0].spec.accessModes: Required value: at least 1 access mode is required
        spec.volumeClaimTemplates[0].spec.resources[storage]: Required value
        spec.serviceName: Invalid value: "A": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"#]],
    );
    check_update(
        "apps/statefulsets",
        &[(&old, &new)],
        expect![
            "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
        ],
    );
    check_update(
        "scheduling.k8s.io/priorityclasses",
        &[("{metadata: {name: a}, value: 1}", "{metadata: {name: a}, value: 2000000000, preemptionPolicy: X}")],
        expect![[r#"
            value: Forbidden: may not be changed in an update.
            preemptionPolicy: Invalid value: "X": field is immutable"#]],
    );
}

#[test]
fn what_only_some_containers_may_say() {
    check_create(
        "pods",
        &[
            "{spec: {volumes: [{name: v, emptyDir: {sizeLimit: '-1'}}, {name: w, emptyDir: {}}], containers: [{name: a, image: x, restartPolicy: '', volumeMounts: [{name: v, mountPath: /v}], volumeDevices: [{name: w, devicePath: /v}, {name: u, devicePath: /a/../b}]}]}}",
            "{spec: {volumes: [{name: v, projected: {sources: [{configMap: {name: c, items: [{key: k, path: p}, {key: l, path: p}]}}, {downwardAPI: {items: [{path: p, fieldRef: {fieldPath: metadata.name}}]}}, {serviceAccountToken: {path: ..}}]}}], containers: [{name: a, image: x, securityContext: {seccompProfile: {}}}]}}",
            "{spec: {containers: [{name: a, image: x}], initContainers: [{name: i, image: x, livenessProbe: {}}], ephemeralContainers: [{name: e, image: x, livenessProbe: {}, restartPolicy: Always}], resourceClaims: [{name: a}, {name: b, resourceClaimName: A}]}}",
        ],
        expect![[r#"
            spec.volumes[0].emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid resource quantity
            spec.containers[0].volumeMounts[0].name: Not found: "v"
            spec.containers[0].volumeDevices[0].name: Invalid value: "w": can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode
            spec.containers[0].volumeDevices[0].devicePath: Invalid value: "/v": must not already exist as a path in volumeMounts
            spec.containers[0].volumeDevices[1].name: Not found: "u"
            spec.containers[0].volumeDevices[1].devicePath: Invalid value: "/a/../b": can not contain backsteps ('..')
            spec.containers[0].restartPolicy: Unsupported value: "": supported values: "Always", "Never", "OnFailure"
            spec.volumes[0].projected: Invalid value: "c": conflicting duplicate paths
            spec.volumes[0].projected: Invalid value: "p": conflicting duplicate paths
            spec.volumes[0].projected.path: Invalid value: "..": must not contain '..'
            spec.volumes[0].projected.path: Invalid value: "..": must not start with '..'
            spec.containers[0].securityContext.seccompProfile.type: Required value: type is required when seccompProfile is set
            spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always
            spec.resourceClaims[0]: Invalid value: {"Name":"a","ResourceClaimName":null,"ResourceClaimTemplateName":null}: must specify one of: `resourceClaimName`, `resourceClaimTemplateName`
            spec.resourceClaims[1].resourceClaimName: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            spec.ephemeralContainers[0].livenessProbe: Forbidden: cannot be set for an Ephemeral Container
            spec.ephemeralContainers[0].restartPolicy: Forbidden: cannot be set for an Ephemeral Container"#]],
    );
    check_create("replicationcontrollers", &["{spec: {selector: {a: b}}}"], expect!["spec.template: Required value"]);
    check_stored(
        "pods",
        "{spec: {terminationGracePeriodSeconds: -5}}",
        expect![[r#"
        spec:
          dnsPolicy: ClusterFirst
          enableServiceLinks: true
          restartPolicy: Always
          schedulerName: default-scheduler
          securityContext: {}
          terminationGracePeriodSeconds: 1
        status:
          phase: Pending
          qosClass: BestEffort
    "#]],
    );
}

#[test]
fn a_gate_holds_a_new_pod_up_and_says_so() {
    let made = |gates: &str| {
        let mut pod = yaml(&format!("{{spec: {{containers: [], schedulingGates: {gates}}}}}"));
        of("pods").prepare_for_create(&mut pod, &context(""));
        pod["status"]["conditions"].clone()
    };
    assert!(made("[]").is_null());
    let gated = json!([{
        "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
        "message": "Scheduling is blocked due to non-empty scheduling gates",
        "lastProbeTime": null, "lastTransitionTime": "2026-01-02T03:04:05Z",
    }]);
    assert_eq!(made("[{name: a.b/c}]"), gated);
}

#[test]
fn who_writes_a_set_of_daemons_writes_the_generation_of_its_template() {
    for (annotations, generation) in [("{}", "0"), ("{deprecated.daemonset.template.generation: '3'}", "3")] {
        let mut set = yaml(&format!("{{metadata: {{annotations: {annotations}}}}}"));
        of("apps/daemonsets").default(&mut set);
        let shown = &set["metadata"]["annotations"]["deprecated.daemonset.template.generation"];
        assert_eq!(shown, generation, "{annotations}");
    }
}

#[test]
fn a_generation_that_is_no_number_cannot_be_read() {
    let set = |generation: &str| {
        yaml(&format!("{{metadata: {{annotations: {{deprecated.daemonset.template.generation: '{generation}'}}}}}}"))
    };
    let cases = [
        ("5", None),
        ("-5", None),
        ("", Some("strconv.ParseInt: parsing \"\": invalid syntax")),
        ("a b", Some("strconv.ParseInt: parsing \"a b\": invalid syntax")),
        ("9223372036854775808", Some("strconv.ParseInt: parsing \"9223372036854775808\": value out of range")),
    ];
    for (generation, expected) in cases {
        assert_eq!(of("apps/daemonsets").unreadable(&set(generation)).as_deref(), expected, "{generation}");
    }
}

#[test]
fn containers_sleep_no_longer_than_the_pod_has_for_its_end() {
    let pod = |pod: &str, lifecycle: &str| {
        format!("{{spec: {{{pod}containers: [{{name: a, image: x, lifecycle: {{{lifecycle}}}}}]}}}}")
    };
    let five = "terminationGracePeriodSeconds: 5, ";
    let cases = [
        pod(five, "preStop: {sleep: {seconds: 5}}, postStart: {sleep: {seconds: 0}}"),
        pod(five, "preStop: {sleep: {seconds: 6}}, postStart: {sleep: {}}"),
        pod("", "preStop: {sleep: {seconds: -1}}, postStart: {sleep: {seconds: 31}, exec: {command: [a]}}"),
        pod("", "postStart: {sleep: {seconds: 31}}"),
    ];
    let cases: Vec<&str> = cases.iter().map(String::as_str).collect();
    check_create(
        "pods",
        &cases,
        expect![[r#"
        ok
        spec.containers[0].lifecycle.preStop.sleep: Invalid value: 6: must be non-negative and less than terminationGracePeriodSeconds (5)
        spec.containers[0].lifecycle.postStart.sleep: Forbidden: may not specify more than 1 handler type
        spec.containers[0].lifecycle.preStop.sleep: Invalid value: -1: must be non-negative and less than terminationGracePeriodSeconds (30)
        spec.containers[0].lifecycle.postStart.sleep: Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)"#]],
    );
}

#[test]
fn what_a_container_may_contradicts_itself_in_upstreams_form() {
    check_create(
        "pods",
        &[
            "{spec: {containers: [{name: a, image: x, securityContext: {privileged: true, allowPrivilegeEscalation: false, runAsUser: 1}}]}}",
            "{spec: {containers: [{name: a, image: x, securityContext: {allowPrivilegeEscalation: false, capabilities: {add: [SYS_ADMIN, CAP_SYS_ADMIN]}, seLinuxOptions: {level: l}}}]}}",
            "{spec: {containers: [{name: a, image: x, securityContext: {allowPrivilegeEscalation: false, capabilities: {add: [SYS_ADMIN]}}}]}}",
        ],
        expect![[r#"
            spec.containers[0].securityContext: Invalid value: {"Capabilities":null,"Privileged":true,"SELinuxOptions":null,"WindowsOptions":null,"RunAsUser":1,"RunAsGroup":null,"RunAsNonRoot":null,"ReadOnlyRootFilesystem":null,"AllowPrivilegeEscalation":false,"ProcMount":null,"SeccompProfile":null,"AppArmorProfile":null}: cannot set `allowPrivilegeEscalation` to false and `privileged` to true
            spec.containers[0].securityContext: Invalid value: {"Capabilities":{"Add":["SYS_ADMIN","CAP_SYS_ADMIN"],"Drop":null},"Privileged":null,"SELinuxOptions":{"User":"","Role":"","Type":"","Level":"l"},"WindowsOptions":null,"RunAsUser":null,"RunAsGroup":null,"RunAsNonRoot":null,"ReadOnlyRootFilesystem":null,"AllowPrivilegeEscalation":false,"ProcMount":null,"SeccompProfile":null,"AppArmorProfile":null}: cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN
            ok"#]],
    );
}

/// Their feature gates are off unless somebody turns them on.
#[test]
fn fields_that_are_not_done_are_dropped() {
    check_stored(
        "pods",
        "{spec: {schedulingGroup: {podGroupName: g}, containers: [{name: a, image: x, lifecycle: {stopSignal: SIGUSR1}}], initContainers: [{name: b, image: x, lifecycle: {stopSignal: SIGUSR1, preStop: {sleep: {seconds: 1}}}}], volumes: [{name: v, projected: {sources: [{clusterTrustBundle: {name: b, path: p}}, {podCertificate: {signerName: s}}, {secret: {name: s}}]}}]}}",
        expect![[r#"
            spec:
              containers:
              - image: x
                imagePullPolicy: Always
                name: a
                resources: {}
                terminationMessagePath: /dev/termination-log
                terminationMessagePolicy: File
              dnsPolicy: ClusterFirst
              enableServiceLinks: true
              initContainers:
              - image: x
                imagePullPolicy: Always
                lifecycle:
                  preStop:
                    sleep:
                      seconds: 1
                name: b
                resources: {}
                terminationMessagePath: /dev/termination-log
                terminationMessagePolicy: File
              restartPolicy: Always
              schedulerName: default-scheduler
              securityContext: {}
              terminationGracePeriodSeconds: 30
              volumes:
              - name: v
                projected:
                  defaultMode: 420
                  sources:
                  - {}
                  - {}
                  - secret:
                      name: s
            status:
              phase: Pending
              qosClass: BestEffort
        "#]],
    );
}
