//! Volumes and folders of pods.

mod atomic;
mod content;
mod filesystem;
mod mounts;
mod token;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{
    ConfigMapProjection, ConfigMapVolumeSource, Pod, SecretProjection, Volume, VolumeProjection,
};
use portolan_api::typed::Object;
use portolan_base::Clock;
use portolan_base::error::chain;
use portolan_client::Client;

use crate::config::MemoryVolumes;
use crate::container::fields::Place;
use crate::pod::{self, quantity};
use crate::sources::{Freshness, Sources};
use atomic::Files;
use content::{Selection, mode};
use token::Tokens;

pub(crate) use mounts::{MountInput, mounts};

/// Mode of files that have none of their own.
const DEFAULT_MODE: u32 = 0o644;

/// Makes, refreshes and takes down what pods have on this machine besides their containers.
#[derive(Debug)]
pub(crate) struct Volumes {
    pods: PathBuf,
    memory: MemoryVolumes,
    sources: Arc<Sources>,
    tokens: Tokens,
    clock: Arc<dyn Clock>,
}

/// Why a volume is not there, in upstream's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VolumeError {
    pub(crate) volume: String,
    pub(crate) message: String,
}

impl Volumes {
    pub(crate) fn new(
        data_dir: &Path,
        memory: MemoryVolumes,
        sources: Arc<Sources>,
        client: Client,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { pods: data_dir.join("pods"), memory, sources, tokens: Tokens::new(client), clock }
    }

    /// Folder of one pod.
    pub(crate) fn pod_dir(&self, uid: &str) -> PathBuf {
        self.pods.join(uid)
    }

    /// Folder of one volume.
    pub(crate) fn volume_dir(&self, uid: &str, volume: &Volume) -> PathBuf {
        let in_memory = volume.secret.is_some() || volume.projected.is_some();
        self.pod_dir(uid).join(if in_memory { "memory" } else { "volumes" }).join(&volume.name)
    }

    /// UIDs of the pods that have a folder here.
    pub(crate) fn known(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.pods).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// Makes all volumes of a pod, or brings their content up to date. Idempotent.
    pub(crate) async fn prepare(&self, pod: &Pod, place: &Place, freshness: Freshness) -> Result<(), VolumeError> {
        let uid = pod.uid();
        let volumes = pod::spec(pod).volumes.as_deref().unwrap_or_default();
        let failed = |volume: &str| {
            let volume = volume.to_owned();
            move |message: String| VolumeError { volume, message }
        };
        let folder = self.pod_dir(uid);
        io(std::fs::create_dir_all(folder.join("containers")), "create the pod's folder").map_err(failed(""))?;
        if self.memory == MemoryVolumes::Tmpfs && volumes.iter().any(|v| v.secret.is_some() || v.projected.is_some()) {
            let memory = folder.join("memory");
            io(filesystem::mount_tmpfs(&memory, None), "mount a tmpfs").map_err(failed(""))?;
        }
        for volume in volumes {
            self.volume(pod, volume, place, freshness).await.map_err(failed(&volume.name))?;
        }
        Ok(())
    }

    /// When the content of a pod's volumes should be looked at again; `None` if it cannot change.
    pub(crate) fn refresh_after(&self, pod: &Pod) -> Option<Duration> {
        let changes = |volume: &Volume| {
            volume.config_map.is_some()
                || volume.secret.is_some()
                || volume.projected.is_some()
                || volume.downward_api.is_some()
        };
        pod::spec(pod).volumes.iter().flatten().any(changes).then_some(crate::sources::FRESH_FOR)
    }

    /// Takes down everything of a pod. Idempotent.
    pub(crate) fn tear_down(&self, uid: &str) -> std::io::Result<()> {
        self.tokens.forget(uid);
        // A UID from the runtime is a label that anybody may have written.
        if !atomic::is_inside(uid) || uid.contains('/') {
            return Ok(());
        }
        filesystem::remove_tree(&self.pod_dir(uid))
    }

