//! Another machine: a network namespace that reaches this one by a link of its own.

use std::process::Command;

use crate::{Cluster, command};

/// Another machine beside this one. Dropping it removes it.
pub struct Machine {
    name: String,
    host: String,
}

impl Machine {
    /// Makes one that reaches this machine and, by it, the bridge of a cluster.
    ///
    /// # Errors
    /// The namespace or its link cannot be made.
    pub fn beside(cluster: &Cluster) -> anyhow::Result<Self> {
        let id = std::process::id() % 100_000;
        let network = format!("{}.{}", crate::cluster::OUTSIDE, cluster.network());
        let machine = Self { name: format!("ptlm{id}"), host: format!("{network}.1") };
        let name = &machine.name;
        let (here, there) = (format!("ptlh{id}"), format!("ptlo{id}"));
        ip(&["netns", "add", name])?;
        ip(&["link", "add", &here, "type", "veth", "peer", "name", &there, "netns", name])?;
        ip(&["addr", "add", &format!("{network}.1/30"), "dev", &here])?;
        ip(&["link", "set", &here, "up"])?;
        ip(&["-n", name, "addr", "add", &format!("{network}.2/30"), "dev", &there])?;
        ip(&["-n", name, "link", "set", &there, "up"])?;
        ip(&["-n", name, "route", "add", &cluster.gateway(), "via", &machine.host])?;
        Ok(machine)
    }

    /// Address by which it reaches this machine.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Address of its own.
    pub fn address(&self) -> String {
        format!("{}.2", self.host.trim_end_matches(".1"))
    }

    /// A command on it.
    pub fn command(&self, arguments: &[String]) -> Command {
        let mut inside = Command::new("ip");
        inside.args(["netns", "exec", &self.name]).args(arguments);
        inside
    }
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    command(Command::new("ip").args(arguments)).map(drop)
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The link goes with the namespace.
        if let Err(error) = ip(&["netns", "del", &self.name]) {
            eprintln!("remove {}: {error:#}", self.name);
        }
    }
}
