//! What only pods may do that are not restricted.

use serde_json::Value;

use super::baseline::{added_capabilities, forbidden_seccomp, masked_proc};
use super::pod::{Pod, Violation, containers, distinct, name, plural, quoted};

const VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

pub(super) fn privilege_escalation(pod: &Pod<'_>) -> Option<Violation> {
    let bad = pod.bad(|container| container["securityContext"]["allowPrivilegeEscalation"] != false);
    if bad.is_empty() || pod.is_excused_windows() {
        return None;
    }
    let detail = format!("{} must set securityContext.allowPrivilegeEscalation=false", containers(&bad));
    Violation::new("allowPrivilegeEscalation != false", detail)
}

pub(super) fn capabilities(pod: &Pod<'_>) -> Option<Violation> {
    if pod.is_excused_windows() {
        return None;
    }
    let keeps = |container: &Value| {
        let dropped = container["securityContext"]["capabilities"]["drop"].as_array();
        !dropped.into_iter().flatten().any(|capability| capability == "ALL")
    };
    let mut details = Vec::new();
    let bad = pod.bad(keeps);
    if !bad.is_empty() {
        details.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", containers(&bad)));
    }
    details.extend(added_capabilities(pod, &["NET_BIND_SERVICE"]));
    if details.is_empty() { None } else { Violation::new("unrestricted capabilities", details.join("; ")) }
}

pub(super) fn proc_mount(pod: &Pod<'_>) -> Option<Violation> {
    masked_proc(pod)
}

pub(super) fn volumes(pod: &Pod<'_>) -> Option<Violation> {
    let kind = |volume: &Value| {
        let fields = volume.as_object().into_iter().flatten();
        let mut kinds = fields.filter(|(field, value)| *field != "name" && !value.is_null());
        kinds.next().map_or_else(|| "unknown".to_owned(), |(field, _)| field.clone())
    };
    let is_bad = |volume: &Value| !VOLUMES.contains(&kind(volume).as_str());
    let bad: Vec<&str> = pod.volumes().filter(|volume| is_bad(volume)).map(name).collect();
    if bad.is_empty() {
        return None;
    }
    let kinds = distinct(pod.volumes().filter(|volume| is_bad(volume)).map(kind));
    let uses = if bad.len() == 1 { "uses" } else { "use" };
    let (who, what) = (plural("volume", bad.len()), plural("restricted volume type", kinds.len()));
    let detail = format!("{who} {} {uses} {what} {}", quoted(&bad), quoted(&kinds));
    Violation::new("restricted volume types", detail)
}

pub(super) fn non_root(pod: &Pod<'_>) -> Option<Violation> {
    const REASON: &str = "runAsNonRoot != true";
    if pod.is_user_namespaced() {
        return None;
    }
    let said = |context: &Value| context["runAsNonRoot"].as_bool();
    let of_pod = said(pod.context());
    let mut setters = Vec::new();
    if of_pod == Some(false) {
        setters.push("pod".to_owned());
    }
    let refuses = pod.bad(|container| said(&container["securityContext"]) == Some(false));
    if !refuses.is_empty() {
        setters.push(containers(&refuses));
    }
    if !setters.is_empty() {
        return Violation::new(
            REASON,
            format!("{} must not set securityContext.runAsNonRoot=false", setters.join(" and ")),
        );
    }
    let silent = pod.bad(|container| said(&container["securityContext"]).is_none());
    if of_pod == Some(true) || silent.is_empty() {
        return None;
    }
    Violation::new(REASON, format!("pod or {} must set securityContext.runAsNonRoot=true", containers(&silent)))
}

pub(super) fn user(pod: &Pod<'_>) -> Option<Violation> {
    if pod.is_user_namespaced() {
        return None;
    }
    let is_root = |context: &Value| context["runAsUser"] == 0;
    let mut setters = Vec::new();
    if is_root(pod.context()) {
        setters.push("pod".to_owned());
    }
    let bad = pod.bad(|container| is_root(&container["securityContext"]));
    if !bad.is_empty() {
        setters.push(containers(&bad));
    }
    if setters.is_empty() {
        return None;
    }
    Violation::new("runAsUser=0", format!("{} must not set runAsUser=0", setters.join(" and ")))
}

pub(super) fn seccomp(pod: &Pod<'_>) -> Option<Violation> {
    const REASON: &str = "seccompProfile";
    if pod.is_excused_windows() {
        return None;
    }
    let is_good = |kind: &str| matches!(kind, "RuntimeDefault" | "Localhost");
    if let Some(detail) = forbidden_seccomp(pod, |kind| !is_good(kind)) {
        return Violation::new(REASON, detail);
    }
    let silent = pod.bad(|container| container["securityContext"]["seccompProfile"]["type"].is_null());
    let of_pod = pod.context()["seccompProfile"]["type"].as_str();
    if silent.is_empty() || of_pod.is_some_and(is_good) {
        return None;
    }
    let who = containers(&silent);
    let detail =
        format!("pod or {who} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"");
    Violation::new(REASON, detail)
}
