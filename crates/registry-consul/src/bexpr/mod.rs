//! Filter expressions as Consul's `?filter=` takes them (the grammar of go-bexpr).
//!
//! ```text
//! Status == critical and ("primary" in ServiceTags or not ServiceMeta["env"] matches "^prod")
//! any Checks as check { check.Status != passing }
//! ```

mod evaluate;
mod parse;
mod schema;
#[cfg(test)]
mod tests;

use serde_json::Value;

pub(crate) use schema::Kind;
pub(crate) use schema::{AGENT_SERVICE, CHECK, MEMBER, NODE, NODE_SERVICE, SERVICE_NODE, SERVICE_WITH_CHECKS};

use crate::Error;

/// Nothing is nested deeper: neither the expression nor, so, the stack that works on it.
const DEEPEST: usize = 64;

/// A filter that was found to fit what it filters.
#[derive(Debug)]
pub(crate) struct Filter(Option<schema::Checked>);

impl Filter {
    /// Reads an expression over values of this kind; an empty one lets everything through.
    pub(crate) fn parse(text: &str, kind: &'static Kind) -> Result<Self, Error> {
        if text.trim().is_empty() {
            return Ok(Self(None));
        }
        let checked = parse::parse(text).and_then(|expression| schema::check(expression, kind));
        let checked = checked
            .map_err(|error| Error::BadRequest(format!("Failed to create boolean expression evaluator: {error}")))?;
        Ok(Self(Some(checked)))
    }

    /// Whether it lets a value through.
    pub(crate) fn lets(&self, value: &Value) -> bool {
        self.0.as_ref().is_none_or(|checked| evaluate::evaluate(checked, value))
    }

    /// Whether it lets everything through.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

/// Says what is wrong with an expression, whatever it is of.
pub(crate) fn check_grammar(text: &str) -> Result<(), String> {
    parse::parse(text).map(drop)
}

/// An expression.
#[derive(Debug, Clone, PartialEq)]
enum Expression {
    Or(Vec<Expression>),
    And(Vec<Expression>),
    Not(Box<Expression>),
    Match { selector: Vec<String>, operator: Operator, value: String },
    Collection { all: bool, selector: Vec<String>, bindings: Vec<String>, body: Box<Expression> },
}

/// What a value is compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    In,
    NotIn,
    IsEmpty,
    IsNotEmpty,
    IsNil,
    IsNotNil,
    Matches,
    NotMatches,
}

impl Operator {
    /// Its name in messages.
    fn name(self) -> &'static str {
        match self {
            Self::Equal => "Equal",
            Self::NotEqual => "Not Equal",
            Self::In => "In",
            Self::NotIn => "Not In",
            Self::IsEmpty => "Is Empty",
            Self::IsNotEmpty => "Is Not Empty",
            Self::IsNil => "Is Nil",
            Self::IsNotNil => "Is Not Nil",
            Self::Matches => "Matches",
            Self::NotMatches => "Not Matches",
        }
    }

    /// The one that it denies, if it denies one.
    fn positive(self) -> (Self, bool) {
        match self {
            Self::NotEqual => (Self::Equal, true),
            Self::NotIn => (Self::In, true),
            Self::IsNotEmpty => (Self::IsEmpty, true),
            Self::IsNotNil => (Self::IsNil, true),
            Self::NotMatches => (Self::Matches, true),
            positive => (positive, false),
        }
    }
}
