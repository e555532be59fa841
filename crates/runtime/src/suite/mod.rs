//! What every runtime must do, whatever it is made of.
//!
//! Each behaviour makes its own pod, looks, and takes it away. Programs are few words of busybox,
//! which [`crate::simulated`] understands too.

mod busybox;
mod containers;
mod sandboxes;
mod streams;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;

pub use busybox::write_busybox_archive;

use crate::port::*;

/// Nothing in the suite takes longer on a busy machine; a longer wait means a lost wake-up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A runtime to be tried out.
#[derive(Debug, Clone)]
pub struct Fixture {
    /// The runtime.
    pub runtime: Arc<dyn Runtime>,
    /// An image with busybox at `/bin/busybox`, loaded from an archive.
    pub image: String,
    /// Folder for logs.
    pub log_directory: PathBuf,
    /// Control group for everything the suite starts, with a slash before it.
    pub cgroup_parent: String,
    /// Network of the sandboxes.
    pub network: NamespaceMode,
}

type Behaviour = for<'a> fn(&'a Fixture) -> BoxFuture<'a, Outcome>;
pub(crate) type Outcome = std::result::Result<(), String>;

macro_rules! behaviours {
    ($($module:ident :: $name:ident),* $(,)?) => {
        const BEHAVIOURS: &[(&str, Behaviour)] =
            &[$((stringify!($name), |fixture| Box::pin($module::$name(fixture)))),*];
    };
}

behaviours![
    sandboxes::a_sandbox_is_listed_as_it_was_asked_for,
    sandboxes::stopping_and_removing_a_sandbox_can_be_repeated,
    sandboxes::two_sandboxes_of_the_same_identity_are_refused,
    sandboxes::stopping_a_sandbox_ends_its_containers,
    sandboxes::images_are_known_by_short_and_full_names,
    containers::a_container_goes_from_created_to_running_to_exited,
    containers::exit_codes_have_reasons,
    containers::output_goes_to_the_log_file,
    containers::a_container_that_ignores_the_stop_signal_is_killed,
    containers::a_running_container_can_be_removed,
    containers::a_container_starts_once,
    containers::a_missing_sandbox_or_image_is_an_error,
    containers::running_containers_have_stats,
    streams::a_command_gives_its_output_and_exit_code,
    streams::a_command_that_takes_too_long_is_an_error,
    streams::closing_the_input_ends_a_command_that_reads_it,
    streams::an_interactive_command_gives_its_exit_code,
    streams::commands_need_a_running_container,
    streams::a_port_that_nobody_listens_on_is_refused,
];

/// Tries all behaviours; the failures with their reasons.
pub async fn run(fixture: &Fixture) -> Vec<String> {
    let mut failures = Vec::new();
    for (name, behaviour) in BEHAVIOURS {
        let outcome = match tokio::time::timeout(PATIENCE * 2, behaviour(fixture)).await {
            Ok(outcome) => outcome,
            Err(_) => Err("it hangs".to_owned()),
        };
        let cleaned = clean(fixture).await;
        for reason in [outcome, cleaned].into_iter().filter_map(std::result::Result::err) {
            failures.push(format!("{name}: {reason}"));
        }
    }
    failures
}

async fn clean(fixture: &Fixture) -> Outcome {
    for sandbox in fixture.runtime.sandboxes().await.map_err(text)? {
        fixture.runtime.stop_sandbox(&sandbox.id).await.map_err(text)?;
        fixture.runtime.remove_sandbox(&sandbox.id).await.map_err(text)?;
    }
    let left = fixture.runtime.containers().await.map_err(text)?;
    equal("containers after all sandboxes were removed", left, Vec::new())
}

pub(crate) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

pub(crate) fn equal<T: PartialEq + Debug>(what: &str, found: T, wanted: T) -> Outcome {
    if found == wanted { Ok(()) } else { Err(format!("{what}: found {found:?}, wanted {wanted:?}")) }
}

pub(crate) fn ensure(holds: bool, what: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(what()) }
}

