//! Containers of the simulation.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use portolan_base::Timestamp;
use tokio::sync::watch;

use super::program::{End, Program};
use super::sandboxes::pause;
use super::{Operation, SimulatedContainer, SimulatedRuntime, missing};
use crate::port::*;

impl SimulatedRuntime {
    /// Ends a container if it runs.
    pub(super) fn finish(&self, id: &ContainerId, exit_code: i32, reason: &str) {
        let finished_at = self.options.clock.now();
        let mut world = self.world.lock();
        let Some(container) = world.containers.get_mut(id) else { return };
        let ContainerState::Running { started_at } = container.status.state else { return };
        let (reason, message) = (reason.to_owned(), String::new());
        container.status.state = ContainerState::Exited { started_at, finished_at, exit_code, reason, message };
        container.stopped.send_replace(true);
        drop(world);
        self.changed();
    }

    /// Ends a container that never ran, in containerd's words.
    fn cannot_start(&self, id: &ContainerId, why: &str) {
        let finished_at = self.options.clock.now();
        let mut world = self.world.lock();
        let Some(container) = world.containers.get_mut(id) else { return };
        container.status.state = ContainerState::Exited {
            started_at: Timestamp::UNIX_EPOCH,
            finished_at,
            exit_code: 128,
            reason: "StartError".to_owned(),
            message: why.to_owned(),
        };
        drop(world);
        self.changed();
    }

    fn begin(&self, id: &ContainerId) -> Result<()> {
        let mut world = self.world.lock();
        let container = world.containers.get_mut(id).ok_or_else(|| missing("container", &id.0))?;
        if container.status.state != ContainerState::Created {
            let reason = format!("container {} was started before", id.0);
            return Err(Error::Failed { operation: "start container", reason });
        }
        container.status.state = ContainerState::Running { started_at: self.options.clock.now() };
        let (program, log) = (container.program.clone(), container.status.log_path.clone());
        drop(world);
        self.changed();
        write_log(&log, &program.output, self.options.clock.now());
        if let End::Exit { code, after } = program.end {
            let (world, id) = (self.clone_for_task(), id.clone());
            self.spawn(async move {
                pause(after).await;
                world.exit(&id, code);
            });
        }
        Ok(())
    }

    /// A handle for a task of this runtime; without its task set, so that the set does not own itself.
    fn clone_for_task(&self) -> Self {
        Self { tasks: Arc::default(), ..self.clone() }
    }
}

fn write_log(path: &Path, lines: &[String], now: portolan_base::Timestamp) {
    if lines.is_empty() || !path.is_absolute() {
        return;
    }
    let text: String = lines.iter().map(|line| format!("{now} stdout F {line}\n")).collect();
    let opened = path.parent().map(std::fs::create_dir_all).transpose();
    let written = opened
        .and_then(|_| std::fs::OpenOptions::new().create(true).append(true).open(path))
        .and_then(|mut file| file.write_all(text.as_bytes()));
    if let Err(error) = written {
        tracing::warn!(path = %path.display(), %error, "cannot write the log of a simulated container");
    }
}

#[async_trait]
impl Runtime for SimulatedRuntime {
    async fn version(&self) -> Result<String> {
        Ok(concat!("simulated://", env!("CARGO_PKG_VERSION")).to_owned())
    }

    async fn run_sandbox(&self, config: &SandboxConfig) -> Result<SandboxId> {
        self.run(config).await
    }

    async fn stop_sandbox(&self, id: &SandboxId) -> Result<()> {
        self.halt(id);
        Ok(())
    }

    async fn remove_sandbox(&self, id: &SandboxId) -> Result<()> {
        self.remove(id);
        Ok(())
    }

    async fn sandboxes(&self) -> Result<Vec<SandboxStatus>> {
        Ok(self.world.lock().sandboxes.values().cloned().collect())
    }

