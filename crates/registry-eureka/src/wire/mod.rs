//! Instances as Eureka clients write and read them. Pure.

mod decode;
mod encode;
#[cfg(test)]
mod tests;
mod xml;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(crate) use decode::{body, instance};
pub(crate) use encode::{Document, Format, View, envelope, instance_fragment, server_status};

/// How an instance is, in Eureka's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum InstanceStatus {
    // In the order of their names, which is the order in the hash code.
    Down,
    OutOfService,
    Starting,
    #[default]
    Unknown,
    Up,
}

impl InstanceStatus {
    /// The word on the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Down => "DOWN",
            Self::OutOfService => "OUT_OF_SERVICE",
            Self::Starting => "STARTING",
            Self::Unknown => "UNKNOWN",
            Self::Up => "UP",
        }
    }

    /// Whether an instance that says so takes no requests yet, or no more.
    pub(crate) fn is_not_up(self) -> bool {
        matches!(self, Self::Down | Self::Starting)
    }

    /// Reads the word in any case.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        let all = [Self::Down, Self::OutOfService, Self::Starting, Self::Unknown, Self::Up];
        all.into_iter().find(|status| status.as_str().eq_ignore_ascii_case(word))
    }
}

/// What a delta says about an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Added,
    Modified,
    Deleted,
}

impl Action {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// A port that may be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Port {
    pub(crate) number: u16,
    pub(crate) enabled: bool,
}

/// Where the instance says it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DataCenter {
    /// `MyOwn`, `Netflix` or `Amazon`.
    pub(crate) name: String,
    /// What Amazon's instances say of themselves.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) metadata: BTreeMap<String, String>,
}

impl DataCenter {
    /// The class that Java clients read it into.
    pub(crate) fn class(&self) -> &'static str {
        match self.name.as_str() {
            "Amazon" => "com.netflix.appinfo.AmazonInfo",
            _ => "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo",
        }
    }
}

/// A lease with its time stamps in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) renewal_seconds: i32,
    pub(crate) duration_seconds: i32,
    pub(crate) registered: i64,
    pub(crate) renewed: i64,
    pub(crate) up_since: i64,
}

impl Default for Lease {
    fn default() -> Self {
        Self { renewal_seconds: 30, duration_seconds: 90, registered: 0, renewed: 0, up_since: 0 }
    }
}

/// What Eureka calls `InstanceInfo`. Absent texts are empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct InstanceInfo {
    pub(crate) instance_id: String,
    pub(crate) host_name: String,
    pub(crate) app: String,
    pub(crate) app_group_name: String,
    pub(crate) ip_address: String,
    pub(crate) sid: String,
    pub(crate) status: InstanceStatus,
    pub(crate) overridden_status: InstanceStatus,
    pub(crate) port: Option<Port>,
    pub(crate) secure_port: Option<Port>,
    pub(crate) country_id: i32,
    pub(crate) data_center: Option<DataCenter>,
    pub(crate) lease: Lease,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) home_page_url: String,
    pub(crate) status_page_url: String,
    pub(crate) health_check_url: String,
    pub(crate) secure_health_check_url: String,
    pub(crate) vip_address: String,
    pub(crate) secure_vip_address: String,
    pub(crate) is_coordinating_discovery_server: bool,
    pub(crate) last_updated: i64,
    pub(crate) last_dirty: i64,
    pub(crate) asg_name: String,
}
