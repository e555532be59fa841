//! Versions.

use std::sync::Arc;

use semver::Version;

use super::{fail, no_overload};
use crate::functions::{Outcome, Row, Style::Global, Style::Member};
use crate::value::Value;

const SEMVER: &str = "kubernetes.Semver";

pub(super) const ROWS: &[Row] = &[
    Row("semver", Global, &["string"], SEMVER, read),
    Row("semver", Global, &["string", "bool"], SEMVER, read),
    Row("isSemver", Global, &["string"], "bool", |values| Ok(read(values).is_ok().into())),
    Row("isSemver", Global, &["string", "bool"], "bool", |values| Ok(read(values).is_ok().into())),
    Row("major", Member, &[SEMVER], "int", |values| number(values, |version| version.major)),
    Row("minor", Member, &[SEMVER], "int", |values| number(values, |version| version.minor)),
    Row("patch", Member, &[SEMVER], "int", |values| number(values, |version| version.patch)),
    Row("isGreaterThan", Member, &[SEMVER, SEMVER], "bool", |values| compared(values, |order| order.is_gt().into())),
    Row("isLessThan", Member, &[SEMVER, SEMVER], "bool", |values| compared(values, |order| order.is_lt().into())),
    Row("compareTo", Member, &[SEMVER, SEMVER], "int", |values| compared(values, |order| Value::Int(order as i64))),
];

fn read<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    let (text, normalize) = match values {
        [Value::String(text)] => (text, false),
        [Value::String(text), Value::Bool(normalize)] => (text, *normalize),
        _ => return no_overload(),
    };
    let parsed = if normalize {
        normalized(text).and_then(|text| Version::parse(&text).map_err(|error| error.to_string()))
    } else {
        match text.split('.').count() {
            0..3 => Err("No Major.Minor.Patch elements found".to_owned()),
            _ => Version::parse(text).map_err(|error| error.to_string()),
        }
    };
    match parsed {
        Ok(version) => Ok(Value::Semver(Arc::new(version))),
        Err(why) => fail(why),
    }
}

/// Without a `v` before it, leading zeros, and with all three numbers.
fn normalized(text: &str) -> Result<String, String> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let mut parts: Vec<String> = text
        .splitn(3, '.')
        .map(|part| {
            let trimmed = part.trim_start_matches('0');
            if trimmed.len() == part.len() || trimmed.starts_with(|first: char| first.is_ascii_digit()) {
                trimmed.to_owned()
            } else {
                format!("0{trimmed}")
            }
        })
        .collect();
    if parts.len() < 3 && parts.last().is_some_and(|last| last.contains(['+', '-'])) {
        return Err("short version cannot contain PreRelease/Build meta data".into());
    }
    parts.resize(3, "0".into());
    Ok(parts.join("."))
}

fn number<'a>(values: &[Value<'a>], part: fn(&Version) -> u64) -> Outcome<'a> {
    match values {
        [Value::Semver(version)] => Ok(Value::Int(i64::try_from(part(version)).unwrap_or(i64::MAX))),
        _ => no_overload(),
    }
}

fn compared<'a>(values: &[Value<'a>], answer: fn(std::cmp::Ordering) -> Value<'a>) -> Outcome<'a> {
    match values {
        [Value::Semver(left), Value::Semver(right)] => Ok(answer(left.cmp_precedence(right))),
        _ => no_overload(),
    }
}
