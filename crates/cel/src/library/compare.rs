//! Equality and order of values.

use std::cmp::Ordering;

use crate::schema::Merge;
use crate::value::{List, Map, Value};

/// Whether two values are the same. Numbers are compared by value; other types only equal themselves.
pub(crate) fn equal(left: &Value<'_>, right: &Value<'_>) -> bool {
    use Value::{Double, Int, Uint};
    match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Int(_) | Uint(_) | Double(_), Int(_) | Uint(_) | Double(_)) => order(left, right) == Some(Ordering::Equal),
        (Value::String(left), Value::String(right)) => **left == **right,
        (Value::Bytes(left), Value::Bytes(right)) => left == right,
        (Value::Duration(left), Value::Duration(right)) => left == right,
        (Value::Timestamp(left), Value::Timestamp(right)) => left == right,
        (Value::Type(left), Value::Type(right)) => left == right,
        (Value::Optional(left), Value::Optional(right)) => match (left, right) {
            (None, None) => true,
            (Some(left), Some(right)) => equal(left, right),
            _ => false,
        },
        (Value::List(left), Value::List(right)) => equal_lists(left, right),
        (Value::Map(left), Value::Map(right)) => equal_maps(left, right),
        (Value::Url(left), Value::Url(right)) => left == right,
        (Value::Ip(left), Value::Ip(right)) => left == right,
        (Value::Cidr(left), Value::Cidr(right)) => left == right,
        (Value::Quantity(left), Value::Quantity(right)) => left == right,
        (Value::Semver(left), Value::Semver(right)) => left.cmp_precedence(right).is_eq(),
        (Value::Format(left), Value::Format(right)) => left.name == right.name,
        (Value::Decided(left), Value::Decided(right)) => left == right,
        (Value::Asked(_, left), Value::Asked(_, right)) => left == right,
        _ => false,
    }
}

fn equal_lists(left: &List<'_>, right: &List<'_>) -> bool {
    if left.len() != right.len() {
        return false;
    }
    match left.merge() {
        Merge::Atomic => left.iter().zip(right.iter()).all(|(left, right)| equal(&left, &right)),
        Merge::Set => left.iter().all(|item| right.iter().any(|other| equal(&item, &other))),
        Merge::Map(keys) => left.iter().all(|item| {
            right.iter().find(|other| same_keys(&item, other, keys)).is_some_and(|other| equal(&item, &other))
        }),
    }
}

/// Whether two elements of a list of type map stand for the same thing.
pub(crate) fn same_keys(left: &Value<'_>, right: &Value<'_>, keys: &[String]) -> bool {
    let (Value::Map(left), Value::Map(right)) = (left, right) else { return false };
    keys.iter().all(|key| {
        let Some(name) = crate::escape(key) else { return false };
        match (left.field(&name), right.field(&name)) {
            (None, None) => true,
            (Some(left), Some(right)) => equal(&left, &right),
            _ => false,
        }
    })
}

fn equal_maps(left: &Map<'_>, right: &Map<'_>) -> bool {
    if left.len() != right.len() {
        return false;
    }
    left.entries().iter().all(|(key, value)| right.get(key).is_some_and(|other| equal(value, &other)))
}

/// Which of two values comes first, if they have an order.
pub(crate) fn order(left: &Value<'_>, right: &Value<'_>) -> Option<Ordering> {
    use Value::{Double, Int, Uint};
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        (Int(left), Int(right)) => Some(left.cmp(right)),
        (Uint(left), Uint(right)) => Some(left.cmp(right)),
        (Int(left), Uint(right)) => Some(i128::from(*left).cmp(&i128::from(*right))),
        (Uint(left), Int(right)) => Some(i128::from(*left).cmp(&i128::from(*right))),
        (Double(left), Double(right)) => left.partial_cmp(right),
        (Int(left), Double(right)) => order_with_double((*left).into(), *right),
        (Uint(left), Double(right)) => order_with_double((*left).into(), *right),
        (Double(left), Int(right)) => order_with_double((*right).into(), *left).map(Ordering::reverse),
        (Double(left), Uint(right)) => order_with_double((*right).into(), *left).map(Ordering::reverse),
        (Value::String(left), Value::String(right)) => Some((**left).cmp(&**right)),
        (Value::Bytes(left), Value::Bytes(right)) => Some(left.cmp(right)),
        (Value::Duration(left), Value::Duration(right)) => Some(left.cmp(right)),
        (Value::Timestamp(left), Value::Timestamp(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

/// As upstream: a whole number becomes a floating point one.
fn order_with_double(left: i128, right: f64) -> Option<Ordering> {
    (left as f64).partial_cmp(&right)
}

/// Whether a list or a map has a value.
pub(crate) fn contains(container: &Value<'_>, wanted: &Value<'_>) -> Option<bool> {
    match container {
        Value::List(list) => Some(list.iter().any(|item| equal(&item, wanted))),
        Value::Map(map) => Some(map.get(wanted).is_some()),
        _ => None,
    }
}
