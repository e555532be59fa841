//! `"...".format([...])`
//!
//! Source: version 2 of cel-go's string extensions, which is what upstream switches on.

use portolan_base::go;

use super::convert::plain;
use super::time;
use crate::error::EvaluationError;
use crate::types::Type;
use crate::value::{List, Value};

/// As many decimals as are made at most. Upstream makes all that are asked for.
const MAX_PRECISION: usize = 100_000;

/// The decimals of the smallest number.
const ALL_DECIMALS: usize = 1074;

type Formatted = Result<String, EvaluationError>;

/// Fills values into the clauses of a text.
pub(super) fn format(text: &str, arguments: &List<'_>) -> Formatted {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    let mut next = 0;
    while let Some((plain, clause)) = rest.split_once('%') {
        result.push_str(plain);
        if let Some(behind) = clause.strip_prefix('%') {
            result.push('%');
            rest = behind;
            continue;
        }
        let argument = arguments.get(next).ok_or_else(|| fail(&format!("index {next} out of range")))?;
        let (verb, precision, behind) = read(clause).map_err(|why| fail(&why))?;
        result.push_str(&self::clause(verb, precision.unwrap_or(6), &argument)?);
        next += 1;
        rest = behind;
    }
    result.push_str(rest);
    Ok(result)
}

/// What stands behind a percent sign: the verb, how many decimals it wants, and what follows.
fn read(clause: &str) -> Result<(char, Option<usize>, &str), String> {
    if clause.is_empty() {
        return Err("unexpected end of string".into());
    }
    let wrong = |why: String| format!("could not parse formatting clause: error while parsing precision: {why}");
    let (precision, rest) = match clause.strip_prefix('.') {
        None => (None, clause),
        Some(behind) => {
            let length = behind.bytes().take_while(u8::is_ascii_digit).count();
            let (digits, rest) = behind.split_at(length);
            if rest.is_empty() {
                return Err(wrong("could not find end of precision specifier".into()));
            }
            let what = if digits.is_empty() { "invalid syntax" } else { "value out of range" };
            let precision: usize = digits.parse().map_err(|_| {
                let digits = go::quote(digits);
                wrong(format!("error while converting precision to integer: strconv.Atoi: parsing {digits}: {what}"))
            })?;
            (Some(precision), rest)
        }
    };
    let mut characters = rest.chars();
    match characters.next() {
        Some(verb @ ('s' | 'd' | 'f' | 'e' | 'b' | 'x' | 'X' | 'o')) => Ok((verb, precision, characters.as_str())),
        Some(other) => Err(format!("could not parse formatting clause: unrecognized formatting clause \"{other}\"")),
        None => Err("unexpected end of string".into()),
    }
}

/// What can be seen to be wrong with a text and the types of what is filled in: which argument is at fault, or
/// none, and why.
pub(crate) fn check(text: &str, types: &[Type]) -> Result<(), (Option<usize>, String)> {
    let mut rest = text;
    let mut next = 0;
    while let Some((_, clause)) = rest.split_once('%') {
        if let Some(behind) = clause.strip_prefix('%') {
            rest = behind;
            continue;
        }
        let Some(ty) = types.get(next) else { return Err((None, format!("index {next} out of range"))) };
        let (verb, _, behind) = read(clause).map_err(|why| (None, why))?;
        let fits = match (verb, ty) {
            ('s', Type::Opaque(_) | Type::Optional(_) | Type::Object(_) | Type::Struct(_)) => false,
            ('s', _) | (_, Type::Dyn) => true,
            ('d' | 'o', Type::Int | Type::Uint)
            | ('f' | 'e', Type::Double | Type::String)
            | ('b', Type::Bool | Type::Int | Type::Uint)
            | ('x' | 'X', Type::Int | Type::Uint | Type::String | Type::Bytes) => true,
            _ => false,
        };
        if !fits {
            // Of what has parts, only what it is is told.
            let given = match ty {
                Type::List(_) => "list".to_owned(),
                Type::Map(_) => "map".to_owned(),
                Type::Optional(_) => "optional_type".to_owned(),
                Type::Type(_) => "type".to_owned(),
                other => other.to_string(),
            };
            return Err((Some(next), format!("error during formatting: {}, was given {given}", wants(verb))));
        }
        next += 1;
        rest = behind;
    }
    if next < types.len() {
        let given = types.len();
        return Err((None, format!("too many arguments supplied to string.format (expected {next}, got {given})")));
    }
    Ok(())
}

/// What a clause can be used on.
fn wants(verb: char) -> &'static str {
    match verb {
        'd' => "decimal clause can only be used on integers",
        'f' => "fixed-point clause can only be used on doubles",
        'e' => "scientific clause can only be used on doubles",
        'b' => "only integers and bools can be formatted as binary",
        'o' => "octal clause can only be used on integers",
        'x' | 'X' => "only integers, byte buffers, and strings can be formatted as hex",
        _ => {
            "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps"
        }
    }
}

fn fail(text: &str) -> EvaluationError {
    EvaluationError::text(text.to_owned())
}

