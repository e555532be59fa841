//! Which objects of a collection are meant, and at which revision.

use portolan_api::encoded::{self, Header};
use portolan_api::field::{Error, Path};
use portolan_api::selector::{FieldSelector, LabelSelector};
use portolan_base::go;
use portolan_store::{Entry, KeyRange, Revision};
use serde_json::Value;

use super::Call;
use crate::extensions::StrategyOf;
use crate::request::{Query, go_integer};
use crate::status::Status;
use crate::storage;

/// Label and field selectors of a request.
#[derive(Clone)]
pub(super) struct Selection {
    labels: LabelSelector,
    fields: FieldSelector,
    strategy: StrategyOf,
}

impl Selection {
    /// Whether every object is selected.
    pub(super) fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_empty()
    }

    /// Whether a version of an object is selected. Labels are read without decoding the object;
    /// fields too where their path is their name.
    pub(super) fn selects(&self, entry: &Entry) -> bool {
        if self.is_everything() {
            return true;
        }
        let Some(header) = Header::scan(&entry.value) else { return false };
        if !self.labels.is_everything() && !header.matches(&self.labels) {
            return false;
        }
        if self.fields.is_empty() {
            return true;
        }
        // Decoded at most once, and only for a field that is not simply a path.
        let decoded = std::cell::OnceCell::new();
        self.fields.matches(|field| match field {
            "metadata.name" => Some(header.name.clone().into_owned()),
            "metadata.namespace" => Some(header.namespace.clone().into_owned()),
            "spec.nodeName"
            | "status.phase"
            | "involvedObject.uid"
            | "involvedObject.name"
            | "involvedObject.namespace"
            | "involvedObject.kind" => {
                let path: Vec<&str> = field.split('.').collect();
                encoded::string_at(&entry.value, &path).map(std::borrow::Cow::into_owned)
            }
            _ => {
                let object = decoded.get_or_init(|| storage::decode(entry).ok());
                object.as_ref().and_then(|object| self.strategy.selectable_field(object, field))
            }
        })
    }
}

/// What `resourceVersion` and `resourceVersionMatch` of a list ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadAt {
    /// The newest state.
    Newest,
    /// The newest state, which must be at least this.
    NotOlderThan(Revision),
    /// Exactly this revision.
    Exactly(Revision),
}

