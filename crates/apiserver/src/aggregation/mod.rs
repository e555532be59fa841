//! Extension servers: parts of the API that another server behind a Service answers for.
//!
//! An `APIService` with a Service sends all requests of a version of a group there. Who asks is authenticated
//! and authorized here like for any other path; the extension server learns the name from headers, which it
//! believes because of the client certificate that comes with them.
//!
//! Source of the behaviour and of the texts: `k8s.io/kube-aggregator`.

mod automatic;
mod check;
mod documents;
mod identity;
mod pass;
mod registered;
mod whole;

pub(crate) use check::{check, run};
pub(crate) use documents::{aggregated, group, group_list, openapi_index, paths};
pub(crate) use identity::{CLIENT_NAME, authority, prepare};
pub(crate) use pass::{describe, documented, pass_on};
pub(crate) use registered::Aggregation;
pub(crate) use whole::refresh as refresh_documents;

/// The group of API services.
pub(crate) const GROUP: &str = "apiregistration.k8s.io";

const API_SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
