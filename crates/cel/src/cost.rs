//! What evaluation costs, in upstream's units.
//!
//! Sources: cel-go's `interpreter/runtimecost.go`, Kubernetes' `pkg/cel/library/cost.go`. A unit is about
//! what it takes to read a field.

use crate::types::Type;
use crate::value::Value;

/// Most that one evaluation of one expression may cost.
pub const EXPRESSION_LIMIT: u64 = 1_000_000;

/// Most that all expressions together may cost that are evaluated for one object.
pub const OBJECT_LIMIT: u64 = 10_000_000;

/// Most that the match conditions of a webhook or policy may cost together.
pub const MATCH_CONDITIONS_LIMIT: u64 = 2_500_000;

pub(crate) const SELECT: u64 = 1;
pub(crate) const LIST: u64 = 10;
pub(crate) const MAP: u64 = 30;
pub(crate) const STRUCT: u64 = 40;
pub(crate) const PER_CHARACTER: f64 = 0.1;
pub(crate) const PER_PATTERN_CHARACTER: f64 = 0.25;

/// How the cost of a call follows from its arguments.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Cost {
    Fixed(u64),
    /// A walk over everything in the first argument.
    Walk,
    /// So much for each character of the first argument.
    Text(f64),
    /// So much for each character of the result.
    Made(f64),
    /// The length of both arguments.
    Both,
    /// The length of the shorter argument.
    Shorter,
    /// The product of both lengths.
    Search,
    Pattern,
    Format,
    Selector,
    /// The length of the second argument.
    Second,
    /// Elements of the result.
    Elements,
    /// The square of the elements.
    Square,
    /// So much for every pair of elements.
    Pairs(u64),
    Network {
        text: bool,
        masks: bool,
    },
}

impl Cost {
    pub(crate) fn of(function: &str, arguments: &[Type]) -> Self {
        let first = arguments.first();
        let on_text = matches!(first, Some(Type::String | Type::Bytes));
        let text = matches!(arguments.get(1), Some(Type::String));
        match function {
            "check" => Self::Fixed(350_000),
            "fieldSelector" | "labelSelector" => Self::Selector,
            "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => Self::Walk,
            "url"
            | "lowerAscii"
            | "upperAscii"
            | "substring"
            | "trim"
            | "jsonpatch.escapeKey"
            | "cidr"
            | "isIP"
            | "isCIDR"
            | "quantity"
            | "isQuantity"
            | "semver"
            | "isSemver"
            | "startsWith"
            | "endsWith"
            | "strings.quote"
            | "format" => Self::Text(PER_CHARACTER),
            "ip" if on_text => Self::Text(PER_CHARACTER),
            "ip.isCanonical" | "replace" | "split" => Self::Text(2.0 * PER_CHARACTER),
            "join" => Self::Made(2.0 * PER_CHARACTER),
            "find" | "findAll" | "matches" => Self::Pattern,
            "containsIP" => Self::Network { text, masks: false },
            "containsCIDR" => Self::Network { text, masks: true },
            "validate" => Self::Format,
            "bytes" | "string" if on_text && !is_same(function, first) => Self::Text(PER_CHARACTER),
            "@in" if matches!(arguments.get(1), Some(Type::List(_))) => Self::Second,
            "_==_" | "_!=_" => Self::Shorter,
            "_<_" | "_<=_" | "_>_" | "_>=_" if on_text => Self::Shorter,
            "_+_" if on_text => Self::Both,
            "contains" => Self::Search,
            "slice" | "flatten" | "reverse" | "lists.range" => Self::Elements,
            "distinct" | "sort" => Self::Square,
            "sets.contains" | "sets.intersects" => Self::Pairs(1),
            "sets.equivalent" => Self::Pairs(2),
            _ => Self::Fixed(1),
        }
    }

