//! What Consul's clients take this cluster for: its datacenter, and how long they may keep names.

use std::ffi::OsString;

use clap::Args;
use portolan_dataplane::ConsulNames;

/// The longest time that a record may be kept (RFC 2181, section 8).
const LONGEST_TTL: i64 = i32::MAX as i64;

/// Settings of `.consul`, on every node.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConsulOptions {
    /// Name of the datacenter that this cluster is for Consul clients: lower-case letters, digits, `-` and `_`.
    #[arg(long, default_value = "dc1", value_name = "NAME", value_parser = datacenter)]
    pub(crate) consul_datacenter: String,
    /// Seconds for which clients may keep what `.consul` says of services; prepared queries may have their own.
    #[arg(long, default_value_t = 0, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(..=LONGEST_TTL))]
    pub(crate) dns_consul_service_ttl: u32,
    /// Seconds for which clients may keep what `.consul` says of machines and addresses.
    #[arg(long, default_value_t = 0, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(..=LONGEST_TTL))]
    pub(crate) dns_consul_node_ttl: u32,
    /// Seconds for which clients may remember that `.consul` has no such name.
    #[arg(long, default_value_t = 0, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(..=LONGEST_TTL))]
    pub(crate) dns_consul_negative_ttl: u32,
}

impl ConsulOptions {
    /// The options as arguments.
    pub(crate) fn arguments(&self) -> [(&'static str, OsString); 4] {
        [
            ("--consul-datacenter", self.consul_datacenter.clone().into()),
            ("--dns-consul-service-ttl", self.dns_consul_service_ttl.to_string().into()),
            ("--dns-consul-node-ttl", self.dns_consul_node_ttl.to_string().into()),
            ("--dns-consul-negative-ttl", self.dns_consul_negative_ttl.to_string().into()),
        ]
    }

    /// Settings of the names.
    pub(crate) fn names(&self) -> ConsulNames {
        ConsulNames {
            datacenter: self.consul_datacenter.clone(),
            service_ttl: self.dns_consul_service_ttl,
            node_ttl: self.dns_consul_node_ttl,
            negative_ttl: self.dns_consul_negative_ttl,
        }
    }
}

/// Reads the name of a datacenter as Consul does: in lower case, and it must be a label of a name.
fn datacenter(text: &str) -> Result<String, String> {
    let name = text.to_ascii_lowercase();
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    match name.len() {
        0 => Err("a datacenter has a name, such as `dc1`".into()),
        1..=63 if name.bytes().all(is_allowed) => Ok(name),
        1..=63 => Err("give lower-case letters, digits, `-` and `_` only".into()),
        _ => Err("it is part of names, so 63 characters are the most".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datacenter_has_a_name_that_consul_takes() {
        for (text, expected) in [
            ("dc1", Some("dc1")),
            ("EU-West_2", Some("eu-west_2")),
            ("7", Some("7")),
            ("", None),
            ("eu.west", None),
            ("eu west", None),
            ("köln", None),
            (&"a".repeat(63), Some(&*"a".repeat(63))),
            (&"a".repeat(64), None),
        ] {
            assert_eq!(datacenter(text).ok().as_deref(), expected, "{text:?}");
        }
    }
}