fn clause(verb: char, precision: usize, value: &Value<'_>) -> Formatted {
    let refuse = |what: &str| Err(fail(&format!("error during formatting: {what}, was given {}", value.type_name())));
    match (verb, value) {
        ('s', _) => text(value),
        ('d', Value::Int(number)) => Ok(number.to_string()),
        ('d', Value::Uint(number)) => Ok(number.to_string()),
        ('f' | 'e', Value::String(text)) if matches!(&**text, "NaN" | "Infinity" | "-Infinity") => {
            let number = match &**text {
                "NaN" => f64::NAN,
                "Infinity" => f64::INFINITY,
                _ => f64::NEG_INFINITY,
            };
            clause(verb, precision, &Value::Double(number))
        }
        ('f' | 'e', Value::Double(_)) if precision > MAX_PRECISION => {
            Err(fail(&format!("precision {precision} exceeds maximum allowed precision of {MAX_PRECISION}")))
        }
        ('f', Value::Double(number)) if !number.is_finite() => Ok(infinite(*number).into()),
        // There is no minus before nothing.
        ('f', Value::Double(number)) => {
            let number = if *number == 0.0 { 0.0 } else { *number };
            // No number has more decimals than these that are not zero.
            let exact = precision.min(ALL_DECIMALS);
            Ok(grouped(&format!("{number:.exact$}")) + &"0".repeat(precision - exact))
        }
        // Upstream takes the number of decimals for the least width.
        ('e', Value::Double(number)) if !number.is_finite() => Ok(padded(infinite(*number), precision)),
        ('e', Value::Double(number)) => Ok(padded(&scientific(*number, 6), precision)),
        ('b', Value::Bool(bit)) => Ok(u8::from(*bit).to_string()),
        ('b', Value::Int(number)) => Ok(signed(*number, |number| format!("{number:b}"))),
        ('b', Value::Uint(number)) => Ok(format!("{number:b}")),
        ('o', Value::Int(number)) => Ok(signed(*number, |number| format!("{number:o}"))),
        ('o', Value::Uint(number)) => Ok(format!("{number:o}")),
        ('x', Value::Int(number)) => Ok(signed(*number, |number| format!("{number:x}"))),
        ('X', Value::Int(number)) => Ok(signed(*number, |number| format!("{number:X}"))),
        ('x', Value::Uint(number)) => Ok(format!("{number:x}")),
        ('X', Value::Uint(number)) => Ok(format!("{number:X}")),
        ('x', Value::String(text)) => Ok(hex(text.as_bytes())),
        ('X', Value::String(text)) => Ok(hex(text.as_bytes()).to_uppercase()),
        ('x', Value::Bytes(bytes)) => Ok(hex(bytes)),
        ('X', Value::Bytes(bytes)) => Ok(hex(bytes).to_uppercase()),
        _ => refuse(wants(verb)),
    }
}

fn padded(text: &str, width: usize) -> String {
    " ".repeat(width.saturating_sub(text.chars().count())) + text
}

fn infinite(number: f64) -> &'static str {
    if number.is_nan() {
        "NaN"
    } else if number > 0.0 {
        "∞"
    } else {
        "-∞"
    }
}

/// With a comma between thousands, as it is written in English.
fn grouped(number: &str) -> String {
    let (whole, decimals) = number.split_once('.').map_or((number, None), |(whole, rest)| (whole, Some(rest)));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut text = sign.to_owned();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if let Some(decimals) = decimals {
        text.push('.');
        text.push_str(decimals);
    }
    text
}

/// With the power of ten written out, at least two digits of it.
fn scientific(number: f64, precision: usize) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let text = format!("{number:.precision$e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let (sign, exponent) = exponent.strip_prefix('-').map_or(("", exponent), |exponent| ("⁻", exponent));
    let raised = |digit: char| digit.to_digit(10).and_then(|digit| DIGITS.get(digit as usize)).copied();
    let exponent: String = format!("{exponent:0>2}").chars().filter_map(raised).collect();
    format!("{digits}×10{sign}{exponent}")
}

fn signed(number: i64, digits: fn(u64) -> String) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", digits(number.unsigned_abs()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A value for `%s`.
fn text(value: &Value<'_>) -> Formatted {
    Ok(match value {
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Uint(_)
        | Value::Double(_)
        | Value::String(_)
        | Value::Type(_) => plain(value),
        Value::Bytes(bytes) => of_bytes(bytes)?.to_owned(),
        Value::Duration(_) | Value::Timestamp(_) | Value::List(_) | Value::Map(_) => inner(value, false)?,
        other => {
            let name = other.type_name();
            return Err(fail(&format!("error during formatting: {}, was given {name}", wants('s'))));
        }
    })
}

fn of_bytes(bytes: &[u8]) -> Result<&str, EvaluationError> {
    std::str::from_utf8(bytes).map_err(|_| {
        let why = "invalid UTF-8 in bytes, cannot convert to string";
        fail(&format!("error during formatting: could not convert argument {} to string", go::quote(why)))
    })
}

/// A value within a list or map: as it would be written in an expression.
fn inner(value: &Value<'_>, quoted: bool) -> Formatted {
    Ok(match value {
        Value::String(text) if quoted => go::quote(text),
        Value::Bytes(bytes) if quoted => format!("b{}", go::quote(of_bytes(bytes)?)),
        Value::Double(number) if quoted && number.is_finite() => format!("{number:.6}"),
        Value::Double(number) if quoted => go::quote(&plain(value)),
        Value::Duration(nanos) if quoted => format!("duration({:?})", time::duration_text(*nanos)),
        Value::Timestamp(time) if quoted => format!("timestamp({:?})", time.to_string()),
        Value::Duration(nanos) => time::duration_text(*nanos),
        Value::Timestamp(time) => time.to_string(),
        Value::List(list) => {
            let items: Result<Vec<String>, _> = list.iter().map(|item| inner(&item, true)).collect();
            format!("[{}]", items?.join(", "))
        }
        Value::Map(map) => {
            let mut entries = Vec::new();
            for (key, value) in map.entries() {
                entries.push(format!("{}:{}", inner(&key, true)?, inner(&value, true)?));
            }
            entries.sort();
            format!("{{{}}}", entries.join(", "))
        }
        other => text(other)?,
    })
}
