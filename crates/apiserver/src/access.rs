//! How access to the server is set up: who is believed, who decides, what is recorded.

use std::time::Duration;

use crate::admission::AdmissionSettings;
use crate::audit::Audit;
use crate::authentication::Authentication;
use crate::authorization::Authorization;
use crate::encryption::Encryption;
use crate::fairness;

/// Settings of authentication, authorization and what else stands between a client and an object.
///
/// The default is the cluster's own: its certificates and service accounts, nodes and roles.
#[derive(Debug, Clone)]
pub struct Access {
    /// How users prove themselves.
    pub authentication: Authentication,
    /// How it is decided what they may do.
    pub authorization: Authorization,
    /// What is built in and decides about writes, and how.
    pub admission: AdmissionSettings,
    /// What is recorded of requests; nothing: nothing is.
    pub audit: Option<Audit>,
    /// Which objects are encrypted where they are stored; nothing: none.
    pub encryption: Option<Encryption>,
    /// How many requests run at a time; more wait for their turn. Nothing: any number.
    pub most_requests: Option<usize>,
    /// How long a request may take that is not meant to go on.
    pub request_timeout: Duration,
    /// How long events are kept; zero: for ever.
    pub event_ttl: Duration,
    /// Tokens of service accounts.
    pub service_accounts: ServiceAccounts,
}

/// Settings of the tokens of service accounts; their keys are those of the issuer.
#[derive(Debug, Clone)]
pub struct ServiceAccounts {
    /// Where others find the public keys; nothing: at this server.
    pub keys_url: Option<String>,
    /// The longest lifetime of a token that is asked for; longer ones are cut.
    pub longest_lifetime: Option<Duration>,
    /// Whether tokens that every pod gets hold longer than asked for, for programs that do not read them again.
    pub extends: bool,
}

impl Default for ServiceAccounts {
    fn default() -> Self {
        Self { keys_url: None, longest_lifetime: None, extends: true }
    }
}

impl Default for Access {
    fn default() -> Self {
        Self {
            authentication: Authentication::default(),
            authorization: Authorization::default(),
            admission: AdmissionSettings::default(),
            audit: None,
            encryption: None,
            most_requests: Some(fairness::REQUESTS),
            request_timeout: Duration::from_secs(60),
            event_ttl: Duration::from_secs(3600),
            service_accounts: ServiceAccounts::default(),
        }
    }
}
