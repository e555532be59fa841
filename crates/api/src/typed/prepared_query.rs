//! Our own kind: a question about instances that was prepared under a name.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A prepared query as names are answered from it, on every node.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct PreparedQuery {
    /// Metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// The question.
    #[serde(default)]
    pub spec: PreparedQuerySpec,
    /// Nothing: it has no state of its own.
    #[serde(default)]
    pub status: Option<Map<String, Value>>,
}

/// The question.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PreparedQuerySpec {
    /// Name to ask for; of a template the beginning of the names that it answers.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Makes it answer many names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<PreparedQueryTemplate>,
    /// Name of the service.
    pub service: String,
    /// Whether a warning keeps an instance out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub only_passing: bool,
    /// Checks that do not count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore_check_ids: Vec<String>,
    /// Node near which answers are wanted first.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub near: String,
    /// Tags that instances must have, or with `!` must not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Metadata that the instances' nodes must have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub node_metadata: BTreeMap<String, String>,
    /// Metadata that instances must have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub service_metadata: BTreeMap<String, String>,
    /// Whether what is looked for is not of this cluster, or reached through a mesh: nobody answers then.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub elsewhere: bool,
    /// How many seconds answers may be kept; as long as others if not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u32>,
}

/// How a query answers many names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PreparedQueryTemplate {
    /// Takes the name apart.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub regexp: String,
    /// Tags that come out empty are left out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub remove_empty_tags: bool,
}
