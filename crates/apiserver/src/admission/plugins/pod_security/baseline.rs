//! What no pod may do unless it is privileged.
//!
//! Source: the Pod Security Standards; texts and order as `k8s.io/pod-security-admission/policy`.

use serde_json::Value;

use super::pod::{Pod, Violation, containers, distinct, name, plural, quoted};

const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Parameters of the kernel, and the minor versions that allow them first.
const SYSCTLS: [(&str, u32); 12] = [
    ("kernel.shm_rmid_forced", 0),
    ("net.ipv4.ip_local_port_range", 0),
    ("net.ipv4.ip_local_reserved_ports", 27),
    ("net.ipv4.ip_unprivileged_port_start", 0),
    ("net.ipv4.ping_group_range", 0),
    ("net.ipv4.tcp_fin_timeout", 29),
    ("net.ipv4.tcp_keepalive_intvl", 29),
    ("net.ipv4.tcp_keepalive_probes", 29),
    ("net.ipv4.tcp_keepalive_time", 29),
    ("net.ipv4.tcp_rmem", 32),
    ("net.ipv4.tcp_syncookies", 0),
    ("net.ipv4.tcp_wmem", 32),
];

/// The same for types of SELinux.
const SELINUX_TYPES: [(&str, u32); 5] =
    [("", 0), ("container_engine_t", 31), ("container_init_t", 0), ("container_kvm_t", 0), ("container_t", 0)];

fn is_allowed(list: &[(&str, u32)], name: &str, minor: u32) -> bool {
    list.iter().any(|(known, since)| *known == name && *since <= minor)
}

const SECCOMP: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_OF_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";

const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

pub(super) fn app_armor(pod: &Pod<'_>) -> Option<Violation> {
    let is_bad = |context: &Value| {
        let kind = context["appArmorProfile"]["type"].as_str();
        kind.is_some_and(|kind| !matches!(kind, "RuntimeDefault" | "Localhost"))
    };
    let mut setters = Vec::new();
    let mut values = Vec::new();
    let shown = |context: &Value| format!("\"{}\"", context["appArmorProfile"]["type"].as_str().unwrap_or_default());
    if is_bad(pod.context()) {
        setters.push("pod".to_owned());
        values.push(shown(pod.context()));
    }
    let bad = pod.bad(|container| is_bad(&container["securityContext"]));
    if !bad.is_empty() {
        setters.push(containers(&bad));
        values.extend(pod.containers().map(|it| &it["securityContext"]).filter(|it| is_bad(it)).map(shown));
    }
    let annotations = pod.metadata["annotations"].as_object().into_iter().flatten();
    let forbidden: Vec<String> = annotations
        .filter(|(key, _)| key.starts_with(APP_ARMOR))
        .filter(|(_, value)| {
            let value = value.as_str().unwrap_or_default();
            !(value.is_empty() || value == "runtime/default" || value.starts_with("localhost/"))
        })
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let count = values.len() + forbidden.len();
    if count == 0 {
        return None;
    }
    let mut details = Vec::new();
    if !setters.is_empty() {
        let values = distinct(values).join(", ");
        details.push(format!("{} must not set AppArmor profile type to {values}", setters.join(" and ")));
    }
    if !forbidden.is_empty() {
        details.push(format!("{} {}", plural("annotation", forbidden.len()), forbidden.join(", ")));
    }
    Violation::new(&plural("forbidden AppArmor profile", count), details.join("; "))
}

fn added<'a>(container: &'a Value, allowed: &[&str]) -> Vec<&'a str> {
    let list = container["securityContext"]["capabilities"]["add"].as_array().into_iter().flatten();
    list.filter_map(Value::as_str).filter(|capability| !allowed.contains(capability)).collect()
}

/// What is added beyond what is allowed, in the words of both levels.
pub(super) fn added_capabilities(pod: &Pod<'_>, allowed: &[&str]) -> Option<String> {
    let bad = pod.bad(|container| !added(container, allowed).is_empty());
    if bad.is_empty() {
        return None;
    }
    let capabilities = distinct(pod.containers().flat_map(|it| added(it, allowed)).map(str::to_owned));
    let (who, what) = (containers(&bad), quoted(&capabilities));
    Some(format!("{who} must not include {what} in securityContext.capabilities.add"))
}

