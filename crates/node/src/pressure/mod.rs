//! What happens when the machine runs short of memory, disk or processes.
//!
//! While there are pods, a few numbers are read every ten seconds; a node without pods measures nothing.
//! Below a threshold the node says so (`MemoryPressure`, `DiskPressure`, `PIDPressure`), takes no more pods
//! that would make it worse, removes images that nobody uses, and lets one pod after another make room.
//!
//! <https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/>

mod images;
mod measure;
mod plan;
mod thresholds;
mod usage;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use portolan_api::typed::Object;
use portolan_base::Shutdown;
use portolan_base::error::chain;
use portolan_client::Informer;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::config::EvictionConfig;
use crate::pod::has_ended;
use crate::registration;
use crate::worker::Context;
use images::{Goal, Seen};
pub(crate) use measure::memory;
use measure::{Places, measure};
use plan::{Memory, first_to_go, message};
pub use thresholds::{BadThresholds, Thresholds};
use thresholds::{Crossed, Measured, Signal};

/// How often is measured, as upstream.
const INTERVAL: Duration = Duration::from_secs(10);
/// How often images are looked through while the disk is not short, as upstream.
const IMAGE_INTERVAL: Duration = Duration::from_secs(300);
/// How long a pod may take to make room before the next one must, as upstream.
const ROOM_TIMEOUT: Duration = Duration::from_secs(30);

/// What a node can be short of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Resource {
    Memory,
    Disk,
    Processes,
}

/// What the node is short of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pressures {
    pub(crate) memory: bool,
    pub(crate) disk: bool,
    pub(crate) pid: bool,
}

impl Pressures {
    /// The names of the conditions that hold.
    pub(crate) fn names(self) -> Vec<&'static str> {
        let all = [(self.memory, "MemoryPressure"), (self.disk, "DiskPressure"), (self.pid, "PIDPressure")];
        all.into_iter().filter(|(holds, _)| *holds).map(|(_, name)| name).collect()
    }

    /// Reason of the node's event for each condition as it is.
    pub(crate) fn told(self) -> [&'static str; 3] {
        [
            if self.memory { "NodeHasInsufficientMemory" } else { "NodeHasSufficientMemory" },
            if self.disk { "NodeHasDiskPressure" } else { "NodeHasNoDiskPressure" },
            if self.pid { "NodeHasInsufficientPID" } else { "NodeHasSufficientPID" },
        ]
    }
}

/// A pod must make room.
#[derive(Debug)]
pub(crate) struct Eviction {
    pub(crate) uid: String,
    pub(crate) message: String,
}

/// Watches the machine.
pub(crate) struct Keeper {
    context: Arc<Context>,
    config: EvictionConfig,
    pods: Informer<Pod>,
    pressures: watch::Sender<Pressures>,
    evictions: mpsc::Sender<Eviction>,
    memory: Memory,
    seen: Seen,
    images_at: Option<Instant>,
    /// Who is making room, and until when it has time to.
    leaving: Option<(String, Instant)>,
}

impl Keeper {
    pub(crate) fn new(
        context: Arc<Context>,
        config: EvictionConfig,
        pods: Informer<Pod>,
        pressures: watch::Sender<Pressures>,
        evictions: mpsc::Sender<Eviction>,
    ) -> Self {
        Self {
            context,
            config,
            pods,
            pressures,
            evictions,
            memory: Memory::default(),
            seen: Seen::default(),
            images_at: None,
            leaving: None,
        }
    }

    /// Measures until shutdown.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        shutdown.run(self.keep()).await;
    }

    async fn keep(&mut self) {
        self.pods.synced().await;
        let mut changes = self.pods.changes();
        loop {
            changes.borrow_and_update();
            if self.pods.is_empty() && *self.pressures.borrow() == Pressures::default() {
                // Sent by a task that outlives this one.
                let _ = changes.changed().await;
                continue;
            }
            self.look().await;
            tokio::time::sleep(INTERVAL).await;
        }
    }

    async fn look(&mut self) {
        let measured = self.measure().await;
        let mut crossed = self.config.thresholds.crossed(&measured);
        self.publish(&crossed);
        let disk = crossed.iter().any(|crossed| crossed.signal.resource() == Resource::Disk);
        let due = self.images_at.is_none_or(|at| at.elapsed() >= IMAGE_INTERVAL);
        if disk || due {
            self.images_at = Some(Instant::now());
            let removed = self.remove_images(&measured, if disk { Goal::Everything } else { Goal::Limit }).await;
            if disk && removed {
                crossed = self.config.thresholds.crossed(&self.measure().await);
            }
        }
        if let Some(first) = crossed.first() {
            self.relieve(first).await;
        }
    }

    async fn measure(&self) -> Measured {
        let places = Places {
            proc: "/proc".into(),
            node_dir: self.context.config.data_dir.clone(),
            image_dir: self.config.image_dir.clone(),
        };
        // A file system may take its time.
        tokio::task::spawn_blocking(move || measure(&places)).await.unwrap_or_default()
    }

    /// Says what the node is short of.
    fn publish(&mut self, crossed: &[Crossed]) {
        let now = self.memory.advance(crossed, self.context.now());
        let before = self.pressures.send_replace(now);
        for (was, is) in before.told().into_iter().zip(now.told()) {
            if was != is {
                registration::tell(&self.context.events, &self.context.config.node_name, is);
            }
        }
        for crossed in crossed {
            let Crossed { signal, available, least } = crossed;
            tracing::warn!(signal = signal.name(), available, least, "the node runs short");
        }
    }

    /// Removes images that nobody uses; returns whether any went.
    async fn remove_images(&mut self, measured: &Measured, goal: Goal) -> bool {
        let runtime = &self.context.config.runtime;
        let images = match runtime.images().await {
            Ok(images) => images,
            Err(error) => {
                tracing::warn!("list images to remove unused ones: {}", chain(&error));
                return false;
            }
        };
        let snapshot = self.context.view.latest();
        let containers: Vec<_> = snapshot.pods().flat_map(|pod| &pod.containers).collect();
        let now = self.context.now();
        self.seen.look(&images, &containers, now);
        let Some(disk) = measured.get(&Signal::ImageDisk) else { return false };
        let mut any = false;
        for id in self.seen.plan(&images, *disk, goal, now) {
            match runtime.remove_image(&id).await {
                Ok(()) => {
                    tracing::info!(image = id, "removed an unused image to free disk");
                    any = true;
                }
                Err(error) => tracing::warn!(image = id, "remove an unused image: {}", chain(&error)),
            }
        }
        any
    }

    /// Lets one pod make room, unless another one is about to.
    async fn relieve(&mut self, crossed: &Crossed) {
        let pods: Vec<Arc<Pod>> = self.pods.list().into_iter().filter(|pod| !has_ended(pod)).collect();
        if let Some((uid, until)) = &self.leaving
            && *until > Instant::now()
            && pods.iter().any(|pod| pod.uid() == uid)
        {
            return;
        }
        let candidates = usage::candidates(&self.context, &pods, crossed.signal).await;
        let Some(victim) = first_to_go(candidates) else {
            tracing::warn!(signal = crossed.signal.name(), "no pod can make room");
            return;
        };
        let eviction = Eviction { uid: victim.uid.clone(), message: message(crossed, &victim) };
        tracing::warn!(pod = victim.uid, signal = crossed.signal.name(), "a pod must make room");
        self.leaving = Some((victim.uid, Instant::now() + ROOM_TIMEOUT));
        // Received by a task that outlives this one.
        let _ = self.evictions.send(eviction).await;
    }
}
