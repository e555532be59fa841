//! Validation of what a pod or a container may do: users, groups, profiles.

use portolan_api::field::Shown;
use serde_json::Value;

use super::container::validate_local_path;
use crate::resources::at::{At, Errors};
use crate::resources::json::{items, text};
use crate::resources::shown;

const PROFILES: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];
/// The longest path of a profile.
const PROFILE_LENGTH: usize = 4095;

/// The security context of a container.
pub(super) fn validate_security(context: &Value, spec: &Value, at: &At<'_>, errors: &mut Errors) {
    if context.is_null() {
        return;
    }
    validate_ids(context, at, errors);
    errors.one_of(&at.child("procMount"), &context["procMount"], &["Default", "Unmasked"]);
    if context["procMount"] == "Unmasked" && spec["hostUsers"] != false {
        errors.invalid(&at.child("procMount"), "Unmasked", "`hostUsers` must be false to use `Unmasked`");
    }
    if context["allowPrivilegeEscalation"] == false {
        let added = items(&context["capabilities"]["add"]);
        let is_administrator = added.iter().any(|capability| capability == "CAP_SYS_ADMIN");
        for (contradicts, what) in [
            (context["privileged"] == true, "`privileged` to true"),
            (is_administrator, "`capabilities.Add` CAP_SYS_ADMIN"),
        ] {
            if contradicts {
                let detail = format!("cannot set `allowPrivilegeEscalation` to false and {what}");
                errors.invalid(at, Shown::Text(shown::compact("SecurityContext", context)), detail);
            }
        }
    }
}

/// The security context of a pod as a whole.
pub(super) fn validate_pod_security(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let context = &spec["securityContext"];
    let security = at.child("securityContext");
    validate_ids(context, &security, errors);
    let groups = security.child("supplementalGroups");
    for (index, group) in items(&context["supplementalGroups"]).iter().enumerate() {
        errors.within(&groups.index(index), group, 0, i64::from(i32::MAX));
    }
    if spec["shareProcessNamespace"] == true && spec["hostPID"] == true {
        errors.invalid(
            &at.child("shareProcessNamespace"),
            true,
            "ShareProcessNamespace and HostPID cannot both be enabled",
        );
    }
    for (field, choices) in [
        ("fsGroupChangePolicy", ["Always", "OnRootMismatch"]),
        ("supplementalGroupsPolicy", ["Merge", "Strict"]),
        ("seLinuxChangePolicy", ["MountOption", "Recursive"]),
    ] {
        errors.one_of(&security.child(field), &context[field], &choices);
    }
    if spec["hostUsers"] == false {
        for (field, shown) in [("hostPID", "HostPID"), ("hostIPC", "HostIPC"), ("hostNetwork", "hostNetwork")] {
            if spec[field] == true {
                errors.forbidden(&at.child(shown), "when `hostUsers` is false");
            }
        }
    }
}

/// What contexts of pods and containers have in common.
fn validate_ids(context: &Value, at: &At<'_>, errors: &mut Errors) {
    for field in ["runAsUser", "runAsGroup", "fsGroup"] {
        errors.within(&at.child(field), &context[field], 0, i64::from(i32::MAX));
    }
    let profile = &context["seccompProfile"];
    if !profile.is_null() {
        let at = at.child("seccompProfile");
        if text(&profile["type"]).is_empty() {
            errors.required(&at.child("type"), "type is required when seccompProfile is set");
        }
        errors.one_of(&at.child("type"), &profile["type"], &PROFILES);
        let path = at.child("localhostProfile");
        match (text(&profile["type"]), profile["localhostProfile"].as_str()) {
            ("Localhost", None) => errors.required(&path, "must be set when seccomp type is Localhost"),
            ("Localhost", Some(name)) => validate_local_path(name, &path, errors),
            (_, Some(_)) => {
                errors.invalid(&path, profile.clone(), "can only be set when seccomp type is Localhost");
            }
            (_, None) => {}
        }
    }
    validate_app_armor(&context["appArmorProfile"], &at.child("appArmorProfile"), errors);
}

fn validate_app_armor(profile: &Value, at: &At<'_>, errors: &mut Errors) {
    if profile.is_null() {
        return;
    }
    let name = profile["localhostProfile"].as_str();
    let path = at.child("localhostProfile");
    match text(&profile["type"]) {
        "" => errors.required(&at.child("type"), "type is required when appArmorProfile is set"),
        "Localhost" => match name {
            Some(name) if name.trim() != name => errors.invalid(&path, name, "must not be padded with whitespace"),
            Some(name) if name.len() > PROFILE_LENGTH => errors.too_long(&path, PROFILE_LENGTH),
            None | Some("") => errors.required(&path, "must be set when AppArmor type is Localhost"),
            Some(_) => {}
        },
        "RuntimeDefault" | "Unconfined" => {
            if let Some(name) = name {
                errors.invalid(&path, name, "can only be set when AppArmor type is Localhost");
            }
        }
        other => errors.not_supported(&at.child("type"), other, &PROFILES),
    }
}
