//! The functions, library by library.

pub(crate) mod authorizer;
pub(crate) mod cidr;
pub(crate) mod compare;
pub(crate) mod convert;
pub(crate) mod format;
pub(crate) mod ip;
pub(crate) mod lists;
pub(crate) mod operators;
pub(crate) mod optional;
pub(crate) mod quantity;
pub(crate) mod regex;
pub(crate) mod semver;
pub(crate) mod sets;
pub(crate) mod strings;
pub(crate) mod text_format;
pub(crate) mod time;
pub(crate) mod url;

use crate::error::EvaluationError;
use crate::functions::{Outcome, Row};

/// Functions that are there only where objects are changed.
pub(crate) const FOR_MUTATION: [&str; 1] = ["jsonpatch.escapeKey"];

pub(crate) fn all() -> impl Iterator<Item = &'static Row> {
    [
        operators::ROWS,
        convert::ROWS,
        time::ROWS,
        strings::ROWS,
        lists::ROWS,
        sets::ROWS,
        optional::ROWS,
        regex::ROWS,
        url::ROWS,
        ip::ROWS,
        cidr::ROWS,
        quantity::ROWS,
        semver::ROWS,
        format::ROWS,
        authorizer::ROWS,
    ]
    .into_iter()
    .flatten()
}

/// The answer to arguments that a function does not take. The table keeps them away.
fn no_overload<'a>() -> Outcome<'a> {
    Err(EvaluationError::NoSuchOverload)
}

fn fail<'a>(text: impl Into<std::borrow::Cow<'static, str>>) -> Outcome<'a> {
    Err(EvaluationError::text(text))
}
