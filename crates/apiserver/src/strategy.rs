//! What a kind adds to the one generic handler.

use portolan_api::field;
use portolan_base::Timestamp;
use serde_json::Value;

use crate::resources::print;

mod column;

pub use column::{AGE, About, CREATED_AT, Column, NAME};
pub(crate) use column::{CONTAINERS, CUSTOM_AGE, IMAGES, definition, definitions};

/// Facts about a request that a strategy may use.
#[derive(Debug, Clone)]
pub struct Context {
    /// The time of the request.
    pub now: Timestamp,
    /// Namespace of the request; empty for kinds without.
    pub namespace: String,
    /// Which subresource is written: empty, `status`, `scale`, ...
    pub subresource: String,
    /// Who asks.
    pub user: String,
}

/// The small part of the server that knows a kind.
///
/// Objects are JSON values whose shape the API description has already checked: known fields have
/// the right JSON type, required identity (`apiVersion`, `kind`, `metadata`) is present. Metadata
/// is handled by the generic endpoint; `generation` is raised by it when `spec` changed.
/// All methods are pure.
pub trait Strategy: Send + Sync {
    /// Why an object that fits its schema cannot be read all the same: what upstream's decoder says.
    fn unreadable(&self, _object: &Value) -> Option<String> {
        None
    }

    /// Fills in what upstream's defaulting fills in. Runs on every write before validation.
    fn default(&self, _object: &mut Value) {}

    /// Adjusts a new object: by convention drops `status` and sets initial values.
    fn prepare_for_create(&self, object: &mut Value, _context: &Context) {
        if let Some(fields) = object.as_object_mut() {
            fields.remove("status");
        }
    }

    /// Adjusts an update: by convention keeps the stored `status` unless the subresource `status`
    /// is written, in which case it keeps everything else.
    fn prepare_for_update(&self, new: &mut Value, old: &Value, context: &Context) {
        keep_other_half(new, old, context.subresource == "status");
    }

    /// What is wrong with an object, new or changed.
    fn validate(&self, _object: &Value, _context: &Context) -> Vec<field::Error> {
        Vec::new()
    }

    /// What is wrong with a new object, beyond [`Strategy::validate`]: what old ones may go on with.
    fn validate_create(&self, _object: &Value, _context: &Context) -> Vec<field::Error> {
        Vec::new()
    }

    /// Whether a changed object is held to all that a new one is. Kinds of which upstream looks only at what
    /// [`Strategy::validate_update`] does say no.
    fn revalidates(&self) -> bool {
        true
    }

    /// What is wrong with an update, beyond [`Strategy::validate`]: changed immutable fields.
    fn validate_update(&self, _new: &Value, _old: &Value, _context: &Context) -> Vec<field::Error> {
        Vec::new()
    }

    /// All that is wrong with an update. Kinds that forgive what was there before override this, and may warn of it.
    fn validate_changed(
        &self,
        new: &Value,
        old: &Value,
        context: &Context,
        _warnings: &mut Vec<String>,
    ) -> Vec<field::Error> {
        let mut errors = if self.revalidates() { self.validate(new, context) } else { Vec::new() };
        errors.extend(self.validate_update(new, old, context));
        errors
    }

    /// Texts for the client's `Warning` headers.
    fn warnings(&self, _object: &Value) -> Vec<String> {
        Vec::new()
    }

    /// The same for a change that was not of a status: nothing is said of workloads that only something else
    /// of was changed than what is wanted of them.
    fn update_warnings(&self, new: &Value, old: &Value) -> Vec<String> {
        let generation = |object: &Value| object["metadata"]["generation"].as_i64();
        let is_same = generation(new).is_some() && generation(new) == generation(old);
        if is_same { Vec::new() } else { self.warnings(new) }
    }

    /// The same for a change of a status.
    fn status_warnings(&self, _new: &Value) -> Vec<String> {
        Vec::new()
    }

    /// Whether names are checked as something other than an RFC 1123 subdomain.
    fn name_rule(&self) -> NameRule {
        NameRule::DnsSubdomain
    }

    /// All columns of `kubectl get`, in order. Without any of its own, a kind has the names of its objects and the
    /// times of their creation.
    fn columns(&self) -> &'static [Column] {
        &[NAME, CREATED_AT]
    }

    /// One cell for each of [`Strategy::columns`].
    fn cells(&self, object: &Value, _now: Timestamp) -> Vec<Value> {
        vec![print::name(object), print::created_at(object)]
    }

    /// The columns as a table carries them.
    fn column_definitions(&self) -> Value {
        definitions(self.columns())
    }

    /// Fields that a field selector may name besides `metadata.name` and `metadata.namespace`,
    /// with their value in `object`. An unknown name is refused with upstream's text.
    fn selectable_field(&self, _object: &Value, _name: &str) -> Option<String> {
        None
    }

    /// Names that [`Strategy::selectable_field`] knows.
    fn selectable_fields(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether a field selector may name a field.
    fn knows_field(&self, name: &str) -> bool {
        self.selectable_fields().contains(&name)
    }

    /// Whether objects count the changes of what is wanted of them.
    fn generations(&self) -> Generations {
        Generations::None
    }

    /// Whether what is wanted of an object changed.
    fn is_new_generation(&self, new: &Value, old: &Value) -> bool {
        new.get("spec") != old.get("spec")
    }

    /// Whether a deletion without explicit grace period waits, and how many seconds (pods).
    fn default_grace_period_seconds(&self, _object: &Value) -> Option<i64> {
        None
    }
}

/// From when on objects of a kind have a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generations {
    /// They have none.
    None,
    /// New objects are of the first.
    FromCreation,
    /// The first change of a new object makes the first.
    FromFirstChange,
}

/// How the names of a kind's objects are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameRule {
    /// RFC 1123 subdomain, at most 253 characters.
    DnsSubdomain,
    /// RFC 1123 label, at most 63 characters.
    DnsLabel,
    /// RFC 1035 label: begins with a letter (Services).
    Dns1035Label,
    /// Anything that can be one segment of a path (roles).
    PathSegment,
    /// RFC 1123 subdomain; a name that is made is looked at as a whole only.
    MadeDnsSubdomain,
    /// An IP address, which no name is made of.
    IpAddress,
}

/// Keeps `status` from `old` in an update of the main resource, or everything but `status` and
/// metadata in an update of the status.
pub fn keep_other_half(new: &mut Value, old: &Value, writes_status: bool) {
    let (Some(new), Some(old)) = (new.as_object_mut(), old.as_object()) else { return };
    if writes_status {
        let status = new.remove("status");
        let metadata = new.remove("metadata");
        new.clone_from(old);
        match status {
            Some(status) => new.insert("status".into(), status),
            None => new.remove("status"),
        };
        if let Some(metadata) = metadata {
            new.insert("metadata".into(), metadata);
        }
    } else {
        match old.get("status") {
            Some(status) => new.insert("status".into(), status.clone()),
            None => new.remove("status"),
        };
    }
}
