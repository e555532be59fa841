//! What a request asks for, read from its method, path and query.
//!
//! Source: `k8s.io/apiserver/pkg/endpoints/request`, `RequestInfo`.

use std::borrow::Cow;
use std::num::{IntErrorKind, ParseIntError};

use http::Method;
use portolan_api::selector::{FieldSelector, LabelSelector, Operator};
use portolan_base::go;

use crate::status::Status;

/// Names a resource without its objects: for error texts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) group: &'a str,
    pub(crate) resource: &'a str,
}

impl Target<'static> {
    pub(crate) const NAMESPACES: Self = Self { group: "", resource: "namespaces" };
    pub(crate) const NODES: Self = Self { group: "", resource: "nodes" };
}

impl Target<'_> {
    /// `pods`, `deployments.apps`.
    pub(crate) fn qualified(&self) -> String {
        if self.group.is_empty() { self.resource.to_owned() } else { format!("{}.{}", self.resource, self.group) }
    }
}

/// A request for a resource, as far as path and method tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Info {
    /// What is done: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`;
    /// empty for methods that mean nothing here.
    pub(crate) verb: &'static str,
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) resource: String,
    pub(crate) subresource: String,
    /// Empty for all namespaces and for resources without.
    pub(crate) namespace: String,
    /// Whether the path has a place for a namespace, even if nothing stands there.
    pub(crate) is_in_namespace: bool,
    /// Empty for a collection.
    pub(crate) name: String,
    /// What follows the subresource (`proxy`), with its leading slash; empty if nothing does.
    pub(crate) rest: String,
    /// A verb that is none of a request's (`use`, `bind`), for questions; empty: `verb`.
    pub(crate) other_verb: String,
    /// What of a collection is asked for; nothing for what is no collection.
    pub(crate) selection: Selection,
}

/// What of a collection is asked for, as far as it matters to authorization.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    pub(crate) fields: Vec<Requirement>,
    pub(crate) labels: Vec<Requirement>,
}

/// One condition of a selector: key, operator as in the API (`In`, ...), values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Requirement {
    pub(crate) key: String,
    pub(crate) operator: &'static str,
    pub(crate) values: Vec<String>,
}

impl Selection {
    /// Reads both selectors. One that cannot be read selects nothing less than everything here; the
    /// endpoint refuses it.
    pub(crate) fn parse(fields: &str, labels: &str) -> Self {
        let fields = FieldSelector::parse(fields).unwrap_or_default().terms.into_iter().map(|term| Requirement {
            key: term.field,
            operator: if term.equal { "In" } else { "NotIn" },
            values: vec![term.value],
        });
        let labels = match LabelSelector::parse(labels) {
            Ok(LabelSelector::All(requirements)) => requirements,
            _ => Vec::new(),
        };
        let labels = labels.into_iter().filter_map(|requirement| {
            let operator = match requirement.operator {
                Operator::In => "In",
                Operator::NotIn => "NotIn",
                Operator::Exists => "Exists",
                Operator::DoesNotExist => "DoesNotExist",
                _ => return None,
            };
            Some(Requirement { key: requirement.key, operator, values: requirement.values })
        });
        Self { fields: fields.collect(), labels: labels.collect() }
    }

    /// The one value that a field must have.
    pub(crate) fn field(&self, key: &str) -> Option<&str> {
        let found = self.fields.iter().find(|it| it.key == key && it.operator == "In")?;
        found.values.first().filter(|_| found.values.len() == 1).map(String::as_str)
    }
}

impl Info {
    /// The verb that must be allowed.
    pub(crate) fn authorized_verb(&self) -> &str {
        if self.other_verb.is_empty() { self.verb } else { &self.other_verb }
    }

    /// The name that must be allowed: of a collection, the one that its selector picks.
    pub(crate) fn authorized_name(&self) -> &str {
        match self.verb {
            "list" | "watch" | "deletecollection" if self.name.is_empty() => {
                self.selection.field("metadata.name").unwrap_or_default()
            }
            _ => &self.name,
        }
    }

