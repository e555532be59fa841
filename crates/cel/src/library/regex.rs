//! Regular expressions, in the notation of RE2.

use portolan_base::go::regexp;
use regex::Regex;

use super::no_overload;
use crate::error::EvaluationError;
use crate::functions::{Outcome, Row, Style::Global, Style::Member};
use crate::value::Value;

/// Largest compiled expression. Patterns come from users.
const SIZE_LIMIT: usize = 1 << 20;

pub(super) const ROWS: &[Row] = &[
    Row("matches", Global, &["string", "string"], "bool", matches),
    Row("matches", Member, &["string", "string"], "bool", matches),
    Row("find", Member, &["string", "string"], "string", |values| match values {
        [Value::String(text), Value::String(pattern)] => {
            let found = legal(pattern)?.find(text).map_or(String::new(), |found| found.as_str().to_owned());
            Ok(found.into())
        }
        _ => no_overload(),
    }),
    Row("findAll", Member, &["string", "string"], "list(string)", find_all),
    Row("findAll", Member, &["string", "string", "int"], "list(string)", find_all),
];

/// Compiles a pattern.
pub(crate) fn compile(pattern: &str) -> Result<Regex, EvaluationError> {
    regexp::compile(pattern, SIZE_LIMIT).map_err(EvaluationError::text)
}

/// The same, for what searches.
fn legal(pattern: &str) -> Result<Regex, EvaluationError> {
    compile(pattern).map_err(|why| EvaluationError::text(format!("Illegal regex: {why}")))
}

fn matches<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::String(text), Value::String(pattern)] => Ok(compile(pattern)?.is_match(text).into()),
        _ => no_overload(),
    }
}

fn find_all<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::String(text), Value::String(pattern), limit @ ..] = values else { return no_overload() };
    let limit = match limit {
        [Value::Int(limit)] if *limit >= 0 => *limit as usize,
        _ => usize::MAX,
    };
    let pattern = legal(pattern)?;
    let found = pattern.find_iter(text).take(limit).map(|found| Value::from(found.as_str().to_owned()));
    Ok(Value::list(found.collect()))
}
