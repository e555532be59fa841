//! Evaluation.

mod fold;

use std::sync::Arc;

use crate::ast::Access;
use crate::cost::{self, SELECT};
use crate::error::EvaluationError;
use crate::functions::{Outcome, no_overload_of};
use crate::plan::{Call, Node, Op};
use crate::value::{Entries, Key, Map, Value};

/// Where the values of variables come from. They are asked for only as the expression gets to them.
pub trait Bindings<'a> {
    /// The value of a declared variable. `None` if it has none.
    ///
    /// # Errors
    /// The value had to be computed, and that failed.
    fn get(&self, name: &str) -> Option<Result<Value<'a>, EvaluationError>>;
}

impl<'a> Bindings<'a> for [(&str, Value<'a>)] {
    fn get(&self, name: &str) -> Option<Result<Value<'a>, EvaluationError>> {
        self.iter().find(|(bound, _)| *bound == name).map(|(_, value)| Ok(value.clone()))
    }
}

impl<'a, const N: usize> Bindings<'a> for [(&str, Value<'a>); N] {
    fn get(&self, name: &str) -> Option<Result<Value<'a>, EvaluationError>> {
        Bindings::get(self.as_slice(), name)
    }
}

/// Evaluates a plan: its value, and what that cost.
pub(crate) fn run<'b, 'a>(root: &'b Node, bindings: &'b dyn Bindings<'a>, limit: u64) -> (Outcome<'a>, u64) {
    let mut evaluator = Evaluator { bindings, cost: 0, limit, locals: Vec::new() };
    let outcome = evaluator.value(root);
    (outcome, evaluator.cost)
}

struct Evaluator<'b, 'a> {
    bindings: &'b dyn Bindings<'a>,
    cost: u64,
    limit: u64,
    locals: Vec<Local<'b, 'a>>,
}

/// What a macro names.
enum Local<'b, 'a> {
    Known(Outcome<'a>),
    /// Computed where it is first used.
    Later(&'b Node),
}

impl<'b, 'a> Evaluator<'b, 'a> {
    fn pay(&mut self, cost: u64) -> Result<(), EvaluationError> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > self.limit { Err(EvaluationError::CostExceeded) } else { Ok(()) }
    }

    /// The value of a node. Every level of an expression stands on the stack with this: it only hands on.
    fn value(&mut self, node: &'b Node) -> Outcome<'a> {
        match &node.op {
            Op::Constant(value) => Ok(value.clone()),
            Op::Variable(name) => self.variable(name),
            Op::Local(index) => self.local(*index),
            Op::Select { operand, field, access } => self.select(operand, field, *access),
            Op::And(terms) => self.logical(terms, false),
            Op::Or(terms) => self.logical(terms, true),
            Op::Choose(parts) => self.choose(parts),
            Op::Otherwise { first, second, unwrap } => self.otherwise(first, second, *unwrap),
            Op::Call(call) => self.call(call),
            Op::List(items) => self.items(items),
            Op::Map(entries) => self.map(entries),
            Op::Struct { name, fields } => self.structure(name, fields),
            Op::Bind(nodes) => self.bind(nodes),
            Op::Fold(fold) => self.fold(fold),
        }
    }

    fn variable(&mut self, name: &str) -> Outcome<'a> {
        self.pay(SELECT)?;
        let missing = || EvaluationError::text(format!("no such attribute(s): {name}"));
        self.bindings.get(name).unwrap_or_else(|| Err(missing()))
    }

    fn local(&mut self, index: usize) -> Outcome<'a> {
        self.pay(SELECT)?;
        let node = match self.locals.get(index) {
            None => return Err(EvaluationError::NoSuchOverload),
            Some(Local::Known(outcome)) => return outcome.clone(),
            Some(Local::Later(node)) => *node,
        };
        // It sees what had a name where it stands, which is not all that has one where it is used.
        let inner = self.locals.split_off(index);
        let outcome = self.value(node);
        self.locals.truncate(index);
        self.locals.push(Local::Known(outcome.clone()));
        self.locals.extend(inner.into_iter().skip(1));
        outcome
    }

