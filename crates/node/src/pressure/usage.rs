//! What pods use of what is short. Only measured while something is.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Pod};
use portolan_api::resources::requests;
use portolan_api::typed::Object;
use portolan_base::error::chain;
use portolan_runtime::ContainerStats;

use super::plan::{Candidate, Consumer};
use super::thresholds::Signal;
use crate::pod::{self, quantity};
use crate::worker::Context;
use crate::{cgroup, container};

/// The pods that could make room, with what they use.
pub(super) async fn candidates(context: &Context, pods: &[Arc<Pod>], signal: Signal) -> Vec<Candidate> {
    let stats = match context.config.runtime.stats().await {
        Ok(stats) => stats,
        Err(error) => {
            tracing::warn!("ask what containers use: {}", chain(&error));
            Vec::new()
        }
    };
    let stats: HashMap<&str, &ContainerStats> = stats.iter().map(|stats| (stats.container.as_str(), stats)).collect();
    let mut candidates = Vec::new();
    for pod in pods {
        let consumers = consumers(context, pod, &stats, signal);
        let needs = requests(pod);
        let (extra, request) = match signal {
            Signal::Memory => (0, needs.memory),
            Signal::NodeDisk | Signal::NodeInodes | Signal::ImageDisk | Signal::ImageInodes => {
                (files_of(context, pod).await, needs.ephemeral_storage)
            }
            Signal::Processes => (process_count(context, pod), 0),
        };
        candidates.push(Candidate {
            uid: pod.uid().to_owned(),
            priority: pod::spec(pod).priority.unwrap_or(0),
            usage: extra + consumers.iter().map(|consumer| consumer.usage).sum::<u64>(),
            request: u64::try_from(request).unwrap_or(0),
            largest: consumers
                .into_iter()
                .filter(|consumer| consumer.usage > consumer.request)
                .max_by_key(|consumer| consumer.usage - consumer.request),
        });
    }
    candidates
}

fn consumers(context: &Context, pod: &Pod, stats: &HashMap<&str, &ContainerStats>, signal: Signal) -> Vec<Consumer> {
    let runtime = context.view.latest().pod(pod.uid());
    let of = |name: &str, stats: &ContainerStats| {
        let requested = |list_name: &str| {
            let (_, Container { resources, .. }) = pod::container(pod, name)?;
            quantity::units(resources?.requests.as_ref(), list_name)
        };
        let (usage, request) = match signal {
            Signal::Memory => (stats.working_set_bytes, requested("memory")),
            Signal::Processes => (0, None),
            _ => (stats.writable_layer_bytes, requested("ephemeral-storage")),
        };
        let request = u64::try_from(request.unwrap_or(0)).unwrap_or(0);
        Consumer { container: name.to_owned(), usage, request }
    };
    let alive = runtime.alive().filter_map(|container| Some((container, stats.get(container.id.0.as_str())?)));
    alive.map(|(container, stats)| of(&container.name, stats)).collect()
}

/// Bytes of a pod's volumes and logs.
async fn files_of(context: &Context, pod: &Pod) -> u64 {
    let folders =
        [context.volumes.pod_dir(pod.uid()).join("volumes"), container::log_directory(&context.config.log_dir, pod)];
    let size = move || folders.iter().map(|folder| size_of(folder)).sum();
    tokio::task::spawn_blocking(size).await.unwrap_or(0)
}

/// Bytes that a folder takes on the disk; what vanishes meanwhile counts as nothing.
fn size_of(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.filter_map(|entry| {
        // Links are not followed: they may lead anywhere.
        let metadata = entry.metadata().ok()?;
        let below = if metadata.is_dir() { size_of(&entry.path()) } else { 0 };
        Some(metadata.blocks() * 512 + below)
    });
    sizes.sum()
}

fn process_count(context: &Context, pod: &Pod) -> u64 {
    cgroup::process_count(context.config.cgroups.as_ref(), &context.cgroup(pod))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_not_followed() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let (inside, outside) = (folder.path().join("inside"), folder.path().join("outside"));
        for path in [&inside, &outside] {
            std::fs::create_dir(path).expect("writable");
            std::fs::write(path.join("file"), vec![1; 100_000]).expect("writable");
        }
        let before = size_of(&inside);
        assert!(before >= 100_000, "{before}");
        std::os::unix::fs::symlink(&outside, inside.join("link")).expect("writable");
        assert!(size_of(&inside) < before + 50_000);
        assert_eq!(size_of(&folder.path().join("missing")), 0);
    }
}
