//! Rotation of the containers' logs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use portolan_base::Shutdown;
use portolan_base::error::chain;
use portolan_runtime::{ContainerId, ContainerState};

use super::read::rotated_name;
use crate::worker::Context;

/// Looks at the logs of running containers from time to time, until shutdown.
pub(crate) async fn rotate(context: Arc<Context>, shutdown: Shutdown) {
    shutdown.run(keep(&context)).await;
}

async fn keep(context: &Context) {
    let rotation = context.config.log_rotation;
    loop {
        tokio::time::sleep(rotation.interval).await;
        for pod in context.view.latest().pods() {
            for container in &pod.containers {
                if matches!(container.state, ContainerState::Running { .. })
                    && let Err(error) = rotate_one(context, &container.id, &container.log_path).await
                {
                    tracing::warn!(container = container.id.0, "rotate the log: {error}");
                }
            }
        }
    }
}

async fn rotate_one(context: &Context, id: &ContainerId, path: &Path) -> Result<(), String> {
    let rotation = context.config.log_rotation;
    match tokio::fs::metadata(path).await {
        Ok(metadata) if metadata.len() > rotation.max_bytes => {}
        // Small enough, or not written yet.
        _ => return Ok(()),
    }
    let text = |error: std::io::Error| format!("{}: {error}", path.display());
    remove_old(path, rotation.max_files.saturating_sub(2)).map_err(text)?;
    let stamp = context.config.clock.now().strftime("%Y%m%d-%H%M%S%.6f").to_string();
    let aside = rotated_name(path, &stamp);
    tokio::fs::rename(path, &aside).await.map_err(text)?;
    if let Err(error) = context.config.runtime.reopen_log(id).await {
        // The runtime goes on writing to the file under its new name; give the name back.
        tokio::fs::rename(&aside, path).await.map_err(text)?;
        return Err(chain(&error).to_string());
    }
    Ok(())
}

/// Removes the oldest rotated files but `keep`.
fn remove_old(path: &Path, keep: usize) -> std::io::Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    let prefix = format!("{}.", name.to_string_lossy());
    let mut old: Vec<PathBuf> = std::fs::read_dir(folder)?
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(|entry| entry.path())
        .collect();
    // Names end in the time, so the oldest come first.
    old.sort();
    let excess = old.len().saturating_sub(keep);
    old.into_iter().take(excess).try_for_each(std::fs::remove_file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_files_go_first() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        for name in ["0.log", "0.log.3", "0.log.1", "0.log.2", "1.log.0"] {
            std::fs::write(folder.path().join(name), name).expect("writable");
        }
        remove_old(&folder.path().join("0.log"), 1).expect("removable");
        let mut left: Vec<String> = std::fs::read_dir(folder.path())
            .expect("readable")
            .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
            .collect();
        left.sort();
        assert_eq!(left, ["0.log", "0.log.3", "1.log.0"]);
    }
}
