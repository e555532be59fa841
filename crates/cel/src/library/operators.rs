//! Operators.

use std::cmp::Ordering;
use std::sync::Arc;

use super::compare::{contains, equal, order, same_keys};
use super::{fail, no_overload, time};
use crate::error::EvaluationError;
use crate::functions::{Outcome, Row, Style::Global, Style::Member};
use crate::schema::Merge;
use crate::value::{List, Map, Value};

pub(super) const ROWS: &[Row] = &[
    Row("!_", Global, &["bool"], "bool", |values| match values {
        [Value::Bool(value)] => Ok(Value::Bool(!value)),
        _ => no_overload(),
    }),
    Row("-_", Global, &["int"], "int", negate),
    Row("-_", Global, &["double"], "double", negate),
    Row("_==_", Global, &["A", "A"], "bool", |values| match values {
        [left, Value::Null] => Ok(matches!(left, Value::Null).into()),
        [left, right] if is_particular(left) && left.type_name() != right.type_name() => no_overload(),
        // Nor are objects with known fields compared with what has none.
        [Value::Map(Map::Object(..)), right] if !matches!(right, Value::Map(_)) => no_overload(),
        _ => Ok(equal(&values[0], &values[1]).into()),
    }),
    Row("_!=_", Global, &["A", "A"], "bool", |values| Ok((!equal(&values[0], &values[1])).into())),
    Row("_+_", Global, &["int", "int"], "int", arithmetic_add),
    Row("_+_", Global, &["uint", "uint"], "uint", arithmetic_add),
    Row("_+_", Global, &["double", "double"], "double", arithmetic_add),
    Row("_+_", Global, &["string", "string"], "string", |values| match values {
        [Value::String(left), Value::String(right)] => Ok(format!("{}{}", &**left, &**right).into()),
        _ => no_overload(),
    }),
    Row("_+_", Global, &["bytes", "bytes"], "bytes", |values| match values {
        [Value::Bytes(left), Value::Bytes(right)] => Ok(Value::Bytes([&**left, &**right].concat().into())),
        _ => no_overload(),
    }),
    Row("_+_", Global, &["list(A)", "list(A)"], "list(A)", |values| match values {
        [Value::List(left), Value::List(right)] => Ok(Value::List(concatenate(left, right))),
        _ => no_overload(),
    }),
    Row("_+_", Global, &["timestamp", "duration"], "timestamp", time::add),
    Row("_+_", Global, &["duration", "timestamp"], "timestamp", time::add),
    Row("_+_", Global, &["duration", "duration"], "duration", time::add),
    Row("_-_", Global, &["int", "int"], "int", subtract),
    Row("_-_", Global, &["uint", "uint"], "uint", subtract),
    Row("_-_", Global, &["double", "double"], "double", subtract),
    Row("_-_", Global, &["timestamp", "timestamp"], "duration", time::subtract),
    Row("_-_", Global, &["timestamp", "duration"], "timestamp", time::subtract),
    Row("_-_", Global, &["duration", "duration"], "duration", time::subtract),
    Row("_*_", Global, &["int", "int"], "int", multiply),
    Row("_*_", Global, &["uint", "uint"], "uint", multiply),
    Row("_*_", Global, &["double", "double"], "double", multiply),
    Row("_/_", Global, &["int", "int"], "int", divide),
    Row("_/_", Global, &["uint", "uint"], "uint", divide),
    Row("_/_", Global, &["double", "double"], "double", divide),
    Row("_%_", Global, &["int", "int"], "int", remainder),
    Row("_%_", Global, &["uint", "uint"], "uint", remainder),
    Row("_<_", Global, &["bool", "bool"], "bool", less),
    Row("_<_", Global, &["int", "int"], "bool", less),
    Row("_<_", Global, &["int", "double"], "bool", less),
    Row("_<_", Global, &["int", "uint"], "bool", less),
    Row("_<_", Global, &["uint", "uint"], "bool", less),
    Row("_<_", Global, &["uint", "double"], "bool", less),
    Row("_<_", Global, &["uint", "int"], "bool", less),
    Row("_<_", Global, &["double", "double"], "bool", less),
    Row("_<_", Global, &["double", "int"], "bool", less),
    Row("_<_", Global, &["double", "uint"], "bool", less),
    Row("_<_", Global, &["string", "string"], "bool", less),
    Row("_<_", Global, &["bytes", "bytes"], "bool", less),
    Row("_<_", Global, &["timestamp", "timestamp"], "bool", less),
    Row("_<_", Global, &["duration", "duration"], "bool", less),
    Row("_<=_", Global, &["bool", "bool"], "bool", less_or_equal),
    Row("_<=_", Global, &["int", "int"], "bool", less_or_equal),
    Row("_<=_", Global, &["int", "double"], "bool", less_or_equal),
    Row("_<=_", Global, &["int", "uint"], "bool", less_or_equal),
    Row("_<=_", Global, &["uint", "uint"], "bool", less_or_equal),
    Row("_<=_", Global, &["uint", "double"], "bool", less_or_equal),
    Row("_<=_", Global, &["uint", "int"], "bool", less_or_equal),
    Row("_<=_", Global, &["double", "double"], "bool", less_or_equal),
    Row("_<=_", Global, &["double", "int"], "bool", less_or_equal),
    Row("_<=_", Global, &["double", "uint"], "bool", less_or_equal),
    Row("_<=_", Global, &["string", "string"], "bool", less_or_equal),
    Row("_<=_", Global, &["bytes", "bytes"], "bool", less_or_equal),
    Row("_<=_", Global, &["timestamp", "timestamp"], "bool", less_or_equal),
    Row("_<=_", Global, &["duration", "duration"], "bool", less_or_equal),
    Row("_>_", Global, &["bool", "bool"], "bool", greater),
    Row("_>_", Global, &["int", "int"], "bool", greater),
    Row("_>_", Global, &["int", "double"], "bool", greater),
    Row("_>_", Global, &["int", "uint"], "bool", greater),
    Row("_>_", Global, &["uint", "uint"], "bool", greater),
    Row("_>_", Global, &["uint", "double"], "bool", greater),
    Row("_>_", Global, &["uint", "int"], "bool", greater),
    Row("_>_", Global, &["double", "double"], "bool", greater),
    Row("_>_", Global, &["double", "int"], "bool", greater),
    Row("_>_", Global, &["double", "uint"], "bool", greater),
    Row("_>_", Global, &["string", "string"], "bool", greater),
    Row("_>_", Global, &["bytes", "bytes"], "bool", greater),
    Row("_>_", Global, &["timestamp", "timestamp"], "bool", greater),
    Row("_>_", Global, &["duration", "duration"], "bool", greater),
    Row("_>=_", Global, &["bool", "bool"], "bool", greater_or_equal),
    Row("_>=_", Global, &["int", "int"], "bool", greater_or_equal),
    Row("_>=_", Global, &["int", "double"], "bool", greater_or_equal),
    Row("_>=_", Global, &["int", "uint"], "bool", greater_or_equal),
    Row("_>=_", Global, &["uint", "uint"], "bool", greater_or_equal),
    Row("_>=_", Global, &["uint", "double"], "bool", greater_or_equal),
    Row("_>=_", Global, &["uint", "int"], "bool", greater_or_equal),
    Row("_>=_", Global, &["double", "double"], "bool", greater_or_equal),
    Row("_>=_", Global, &["double", "int"], "bool", greater_or_equal),
    Row("_>=_", Global, &["double", "uint"], "bool", greater_or_equal),
    Row("_>=_", Global, &["string", "string"], "bool", greater_or_equal),
    Row("_>=_", Global, &["bytes", "bytes"], "bool", greater_or_equal),
    Row("_>=_", Global, &["timestamp", "timestamp"], "bool", greater_or_equal),
    Row("_>=_", Global, &["duration", "duration"], "bool", greater_or_equal),
    Row("@in", Global, &["A", "list(A)"], "bool", is_in),
    Row("@in", Global, &["A", "map(A, B)"], "bool", is_in),
    Row("_[_]", Global, &["list(A)", "int"], "A", index),
    Row("_[_]", Global, &["map(A, B)", "A"], "B", index),
    Row("_[_]", Global, &["optional(list(A))", "int"], "optional(A)", optional_index),
    Row("_[_]", Global, &["optional(map(A, B))", "A"], "optional(B)", optional_index),
    Row("_[?_]", Global, &["list(A)", "int"], "optional(A)", optional_index),
    Row("_[?_]", Global, &["map(A, B)", "A"], "optional(B)", optional_index),
    Row("_[?_]", Global, &["optional(list(A))", "int"], "optional(A)", optional_index),
    Row("_[?_]", Global, &["optional(map(A, B))", "A"], "optional(B)", optional_index),
    Row("size", Global, &["string"], "int", size),
    Row("size", Global, &["bytes"], "int", size),
    Row("size", Global, &["list(A)"], "int", size),
    Row("size", Global, &["map(A, B)"], "int", size),
    Row("size", Member, &["string"], "int", size),
    Row("size", Member, &["bytes"], "int", size),
    Row("size", Member, &["list(A)"], "int", size),
    Row("size", Member, &["map(A, B)"], "int", size),
];

