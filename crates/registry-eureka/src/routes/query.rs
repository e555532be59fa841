//! What paths, queries and headers of requests say.

use std::borrow::Cow;

use http::header;
use portolan_registrar::decode_segment;
use portolan_registrar::http::Request;

use crate::Error;
use crate::answer::Variant;
use crate::wire::{Format, InstanceStatus, View};

/// Marks what another registry server passes on.
const REPLICATION: &str = "x-netflix-discovery-replication";
/// Asks for less of each instance.
const EUREKA_ACCEPT: &str = "x-eureka-accept";

pub(super) fn is_replication(request: &Request) -> bool {
    request.headers.get(REPLICATION).is_some_and(|value| value == "true")
}

/// The segments of a path, decoded; empty ones do not count.
pub(super) fn segments(path: &str) -> Result<Vec<Cow<'_, str>>, Error> {
    let parts = path.split('/').filter(|part| !part.is_empty());
    let segments = parts.map(decode_segment).collect::<Result<_, _>>();
    segments.map_err(|error| Error::BadRequest(format!("the path cannot be read: {error}")))
}

/// Reads a path and a query as a request would.
#[cfg(feature = "fuzzing")]
pub(crate) fn read_url(path: &str, query: &str) {
    let _ = segments(path);
    let query = Query::of(query);
    let _ = (query.dirty(), query.status());
}

/// What the headers ask for. XML is the default; anything that mentions JSON means it.
pub(super) fn variant(request: &Request) -> Variant {
    let says = |name: header::HeaderName, word: &str| {
        let values = request.headers.get_all(name);
        values.iter().filter_map(|value| value.to_str().ok()).any(|value| value.to_ascii_lowercase().contains(word))
    };
    Variant {
        format: if says(header::ACCEPT, "json") { Format::Json } else { Format::Xml },
        view: if says(header::HeaderName::from_static(EUREKA_ACCEPT), "compact") { View::Compact } else { View::Full },
        gzip: says(header::ACCEPT_ENCODING, "gzip"),
    }
}

/// The parameters of a request.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn of(query: &str) -> Self {
        Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// All of them, in the order of the query.
    pub(super) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    pub(super) fn dirty(&self) -> Result<Option<i64>, Error> {
        match self.get("lastDirtyTimestamp") {
            // What Java writes for none.
            None | Some("null") => Ok(None),
            Some(value) => value
                .parse()
                .map(Some)
                .map_err(|_| Error::BadRequest(format!("lastDirtyTimestamp: {value} is not a number"))),
        }
    }

    pub(super) fn status(&self) -> Result<Option<InstanceStatus>, Error> {
        let Some(value) = self.get("value") else { return Ok(None) };
        let status = InstanceStatus::parse(value);
        status.map(Some).ok_or_else(|| {
            Error::BadRequest(format!("value: {value} is not one of UP, DOWN, STARTING, OUT_OF_SERVICE, UNKNOWN"))
        })
    }
}
