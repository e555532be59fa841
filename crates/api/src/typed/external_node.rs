//! Our own kind: a machine outside the cluster that instances run on.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use super::{Checked, HealthCheck, HealthCheckStatus, InstanceLocality, List, ListBody, Object, Scope};

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

/// The form on the wire, which says its kind.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Encoded<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: &'a ObjectMeta,
    spec: &'a ExternalNodeSpec,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: &'a Option<ExternalNodeStatus>,
}

impl Object for ExternalNode {
    const GROUP: &'static str = "registry.portolan.dev";
    const VERSION: &'static str = "v1";
    const API_VERSION: &'static str = "registry.portolan.dev/v1";
    const KIND: &'static str = "ExternalNode";
    const RESOURCE: &'static str = "externalnodes";
    const SCOPE: Scope = Scope::Cluster;

    fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    fn decode_list(bytes: &[u8]) -> Result<List<Self>, serde_json::Error> {
        let body: ListBody<Self> = serde_json::from_slice(bytes)?;
        Ok(body.into())
    }

    fn encode(&self) -> Vec<u8> {
        let encoded = Encoded {
            api_version: Self::API_VERSION,
            kind: Self::KIND,
            metadata: &self.metadata,
            spec: &self.spec,
            status: &self.status,
        };
        serde_json::to_vec(&encoded).expect("plain structs serialise to JSON: their map keys are strings")
    }

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
