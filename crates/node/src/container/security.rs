//! Security settings of containers and sandboxes. Pure.

use std::path::Path;

use k8s_openapi::api::core::v1::{Container, Pod, SeccompProfile};
use portolan_runtime::{Image, Seccomp, SecurityConfig};

use crate::pod;

/// Settings of a container, its own before the pod's before the image's.
///
/// # Errors
/// Upstream's message if the container must not run as root and would.
pub(crate) fn of_container(
    pod: &Pod,
    container: &Container,
    image: Option<&Image>,
    seccomp_dir: &Path,
) -> Result<SecurityConfig, String> {
    let own = container.security_context.clone().unwrap_or_default();
    let shared = pod::spec(pod).security_context.clone().unwrap_or_default();
    let run_as_user = own.run_as_user.or(shared.run_as_user);
    if own.run_as_non_root.or(shared.run_as_non_root) == Some(true) {
        check_non_root(pod, container, run_as_user, image)?;
    }
    let capabilities = own.capabilities.unwrap_or_default();
    let privileged = own.privileged.unwrap_or(false);
    let strip = |list: Option<Vec<String>>| {
        list.into_iter().flatten().map(|name| name.strip_prefix("CAP_").map(str::to_owned).unwrap_or(name)).collect()
    };
    Ok(SecurityConfig {
        run_as_user: run_as_user.or_else(|| image.and_then(|image| image.user_id)),
        run_as_username: match run_as_user {
            Some(_) => String::new(),
            None => image.map(|image| image.user_name.clone()).unwrap_or_default(),
        },
        run_as_group: own.run_as_group.or(shared.run_as_group),
        supplemental_groups: supplemental_groups(pod),
        privileged,
        read_only_root: own.read_only_root_filesystem.unwrap_or(false),
        no_new_privileges: own.allow_privilege_escalation == Some(false),
        add_capabilities: strip(capabilities.add),
        drop_capabilities: strip(capabilities.drop),
        seccomp: if privileged {
            Seccomp::Unconfined
        } else {
            seccomp(own.seccomp_profile.as_ref().or(shared.seccomp_profile.as_ref()), seccomp_dir)
        },
        unmasked_proc: own.proc_mount.as_deref() == Some("Unmasked"),
    })
}

/// Settings of the pod's sandbox.
pub(crate) fn of_sandbox(pod: &Pod, seccomp_dir: &Path) -> SecurityConfig {
    let shared = pod::spec(pod).security_context.clone().unwrap_or_default();
    let privileged = pod::containers(pod).iter().any(|(_, container)| {
        container.security_context.as_ref().and_then(|context| context.privileged).unwrap_or(false)
    });
    SecurityConfig {
        run_as_user: shared.run_as_user,
        run_as_group: shared.run_as_user.and(shared.run_as_group),
        supplemental_groups: supplemental_groups(pod),
        privileged,
        seccomp: match seccomp(shared.seccomp_profile.as_ref(), seccomp_dir) {
            _ if privileged => Seccomp::Unconfined,
            // The sandbox's own process needs no filter made for the containers.
            Seccomp::Unconfined | Seccomp::Localhost(_) => Seccomp::RuntimeDefault,
            Seccomp::RuntimeDefault => Seccomp::RuntimeDefault,
        },
        ..SecurityConfig::default()
    }
}

fn supplemental_groups(pod: &Pod) -> Vec<i64> {
    let shared = pod::spec(pod).security_context.as_ref();
    let groups = shared.and_then(|context| context.supplemental_groups.as_ref()).into_iter().flatten().copied();
    groups.chain(shared.and_then(|context| context.fs_group)).collect()
}

fn seccomp(profile: Option<&SeccompProfile>, directory: &Path) -> Seccomp {
    match profile.map(|profile| (profile.type_.as_str(), profile.localhost_profile.as_deref())) {
        Some(("RuntimeDefault", _)) => Seccomp::RuntimeDefault,
        Some(("Localhost", Some(name))) => Seccomp::Localhost(directory.join(name)),
        _ => Seccomp::Unconfined,
    }
}

fn check_non_root(
    pod: &Pod,
    container: &Container,
    run_as_user: Option<i64>,
    image: Option<&Image>,
) -> Result<(), String> {
    let whom = format!("(pod: \"{}\", container: {})", pod::display(pod), container.name);
    match (run_as_user, image) {
        (Some(0), _) => Err(format!("container's runAsUser breaks non-root policy {whom}")),
        (Some(_), _) | (None, None) => Ok(()),
        (None, Some(image)) => match (image.user_id, image.user_name.as_str()) {
            (Some(0), _) | (None, "" | "root") => {
                Err(format!("container has runAsNonRoot and image will run as root {whom}"))
            }
            (Some(_), _) => Ok(()),
            (None, name) => Err(format!(
                "container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root {whom}"
            )),
        },
    }
}
