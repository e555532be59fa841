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
