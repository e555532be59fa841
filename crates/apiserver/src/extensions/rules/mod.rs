//! Rules in CEL that definitions hold their objects to: `x-kubernetes-validations`.
//!
//! Source: `apiextensions-apiserver/pkg/apiserver/schema/cel`.

mod problems;
mod run;

use std::collections::BTreeMap;
use std::sync::Arc;

use portolan_api::custom::{self, Additional, Node, Notation, Rule};
use portolan_api::field::Path;
use portolan_cel::{Environment, Program, Root, Schema, Type};
use serde_json::Value;

pub(crate) use problems::{problems, problems_of_defaults};
use run::{Broken, Ratchet, Ratcheting, Run};

/// The rules of a version, compiled, where its schema has them.
#[derive(Debug)]
pub(crate) struct Rules(Option<Place>);

#[derive(Debug)]
struct Place {
    schema: Arc<Schema>,
    rules: Vec<Compiled>,
    properties: BTreeMap<String, Place>,
    items: Option<Box<Place>>,
    values: Option<Box<Place>>,
}

#[derive(Debug)]
struct Compiled {
    rule: Rule,
    program: Result<Program, String>,
    message: Option<Result<Program, String>>,
    uses_old: bool,
    /// The field that errors name, below the place of the rule; empty for the place itself.
    field: String,
    /// What evaluating the rule, and its message, costs at most.
    cost: (u64, u64),
}

fn of_type(found: &Type, wanted: &Type, what: &str) -> Result<(), String> {
    if found == wanted || *found == Type::Dyn { Ok(()) } else { Err(what.to_owned()) }
}

impl Compiled {
    fn new(rule: &Rule, schema: &Arc<Schema>, source: &Value) -> Self {
        let plain = Environment::new().with("self", schema.clone());
        let old = match rule.optional_old_self == Some(true) {
            true => plain.clone().with_type("oldSelf", Type::Optional(Arc::new(schema.ty()))),
            false => plain.clone().with("oldSelf", schema.clone()),
        };
        let compile = |environment: &Environment, text: &str| environment.compile(text);
        let program =
            compile(&old, &rule.rule).map_err(|error| format!("compilation failed: {error}")).and_then(|program| {
                of_type(program.ty(), &Type::Bool, "cel expression must evaluate to a bool")?;
                program.instantiated().map_err(|why| format!("program instantiation failed: {why}"))
            });
        // Only an expression that names it fails without it.
        let uses_old = program.is_ok() && rule.rule.contains("oldSelf") && compile(&plain, &rule.rule).is_err();
        // What is said of a rule that is none does not matter.
        let message = (program.is_ok() && !rule.message_expression.is_empty()).then(|| {
            compile(&old, &rule.message_expression)
                .map_err(|error| format!("messageExpression compilation failed: {error}"))
                .and_then(|program| {
                    of_type(program.ty(), &Type::String, "messageExpression must evaluate to a string")?;
                    program.instantiated().map_err(|why| format!("messageExpression instantiation failed: {why}"))
                })
        });
        let most = |program: &Program| program.estimate(&old).max;
        let cost = (
            program.as_ref().map_or(0, most),
            message.as_ref().and_then(|message| message.as_ref().ok()).map_or(0, most),
        );
        // A path that leads nowhere is refused with the definition.
        let field = custom::field_path(&rule.field_path, source, Notation::DotsAndBrackets);
        let field = field.map(|(path, _)| path).unwrap_or_default();
        Self { rule: rule.clone(), program, message, uses_old, field, cost }
    }

    /// How the rule is named in errors.
    fn name(&self) -> &str {
        if self.rule.message.is_empty() { self.rule.rule.trim() } else { self.rule.message.trim() }
    }
}

impl Place {
    /// Compiles the rules here and below; `None` if there are none.
    fn new(source: &Value, node: &Node, root: Root) -> Option<Self> {
        if !node.has_rules() {
            return None;
        }
        let schema = Schema::of_structural(source, root)?;
        let below = |name: &str, inner: &Node| Self::new(&source[name], inner, Root::No).map(Box::new);
        let properties = node
            .properties
            .iter()
            .filter_map(|(name, inner)| Some((name.clone(), Self::new(&source["properties"][name], inner, Root::No)?)));
        Some(Self {
            rules: node.rules.iter().map(|rule| Compiled::new(rule, &schema, source)).collect(),
            properties: properties.collect(),
            items: node.items.as_deref().and_then(|inner| below("items", inner)),
            values: match &node.additional {
                Some(Additional::Schema(inner)) => below("additionalProperties", inner),
                _ => None,
            },
            schema,
        })
    }
}

impl Rules {
    /// The rules of a version, compiled at the first call.
    pub(crate) fn of(version: &custom::Version) -> &Self {
        version.derived(|| {
            let source = version.source();
            Self(Place::new(&source["schema"]["openAPIV3Schema"], version.root(), Root::Yes))
        })
    }

    /// Which rules an object breaks.
    pub(crate) fn broken(&self, node: &Node, object: &Value, old: Option<&Value>) -> Broken {
        let mut run = Run::new(Ratcheting::On);
        if let Some(place) = &self.0 {
            // What ends it early is among the errors.
            let _ = run.place(place, node, &Path::default(), object, old, Ratchet::of(object, old));
        }
        Broken { errors: run.errors, warnings: run.warnings }
    }

    /// Whether there are rules at all.
    pub(crate) fn are_there(&self) -> bool {
        self.0.is_some()
    }
}
