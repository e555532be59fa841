//! What to write so that what is here is as it is there. Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use portolan_api::typed::{InstanceLease, Object, ServiceInstance, ServiceInstanceSpec, ServiceInstanceStatus};
use portolan_base::Timestamp;
use portolan_registrar::object_name;

use crate::source::Found;

/// The dialect of the source.
pub(crate) const FROM_LABEL: &str = "registry.portolan.dev/imported-from";
/// Which import an object belongs to.
pub(crate) const IMPORT_LABEL: &str = "registry.portolan.dev/import";
/// The source's URL.
pub(crate) const URL_ANNOTATION: &str = "registry.portolan.dev/import-url";

/// Whose objects these are.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    pub(crate) namespace: String,
    pub(crate) from: &'static str,
    pub(crate) import: String,
    pub(crate) url: String,
}

impl Owner {
    /// Whether an object belongs to this import.
    pub(crate) fn owns(&self, object: &ServiceInstance) -> bool {
        let labels = object.metadata.labels.as_ref();
        let label = |name: &str| labels.and_then(|labels| labels.get(name)).map(String::as_str);
        object.namespace() == self.namespace
            && object.spec.origin == "import"
            && (label(FROM_LABEL), label(IMPORT_LABEL)) == (Some(self.from), Some(&self.import))
    }
}

/// One write.
#[derive(Debug, PartialEq)]
pub(crate) enum Action {
    Create(Box<ServiceInstance>),
    /// With the version that was seen.
    Update(Box<ServiceInstance>),
    UpdateStatus(Box<ServiceInstance>),
    Delete {
        name: String,
        uid: String,
    },
}

/// What must be written so that the import's objects are what was found: removals first.
///
/// Objects that are not the import's are not touched, whatever they are called.
pub(crate) fn plan(owner: &Owner, present: &[ServiceInstance], found: &[Found], now: Timestamp) -> Vec<Action> {
    let present: BTreeMap<&str, &ServiceInstance> =
        present.iter().filter(|object| owner.owns(object)).map(|object| (object.name(), object)).collect();
    let (mut writes, mut wanted) = (Vec::new(), BTreeSet::new());
    for found in found {
        let mut object = object(owner, found, now);
        if !wanted.insert(object.name().to_owned()) {
            // [`doubles`] tells of it.
            continue;
        }
        let Some(before) = present.get(object.name()) else {
            writes.push(Action::Create(Box::new(object)));
            continue;
        };
        keep_decisions(&mut object.spec, &before.spec);
        if object.spec != before.spec {
            writes.push(Action::Update(Box::new(ServiceInstance { spec: object.spec.clone(), ..(*before).clone() })));
        }
        let (said, known) = (object.status.unwrap_or_default(), before.status.clone().unwrap_or_default());
        if (said.health, &said.reason) != (known.health, &known.reason) {
            let status = ServiceInstanceStatus { health: said.health, reason: said.reason, since: said.since, ..known };
            writes.push(Action::UpdateStatus(Box::new(ServiceInstance { status: Some(status), ..(*before).clone() })));
        }
    }
    let gone = present.iter().filter(|(name, _)| !wanted.contains(**name));
    let mut actions: Vec<Action> =
        gone.map(|(name, object)| Action::Delete { name: (*name).to_owned(), uid: object.uid().to_owned() }).collect();
    actions.extend(writes);
    actions
}

/// What the source lists under an id that it gave to something else already: only the first of them is imported.
pub(crate) fn doubles(found: &[Found]) -> Vec<&Found> {
    let mut known = BTreeSet::new();
    found.iter().filter(|found| !known.insert((&found.scope, &found.id))).collect()
}

/// An override that an administrator set here is not the source's to undo.
fn keep_decisions(spec: &mut ServiceInstanceSpec, before: &ServiceInstanceSpec) {
    spec.administrative.clone_from(&before.administrative);
    let word = before.extensions.get("eureka").and_then(|known| known.get("overriddenStatus"));
    if let (Some(word), Some(known)) = (word, spec.extensions.get_mut("eureka").and_then(|known| known.as_object_mut()))
    {
        known.insert("overriddenStatus".into(), word.clone());
    }
}

fn object(owner: &Owner, found: &Found, now: Timestamp) -> ServiceInstance {
    let scope = format!("import/{}/{}/{}", owner.from, owner.import, found.scope);
    let mut object = ServiceInstance {
        metadata: ObjectMeta {
            name: Some(object_name(&scope, &found.id)),
            namespace: Some(owner.namespace.clone()),
            labels: Some([(FROM_LABEL, owner.from), (IMPORT_LABEL, owner.import.as_str())].map(owned).into()),
            annotations: Some([(URL_ANNOTATION, owner.url.as_str())].map(owned).into()),
            ..ObjectMeta::default()
        },
        spec: ServiceInstanceSpec {
            service: found.service.clone(),
            instance_id: found.id.clone(),
            address: found.address.clone(),
            node: found.node.clone(),
            ports: found.ports.clone(),
            tags: found.tags.clone(),
            metadata: found.metadata.clone(),
            version: found.metadata.get("version").cloned().unwrap_or_default(),
            weights: found.weights,
            locality: found.locality.clone(),
            // It lives as long as the source says so.
            lease: Some(InstanceLease::default()),
            origin: "import".into(),
            extensions: found.extensions.clone(),
            ..ServiceInstanceSpec::default()
        },
        status: Some(ServiceInstanceStatus {
            health: found.health,
            reason: found.reason.clone(),
            since: Some(Time(now)),
            ..ServiceInstanceStatus::default()
        }),
    };
    // As the API stores it, so that what did not change is seen to be the same.
    let name = object.name().to_owned();
    object.spec.fill_defaults(&name);
    object
}

fn owned((key, value): (&str, &str)) -> (String, String) {
    (key.to_owned(), value.to_owned())
}
