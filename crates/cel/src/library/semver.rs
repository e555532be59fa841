//! Versions.

use std::sync::Arc;

use portolan_base::go;
use semver::{BuildMetadata, Prerelease, Version};

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
    let parsed = if normalize { normalized(text).and_then(|text| parse(&text)) } else { parse(text) };
    match parsed {
        Ok(version) => Ok(Value::Semver(Arc::new(version))),
        Err(why) => fail(why),
    }
}

/// Reads a version; the errors are those of the library that upstream uses.
///
/// Source: `github.com/blang/semver`.
fn parse(text: &str) -> Result<Version, String> {
    if text.is_empty() {
        return Err("Version string empty".into());
    }
    let parts: Vec<&str> = text.splitn(3, '.').collect();
    let [major, minor, rest] = parts[..] else { return Err("No Major.Minor.Patch elements found".into()) };
    let (major, minor) = (part("major", major)?, part("minor", minor)?);
    let (rest, build) = rest.split_once('+').map_or((rest, None), |(rest, build)| (rest, Some(build)));
    let (patch, pre) = rest.split_once('-').map_or((rest, None), |(patch, pre)| (patch, Some(pre)));
    let patch = part("patch", patch)?;
    let is_word = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    for word in pre.into_iter().flat_map(|pre| pre.split('.')) {
        if word.is_empty() {
            return Err("Prerelease is empty".into());
        } else if is_number(word) {
            if has_leading_zero(word) {
                return Err(format!("Numeric PreRelease version must not contain leading zeroes {}", go::quote(word)));
            }
            in_range(word)?;
        } else if !is_word(word) {
            return Err(format!("Invalid character(s) found in prerelease {}", go::quote(word)));
        }
    }
    for word in build.into_iter().flat_map(|build| build.split('.')) {
        if word.is_empty() {
            return Err("Build meta data is empty".into());
        } else if !is_word(word) {
            return Err(format!("Invalid character(s) found in build meta data {}", go::quote(word)));
        }
    }
    let told = |error: semver::Error| error.to_string();
    let pre = Prerelease::new(pre.unwrap_or_default()).map_err(told)?;
    let build = BuildMetadata::new(build.unwrap_or_default()).map_err(told)?;
    Ok(Version { major, minor, patch, pre, build })
}

fn part(name: &str, text: &str) -> Result<u64, String> {
    if !is_number(text) {
        return Err(format!("Invalid character(s) found in {name} number {}", go::quote(text)));
    }
    if has_leading_zero(text) {
        let (first, rest) = name.split_at(1);
        let name = first.to_uppercase() + rest;
        return Err(format!("{name} number must not contain leading zeroes {}", go::quote(text)));
    }
    in_range(text)
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn has_leading_zero(text: &str) -> bool {
    text.len() > 1 && text.starts_with('0')
}

fn in_range(text: &str) -> Result<u64, String> {
    let what = if text.is_empty() { "invalid syntax" } else { "value out of range" };
    text.parse().map_err(|_| format!("strconv.ParseUint: parsing {}: {what}", go::quote(text)))
}

/// Without a `v` before it, leading zeros, and with all three numbers.
fn normalized(text: &str) -> Result<String, String> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let without_zeros = |part: &str| {
        let trimmed = part.trim_start_matches('0');
        if part.len() < 2 {
            part.to_owned()
        } else if trimmed.starts_with(|first: char| first.is_ascii_digit()) {
            trimmed.to_owned()
        } else {
            format!("0{trimmed}")
        }
    };
    let mut parts: Vec<String> = text.splitn(3, '.').map(without_zeros).collect();
    if parts.len() < 3 && parts.last().is_some_and(|last| last.contains(['+', '-'])) {
        return Err("short version cannot contain PreRelease/Build meta data".into());
    }
    parts.resize(3, "0".into());
    Ok(parts.join("."))
}

fn number<'a>(values: &[Value<'a>], part: fn(&Version) -> u64) -> Outcome<'a> {
    match values {
        // As upstream: what is beyond the largest number begins again with the smallest.
        [Value::Semver(version)] => Ok(Value::Int(part(version).cast_signed())),
        _ => no_overload(),
    }
}

fn compared<'a>(values: &[Value<'a>], answer: fn(std::cmp::Ordering) -> Value<'a>) -> Outcome<'a> {
    match values {
        [Value::Semver(left), Value::Semver(right)] => Ok(answer(left.cmp_precedence(right))),
        _ => no_overload(),
    }
}
