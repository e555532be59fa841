//! What fuzz targets drive: all that reads what a client of Eureka sends.

use crate::routes;
use crate::wire::{self, Action, Document, Format, View, envelope, instance_fragment};

/// Reads a registration, in XML or JSON; one that is understood is the same after it was written and read again.
pub fn body(bytes: &[u8]) {
    let Ok(value) = wire::body(bytes) else { return };
    let inner = value.get("instance").unwrap_or(&value);
    let Ok(info) = wire::instance(inner) else { return };
    for format in [Format::Json, Format::Xml] {
        let fragment = instance_fragment(&info, format, View::Full);
        let text = envelope(&Document::Instance, format, [("", [(fragment.as_str(), Action::Added)])]);
        let again = wire::body(text.as_bytes()).unwrap_or_else(|problem| panic!("{problem}: {text}"));
        let inner = again.get("instance").unwrap_or(&again);
        if let Err(problem) = wire::instance(inner) {
            panic!("{problem}: {text}");
        }
    }
}

/// Reads the forms of a path and a query.
pub fn url(path: &str, query: &str) {
    routes::read_url(path, query);
}
