//! Which questions a webhook is asked: conditions in CEL over the `SubjectAccessReview`.
//!
//! Source: `k8s.io/apiserver/pkg/authorization/cel`.

use std::sync::{Arc, OnceLock};

use portolan_cel::{Budget, EXPRESSION_LIMIT, Environment, Kind, Merge, Program, Schema, Type, Value as Cel};
use serde_json::{Value, json};

const REQUEST: &str = "request";

/// All of them must hold.
#[derive(Debug, Clone, Default)]
pub struct Conditions(Vec<Arc<Condition>>);

#[derive(Debug)]
struct Condition {
    text: String,
    program: Program,
}

/// The specification of a review, version 1.
fn schema() -> &'static Arc<Schema> {
    static SCHEMA: OnceLock<Arc<Schema>> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let text = Arc::new(Schema::new(Kind::String));
        let list = |items: &Arc<Schema>| Arc::new(Schema::new(Kind::List(items.clone(), Merge::Atomic)));
        let texts = list(&text);
        let requirement = Schema::object(
            "kubernetes.SelectorRequirement",
            [("key", text.clone()), ("operator", text.clone()), ("values", texts.clone())],
        );
        let selector =
            |name| Schema::object(name, [("rawSelector", text.clone()), ("requirements", list(&requirement))]);
        let resource = ["namespace", "verb", "group", "version", "resource", "subresource", "name"]
            .map(|name| (name, text.clone()))
            .into_iter()
            .chain([
                ("fieldSelector", selector("kubernetes.FieldSelectorAttributes")),
                ("labelSelector", selector("kubernetes.LabelSelectorAttributes")),
            ]);
        let path = Schema::object("kubernetes.NonResourceAttributes", [("path", text.clone()), ("verb", text.clone())]);
        Schema::object(
            "kubernetes.SubjectAccessReviewSpec",
            [
                ("resourceAttributes", Schema::object("kubernetes.ResourceAttributes", resource)),
                ("nonResourceAttributes", path),
                ("user", text.clone()),
                ("groups", texts.clone()),
                ("extra", Arc::new(Schema::new(Kind::Map(texts)))),
                ("uid", text),
            ],
        )
    })
}

impl Conditions {
    /// Adds one; the error says why it cannot be used.
    pub(super) fn add(&mut self, text: &str) -> Result<(), String> {
        let environment = Environment::new().with(REQUEST, schema().clone());
        let program = environment.compile(text).map_err(|error| format!("compilation failed: {error}"))?;
        if *program.ty() != Type::Bool {
            return Err(format!("must evaluate to bool but got {}", program.ty()));
        }
        let program = program.instantiated().map_err(|why| format!("program instantiation failed: {why}"))?;
        self.0.push(Arc::new(Condition { text: text.to_owned(), program }));
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all hold for the specification of a review. One that does not decides whatever the others' errors.
    pub(super) fn hold(&self, specification: &Value) -> Result<bool, String> {
        if self.is_empty() {
            return Ok(true);
        }
        let mut errors = Vec::new();
        let request = complete(specification);
        for Condition { text, program } in self.0.iter().map(|condition| &**condition) {
            let bindings = [(REQUEST, Cel::of(&request, schema()))];
            match program.evaluate(&bindings, &mut Budget::new(EXPRESSION_LIMIT)) {
                Ok(value) if value.as_bool() == Some(true) => {}
                Ok(value) if value.as_bool() == Some(false) => return Ok(false),
                Ok(_) => {
                    errors.push(format!("cel evaluation error: expression '{text}' eval result type should be bool"))
                }
                Err(error) => {
                    errors.push(format!("cel evaluation error: expression '{text}' resulted in error: {error}"))
                }
            }
        }
        match errors.as_slice() {
            [] => Ok(true),
            [error] => Err(error.clone()),
            errors => Err(format!("[{}]", errors.join(", "))),
        }
    }
}

/// The specification with all that may be left out where it is empty.
fn complete(specification: &Value) -> Value {
    let mut request = json!({"user": "", "groups": [], "uid": "", "extra": {}});
    let fill = |into: &mut Value, from: &Value| {
        if let (Some(into), Some(from)) = (into.as_object_mut(), from.as_object()) {
            into.extend(from.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
    };
    fill(&mut request, specification);
    if specification["resourceAttributes"].is_object() {
        let mut attributes = json!({"namespace": "", "verb": "", "group": "", "version": "", "resource": "", "subresource": "", "name": ""});
        fill(&mut attributes, &specification["resourceAttributes"]);
        request["resourceAttributes"] = attributes;
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_look_at_the_whole_question() {
        let resource = json!({
            "user": "ann", "groups": ["dev"],
            "resourceAttributes": {"verb": "list", "version": "v1", "resource": "pods",
                "fieldSelector": {"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["a"]}]}},
        });
        let path = json!({"user": "ann", "nonResourceAttributes": {"path": "/version", "verb": "get"}});
        for (text, of_resource, of_path) in [
            ("has(request.resourceAttributes)", Ok(true), Ok(false)),
            ("request.resourceAttributes.namespace == ''", Ok(true), Err("no such key")),
            ("!('dev' in request.groups)", Ok(false), Ok(true)),
            ("request.uid == '' && size(request.extra) == 0", Ok(true), Ok(true)),
            (
                "has(request.resourceAttributes) && \
                 request.resourceAttributes.fieldSelector.requirements.exists(r, r.key == 'spec.nodeName')",
                Ok(true),
                Ok(false),
            ),
        ] {
            let mut conditions = Conditions::default();
            conditions.add(text).expect(text);
            for (question, expected) in [(&resource, of_resource), (&path, of_path)] {
                match (conditions.hold(question), expected) {
                    (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text} {question}"),
                    (Err(found), Err(_)) => assert!(found.starts_with("cel evaluation error: expression '"), "{found}"),
                    (found, expected) => panic!("{text} {question}: {found:?} instead of {expected:?}"),
                }
            }
        }
        let mut conditions = Conditions::default();
        assert!(conditions.add("request.nothing").is_err());
        assert_eq!(conditions.add("request.user").expect_err("a text"), "must evaluate to bool but got string");
    }
}
