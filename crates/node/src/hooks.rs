//! `postStart` and `preStop` hooks.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, LifecycleHandler};
use portolan_base::error::chain;
use portolan_runtime::ContainerId;

use crate::lifecycle::PodRuntime;
use crate::probes::{Target, http};
use crate::worker::Context;

/// A command of a hook may take as long as its pod's grace period; this ends one that nobody waits for.
const EXEC_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
/// A server that does not answer a hook's request.
const HTTP_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs a hook to its end.
///
/// # Errors
/// Why it failed, for the event.
pub(crate) async fn run(
    context: &Context,
    runtime: &PodRuntime,
    container: &Container,
    id: &ContainerId,
    hook: &LifecycleHandler,
) -> Result<(), String> {
    if let Some(exec) = &hook.exec {
        let command = exec.command.clone().unwrap_or_default();
        let output = context.config.runtime.exec_sync(id, &command, EXEC_TIMEOUT).await;
        let output = output.map_err(|error| chain(&error).to_string())?;
        return match output.exit_code {
            0 => Ok(()),
            code => {
                let text = [output.stdout, output.stderr].concat();
                let text = String::from_utf8_lossy(&text);
                Err(format!("command '{}' exited with {code}: {}", command.join(" "), text.trim()))
            }
        };
    }
    if let Some(get) = &hook.http_get {
        let address = runtime.sandbox().and_then(|sandbox| sandbox.addresses.first().copied());
        let target = Target { address: address.or_else(|| context.config.addresses.first().copied()), container };
        let answer = tokio::time::timeout(HTTP_TIMEOUT, http::get(&target, get)).await;
        let answer = answer.map_err(|_| format!("no answer within {HTTP_TIMEOUT:?}"))??;
        return if answer.status.is_client_error() || answer.status.is_server_error() {
            Err(format!("HTTP hook answered {}", answer.status))
        } else {
            Ok(())
        };
    }
    if let Some(sleep) = &hook.sleep {
        tokio::time::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))).await;
        return Ok(());
    }
    Err("the hook has no action that this node knows".to_owned())
}