const OVERFLOW: &str = "integer overflow";
const UNSIGNED_OVERFLOW: &str = "unsigned integer overflow";

fn int<'a>(value: Option<i64>) -> Outcome<'a> {
    value.map(Value::Int).ok_or(EvaluationError::text(OVERFLOW))
}

fn uint<'a>(value: Option<u64>) -> Outcome<'a> {
    value.map(Value::Uint).ok_or(EvaluationError::text(UNSIGNED_OVERFLOW))
}

fn negate<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Int(value)] => int(value.checked_neg()),
        [Value::Double(value)] => Ok(Value::Double(-value)),
        _ => no_overload(),
    }
}

/// The sum of two numbers of the same type.
pub(super) fn arithmetic_add<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Int(left), Value::Int(right)] => int(left.checked_add(*right)),
        [Value::Uint(left), Value::Uint(right)] => uint(left.checked_add(*right)),
        [Value::Double(left), Value::Double(right)] => Ok(Value::Double(left + right)),
        [Value::Duration(_), _] => time::add(values),
        _ => no_overload(),
    }
}

fn subtract<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Int(left), Value::Int(right)] => int(left.checked_sub(*right)),
        [Value::Uint(left), Value::Uint(right)] => uint(left.checked_sub(*right)),
        [Value::Double(left), Value::Double(right)] => Ok(Value::Double(left - right)),
        _ => no_overload(),
    }
}