    pub(crate) fn target(&self) -> Target<'_> {
        Target { group: &self.group, resource: &self.resource }
    }

    /// Reads a path below `/api/v1/` or `/apis/<group>/<version>/`; `None` if it is no resource's.
    pub(crate) fn parse(method: &Method, path: &str, query: &Query) -> Option<Self> {
        let mut segments = path.strip_prefix('/')?.split('/').map(|segment| percent_decode(segment, false));
        let (group, version) = match segments.next()?.as_ref() {
            "api" => (Cow::Borrowed(""), segments.next()?),
            "apis" => (segments.next()?, segments.next()?),
            _ => return None,
        };
        let mut info = Self { group: group.into_owned(), version: version.into_owned(), ..Self::default() };
        let mut first = segments.next().filter(|segment| !segment.is_empty())?;
        let mut watch_path = false;
        if first == "watch" {
            watch_path = true;
            first = segments.next().filter(|segment| !segment.is_empty())?;
        }
        let mut rest: Vec<Cow<'_, str>> = segments.collect();
        if rest.last().is_some_and(|last| last.is_empty()) && rest.len() < 4 {
            rest.pop();
        }
        // `/namespaces/x/pods` is about pods, `/namespaces/x` and `/namespaces/x/status` about the namespace.
        let namespaced = first == "namespaces" && rest.len() >= 2 && !matches!(rest[1].as_ref(), "status" | "finalize");
        let mut rest = rest.into_iter();
        if namespaced {
            info.namespace = rest.next()?.into_owned();
            info.is_in_namespace = true;
            info.resource = rest.next()?.into_owned();
        } else {
            info.resource = first.into_owned();
        }
        info.name = rest.next().unwrap_or_default().into_owned();
        info.subresource = rest.next().unwrap_or_default().into_owned();
        for segment in rest {
            info.rest.push('/');
            info.rest.push_str(&segment);
        }
        if first_is_namespace(&info) {
            info.namespace.clone_from(&info.name);
        }
        // No name has a slash, however it is written.
        if [&info.namespace, &info.resource, &info.name, &info.subresource].iter().any(|part| part.contains('/')) {
            return None;
        }
        info.verb = verb(method, &info, query, watch_path);
        if matches!(info.verb, "list" | "watch" | "deletecollection") {
            let (fields, labels) = (query.get("fieldSelector"), query.get("labelSelector"));
            if !fields.is_empty() || !labels.is_empty() {
                info.selection = Selection::parse(fields, labels);
            }
        }
        Some(info)
    }
}

fn first_is_namespace(info: &Info) -> bool {
    info.group.is_empty() && info.resource == "namespaces"
}

fn verb(method: &Method, info: &Info, query: &Query, watch_path: bool) -> &'static str {
    match *method {
        Method::GET | Method::HEAD if watch_path => "watch",
        Method::GET | Method::HEAD if info.name.is_empty() && query.is_true("watch") => "watch",
        Method::GET | Method::HEAD if info.name.is_empty() => "list",
        Method::GET | Method::HEAD => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if info.name.is_empty() => "deletecollection",
        Method::DELETE => "delete",
        // Only a proxied backend may know it.
        _ => "",
    }
}

/// Puts the bytes in for which a percent sign stands.
pub(crate) fn percent_decode(text: &str, plus_is_space: bool) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    if !bytes.iter().any(|byte| *byte == b'%' || plus_is_space && *byte == b'+') {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let hex = |offset: usize| bytes.get(index + offset).and_then(|&byte| (byte as char).to_digit(16));
        match bytes[index] {
            b'%' => match (hex(1), hex(2)) {
                (Some(high), Some(low)) => {
                    decoded.push((high * 16 + low) as u8);
                    index += 2;
                }
                _ => decoded.push(b'%'),
            },
            b'+' if plus_is_space => decoded.push(b' '),
            byte => decoded.push(byte),
        }
        index += 1;
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

/// A whole number of a query as Go's `strconv.ParseInt` reads it; 400 in its words.
pub(crate) fn go_integer(text: &str) -> Result<i64, Status> {
    text.parse().map_err(|error: ParseIntError| {
        let why = match error.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        Status::bad_request(format!("strconv.ParseInt: parsing {}: {why}", go::quote(text)))
    })
}

/// The query of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads what stands behind the question mark.
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decode(name, true).into_owned(), percent_decode(value, true).into_owned())
        });
        Self(pairs.collect())
    }

    /// The same without all parameters but these.
    pub(crate) fn only(&self, names: &[&str]) -> Self {
        Self(self.0.iter().filter(|(name, _)| names.contains(&name.as_str())).cloned().collect())
    }

    /// The first value of a parameter; empty if it is not there.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(candidate, _)| candidate == name).map_or("", |(_, value)| value.as_str())
    }

    /// Whether a parameter is there at all.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(candidate, _)| candidate == name)
    }

    /// All values of a parameter.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(candidate, _)| candidate == name).map(|(_, value)| value.as_str())
    }

    /// Whether a parameter is switched on, as upstream reads booleans.
    pub(crate) fn is_true(&self, name: &str) -> bool {
        self.has(name) && !matches!(self.get(name).to_ascii_lowercase().as_str(), "false" | "0")
    }
}

