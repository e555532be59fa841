//! A runtime without containers: for tests and for hollow nodes.
//!
//! Pods start at once or after scripted delays, programs do what [`program`] says, addresses come
//! from a range. Everything that a real runtime reports is reported.

mod containers;
pub mod program;
mod sandboxes;
mod streams;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use portolan_base::{Clock, SystemClock};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::port::*;
use program::Program;

/// How a simulated runtime behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// First address given to pods.
    pub first_address: Ipv4Addr,
    /// How many addresses there are.
    pub addresses: u32,
    /// How long making a sandbox takes.
    pub sandbox_delay: Duration,
    /// How long starting a container takes.
    pub start_delay: Duration,
    /// How long pulling an image takes.
    pub pull_delay: Duration,
    /// Where times come from.
    pub clock: Arc<dyn Clock>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            first_address: Ipv4Addr::new(10, 42, 0, 2),
            addresses: 252,
            sandbox_delay: Duration::ZERO,
            start_delay: Duration::ZERO,
            pull_delay: Duration::ZERO,
            clock: Arc::new(SystemClock),
        }
    }
}

/// A runtime that only pretends. Clones share their state, so that a test can keep one to steer.
#[derive(Debug, Clone)]
pub struct SimulatedRuntime {
    options: Options,
    world: Arc<Mutex<World>>,
    changes: Arc<watch::Sender<u64>>,
    tasks: Arc<Mutex<JoinSet<()>>>,
}

#[derive(Debug, Default)]
struct World {
    next_id: u64,
    sandboxes: BTreeMap<SandboxId, SandboxStatus>,
    containers: BTreeMap<ContainerId, SimulatedContainer>,
    addresses: BTreeSet<u32>,
    images: BTreeMap<String, Image>,
    failures: Vec<(Operation, String, String)>,
    programs: BTreeMap<String, Program>,
    echo_ports: BTreeSet<u16>,
}

#[derive(Debug)]
struct SimulatedContainer {
    status: ContainerStatus,
    program: Program,
    resources: Resources,
    process_target: Option<ContainerId>,
    stopped: Arc<watch::Sender<bool>>,
}

/// What can be told to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// [`Runtime::run_sandbox`]; the subject is the pod's name.
    RunSandbox,
    /// [`Runtime::create_container`]; the subject is the container's name.
    CreateContainer,
    /// [`Runtime::start_container`]; the subject is the container's name.
    StartContainer,
    /// [`Images::pull`]; the subject is the image as asked for.
    Pull,
}

impl Default for SimulatedRuntime {
    fn default() -> Self {
        Self::new(Options::default())
    }
}

impl SimulatedRuntime {
    /// An empty machine.
    pub fn new(options: Options) -> Self {
        Self { options, world: Arc::default(), changes: Arc::new(watch::Sender::new(0)), tasks: Arc::default() }
    }

    /// From now on containers of this name (within their pod) run `program`, whatever their command is.
    pub fn set_program(&self, container: &str, program: Program) {
        self.world.lock().programs.insert(container.to_owned(), program);
    }

    /// From now on `operation` on `subject` fails with `reason`, until [`SimulatedRuntime::heal`].
    pub fn fail(&self, operation: Operation, subject: &str, reason: &str) {
        self.world.lock().failures.push((operation, subject.to_owned(), reason.to_owned()));
    }

    /// Ends all failures set by [`SimulatedRuntime::fail`].
    pub fn heal(&self) {
        self.world.lock().failures.clear();
    }

    /// Puts an image on the machine, as if loaded from an archive.
    pub fn add_local_image(&self, reference: &str) -> Result<()> {
        self.keep_image(reference, true).map(|_| ())
    }

    /// The limits that a container has now.
    pub fn limits(&self, id: &ContainerId) -> Option<Resources> {
        self.world.lock().containers.get(id).map(|container| container.resources.clone())
    }

    /// The container whose processes a container sees, if that was asked for.
    pub fn process_target(&self, id: &ContainerId) -> Option<ContainerId> {
        self.world.lock().containers.get(id).and_then(|container| container.process_target.clone())
    }

    /// Ends a running container with `exit_code`.
    pub fn exit(&self, id: &ContainerId, exit_code: i32) {
        self.finish(id, exit_code, if exit_code == 0 { "Completed" } else { "Error" });
    }

    /// Ends a running container as the kernel's out-of-memory killer does.
    pub fn exit_out_of_memory(&self, id: &ContainerId) {
        self.finish(id, 137, "OOMKilled");
    }

    /// Ends a sandbox and all containers in it, as if its first process had died.
    pub fn kill_sandbox(&self, id: &SandboxId) {
        self.halt(id);
    }

    /// From now on sandboxes accept connections to `port` and send back what they receive.
    pub fn echo_on(&self, port: u16) {
        self.world.lock().echo_ports.insert(port);
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn failure(&self, operation: Operation, subject: &str) -> Option<String> {
        let world = self.world.lock();
        let found = world.failures.iter().find(|(what, who, _)| *what == operation && who == subject);
        found.map(|(_, _, reason)| reason.clone())
    }

    /// Runs something in the background for as long as any clone lives.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}

fn missing(what: &'static str, name: &str) -> Error {
    Error::NotFound { what, name: name.to_owned() }
}

#[cfg(all(test, feature = "testing"))]
mod tests;
