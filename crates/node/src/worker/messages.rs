//! The last words of ended containers.

use std::collections::BTreeMap;
use std::path::Path;

use portolan_runtime::{ContainerId, ContainerState, ContainerStatus};
use tokio::io::AsyncReadExt as _;

use crate::lifecycle::PodRuntime;
use crate::lifecycle::labels::Memory;
use crate::logs;

/// Longest message that is kept, as upstream.
const LONGEST: u64 = 4096;
/// Longest message that is taken from the log, as upstream.
const LOG_BYTES: usize = 2048;
const LOG_LINES: usize = 80;

/// Reads the messages of containers that ended since the last call; forgets removed containers.
pub(super) async fn collect(runtime: &PodRuntime, messages: &mut BTreeMap<ContainerId, String>) {
    messages.retain(|id, _| runtime.containers.iter().any(|container| container.id == *id));
    for container in &runtime.containers {
        if matches!(container.state, ContainerState::Exited { .. }) && !messages.contains_key(&container.id) {
            let message = message(container).await;
            messages.insert(container.id.clone(), message);
        }
    }
}

async fn message(container: &ContainerStatus) -> String {
    let ContainerState::Exited { exit_code, message, .. } = &container.state else { return String::new() };
    let memory = Memory::of(container);
    let file = read(Path::new(&memory.termination_file)).await;
    let fallback = memory.termination_policy == "FallbackToLogsOnError" && *exit_code != 0;
    match file {
        Some(text) if !text.is_empty() => text,
        _ if fallback => logs::tail(&container.log_path, LOG_LINES, LOG_BYTES).await.unwrap_or_default(),
        // What the runtime says, for example why the program could not be executed.
        _ => message.clone(),
    }
}

/// `None` if there is no such file: the container was made without, or its folder is gone.
async fn read(path: &Path) -> Option<String> {
    if path.as_os_str().is_empty() {
        return None;
    }
    let mut bytes = Vec::new();
    tokio::fs::File::open(path).await.ok()?.take(LONGEST).read_to_end(&mut bytes).await.ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
