//! The checks of each level, in the order in which they complain.

use super::pod::{Pod, Violation};
use super::policy::Level;
use super::{baseline, restricted};

type Check = fn(&Pod<'_>) -> Option<Violation>;

const BASELINE: [Check; 12] = [
    baseline::app_armor,
    baseline::capabilities,
    baseline::host_namespaces,
    baseline::host_path_volumes,
    baseline::host_ports,
    baseline::host_probes,
    baseline::privileged,
    baseline::proc_mount,
    baseline::se_linux,
    baseline::seccomp,
    baseline::sysctls,
    baseline::windows_host_process,
];

/// Those of the baseline that no check of the restricted level takes the place of, then the further ones.
const RESTRICTED: [Check; 15] = [
    baseline::app_armor,
    baseline::host_namespaces,
    baseline::host_ports,
    baseline::host_probes,
    baseline::privileged,
    baseline::proc_mount,
    baseline::se_linux,
    baseline::sysctls,
    baseline::windows_host_process,
    restricted::privilege_escalation,
    restricted::capabilities,
    restricted::volumes,
    restricted::non_root,
    restricted::user,
    restricted::seccomp,
];

/// What is wrong with a pod on a level.
pub(super) fn violations(level: Level, pod: &Pod<'_>) -> Vec<Violation> {
    let checks: &[Check] = match level {
        Level::Privileged => &[],
        Level::Baseline => &BASELINE,
        Level::Restricted => &RESTRICTED,
    };
    checks.iter().filter_map(|check| check(pod)).collect()
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
        let pod = Pod { metadata: &metadata, spec: &spec };
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
                r#"host namespaces (hostNetwork=true, hostPID=true), hostPort (container "a" uses hostPort 80), privileged (container "b" must not set securityContext.privileged=true), procMount (container "b" must not set securityContext.procMount to "Unmasked"), seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be set), forbidden sysctls (kernel.msgmax), allowPrivilegeEscalation != false (containers "a", "b" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (containers "a", "b" must set securityContext.capabilities.drop=["ALL"]; container "b" must not include "KILL", "SYS_ADMIN" in securityContext.capabilities.add), restricted volume types (volumes "v", "w" use restricted volume types "hostPath", "nfs"), runAsNonRoot != true (container "b" must not set securityContext.runAsNonRoot=false), runAsUser=0 (pod must not set runAsUser=0), seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")"#
            ]],
        );
    }
}
