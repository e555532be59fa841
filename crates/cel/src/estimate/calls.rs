//! Estimates of calls.

use super::{Estimate, Estimator, Known, Place, part};
use crate::cost::{self, Cost, PER_CHARACTER, PER_PATTERN_CHARACTER};
use crate::plan::{Call, Op};
use crate::types::Type;
use crate::value::Value;

impl Estimator<'_> {
    pub(super) fn call(&mut self, call: &Call) -> Known {
        let known: Vec<Known> = call.arguments.iter().map(|argument| self.node(argument)).collect();
        let sizes: Vec<Estimate> =
            known.iter().zip(&call.arguments).map(|(known, argument)| known.size(&argument.ty)).collect();
        let before = known.iter().fold(Estimate::exactly(0), |sum, known| sum.plus(known.cost));
        let asked = Asked { call, known: &known, sizes: &sizes };
        let price = call.overloads.iter().map(|overload| asked.price(overload.cost));
        let price = price.reduce(|one, other| Estimate { min: one.min.min(other.min), max: one.max.max(other.max) });
        let size = match call.function {
            // Of what is written out, the sizes are known.
            "_[_]" => known[0].parts,
            _ => asked.result_size(),
        };
        let (place, parts) = match call.function {
            "_[_]" => (self.part(&known[0].place, None), None),
            "_+_" => (Place::Nowhere, known[0].parts.zip(known[1].parts).map(|(one, other)| one.either(other))),
            "dyn" => (Place::Nowhere, known[0].parts),
            _ => (Place::Nowhere, None),
        };
        Known { cost: before.plus(price.unwrap_or(Estimate::exactly(1))), size, parts, place }
    }
}

/// A call with what is known of its arguments.
struct Asked<'a> {
    call: &'a Call,
    known: &'a [Known],
    sizes: &'a [Estimate],
}

impl Asked<'_> {
    fn size(&self, index: usize) -> Estimate {
        self.sizes.get(index).copied().unwrap_or(Estimate::exactly(1))
    }

    /// How large each element of the first argument is.
    fn element(&self, ty: &Type) -> Estimate {
        let place = match &self.known[0].place {
            Place::At(schema) => part(schema, None).map_or(Place::Lost, Place::At),
            _ => Place::Lost,
        };
        Known::at(place).size(ty)
    }

    /// A whole number that is written out.
    fn number(&self, index: usize) -> Option<u64> {
        match &self.call.arguments.get(index)?.op {
            Op::Constant(Value::Int(number)) => Some(u64::try_from(*number).unwrap_or(0)),
            _ => None,
        }
    }

    fn price(&self, cost: Cost) -> Estimate {
        let call = self.call;
        let size = |index: usize| self.size(index);
        let one = Estimate::exactly(1);
        match cost {
            Cost::Fixed(cost) => Estimate::exactly(cost),
            Cost::Walk => {
                let each = match &call.arguments[0].ty {
                    Type::List(element) if matches!(**element, Type::String | Type::Bytes) => {
                        one.plus(self.element(element).scaled(PER_CHARACTER))
                    }
                    Type::List(_) => one,
                    _ => return size(0).scaled(PER_CHARACTER),
                };
                size(0).times(each)
            }
            // Where a prefix or suffix is looked for, that is all that is looked at.
            Cost::Text(factor) if matches!(call.function, "startsWith" | "endsWith") => size(1).scaled(factor),
            Cost::Text(factor) => size(0).scaled(factor),
            Cost::Made(factor) => self.result_size().unwrap_or(Estimate::UNKNOWN).scaled(factor / 2.0),
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
                let depth = if call.function == "flatten" { self.depth() } else { 1.0 };
                let elements = self.result_size().unwrap_or(Estimate::UNKNOWN);
                Estimate::exactly(cost::LIST + 1).plus(elements.scaled(depth))
            }
            Cost::Square => {
                let is_text = matches!(&call.arguments[0].ty, Type::List(element) if matches!(**element, Type::String | Type::Bytes));
                let factor = if is_text && call.function == "sort" { 2.0 + PER_CHARACTER } else { 2.0 };
                Estimate::exactly(cost::LIST + 1).plus(size(0).times(size(0)).scaled(factor))
            }
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

    /// How many levels are flattened.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    fn depth(&self) -> f64 {
        if self.call.arguments.len() < 2 { 1.0 } else { self.number(1).unwrap_or(u64::MAX) as f64 }
    }

    /// How large the result is, where that follows from the arguments.
    fn result_size(&self) -> Option<Estimate> {
        let first = *self.sizes.first()?;
        let second = self.sizes.get(1).copied();
        let first_type = &self.call.arguments.first()?.ty;
        Some(match (self.call.function, second) {
            ("_+_", Some(second)) => first.plus(second),
            // As upstream, which does not look at what is in the lists, nor at how many survive.
            ("flatten", _) => first,
            ("distinct" | "sort", _) => first.times(first),
            ("lists.range", _) => Estimate::exactly(self.number(0).unwrap_or(u64::MAX)),
            ("slice", _) => {
                let (start, end) = (self.number(1).unwrap_or(0), self.number(2).unwrap_or(first.max));
                Estimate::exactly(end.saturating_sub(start))
            }
            ("lowerAscii" | "upperAscii" | "dyn" | "reverse" | "url", _) => first,
            ("trim" | "substring" | "find", _) => Estimate { min: 0, max: first.max },
            // A character becomes four bytes at most, a byte a character. How long other values are as texts is not asked.
            ("bytes", None) if matches!(first_type, Type::String | Type::Dyn) => {
                Estimate { min: first.min, max: first.max.saturating_mul(4) }
            }
            ("string", None) if matches!(first_type, Type::Bytes | Type::Dyn) => {
                Estimate { min: first.min / 4, max: first.max }
            }
            ("strings.quote", _) => first.plus(first).plus(Estimate::exactly(2)),
            // At worst every character is a part.
            ("split" | "findAll", _) => Estimate { min: 0, max: self.number(2).unwrap_or(first.max) },
            ("join", separator) => {
                let element = match &self.call.arguments[0].ty {
                    Type::List(element) => self.element(element),
                    _ => Estimate::UNKNOWN,
                };
                let between = Estimate { min: first.min.saturating_sub(1), max: first.max.saturating_sub(1) };
                let separators = separator.map_or(Estimate::exactly(0), |separator| separator.times(between));
                first.times(element).plus(separators)
            }
            ("replace", Some(_)) => {
                let new = self.sizes.get(2).copied().unwrap_or(Estimate::UNKNOWN);
                let old = second.unwrap_or(Estimate::exactly(1));
                let count = if old.min == 0 { first.max.saturating_add(1) } else { first.max.div_ceil(old.min) };
                let kept = if old.min == 0 || new.max <= old.min { first.max } else { 0 };
                let made = if new.max <= old.min && old.min > 0 { 0 } else { count.saturating_mul(new.max) };
                Estimate { min: 0, max: kept.saturating_add(made) }
            }
            _ => return None,
        })
    }
}

fn bounded_selector(length: u64) -> u64 {
    if length == u64::MAX { u64::MAX } else { cost::selector(length) }
}
