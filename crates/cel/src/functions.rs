//! The table of functions.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::cost::Cost;
use crate::error::EvaluationError;
use crate::library;
use crate::types::Type;
use crate::value::Value;

/// What a function gives.
pub(crate) type Outcome<'a> = Result<Value<'a>, EvaluationError>;

/// The code of a function.
pub(crate) type Run = for<'a> fn(&[Value<'a>]) -> Outcome<'a>;

/// How a function is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// `f(x)`
    Global,
    /// `x.f()`
    Member,
}

/// A line of a library: name, style, types of arguments, type of the result, code.
pub(crate) struct Row(
    pub(crate) &'static str,
    pub(crate) Style,
    pub(crate) &'static [&'static str],
    pub(crate) &'static str,
    pub(crate) Run,
);

/// One way to call a function.
#[derive(Debug)]
pub(crate) struct Overload {
    pub(crate) style: Style,
    pub(crate) arguments: Vec<Type>,
    pub(crate) result: Type,
    pub(crate) run: Run,
    pub(crate) cost: Cost,
}

impl Overload {
    /// Whether these values can be its arguments.
    pub(crate) fn accepts(&self, values: &[Value<'_>]) -> bool {
        self.arguments.len() == values.len() && self.arguments.iter().zip(values).all(|(ty, value)| fits(ty, value))
    }
}

/// The answer to arguments that no overload of a function takes.
pub(crate) fn no_overload_of(function: &str, values: &[Value<'_>]) -> EvaluationError {
    let is_operator = function.starts_with(['_', '-', '!', '@']);
    if is_operator {
        return EvaluationError::NoSuchOverload;
    }
    let types: Vec<&str> = values.iter().map(Value::type_name).collect();
    EvaluationError::text(format!("no such overload: {function}({})", types.join(", ")))
}

/// All functions by name.
pub(crate) static FUNCTIONS: LazyLock<HashMap<&'static str, Vec<Overload>>> = LazyLock::new(|| {
    let mut functions: HashMap<&'static str, Vec<Overload>> = HashMap::new();
    for Row(name, style, arguments, result, run) in library::all() {
        let arguments: Vec<Type> = arguments.iter().map(|text| Type::read(text)).collect();
        let cost = Cost::of(name, &arguments);
        let overload = Overload { style: *style, arguments, result: Type::read(result), run: *run, cost };
        functions.entry(name).or_default().push(overload);
    }
    functions
});

fn fits(ty: &Type, value: &Value<'_>) -> bool {
    match (ty, value) {
        (Type::Dyn | Type::Variable(_), _)
        | (Type::Null, Value::Null)
        | (Type::Bool, Value::Bool(_))
        | (Type::Int, Value::Int(_))
        | (Type::Uint, Value::Uint(_))
        | (Type::Double, Value::Double(_))
        | (Type::String, Value::String(_))
        | (Type::Bytes, Value::Bytes(_))
        | (Type::Duration, Value::Duration(_))
        | (Type::Timestamp, Value::Timestamp(_))
        | (Type::Type(_), Value::Type(_))
        | (Type::Optional(_), Value::Optional(_)) => true,
        // As upstream, of what is in a list or a map only the first is looked at.
        (Type::List(element), Value::List(list)) => list.get(0).is_none_or(|first| fits(element, &first)),
        (Type::Map(pair), Value::Map(map)) => match (&pair.0, &pair.1) {
            (Type::Dyn | Type::Variable(_), Type::Dyn | Type::Variable(_)) => true,
            (keys, values) => map.entries().first().is_none_or(|(key, value)| fits(keys, key) && fits(values, value)),
        },
        (Type::Opaque(name), value) => *name == value.type_name(),
        _ => false,
    }
}
