//! Functions of texts. Places are counted in characters.

use super::{fail, no_overload, text_format};
use crate::functions::{Outcome, Row, Style::Member};
use crate::value::Value;

pub(super) const ROWS: &[Row] = &[
    Row("contains", Member, &["string", "string"], "bool", |values| {
        two(values, |text, part| text.contains(part).into())
    }),
    Row("startsWith", Member, &["string", "string"], "bool", |values| {
        two(values, |text, part| text.starts_with(part).into())
    }),
    Row("endsWith", Member, &["string", "string"], "bool", |values| {
        two(values, |text, part| text.ends_with(part).into())
    }),
    Row("charAt", Member, &["string", "int"], "string", char_at),
    Row("indexOf", Member, &["string", "string"], "int", index_of),
    Row("indexOf", Member, &["string", "string", "int"], "int", index_of),
    Row("lastIndexOf", Member, &["string", "string"], "int", last_index_of),
    Row("lastIndexOf", Member, &["string", "string", "int"], "int", last_index_of),
    Row("lowerAscii", Member, &["string"], "string", |values| one(values, |text| text.to_ascii_lowercase())),
    Row("upperAscii", Member, &["string"], "string", |values| one(values, |text| text.to_ascii_uppercase())),
    Row("trim", Member, &["string"], "string", |values| one(values, |text| text.trim().to_owned())),
    Row("replace", Member, &["string", "string", "string"], "string", replace),
    Row("replace", Member, &["string", "string", "string", "int"], "string", replace),
    Row("split", Member, &["string", "string"], "list(string)", split),
    Row("split", Member, &["string", "string", "int"], "list(string)", split),
    Row("substring", Member, &["string", "int"], "string", substring),
    Row("substring", Member, &["string", "int", "int"], "string", substring),
    Row("join", Member, &["list(string)"], "string", join),
    Row("join", Member, &["list(string)", "string"], "string", join),
    Row("strings.quote", crate::functions::Style::Global, &["string"], "string", |values| one(values, quote)),
    Row("jsonpatch.escapeKey", crate::functions::Style::Global, &["string"], "string", |values| {
        one(values, |text| text.replace('~', "~0").replace('/', "~1"))
    }),
    Row("format", Member, &["string", "list(dyn)"], "string", |values| match values {
        [Value::String(text), Value::List(list)] => text_format::format(text, list).map(Value::from),
        _ => no_overload(),
    }),
];

fn one<'a>(values: &[Value<'a>], change: fn(&str) -> String) -> Outcome<'a> {
    match values {
        [Value::String(text)] => Ok(change(text).into()),
        _ => no_overload(),
    }
}

fn two<'a>(values: &[Value<'a>], ask: fn(&str, &str) -> Value<'a>) -> Outcome<'a> {
    match values {
        [Value::String(left), Value::String(right)] => Ok(ask(left, right)),
        _ => no_overload(),
    }
}

fn out_of_range<'a>(index: i64) -> Outcome<'a> {
    fail(format!("index out of range: {index}"))
}

fn char_at<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::String(text), Value::Int(index)] = values else { return no_overload() };
    let length = text.chars().count();
    match usize::try_from(*index) {
        Ok(place) if place == length => Ok(String::new().into()),
        Ok(place) if place < length => Ok(text.chars().skip(place).take(1).collect::<String>().into()),
        _ => out_of_range(*index),
    }
}

/// Where `part` begins in `text` at or after a place.
fn find(text: &[char], part: &[char], from: usize) -> Option<usize> {
    (from..=text.len().checked_sub(part.len())?).find(|start| text[*start..].starts_with(part))
}

fn index_of<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    let (Value::String(text), Value::String(part)) = (&values[0], &values[1]) else { return no_overload() };
    let offset = match values.get(2) {
        Some(Value::Int(offset)) if *offset < 0 => return out_of_range(*offset),
        Some(Value::Int(offset)) => *offset as usize,
        _ => 0,
    };
    let text: Vec<char> = text.chars().collect();
    if part.is_empty() {
        // Nothing is everywhere, as upstream has it also beyond the end.
        return Ok(Value::Int(offset as i64));
    }
    let part: Vec<char> = part.chars().collect();
    Ok(Value::Int(find(&text, &part, offset).map_or(-1, |place| place as i64)))
}

fn last_index_of<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    let (Value::String(text), Value::String(part)) = (&values[0], &values[1]) else { return no_overload() };
    let text: Vec<char> = text.chars().collect();
    let offset = match values.get(2) {
        Some(Value::Int(offset)) if *offset < 0 => return out_of_range(*offset),
        Some(Value::Int(offset)) => *offset as usize,
        _ if part.is_empty() => text.len(),
        _ => text.len().saturating_sub(1),
    };
    if part.is_empty() {
        // Nothing is everywhere, as upstream has it also beyond the end.
        return Ok(Value::Int(offset as i64));
    }
    let part: Vec<char> = part.chars().collect();
    if offset >= text.len() || part.len() > text.len() {
        return Ok(Value::Int(-1));
    }
    let last = offset.min(text.len() - part.len());
    let found = (0..=last).rev().find(|start| text[*start..].starts_with(&part));
    Ok(Value::Int(found.map_or(-1, |place| place as i64)))
}

fn replace<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::String(text), Value::String(old), Value::String(new), limit @ ..] = values else {
        return no_overload();
    };
    Ok(match limit {
        [Value::Int(limit)] if *limit >= 0 => text.replacen(&**old, new, *limit as usize).into(),
        _ => text.replace(&**old, new).into(),
    })
}

fn split<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::String(text), Value::String(separator), limit @ ..] = values else { return no_overload() };
    let limit = match limit {
        [Value::Int(0)] => return Ok(Value::list(Vec::new())),
        [Value::Int(limit)] if *limit > 0 => *limit as usize,
        _ => usize::MAX,
    };
    let parts: Vec<String> = if separator.is_empty() {
        let count = text.chars().count();
        let mut parts: Vec<String> = text.chars().take(limit.saturating_sub(1)).map(String::from).collect();
        if count > parts.len() {
            parts.push(text.chars().skip(parts.len()).collect());
        }
        parts
    } else {
        text.splitn(limit, &**separator).map(str::to_owned).collect()
    };
    Ok(Value::list(parts.into_iter().map(Value::from).collect()))
}

fn substring<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::String(text), Value::Int(start), rest @ ..] = values else { return no_overload() };
    let length = text.chars().count() as i64;
    if !(0..=length).contains(start) {
        return out_of_range(*start);
    }
    let end = match rest {
        [Value::Int(end)] if !(0..=length).contains(end) => return out_of_range(*end),
        [Value::Int(end)] => *end,
        _ => length,
    };
    if *start > end {
        return fail(format!("invalid substring range. start: {start}, end: {end}"));
    }
    let part: String = text.chars().skip(*start as usize).take((end - start) as usize).collect();
    Ok(part.into())
}

fn join<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(list), rest @ ..] = values else { return no_overload() };
    let separator = rest.first().and_then(Value::as_str).unwrap_or_default();
    let mut joined = String::new();
    for (index, item) in list.iter().enumerate() {
        let Some(text) = item.as_str() else {
            return fail(format!("type conversion error from '{}' to 'string'", item.type_name()));
        };
        if index > 0 {
            joined.push_str(separator);
        }
        joined.push_str(text);
    }
    Ok(joined.into())
}

fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
