//! Label selectors: `app=web,tier in (a,b),!canary`, and the object form of them.
//!
//! Source: `k8s.io/apimachinery/pkg/labels`.

use std::fmt;

use portolan_base::go;
use serde_json::Value;

use super::Error;
use crate::validation;

#[cfg(test)]
mod tests;

/// How a label is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operator {
    /// Has one of the values.
    In,
    /// Is absent or has none of the values.
    NotIn,
    /// Is present.
    Exists,
    /// Is absent.
    DoesNotExist,
    /// Is a number greater than the value.
    GreaterThan,
    /// Is a number less than the value.
    LessThan,
}

/// What a selector demands of one label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Requirement {
    /// Key of the label.
    pub key: String,
    /// How it is compared.
    pub operator: Operator,
    /// What it is compared with, sorted.
    pub values: Vec<String>,
}

impl Requirement {
    /// A requirement, checked.
    ///
    /// # Errors
    /// The key or a value is not one, or the number of values does not fit the operator.
    pub fn new(key: &str, operator: Operator, values: Vec<String>) -> Result<Self, Error> {
        check_key(key, "key")?;
        let problem = match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                Some("values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty".to_owned())
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => Some(format!(
                "values: Invalid value: {}: values set must be empty for exists and does not exist",
                listed(&values)
            )),
            Operator::GreaterThan | Operator::LessThan if values.len() != 1 => Some(format!(
                "values: Invalid value: {}: for 'Gt', 'Lt' operators, exactly one value is required",
                listed(&values)
            )),
            Operator::GreaterThan | Operator::LessThan if values[0].parse::<i64>().is_err() => Some(format!(
                "values[0]: Invalid value: {}: for 'Gt', 'Lt' operators, the value must be an integer",
                go::quote(&values[0])
            )),
            _ => None,
        };
        if let Some(problem) = problem {
            return Err(Error(problem));
        }
        for (index, value) in values.iter().enumerate() {
            if let Some(text) = joined(&validation::is_valid_label_value(value)) {
                return Err(Error(format!("values[{index}][{key}]: Invalid value: {}: {text}", go::quote(value))));
            }
        }
        let mut values = values;
        values.sort();
        values.dedup();
        Ok(Self { key: key.to_owned(), operator, values })
    }

    /// Whether a label with this value, or its absence, is fine.
    pub fn matches(&self, value: Option<&str>) -> bool {
        let number = |compare: fn(i64, i64) -> bool| {
            let (label, limit) = (value.and_then(|it| it.parse().ok()), self.values[0].parse().ok());
            label.zip(limit).is_some_and(|(label, limit)| compare(label, limit))
        };
        match self.operator {
            Operator::In => value.is_some_and(|value| self.values.iter().any(|it| it == value)),
            Operator::NotIn => value.is_none_or(|value| self.values.iter().all(|it| it != value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => number(|label, limit| label > limit),
            Operator::LessThan => number(|label, limit| label < limit),
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, values, .. } = self;
        let joined = values.join(",");
        match self.operator {
            Operator::In if values.len() == 1 => write!(formatter, "{key}={joined}"),
            Operator::In => write!(formatter, "{key} in ({joined})"),
            Operator::NotIn if values.len() == 1 => write!(formatter, "{key}!={joined}"),
            Operator::NotIn => write!(formatter, "{key} notin ({joined})"),
            Operator::Exists => write!(formatter, "{key}"),
            Operator::DoesNotExist => write!(formatter, "!{key}"),
            Operator::GreaterThan => write!(formatter, "{key}>{joined}"),
            Operator::LessThan => write!(formatter, "{key}<{joined}"),
        }
    }
}

/// A selector over labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelSelector {
    /// Selects nothing.
    Nothing,
    /// Selects what meets all of these; everything if there are none.
    All(Vec<Requirement>),
}

impl Default for LabelSelector {
    fn default() -> Self {
        Self::All(Vec::new())
    }
}

