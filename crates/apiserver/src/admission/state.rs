//! What admission keeps between requests.

use std::sync::Arc;

use portolan_store::{Revision, Store};

use super::policy::Policies;
use super::quota::Tills;
use super::webhook::{Hook, Hooks};
use crate::authorization::followed::Followed;
use crate::status::Status;

const MUTATING: &str = "/registry/admissionregistration.k8s.io/mutatingwebhookconfigurations/";
const VALIDATING: &str = "/registry/admissionregistration.k8s.io/validatingwebhookconfigurations/";

/// Configurations as they are asked.
pub(crate) struct Admission {
    mutating: Followed<Hooks>,
    validating: Followed<Hooks>,
    policies: Policies,
    pub(super) tills: Tills,
}

impl Admission {
    pub(crate) fn new(store: &Arc<dyn Store>) -> Self {
        Self {
            mutating: Followed::new(store.clone(), MUTATING),
            validating: Followed::new(store.clone(), VALIDATING),
            policies: Policies::new(store),
            tills: Tills::default(),
        }
    }

    /// Says that this server wrote a configuration of this resource at `revision`.
    pub(crate) fn expect(&self, resource: &str, revision: Revision) {
        match resource {
            "mutatingwebhookconfigurations" => self.mutating.expect(revision),
            "validatingwebhookconfigurations" => self.validating.expect(revision),
            other => self.policies.expect(other, revision),
        }
    }

    /// Whether there are policies or webhooks at all.
    pub(crate) async fn asks_anyone(&self) -> Result<bool, Status> {
        Ok(!self.mutating().await?.is_empty() || !self.validating().await?.is_empty() || self.policies.decide().await?)
    }

    /// Policies and their bindings.
    pub(super) fn policies(&self) -> &Policies {
        &self.policies
    }

    /// All mutating hooks, in the order in which they are asked.
    pub(super) async fn mutating(&self) -> Result<Vec<Arc<Hook>>, Status> {
        self.mutating.refresh().await?;
        Ok(self.mutating.view().list())
    }

    /// All validating hooks.
    pub(super) async fn validating(&self) -> Result<Vec<Arc<Hook>>, Status> {
        self.validating.refresh().await?;
        Ok(self.validating.view().list())
    }
}
