//! How extension servers know that it is this server who tells them a user's name.
//!
//! All servers of a cluster share an authority that signs nothing else. Its key is in a Secret, so that it is
//! encrypted at rest like any other.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portolan_identity::{Authority, Error, KeyPairPem, Request, Usage};
use serde_json::{Value, json};

use super::Aggregation;

/// The name in the certificate of every server.
pub(crate) const CLIENT_NAME: &str = "front-proxy-client";

/// The certificate lives in memory and no longer than the process.
const LIFETIME: Duration = Duration::from_secs(5 * 365 * 24 * 60 * 60);

/// The Secret with the authority, for the first server of a cluster.
pub(crate) fn authority() -> Result<Value, Error> {
    let pair = Authority::create("front-proxy-ca")?;
    Ok(json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": "front-proxy-ca", "namespace": "kube-system"},
        "data": {"tls.crt": STANDARD.encode(pair.certificate_pem), "tls.key": STANDARD.encode(pair.key_pem)},
    }))
}

/// Makes the certificate of this server and returns that of the authority.
pub(crate) fn prepare(aggregation: &Aggregation, secret: &Value) -> Result<String, Error> {
    let field = |name: &str| {
        let encoded = secret["data"][name].as_str().unwrap_or_default();
        let decoded = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        decoded.ok_or_else(|| Error::Damaged {
            what: format!("{name} of the Secret kube-system/front-proxy-ca"),
            reason: "it is no text in base64".into(),
        })
    };
    let authority =
        Authority::from_key_pair(KeyPairPem { certificate_pem: field("tls.crt")?, key_pem: field("tls.key")? })?;
    let client = authority.issue(&Request {
        common_name: CLIENT_NAME.into(),
        organizations: [None, None],
        dns_names: Vec::new(),
        addresses: Vec::new(),
        usage: Usage::Client,
        valid_for: LIFETIME,
    })?;
    // A server prepares once.
    let _ = aggregation.client.set(client);
    Ok(authority.certificate_pem().to_owned())
}