pub(super) fn capabilities(pod: &Pod<'_>) -> Option<Violation> {
    Violation::new("non-default capabilities", added_capabilities(pod, &CAPABILITIES)?)
}

pub(super) fn host_namespaces(pod: &Pod<'_>) -> Option<Violation> {
    let names = ["hostNetwork", "hostPID", "hostIPC"];
    let set: Vec<String> =
        names.iter().filter(|name| pod.spec[**name] == true).map(|name| format!("{name}=true")).collect();
    if set.is_empty() { None } else { Violation::new("host namespaces", set.join(", ")) }
}

pub(super) fn host_path_volumes(pod: &Pod<'_>) -> Option<Violation> {
    let bad: Vec<&str> = pod.volumes().filter(|volume| volume["hostPath"].is_object()).map(name).collect();
    if bad.is_empty() {
        return None;
    }
    Violation::new("hostPath volumes", format!("{} {}", plural("volume", bad.len()), quoted(&bad)))
}

pub(super) fn host_ports(pod: &Pod<'_>) -> Option<Violation> {
    let ports = |container: &Value| -> Vec<i64> {
        let ports = container["ports"].as_array().into_iter().flatten();
        ports.filter_map(|port| port["hostPort"].as_i64()).filter(|port| *port != 0).collect()
    };
    let bad = pod.bad(|container| !ports(container).is_empty());
    if bad.is_empty() {
        return None;
    }
    let numbers = distinct(pod.containers().flat_map(ports).map(|port| port.to_string()));
    let uses = if bad.len() == 1 { "uses" } else { "use" };
    let what = plural("hostPort", numbers.len());
    Violation::new("hostPort", format!("{} {uses} {what} {}", containers(&bad), numbers.join(", ")))
}

pub(super) fn host_probes(pod: &Pod<'_>) -> Option<Violation> {
    let hosts = |container: &Value| -> Vec<String> {
        let lifecycle = &container["lifecycle"];
        let handlers = [
            &container["livenessProbe"],
            &container["readinessProbe"],
            &container["startupProbe"],
            &lifecycle["postStart"],
            &lifecycle["preStop"],
        ];
        let hosts = handlers.iter().flat_map(|handler| [&handler["httpGet"]["host"], &handler["tcpSocket"]["host"]]);
        hosts.filter_map(Value::as_str).filter(|host| !host.is_empty()).map(str::to_owned).collect()
    };
    let bad = pod.bad(|container| !hosts(container).is_empty());
    if bad.is_empty() {
        return None;
    }
    let found = distinct(pod.containers().flat_map(hosts));
    let uses = if bad.len() == 1 { "uses" } else { "use" };
    let what = plural("probe or lifecycle host", found.len());
    Violation::new("probe or lifecycle host", format!("{} {uses} {what} {}", containers(&bad), quoted(&found)))
}

pub(super) fn privileged(pod: &Pod<'_>) -> Option<Violation> {
    let bad = pod.bad(|container| container["securityContext"]["privileged"] == true);
    if bad.is_empty() {
        return None;
    }
    Violation::new("privileged", format!("{} must not set securityContext.privileged=true", containers(&bad)))
}

pub(super) fn proc_mount(pod: &Pod<'_>) -> Option<Violation> {
    if pod.is_user_namespaced() { None } else { masked_proc(pod) }
}

/// Whether all of `/proc` is seen, in the words of both levels.
pub(super) fn masked_proc(pod: &Pod<'_>) -> Option<Violation> {
    let mount = |container: &Value| container["securityContext"]["procMount"].as_str().map(str::to_owned);
    let is_bad = |container: &Value| mount(container).is_some_and(|kind| kind != "Default");
    let bad = pod.bad(is_bad);
    if bad.is_empty() {
        return None;
    }
    let values = distinct(pod.containers().filter(|container| is_bad(container)).filter_map(mount));
    let detail = format!("{} must not set securityContext.procMount to {}", containers(&bad), quoted(&values));
    Violation::new("procMount", detail)
}