impl Call<'_> {
    /// Those of objects without a namespace, which are not stored, that the request selects.
    pub(crate) fn choose(&self, mut objects: Vec<Value>) -> Result<Vec<Value>, Status> {
        let (labels, fields) = self.selectors()?;
        objects.retain(|object| {
            let metadata = &object["metadata"];
            labels.matches(|label| metadata["labels"][label].as_str())
                && fields.matches(|field| metadata["name"].as_str().filter(|_| field == "metadata.name"))
        });
        Ok(objects)
    }

    /// The selectors of the request, and the keys among which they choose.
    pub(super) fn selection(&self) -> Result<(Selection, KeyRange), Status> {
        let (labels, mut fields) = self.selectors()?;
        let (group, resource) = (&*self.resource.group, &*self.resource.name);
        let mut namespace = self.namespace().to_owned();
        if self.resource.is_namespaced() && namespace.is_empty() {
            namespace = fields.required("metadata.namespace").unwrap_or_default().to_owned();
        }
        let name = if self.info.name.is_empty() {
            fields.required("metadata.name").unwrap_or_default().to_owned()
        } else {
            self.info.name.clone()
        };
        let one_object = !name.is_empty() && (!namespace.is_empty() || !self.resource.is_namespaced());
        let range = if one_object {
            // The key says it all: the term needs no look at the objects.
            fields.terms.retain(|term| !(term.equal && term.field == "metadata.name"));
            KeyRange::key(storage::key(group, resource, &namespace, &name))
        } else {
            KeyRange::prefix(storage::prefix(group, resource, &namespace))
        };
        Ok((Selection { labels, fields, strategy: StrategyOf::new(self.resource) }, range))
    }

    /// What the query says of labels and fields.
    fn selectors(&self) -> Result<(LabelSelector, FieldSelector), Status> {
        let labels = LabelSelector::parse(self.query.get("labelSelector"))
            .map_err(|error| Status::bad_request(error.to_string()))?;
        let fields = FieldSelector::parse(self.query.get("fieldSelector"))
            .map_err(|error| Status::bad_request(error.to_string()))?;
        for term in &fields.terms {
            let known = matches!(term.field.as_str(), "metadata.name" | "metadata.namespace")
                || self.strategy.knows_field(&term.field);
            if !known {
                let kind = &*self.resource.kind;
                let text = match self.strategy.selectable_fields() {
                    [] if self.resource.custom.is_none() => format!(
                        "{} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
                        go::quote(&term.field)
                    ),
                    _ => format!("field label not supported: {}", term.field),
                };
                tracing::debug!(kind, field = term.field, "unknown field selector");
                return Err(Status::bad_request(text));
            }
        }
        Ok((labels, fields))
    }

    /// The `resourceVersion` of the query; nothing if there is none.
    pub(super) fn resource_version(&self) -> Result<Option<Revision>, Status> {
        let text = self.query.get("resourceVersion");
        if text.is_empty() {
            return Ok(None);
        }
        parse_revision(text).map(Some).map_err(|why| {
            let error = Error::invalid(&Path::new("resourceVersion"), text, why);
            // A list says that the client is to blame; what reads one object or watches only hands on what its store says.
            match self.info.verb {
                "list" | "deletecollection" => Status::bad_request(format!("invalid resource version: {error}")),
                _ => Status::unnamed(error.to_string()),
            }
        })
    }

    /// Which revision a list reads.
    pub(super) fn read_at(&self, limited: bool) -> Result<ReadAt, Status> {
        let version = self.resource_version()?;
        let how = self.query.get("resourceVersionMatch");
        Ok(match (how, version) {
            (_, None | Some(Revision(0))) => ReadAt::Newest,
            ("Exact", Some(revision)) => ReadAt::Exactly(revision),
            // Before `resourceVersionMatch`, a limit made the revision exact.
            ("", Some(revision)) if limited => ReadAt::Exactly(revision),
            (_, Some(revision)) => ReadAt::NotOlderThan(revision),
        })
    }

    /// Refuses options of a list that contradict each other.
    pub(super) fn check_list_options(&self) -> Result<(), Status> {
        let how = self.query.get("resourceVersionMatch");
        let mut errors = Vec::new();
        if !how.is_empty() {
            let path = Path::new("resourceVersionMatch");
            let mut forbidden = |why: &str| errors.push(Error::forbidden(&path, why));
            if self.query.get("resourceVersion").is_empty() {
                forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided");
            }
            if !self.query.get("continue").is_empty() {
                forbidden("resourceVersionMatch is forbidden when continue is provided");
            }
            if how == "Exact" && self.query.get("resourceVersion") == "0" {
                forbidden("resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
            }
            if !matches!(how, "Exact" | "NotOlderThan") {
                errors.push(Error::not_supported_as_listed(&path, how, &["Exact", "NotOlderThan", ""]));
            }
        }
        if self.query.has("sendInitialEvents") {
            let path = Path::new("sendInitialEvents");
            errors.push(Error::forbidden(&path, "sendInitialEvents is forbidden for list"));
        }
        if errors.is_empty() { Ok(()) } else { Err(list_options(&errors)) }
    }
}

/// 422 for the options of a list or watch.
pub(super) fn list_options(errors: &[Error]) -> Status {
    Status::invalid("meta.k8s.io", "ListOptions", "", errors)
}

/// Reads a whole number of the query as upstream does; none if it is not there.
pub(super) fn parse_integer(query: &Query, name: &str) -> Result<Option<i64>, Status> {
    Some(query.get(name)).filter(|text| !text.is_empty()).map(go_integer).transpose()
}

/// Reads a revision as Go's `strconv.ParseUint` does; refuses it in its words.
pub(super) fn parse_revision(text: &str) -> Result<Revision, String> {
    // It knows no sign.
    let digits = if text.starts_with('+') { "" } else { text };
    digits.parse().map(Revision).map_err(|error: std::num::ParseIntError| {
        let why = match error.kind() {
            std::num::IntErrorKind::PosOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.ParseUint: parsing {}: {why}", go::quote(text))
    })
}
