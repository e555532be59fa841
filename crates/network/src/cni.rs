//! The container network interface: attaches one pod to the bridge.
//!
//! The executable is its own plugin. A container runtime starts it under the name
//! [`PLUGIN_NAME`] or `loopback` with `CNI_COMMAND` set; see
//! <https://github.com/containernetworking/cni/blob/spec-v1.0.0/SPEC.md>.
//!
//! A pod gets a `/32` address and reaches everything, its neighbours included, through the gateway on
//! the bridge. So every packet passes the host's IP layer and translated connections find their way
//! back, with or without `br_netfilter`. Where that module is loaded it translates frames inside the
//! bridge, and a pod that reaches itself through a service needs a hairpin port; so every port is one.

mod attach;
mod protocol;
#[cfg(test)]
mod tests;

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::Config;

pub use protocol::PluginError;

/// File name of the plugin and its `type` in the configuration.
pub const PLUGIN_NAME: &str = "portolan-cni";

/// Whether this process was started as a plugin; `main` then calls [`main`] and nothing else.
pub fn is_invoked() -> bool {
    std::env::var_os("CNI_COMMAND").is_some()
}

/// Runs the plugin: environment and standard input in, a JSON document on standard output.
pub fn main() -> ExitCode {
    let mut input = Vec::new();
    let read = std::io::stdin().read_to_end(&mut input).map_err(|error| PluginError::input(&error));
    let name = std::env::args_os().next();
    let name = name.as_deref().and_then(|path| Path::new(path).file_name()?.to_str()).unwrap_or(PLUGIN_NAME);
    let result = read.and_then(|_| protocol::Request::from_environment(&input)).and_then(|request| {
        let answer = attach::run(name, &request);
        answer.map_err(|error| error.for_version(&request.network.cni_version))
    });
    match result {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(answer)) => {
            println!("{answer}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{}", error.to_json());
            ExitCode::FAILURE
        }
    }
}

/// The network configuration list for the container runtime.
pub fn config_list(config: &Config) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": config.table,
        "plugins": [{
            "type": PLUGIN_NAME,
            "bridge": config.bridge,
            "podCidr": config.pod_cidr.to_string(),
            "mtu": config.mtu,
            "stateDir": config.state_dir,
        }],
    })
}

/// Makes `executable` known as a plugin in `directory`, under each name it answers to.
///
/// # Errors
/// The folder or a link cannot be made.
pub fn install(directory: &Path, executable: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    for name in [PLUGIN_NAME, "loopback"] {
        let link = directory.join(name);
        if std::fs::read_link(&link).is_ok_and(|target| target == executable) {
            continue;
        }
        match std::fs::remove_file(&link) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => std::os::unix::fs::symlink(executable, &link)?,
        }
    }
    Ok(())
}

/// One invocation without a process, for tests.
#[cfg(test)]
pub(crate) fn invoke_for_test(
    command: &str,
    name: &str,
    container: &str,
    namespace: &str,
    network: &Value,
) -> Result<Option<Value>, String> {
    let variable = |wanted: &str| {
        let value = match wanted {
            "CNI_COMMAND" => command,
            "CNI_CONTAINERID" => container,
            "CNI_IFNAME" => "eth0",
            _ => namespace,
        };
        value.to_owned()
    };
    let request = protocol::Request::parse(variable, network.to_string().as_bytes());
    request.and_then(|request| attach::run(name, &request)).map_err(|error| error.to_json().to_string())
}