/// Whether a path ends with one of the old prefixes before resources, so that upstream cannot tell what is meant.
pub(crate) fn names_nothing(path: &str) -> bool {
    let path = path.trim_matches('/');
    if !path.ends_with("/watch") && !path.ends_with("/proxy") {
        return false;
    }
    let segments: Vec<&str> = path.split('/').collect();
    matches!(segments[..], ["api", _, "watch" | "proxy"] | ["apis", _, _, "watch" | "proxy"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_methods_become_verbs_and_names() {
        let cases = [
            ("GET", "/api/v1/namespaces/default/pods", "list  v1 pods - default - "),
            ("GET", "/api/v1/namespaces/default/pods?watch=1", "watch  v1 pods - default - "),
            ("GET", "/api/v1/watch/namespaces/default/pods", "watch  v1 pods - default - "),
            ("GET", "/api/v1/namespaces//pods", "list  v1 pods - - - "),
            ("GET", "/api/v1/namespaces/default", "get  v1 namespaces - default default "),
            ("PUT", "/api/v1/namespaces/x/finalize", "update  v1 namespaces finalize x x "),
            ("PATCH", "/apis/apps/v1/namespaces/d/deployments/w/scale", "patch apps v1 deployments scale d w "),
            ("DELETE", "/apis/apps/v1/namespaces/d/deployments", "deletecollection apps v1 deployments - d - "),
            ("GET", "/api/v1/namespaces/d/pods/p:80/proxy/a/b", "get  v1 pods proxy d p:80 /a/b"),
            ("POST", "/api/v1/nodes", "create  v1 nodes - - - "),
            (
                "GET",
                "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode",
                "get rbac.authorization.k8s.io v1 clusterroles - - system:node ",
            ),
        ];
        for (method, uri, expected) in cases {
            let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
            let method: Method = method.parse().expect("a method");
            let info = Info::parse(&method, path, &Query::parse(query)).expect(uri);
            let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
            let text = format!(
                "{} {} {} {} {} {} {} {}",
                info.verb,
                info.group,
                info.version,
                info.resource,
                or_dash(&info.subresource),
                or_dash(&info.namespace),
                or_dash(&info.name),
                info.rest
            );
            assert_eq!(text, expected, "{uri}");
        }
        for uri in ["/api", "/api/v1", "/apis/apps/v1", "/version"] {
            assert_eq!(Info::parse(&Method::GET, uri, &Query::default()), None, "{uri}");
        }
    }

    #[test]
    fn a_prefix_alone_names_nothing() {
        for (path, expected) in [
            ("/api/v1/watch", true),
            ("/api/v1/watch/", true),
            ("/apis/apps/v1/proxy", true),
            ("/api/v1/watch/pods", false),
            ("/apis/watch/v1", false),
            ("/watch", false),
        ] {
            assert_eq!(names_nothing(path), expected, "{path}");
        }
    }

    #[test]
    fn queries_are_decoded() {
        let query = Query::parse("labelSelector=app%3Dweb%2Ctier+in+%28a%29&command=a&command=b&watch=0&follow");
        assert_eq!(query.get("labelSelector"), "app=web,tier in (a)");
        assert_eq!(query.all("command").collect::<Vec<_>>(), ["a", "b"]);
        assert!(!query.is_true("watch"));
        assert!(query.is_true("follow"));
    }
}
