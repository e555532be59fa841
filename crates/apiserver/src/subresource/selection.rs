//! The selectors in a question about access.
//!
//! Source: `pkg/registry/authorization/util/helpers.go` of Kubernetes.

use portolan_api::selector::{self, FieldSelector, LabelSelector, Operator};
use serde_json::Value;

use crate::request::{Requirement, Selection};
use crate::resources::json::{items, text};

/// What a review asks to be narrowed to, and what is to be said of that: requirements that nobody understands are left
/// out, which asks for more.
pub(super) fn of(attributes: &Value) -> (Selection, Vec<String>) {
    let raw = |name: &str| text(&attributes[name]["rawSelector"]);
    let (fields, labels) = (raw("fieldSelector"), raw("labelSelector"));
    let Selection { fields: read_fields, labels: read_labels } = Selection::parse(fields, labels);
    let (fields, problem_of_fields) = narrowed(
        &attributes["fieldSelector"],
        "fieldSelector",
        read_fields,
        FieldSelector::parse(fields).is_err(),
        field,
    );
    let (labels, problem_of_labels) = narrowed(
        &attributes["labelSelector"],
        "labelSelector",
        read_labels,
        LabelSelector::parse(labels).is_err(),
        label,
    );
    (Selection { fields, labels }, problem_of_fields.into_iter().chain(problem_of_labels).collect())
}

/// What one selector asks for: its requirements, or what was read of its text.
fn narrowed(
    asked: &Value,
    name: &str,
    of_text: Vec<Requirement>,
    is_unreadable: bool,
    read: fn(&Value) -> Option<Requirement>,
) -> (Vec<Requirement>, Option<String>) {
    let requirements = items(&asked["requirements"]);
    let (list, is_wrong) = if requirements.is_empty() {
        (of_text, is_unreadable)
    } else {
        let list: Vec<Requirement> = requirements.iter().filter_map(read).collect();
        let is_wrong = list.len() < requirements.len();
        (list, is_wrong)
    };
    let how = if list.is_empty() { "ignored" } else { "partially ignored" };
    let problem = is_wrong.then(|| format!("spec.resourceAttributes.{name} {how} due to parse error"));
    (list, problem)
}

fn values(item: &Value) -> Vec<String> {
    items(&item["values"]).iter().map(|value| text(value).to_owned()).collect()
}

/// Fields can be compared with one value.
fn field(item: &Value) -> Option<Requirement> {
    let operator = ["In", "NotIn"].into_iter().find(|known| item["operator"] == *known)?;
    let values = values(item);
    (values.len() == 1).then(|| Requirement { key: text(&item["key"]).to_owned(), operator, values })
}

fn label(item: &Value) -> Option<Requirement> {
    let known = [
        ("In", Operator::In),
        ("NotIn", Operator::NotIn),
        ("Exists", Operator::Exists),
        ("DoesNotExist", Operator::DoesNotExist),
    ];
    let (name, operator) = known.into_iter().find(|(name, _)| item["operator"] == *name)?;
    let values = values(item);
    selector::Requirement::new(text(&item["key"]), operator, values.clone()).ok()?;
    Some(Requirement { key: text(&item["key"]).to_owned(), operator: name, values })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn requirements_that_nobody_understands_are_left_out_and_told() {
        let one = |operator: &str, values: &[&str]| json!({"key": "a", "operator": operator, "values": values});
        let fields = |how: &str| format!("spec.resourceAttributes.fieldSelector {how} due to parse error");
        let labels = |how: &str| format!("spec.resourceAttributes.labelSelector {how} due to parse error");
        for (attributes, left, expected) in [
            (json!({}), (0, 0), vec![]),
            (json!({"fieldSelector": {"rawSelector": "a=b"}, "labelSelector": {"rawSelector": "a"}}), (1, 1), vec![]),
            (
                json!({"fieldSelector": {"rawSelector": "a"}, "labelSelector": {"rawSelector": "a=="}}),
                (0, 1),
                vec![fields("ignored")],
            ),
            (json!({"labelSelector": {"rawSelector": "a in b"}}), (0, 0), vec![labels("ignored")]),
            (
                json!({"fieldSelector": {"requirements": [one("In", &["b"]), one("Exists", &[])]}}),
                (1, 0),
                vec![fields("partially ignored")],
            ),
            (
                json!({
                    "fieldSelector": {"requirements": [one("In", &["b", "c"])]},
                    "labelSelector": {"requirements": [one("In", &["b", "c"]), one("Exists", &["b"])]},
                }),
                (0, 1),
                vec![fields("ignored"), labels("partially ignored")],
            ),
        ] {
            let (selection, problems) = of(&attributes);
            assert_eq!((selection.fields.len(), selection.labels.len()), left, "{attributes}");
            assert_eq!(problems, expected, "{attributes}");
        }
    }
}