    async fn create_container(
        &self,
        sandbox: &SandboxId,
        config: &ContainerConfig,
        pod: &SandboxConfig,
    ) -> Result<ContainerId> {
        if let Some(reason) = self.failure(Operation::CreateContainer, &config.name) {
            return Err(Error::Failed { operation: "create container", reason });
        }
        let image = self.image(&config.image).await?.ok_or_else(|| missing("image", &config.image))?;
        let mut world = self.world.lock();
        let ready = world.sandboxes.get(sandbox).ok_or_else(|| missing("sandbox", &sandbox.0))?.ready;
        if !ready {
            let reason = format!("sandbox {} does not run", sandbox.0);
            return Err(Error::Failed { operation: "create container", reason });
        }
        world.next_id += 1;
        let id = ContainerId(format!("container-{}", world.next_id));
        let command: Vec<String> = config.command.iter().chain(&config.args).cloned().collect();
        let scripted = world.programs.get(&config.name).cloned();
        let status = ContainerStatus {
            id: id.clone(),
            sandbox: sandbox.clone(),
            name: config.name.clone(),
            attempt: config.attempt,
            image: config.image.clone(),
            image_id: image.id,
            state: ContainerState::Created,
            created_at: self.options.clock.now(),
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
            log_path: pod.log_directory.join(&config.log_path),
        };
        let container = SimulatedContainer {
            status,
            program: scripted.unwrap_or_else(|| Program::of_command(&command)),
            resources: config.resources.clone(),
            process_target: config.process_target.clone(),
            stopped: Arc::new(watch::Sender::new(false)),
        };
        world.containers.insert(id.clone(), container);
        drop(world);
        self.changed();
        Ok(id)
    }

    async fn start_container(&self, id: &ContainerId) -> Result<()> {
        pause(self.options.start_delay).await;
        let name = self.world.lock().containers.get(id).map(|container| container.status.name.clone());
        let name = name.ok_or_else(|| missing("container", &id.0))?;
        if let Some(reason) = self.failure(Operation::StartContainer, &name) {
            self.cannot_start(id, &reason);
            return Err(Error::Failed { operation: "start container", reason });
        }
        self.begin(id)
    }

    async fn stop_container(&self, id: &ContainerId, grace: Duration) -> Result<()> {
        let delay = self.world.lock().containers.get(id).map(|container| container.program.stop_delay);
        let Some(delay) = delay else { return Ok(()) };
        pause(delay.min(grace)).await;
        // Like a program that does not handle the signal: 128 + SIGTERM, or SIGKILL after the grace.
        self.finish(id, if delay > grace || grace.is_zero() { 137 } else { 143 }, "Error");
        Ok(())
    }

    async fn remove_container(&self, id: &ContainerId) -> Result<()> {
        self.finish(id, 137, "Error");
        self.world.lock().containers.remove(id);
        self.changed();
        Ok(())
    }

    async fn containers(&self) -> Result<Vec<ContainerStatus>> {
        Ok(self.world.lock().containers.values().map(|container| container.status.clone()).collect())
    }

    async fn update_resources(&self, id: &ContainerId, resources: &Resources) -> Result<()> {
        let mut world = self.world.lock();
        let container = world.containers.get_mut(id).ok_or_else(|| missing("container", &id.0))?;
        container.resources = resources.clone();
        Ok(())
    }

    /// Half of what each running container may use, so that percentages have something to show.
    async fn stats(&self) -> Result<Vec<ContainerStats>> {
        let now = self.options.clock.now();
        let world = self.world.lock();
        let running = world.containers.values().filter_map(|container| match container.status.state {
            ContainerState::Running { started_at } => Some((container, now.duration_since(started_at))),
            _ => None,
        });
        Ok(running
            .map(|(container, age)| {
                let cores = container.resources.cpu_shares as f64 / 1024.0 / 2.0;
                ContainerStats {
                    container: container.status.id.0.clone(),
                    sandbox: container.status.sandbox.0.clone(),
                    cpu: age.unsigned_abs().mul_f64(cores),
                    working_set_bytes: container.resources.memory_limit / 2,
                    writable_layer_bytes: 0,
                }
            })
            .collect())
    }

    async fn reopen_log(&self, id: &ContainerId) -> Result<()> {
        let known = self.world.lock().containers.contains_key(id);
        if known { Ok(()) } else { Err(missing("container", &id.0)) }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
