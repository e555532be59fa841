//! Making and starting a container.

use std::time::Duration;

use k8s_openapi::api::core::v1::Container;
use portolan_api::typed::Object;
use portolan_base::error::chain;
use portolan_client::EventType;
use portolan_runtime::{ContainerConfig, ContainerId, ContainerState};

use super::{Job, Outcome};
use crate::container::{self, ContainerInput, env, names, resources, security};
use crate::hooks;
use crate::pod;
use crate::sources::Freshness;
use crate::volumes::{MountInput, mounts};

/// A container was made, and did not start.
pub(crate) const RUN_ERROR: &str = "RunContainerError";

/// Reason and message of a container that could not be started.
type Refusal = (String, String);

/// Makes a container, starts it and runs its `postStart` hook.
pub(super) async fn start(job: &Job, name: String, attempt: u32, crash_delay: Duration) -> Outcome {
    let outcome = try_start(job, &name, attempt, crash_delay).await;
    if let Err((_, message)) = &outcome {
        job.context.container_event(&job.pod, &name, EventType::Warning, "Failed", format!("Error: {message}"));
    }
    Outcome::Started(name, outcome)
}

async fn try_start(job: &Job, name: &str, attempt: u32, crash_delay: Duration) -> Result<(), Refusal> {
    let context = &job.context;
    let runtime = &context.config.runtime;
    let Some((_, specification)) = pod::container(&job.pod, name) else { return Ok(()) };
    let Some(sandbox) = job.runtime.sandbox() else { return Ok(()) };
    let config_error = |message: String| ("CreateContainerConfigError".to_owned(), message);
    let config = configure(job, &specification, attempt, crash_delay).await.map_err(config_error)?;
    let sandbox_config = job.sandbox_config(sandbox.pod.attempt).await;

    let create_error = |error: portolan_runtime::Error| ("CreateContainerError".to_owned(), chain(&error).to_string());
    let id = runtime.create_container(&sandbox.id, &config, &sandbox_config).await.map_err(create_error)?;
    context.container_event(&job.pod, name, EventType::Normal, "Created", "Container created");
    if let Err(error) = runtime.start_container(&id).await {
        // The runtime keeps it as ended (`StartError`, code 128): the crash back-off decides on the next start.
        return Err((RUN_ERROR.to_owned(), chain(&error).to_string()));
    }
    context.container_event(&job.pod, name, EventType::Normal, "Started", "Container started");

    let hook = specification.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.as_ref());
    if let Some(hook) = hook
        && let Err(reason) = hooks::run(context, &job.runtime, &specification, &id, hook).await
    {
        let text = format!("PostStartHook failed: {reason}");
        context.container_event(&job.pod, name, EventType::Warning, "FailedPostStartHook", text);
        let grace = pod::grace_period(&job.pod);
        context.container_event(&job.pod, name, EventType::Normal, "Killing", "FailedPostStartHook");
        if let Err(error) = runtime.stop_container(&id, grace).await {
            tracing::warn!(container = id.0, "stop a container whose hook failed: {}", chain(&error));
        }
    }
    Ok(())
}

async fn configure(
    job: &Job,
    specification: &Container,
    attempt: u32,
    crash_delay: Duration,
) -> Result<ContainerConfig, String> {
    let context = &job.context;
    let (pod, uid) = (&job.pod, job.pod.uid());
    let place = context.place(pod, &job.runtime);
    let fetched = fetch(job, specification).await?;
    let env = env::environment(pod, specification, &fetched, &context.service_variables(pod), &place)?;
    let hosts_file = context.hosts_file(uid);
    let termination_file = context.termination_file(uid, &specification.name, attempt);
    write_files(job, &hosts_file, &termination_file).map_err(|error| format!("write the pod's files: {error}"))?;
    let input = MountInput { env: &env, hosts_file: &hosts_file, termination_file: &termination_file };
    let mounts = mounts(&context.volumes, pod, specification, &input)?;
    let reference = specification.image.clone().unwrap_or_default();
    let image = context.config.runtime.image(&reference).await.map_err(|error| chain(&error).to_string())?;
    let seccomp_dir = context.config.data_dir.join("seccomp");
    let security = security::of_container(pod, specification, image.as_ref(), &seccomp_dir)?;
    let resources = resources::of_container(pod, specification, context.capacity.memory_bytes);
    let image = job.image.clone().unwrap_or(reference);
    let process_target = process_target(job, specification)?;
    let input = ContainerInput {
        attempt,
        crash_delay,
        image,
        env,
        mounts,
        resources,
        security,
        termination_file,
        process_target,
    };
    Ok(container::container(pod, specification, input))
}

/// The container whose processes an ephemeral container shall see.
fn process_target(job: &Job, specification: &Container) -> Result<Option<ContainerId>, String> {
    let ephemeral = pod::spec(&job.pod).ephemeral_containers.iter().flatten();
    let target = ephemeral.filter(|container| container.name == specification.name);
    let Some(target) = target.filter_map(|container| container.target_container_name.as_deref()).next() else {
        return Ok(None);
    };
    let running = job.runtime.current(target).filter(|it| matches!(it.state, ContainerState::Running { .. }));
    match running {
        Some(running) => Ok(Some(running.id.clone())),
        None => Err(format!("unable to find target container {target}")),
    }
}

async fn fetch(job: &Job, specification: &Container) -> Result<env::Fetched, String> {
    let (sources, namespace) = (&job.context.sources, job.pod.namespace());
    let (config_maps, secrets) = env::references(specification);
    let mut fetched = env::Fetched::default();
    for name in config_maps {
        let map = sources.config_map(namespace, &name, Freshness::Now).await;
        let map = map.map_err(|error| format!("fetch configmap {name}: {}", chain(&error)))?;
        fetched.config_maps.insert(name, map);
    }
    for name in secrets {
        let secret = sources.secret(namespace, &name, Freshness::Now).await;
        let secret = secret.map_err(|error| format!("fetch secret {name}: {}", chain(&error)))?;
        fetched.secrets.insert(name, secret);
    }
    Ok(fetched)
}

fn write_files(job: &Job, hosts_file: &std::path::Path, termination_file: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    let config = &job.context.config;
    let addresses = job.runtime.sandbox().map(|sandbox| sandbox.addresses.clone()).unwrap_or_default();
    // A machine without the file has no names of its own.
    let machine = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    std::fs::write(hosts_file, names::hosts(&job.pod, &addresses, &config.cluster_domain, &machine))?;
    std::fs::set_permissions(hosts_file, std::fs::Permissions::from_mode(0o644))?;
    std::fs::write(termination_file, b"")?;
    // The container's user, whoever it is, writes its last words here.
    std::fs::set_permissions(termination_file, std::fs::Permissions::from_mode(0o666))
}
