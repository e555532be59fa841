//! The checks of each level, in the order in which they complain.

use std::ops::Range;

use super::pod::{Pod, Violation};
use super::policy::Level;
use super::{baseline, restricted};

/// A check, and the minor versions of Kubernetes in which a level has it.
struct Check {
    run: fn(&Pod<'_>) -> Option<Violation>,
    versions: Range<u32>,
}

const fn always(run: fn(&Pod<'_>) -> Option<Violation>) -> Check {
    Check { run, versions: 0..u32::MAX }
}

const fn since(first: u32, run: fn(&Pod<'_>) -> Option<Violation>) -> Check {
    Check { run, versions: first..u32::MAX }
}

const fn before(end: u32, run: fn(&Pod<'_>) -> Option<Violation>) -> Check {
    Check { run, versions: 0..end }
}

const BASELINE: &[Check] = &[
    always(baseline::app_armor),
    always(baseline::capabilities),
    always(baseline::host_namespaces),
    always(baseline::host_path_volumes),
    always(baseline::host_ports),
    since(34, baseline::host_probes),
    always(baseline::privileged),
    always(baseline::proc_mount),
    always(baseline::se_linux),
    always(baseline::seccomp),
    always(baseline::sysctls),
    always(baseline::windows_host_process),
];

/// Those of the baseline that no check of the restricted level takes the place of, then the further ones.
const RESTRICTED: &[Check] = &[
    always(baseline::app_armor),
    before(22, baseline::capabilities),
    always(baseline::host_namespaces),
    always(baseline::host_ports),
    since(34, baseline::host_probes),
    always(baseline::privileged),
    before(35, baseline::proc_mount),
    always(baseline::se_linux),
    before(19, baseline::seccomp),
    always(baseline::sysctls),
    always(baseline::windows_host_process),
    since(8, restricted::privilege_escalation),
    since(22, restricted::capabilities),
    since(35, restricted::proc_mount),
    always(restricted::volumes),
    always(restricted::non_root),
    since(23, restricted::user),
    since(19, restricted::seccomp),
];

/// What is wrong with a pod on a level.
pub(super) fn violations(level: Level, pod: &Pod<'_>) -> Vec<Violation> {
    let checks = match level {
        Level::Privileged => &[],
        Level::Baseline => BASELINE,
        Level::Restricted => RESTRICTED,
    };
    // The latest version is a number that no range ends behind.
    let minor = pod.minor.min(u32::MAX - 1);
    checks.iter().filter(|check| check.versions.contains(&minor)).filter_map(|check| (check.run)(pod)).collect()
}

/// All complaints in one line.
pub(super) fn told(violations: &[Violation]) -> String {
    let parts = violations.iter().map(|it| match it.detail.as_str() {
        "" => it.reason.clone(),
        detail => format!("{} ({detail})", it.reason),
    });
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::{Value, json};

    use super::*;

    fn check(level: Level, spec: Value, expected: Expect) {
        let metadata = json!({});
        let pod = Pod { metadata: &metadata, spec: &spec, minor: u32::MAX };
        expected.assert_eq(&told(&violations(level, &pod)));
    }

    #[test]
    fn a_plain_pod_is_not_restricted() {
        let plain = || json!({"containers": [{"name": "c"}]});
        check(Level::Privileged, plain(), expect![[""]]);
        check(Level::Baseline, plain(), expect![[""]]);
        check(
            Level::Restricted,
            plain(),
            expect![[
                r#"allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")"#
            ]],
        );
        let good = json!({
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "c", "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}],
        });
        check(Level::Restricted, good, expect![[""]]);
    }

    #[test]
    fn a_pod_that_takes_over_its_node_is_told_everything() {
        let bold = || {
            json!({
                "hostNetwork": true, "hostPID": true,
                "securityContext": {"runAsUser": 0, "seLinuxOptions": {"type": "spc_t", "user": "u"}, "sysctls": [{"name": "kernel.msgmax"}], "seccompProfile": {"type": "Unconfined"}},
                "volumes": [{"name": "v", "hostPath": {"path": "/"}}, {"name": "w", "nfs": {}}],
                "initContainers": [{"name": "a", "ports": [{"hostPort": 80}]}],
                "containers": [{"name": "b", "securityContext": {"privileged": true, "procMount": "Unmasked", "capabilities": {"add": ["SYS_ADMIN", "KILL"]}, "runAsNonRoot": false}}],
            })
        };
        check(
            Level::Baseline,
            bold(),
            expect![[
                r#"non-default capabilities (container "b" must not include "SYS_ADMIN" in securityContext.capabilities.add), host namespaces (hostNetwork=true, hostPID=true), hostPath volumes (volume "v"), hostPort (container "a" uses hostPort 80), privileged (container "b" must not set securityContext.privileged=true), procMount (container "b" must not set securityContext.procMount to "Unmasked"), seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be set), seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined"), forbidden sysctls (kernel.msgmax)"#
            ]],
        );
        check(
            Level::Restricted,
            bold(),
            expect![[
                r#"host namespaces (hostNetwork=true, hostPID=true), hostPort (container "a" uses hostPort 80), privileged (container "b" must not set securityContext.privileged=true), seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be set), forbidden sysctls (kernel.msgmax), allowPrivilegeEscalation != false (containers "a", "b" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (containers "a", "b" must set securityContext.capabilities.drop=["ALL"]; container "b" must not include "KILL", "SYS_ADMIN" in securityContext.capabilities.add), procMount (container "b" must not set securityContext.procMount to "Unmasked"), restricted volume types (volumes "v", "w" use restricted volume types "hostPath", "nfs"), runAsNonRoot != true (container "b" must not set securityContext.runAsNonRoot=false), runAsUser=0 (pod must not set runAsUser=0), seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")"#
            ]],
        );
    }

    #[test]
    fn a_namespace_may_keep_to_the_rules_of_an_older_version() {
        let sysctl = |name: &str| json!({"securityContext": {"sysctls": [{"name": name}]}});
        let probe = json!({"containers": [{"name": "c", "livenessProbe": {"httpGet": {"host": "h"}}}]});
        let unmasked =
            json!({"hostUsers": false, "containers": [{"name": "c", "securityContext": {"procMount": "Unmasked"}}]});
        let root = json!({
            "hostUsers": false, "securityContext": {"runAsUser": 0, "runAsNonRoot": false, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "c", "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}],
        });
        let windows = json!({"os": {"name": "windows"}, "containers": [{"name": "c", "securityContext": {"runAsNonRoot": true}}]});
        let engine = json!({"securityContext": {"seLinuxOptions": {"type": "container_engine_t"}}});
        let plain = json!({"containers": [{"name": "c", "securityContext": {"runAsNonRoot": true}}]});
        let cases = [
            (Level::Baseline, sysctl("net.ipv4.tcp_rmem"), [(31, "forbidden sysctls"), (32, "")]),
            (Level::Baseline, sysctl("net.ipv4.tcp_fin_timeout"), [(28, "forbidden sysctls"), (29, "")]),
            (Level::Baseline, sysctl("net.ipv4.ip_local_reserved_ports"), [(26, "forbidden sysctls"), (27, "")]),
            (Level::Baseline, probe, [(33, ""), (34, "probe or lifecycle host")]),
            (Level::Baseline, unmasked.clone(), [(34, "procMount"), (35, "")]),
            (Level::Baseline, engine, [(30, "seLinuxOptions"), (31, "")]),
            (Level::Restricted, root, [(34, "runAsNonRoot != true, runAsUser=0"), (35, "")]),
            (
                Level::Restricted,
                windows,
                [(24, "allowPrivilegeEscalation != false, unrestricted capabilities, seccompProfile"), (25, "")],
            ),
            (
                Level::Restricted,
                plain,
                [(18, "allowPrivilegeEscalation != false"), (21, "allowPrivilegeEscalation != false, seccompProfile")],
            ),
        ];
        let annotations = "seccomp.security.alpha.kubernetes.io/pod";
        let metadata = json!({"annotations": {annotations: "unconfined"}});
        let old = Pod { metadata: &metadata, spec: &json!({}), minor: 18 };
        let complaint = "seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod=\"unconfined\")";
        assert_eq!(told(&violations(Level::Baseline, &old)), complaint);
        for (level, spec, expected) in cases {
            for (minor, expected) in expected {
                let pod = Pod { metadata: &json!({}), spec: &spec, minor };
                let reasons: Vec<String> = violations(level, &pod).into_iter().map(|it| it.reason).collect();
                assert_eq!(reasons.join(", "), expected, "1.{minor}: {spec}");
            }
        }
    }
}
