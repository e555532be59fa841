//! What a container sees of its pod's volumes.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, Pod, VolumeMount};
use portolan_api::typed::Object;
use portolan_runtime::{Mount, MountPropagation};

use super::{Volumes, atomic};
use crate::container::env::expand;
use crate::pod;

/// What [`mounts`] needs besides pod and container.
#[derive(Debug)]
pub(crate) struct MountInput<'a> {
    /// The container's environment, for `subPathExpr`.
    pub(crate) env: &'a [(String, String)],
    /// The pod's hosts file; mounted unless the container mounts its own.
    pub(crate) hosts_file: &'a Path,
    /// File behind the termination message path.
    pub(crate) termination_file: &'a Path,
}

/// The mounts of a container, in order.
///
/// # Errors
/// Upstream's message for `CreateContainerConfigError`.
pub(crate) fn mounts(
    volumes: &Volumes,
    pod: &Pod,
    container: &Container,
    input: &MountInput<'_>,
) -> Result<Vec<Mount>, String> {
    let mut mounts = Vec::new();
    for mount in container.volume_mounts.iter().flatten() {
        check_recursive_read_only(mount)?;
        mounts.push(Mount {
            host_path: host_path(volumes, pod, mount, input)?,
            container_path: PathBuf::from(&mount.mount_path),
            read_only: mount.read_only.unwrap_or(false),
            propagation: match mount.mount_propagation.as_deref() {
                Some("HostToContainer") => MountPropagation::HostToContainer,
                Some("Bidirectional") => MountPropagation::Bidirectional,
                _ => MountPropagation::Private,
            },
        });
    }
    let taken =
        |path: &Path| container.volume_mounts.iter().flatten().any(|mount| Path::new(&mount.mount_path) == path);
    let plain = |host_path: &Path, container_path: &Path| Mount {
        host_path: host_path.to_owned(),
        container_path: container_path.to_owned(),
        read_only: false,
        propagation: MountPropagation::Private,
    };
    let hosts = Path::new("/etc/hosts");
    if !taken(hosts) {
        mounts.push(plain(input.hosts_file, hosts));
    }
    let termination = container.termination_message_path.as_deref().unwrap_or("/dev/termination-log");
    if !termination.is_empty() && !taken(Path::new(termination)) {
        mounts.push(plain(input.termination_file, Path::new(termination)));
    }
    Ok(mounts)
}

/// Refuses a mount under which everything must be read-only too: the runtime is asked for no such mounts.
///
/// Source: `resolveRecursiveReadOnly` of `pkg/kubelet`.
fn check_recursive_read_only(mount: &VolumeMount) -> Result<(), String> {
    let propagation = mount.mount_propagation.as_deref().unwrap_or("None");
    let it_is = format!("volume \"{}\" requested recursive read-only mode, but it is", mount.name);
    let why = match mount.recursive_read_only.as_deref().unwrap_or("Disabled") {
        "Disabled" => return Ok(()),
        _ if mount.read_only != Some(true) => format!("{it_is} not read-only"),
        _ if propagation != "None" => format!("{it_is} not compatible with propagation \"{propagation}\""),
        "IfPossible" => return Ok(()),
        "Enabled" => format!("{it_is} not supported by the runtime"),
        mode => format!("unknown recursive read-only mode \"{mode}\""),
    };
    Err(format!("failed to resolve recursive read-only mode: {why}"))
}

fn host_path(volumes: &Volumes, pod: &Pod, mount: &VolumeMount, input: &MountInput<'_>) -> Result<PathBuf, String> {
    let volume = pod::spec(pod)
        .volumes
        .iter()
        .flatten()
        .find(|volume| volume.name == mount.name)
        .ok_or_else(|| format!("volume {} that the container mounts does not exist", mount.name))?;
    let root = match &volume.host_path {
        Some(source) => PathBuf::from(&source.path),
        None => volumes.volume_dir(pod.uid(), volume),
    };
    let sub_path = match (&mount.sub_path, &mount.sub_path_expr) {
        (_, Some(expression)) if !expression.is_empty() => expand(expression, &input.env.iter().cloned().collect()),
        (Some(path), _) => path.clone(),
        _ => String::new(),
    };
    if sub_path.is_empty() {
        return Ok(root);
    }
    let sub_path = sub_path.trim_end_matches('/').to_owned();
    if !atomic::is_inside(&sub_path) {
        return Err(format!("subPath {sub_path:?} must be a relative path inside the volume"));
    }
    let path = root.join(&sub_path);
    let failed =
        |error: std::io::Error| format!("failed to prepare subPath for volumeMount \"{}\": {error}", mount.name);
    if !path.exists() {
        std::fs::create_dir_all(&path).map_err(failed)?;
    }
    // A link inside the volume, which the pod may have made, must not lead out of it.
    let real = std::fs::canonicalize(&path).map_err(failed)?;
    let root = std::fs::canonicalize(&root).map_err(failed)?;
    if !real.starts_with(&root) {
        return Err(format!("subPath {sub_path:?} leads out of volume {}", mount.name));
    }
    Ok(real)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_below_a_mount_is_read_only_too_or_the_mount_is_refused() {
        let asks = "volume \"data\" requested recursive read-only mode, but it is";
        let cases = [
            (json!({}), String::new()),
            (json!({"readOnly": true, "recursiveReadOnly": "Disabled"}), String::new()),
            (json!({"readOnly": true, "recursiveReadOnly": "IfPossible"}), String::new()),
            (json!({"readOnly": true, "recursiveReadOnly": "Enabled"}), format!("{asks} not supported by the runtime")),
            (json!({"recursiveReadOnly": "IfPossible"}), format!("{asks} not read-only")),
            (
                json!({"readOnly": true, "recursiveReadOnly": "Enabled", "mountPropagation": "HostToContainer"}),
                format!("{asks} not compatible with propagation \"HostToContainer\""),
            ),
            (
                json!({"readOnly": true, "recursiveReadOnly": "Enabled", "mountPropagation": "None"}),
                format!("{asks} not supported by the runtime"),
            ),
            (
                json!({"readOnly": true, "recursiveReadOnly": "Yes"}),
                "unknown recursive read-only mode \"Yes\"".to_owned(),
            ),
        ];
        for (asked, why) in cases {
            let mut mount = json!({"name": "data", "mountPath": "/data"});
            mount.as_object_mut().expect("an object").extend(asked.as_object().expect("an object").clone());
            let mount: VolumeMount = serde_json::from_value(mount).expect("a mount");
            let said = check_recursive_read_only(&mount).err().unwrap_or_default();
            assert_eq!(said.trim_start_matches("failed to resolve recursive read-only mode: "), why, "{asked}");
            assert_eq!(said.starts_with("failed to resolve"), !why.is_empty());
        }
    }
}
