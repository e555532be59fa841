//! Amounts of a resource.

use portolan_api::quantity::{Format, Quantity};

use super::{fail, no_overload};
use crate::functions::{Outcome, Row, Style::Global, Style::Member};
use crate::value::Value;

/// The name of the type.
pub(crate) const QUANTITY: &str = "kubernetes.Quantity";

pub(super) const ROWS: &[Row] = &[
    Row("quantity", Global, &["string"], QUANTITY, |values| match values {
        [Value::String(text)] => match Quantity::parse(text) {
            Ok(amount) => Ok(Value::Quantity(amount)),
            Err(error) => fail(error.to_string()),
        },
        _ => no_overload(),
    }),
    Row("isQuantity", Global, &["string"], "bool", |values| match values {
        [Value::String(text)] => Ok(Quantity::parse(text).is_ok().into()),
        _ => no_overload(),
    }),
    Row("sign", Global, &[QUANTITY], "int", |values| {
        one(values, |amount| Ok(Value::Int(amount.nanos().signum() as i64)))
    }),
    Row("isInteger", Member, &[QUANTITY], "bool", |values| one(values, |amount| Ok(amount.is_whole().into()))),
    Row("asInteger", Member, &[QUANTITY], "int", |values| {
        one(values, |amount| match i64::try_from(amount.nanos() / 1_000_000_000) {
            Ok(units) if amount.is_whole() => Ok(Value::Int(units)),
            _ => fail("cannot convert value to integer"),
        })
    }),
    Row("asApproximateFloat", Member, &[QUANTITY], "double", |values| {
        one(values, |amount| Ok(Value::Double(amount.nanos() as f64 / 1e9)))
    }),
    Row("isGreaterThan", Member, &[QUANTITY, QUANTITY], "bool", |values| {
        two(values, |left, right| (left.nanos() > right.nanos()).into())
    }),
    Row("isLessThan", Member, &[QUANTITY, QUANTITY], "bool", |values| {
        two(values, |left, right| (left.nanos() < right.nanos()).into())
    }),
    Row("compareTo", Member, &[QUANTITY, QUANTITY], "int", |values| {
        two(values, |left, right| Value::Int(left.nanos().cmp(&right.nanos()) as i64))
    }),
    Row("add", Member, &[QUANTITY, QUANTITY], QUANTITY, |values| {
        two(values, |left, right| Value::Quantity(left + right))
    }),
    Row("add", Member, &[QUANTITY, "int"], QUANTITY, |values| two(values, |left, right| Value::Quantity(left + right))),
    Row("sub", Member, &[QUANTITY, QUANTITY], QUANTITY, |values| {
        two(values, |left, right| Value::Quantity(left - right))
    }),
    Row("sub", Member, &[QUANTITY, "int"], QUANTITY, |values| two(values, |left, right| Value::Quantity(left - right))),
];

fn one<'a>(values: &[Value<'a>], run: fn(Quantity) -> Outcome<'a>) -> Outcome<'a> {
    match values {
        [Value::Quantity(amount)] => run(*amount),
        _ => no_overload(),
    }
}

fn two<'a>(values: &[Value<'a>], run: fn(Quantity, Quantity) -> Value<'a>) -> Outcome<'a> {
    match values {
        [Value::Quantity(left), Value::Quantity(right)] => Ok(run(*left, *right)),
        [Value::Quantity(left), Value::Int(right)] => {
            Ok(run(*left, Quantity::from_value(*right, Format::DecimalExponent)))
        }
        _ => no_overload(),
    }
}
