//! What an instance that registered itself says beyond what every instance has.

use std::collections::BTreeMap;
use std::sync::Arc;

use portolan_api::typed::{Health, HealthCheck, InstanceOverride, Object as _, ServiceInstance, TaggedAddress};
use portolan_base::Timestamp;
use serde_json::{Map, Value};

/// The registration that an instance is. The object itself is not kept: of most of them, all it says is in the
/// instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Registration {
    name: Arc<str>,
    uid: Box<str>,
    revision: u64,
    created: Option<Timestamp>,
    said: Option<(Health, Option<Timestamp>)>,
    more: Option<Box<More>>,
}

/// What few say.
#[derive(Debug, Clone, PartialEq, Default)]
struct More {
    extensions: Map<String, Value>,
    tagged_addresses: BTreeMap<String, TaggedAddress>,
    enable_tag_override: bool,
    checks: Vec<HealthCheck>,
    administrative: Option<InstanceOverride>,
    reason: Box<str>,
    held_since: Option<Timestamp>,
}

impl Registration {
    /// What an object says; `name` is its own.
    pub fn of(object: &ServiceInstance, name: Arc<str>) -> Self {
        let (spec, status) = (&object.spec, object.status.as_ref());
        let more = More {
            extensions: spec.extensions.clone(),
            tagged_addresses: spec.tagged_addresses.clone(),
            enable_tag_override: spec.enable_tag_override,
            checks: spec.checks.clone(),
            administrative: spec.administrative.clone(),
            reason: status.map_or("", |status| &status.reason).into(),
            held_since: status.and_then(|status| status.lease_held_since.as_ref()).map(|time| time.0),
        };
        Self {
            name,
            uid: object.uid().into(),
            revision: object.revision(),
            created: object.metadata.creation_timestamp.as_ref().map(|time| time.0),
            said: status.map(|status| (status.health, status.since.as_ref().map(|time| time.0))),
            more: (more != More::default()).then(|| Box::new(more)),
        }
    }

    /// Name of the object.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Identity of the object.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// The revision of the store at which the object became like this; 0 if that is not known.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// When it registered.
    pub fn created(&self) -> Option<Timestamp> {
        self.created
    }

    /// What only one dialect knows of.
    pub fn extension(&self, dialect: &str) -> Option<&Value> {
        self.more.as_ref()?.extensions.get(dialect)
    }

    /// Further addresses by the kind of client they are for.
    pub fn tagged_addresses(&self) -> &BTreeMap<String, TaggedAddress> {
        static NONE: BTreeMap<String, TaggedAddress> = BTreeMap::new();
        self.more.as_ref().map_or(&NONE, |more| &more.tagged_addresses)
    }

    /// Whether others than its agent may change the tags.
    pub fn enable_tag_override(&self) -> bool {
        self.more.as_ref().is_some_and(|more| more.enable_tag_override)
    }

    /// How to find out how it does.
    pub fn checks(&self) -> &[HealthCheck] {
        self.more.as_ref().map_or(&[], |more| &more.checks)
    }

    /// What an administrator decided about it.
    pub fn administrative(&self) -> Option<&InstanceOverride> {
        self.more.as_ref()?.administrative.as_ref()
    }

    /// How it is by its own word, since when, and why, unless it says nothing.
    pub fn said(&self) -> Option<(Health, Option<Timestamp>, &str)> {
        let (health, since) = self.said?;
        Some((health, since, self.more.as_ref().map_or("", |more| &more.reason)))
    }

    /// Since when it stays although its lease has run out.
    pub fn held_since(&self) -> Option<Timestamp> {
        self.more.as_ref()?.held_since
    }
}
