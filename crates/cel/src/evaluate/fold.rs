//! Macros over lists, maps and optional values.
//!
//! Upstream expands them into loops over an accumulator; the units paid here are those of its expansion.

use std::sync::Arc;

use super::{Evaluator, Local, insert};
use crate::ast::How;
use crate::cost;
use crate::error::EvaluationError;
use crate::functions::{Outcome, no_overload_of};
use crate::library::lists;
use crate::plan::{FoldNode, Node};
use crate::value::{Entries, Map, Value};

impl<'b, 'a> Evaluator<'b, 'a> {
    pub(super) fn bind(&mut self, [value, body]: &'b [Node; 2]) -> Outcome<'a> {
        // Upstream goes through an empty list, whose accumulator it computes where it is first used.
        self.pay(cost::LIST)?;
        self.locals.push(Local::Later(value));
        let made = self.value(body);
        self.locals.pop();
        made
    }

    pub(super) fn fold(&mut self, fold: &'b FoldNode) -> Outcome<'a> {
        let range = self.value(&fold.range)?;
        let depth = self.locals.len();
        let outcome = match fold.how {
            How::All => self.decide(fold, &range, false),
            How::Exists => self.decide(fold, &range, true),
            How::ExistsOne => self.exactly_one(fold, &range),
            How::SortBy => self.sort_by(fold, &range),
            How::List => self.list(fold, &range),
            How::Map | How::MapEntry => self.map_of(fold, &range),
            How::OptMap | How::OptFlatMap => self.optional(fold, range),
        };
        self.locals.truncate(depth);
        outcome
    }

    /// Runs something for each element, with the variables of the macro set.
    fn each(
        &mut self,
        fold: &'b FoldNode,
        range: &Value<'a>,
        mut visit: impl FnMut(&mut Self, &Value<'a>) -> Result<Next, EvaluationError>,
    ) -> Result<(), EvaluationError> {
        let depth = self.locals.len();
        let mut step = |evaluator: &mut Self, key: Value<'a>, one: Option<Value<'a>>, value: Value<'a>| {
            evaluator.locals.truncate(depth);
            if fold.variables == 2 {
                evaluator.locals.push(Local::Known(Ok(key.clone())));
                evaluator.locals.push(Local::Known(Ok(value)));
            } else {
                evaluator.locals.push(Local::Known(Ok(one.unwrap_or(value))));
            }
            visit(evaluator, &key)
        };
        match range {
            Value::List(list) => {
                for (index, item) in list.iter().enumerate() {
                    if step(self, Value::Int(index as i64), None, item)? == Next::Stop {
                        break;
                    }
                }
            }
            Value::Map(map) => {
                for (key, value) in map.entries() {
                    if step(self, key.clone(), Some(key), value)? == Next::Stop {
                        break;
                    }
                }
            }
            other => {
                let found = go_type(other);
                return Err(EvaluationError::text(match fold.variables {
                    2 => format!("unsupported comprehension range type: {found}"),
                    _ => format!("got '{found}', expected iterable type"),
                }));
            }
        }
        Ok(())
    }

    /// Whether an element counts.
    fn passes(&mut self, fold: &'b FoldNode) -> Result<bool, EvaluationError> {
        match &fold.filter {
            None => Ok(true),
            Some(filter) => self.value(filter)?.as_bool().ok_or(EvaluationError::NoSuchOverload),
        }
    }

    fn decide(&mut self, fold: &'b FoldNode, range: &Value<'a>, decisive: bool) -> Outcome<'a> {
        let mut failed = None;
        let mut decided = false;
        self.each(fold, range, |evaluator, _| {
            // The condition of the loop, and the accumulator in its step.
            evaluator.pay(if decisive { 4 } else { 3 })?;
            match evaluator.value(&fold.body) {
                Ok(Value::Bool(value)) if value == decisive => {
                    decided = true;
                    return Ok(Next::Stop);
                }
                Ok(Value::Bool(_)) => {}
                Ok(_) => failed = failed.take().or(Some(EvaluationError::NoSuchOverload)),
                Err(EvaluationError::CostExceeded) => return Err(EvaluationError::CostExceeded),
                Err(error) => failed = failed.take().or(Some(error)),
            }
            Ok(Next::Go)
        })?;
        self.pay(1)?;
        match failed {
            _ if decided => Ok(decisive.into()),
            Some(error) => Err(error),
            None => Ok((!decisive).into()),
        }
    }

    fn exactly_one(&mut self, fold: &'b FoldNode, range: &Value<'a>) -> Outcome<'a> {
        let mut count = 0;
        self.each(fold, range, |evaluator, _| {
            evaluator.pay(1)?;
            if evaluator.value(&fold.body)?.as_bool().ok_or(EvaluationError::NoSuchOverload)? {
                evaluator.pay(1)?;
                count += 1;
            }
            Ok(Next::Go)
        })?;
        self.pay(2)?;
        Ok((count == 1).into())
    }