    /// What a call cost.
    pub(crate) fn actual(self, arguments: &[Value<'_>], result: Option<&Value<'_>>) -> u64 {
        let length = |index: usize| arguments.get(index).map_or(1, size);
        match self {
            Self::Fixed(cost) => cost,
            Self::Walk => arguments.first().map_or(0, walk),
            Self::Text(factor) => scaled(length(0), factor),
            Self::Made(factor) => result.map_or(0, |result| scaled(size(result), factor)),
            Self::Both => scaled(length(0).saturating_add(length(1)), PER_CHARACTER),
            Self::Shorter if arguments.first().is_some_and(is_scalar) => 1,
            Self::Shorter => scaled(length(0).min(length(1)), PER_CHARACTER),
            Self::Search => scaled(length(0), PER_CHARACTER).saturating_mul(scaled(length(1), PER_CHARACTER)),
            Self::Pattern => pattern(length(0), length(1)),
            Self::Format => match arguments.first() {
                Some(Value::Format(format)) => pattern(length(1), format.size),
                _ => 1,
            },
            Self::Selector => selector(length(1)),
            Self::Second => length(1),
            Self::Elements => (LIST + 1).saturating_add(elements(arguments, result)),
            Self::Square => {
                let items = match arguments.first() {
                    Some(Value::List(list)) => list,
                    _ => return LIST + 1,
                };
                let is_text =
                    items.iter().next().is_some_and(|item| matches!(item, Value::String(_) | Value::Bytes(_)));
                let factor = if is_text { 2.0 + PER_CHARACTER } else { 2.0 };
                (LIST + 1).saturating_add((length(0).saturating_mul(length(0)) as f64 * factor) as u64)
            }
            Self::Pairs(factor) => length(0).saturating_mul(length(1)).saturating_mul(factor),
            Self::Network { text, masks } => {
                let mut cost = scaled(2 * length(0), PER_CHARACTER);
                if masks {
                    cost += scaled(length(0), PER_CHARACTER) + 1;
                }
                if text { cost + scaled(length(1), PER_CHARACTER) } else { cost }
            }
        }
    }
}

/// Elements of a list that a call makes; for `flatten`, those of the outer list, once for each level.
fn elements(arguments: &[Value<'_>], result: Option<&Value<'_>>) -> u64 {
    match arguments {
        // `flatten`, or `reverse`, which keeps the number.
        [Value::List(list)] if matches!(list.iter().next(), Some(Value::List(_))) => list.len() as u64,
        [Value::List(list), Value::Int(depth)] => {
            (list.len() as u64).saturating_mul(u64::try_from(*depth).unwrap_or(0))
        }
        _ => result.map_or(0, size),
    }
}

fn is_same(function: &str, ty: Option<&Type>) -> bool {
    matches!((function, ty), ("bytes", Some(Type::Bytes)) | ("string", Some(Type::String)))
}

/// Types whose equality is looked at in one step, whatever is in them.
fn is_scalar(value: &Value<'_>) -> bool {
    !matches!(value, Value::String(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_) | Value::Optional(_))
}

pub(crate) fn scaled(size: u64, factor: f64) -> u64 {
    (size as f64 * factor).ceil() as u64
}

pub(crate) fn pattern(text: u64, pattern: u64) -> u64 {
    scaled(text.saturating_add(1), PER_CHARACTER).saturating_mul(scaled(pattern, PER_PATTERN_CHARACTER))
}

pub(crate) fn selector(length: u64) -> u64 {
    LIST + scaled(length, PER_CHARACTER) + scaled(length, 0.5).saturating_mul(LIST + STRUCT)
}

/// How large a value is: characters, bytes, elements, entries.
pub(crate) fn size(value: &Value<'_>) -> u64 {
    match value {
        Value::String(text) => text.chars().count() as u64,
        Value::Bytes(bytes) => bytes.len() as u64,
        Value::List(list) => list.len() as u64,
        Value::Map(map) => map.len() as u64,
        Value::Optional(Some(inner)) => size(inner),
        Value::Ip(address) => {
            if address.is_ipv4() {
                4
            } else {
                16
            }
        }
        Value::Cidr(cidr) => {
            if cidr.address.is_ipv4() {
                4
            } else {
                16
            }
        }
        _ => 1,
    }
}

fn walk(value: &Value<'_>) -> u64 {
    match value {
        Value::String(text) => (text.len() as f64 * PER_CHARACTER) as u64,
        Value::Bytes(bytes) => (bytes.len() as f64 * PER_CHARACTER) as u64,
        Value::List(list) => list.iter().map(|item| walk(&item)).sum(),
        Value::Map(map) => map.entries().iter().map(|(key, value)| walk(key) + walk(value)).sum(),
        _ => 1,
    }
}
