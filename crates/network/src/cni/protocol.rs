//! What the runtime says and how it is answered.

use std::fmt::Display;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Value, json};

/// Versions of the protocol this plugin speaks.
pub(super) const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    Add,
    Del,
    Check,
    Version,
}

/// One invocation.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) command: Command,
    pub(super) container: String,
    pub(super) interface: String,
    pub(super) namespace: String,
    pub(super) network: Network,
}

/// The configuration on standard input. `loopback` gets the first two fields only.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Network {
    #[serde(default)]
    pub(super) cni_version: String,
    #[serde(default)]
    pub(super) bridge: String,
    #[serde(default)]
    pub(super) pod_cidr: String,
    #[serde(default = "default_mtu")]
    pub(super) mtu: u32,
    #[serde(default)]
    pub(super) state_dir: PathBuf,
}

fn default_mtu() -> u32 {
    1500
}

/// A failure, in the form the protocol prescribes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PluginError {
    code: u32,
    message: String,
    details: String,
    version: String,
}

impl PluginError {
    fn new(code: u32, message: impl Into<String>, details: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: details.into(), version: "1.0.0".into() }
    }

    /// Standard input could not be read.
    pub(super) fn input(error: &std::io::Error) -> Self {
        Self::new(5, "read the network configuration from standard input", error.to_string())
    }

    pub(super) fn environment(variable: &str, problem: &str) -> Self {
        Self::new(4, format!("environment variable {variable}: {problem}"), "")
    }

    pub(super) fn configuration(problem: impl Display) -> Self {
        Self::new(7, format!("network configuration: {problem}"), "")
    }

    pub(super) fn failed(step: impl Display, cause: impl Display) -> Self {
        Self::new(100, step.to_string(), cause.to_string())
    }

    pub(super) fn try_again(problem: impl Display) -> Self {
        Self::new(11, problem.to_string(), "")
    }

    pub(super) fn for_version(mut self, version: &str) -> Self {
        if !version.is_empty() {
            self.version = version.to_owned();
        }
        self
    }

    pub(super) fn to_json(&self) -> Value {
        json!({"cniVersion": self.version, "code": self.code, "msg": self.to_string(), "details": self.details})
    }
}

impl Request {
    pub(super) fn from_environment(input: &[u8]) -> Result<Self, PluginError> {
        Self::parse(|name| std::env::var(name).unwrap_or_default(), input)
    }

    pub(super) fn parse(variable: impl Fn(&str) -> String, input: &[u8]) -> Result<Self, PluginError> {
        let command = match variable("CNI_COMMAND").as_str() {
            "ADD" => Command::Add,
            "DEL" => Command::Del,
            "CHECK" => Command::Check,
            "VERSION" => Command::Version,
            _ => return Err(PluginError::environment("CNI_COMMAND", "expected ADD, DEL, CHECK or VERSION")),
        };
        let network: Network = serde_json::from_slice(input)
            .map_err(|error| PluginError::new(6, "decode the network configuration", error.to_string()))?;
        let request = Self {
            command,
            container: variable("CNI_CONTAINERID"),
            interface: variable("CNI_IFNAME"),
            namespace: variable("CNI_NETNS"),
            network,
        };
        if command == Command::Version {
            return Ok(request);
        }
        let version = &request.network.cni_version;
        if !VERSIONS.contains(&version.as_str()) {
            let spoken = VERSIONS.join(", ");
            return Err(PluginError::new(1, format!("CNI version {version:?} is not one of {spoken}"), ""));
        }
        request.check_names().map_err(|error| error.for_version(version))?;
        Ok(request)
    }

    /// The names become parts of file names, so only what the specification allows may pass.
    fn check_names(&self) -> Result<(), PluginError> {
        let plain =
            |text: &str| text.chars().all(|character| character.is_ascii_alphanumeric() || "_.-".contains(character));
        if !plain(&self.container)
            || !self.container.starts_with(|first: char| first.is_ascii_alphanumeric())
            || self.container.len() > 200
        {
            return Err(PluginError::environment("CNI_CONTAINERID", "expected letters, digits, '_', '.' or '-'"));
        }
        if !plain(&self.interface) || self.interface.is_empty() || self.interface.len() > 15 {
            return Err(PluginError::environment("CNI_IFNAME", "expected the name of an interface"));
        }
        // After a reboot the namespace of a pod to delete is gone and its path may be empty.
        if self.namespace.is_empty() && self.command != Command::Del {
            return Err(PluginError::environment("CNI_NETNS", "expected the path of a network namespace"));
        }
        Ok(())
    }
}

/// The answer to VERSION.
pub(super) fn versions() -> Value {
    json!({"cniVersion": "1.0.0", "supportedVersions": VERSIONS})
}