    fn list(&mut self, fold: &'b FoldNode, range: &Value<'a>) -> Outcome<'a> {
        let mut items = Vec::new();
        self.each(fold, range, |evaluator, _| {
            evaluator.pay(1)?;
            if evaluator.passes(fold)? {
                // Upstream makes a list of one element and adds it.
                evaluator.pay(cost::LIST + 1)?;
                let item = evaluator.value(&fold.body)?;
                items.push(item);
            }
            Ok(Next::Go)
        })?;
        self.pay(1)?;
        Ok(Value::list(items))
    }

    fn map_of(&mut self, fold: &'b FoldNode, range: &Value<'a>) -> Outcome<'a> {
        let mut entries = Entries::new();
        self.each(fold, range, |evaluator, key| {
            evaluator.pay(1)?;
            if !evaluator.passes(fold)? {
                return Ok(Next::Go);
            }
            evaluator.pay(1)?;
            let made = evaluator.value(&fold.body)?;
            match (fold.how, made) {
                (How::MapEntry, Value::Map(map)) => {
                    for (key, value) in map.entries() {
                        insert(&mut entries, key, value)?;
                    }
                }
                (How::MapEntry, made) => {
                    let map = Value::Map(Map::Made(Arc::default()));
                    return Err(no_overload_of("cel.@mapInsert", &[map, made]));
                }
                (_, made) => insert(&mut entries, key.clone(), made)?,
            }
            Ok(Next::Go)
        })?;
        self.pay(1)?;
        Ok(Value::Map(Map::Made(Arc::new(entries))))
    }

    fn sort_by(&mut self, fold: &'b FoldNode, range: &Value<'a>) -> Outcome<'a> {
        let Value::List(list) = range else { return Err(EvaluationError::NoSuchOverload) };
        let items: Vec<Value<'a>> = list.iter().collect();
        let mut keys = Vec::with_capacity(items.len());
        self.each(fold, range, |evaluator, _| {
            evaluator.pay(cost::LIST + 2)?;
            let key = evaluator.value(&fold.body)?;
            keys.push(key);
            Ok(Next::Go)
        })?;
        let count = items.len() as u64;
        self.pay(cost::LIST.saturating_add(count.saturating_mul(count)))?;
        lists::sort_by(items, keys)
    }

    fn optional(&mut self, fold: &'b FoldNode, range: Value<'a>) -> Outcome<'a> {
        let inner = match range {
            Value::Optional(None) => return Ok(Value::Optional(None)),
            Value::Optional(Some(inner)) => (*inner).clone(),
            _ => return Err(EvaluationError::NoSuchOverload),
        };
        self.locals.push(Local::Known(Ok(inner)));
        let made = self.value(&fold.body);
        self.locals.pop();
        match (fold.how, made?) {
            (How::OptMap, value) => Ok(Value::some(value)),
            (_, value @ Value::Optional(_)) => Ok(value),
            _ => Err(EvaluationError::NoSuchOverload),
        }
    }
}

/// What upstream's program calls the type of a value.
fn go_type<'v>(value: &'v Value<'_>) -> &'v str {
    match value {
        Value::Null => "types.Null",
        Value::Bool(_) => "types.Bool",
        Value::Int(_) => "types.Int",
        Value::Uint(_) => "types.Uint",
        Value::Double(_) => "types.Double",
        Value::String(_) => "types.String",
        Value::Bytes(_) => "types.Bytes",
        Value::Duration(_) => "types.Duration",
        Value::Timestamp(_) => "types.Timestamp",
        Value::Optional(_) => "*types.Optional",
        Value::Type(_) => "*types.Type",
        Value::Url(_) => "cel.URL",
        Value::Ip(_) => "cel.IP",
        Value::Cidr(_) => "cel.CIDR",
        Value::Quantity(_) => "cel.Quantity",
        Value::Semver(_) => "cel.Semver",
        Value::Format(_) => "*cel.Format",
        other => other.type_name(),
    }
}

/// Whether a loop goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Go,
    Stop,
}
