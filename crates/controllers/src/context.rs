//! What every controller is given.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use portolan_base::{Clock, Timestamp};
use portolan_client::{ApiResource, Client, Error, EventRecorder, Informers};
use portolan_identity::{CertificateRequest, LegacyClaims};
use serde_json::Value;

/// Inputs of the controllers.
#[derive(Debug, Clone)]
pub struct Config {
    /// Reads and writes objects.
    pub client: Client,
    /// Shared copies of objects; somebody else runs them.
    pub informers: Arc<Informers>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Certificates that pods trust the API server by, PEM; published as `kube-root-ca.crt`.
    pub root_ca_pem: String,
    /// Addresses for services of type LoadBalancer, for example `10.44.0.0/24`.
    pub load_balancer_cidr: String,
    /// When nodes count as lost.
    pub node_times: NodeTimes,
    /// How long a token in a Secret must have been unused to be taken away.
    pub legacy_token_period: Duration,
    /// Signs with the cluster's keys.
    pub keys: Arc<dyn Keys>,
}

/// What only the holder of the cluster's keys can do.
pub trait Keys: std::fmt::Debug + Send + Sync {
    /// Signs a certificate with these usages, valid between these times; PEM.
    ///
    /// # Errors
    /// Says why the request cannot be fulfilled.
    fn sign(
        &self,
        request: &CertificateRequest,
        usages: &[String],
        from: Timestamp,
        until: Timestamp,
    ) -> Result<String, String>;

    /// Signs a token that lives in a Secret.
    ///
    /// # Errors
    /// The signature could not be made.
    fn sign_token(&self, claims: &LegacyClaims) -> Result<String, String>;
}

/// When nodes count as lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeTimes {
    /// Silence after which a node's state is unknown.
    pub grace: Duration,
}

impl Default for NodeTimes {
    fn default() -> Self {
        Self { grace: Duration::from_secs(40) }
    }
}

/// Inputs and what the controllers share among themselves.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) informers: Arc<Informers>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) root_ca_pem: String,
    pub(crate) load_balancer_cidr: String,
    pub(crate) node_times: NodeTimes,
    pub(crate) legacy_token_period: Duration,
    pub(crate) keys: Arc<dyn Keys>,
}

impl Context {
    pub(crate) fn new(config: Config) -> Self {
        let Config { client, informers, clock, root_ca_pem, load_balancer_cidr, node_times, legacy_token_period, keys } =
            config;
        Self { client, informers, clock, root_ca_pem, load_balancer_cidr, node_times, legacy_token_period, keys }
    }

    /// The objects of a kind in a namespace, whatever kind it is.
    ///
    /// # Errors
    /// The server refuses or cannot be reached. A kind that is gone since it was discovered has no objects.
    pub(crate) async fn items(&self, resource: &ApiResource, namespace: &str) -> Result<Vec<Value>, Error> {
        let path = resource.path().collection(namespace);
        match self.client.raw(Method::GET, &path, None).await {
            Ok(mut list) => match list["items"].take() {
                Value::Array(items) => Ok(items),
                _ => Ok(Vec::new()),
            },
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// The writer of events of a controller.
    pub(crate) fn recorder(&self, component: &str) -> EventRecorder {
        EventRecorder::with_clock(self.client.clone(), component, "", self.clock.clone())
    }
}
