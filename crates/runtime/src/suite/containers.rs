use std::time::Duration;

use super::{Fixture, Outcome, ensure, equal, text};
use crate::port::*;

fn exited(state: &ContainerState) -> bool {
    matches!(state, ContainerState::Exited { .. })
}

pub(super) async fn a_container_goes_from_created_to_running_to_exited(fixture: &Fixture) -> Outcome {
    let pod = fixture.sandbox_config("life");
    let sandbox = fixture.runtime.run_sandbox(&pod).await.map_err(text)?;
    let mut config = fixture.container_config("life", &["sleep", "3600"]);
    config.attempt = 3;
    let id = fixture.runtime.create_container(&sandbox, &config, &pod).await.map_err(text)?;
    let status = fixture.container(&id).await?;
    equal("state before the start", status.state, ContainerState::Created)?;
    equal("name", status.name, config.name)?;
    equal("attempt", status.attempt, 3)?;
    equal("labels", status.labels, config.labels)?;
    equal("sandbox", status.sandbox, sandbox)?;
    equal("log", status.log_path, pod.log_directory.join("life.log"))?;
    fixture.runtime.start_container(&id).await.map_err(text)?;
    fixture.wait_for(&id, |state| matches!(state, ContainerState::Running { .. })).await?;
    fixture.runtime.stop_container(&id, Duration::from_secs(1)).await.map_err(text)?;
    let ContainerState::Exited { started_at, finished_at, .. } = fixture.container(&id).await?.state else {
        return Err("it is not exited after stop returned".into());
    };
    ensure(started_at <= finished_at, || format!("started {started_at}, finished {finished_at}"))?;
    fixture.runtime.stop_container(&id, Duration::from_secs(1)).await.map_err(text)
}

pub(super) async fn exit_codes_have_reasons(fixture: &Fixture) -> Outcome {
    for (script, code, wanted) in [("exit 0", 0, "Completed"), ("exit 3", 3, "Error")] {
        let (_, id) = fixture.start("code", &["sh", "-c", script]).await?;
        let status = fixture.wait_for(&id, exited).await?;
        let ContainerState::Exited { exit_code, reason, .. } = status.state else { continue };
        equal(script, (exit_code, reason.as_str()), (code, wanted))?;
    }
    Ok(())
}

pub(super) async fn output_goes_to_the_log_file(fixture: &Fixture) -> Outcome {
    let (_, id) = fixture.start("speaks", &["sh", "-c", "echo first; echo second"]).await?;
    let status = fixture.wait_for(&id, exited).await?;
    let log = std::fs::read_to_string(&status.log_path).map_err(text)?;
    let lines: Vec<&str> = log.lines().filter_map(|line| line.split_once(" stdout F ")).map(|(_, line)| line).collect();
    equal("log lines", lines, vec!["first", "second"])?;
    let stamp = log.split(' ').next().unwrap_or_default();
    ensure(stamp.parse::<portolan_base::Timestamp>().is_ok(), || format!("{stamp:?} is no time"))
}

pub(super) async fn a_container_that_ignores_the_stop_signal_is_killed(fixture: &Fixture) -> Outcome {
    let (_, id) = fixture.start("stubborn", &["sleep", "3600"]).await?;
    fixture.runtime.stop_container(&id, Duration::ZERO).await.map_err(text)?;
    let state = fixture.container(&id).await?.state;
    let ContainerState::Exited { exit_code, .. } = state else { return Err(format!("it is {state:?}")) };
    equal("exit code", exit_code, 137)
}

pub(super) async fn a_running_container_can_be_removed(fixture: &Fixture) -> Outcome {
    let (_, id) = fixture.start("removed", &["sleep", "3600"]).await?;
    for _ in 0..2 {
        fixture.runtime.remove_container(&id).await.map_err(text)?;
    }
    equal("containers", fixture.runtime.containers().await.map_err(text)?, Vec::new())
}

pub(super) async fn a_container_starts_once(fixture: &Fixture) -> Outcome {
    let (_, id) = fixture.start("once", &["sleep", "3600"]).await?;
    ensure(fixture.runtime.start_container(&id).await.is_err(), || "the second start was accepted".into())
}

pub(super) async fn a_missing_sandbox_or_image_is_an_error(fixture: &Fixture) -> Outcome {
    let pod = fixture.sandbox_config("missing");
    let config = fixture.container_config("missing", &["true"]);
    let nowhere = SandboxId("0".repeat(64));
    let refused = fixture.runtime.create_container(&nowhere, &config, &pod).await;
    ensure(refused.is_err(), || "a container in no sandbox was accepted".into())?;
    let sandbox = fixture.runtime.run_sandbox(&pod).await.map_err(text)?;
    let config = ContainerConfig { image: "no-such-image:1".into(), ..config };
    let refused = fixture.runtime.create_container(&sandbox, &config, &pod).await;
    ensure(refused.is_err(), || "a container without an image was accepted".into())
}

pub(super) async fn running_containers_have_stats(fixture: &Fixture) -> Outcome {
    let (sandbox, id) = fixture.start("measured", &["sleep", "3600"]).await?;
    fixture.wait_for(&id, |state| matches!(state, ContainerState::Running { .. })).await?;
    let stats = fixture.runtime.stats().await.map_err(text)?;
    let own = stats.into_iter().find(|stats| stats.container == id.0).ok_or("it has no stats")?;
    equal("sandbox", own.sandbox, sandbox.0)?;
    ensure(own.working_set_bytes > 0, || "it uses no memory".into())
}
