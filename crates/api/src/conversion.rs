//! Built-in kinds whose versions differ in more than their name.
//!
//! Such an object is stored once, in one version, and converted where a request speaks another one. All other
//! kinds have the same fields in each of their versions.

mod autoscaler;
mod event;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

pub use autoscaler::drop_annotations;

/// A kind that several groups or versions show under other field names.
#[derive(Debug)]
pub struct Conversion {
    /// The group under which its objects are stored.
    pub group: &'static str,
    /// The `group/version` in which they are stored.
    pub stored: &'static str,
    /// The other ones in which they are shown.
    others: &'static [&'static str],
    to_stored: fn(&mut Map<String, Value>),
    from_stored: fn(&mut Map<String, Value>),
}

const EVENT: Conversion = Conversion {
    group: "",
    stored: "v1",
    others: &["events.k8s.io/v1"],
    to_stored: event::to_core,
    from_stored: event::from_core,
};

const AUTOSCALER: Conversion = Conversion {
    group: "autoscaling",
    stored: "autoscaling/v2",
    others: &["autoscaling/v1"],
    to_stored: autoscaler::to_second,
    from_stored: autoscaler::to_first,
};

/// How the objects of a built-in resource are converted; `None` for those that need no conversion.
pub fn of(group: &str, resource: &str) -> Option<&'static Conversion> {
    match (group, resource) {
        ("" | "events.k8s.io", "events") => Some(&EVENT),
        ("autoscaling", "horizontalpodautoscalers") => Some(&AUTOSCALER),
        _ => None,
    }
}

/// The group under which the objects of a resource are stored: its own, but for what two groups show.
pub fn home<'a>(group: &'a str, resource: &str) -> &'a str {
    if group == "events.k8s.io" && resource == "events" { EVENT.group } else { group }
}

impl Conversion {
    /// Whether a `group/version` shows these objects.
    pub fn knows(&self, api_version: &str) -> bool {
        api_version == self.stored || self.others.contains(&api_version)
    }

    /// Brings an object from the version that it names into another one. An object of a version that is not
    /// known, or that is to get one, stays as it is.
    pub fn convert(&self, object: &mut Value, api_version: &str) {
        let Some(fields) = object.as_object_mut() else { return };
        let found = fields.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
        if found == api_version || !self.knows(found) || !self.knows(api_version) {
            return;
        }
        if found != self.stored {
            (self.to_stored)(fields);
        }
        if api_version != self.stored {
            (self.from_stored)(fields);
        }
        fields.insert("apiVersion".to_owned(), api_version.into());
    }
}
