//! What fuzz targets drive: all that reads what a client of Consul sends.

use serde_json::Value;

use crate::bexpr::{AGENT_SERVICE, CHECK, Filter, NODE, NODE_SERVICE, SERVICE_NODE, SERVICE_WITH_CHECKS};
use crate::body::Fields;
use crate::parameters::Parameters;
use crate::translate::{self, Via};
use crate::{duration, query, route, txn};

/// Reads a body as each request would that has one.
pub fn body(bytes: &[u8]) {
    if let Ok(fields) = Fields::parse(bytes) {
        for via in [Via::Agent, Via::Catalog] {
            if let Ok(service) = translate::service(&fields, via, "node", "192.0.2.1") {
                let _ = translate::service_checks(&fields, &service);
            }
        }
        let _ = (translate::check(&fields), translate::external_check(&fields));
    }
    let _ = txn::parse(bytes, |_| String::new());
    query::read_body(bytes);
}

/// Reads a filter and, if it makes sense, puts it to an entry.
pub fn filter(text: &str, entry: &Value) {
    for kind in [&AGENT_SERVICE, &CHECK, &NODE, &NODE_SERVICE, &SERVICE_NODE, &SERVICE_WITH_CHECKS] {
        if let Ok(filter) = Filter::parse(text, kind) {
            filter.lets(entry);
        }
    }
}

/// Reads the forms of a path and a query.
pub fn url(path: &str, query: &str) {
    for segment in path.split('/') {
        let _ = route::decode(segment);
    }
    let parameters = Parameters::parse(query);
    for (name, value) in parameters.pairs() {
        let _ = (parameters.switch(name), duration::parse(value));
    }
}
