//! What fuzz targets drive: all that reads what a client of the native dialect sends.

use std::net::{IpAddr, Ipv4Addr};

use http::Method;

use crate::batch::Batch;
use crate::filter::Filter;
use crate::paths;
use crate::pick::Wish;
use crate::registration::Registration;

/// Reads a body as a registration and as a batch.
pub fn body(bytes: &[u8]) {
    if let Ok(registration) = Registration::parse(bytes) {
        let _ = registration.into_object(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let _ = Batch::parse(bytes);
}

/// Reads the forms of a path and a query.
pub fn url(path: &str, query: &str) {
    for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
        if let Ok((operation, _)) = paths::find(&method, path) {
            let _ = (Filter::parse(query, operation.parameters), Wish::parse(query, operation.parameters));
        }
    }
}
