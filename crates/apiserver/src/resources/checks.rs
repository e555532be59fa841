//! Checks that several kinds share, in upstream's words.

use std::borrow::Cow;

use portolan_api::field::Shown;
use portolan_api::{int_or_string, quantity::Quantity, validation};
use portolan_base::go;
use serde_json::Value;

use super::at::{At, Errors};
use super::json::{entries, is_set, items, same, text};
use super::shown;

/// Upstream's text for a changed immutable field.
pub(crate) const IMMUTABLE: &str = "field is immutable";
/// Upstream's text for a negative number.
pub(crate) const NOT_NEGATIVE: &str = "must be greater than or equal to 0";
/// Upstream's text for a number that must be positive.
pub(crate) const POSITIVE: &str = "must be greater than 0";

/// The longest domain.
const SUBDOMAIN_LENGTH: usize = 253;
/// The longest name of a signer: a domain, and a label and a domain behind it.
const SIGNER_NAME_LENGTH: usize = SUBDOMAIN_LENGTH + 1 + SUBDOMAIN_LENGTH + 63 + 1;

/// A rule for a string: what is wrong with it.
pub(crate) type Rule = fn(&str) -> Vec<String>;

impl Errors {
    /// A string that obeys a rule.
    pub(crate) fn obeys(&mut self, at: &At<'_>, value: &str, rule: Rule) {
        for problem in rule(value) {
            self.invalid(at, value, problem);
        }
    }

    /// A string that obeys a rule, if it is there.
    pub(crate) fn obeys_if_set(&mut self, at: &At<'_>, value: &Value, rule: Rule) {
        if is_set(value) {
            self.obeys(at, text(value), rule);
        }
    }

    /// A name that belongs to somebody: a domain, a slash and a path.
    pub(crate) fn domain_prefixed_path(&mut self, at: &At<'_>, value: &str) {
        self.0.extend(validation::is_domain_prefixed_path(&at.path(), value));
    }

    /// The name of a signer of certificates: a domain, a slash and a path, `example.com/signer-name`.
    ///
    /// Source: `ValidateSignerName` of `k8s.io/kubernetes/pkg/apis/core/validation`.
    pub(crate) fn signer_name(&mut self, at: &At<'_>, name: &str) {
        let (domain, path) = match name.split_once('/') {
            _ if name.is_empty() => return self.required(at, ""),
            Some((domain, path)) if !path.contains('/') => (domain, path),
            _ => {
                let detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
                return self.invalid(at, name, detail);
            }
        };
        if domain.len() > SUBDOMAIN_LENGTH {
            self.too_long(at, SUBDOMAIN_LENGTH);
        }
        self.signer_labels(at, domain, validation::is_dns1123_label);
        if !domain.contains('.') {
            self.invalid(at, domain, "should be a domain with at least two segments separated by dots");
        }
        self.signer_labels(at, path, validation::is_dns1123_subdomain);
        if name.len() > SIGNER_NAME_LENGTH {
            self.too_long(at, SIGNER_NAME_LENGTH);
        }
    }

    /// Labels with dots between them, of which only the first that is wrong is told.
    fn signer_labels(&mut self, at: &At<'_>, labels: &str, rule: Rule) {
        if let Some(label) = labels.split('.').find(|label| !rule(label).is_empty()) {
            for problem in rule(label) {
                self.invalid(at, labels, format!("validating label {}: {problem}", go::quote(label)));
            }
        }
    }

    /// A required string that obeys a rule.
    pub(crate) fn required_name(&mut self, at: &At<'_>, value: &Value, rule: Rule) {
        if is_set(value) { self.obeys(at, text(value), rule) } else { self.required(at, "") }
    }

    /// That an object has the name that its spec decides; what the name is made of has to be the same.
    pub(crate) fn decided_name(&mut self, metadata: &Value, wanted: &str, detail: &str) {
        let at = At::root("metadata");
        let is_made = is_set(&metadata["generateName"]);
        for field in ["generateName", "name"].into_iter().skip(usize::from(!is_made)) {
            let name = text(&metadata[field]);
            if name != wanted {
                self.invalid(&at.child(field), name, detail);
            }
        }
    }

    /// A field that must be there.
    pub(crate) fn present(&mut self, at: &At<'_>, value: &Value) {
        if !is_set(value) {
            self.required(at, "");
        }
    }

    /// An optional number that may not be negative.
    pub(crate) fn not_negative(&mut self, at: &At<'_>, value: &Value) {
        if let Some(number) = value.as_i64().filter(|number| *number < 0) {
            self.invalid(at, number, NOT_NEGATIVE);
        }
    }

    /// A number within bounds, if it is there.
    pub(crate) fn within(&mut self, at: &At<'_>, value: &Value, low: i64, high: i64) {
        if let Some(number) = value.as_i64().filter(|number| !(low..=high).contains(number)) {
            self.invalid(at, number, validation::inclusive_range(low, high));
        }
    }