impl Fixture {
    /// A sandbox like no other before it.
    pub(crate) fn sandbox_config(&self, name: &str) -> SandboxConfig {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let uid = format!("uid-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        SandboxConfig {
            pod: PodIdentity { namespace: "suite".into(), name: name.into(), uid: uid.clone(), attempt: 0 },
            hostname: name.into(),
            log_directory: self.log_directory.join(&uid),
            dns: None,
            port_mappings: Vec::new(),
            labels: BTreeMap::from([("app".into(), name.into())]),
            annotations: BTreeMap::from([("note".into(), "for the suite".into())]),
            cgroup_parent: format!("{}/pod{uid}", self.cgroup_parent),
            network: self.network,
            pid: NamespaceMode::Container,
            ipc: NamespaceMode::Pod,
            sysctls: BTreeMap::new(),
            security: SecurityConfig::default(),
        }
    }

    /// A container of busybox words.
    pub(crate) fn container_config(&self, name: &str, words: &[&str]) -> ContainerConfig {
        let command = std::iter::once("/bin/busybox").chain(words.iter().copied());
        ContainerConfig {
            name: name.into(),
            attempt: 0,
            image: self.image.clone(),
            command: command.map(str::to_owned).collect(),
            args: Vec::new(),
            working_dir: String::new(),
            env: vec![("PATH".into(), "/bin".into())],
            mounts: Vec::new(),
            labels: BTreeMap::from([("container".into(), name.into())]),
            annotations: BTreeMap::new(),
            log_path: format!("{name}.log").into(),
            stdin: false,
            stdin_once: false,
            tty: false,
            resources: Resources { cpu_shares: 102, memory_limit: 64 << 20, ..Resources::default() },
            security: SecurityConfig::default(),
            process_target: None,
        }
    }

    /// A sandbox with a started container of busybox words, and another one that sees its processes.
    pub async fn start_watched(
        &self,
        name: &str,
        words: &[&str],
        watcher: &[&str],
    ) -> Result<(ContainerId, ContainerId), String> {
        let pod = self.sandbox_config(name);
        let sandbox = self.runtime.run_sandbox(&pod).await.map_err(text)?;
        let mut started: Vec<ContainerId> = Vec::new();
        for (name, words) in [(name, words), ("watcher", watcher)] {
            let config =
                ContainerConfig { process_target: started.first().cloned(), ..self.container_config(name, words) };
            let container = self.runtime.create_container(&sandbox, &config, &pod).await.map_err(text)?;
            self.runtime.start_container(&container).await.map_err(text)?;
            started.push(container);
        }
        let [watched, watcher] = <[ContainerId; 2]>::try_from(started).map_err(|_| "two were started")?;
        Ok((watched, watcher))
    }

    /// A sandbox with one started container of busybox words in it.
    pub async fn start(&self, name: &str, words: &[&str]) -> Result<(SandboxId, ContainerId), String> {
        let pod = self.sandbox_config(name);
        let sandbox = self.runtime.run_sandbox(&pod).await.map_err(text)?;
        let config = self.container_config(name, words);
        let container = self.runtime.create_container(&sandbox, &config, &pod).await.map_err(text)?;
        self.runtime.start_container(&container).await.map_err(text)?;
        Ok((sandbox, container))
    }

    pub(crate) async fn container(&self, id: &ContainerId) -> Result<ContainerStatus, String> {
        let all = self.runtime.containers().await.map_err(text)?;
        all.into_iter().find(|status| status.id == *id).ok_or_else(|| format!("container {} is not listed", id.0))
    }

    /// Waits until a container is as wanted, looking again only when the runtime says that something changed.
    pub async fn wait_for(
        &self,
        id: &ContainerId,
        wanted: impl Fn(&ContainerState) -> bool,
    ) -> Result<ContainerStatus, String> {
        let mut changes = self.runtime.changes();
        let waiting = async {
            loop {
                changes.mark_unchanged();
                let status = self.container(id).await?;
                if wanted(&status.state) {
                    return Ok(status);
                }
                changes.changed().await.map_err(text)?;
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(result) => result,
            Err(_) => Err(format!("no wake-up; the container is {:?}", self.container(id).await?.state)),
        }
    }
}