fn multiply<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Int(left), Value::Int(right)] => int(left.checked_mul(*right)),
        [Value::Uint(left), Value::Uint(right)] => uint(left.checked_mul(*right)),
        [Value::Double(left), Value::Double(right)] => Ok(Value::Double(left * right)),
        _ => no_overload(),
    }
}

fn divide<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => fail("division by zero"),
        [Value::Int(left), Value::Int(right)] => int(left.checked_div(*right)),
        [Value::Uint(left), Value::Uint(right)] => uint(left.checked_div(*right)),
        [Value::Double(left), Value::Double(right)] => Ok(Value::Double(left / right)),
        _ => no_overload(),
    }
}

fn remainder<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => fail("modulus by zero"),
        [Value::Int(left), Value::Int(right)] => int(left.checked_rem(*right)),
        [Value::Uint(left), Value::Uint(right)] => uint(left.checked_rem(*right)),
        _ => no_overload(),
    }
}

fn ordered<'a>(values: &[Value<'a>], wanted: fn(Ordering) -> bool) -> Outcome<'a> {
    match order(&values[0], &values[1]) {
        Some(found) => Ok(wanted(found).into()),
        // Not a number: neither more nor less.
        None => match values {
            [Value::Double(_), _] | [_, Value::Double(_)] => fail("NaN values cannot be ordered"),
            _ => no_overload(),
        },
    }
}

fn less<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    ordered(values, Ordering::is_lt)
}

fn less_or_equal<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    ordered(values, Ordering::is_le)
}

fn greater<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    ordered(values, Ordering::is_gt)
}

fn greater_or_equal<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    ordered(values, Ordering::is_ge)
}

fn is_in<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    contains(&values[1], &values[0]).map(Value::Bool).ok_or(EvaluationError::NoSuchOverload)
}

/// What stands at a place of a list or map.
fn index<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match &values[0] {
        Value::List(list) => {
            let Some(place) = place(&values[1]) else {
                return fail(format!("unsupported index type '{}' in list", values[1].type_name()));
            };
            let found = usize::try_from(place).ok().and_then(|place| list.get(place));
            found.ok_or_else(|| EvaluationError::text(format!("index out of bounds: {place}")))
        }
        Value::Map(map) => {
            map.get(&values[1]).ok_or_else(|| EvaluationError::NoSuchKey(super::convert::plain(&values[1])))
        }
        // What has no parts at all has not this one.
        _ => Err(EvaluationError::NoSuchKey(super::convert::plain(&values[1]))),
    }
}

/// Whether a value is of one of Kubernetes' own types, which are compared with their like only.
fn is_particular(value: &Value<'_>) -> bool {
    use Value::{Cidr, Format, Ip, Quantity, Semver, Url};
    matches!(value, Cidr(_) | Format(_) | Ip(_) | Quantity(_) | Semver(_) | Url(_))
}

fn place(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Int(place) => Some(*place),
        Value::Uint(place) => i64::try_from(*place).ok(),
        Value::Double(place) if place.fract() == 0.0 => Some(*place as i64),
        _ => None,
    }
}

fn optional_index<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    let container = match &values[0] {
        Value::Optional(None) => return Ok(Value::Optional(None)),
        Value::Optional(Some(inner)) => inner,
        other => other,
    };
    let found = match container {
        Value::List(list) => {
            place(&values[1]).and_then(|place| usize::try_from(place).ok()).and_then(|place| list.get(place))
        }
        Value::Map(map) => map.get(&values[1]),
        _ => None,
    };
    Ok(Value::Optional(found.map(Arc::new)))
}

fn size<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    let size = match values {
        [Value::String(text)] => text.chars().count(),
        [Value::Bytes(bytes)] => bytes.len(),
        [Value::List(list)] => list.len(),
        [Value::Map(map)] => map.len(),
        _ => return no_overload(),
    };
    Ok(Value::Int(size as i64))
}

/// Adds two lists. In a set nothing is there twice; in a list of type map the right side replaces elements
/// with the same keys.
fn concatenate<'a>(left: &List<'a>, right: &List<'a>) -> List<'a> {
    let merge = left.merge().clone();
    let mut items: Vec<Value<'a>> = left.iter().collect();
    match &merge {
        Merge::Atomic => items.extend(right.iter()),
        Merge::Set => {
            for item in right.iter() {
                if !items.iter().any(|present| equal(present, &item)) {
                    items.push(item);
                }
            }
        }
        Merge::Map(keys) => {
            for item in right.iter() {
                match items.iter_mut().find(|present| same_keys(present, &item, keys)) {
                    Some(present) => *present = item,
                    None => items.push(item),
                }
            }
        }
    }
    List::Made(Arc::new(items), merge)
}
