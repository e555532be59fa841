//! Prepared queries: what they are and which of them a name means. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::template::Template;

/// A prepared query.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PreparedQuery {
    /// Identity, a UUID.
    #[serde(rename = "ID")]
    pub id: String,
    /// Name; of a template the beginning of the names that it answers.
    pub name: String,
    /// Session with which it ends; may be empty.
    pub session: String,
    /// Hash of the token that executes it; may be empty.
    pub token: String,
    /// Makes it answer many names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<QueryTemplate>,
    /// What is looked for.
    pub service: ServiceQuery,
    /// For answers over DNS.
    #[serde(rename = "DNS")]
    pub dns: DnsOptions,
}

/// How a query answers many names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct QueryTemplate {
    /// Always `name_prefix_match`.
    pub r#type: String,
    /// Takes the name apart.
    pub regexp: String,
    /// Tags that come out empty are left out.
    pub remove_empty_tags: bool,
}

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceQuery {
    /// Name of the service.
    pub service: String,
    /// Where to look if nobody is here.
    pub failover: Failover,
    /// Whether a warning keeps an instance out.
    pub only_passing: bool,
    /// Checks that do not count.
    #[serde(rename = "IgnoreCheckIDs")]
    pub ignore_check_ids: Vec<String>,
    /// Node near which answers are wanted first.
    pub near: String,
    /// Tags that instances must have, or with `!` must not.
    pub tags: Vec<String>,
    /// Metadata that the instances' nodes must have.
    pub node_meta: BTreeMap<String, String>,
    /// Metadata that instances must have.
    pub service_meta: BTreeMap<String, String>,
    /// Whether proxies are looked for.
    pub connect: bool,
    /// Cluster peer.
    pub peer: String,
}

/// Where to look if nobody is here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Failover {
    /// In that many nearest datacenters.
    pub nearest_n: i64,
    /// In these datacenters.
    pub datacenters: Vec<String>,
    /// In these places.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<FailoverTarget>,
}

/// A place to look.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct FailoverTarget {
    /// Datacenter.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub datacenter: String,
    /// Cluster peer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub peer: String,
}

/// For answers over DNS.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DnsOptions {
    /// How long answers may be kept, as a duration of Go; may be empty.
    #[serde(rename = "TTL")]
    pub ttl: String,
}

impl PreparedQuery {
    /// The name that no other query may have; none for queries that only their id names.
    pub(crate) fn unique_name(&self) -> Option<&str> {
        (!self.name.is_empty() || self.template.is_some()).then_some(self.name.as_str())
    }

    /// Says what is wrong with it.
    pub(crate) fn check(&self) -> Result<(), String> {
        if uuid::Uuid::try_parse(&self.name).is_ok() {
            return Err("Prepared query names cannot be UUIDs".into());
        }
        if self.unique_name().is_none() && self.session.is_empty() {
            return Err("Must be bound to a session".into());
        }
        if self.service.service.is_empty() {
            return Err("Must provide a Service name to query".into());
        }
        let failover = &self.service.failover;
        if failover.nearest_n < 0 {
            return Err(format!("Bad NearestN '{}', must be >= 0", failover.nearest_n));
        }
        if !failover.targets.is_empty() && (failover.nearest_n > 0 || !failover.datacenters.is_empty()) {
            return Err("Targets cannot be populated with NearestN or Datacenters".into());
        }
        if !self.dns.ttl.is_empty() {
            crate::duration::parse(&self.dns.ttl)
                .map_err(|error| format!("Bad DNS TTL '{}': {error}", self.dns.ttl))?;
        }
        match &self.template {
            None => Ok(()),
            Some(_) => Template::compile(self).map(|_| ()),
        }
    }
}

/// The query that an id or a name means, rendered for it.
///
/// An id wins over a name, a name over templates, and of those the one with the longest name.
pub fn find(queries: &[PreparedQuery], wanted: &str) -> Option<Result<PreparedQuery, String>> {
    if let Some(query) = queries.iter().find(|query| query.id == wanted) {
        return Some(match query.template {
            Some(_) => Err("prepared query templates must be executed by name".into()),
            None => Ok(query.clone()),
        });
    }
    let plain = |query: &&PreparedQuery| query.template.is_none() && !query.name.is_empty() && query.name == wanted;
    if let Some(query) = queries.iter().find(plain) {
        return Some(Ok(query.clone()));
    }
    let templates = queries.iter().filter(|query| query.template.is_some() && wanted.starts_with(&query.name));
    let best = templates.max_by_key(|query| query.name.len())?;
    Some(Template::compile(best).map(|template| template.render(wanted)))
}