    /// A port number.
    pub(crate) fn port(&mut self, at: &At<'_>, value: &Value) {
        self.within(at, value, 1, 65535);
    }

    /// A port number where none counts as 0, which is no port.
    pub(crate) fn required_port(&mut self, at: &At<'_>, value: &Value) {
        let number = value.as_i64().unwrap_or_default();
        self.port(at, &number.into());
    }

    /// A port by number or by name, which must be there.
    pub(crate) fn port_or_name(&mut self, at: &At<'_>, value: &Value) {
        match value {
            Value::String(name) => self.obeys(at, name, validation::is_valid_port_name),
            Value::Number(_) => self.port(at, value),
            _ => self.invalid(at, 0, validation::inclusive_range(1, 65535)),
        }
    }

    /// A value out of a set, if it is there.
    pub(crate) fn one_of(&mut self, at: &At<'_>, value: &Value, supported: &[&str]) {
        if is_set(value) && !supported.contains(&text(value)) {
            self.not_supported(at, value.clone(), supported);
        }
    }

    /// The same where even the empty text is a value.
    pub(crate) fn one_of_if_present(&mut self, at: &At<'_>, value: &Value, supported: &[&str]) {
        if !value.is_null() && !supported.contains(&text(value)) {
            self.not_supported(at, value.clone(), supported);
        }
    }

    /// The same where upstream lists what is supported in an order of its own.
    pub(crate) fn one_of_as_listed(&mut self, at: &At<'_>, value: &Value, supported: &[&str]) {
        if is_set(value) && !supported.contains(&text(value)) {
            self.not_supported_as_listed(at, value.clone(), supported);
        }
    }

    /// A value out of a set, which must be there and is listed in an order of its own.
    pub(crate) fn required_one_of_as_listed(&mut self, at: &At<'_>, value: &Value, supported: &[&str]) {
        if is_set(value) { self.one_of_as_listed(at, value, supported) } else { self.required(at, "") }
    }

    /// A value out of a set, which must be there.
    pub(crate) fn required_one_of(&mut self, at: &At<'_>, value: &Value, supported: &[&str]) {
        if is_set(value) { self.one_of(at, value, supported) } else { self.required(at, "") }
    }

    /// Keys and values of a label map.
    pub(crate) fn labels(&mut self, at: &At<'_>, labels: &Value) {
        for (key, value) in entries(labels) {
            self.obeys(at, key, validation::is_qualified_name);
            self.obeys(at, text(value), validation::is_valid_label_value);
        }
    }

    /// What templates say of the metadata of what is made of them: labels and annotations.
    pub(crate) fn template_metadata(&mut self, at: &At<'_>, metadata: &Value) {
        self.0.extend(validation::annotations(&metadata["annotations"], &at.child("annotations").path()));
        self.labels(&at.child("labels"), &metadata["labels"]);
        for (field, _) in entries(metadata).filter(|(_, value)| is_set(value)) {
            if !matches!(field, "annotations" | "labels") {
                self.forbidden(&at.child(field), "cannot be set");
            }
        }
    }

