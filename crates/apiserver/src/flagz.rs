//! `/flagz`: how the server is set up, under the names of the flags of Kubernetes' server that say the same.
//!
//! Source: `k8s.io/apiserver/pkg/server/flagz` (KEP-4828).

use std::collections::BTreeMap;

use http::{HeaderMap, Response};
use portolan_base::go;
use serde_json::json;

use crate::body::Body;
use crate::negotiate::{self, Page};
use crate::server::{Server, text};
use crate::status::Status;
use crate::statusz::{self, FOR_PEOPLE};

pub(crate) const PATH: &str = "/flagz";

/// Answers for people, or in the form of an object if the client names it.
pub(crate) fn serve(server: &Server, headers: &HeaderMap) -> Result<Response<Body>, Status> {
    let page = negotiate::page(headers, "Flagz")?;
    let flags = flags(server);
    match page {
        Page::Text => {
            let lines: String = flags.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
            Ok(text(200, format!("\napiserver flagz\n{FOR_PEOPLE}\n{lines}")))
        }
        Page::Object { version, format } => Ok(statusz::object("Flagz", version, format, json!({"flags": flags}))),
    }
}

/// Settings that others than this server would need to know are left out, and so is what Kubernetes has no flag for.
fn flags(server: &Server) -> BTreeMap<&'static str, String> {
    let config = &server.config;
    let access = &config.access;
    let list = |items: &[String]| format!("[{}]", items.join(","));
    let modes: Vec<String> = access.authorization.modes.iter().map(|named| named.mode.kind().to_owned()).collect();
    let ports = &config.networks.node_ports;
    BTreeMap::from([
        ("advertise-address", config.advertise.ip().to_string()),
        ("api-audiences", list(server.api_audiences())),
        ("authorization-mode", list(&modes)),
        ("enable-priority-and-fairness", access.most_requests.is_some().to_string()),
        ("event-ttl", go::format_duration(access.event_ttl)),
        ("request-timeout", go::format_duration(access.request_timeout)),
        ("secure-port", config.advertise.port().to_string()),
        ("service-account-extend-token-expiration", access.service_accounts.extends.to_string()),
        ("service-account-issuer", list(&[config.tokens.issuer().to_owned()])),
        ("service-cluster-ip-range", config.networks.service_cidr.to_string()),
        ("service-node-port-range", format!("{}-{}", ports.start(), ports.end())),
    ])
}
