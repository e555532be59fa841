//! Estimates of calls.

use super::{Estimate, Estimator, Known, part};
use crate::cost::{self, Cost, PER_CHARACTER, PER_PATTERN_CHARACTER};
use crate::plan::Call;
use crate::types::Type;

impl Estimator<'_> {
    pub(super) fn call(&mut self, call: &Call) -> Known {
        let known: Vec<Known> = call.arguments.iter().map(|argument| self.node(argument)).collect();
        let sizes: Vec<Estimate> =
            known.iter().zip(&call.arguments).map(|(known, argument)| known.size(&argument.ty)).collect();
        let before = known.iter().fold(Estimate::exactly(0), |sum, known| sum.plus(known.cost));
        let price = call.overloads.iter().map(|overload| price(overload.cost, call, &known, &sizes));
        let price = price.reduce(|one, other| Estimate { min: one.min.min(other.min), max: one.max.max(other.max) });
        let schema = match call.function {
            "_[_]" | "_[?_]" | "first" | "last" => known[0].schema.as_ref().and_then(|schema| part(schema, None)),
            "dyn" | "value" | "reverse" | "sort" | "distinct" | "slice" => known[0].schema.clone(),
            _ => None,
        };
        let cost = before.plus(price.unwrap_or(Estimate::exactly(1)));
        Known { cost, size: result_size(call.function, &sizes), schema }
    }
}

fn price(cost: Cost, call: &Call, known: &[Known], sizes: &[Estimate]) -> Estimate {
    let size = |index: usize| sizes.get(index).copied().unwrap_or(Estimate::exactly(1));
    let one = Estimate::exactly(1);
    match cost {
        Cost::Fixed(cost) => Estimate::exactly(cost),
        Cost::Walk => {
            let each = match &call.arguments[0].ty {
                Type::List(element) if matches!(**element, Type::String | Type::Bytes) => {
                    let schema = known[0].schema.as_ref().and_then(|schema| part(schema, None));
                    let text = Known { cost: one, size: None, schema }.size(element);
                    one.plus(text.scaled(PER_CHARACTER))
                }
                Type::List(_) => one,
                _ => return size(0).scaled(PER_CHARACTER),
            };
            size(0).times(each)
        }
        // Where a prefix or suffix is looked for, that is all that is looked at.
        Cost::Text(factor) if matches!(call.function, "startsWith" | "endsWith") => size(1).scaled(factor),
        Cost::Text(factor) => size(0).scaled(factor),
        Cost::Made(factor) => result_size(call.function, sizes).unwrap_or(Estimate::UNKNOWN).scaled(factor / 2.0),
        Cost::Both => size(0).plus(size(1)).scaled(PER_CHARACTER),
        Cost::Shorter => {
            let (left, right) = (size(0), size(1));
            Estimate { min: left.min.min(right.min), max: left.max.min(right.max) }.scaled(PER_CHARACTER)
        }
        Cost::Search => size(0).scaled(PER_CHARACTER).times(size(1).scaled(PER_CHARACTER)),
        Cost::Pattern => size(0).plus(one).scaled(PER_CHARACTER).times(size(1).scaled(PER_PATTERN_CHARACTER)),
        Cost::Format => size(1).scaled(PER_CHARACTER).scaled(128.0 * PER_PATTERN_CHARACTER),
        Cost::Selector => Estimate { min: cost::selector(size(1).min), max: bounded_selector(size(1).max) },
        Cost::Second => size(1),
        Cost::Elements => {
            Estimate::exactly(cost::LIST).plus(result_size(call.function, sizes).unwrap_or(Estimate::UNKNOWN))
        }
        Cost::Square => Estimate::exactly(cost::LIST).plus(size(0).times(size(0))),
        Cost::Pairs(factor) => size(0).times(size(1)).times(Estimate::exactly(factor)),
        Cost::Network { text, masks } => {
            let address = Estimate { min: 4, max: 16 };
            let mut price = address.plus(address).scaled(PER_CHARACTER);
            if masks {
                price = price.plus(address.scaled(PER_CHARACTER)).plus(one);
            }
            if text { price.plus(size(1).scaled(PER_CHARACTER)) } else { price }
        }
    }
}

fn bounded_selector(length: u64) -> u64 {
    if length == u64::MAX { u64::MAX } else { cost::selector(length) }
}

/// How large the result of a function is, where that follows from its arguments.
fn result_size(function: &str, sizes: &[Estimate]) -> Option<Estimate> {
    let first = *sizes.first()?;
    let second = sizes.get(1).copied();
    Some(match (function, second) {
        ("_+_", Some(second)) => first.plus(second),
        ("lowerAscii" | "upperAscii" | "dyn" | "reverse" | "sort" | "bytes" | "url", _) => first,
        ("trim" | "substring" | "distinct" | "slice" | "find", _) => Estimate { min: 0, max: first.max },
        // A byte becomes a character at most, a character a byte at least.
        ("string", None) if first != Estimate::exactly(1) => first,
        // At worst every character is a part.
        ("split" | "findAll", _) => Estimate { min: 0, max: first.max },
        ("replace", Some(_)) => {
            let new = sizes.get(2).copied().unwrap_or(Estimate::UNKNOWN);
            let old = second.unwrap_or(Estimate::exactly(1));
            let count = if old.min == 0 { first.max.saturating_add(1) } else { first.max.div_ceil(old.min) };
            let kept = if old.min == 0 || new.max <= old.min { first.max } else { 0 };
            let made = if new.max <= old.min && old.min > 0 { 0 } else { count.saturating_mul(new.max) };
            Estimate { min: 0, max: kept.saturating_add(made) }
        }
        _ => return None,
    })
}