    fn select(&mut self, operand: &'b Node, field: &Arc<str>, access: Access) -> Outcome<'a> {
        let holder = self.value(operand)?;
        let (holder, through_optional) = match holder {
            Value::Optional(None) if access == Access::Presence => return Ok(false.into()),
            Value::Optional(None) => return Ok(Value::Optional(None)),
            Value::Optional(Some(inner)) => ((*inner).clone(), true),
            other => (other, false),
        };
        if access != Access::Presence {
            self.pay(SELECT)?;
        }
        let found = match &holder {
            Value::Map(map) => map.field(field),
            Value::List(_) => return Err(EvaluationError::text("unsupported index type 'string' in list")),
            // What has no fields at all has not this one.
            _ => None,
        };
        match access {
            Access::Presence => Ok(found.is_some().into()),
            Access::Optional => Ok(Value::Optional(found.map(Arc::new))),
            Access::Value if through_optional => Ok(Value::Optional(found.map(Arc::new))),
            Access::Value => found.ok_or_else(|| EvaluationError::NoSuchKey(field.to_string())),
        }
    }

    /// Terms of `&&` or `||`. One term that decides outweighs errors of others.
    fn logical(&mut self, terms: &'b [Node], decisive: bool) -> Outcome<'a> {
        let mut failed = None;
        for term in terms {
            match self.value(term) {
                Ok(Value::Bool(value)) if value == decisive => return Ok(decisive.into()),
                Ok(Value::Bool(_)) => {}
                Ok(_) => failed = failed.or(Some(EvaluationError::NoSuchOverload)),
                Err(EvaluationError::CostExceeded) => return Err(EvaluationError::CostExceeded),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            Some(error) => Err(error),
            None => Ok((!decisive).into()),
        }
    }

    fn choose(&mut self, [condition, then, otherwise]: &'b [Node; 3]) -> Outcome<'a> {
        match self.value(condition)? {
            Value::Bool(true) => self.value(then),
            Value::Bool(false) => self.value(otherwise),
            _ => Err(EvaluationError::NoSuchOverload),
        }
    }

    fn otherwise(&mut self, first: &'b Node, second: &'b Node, unwrap: bool) -> Outcome<'a> {
        match self.value(first)? {
            Value::Optional(Some(inner)) if unwrap => Ok((*inner).clone()),
            Value::Optional(Some(inner)) => Ok(Value::Optional(Some(inner))),
            Value::Optional(None) => self.value(second),
            // As upstream: what was not known to be no optional is its own value.
            other => Ok(other),
        }
    }

    fn call(&mut self, call: &'b Call) -> Outcome<'a> {
        let mut values = Vec::with_capacity(call.arguments.len());
        for argument in &call.arguments {
            values.push(self.value(argument)?);
        }
        if let Some(pattern) = &call.pattern
            && let (Value::String(text), Value::String(source)) = (&values[0], &values[1])
        {
            let price = cost::pattern(text.chars().count() as u64, source.chars().count() as u64);
            self.pay(price)?;
            match (call.function, values.get(2)) {
                ("matches", None) => return Ok(pattern.is_match(text).into()),
                ("find", None) => {
                    return Ok(pattern.find(text).map_or(String::new(), |found| found.as_str().to_owned()).into());
                }
                _ => {}
            }
        }
        let overload = call.overloads.iter().find(|overload| overload.accepts(&values));
        // What cannot be an index is told by the list or map itself.
        let overload =
            overload.or_else(|| call.overloads.first().filter(|_| matches!(call.function, "_[_]" | "_[?_]")));
        let overload = overload.ok_or_else(|| no_overload_of(call.function, &values))?;
        // Costs that follow from the arguments are paid first, so that nothing is done that is too expensive.
        let of_result = matches!(overload.cost, cost::Cost::Made(_) | cost::Cost::Elements);
        let is_constant = |node: &Node| matches!(node.op, Op::Constant(_));
        let is_free = call.function == "@in" && call.arguments.get(1).is_some_and(is_constant);
        if !of_result && !is_free {
            self.pay(overload.cost.actual(&values, None))?;
        }
        let result = (overload.run)(&values)?;
        if of_result {
            self.pay(overload.cost.actual(&values, Some(&result)))?;
        }
        Ok(result)
    }

    fn items(&mut self, items: &'b [(Node, bool)]) -> Outcome<'a> {
        let mut values = Vec::with_capacity(items.len());
        for (item, optional) in items {
            let value = self.value(item)?;
            if let Some(value) = present(value, *optional)? {
                values.push(value);
            }
        }
        self.pay(cost::LIST)?;
        Ok(Value::list(values))
    }

    fn structure(&mut self, name: &Arc<str>, fields: &'b [(Arc<str>, Node, bool)]) -> Outcome<'a> {
        let mut entries = Entries::new();
        for (field, value, optional) in fields {
            let value = self.value(value)?;
            if let Some(value) = present(value, *optional)? {
                let key = Value::String(crate::value::Text::Shared(field.clone()));
                entries.insert(Key::String(field.clone()), (key, value));
            }
        }
        self.pay(cost::STRUCT)?;
        Ok(Value::Map(Map::Struct(name.clone(), Arc::new(entries))))
    }

    fn map(&mut self, nodes: &'b [(Node, Node, bool)]) -> Outcome<'a> {
        let mut entries = Entries::new();
        for (key, value, optional) in nodes {
            let key = self.value(key)?;
            let value = self.value(value)?;
            let Some(value) = present(value, *optional)? else { continue };
            // The last one of a key counts.
            entries.insert(plain_key(&key)?, (key, value));
        }
        self.pay(cost::MAP)?;
        Ok(Value::Map(Map::Made(Arc::new(entries))))
    }
}

/// Puts an entry into a map that has no such key yet.
fn insert<'a>(entries: &mut Entries<'a>, key: Value<'a>, value: Value<'a>) -> Result<(), EvaluationError> {
    let plain = plain_key(&key)?;
    if entries.contains_key(&plain) {
        return Err(EvaluationError::text(format!(
            "insert failed: key {} already exists",
            crate::library::convert::plain(&key)
        )));
    }
    entries.insert(plain, (key, value));
    Ok(())
}

fn plain_key(key: &Value<'_>) -> Result<Key, EvaluationError> {
    let plain = match key {
        Value::Double(_) => None,
        key => key.as_key(),
    };
    plain.ok_or_else(|| EvaluationError::text(format!("unsupported key type: {}", key.type_name())))
}

/// The value of an entry that may be optional.
fn present<'a>(value: Value<'a>, optional: bool) -> Result<Option<Value<'a>>, EvaluationError> {
    match (optional, value) {
        (false, value) => Ok(Some(value)),
        (true, Value::Optional(inner)) => Ok(inner.map(|inner| (*inner).clone())),
        (true, _) => Err(EvaluationError::NoSuchOverload),
    }
}
