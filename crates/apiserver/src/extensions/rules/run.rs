//! Which rules an object breaks.

use std::sync::Arc;

use portolan_api::custom::{self, Additional, Node};
use portolan_api::field::{Error, Path, Shown};
use portolan_cel::{Bindings, Budget, EvaluationError, OBJECT_LIMIT, Program, Value as Cel};
use serde_json::Value;

use super::{Compiled, Place};

/// Longest message that an expression may make.
const MESSAGE_LIMIT: usize = 5 * 1024;

const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// What a look at all rules brought.
pub(crate) struct Broken {
    /// What the write is refused for.
    pub(crate) errors: Vec<Error>,
    /// What was wrong before and may stay.
    pub(crate) warnings: Vec<String>,
}

/// Whether what was there before and broke the same rule is let be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ratcheting {
    On,
    Off,
}

/// Whether a value was there before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ratchet {
    Unchanged,
    Changed,
}

impl Ratchet {
    pub(super) fn of(new: &Value, old: Option<&Value>) -> Self {
        if old == Some(new) { Self::Unchanged } else { Self::Changed }
    }
}

/// No more rules are run.
pub(super) struct Stop;

/// The values of variables.
struct Bound<'b, 'a>(&'b [(&'b str, Cel<'a>)]);

impl<'a> Bindings<'a> for Bound<'_, 'a> {
    fn get(&self, name: &str) -> Option<Result<Cel<'a>, EvaluationError>> {
        self.0.iter().find(|(bound, _)| *bound == name).map(|(_, value)| Ok(value.clone()))
    }
}

pub(super) struct Run {
    pub(super) errors: Vec<Error>,
    pub(super) warnings: Vec<String>,
    budget: Budget,
    ratcheting: Ratcheting,
}

impl Run {
    pub(super) fn new(ratcheting: Ratcheting) -> Self {
        Self { errors: Vec::new(), warnings: Vec::new(), budget: Budget::new(OBJECT_LIMIT), ratcheting }
    }

    pub(super) fn place(
        &mut self,
        place: &Place,
        node: &Node,
        path: &Path,
        value: &Value,
        old: Option<&Value>,
        ratchet: Ratchet,
    ) -> Result<(), Stop> {
        if value.is_null() {
            return Ok(());
        }
        for compiled in &place.rules {
            self.rule(compiled, place, node, path, value, old.filter(|old| !old.is_null()), ratchet)?;
        }
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let old = old.and_then(|old| old.get(name));
                    let ratchet = if old.is_some() { Ratchet::of(value, old) } else { ratchet };
                    if let (Some(inner), Some(node)) = (place.properties.get(name), node.properties.get(name)) {
                        self.place(inner, node, &path.child(name), value, old, ratchet)?;
                    } else if let (Some(inner), Some(Additional::Schema(node))) = (&place.values, &node.additional)
                        && place.properties.is_empty()
                    {
                        self.place(inner, node, &path.key(name), value, old, ratchet)?;
                    }
                }
                Ok(())
            }
            Value::Array(items) => {
                let (Some(inner), Some(inner_node)) = (&place.items, &node.items) else { return Ok(()) };
                for (index, item) in items.iter().enumerate() {
                    let old = custom::counterpart(item, old, node);
                    let ratchet = if old.is_some() { Ratchet::of(item, old) } else { ratchet };
                    self.place(inner, inner_node, &path.index(index), item, old, ratchet)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one place of a walk")]
    fn rule(
        &mut self,
        compiled: &Compiled,
        place: &Place,
        node: &Node,
        path: &Path,
        value: &Value,
        old: Option<&Value>,
        ratchet: Ratchet,
    ) -> Result<(), Stop> {
        let kind = node.r#type.map_or("", custom::JsonType::name);
        let program = match &compiled.program {
            Ok(program) => program,
            Err(problem) => {
                self.errors.push(Error::invalid(path, kind, format!("rule compile error: {problem}")));
                return Ok(());
            }
        };
        // A rule about a change asks nothing of what is new, unless it says that it may.
        if compiled.uses_old && old.is_none() && compiled.rule.optional_old_self != Some(true) {
            return Ok(());
        }
        if self.budget.remaining == 0 {
            self.errors.push(Error::invalid(path, kind, OUT_OF_BUDGET));
            return Err(Stop);
        }
        let new = Cel::of(value, &place.schema);
        let before = old.map(|old| Cel::of(old, &place.schema));
        let mut bindings = vec![("self", new)];
        if compiled.rule.optional_old_self == Some(true) {
            bindings.push(("oldSelf", Cel::Optional(before.map(Arc::new))));
        } else if let Some(before) = before {
            bindings.push(("oldSelf", before));
        }
        match program.evaluate(&Bound(&bindings), &mut self.budget) {
            Ok(outcome) if outcome.as_bool() == Some(true) => return Ok(()),
            Ok(_) => {}
            Err(EvaluationError::CostExceeded) => {
                let detail = match self.budget.remaining {
                    0 => OUT_OF_BUDGET.to_owned(),
                    _ => format!(
                        "'operation cancelled: actual cost limit exceeded': no further validation rules will be run \
                         due to call cost exceeds limit for rule: {}",
                        compiled.name()
                    ),
                };
                self.errors.push(Error::invalid(path, kind, detail));
                return Err(Stop);
            }
            Err(EvaluationError::NoSuchOverload) => {
                let detail = format!(
                    "'no such overload': call arguments did not match a supported operator, function or macro \
                     signature for rule: {}",
                    compiled.name()
                );
                self.errors.push(Error::invalid(path, kind, detail));
                return Ok(());
            }
            Err(error) => {
                let detail = format!("{error} evaluating rule: {}", compiled.name());
                self.errors.push(Error::invalid(path, kind, detail));
                return Ok(());
            }
        }
        let made = match &compiled.message {
            Some(Ok(program)) => self.message(program, &bindings),
            _ => None,
        };
        let detail = made.unwrap_or_else(|| match compiled.rule.message.is_empty() {
            true => format!("failed rule: {}", compiled.name()),
            false => compiled.name().to_owned(),
        });
        let error = broken(compiled, path, value, detail);
        if self.ratcheting == Ratcheting::On && ratchet == Ratchet::Unchanged && !compiled.uses_old {
            self.warnings.push(error.to_string());
        } else {
            self.errors.push(error);
        }
        Ok(())
    }

    fn message<'a>(&mut self, program: &Program, bindings: &[(&str, Cel<'a>)]) -> Option<String> {
        let value = program.evaluate(&Bound(bindings), &mut self.budget).ok()?;
        let text = value.as_str()?.trim();
        (!text.is_empty() && text.len() <= MESSAGE_LIMIT && !text.contains('\n')).then(|| text.to_owned())
    }
}

fn broken(compiled: &Compiled, path: &Path, value: &Value, detail: String) -> Error {
    let path = if compiled.field.is_empty() { path.clone() } else { path.child(&compiled.field) };
    match compiled.rule.reason.as_str() {
        "FieldValueForbidden" => Error::forbidden(&path, detail),
        "FieldValueRequired" => Error::required(&path, detail),
        "FieldValueDuplicate" => Error::duplicate(&path, value.clone()),
        _ if value.is_object() || value.is_array() => Error::invalid(&path, Shown::Omitted, detail),
        _ => Error::invalid(&path, value.clone(), detail),
    }
}
