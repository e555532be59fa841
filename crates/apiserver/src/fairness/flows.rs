//! FlowSchemas and PriorityLevelConfigurations: which requests belong together, and to which level.
//!
//! Source: `flowcontrol.apiserver.k8s.io/v1` and `pkg/util/flowcontrol/rule.go` of Kubernetes.

use std::collections::HashMap;

use portolan_identity::User;
use portolan_store::{Entry, EventKind};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::bootstrap;
use crate::authorization::followed::View;
use crate::authorization::{covers_path, has};
use crate::request::Info;

/// Keys of both kinds.
pub(super) const PREFIX: &str = "/registry/flowcontrol.apiserver.k8s.io/";

/// All flows, the first that fits first, and all levels. The mandatory ones are always there.
#[derive(Debug)]
pub(super) struct Flows {
    schemas: Vec<Schema>,
    pub(super) levels: HashMap<String, LevelObject>,
    /// Raised with each change.
    pub(super) generation: u64,
}

/// A flow schema.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Schema {
    pub(super) metadata: Metadata,
    spec: SchemaSpec,
    /// As it is: whatever it says, the schema counts.
    pub(super) status: Value,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Metadata {
    pub(super) name: String,
    pub(super) uid: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SchemaSpec {
    matching_precedence: i64,
    priority_level_configuration: Named,
    distinguisher_method: Option<Method>,
    rules: Vec<Rules>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Named {
    name: String,
    namespace: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Method {
    r#type: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Rules {
    subjects: Vec<Subject>,
    resource_rules: Vec<ResourceRule>,
    non_resource_rules: Vec<PathRule>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Subject {
    kind: String,
    user: Named,
    group: Named,
    service_account: Named,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ResourceRule {
    verbs: Vec<String>,
    api_groups: Vec<String>,
    resources: Vec<String>,
    cluster_scope: bool,
    namespaces: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct PathRule {
    verbs: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    urls: Vec<String>,
}

/// A priority level.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct LevelObject {
    pub(super) metadata: Metadata,
    pub(super) spec: LevelSpec,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct LevelSpec {
    pub(super) r#type: String,
    pub(super) limited: Limited,
    pub(super) exempt: Exempt,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Exempt {
    pub(super) nominal_concurrency_shares: Option<u32>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Limited {
    pub(super) nominal_concurrency_shares: Option<u32>,
    pub(super) limit_response: Response,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Response {
    pub(super) r#type: String,
    pub(super) queuing: Queuing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Queuing {
    pub(super) queues: usize,
    pub(super) hand_size: usize,
    pub(super) queue_length_limit: usize,
}

impl Default for Queuing {
    fn default() -> Self {
        Self { queues: 64, hand_size: 8, queue_length_limit: 50 }
    }
}

/// What a request asks for, as far as flows care.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) user: &'a User,
    pub(super) verb: &'a str,
    pub(super) path: &'a str,
    pub(super) info: Option<&'a Info>,
}

impl Default for Flows {
    fn default() -> Self {
        let mut flows = Self { schemas: Vec::new(), levels: HashMap::new(), generation: 0 };
        for name in bootstrap::MANDATORY {
            if let Some(schema) = mandatory("FlowSchema", name) {
                flows.add(schema);
            }
            if let Some(level) = mandatory("PriorityLevelConfiguration", name) {
                flows.levels.insert(name.to_owned(), level);
            }
        }
        flows
    }
}

/// A mandatory object, while none is stored.
fn mandatory<T: DeserializeOwned>(kind: &str, name: &str) -> Option<T> {
    let object = bootstrap::mandatory(kind, name)?;
    Some(serde_json::from_value(object).expect("what is built in can be read"))
}

impl View for Flows {
    fn take(&mut self, entry: &Entry, kind: EventKind) {
        let Some(path) = std::str::from_utf8(&entry.key).ok().and_then(|key| key.strip_prefix(PREFIX)) else { return };
        let Some((resource, name)) = path.split_once('/') else { return };
        let gone = kind == EventKind::Delete;
        self.generation += 1;
        match resource {
            "flowschemas" => {
                self.schemas.retain(|schema| schema.metadata.name != name);
                if let Some(schema) = read::<Schema>(entry, gone).or_else(|| mandatory("FlowSchema", name)) {
                    self.add(schema);
                }
            }
            "prioritylevelconfigurations" => {
                match read::<LevelObject>(entry, gone).or_else(|| mandatory("PriorityLevelConfiguration", name)) {
                    Some(level) => drop(self.levels.insert(name.to_owned(), level)),
                    None => drop(self.levels.remove(name)),
                }
            }
            _ => {}
        }
    }
}

fn read<T: DeserializeOwned>(entry: &Entry, gone: bool) -> Option<T> {
    if gone {
        return None;
    }
    serde_json::from_slice(&entry.value)
        .inspect_err(
            |error| tracing::error!(key = %String::from_utf8_lossy(&entry.key), %error, "a flow cannot be read"),
        )
        .ok()
}

impl Flows {
    pub(super) fn schemas(&self) -> impl Iterator<Item = &Schema> {
        self.schemas.iter()
    }

    fn add(&mut self, schema: Schema) {
        self.schemas.push(schema);
        let order = |schema: &Schema| (schema.spec.matching_precedence, schema.metadata.name.clone());
        self.schemas.sort_by_key(order);
    }

    /// The first schema that fits, with a level that exists; `catch-all` if none does.
    pub(super) fn classify(&self, asked: Asked<'_>) -> Option<(&Schema, &LevelObject)> {
        let with_level = |schema| Some((schema, self.level_of(schema)?));
        let fitting = self.schemas.iter().filter(|schema| schema.fits(asked)).find_map(with_level);
        let last = || self.schemas.iter().filter(|schema| schema.metadata.name == "catch-all").find_map(with_level);
        fitting.or_else(last)
    }

    fn level_of(&self, schema: &Schema) -> Option<&LevelObject> {
        self.levels.get(schema.level())
    }
}

impl Schema {
    /// The name of the level of its requests.
    pub(super) fn level(&self) -> &str {
        &self.spec.priority_level_configuration.name
    }

    fn fits(&self, asked: Asked<'_>) -> bool {
        self.spec.rules.iter().any(|rules| {
            let matters = match asked.info {
                Some(info) => rules.resource_rules.iter().any(|rule| rule.fits(asked.verb, info)),
                None => rules.non_resource_rules.iter().any(|rule| rule.fits(asked.verb, asked.path)),
            };
            matters && rules.subjects.iter().any(|subject| subject.is(asked.user))
        })
    }

    /// What tells the flows of a schema apart.
    pub(super) fn distinguisher<'a>(&self, asked: Asked<'a>) -> &'a str {
        match self.spec.distinguisher_method.as_ref().map(|method| method.r#type.as_str()) {
            Some("ByUser") => &asked.user.name,
            Some("ByNamespace") => asked.info.map_or("", |info| &info.namespace),
            _ => "",
        }
    }
}

impl Subject {
    fn is(&self, user: &User) -> bool {
        match self.kind.as_str() {
            "User" => self.user.name == "*" || self.user.name == user.name,
            "Group" => self.group.name == "*" || user.is_in(&self.group.name),
            "ServiceAccount" => {
                let account = user.name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
                account.is_some_and(|(namespace, name)| {
                    namespace == self.service_account.namespace
                        && (self.service_account.name == "*" || self.service_account.name == name)
                })
            }
            _ => false,
        }
    }
}

impl ResourceRule {
    fn fits(&self, verb: &str, info: &Info) -> bool {
        let place = match info.namespace.as_str() {
            "" => self.cluster_scope,
            namespace => has(&self.namespaces, namespace),
        };
        let resource = || match info.subresource.as_str() {
            "" => has(&self.resources, &info.resource),
            subresource => has(&self.resources, &format!("{}/{subresource}", info.resource)),
        };
        place && has(&self.verbs, verb) && has(&self.api_groups, &info.group) && resource()
    }
}

impl PathRule {
    fn fits(&self, verb: &str, path: &str) -> bool {
        has(&self.verbs, verb) && self.urls.iter().any(|pattern| covers_path(pattern, path))
    }
}
