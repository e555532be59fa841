//! In which form the client wants the answer.
//!
//! Source: `k8s.io/apiserver/pkg/endpoints/handlers/negotiation`.

use http::{HeaderMap, header};
use portolan_api::protobuf;
use portolan_base::go;

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
        /// Whether it was asked for as that of a list.
        of: Shape,
    },
}

/// Whether one object is meant or a list of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    One,
    Many,
}

/// What a row of a table carries of its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Include {
    Nothing,
    Metadata,
    Object,
}

/// How an answer is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Yaml,
    Protobuf,
}

/// What the client accepts and the server can make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) view: View,
    pub(crate) format: Format,
}

/// What is to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// One document. Whether its kind is exchanged in protobuf matters.
    Document { in_protobuf: bool },
    /// A document that is not kept, so that it has no rows: it is shown whole or not at all.
    Reply { in_protobuf: bool },
    /// The events of a watch.
    Events { in_protobuf: bool },
}

/// The types of whole documents.
pub(crate) const DOCUMENTS: [&str; 3] = ["application/json", "application/yaml", protobuf::MEDIA_TYPE];
const EVENTS: [&str; 2] = ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];

/// Reads the `Accept` header: the client's weights come first, then its order; the first form that
/// the server can make is taken.
pub(crate) fn accepted(headers: &HeaderMap, query: &Query, answer: Answer) -> Result<Accepted, Status> {
    let clauses = clauses(headers);
    if clauses.is_empty() {
        return Ok(Accepted { view: View::Whole, format: Format::Json });
    }
    for clause in &clauses {
        if let Some(accepted) = clause.accepted(query, answer)? {
            return Ok(accepted);
        }
    }
    // Upstream asks first what would do for a list, and then for its events.
    let is_for_lists = |in_protobuf| {
        let document = Answer::Document { in_protobuf };
        clauses.iter().any(|clause| matches!(clause.accepted(query, document), Ok(Some(_))))
    };
    Err(Status::not_acceptable(match answer {
        Answer::Events { in_protobuf } if is_for_lists(in_protobuf) => &EVENTS,
        _ => &DOCUMENTS,
    }))
}

/// Refuses a request by the names of the types that it accepts, as upstream's router does with all that is built in,
/// before anybody looks at what else is said of them.
///
/// Source: `github.com/emicklei/go-restful`, `matchesAccept`.
pub(crate) fn expect_route(headers: &HeaderMap, made: &[&str]) -> Result<(), Status> {
    let mut types = texts(headers).map(|clause| clause.split(';').next().unwrap_or_default().trim()).peekable();
    if types.peek().is_none() || types.any(|accepted| accepted == "*/*" || made.contains(&accepted)) {
        return Ok(());
    }
    let text = format!("406: Not Acceptable\n\nAvailable representations: {}", made.join(", "));
    Err(Status::new(406, "NotAcceptable", text).with_details())
}

/// The same for a resource that is built in.
pub(crate) fn expect_resource_route(headers: &HeaderMap, verb: &str) -> Result<(), Status> {
    match verb {
        "list" | "watch" => expect_route(headers, &[&DOCUMENTS[..], &EVENTS].concat()),
        _ => expect_route(headers, &DOCUMENTS),
    }
}

/// Whether the client wants what is served to be described at once.
pub(crate) fn is_aggregated_discovery(headers: &HeaderMap) -> bool {
    clauses(headers).iter().any(|clause| {
        matches!(clause.media_type, "application/json" | "application/*" | "*/*")
            && (clause.get("as"), clause.get("g"), clause.get("v"))
                == ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2")
    })
}

/// Which of some types the client likes best; `None` if it accepts none of them.
pub(crate) fn preferred<'a>(headers: &HeaderMap, made: &[&'a str]) -> Option<&'a str> {
    let clauses = clauses(headers);
    if clauses.is_empty() {
        return made.first().copied();
    }
    clauses.iter().find_map(|clause| {
        let (kind, subtype) = clause.media_type.split_once('/')?;
        made.iter().copied().find(|made| {
            made.split_once('/').is_some_and(|(of, one)| [of, "*"].contains(&kind) && [one, "*"].contains(&subtype))
        })
    })
}

/// How a page about the server itself is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    Text,
    /// As an object of this version of `config.k8s.io`.
    Object {
        version: &'static str,
        format: Format,
    },
}

