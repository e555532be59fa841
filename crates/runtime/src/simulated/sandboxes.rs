//! Sandboxes and images of the simulation.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use async_trait::async_trait;

use super::{Operation, SimulatedRuntime, missing};
use crate::image::ImageName;
use crate::port::*;

impl SimulatedRuntime {
    pub(super) async fn run(&self, config: &SandboxConfig) -> Result<SandboxId> {
        pause(self.options.sandbox_delay).await;
        if let Some(reason) = self.failure(Operation::RunSandbox, &config.pod.name) {
            return Err(Error::Failed { operation: "run sandbox", reason });
        }
        let mut world = self.world.lock();
        let same = world.sandboxes.values().find(|known| known.pod == config.pod);
        if let Some(known) = same {
            let reason = format!("the name is reserved for sandbox {}", known.id.0);
            return Err(Error::Failed { operation: "run sandbox", reason });
        }
        let mut addresses = Vec::new();
        if config.network != NamespaceMode::Node {
            let free = (0..self.options.addresses).find(|offset| !world.addresses.contains(offset));
            let reason = || format!("no address is left of {}", self.options.addresses);
            let free = free.ok_or_else(|| Error::Failed { operation: "run sandbox", reason: reason() })?;
            world.addresses.insert(free);
            addresses.push(IpAddr::V4(Ipv4Addr::from(u32::from(self.options.first_address) + free)));
        }
        world.next_id += 1;
        let id = SandboxId(format!("sandbox-{}", world.next_id));
        let status = SandboxStatus {
            id: id.clone(),
            pod: config.pod.clone(),
            ready: true,
            created_at: self.options.clock.now(),
            addresses,
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
            network_namespace: None,
        };
        world.sandboxes.insert(id.clone(), status);
        drop(world);
        self.changed();
        Ok(id)
    }

    /// Ends all containers of a sandbox and gives its address back.
    pub(super) fn halt(&self, id: &SandboxId) {
        let inside: Vec<ContainerId> = {
            let world = self.world.lock();
            world.containers.values().filter(|c| c.status.sandbox == *id).map(|c| c.status.id.clone()).collect()
        };
        inside.iter().for_each(|container| self.finish(container, 137, "Error"));
        let mut world = self.world.lock();
        let Some(sandbox) = world.sandboxes.get_mut(id) else { return };
        sandbox.ready = false;
        let first = u32::from(self.options.first_address);
        let freed: Vec<u32> = std::mem::take(&mut sandbox.addresses)
            .into_iter()
            .filter_map(|address| match address {
                IpAddr::V4(address) => u32::from(address).checked_sub(first),
                IpAddr::V6(_) => None,
            })
            .collect();
        freed.iter().for_each(|offset| {
            world.addresses.remove(offset);
        });
        drop(world);
        self.changed();
    }

    pub(super) fn remove(&self, id: &SandboxId) {
        self.halt(id);
        let mut world = self.world.lock();
        world.containers.retain(|_, container| container.status.sandbox != *id);
        world.sandboxes.remove(id);
        drop(world);
        self.changed();
    }

    pub(super) fn keep_image(&self, reference: &str, local: bool) -> Result<Image> {
        let name: ImageName = reference.parse()?;
        let mut world = self.world.lock();
        let image = world.images.entry(name.to_string()).or_insert_with(|| Image {
            id: format!("simulated:{name}"),
            tags: vec![name.to_string()],
            digests: Vec::new(),
            size_bytes: 1024,
            user_id: None,
            user_name: String::new(),
            local: false,
            pinned: false,
        });
        image.local |= local;
        Ok(image.clone())
    }

    fn find_image(&self, reference: &str) -> Result<Option<Image>> {
        let world = self.world.lock();
        if let Some(image) = world.images.values().find(|image| image.id == reference) {
            return Ok(Some(image.clone()));
        }
        let name = reference.parse::<ImageName>()?;
        Ok(world.images.get(&name.to_string()).cloned())
    }
}

/// Sleeps, but does not even yield for no time.
pub(super) async fn pause(delay: std::time::Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}

#[async_trait]
impl Images for SimulatedRuntime {
    async fn image(&self, reference: &str) -> Result<Option<Image>> {
        self.find_image(reference)
    }

    async fn pull(&self, reference: &str, _auth: Option<&RegistryAuth>) -> Result<String> {
        pause(self.options.pull_delay).await;
        if let Some(reason) = self.failure(Operation::Pull, reference) {
            return Err(Error::Pull { image: reference.to_owned(), reason });
        }
        self.keep_image(reference, false).map(|image| image.id)
    }

    async fn images(&self) -> Result<Vec<Image>> {
        Ok(self.world.lock().images.values().cloned().collect())
    }

    async fn remove_image(&self, reference: &str) -> Result<()> {
        let found = self.find_image(reference)?.ok_or_else(|| missing("image", reference))?;
        self.world.lock().images.retain(|_, image| image.id != found.id);
        Ok(())
    }

    /// Takes the file's name for the image's: an archive is not looked into.
    async fn load(&self, archive: &Path) -> Result<Vec<String>> {
        let stem = archive.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        self.keep_image(stem, true).map(|image| image.tags)
    }
}
