//! Values that may be missing.

use super::{fail, no_overload};
use crate::functions::{Outcome, Row, Style::Global, Style::Member};
use crate::value::Value;

pub(super) const ROWS: &[Row] = &[
    Row("optional.of", Global, &["A"], "optional(A)", |values| Ok(Value::some(values[0].clone()))),
    Row("optional.none", Global, &[], "optional(A)", |_| Ok(Value::Optional(None))),
    Row("optional.ofNonZeroValue", Global, &["A"], "optional(A)", |values| {
        Ok(if is_zero(&values[0]) { Value::Optional(None) } else { Value::some(values[0].clone()) })
    }),
    Row("hasValue", Member, &["optional(A)"], "bool", |values| match values {
        [Value::Optional(inner)] => Ok(inner.is_some().into()),
        _ => no_overload(),
    }),
    Row("value", Member, &["optional(A)"], "A", |values| match values {
        [Value::Optional(Some(inner))] => Ok((**inner).clone()),
        [Value::Optional(None)] => fail("optional.none() dereference"),
        _ => no_overload(),
    }),
    Row("first", Member, &["list(A)"], "optional(A)", |values| match values {
        [Value::List(list)] => Ok(list.get(0).map_or(Value::Optional(None), Value::some)),
        _ => no_overload(),
    }),
    Row("last", Member, &["list(A)"], "optional(A)", |values| match values {
        [Value::List(list)] => {
            let last = list.len().checked_sub(1).and_then(|index| list.get(index));
            Ok(last.map_or(Value::Optional(None), Value::some))
        }
        _ => no_overload(),
    }),
    Row("optional.unwrap", Global, &["list(optional(A))"], "list(A)", unwrap),
    Row("unwrapOpt", Member, &["list(optional(A))"], "list(A)", unwrap),
    // Evaluated without looking at the second argument where the first one has a value.
    Row("or", Member, &["optional(A)", "optional(A)"], "optional(A)", |values| match values {
        [Value::Optional(Some(_)), _] => Ok(values[0].clone()),
        _ => Ok(values[1].clone()),
    }),
    Row("orValue", Member, &["optional(A)", "A"], "A", |values| match values {
        [Value::Optional(Some(inner)), _] => Ok((**inner).clone()),
        _ => Ok(values[1].clone()),
    }),
];

fn unwrap<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(list)] = values else { return no_overload() };
    let present = list.iter().filter_map(|item| match item {
        Value::Optional(inner) => inner.map(|inner| (*inner).clone()),
        other => Some(other),
    });
    Ok(Value::list(present.collect()))
}

fn is_zero(value: &Value<'_>) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Int(value) => *value == 0,
        Value::Uint(value) => *value == 0,
        Value::Double(value) => *value == 0.0,
        Value::String(text) => text.is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::Duration(nanos) => *nanos == 0,
        Value::Timestamp(time) => time.is_zero(),
        Value::List(list) => list.is_empty(),
        Value::Map(map) => map.is_empty(),
        Value::Optional(inner) => inner.is_none(),
        _ => false,
    }
}