/// In which form a page about the server itself is wanted: people, and clients that name none, read a text.
pub(crate) fn page(headers: &HeaderMap, kind: &str) -> Result<Page, Status> {
    let clauses = clauses(headers);
    if clauses.is_empty() {
        return Ok(Page::Text);
    }
    for clause in clauses {
        let is_plain = ["as", "g", "v", "stream", "sv"].iter().all(|name| clause.get(name).is_empty());
        let version = match (clause.get("as"), clause.get("g"), clause.get("v")) {
            (named, "config.k8s.io", "v1beta1") if named == kind => Some("v1beta1"),
            (named, "config.k8s.io", "v1alpha1") if named == kind => Some("v1alpha1"),
            _ => None,
        };
        match (clause.media_type, version) {
            ("text/plain" | "text/*" | "*/*", None) if is_plain => return Ok(Page::Text),
            ("application/yaml", Some(version)) => return Ok(Page::Object { version, format: Format::Yaml }),
            ("application/json" | "application/*" | "*/*", Some(version)) => {
                return Ok(Page::Object { version, format: Format::Json });
            }
            _ => {}
        }
    }
    Err(Status::not_acceptable(&["application/json", "application/yaml", "text/plain"]))
}

fn texts(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(header::ACCEPT).iter();
    let texts = values.flat_map(|value| value.to_str().unwrap_or_default().split(',')).map(str::trim);
    texts.filter(|clause| !clause.is_empty())
}

/// The alternatives of the header, the best first.
fn clauses(headers: &HeaderMap) -> Vec<Clause<'_>> {
    let mut clauses: Vec<Clause<'_>> = texts(headers).map(Clause::parse).collect();
    clauses.sort_by_key(|clause| (std::cmp::Reverse(clause.weight), clause.wildcards()));
    clauses
}

/// One alternative of the header.
struct Clause<'a> {
    media_type: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    /// Thousandths.
    weight: u16,
}

impl<'a> Clause<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let mut clause = Self { media_type: parts.next().unwrap_or_default(), parameters: Vec::new(), weight: 1000 };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let (name, value) = (name.trim(), value.trim().trim_matches('"'));
            match name {
                // What is no number counts as one, as upstream.
                "q" => clause.weight = value.parse().map_or(1000, |weight: f32| (weight * 1000.0) as u16),
                _ => clause.parameters.push((name, value)),
            }
        }
        clause
    }

    /// Exact types before patterns.
    fn wildcards(&self) -> usize {
        self.media_type.matches('*').count()
    }

    fn get(&self, name: &str) -> &str {
        self.parameters.iter().find(|(candidate, _)| *candidate == name).map_or("", |(_, value)| value)
    }

    fn accepted(&self, query: &Query, answer: Answer) -> Result<Option<Accepted>, Status> {
        let format = match self.media_type {
            "application/json" | "application/*" | "*/*" => Format::Json,
            "application/yaml" => Format::Yaml,
            protobuf::MEDIA_TYPE => Format::Protobuf,
            _ => return Ok(None),
        };
        let (Answer::Document { in_protobuf } | Answer::Reply { in_protobuf } | Answer::Events { in_protobuf }) =
            answer;
        let streams = format != Format::Yaml;
        if matches!(answer, Answer::Events { .. }) && !streams {
            return Ok(None);
        }
        if !matches!((self.get("stream"), streams), ("", _) | ("watch", true)) {
            return Ok(None);
        }
        let version = match (self.get("g"), self.get("v")) {
            ("meta.k8s.io", "v1") => "v1",
            ("meta.k8s.io", "v1beta1") => "v1beta1",
            _ => "",
        };
        let is_plain = ["as", "g", "v"].iter().all(|name| self.get(name).is_empty());
        let view = match self.get("as") {
            _ if is_plain => View::Whole,
            "Table" if !version.is_empty() && format != Format::Protobuf => {
                View::Table { version, include: include(query)? }
            }
            "PartialObjectMetadata" if !version.is_empty() => View::Metadata { version, of: Shape::One },
            "PartialObjectMetadataList" if !version.is_empty() => View::Metadata { version, of: Shape::Many },
            _ => return Ok(None),
        };
        if matches!(answer, Answer::Reply { .. }) && view != View::Whole {
            return Ok(None);
        }
        // Metadata is exchanged in protobuf whatever the kind is.
        if format == Format::Protobuf && view == View::Whole && !in_protobuf {
            return Ok(None);
        }
        Ok(Some(Accepted { view, format }))
    }
}

