//! Our own kind: a machine outside the cluster that instances run on.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use super::{Checked, HealthCheck, HealthCheckStatus, InstanceLocality};

/// A machine outside the cluster, as somebody registered it.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct ExternalNode {
    /// Metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What was registered.
    #[serde(default)]
    pub spec: ExternalNodeSpec,
    /// How it is.
    #[serde(default)]
    pub status: Option<ExternalNodeStatus>,
}

/// What was registered of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExternalNodeSpec {
    /// Its name, in the spelling of who registered it.
    pub node: String,
    /// Its identity, often a UUID.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub node_id: String,
    /// Its address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// Further addresses by the kind of client they are for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tagged_addresses: BTreeMap<String, String>,
    /// Whatever else was said about it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locality: Option<InstanceLocality>,
    /// Checks of the machine, which count for each instance on it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<HealthCheck>,
    /// Dialect that registered it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub origin: String,
}

/// How a machine is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ExternalNodeStatus {
    /// What its checks found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<HealthCheckStatus>,
}

impl Checked for ExternalNode {
    fn checks(&self) -> &[HealthCheck] {
        &self.spec.checks
    }

    fn results(&self) -> &[HealthCheckStatus] {
        self.status.as_ref().map_or(&[], |status| &status.checks)
    }

    fn results_mut(&mut self) -> &mut Vec<HealthCheckStatus> {
        &mut self.status.get_or_insert_default().checks
    }
}
