//! What is there to import, and where it comes from.

use std::collections::BTreeMap;
use std::time::Duration;

use portolan_api::typed::{Health, InstanceLocality, InstancePort, InstanceWeights};

use crate::consul::Consul;
use crate::eureka::Eureka;
use crate::http::{Error, Remote};

/// The dialect of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Consul's HTTP API; the URL is that of an agent or a server.
    Consul,
    /// Eureka's REST operations; the URL is the service URL of its clients, ending in `/eureka` as a rule.
    Eureka,
}

impl Dialect {
    /// The word for it in labels and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Consul => "consul",
            Self::Eureka => "eureka",
        }
    }
}

/// An instance at the source, in words of this registry.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Found {
    pub(crate) service: String,
    pub(crate) id: String,
    /// What its id is unique in at the source.
    pub(crate) scope: String,
    pub(crate) address: String,
    pub(crate) node: String,
    pub(crate) ports: Vec<InstancePort>,
    pub(crate) tags: Vec<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) weights: Option<InstanceWeights>,
    pub(crate) locality: Option<InstanceLocality>,
    pub(crate) health: Health,
    pub(crate) reason: String,
    pub(crate) extensions: serde_json::Map<String, serde_json::Value>,
}

/// A machine at the source.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) address: String,
    pub(crate) tagged_addresses: BTreeMap<String, String>,
    pub(crate) metadata: BTreeMap<String, String>,
}

/// A source that is followed.
pub(crate) enum Source {
    Consul(Consul),
    Eureka(Eureka),
}

impl Source {
    pub(crate) fn new(dialect: Dialect, remote: Remote, interval: Duration) -> Self {
        match dialect {
            Dialect::Consul => Self::Consul(Consul::new(remote)),
            Dialect::Eureka => Self::Eureka(Eureka::new(remote, interval)),
        }
    }

    /// Everything that is there: at once the first time, then when something has changed.
    pub(crate) async fn next(&mut self) -> Result<Vec<Found>, Error> {
        match self {
            Self::Consul(consul) => consul.next().await,
            Self::Eureka(eureka) => eureka.next().await,
        }
    }

    /// The machines that were there when it was heard last; Eureka knows none.
    pub(crate) fn machines(&self) -> &[Machine] {
        match self {
            Self::Consul(consul) => consul.machines(),
            Self::Eureka(_) => &[],
        }
    }

    /// Forgets what it knew, so that the next answer comes at once and is whole.
    pub(crate) fn restart(&mut self) {
        match self {
            Self::Consul(consul) => consul.restart(),
            Self::Eureka(eureka) => eureka.restart(),
        }
    }
}