fn include(query: &Query) -> Result<Include, Status> {
    match query.get("includeObject") {
        "" | "Metadata" => Ok(Include::Metadata),
        "None" => Ok(Include::Nothing),
        "Object" => Ok(Include::Object),
        other => Err(Status::bad_request(format!(
            "Unable to convert to Table as requested: includeObject: Invalid value: {}: must be 'Metadata', 'Object', \
             'None', or empty",
            go::quote(other)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept: &str, answer: Answer) -> Option<(View, Format)> {
        let mut headers = HeaderMap::new();
        if !accept.is_empty() {
            headers.insert(header::ACCEPT, accept.parse().expect("a header value"));
        }
        accepted(&headers, &Query::default(), answer).ok().map(|accepted| (accepted.view, accepted.format))
    }

    #[test]
    fn the_first_form_that_can_be_made_is_taken() {
        use Format::{Json, Protobuf, Yaml};
        let table = View::Table { version: "v1", include: Include::Metadata };
        let metadata = View::Metadata { version: "v1", of: Shape::One };
        let list = View::Metadata { version: "v1", of: Shape::Many };
        let document = Answer::Document { in_protobuf: true };
        let events = Answer::Events { in_protobuf: true };
        let custom = Answer::Document { in_protobuf: false };
        let reply = Answer::Reply { in_protobuf: true };
        let cases = [
            ("application/json;as=Table;v=v1;g=meta.k8s.io", reply, None),
            ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", reply, Some((View::Whole, Json))),
            ("", document, Some((View::Whole, Json))),
            ("*/*", document, Some((View::Whole, Json))),
            ("text/html, application/*;q=0.8", document, Some((View::Whole, Json))),
            ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", document, Some((table, Json))),
            ("application/yaml;as=Table;v=v1;g=meta.k8s.io", document, Some((table, Yaml))),
            (
                "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io, application/json",
                document,
                Some((View::Whole, Json)),
            ),
            ("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", document, Some((list, Json))),
            (
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json",
                custom,
                Some((metadata, Protobuf)),
            ),
            ("application/json;as=Unheard;g=meta.k8s.io;v=v1", document, None),
            ("application/json;as=Table;g=apps;v=v1", document, None),
            ("application/json;g=meta.k8s.io;v=v1", document, None),
            ("application/vnd.kubernetes.protobuf", document, Some((View::Whole, Protobuf))),
            ("application/vnd.kubernetes.protobuf", custom, None),
            ("application/vnd.kubernetes.protobuf, application/json", custom, Some((View::Whole, Json))),
            ("application/vnd.kubernetes.protobuf,application/json", document, Some((View::Whole, Protobuf))),
            ("application/vnd.kubernetes.protobuf;q=0.5,application/json", document, Some((View::Whole, Json))),
            ("*/*;q=0.9,application/yaml;q=0.9", document, Some((View::Whole, Yaml))),
            ("application/json;stream=watch", events, Some((View::Whole, Json))),
            ("application/vnd.kubernetes.protobuf;stream=watch", events, Some((View::Whole, Protobuf))),
            ("application/json;stream=other", events, None),
            ("application/yaml", events, None),
            ("text/plain", document, None),
        ];
        for (accept, answer, expected) in cases {
            assert_eq!(check(accept, answer), expected, "{accept}");
        }
    }

    #[test]
    fn a_refusal_lists_what_there_is() {
        let documents = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
        let events = "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";
        let cases = [
            (Answer::Document { in_protobuf: false }, "text/plain", documents),
            (Answer::Events { in_protobuf: true }, "text/plain", documents),
            (Answer::Events { in_protobuf: true }, "application/yaml", events),
            (Answer::Events { in_protobuf: false }, "application/vnd.kubernetes.protobuf;as=Table", documents),
        ];
        for (answer, accept, list) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().expect("a header value"));
            let refusal = accepted(&headers, &Query::default(), answer).expect_err("refused");
            assert_eq!(refusal.message(), format!("only the following media types are accepted: {list}"));
        }
    }
}