impl LabelSelector {
    /// Reads the text form; the empty text selects everything.
    ///
    /// # Errors
    /// The text is not a selector.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut parser = Parser { rest: text };
        let mut requirements = parser.requirements()?;
        requirements.sort();
        Ok(Self::All(requirements))
    }

    /// Reads the object form (`matchLabels`, `matchExpressions`); no selector selects nothing.
    ///
    /// # Errors
    /// An expression is not one.
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let Some(fields) = value.as_object() else { return Ok(Self::Nothing) };
        let mut requirements = Vec::new();
        for (key, value) in fields.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
            let value = value.as_str().unwrap_or_default().to_owned();
            requirements.push(Requirement::new(key, Operator::In, vec![value])?);
        }
        for expression in fields.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            let field = |name| expression.get(name).and_then(Value::as_str).unwrap_or_default();
            let values = expression.get("values").and_then(Value::as_array).into_iter().flatten();
            let values = values.filter_map(Value::as_str).map(str::to_owned).collect();
            let operator = match field("operator") {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => return Err(Error(format!("{} is not a valid label selector operator", go::quote(other)))),
            };
            requirements.push(Requirement::new(field("key"), operator, values)?);
        }
        requirements.sort();
        Ok(Self::All(requirements))
    }

    /// A selector for exactly these labels; everything if there are none.
    pub fn from_labels<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut requirements: Vec<Requirement> = labels
            .into_iter()
            .map(|(key, value)| Requirement {
                key: key.to_owned(),
                operator: Operator::In,
                values: vec![value.to_owned()],
            })
            .collect();
        requirements.sort();
        Self::All(requirements)
    }

    /// Whether everything is selected.
    pub fn is_everything(&self) -> bool {
        matches!(self, Self::All(requirements) if requirements.is_empty())
    }

    /// Whether an object with these labels is selected.
    pub fn matches<V: AsRef<str>>(&self, label: impl Fn(&str) -> Option<V>) -> bool {
        match self {
            Self::Nothing => false,
            Self::All(requirements) => {
                requirements.iter().all(|it| it.matches(label(&it.key).as_ref().map(AsRef::as_ref)))
            }
        }
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::All(requirements) = self else { return Ok(()) };
        for (index, requirement) in requirements.iter().enumerate() {
            write!(formatter, "{}{requirement}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

fn check_key(key: &str, place: &str) -> Result<(), Error> {
    match joined(&validation::is_qualified_name(key)) {
        Some(text) => Err(Error(format!("{place}: Invalid value: {}: {text}", go::quote(key)))),
        None => Ok(()),
    }
}

/// Texts as JSON.
fn listed(values: &[String]) -> String {
    go::html_safe(&serde_json::Value::from(values).to_string()).into_owned()
}

/// All that is wrong with a text.
fn joined(problems: &[String]) -> Option<String> {
    (!problems.is_empty()).then(|| problems.join("; "))
}

/// What the text form is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Token<'a> {
    Word(&'a str),
    Symbol(&'a str),
    End,
}

impl<'a> Token<'a> {
    fn text(self) -> &'a str {
        match self {
            Self::Word(text) | Self::Symbol(text) => text,
            Self::End => "",
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn next(&mut self) -> Token<'a> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        if self.rest.is_empty() {
            return Token::End;
        }
        for symbol in ["!=", "==", "!", "=", ",", "(", ")", ">", "<"] {
            if let Some(rest) = self.rest.strip_prefix(symbol) {
                let (symbol, _) = self.rest.split_at(symbol.len());
                self.rest = rest;
                return Token::Symbol(symbol);
            }
        }
        let is_special = |character: char| "!=,()>< \t\r\n".contains(character);
        let (word, rest) = self.rest.split_at(self.rest.find(is_special).unwrap_or(self.rest.len()));
        self.rest = rest;
        Token::Word(word)
    }

    fn peek(&self) -> Token<'a> {
        Parser { rest: self.rest }.next()
    }

    fn requirements(&mut self) -> Result<Vec<Requirement>, Error> {
        let mut requirements = Vec::new();
        loop {
            match self.peek() {
                Token::Word(_) | Token::Symbol("!") => {}
                Token::End => return Ok(requirements),
                other => {
                    let found = other.text();
                    return Err(Error(format!("found '{found}', expected: !, identifier, or 'end of string'")));
                }
            }
            let requirement = self.requirement();
            requirements
                .push(requirement.map_err(|Error(text)| Error(format!("unable to parse requirement: {text}")))?);
            match self.next() {
                Token::End => return Ok(requirements),
                Token::Symbol(",") => match self.peek() {
                    Token::Word(_) | Token::Symbol("!") => {}
                    other => {
                        return Err(Error(format!("found '{}', expected: identifier after ','", other.text())));
                    }
                },
                other => return Err(Error(format!("found '{}', expected: ',' or 'end of string'", other.text()))),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, Error> {
        let mut token = self.next();
        let absent = token == Token::Symbol("!");
        if absent {
            token = self.next();
        }
        let Token::Word(key) = token else {
            return Err(Error(format!("found '{}', expected: identifier", token.text())));
        };
        // The text form's reader upstream does not know where it is.
        check_key(key, "<nil>")?;
        if absent {
            return Requirement::new(key, Operator::DoesNotExist, Vec::new());
        }
        if matches!(self.peek(), Token::End | Token::Symbol(",")) {
            return Requirement::new(key, Operator::Exists, Vec::new());
        }
        match self.next() {
            Token::Word("in") => Requirement::new(key, Operator::In, self.values()?),
            Token::Word("notin") => Requirement::new(key, Operator::NotIn, self.values()?),
            Token::Symbol("=" | "==") => Requirement::new(key, Operator::In, self.value()?),
            Token::Symbol("!=") => Requirement::new(key, Operator::NotIn, self.value()?),
            Token::Symbol(">") => Requirement::new(key, Operator::GreaterThan, self.value()?),
            Token::Symbol("<") => Requirement::new(key, Operator::LessThan, self.value()?),
            other => Err(Error(format!("found '{}', expected: in, notin, =, ==, !=, gt, lt", other.text()))),
        }
    }

    /// The one value behind `=` and the like; it may be empty.
    fn value(&mut self) -> Result<Vec<String>, Error> {
        if matches!(self.peek(), Token::End | Token::Symbol(",")) {
            return Ok(vec![String::new()]);
        }
        match self.next() {
            Token::Word(word) => Ok(vec![word.to_owned()]),
            other => Err(Error(format!("found '{}', expected: identifier", other.text()))),
        }
    }

    /// The values behind `in`.
    fn values(&mut self) -> Result<Vec<String>, Error> {
        let open = self.next();
        if open != Token::Symbol("(") {
            return Err(Error(format!("found '{}' expected: '('", open.text())));
        }
        let mut values = Vec::new();
        if self.peek() == Token::Symbol(")") {
            self.next();
            return Ok(vec![String::new()]);
        }
        loop {
            match self.peek() {
                Token::Word(word) => {
                    self.next();
                    values.push(word.to_owned());
                }
                // An empty value, as in `(a,)`.
                Token::Symbol("," | ")") => values.push(String::new()),
                other => return Err(Error(format!("found '{}', expected: ',', ')' or identifier", other.text()))),
            }
            match self.next() {
                Token::Symbol(",") => {}
                Token::Symbol(")") => return Ok(values),
                other => return Err(Error(format!("found '{}', expected: ',' or ')'", other.text()))),
            }
        }
    }
}