    /// A label selector with `matchLabels` and `matchExpressions`. Returns whether nothing is wrong with it.
    pub(crate) fn label_selector(&mut self, at: &At<'_>, selector: &Value) -> bool {
        let before = self.0.len();
        self.labels(&at.child("matchLabels"), &selector["matchLabels"]);
        let list = at.child("matchExpressions");
        for (index, expression) in items(&selector["matchExpressions"]).iter().enumerate() {
            let at = list.index(index);
            let (operator, values) = (&at.child("operator"), &at.child("values"));
            match text(&expression["operator"]) {
                "In" | "NotIn" if !is_set(&expression["values"]) => {
                    self.required(values, "must be specified when `operator` is 'In' or 'NotIn'");
                }
                "In" | "NotIn" => {}
                "Exists" | "DoesNotExist" if is_set(&expression["values"]) => {
                    self.forbidden(values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
                }
                "Exists" | "DoesNotExist" => {}
                other => self.invalid(operator, other, "not a valid selector operator"),
            }
            self.obeys(&at.child("key"), text(&expression["key"]), validation::is_qualified_name);
            for (index, value) in items(&expression["values"]).iter().enumerate() {
                self.obeys(&values.index(index), text(value), validation::is_valid_label_value);
            }
        }
        self.0.len() == before
    }

    /// The selector of a workload, and whether it selects its template's labels. `false` for a selector that cannot
    /// be read, which `broken` says once more of it as a whole.
    pub(crate) fn selector_of_template(&mut self, at: &At<'_>, spec: &Value, kind: &str, broken: &str) -> bool {
        let (selector, given) = (at.child("selector"), &spec["selector"]);
        if given.is_null() {
            self.required(&selector, "");
        } else if !self.label_selector(&selector, given) {
            self.invalid(&selector, shown_selector(given), broken);
            return false;
        }
        if is_empty_selector(given) {
            self.invalid(&selector, shown_selector(given), format!("empty selector is invalid for {kind}"));
        } else {
            self.selects_template(at, spec);
        }
        true
    }

    /// The labels of a workload's template must be selected by its selector; none selects nothing.
    pub(crate) fn selects_template(&mut self, at: &At<'_>, spec: &Value) {
        let labels = &spec["template"]["metadata"]["labels"];
        if spec["selector"].is_null() || !selects(&spec["selector"], labels) {
            let template = at.child("template");
            let metadata = template.child("metadata");
            self.invalid(&metadata.child("labels"), labels.clone(), "`selector` does not match template `labels`");
        }
    }

    /// A field that may not change.
    pub(crate) fn immutable(&mut self, at: &At<'_>, new: &Value, old: &Value) {
        if !same(new, old) {
            self.invalid(at, new.clone(), IMMUTABLE);
        }
    }

    /// A label selector that may not change.
    pub(crate) fn immutable_selector(&mut self, at: &At<'_>, new: &Value, old: &Value) {
        if !same(new, old) {
            self.invalid(at, shown_selector(new), IMMUTABLE);
        }
    }

    /// A text that may not change, and is empty if it is not there.
    pub(crate) fn immutable_text(&mut self, at: &At<'_>, new: &Value, old: &Value) {
        if !same(new, old) {
            self.invalid(at, text(new), IMMUTABLE);
        }
    }

    /// A structure that may not change, and that upstream shows by the names of its own fields.
    pub(crate) fn immutable_structure(&mut self, at: &At<'_>, structure: &str, new: &Value, old: &Value) {
        if shown::differ(structure, old, new) {
            self.invalid(at, Shown::Text(shown::compact(structure, new)), IMMUTABLE);
        }
    }

    /// The same of a structure that need not be there.
    pub(crate) fn immutable_if_present(&mut self, at: &At<'_>, structure: &str, new: &Value, old: &Value) {
        if new.is_null() != old.is_null() || shown::differ(structure, old, new) {
            self.invalid(at, Shown::Text(shown::compact_or_null(structure, new)), IMMUTABLE);
        }
    }

    /// A whole number or a percentage, neither negative.
    pub(crate) fn int_or_percent(&mut self, at: &At<'_>, value: &Value) {
        match value {
            Value::String(words) if int_or_string::percent(value).is_none() => self.invalid(
                at,
                words.as_str(),
                "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
            ),
            Value::Number(_) => self.not_negative(at, value),
            _ => {}
        }
    }

    /// A percentage of at most 100.
    pub(crate) fn at_most_100_percent(&mut self, at: &At<'_>, value: &Value) {
        if int_or_string::percent(value).is_some_and(|percent| percent > 100) {
            self.invalid(at, value.clone(), "must not be greater than 100%");
        }
    }

    /// A quantity that is not negative; `None` if it is malformed.
    pub(crate) fn quantity(&mut self, at: &At<'_>, value: &Value) -> Option<Quantity> {
        let shown = match value {
            Value::String(text) => Cow::Borrowed(text.as_str()),
            other => Cow::Owned(other.to_string()),
        };
        match Quantity::parse(&shown) {
            Ok(quantity) => {
                if quantity.is_negative() {
                    self.invalid(at, shown.into_owned(), NOT_NEGATIVE);
                }
                Some(quantity)
            }
            Err(problem) => {
                self.invalid(at, shown.into_owned(), problem.to_string());
                None
            }
        }
    }
}

/// Whether a label selector is there that says nothing.
pub(crate) fn is_empty_selector(selector: &Value) -> bool {
    !selector.is_null() && !is_set(&selector["matchLabels"]) && !is_set(&selector["matchExpressions"])
}

/// A label selector without the fields that say nothing.
pub(crate) fn shown_selector(selector: &Value) -> Value {
    let mut shown = selector.clone();
    if let Some(fields) = shown.as_object_mut() {
        fields.retain(|_, value| is_set(value));
    }
    shown
}

/// Whether a label selector, whose form is valid, selects these labels.
pub(crate) fn selects(selector: &Value, labels: &Value) -> bool {
    let labels_match = entries(&selector["matchLabels"])
        .all(|(key, value)| text(value) == text(&labels[key]) && labels[key].is_string());
    labels_match
        && items(&selector["matchExpressions"]).iter().all(|expression| {
            let label = &labels[text(&expression["key"])];
            let listed = items(&expression["values"]).contains(label);
            match text(&expression["operator"]) {
                "In" => label.is_string() && listed,
                "NotIn" => !(label.is_string() && listed),
                "Exists" => label.is_string(),
                _ => !label.is_string(),
            }
        })
}