    async fn volume(&self, pod: &Pod, volume: &Volume, place: &Place, freshness: Freshness) -> Result<(), String> {
        let directory = self.volume_dir(pod.uid(), volume);
        let group = fs_group(pod);
        if let Some(source) = &volume.empty_dir {
            if let Some(medium) = source.medium.as_deref().filter(|medium| medium.starts_with("HugePages")) {
                // A pod that asks for some is refused: there are none for pods.
                let lack = "hugePages storage requested, but there is no resource request for huge pages";
                return Err(format!("medium {medium}: {lack}"));
            }
            if source.medium.as_deref() == Some("Memory") && self.memory == MemoryVolumes::Tmpfs {
                let limit = source.size_limit.as_ref().and_then(|limit| quantity::whole(&limit.0));
                let limit = limit.and_then(|bytes| u64::try_from(bytes).ok()).filter(|bytes| *bytes > 0);
                io(filesystem::mount_tmpfs(&directory, limit), "mount a tmpfs")?;
            }
            return io(filesystem::open_directory(&directory, group), "create the folder");
        }
        if let Some(source) = &volume.host_path {
            return filesystem::check_host_path(Path::new(&source.path), source.type_.as_deref().unwrap_or_default());
        }
        let files = if let Some(source) = &volume.config_map {
            self.config_map(pod, source, freshness).await?
        } else if let Some(source) = &volume.secret {
            let name = source.secret_name.clone().unwrap_or_default();
            let select = Selection {
                items: source.items.as_deref(),
                default_mode: mode(source.default_mode, DEFAULT_MODE),
                optional: source.optional == Some(true),
            };
            self.secret(pod, &name, select, freshness).await?
        } else if let Some(source) = &volume.downward_api {
            let items = source.items.as_deref().unwrap_or_default();
            content::of_downward_api(pod, items, mode(source.default_mode, DEFAULT_MODE), place)?
        } else if let Some(source) = &volume.projected {
            self.projected(pod, volume, source, place, freshness).await?
        } else {
            return Err("this node has no plugin for this kind of volume; it supports emptyDir, hostPath, configMap, \
                        secret, downwardAPI and projected"
                .to_owned());
        };
        let now = self.clock.now();
        let written = tokio::task::spawn_blocking(move || atomic::write(&directory, &files, group, now)).await;
        match written {
            Ok(outcome) => io(outcome.map(drop), "write the files"),
            Err(error) => Err(format!("write the files: {error}")),
        }
    }

    async fn config_map(
        &self,
        pod: &Pod,
        source: &ConfigMapVolumeSource,
        freshness: Freshness,
    ) -> Result<Files, String> {
        let select = Selection {
            items: source.items.as_deref(),
            default_mode: mode(source.default_mode, DEFAULT_MODE),
            optional: source.optional == Some(true),
        };
        self.config_map_files(pod, &source.name, select, freshness).await
    }

    async fn config_map_files(
        &self,
        pod: &Pod,
        name: &str,
        select: Selection<'_>,
        freshness: Freshness,
    ) -> Result<Files, String> {
        let map = self.sources.config_map(pod.namespace(), name, freshness).await;
        let map = map.map_err(|error| format!("fetch configmap {name}: {}", chain(&error)))?;
        content::of_config_map(map.as_deref(), name, pod.namespace(), select)
    }

    async fn secret(
        &self,
        pod: &Pod,
        name: &str,
        select: Selection<'_>,
        freshness: Freshness,
    ) -> Result<Files, String> {
        let secret = self.sources.secret(pod.namespace(), name, freshness).await;
        let secret = secret.map_err(|error| format!("fetch secret {name}: {}", chain(&error)))?;
        content::of_secret(secret.as_deref(), name, pod.namespace(), select)
    }

    async fn projected(
        &self,
        pod: &Pod,
        volume: &Volume,
        source: &k8s_openapi::api::core::v1::ProjectedVolumeSource,
        place: &Place,
        freshness: Freshness,
    ) -> Result<Files, String> {
        let default_mode = mode(source.default_mode, DEFAULT_MODE);
        let mut files = Files::new();
        for part in source.sources.iter().flatten() {
            if let Some(ConfigMapProjection { items, name, optional }) = &part.config_map {
                let select = Selection { items: items.as_deref(), default_mode, optional: *optional == Some(true) };
                files.extend(self.config_map_files(pod, name, select, freshness).await?);
            } else if let Some(SecretProjection { items, name, optional }) = &part.secret {
                let select = Selection { items: items.as_deref(), default_mode, optional: *optional == Some(true) };
                files.extend(self.secret(pod, name, select, freshness).await?);
            } else if let Some(part) = &part.downward_api {
                let items = part.items.as_deref().unwrap_or_default();
                files.extend(content::of_downward_api(pod, items, default_mode, place)?);
            } else if let Some(part) = &part.service_account_token {
                let token = self.tokens.token(pod, &volume.name, part, self.clock.now()).await?;
                files.insert(part.path.clone(), atomic::File { bytes: token.into_bytes(), mode: default_mode });
            } else if *part != VolumeProjection::default() {
                return Err("this node does not know this kind of projected source".to_owned());
            }
        }
        Ok(files)
    }
}

fn fs_group(pod: &Pod) -> Option<u32> {
    let group = pod::spec(pod).security_context.as_ref()?.fs_group?;
    u32::try_from(group).ok()
}

fn io(outcome: std::io::Result<()>, what: &str) -> Result<(), String> {
    outcome.map_err(|error| format!("{what}: {error}"))
}
