//! From expression and value to verdict.

use serde_json::Value;

use super::schema::{Checked, Test, Wanted};

/// What a name stands for inside of an `any` or `all`.
struct Bound<'a> {
    name: &'a str,
    value: &'a Value,
}

/// Whether the expression holds for a value.
pub(super) fn evaluate(expression: &Checked, value: &Value) -> bool {
    within(expression, value, &[])
}

fn within(expression: &Checked, root: &Value, bound: &[Bound<'_>]) -> bool {
    match expression {
        Checked::Or(parts) => parts.iter().any(|part| within(part, root, bound)),
        Checked::And(parts) => parts.iter().all(|part| within(part, root, bound)),
        Checked::Not(inner) => !within(inner, root, bound),
        Checked::Match { selector, test, negated } => {
            let (start, path) = start(selector, root, bound);
            any_at(start, path, &mut |found| holds(test, found) != *negated)
        }
        Checked::Collection { all, selector, bindings, body } => {
            let (start, path) = start(selector, root, bound);
            let elements = elements(at(start, path));
            let mut verdicts = elements.iter().map(|(key, element)| {
                let mut inner: Vec<Bound<'_>> =
                    bound.iter().map(|known| Bound { name: known.name, value: known.value }).collect();
                match &bindings[..] {
                    [name] if key.is_string() => inner.push(Bound { name, value: key }),
                    [name] => inner.push(Bound { name, value: element }),
                    [first, second, ..] => {
                        inner.push(Bound { name: first, value: key });
                        inner.push(Bound { name: second, value: element });
                    }
                    [] => {}
                }
                within(body, root, &inner)
            });
            if *all { verdicts.all(|verdict| verdict) } else { verdicts.any(|verdict| verdict) }
        }
    }
}

fn start<'a>(selector: &'a [String], root: &'a Value, bound: &[Bound<'a>]) -> (&'a Value, &'a [String]) {
    let known = selector.first().and_then(|first| bound.iter().rev().find(|known| known.name == first));
    match known {
        Some(known) => (known.value, &selector[1..]),
        None => (root, selector),
    }
}

/// Whether a path leads to something of which `test` holds; through a list, to any of its elements.
/// What is not there is tested as nothing.
fn any_at(value: &Value, path: &[String], test: &mut impl FnMut(&Value) -> bool) -> bool {
    let Some((part, rest)) = path.split_first() else { return test(value) };
    match value {
        Value::Array(elements) => match part.parse::<usize>() {
            Ok(place) => any_at(elements.get(place).unwrap_or(&Value::Null), rest, test),
            Err(_) => elements.iter().any(|element| any_at(element, path, test)),
        },
        other => any_at(other.get(part).unwrap_or(&Value::Null), rest, test),
    }
}

fn at<'a>(value: &'a Value, path: &[String]) -> &'a Value {
    path.iter().fold(value, |value, part| match value {
        Value::Array(elements) => {
            part.parse().ok().and_then(|place: usize| elements.get(place)).unwrap_or(&Value::Null)
        }
        other => other.get(part).unwrap_or(&Value::Null),
    })
}

/// Keys and elements of a list or map.
fn elements(value: &Value) -> Vec<(Value, &Value)> {
    match value {
        Value::Array(elements) => elements.iter().enumerate().map(|(place, element)| (place.into(), element)).collect(),
        Value::Object(map) => map.iter().map(|(key, element)| (key.as_str().into(), element)).collect(),
        _ => Vec::new(),
    }
}

fn holds(test: &Test, value: &Value) -> bool {
    match test {
        Test::Nil => value.is_null(),
        Test::Empty => match value {
            Value::Array(elements) => elements.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => true,
        },
        Test::Equals(wanted) => equals(wanted, value),
        Test::Holds(wanted) => match (value, wanted) {
            (Value::String(text), Wanted::Text(part)) => text.contains(part.as_str()),
            (Value::Object(map), Wanted::Text(key)) => map.contains_key(key),
            (Value::Array(elements), wanted) => elements.iter().any(|element| equals(wanted, element)),
            _ => false,
        },
        Test::Matches(pattern) => value.as_str().is_some_and(|text| pattern.is_match(text)),
    }
}

fn equals(wanted: &Wanted, value: &Value) -> bool {
    match (wanted, value) {
        (Wanted::Text(wanted), Value::String(text)) => wanted == text,
        // A field that is left out because it is empty equals the empty text.
        (Wanted::Text(wanted), Value::Null) => wanted.is_empty(),
        (Wanted::Number(wanted), Value::Number(number)) => number.as_f64() == Some(*wanted),
        (Wanted::Number(wanted), Value::Null) => *wanted == 0.0,
        (Wanted::Bool(wanted), Value::Bool(value)) => wanted == value,
        (Wanted::Bool(wanted), Value::Null) => !wanted,
        _ => false,
    }
}
