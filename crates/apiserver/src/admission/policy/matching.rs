//! Which requests a policy or binding is about: `matchConstraints`, `matchResources`.

use portolan_api::selector::LabelSelector;
use serde_json::Value;

use crate::admission::Attributes;
use crate::admission::webhook::rules::{Rule, Subject};
use crate::admission::webhook::select::{self, Seen};
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
    pub(super) async fn matched(&self, attributes: &Attributes<'_>) -> Result<Option<Seen>, Status> {
        if self.by_rules(&self.excluded, attributes).is_some() || !select::selects_object(&self.objects, attributes) {
            return Ok(None);
        }
        // Without rules a binding leaves the choice to its policy.
        let matched =
            if self.rules.is_empty() { Seen::own(attributes) } else { self.by_rules(&self.rules, attributes) };
        match matched {
            Some(matched) if select::selects_namespace(&self.namespaces, attributes).await? => Ok(Some(matched)),
            _ => Ok(None),
        }
    }

    fn by_rules(&self, rules: &[NamedRule], attributes: &Attributes<'_>) -> Option<Seen> {
        select::spoken_of(attributes, self.matches_equivalents, |subject| {
            rules.iter().any(|rule| rule.matches(subject, &attributes.name))
        })
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
