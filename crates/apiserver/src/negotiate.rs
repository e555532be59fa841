//! In which form the client wants the answer.

use http::{HeaderMap, header};

use crate::request::Query;
use crate::status::Status;

/// How an object is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// As it is.
    Whole,
    /// As a row of a table.
    Table {
        /// `v1` or `v1beta1` of `meta.k8s.io`.
        version: &'static str,
        /// What each row carries besides its cells.
        include: Include,
    },
    /// Its metadata only.
    Metadata {
        /// `v1` or `v1beta1` of `meta.k8s.io`.
        version: &'static str,
    },
}

/// What a row of a table carries of its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Include {
    Nothing,
    Metadata,
    Object,
}

const SUPPORTED: [&str; 1] = ["application/json"];

/// Reads the `Accept` header. Its order is the client's preference; the first form that the server
/// can make is taken.
pub(crate) fn view(headers: &HeaderMap, query: &Query) -> Result<View, Status> {
    let mut seen = false;
    for value in headers.get_all(header::ACCEPT) {
        for clause in value.to_str().unwrap_or_default().split(',').map(str::trim).filter(|clause| !clause.is_empty()) {
            seen = true;
            if let Some(view) = clause_view(clause, query)? {
                return Ok(view);
            }
        }
    }
    if seen { Err(Status::not_acceptable(&SUPPORTED)) } else { Ok(View::Whole) }
}

fn clause_view(clause: &str, query: &Query) -> Result<Option<View>, Status> {
    let mut parts = clause.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    if !matches!(media_type, "application/json" | "application/*" | "*/*") {
        return Ok(None);
    }
    let (mut kind, mut group, mut version) = ("", "", "");
    for parameter in parts {
        match parameter.split_once('=') {
            Some(("as", value)) => kind = value,
            Some(("g", value)) => group = value,
            Some(("v", value)) => version = value,
            // `stream=watch`, `charset`, `q`: nothing to choose from.
            _ => {}
        }
    }
    let version = match (group, version) {
        ("meta.k8s.io", "v1") => "v1",
        ("meta.k8s.io", "v1beta1") => "v1beta1",
        _ => "",
    };
    Ok(match kind {
        "" => Some(View::Whole),
        "Table" if !version.is_empty() => Some(View::Table { version, include: include(query)? }),
        "PartialObjectMetadata" | "PartialObjectMetadataList" if !version.is_empty() => {
            Some(View::Metadata { version })
        }
        _ => None,
    })
}

fn include(query: &Query) -> Result<Include, Status> {
    match query.get("includeObject") {
        "" | "Metadata" => Ok(Include::Metadata),
        "None" => Ok(Include::Nothing),
        "Object" => Ok(Include::Object),
        other => Err(Status::bad_request(format!("unrecognized includeObject value: \"{other}\""))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_form_that_can_be_made_is_taken() {
        let table = View::Table { version: "v1", include: Include::Metadata };
        let cases = [
            ("", Some(View::Whole)),
            ("*/*", Some(View::Whole)),
            ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", Some(table)),
            ("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io, application/json", Some(View::Whole)),
            (
                "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
                Some(View::Metadata { version: "v1" }),
            ),
            ("application/json;as=Unheard;g=meta.k8s.io;v=v1", None),
            ("application/vnd.kubernetes.protobuf", None),
            ("application/json;stream=watch", Some(View::Whole)),
        ];
        for (accept, expected) in cases {
            let mut headers = HeaderMap::new();
            if !accept.is_empty() {
                headers.insert(header::ACCEPT, accept.parse().expect("a header value"));
            }
            assert_eq!(view(&headers, &Query::default()).ok(), expected, "{accept}");
        }
    }
}
