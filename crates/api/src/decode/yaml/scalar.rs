//! What the scalars of YAML 1.1 mean.

use std::sync::LazyLock;

use portolan_base::go;
use regex::Regex;
use serde_json::{Number, Value};

use crate::go_text;

/// What a scalar is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Integer(i64),
    /// Beyond what has a sign.
    Natural(u64),
    Float(f64),
    Text(String),
}

const LONG: &str = "tag:yaml.org,2002:";

static FLOAT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$").expect("a constant pattern"));

impl Scalar {
    /// What a text is as its tag says, or as it looks without one.
    ///
    /// # Errors
    /// It is not what its tag says.
    pub(super) fn resolve(tag: &str, text: &str) -> Result<Self, String> {
        let short = match tag.strip_prefix(LONG) {
            Some(name @ ("bool" | "int" | "float" | "null")) => name,
            None if tag.is_empty() => "",
            // Others are not looked into; a time stays as it is written.
            _ => return Ok(Self::Text(text.into())),
        };
        let found = Self::of(text);
        match (short, &found) {
            ("", _) => Ok(found),
            ("float", Self::Integer(number)) => Ok(Self::Float(*number as f64)),
            (wanted, found) if wanted == found.name() => Ok(found.clone()),
            (wanted, found) => Err(format!("yaml: cannot decode !!{} `{text}` as a !!{wanted}", found.name())),
        }
    }

    /// What a plain text is.
    fn of(text: &str) -> Self {
        match text {
            "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Self::Bool(true),
            "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Self::Bool(false),
            "" | "~" | "null" | "Null" | "NULL" => Self::Null,
            ".nan" | ".NaN" | ".NAN" => Self::Float(f64::NAN),
            ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Self::Float(f64::INFINITY),
            "-.inf" | "-.Inf" | "-.INF" => Self::Float(f64::NEG_INFINITY),
            _ => Self::number(text).unwrap_or_else(|| Self::Text(text.into())),
        }
    }

    fn number(text: &str) -> Option<Self> {
        if !text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '.')) {
            return None;
        }
        // Underlines may stand between the digits of all but a number that begins with its point.
        let plain = if text.starts_with('.') { text.into() } else { text.replace('_', "") };
        if let Some(number) = integer(&plain) {
            return Some(number);
        }
        let float = FLOAT.is_match(&plain).then(|| plain.parse::<f64>().ok()).flatten();
        float.filter(|float| float.is_finite()).map(Self::Float)
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Integer(_) | Self::Natural(_) => "int",
            Self::Float(_) => "float",
            Self::Text(_) => "str",
        }
    }

    /// As JSON has it, through which upstream takes it.
    ///
    /// # Errors
    /// JSON does not have it.
    pub(super) fn into_json(self) -> Result<Value, String> {
        let float = match self {
            Self::Null => return Ok(Value::Null),
            Self::Bool(value) => return Ok(value.into()),
            Self::Integer(number) => return Ok(number.into()),
            Self::Natural(number) => return Ok(number.into()),
            Self::Text(text) => return Ok(text.into()),
            Self::Float(float) => float,
        };
        if float.fract() == 0.0 && float.abs() < i64::MAX as f64 {
            return Ok((float as i64).into());
        }
        let unsupported = match float {
            f64::INFINITY => "+Inf",
            f64::NEG_INFINITY => "-Inf",
            _ => "NaN",
        };
        Number::from_f64(float).map(Value::Number).ok_or_else(|| format!("json: unsupported value: {unsupported}"))
    }

    /// As the key of an object in JSON.
    ///
    /// # Errors
    /// It cannot be one. `value` is the value that it would have.
    pub(super) fn into_key(self, value: &Value) -> Result<String, String> {
        Ok(match self {
            Self::Null | Self::Natural(_) => {
                let found = if self == Self::Null { "%!s(<nil>)" } else { "uint64" };
                let value = if let Value::String(text) = value { go::quote(text) } else { go_text::go_text(value) };
                return Err(format!("unsupported map key of type: {found}, key: {}, value: {value}", self.shown()));
            }
            Self::Bool(value) => value.to_string(),
            Self::Integer(number) => number.to_string(),
            Self::Float(float) if float.is_nan() => ".nan".into(),
            Self::Float(f64::INFINITY) => ".inf".into(),
            Self::Float(f64::NEG_INFINITY) => "-.inf".into(),
            Self::Float(float) => (float as f32).to_string(),
            Self::Text(text) => text,
        })
    }

    /// As Go writes it in its sources.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Null => "<nil>".into(),
            Self::Bool(value) => value.to_string(),
            Self::Integer(number) => number.to_string(),
            Self::Natural(number) => format!("{number:#x}"),
            Self::Float(float) => go_text::float(*float),
            Self::Text(text) => go::quote(text),
        }
    }
}

/// A whole number, in the base that its first digits say.
fn integer(text: &str) -> Option<Scalar> {
    let (is_negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match lower.split_at_checked(2) {
        Some(("0x", digits)) => (16, digits),
        Some(("0o", digits)) => (8, digits),
        Some(("0b", digits)) => (2, digits),
        _ if digits.len() > 1 && digits.starts_with('0') => (8, &lower[1..]),
        _ => (10, &*lower),
    };
    if !digits.starts_with(|first: char| first.is_digit(base)) {
        return None;
    }
    let number = u64::from_str_radix(digits, base).ok()?;
    if is_negative {
        return 0_i64.checked_sub_unsigned(number).map(Scalar::Integer);
    }
    match i64::try_from(number) {
        Ok(number) => Some(Scalar::Integer(number)),
        Err(_) => (!text.starts_with('+')).then_some(Scalar::Natural(number)),
    }
}
