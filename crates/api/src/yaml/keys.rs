//! The order of fields: `a2` before `a10`.

use std::cmp::Ordering;

use serde_json::{Map, Value};

/// The fields of an object in their natural order.
pub(super) fn sorted(fields: &Map<String, Value>) -> Vec<(&str, &Value)> {
    merge_sorted(fields.iter().map(|(name, value)| (name.as_str(), value)).collect())
}

/// The order has cycles (`2x`, `10x`, `1x`), for which the standard library's sort may panic.
fn merge_sorted<'a>(mut entries: Vec<(&'a str, &'a Value)>) -> Vec<(&'a str, &'a Value)> {
    if entries.len() < 2 {
        return entries;
    }
    let second = merge_sorted(entries.split_off(entries.len() / 2));
    let first = merge_sorted(entries);
    let mut merged = Vec::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.into_iter().peekable(), second.into_iter().peekable());
    while let (Some(one), Some(other)) = (first.peek(), second.peek()) {
        let next = if compare(other.0, one.0).is_lt() { second.next() } else { first.next() };
        merged.extend(next);
    }
    merged.extend(first);
    merged.extend(second);
    merged
}

/// Compares names by their first difference: letters come last, numbers count as a whole.
fn compare(one: &str, other: &str) -> Ordering {
    let one: Vec<char> = one.chars().collect();
    let other: Vec<char> = other.chars().collect();
    let Some(at) = one.iter().zip(&other).position(|(one, other)| one != other) else {
        return one.len().cmp(&other.len());
    };
    let (left, right) = (one[at], other[at]);
    match (left.is_alphabetic(), right.is_alphabetic()) {
        (true, true) => return left.cmp(&right),
        (false, true) => return Ordering::Less,
        (true, false) => return Ordering::Greater,
        (false, false) => {}
    }
    // Zeros behind another digit are part of a larger number, not leading ones.
    let is_inside = (left == '0' || right == '0')
        && one[..at].iter().rev().take_while(|it| it.is_numeric()).any(|digit| *digit != '0');
    let (left_number, left_length) = number(&one[at..], is_inside);
    let (right_number, right_length) = number(&other[at..], is_inside);
    left_number.cmp(&right_number).then(left_length.cmp(&right_length)).then(left.cmp(&right))
}

/// The number at the beginning, which overflows as Go's do, and how many digits it has.
fn number(text: &[char], is_inside: bool) -> (i64, usize) {
    let digits = text.iter().take_while(|it| it.is_numeric());
    digits.fold((i64::from(is_inside), 0), |(number, length), digit| {
        let digit = i64::from(u32::from(*digit)) - i64::from(u32::from('0'));
        (number.wrapping_mul(10).wrapping_add(digit), length + 1)
    })
}
