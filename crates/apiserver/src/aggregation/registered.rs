//! The API services in the store.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;
use portolan_api::description::by_priority;
use portolan_identity::KeyPairPem;
use portolan_store::{Entry, EventKind, Revision, Store};
use rustls::ClientConfig;
use serde_json::Value;

use super::GROUP;
use super::whole::Documents;
use crate::authorization::followed::{Followed, View};
use crate::status::Status;

const PREFIX: &str = "/registry/apiregistration.k8s.io/apiservices/";
const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";
const DEFAULT_PORT: u16 = 443;

/// Which versions of groups are answered elsewhere, and what is known about them.
pub(crate) struct Aggregation {
    registered: Followed<Registered>,
    /// What the servers said at the last check, by the name of the API service.
    found: RwLock<HashMap<String, Arc<Found>>>,
    pub(super) documents: Documents,
    /// How this server proves to extension servers that it is the one.
    pub(super) client: OnceLock<KeyPairPem>,
}

/// What an extension server said about itself.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    /// Its `APIResourceList`.
    pub(super) resources: Value,
    /// The hash of its OpenAPI document; empty if it tells none, nothing if there is no document.
    pub(super) document: Option<String>,
}

/// An API service that is answered elsewhere.
#[derive(Debug)]
pub(crate) struct Service {
    pub(super) name: String,
    pub(super) group: String,
    pub(super) version: String,
    pub(super) group_priority: i64,
    pub(super) version_priority: i64,
    pub(super) backend: Backend,
    pub(super) is_available: bool,
    /// Settings of connections to it, made at the first one.
    pub(super) tls: OnceLock<Result<Arc<ClientConfig>, String>>,
}

/// Where an extension server is, and whom to believe that it is the one.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) port: u16,
    pub(super) authority: String,
    pub(super) is_unverified: bool,
}

impl Service {
    fn read(object: &Value) -> Option<Self> {
        let spec = &object["spec"];
        let service = spec["service"].as_object()?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let field = |name: &str| service.get(name).map(text).unwrap_or_default();
        let port = service.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
        let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
        let mut available = conditions.filter(|condition| condition["type"] == "Available");
        Some(Self {
            name: text(&object["metadata"]["name"]),
            group: text(&spec["group"]),
            version: text(&spec["version"]),
            group_priority: spec["groupPriorityMinimum"].as_i64().unwrap_or_default(),
            version_priority: spec["versionPriority"].as_i64().unwrap_or_default(),
            backend: Backend {
                namespace: field("namespace"),
                name: field("name"),
                port: port.unwrap_or(DEFAULT_PORT),
                authority: text(&spec["caBundle"]),
                is_unverified: spec["insecureSkipTLSVerify"] == true,
            },
            is_available: available.any(|condition| condition["status"] == "True"),
            tls: OnceLock::new(),
        })
    }
}

#[derive(Default)]
struct Registered {
    names: BTreeSet<String>,
    /// Those that this server made for groups that users define.
    automatic: BTreeSet<String>,
    remote: BTreeMap<String, Arc<Service>>,
    /// Those that this server answers for, but that do not say so.
    untold: BTreeSet<String>,
}

/// What is said of the API services that a server answers for itself.
pub(super) const LOCAL: &str = "Local";

fn says_local(object: &Value) -> bool {
    let mut conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.any(|it| it["type"] == "Available" && it["status"] == "True" && it["reason"] == LOCAL)
}

impl View for Registered {
    fn take(&mut self, entry: &Entry, kind: EventKind) {
        let key = String::from_utf8_lossy(&entry.key);
        let Some(name) = key.strip_prefix(PREFIX) else { return };
        self.names.remove(name);
        self.automatic.remove(name);
        self.remote.remove(name);
        self.untold.remove(name);
        if kind == EventKind::Delete {
            return;
        }
        let object: Value = match serde_json::from_slice(&entry.value) {
            Ok(object) => object,
            Err(error) => {
                tracing::error!(name, %error, "a stored API service is damaged");
                return;
            }
        };
        self.names.insert(name.to_owned());
        if object["spec"]["service"].is_null() && !says_local(&object) {
            self.untold.insert(name.to_owned());
        }
        match Service::read(&object) {
            // Its own group and the core group are always answered here.
            Some(service) if !service.group.is_empty() && service.group != GROUP => {
                self.remote.insert(name.to_owned(), Arc::new(service));
            }
            Some(_) => {}
            None if object["metadata"]["labels"][MANAGED] == "true" => {
                self.automatic.insert(name.to_owned());
            }
            None => {}
        }
    }
}

