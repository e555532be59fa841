//! Functions of lists.

use std::cmp::Ordering;

use super::compare::{equal, order};
use super::{fail, no_overload, operators};
use crate::error::EvaluationError;
use crate::functions::{Outcome, Row, Style::Global, Style::Member};
use crate::value::{List, Value};

/// Longest list that `lists.range` makes: the cost of a longer one exceeds every limit.
const LONGEST_RANGE: i64 = 1_000_000;

macro_rules! of_each {
    ($name:literal, $result:tt, $run:expr, [$($ty:literal),*]) => {
        [$(Row($name, Member, &[concat!("list(", $ty, ")")], of_each!(@result $result $ty), $run)),*]
    };
    (@result bool $ty:literal) => { "bool" };
    (@result element $ty:literal) => { $ty };
    (@result list $ty:literal) => { concat!("list(", $ty, ")") };
}

const IS_SORTED: [Row; 8] = of_each!(
    "isSorted",
    bool,
    is_sorted,
    ["int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes"]
);
const SUM: [Row; 4] = of_each!("sum", element, sum, ["int", "uint", "double", "duration"]);
const MIN: [Row; 8] =
    of_each!("min", element, min, ["int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes"]);
const MAX: [Row; 8] =
    of_each!("max", element, max, ["int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes"]);
const SORT: [Row; 8] =
    of_each!("sort", list, sort, ["int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes"]);
const OTHERS: [Row; 8] = [
    Row("indexOf", Member, &["list(A)", "A"], "int", |values| {
        place(values, |list, item| list.iter().position(|other| equal(&other, item)))
    }),
    Row("lastIndexOf", Member, &["list(A)", "A"], "int", |values| {
        place(values, |list, item| {
            (0..list.len()).rev().find(|index| list.get(*index).is_some_and(|other| equal(&other, item)))
        })
    }),
    Row("slice", Member, &["list(A)", "int", "int"], "list(A)", slice),
    Row("flatten", Member, &["list(list(A))"], "list(A)", flatten),
    Row("flatten", Member, &["list(dyn)", "int"], "list(dyn)", flatten),
    Row("lists.range", Global, &["int"], "list(int)", range),
    Row("reverse", Member, &["list(A)"], "list(A)", |values| match values {
        [Value::List(list)] => {
            let mut items: Vec<Value<'_>> = list.iter().collect();
            items.reverse();
            Ok(Value::list(items))
        }
        _ => no_overload(),
    }),
    Row("distinct", Member, &["list(A)"], "list(A)", distinct),
];

pub(super) static ROWS: &[Row] = &concat_rows();

/// Puts the parts of the table together.
const fn concat_rows() -> [Row; 44] {
    let mut rows = [const { Row("", Member, &[], "", is_sorted) }; 44];
    let parts: [&[Row]; 6] = [&IS_SORTED, &SUM, &MIN, &MAX, &SORT, &OTHERS];
    let (mut part, mut next) = (0, 0);
    while part < parts.len() {
        let mut index = 0;
        while index < parts[part].len() {
            let Row(name, style, arguments, result, run) = &parts[part][index];
            rows[next] = Row(name, *style, arguments, result, *run);
            next += 1;
            index += 1;
        }
        part += 1;
    }
    rows
}

fn is_sorted<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(list)] = values else { return no_overload() };
    let mut previous: Option<Value<'_>> = None;
    for item in list.iter() {
        if let Some(previous) = previous
            && order(&previous, &item).is_some_and(Ordering::is_gt)
        {
            return Ok(false.into());
        }
        previous = Some(item);
    }
    Ok(true.into())
}

fn sum<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(list)] = values else { return no_overload() };
    let mut total: Option<Value<'a>> = None;
    for item in list.iter() {
        total = Some(match total {
            None => item,
            Some(total) => operators::arithmetic_add(&[total, item])?,
        });
    }
    // The type of an empty list is not known here: a zero is equal to the zeroes of all numbers.
    Ok(total.unwrap_or(Value::Int(0)))
}

fn best<'a>(values: &[Value<'a>], name: &str, wanted: Ordering) -> Outcome<'a> {
    let [Value::List(list)] = values else { return no_overload() };
    let mut best: Option<Value<'a>> = None;
    for item in list.iter() {
        let better = match &best {
            None => true,
            Some(best) => order(&item, best) == Some(wanted),
        };
        if better {
            best = Some(item);
        }
    }
    best.ok_or_else(|| EvaluationError::text(format!("{name} called on empty list")))
}

fn min<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    best(values, "min", Ordering::Less)
}

fn max<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    best(values, "max", Ordering::Greater)
}

fn place<'a>(values: &[Value<'a>], find: fn(&List<'_>, &Value<'_>) -> Option<usize>) -> Outcome<'a> {
    match values {
        [Value::List(list), item] => Ok(Value::Int(find(list, item).map_or(-1, |place| place as i64))),
        _ => no_overload(),
    }
}

fn slice<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(list), Value::Int(start), Value::Int(end)] = values else { return no_overload() };
    if *start < 0 || *end < 0 {
        return fail(format!("cannot slice({start}, {end}), negative indexes not supported"));
    }
    if start > end {
        return fail(format!("cannot slice({start}, {end}), start index must be less than or equal to end index"));
    }
    if *end > list.len() as i64 {
        return fail(format!("cannot slice({start}, {end}), list is length {}", list.len()));
    }
    Ok(Value::list((*start as usize..*end as usize).filter_map(|index| list.get(index)).collect()))
}

fn flatten<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(list), rest @ ..] = values else { return no_overload() };
    let depth = match rest {
        [Value::Int(depth)] if *depth < 0 => return fail("level must be non-negative"),
        [Value::Int(depth)] => *depth,
        _ => 1,
    };
    let mut flat = Vec::new();
    flatten_into(list, depth, &mut flat);
    Ok(Value::list(flat))
}

fn flatten_into<'a>(list: &List<'a>, depth: i64, flat: &mut Vec<Value<'a>>) {
    for item in list.iter() {
        match item {
            Value::List(inner) if depth > 0 => flatten_into(&inner, depth - 1, flat),
            other => flat.push(other),
        }
    }
}

fn range<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Int(end)] if *end > LONGEST_RANGE => Err(EvaluationError::CostExceeded),
        [Value::Int(end)] => Ok(Value::list((0..*end).map(Value::Int).collect())),
        _ => no_overload(),
    }
}

fn distinct<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(list)] = values else { return no_overload() };
    let mut items: Vec<Value<'a>> = Vec::new();
    for item in list.iter() {
        if !items.iter().any(|other| equal(other, &item)) {
            items.push(item);
        }
    }
    Ok(Value::list(items))
}

fn sort<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(list)] = values else { return no_overload() };
    let items: Vec<Value<'a>> = list.iter().collect();
    let keys = items.clone();
    sort_by(items, keys)
}

/// A list in the order of its keys.
pub(crate) fn sort_by<'a>(items: Vec<Value<'a>>, keys: Vec<Value<'a>>) -> Outcome<'a> {
    if let Some(first) = keys.first() {
        if order(first, first).is_none() {
            return fail("list elements must be comparable");
        }
        if keys.iter().any(|key| key.type_name() != first.type_name()) {
            return fail("list elements must have the same type");
        }
    }
    let mut pairs: Vec<(Value<'a>, Value<'a>)> = keys.into_iter().zip(items).collect();
    pairs.sort_by(|left, right| order(&left.0, &right.0).unwrap_or(Ordering::Equal));
    Ok(Value::list(pairs.into_iter().map(|(_, item)| item).collect()))
}