pub(super) fn se_linux(pod: &Pod<'_>) -> Option<Violation> {
    let text = |context: &Value, field: &str| context["seLinuxOptions"][field].as_str().unwrap_or_default().to_owned();
    let is_bad = |context: &Value| {
        !is_allowed(&SELINUX_TYPES, &text(context, "type"), pod.minor)
            || !text(context, "user").is_empty()
            || !text(context, "role").is_empty()
    };
    let mut setters = Vec::new();
    if is_bad(pod.context()) {
        setters.push("pod".to_owned());
    }
    let bad = pod.bad(|container| is_bad(&container["securityContext"]));
    if !bad.is_empty() {
        setters.push(containers(&bad));
    }
    if setters.is_empty() {
        return None;
    }
    let contexts: Vec<&Value> =
        std::iter::once(pod.context()).chain(pod.containers().map(|it| &it["securityContext"])).collect();
    let types = contexts.iter().map(|context| text(context, "type"));
    let types = distinct(types.filter(|kind| !is_allowed(&SELINUX_TYPES, kind, pod.minor)));
    let mut problems = Vec::new();
    if !types.is_empty() {
        problems.push(format!("{} {}", plural("type", types.len()), quoted(&types)));
    }
    for field in ["user", "role"] {
        if contexts.iter().any(|context| !text(context, field).is_empty()) {
            problems.push(format!("{field} may not be set"));
        }
    }
    let detail =
        format!("{} set forbidden securityContext.seLinuxOptions: {}", setters.join(" and "), problems.join("; "));
    Violation::new("seLinuxOptions", detail)
}

/// Who sets a profile for system calls that a level forbids, in the words of both levels.
pub(super) fn forbidden_seccomp(pod: &Pod<'_>, is_bad: impl Fn(&str) -> bool) -> Option<String> {
    let kind = |context: &Value| context["seccompProfile"]["type"].as_str().map(str::to_owned);
    let bad_kind = |context: &Value| kind(context).filter(|kind| is_bad(kind));
    let mut setters = Vec::new();
    if bad_kind(pod.context()).is_some() {
        setters.push("pod".to_owned());
    }
    let bad = pod.bad(|container| bad_kind(&container["securityContext"]).is_some());
    if !bad.is_empty() {
        setters.push(containers(&bad));
    }
    if setters.is_empty() {
        return None;
    }
    let contexts = std::iter::once(pod.context()).chain(pod.containers().map(|it| &it["securityContext"]));
    let values = distinct(contexts.filter_map(bad_kind));
    let who = setters.join(" and ");
    Some(format!("{who} must not set securityContext.seccompProfile.type to {}", quoted(&values)))
}

pub(super) fn seccomp(pod: &Pod<'_>) -> Option<Violation> {
    if pod.minor < 19 {
        return seccomp_annotations(pod);
    }
    Violation::new("seccompProfile", forbidden_seccomp(pod, |kind| kind == "Unconfined")?)
}

/// Before there were fields, annotations said it.
fn seccomp_annotations(pod: &Pod<'_>) -> Option<Violation> {
    let of_containers = pod.containers().map(|container| format!("{SECCOMP_OF_CONTAINER}{}", name(container)));
    let keys = std::iter::once(SECCOMP.to_owned()).chain(of_containers);
    let forbidden = distinct(keys.filter_map(|key| {
        let value = pod.metadata["annotations"][&key].as_str()?;
        let is_good = matches!(value, "runtime/default" | "docker/default") || value.starts_with("localhost/");
        (!is_good).then(|| format!("{key}=\"{value}\""))
    }));
    if forbidden.is_empty() {
        return None;
    }
    let what = plural("annotation", forbidden.len());
    Violation::new("seccompProfile", format!("forbidden {what} {}", forbidden.join(", ")))
}

pub(super) fn sysctls(pod: &Pod<'_>) -> Option<Violation> {
    let list = pod.context()["sysctls"].as_array().into_iter().flatten();
    let bad: Vec<&str> = list.map(name).filter(|name| !is_allowed(&SYSCTLS, name, pod.minor)).collect();
    if bad.is_empty() { None } else { Violation::new("forbidden sysctls", bad.join(", ")) }
}

pub(super) fn windows_host_process(pod: &Pod<'_>) -> Option<Violation> {
    let is_bad = |context: &Value| context["windowsOptions"]["hostProcess"] == true;
    let mut setters = Vec::new();
    if is_bad(pod.context()) {
        setters.push("pod".to_owned());
    }
    let bad = pod.bad(|container| is_bad(&container["securityContext"]));
    if !bad.is_empty() {
        setters.push(containers(&bad));
    }
    if setters.is_empty() {
        return None;
    }
    let detail = format!("{} must not set securityContext.windowsOptions.hostProcess=true", setters.join(" and "));
    Violation::new("hostProcess", detail)
}
