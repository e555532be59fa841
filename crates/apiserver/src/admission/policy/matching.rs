//! Which requests a policy or binding is about: `matchConstraints`, `matchResources`.

use portolan_api::selector::LabelSelector;
use serde_json::Value;

use crate::admission::Attributes;
use crate::admission::webhook::rules::{Rule, Subject};
use crate::admission::webhook::select;
use crate::status::Status;

/// What to look for in a request.
#[derive(Debug)]
pub(super) struct Constraints {
    rules: Vec<NamedRule>,
    excluded: Vec<NamedRule>,
    namespaces: LabelSelector,
    objects: LabelSelector,
    /// Whether other versions of what the rules name count as well.
    matches_equivalents: bool,
}

/// A rule, for some names only if there are any.
#[derive(Debug)]
struct NamedRule {
    rule: Rule,
    names: Vec<String>,
}

/// A request that is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Matched {
    /// Version of the resource that the rule named.
    pub(super) version: String,
}

impl Constraints {
    pub(super) fn read(value: &Value) -> Self {
        let rules = |field: &str| value[field].as_array().into_iter().flatten().map(NamedRule::read).collect();
        Self {
            rules: rules("resourceRules"),
            excluded: rules("excludeResourceRules"),
            namespaces: selector(&value["namespaceSelector"]),
            objects: selector(&value["objectSelector"]),
            matches_equivalents: value["matchPolicy"] != "Exact",
        }
    }

    /// Whether a request is concerned, and as which version.
    pub(super) async fn matched(&self, attributes: &Attributes<'_>) -> Result<Option<Matched>, Status> {
        if self.by_rules(&self.excluded, attributes).is_some() || !select::selects_object(&self.objects, attributes) {
            return Ok(None);
        }
        // Without rules a binding leaves the choice to its policy.
        let matched = if self.rules.is_empty() {
            Some(Matched { version: attributes.call.resource.version.to_string() })
        } else {
            self.by_rules(&self.rules, attributes)
        };
        match matched {
            Some(matched) if select::selects_namespace(&self.namespaces, attributes).await? => Ok(Some(matched)),
            _ => Ok(None),
        }
    }

    fn by_rules(&self, rules: &[NamedRule], attributes: &Attributes<'_>) -> Option<Matched> {
        let own: &str = &attributes.call.resource.version;
        let speak_of = |version: &str| {
            let subject = select::subject(attributes, version);
            rules.iter().any(|rule| rule.matches(&subject, &attributes.name))
        };
        if speak_of(own) {
            return Some(Matched { version: own.to_owned() });
        }
        if !self.matches_equivalents {
            return None;
        }
        let found = select::equivalents(attributes).into_iter().find(|version| speak_of(version))?;
        Some(Matched { version: found.to_owned() })
    }
}

impl NamedRule {
    fn read(value: &Value) -> Self {
        let names = value["resourceNames"].as_array().into_iter().flatten();
        Self { rule: Rule::read(value), names: names.filter_map(Value::as_str).map(str::to_owned).collect() }
    }

    fn matches(&self, subject: &Subject<'_>, name: &str) -> bool {
        self.rule.matches(subject) && (self.names.is_empty() || self.names.iter().any(|known| known == name))
    }
}

/// No selector selects everything; one that cannot be read was refused when it was written.
fn selector(value: &Value) -> LabelSelector {
    if value.is_object() { LabelSelector::from_value(value).unwrap_or_default() } else { LabelSelector::default() }
}
