//! Lists as sets.

use super::compare::equal;
use super::no_overload;
use crate::functions::{Outcome, Row, Style::Global};
use crate::value::{List, Value};

pub(super) const ROWS: &[Row] = &[
    Row("sets.contains", Global, &["list(A)", "list(A)"], "bool", |values| ask(values, has_all)),
    Row("sets.equivalent", Global, &["list(A)", "list(A)"], "bool", |values| {
        ask(values, |left, right| has_all(left, right) && has_all(right, left))
    }),
    Row("sets.intersects", Global, &["list(A)", "list(A)"], "bool", |values| {
        ask(values, |left, right| right.iter().any(|item| has(left, &item)))
    }),
];

fn ask<'a>(values: &[Value<'a>], question: fn(&List<'_>, &List<'_>) -> bool) -> Outcome<'a> {
    match values {
        [Value::List(left), Value::List(right)] => Ok(question(left, right).into()),
        _ => no_overload(),
    }
}

fn has(list: &List<'_>, wanted: &Value<'_>) -> bool {
    list.iter().any(|item| equal(&item, wanted))
}

fn has_all(list: &List<'_>, wanted: &List<'_>) -> bool {
    wanted.iter().all(|item| has(list, &item))
}