impl Aggregation {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            registered: Followed::new(store, PREFIX),
            found: RwLock::default(),
            documents: Documents::default(),
            client: OnceLock::new(),
        }
    }

    /// Takes over everything that was written before now.
    pub(crate) async fn refresh(&self) -> Result<(), Status> {
        self.registered.refresh().await
    }

    /// Says that an API service was written at `revision`.
    pub(crate) fn expect(&self, revision: Revision) {
        self.registered.expect(revision);
    }

    /// Who else answers for a version of a group.
    pub(crate) fn remote(&self, group: &str, version: &str) -> Option<Arc<Service>> {
        let view = self.registered.view();
        if view.remote.is_empty() {
            return None;
        }
        view.remote.get(&format!("{version}.{group}")).cloned()
    }

    /// All that are answered elsewhere: important groups first, in them important versions first.
    pub(super) fn remotes(&self) -> Vec<Arc<Service>> {
        in_order(self.registered.view().remote.values().cloned().collect())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.registered.view().names.contains(name)
    }

    /// The names of those that this server made for groups that users define.
    pub(super) fn automatic(&self) -> Vec<String> {
        self.registered.view().automatic.iter().cloned().collect()
    }

    /// The names of those that this server answers for, but that do not say so.
    pub(super) fn untold(&self) -> Vec<String> {
        self.registered.view().untold.iter().cloned().collect()
    }

    pub(super) fn found(&self, name: &str) -> Option<Arc<Found>> {
        self.found.read().get(name).cloned()
    }

    /// Replaces what is known about all servers.
    pub(super) fn remember(&self, found: HashMap<String, Arc<Found>>) {
        *self.found.write() = found;
    }
}

/// A group comes where its most important version would; among equals the version that clients prefer is first.
fn in_order(mut services: Vec<Arc<Service>>) -> Vec<Arc<Service>> {
    services.sort_by_key(|service| (-service.group_priority, service.name.clone()));
    let mut groups: Vec<Vec<Arc<Service>>> = Vec::new();
    for service in services {
        match groups.iter_mut().find(|group| group[0].group == service.group) {
            Some(group) => group.push(service),
            None => groups.push(vec![service]),
        }
    }
    for group in &mut groups {
        group.sort_by(|one, other| {
            let by_number = other.version_priority.cmp(&one.version_priority);
            by_number.then_with(|| by_priority(&one.version, &other.version))
        });
    }
    groups.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn groups_and_versions_come_as_important_as_they_are() {
        let services = [
            ("b.example.com", "v1", 100, 15),
            ("b.example.com", "v6", 100, 15),
            ("b.example.com", "v10beta1", 100, 15),
            ("b.example.com", "v7alpha1", 100, 20),
            ("b.example.com", "latest", 100, 15),
            ("a.example.com", "v1", 100, 1),
            ("c.example.com", "v1", 50, 15),
            ("c.example.com", "v2", 2000, 10),
        ];
        let services = services.map(|(group, version, group_priority, version_priority)| {
            let object = json!({
                "metadata": {"name": format!("{version}.{group}")},
                "spec": {
                    "group": group, "version": version, "groupPriorityMinimum": group_priority,
                    "versionPriority": version_priority, "service": {"namespace": "default", "name": "demo"},
                },
            });
            Arc::new(Service::read(&object).expect("it has a service"))
        });
        let sorted: Vec<String> = in_order(services.to_vec()).iter().map(|service| service.name.clone()).collect();
        assert_eq!(
            sorted,
            [
                "v1.c.example.com",
                "v2.c.example.com",
                // By the name of its first service, not of the group.
                "v7alpha1.b.example.com",
                "v6.b.example.com",
                "v1.b.example.com",
                "v10beta1.b.example.com",
                "latest.b.example.com",
                "v1.a.example.com",
            ]
        );
    }
}
