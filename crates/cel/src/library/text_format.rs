//! `"...".format([...])`
//!
//! Source: version 2 of cel-go's string extensions, which is what upstream switches on.

use portolan_base::go;

use super::convert::plain;
use super::time;
use crate::error::EvaluationError;
use crate::types::Type;
use crate::value::{List, Value};

/// Largest number of decimals.
const MAX_PRECISION: usize = 1000;

type Formatted = Result<String, EvaluationError>;

/// Fills values into the clauses of a text.
pub(super) fn format(text: &str, arguments: &List<'_>) -> Formatted {
    let mut result = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    let mut next = 0;
    while let Some(character) = characters.next() {
        if character != '%' {
            result.push(character);
            continue;
        }
        if characters.peek() == Some(&'%') {
            characters.next();
            result.push('%');
            continue;
        }
        let mut precision = None;
        if characters.peek() == Some(&'.') {
            characters.next();
            let mut digits = String::new();
            while let Some(digit) = characters.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            let parsed: Option<usize> = digits.parse().ok();
            let parsed = parsed.ok_or_else(|| fail("error while parsing precision"))?;
            if parsed > MAX_PRECISION {
                return Err(fail(&format!("precision {parsed} exceeds maximum allowed precision of {MAX_PRECISION}")));
            }
            precision = Some(parsed);
        }
        let Some(verb) = characters.next() else { return Err(fail("unexpected end of string")) };
        let argument = arguments.get(next).ok_or_else(|| fail(&format!("index {next} out of range")))?;
        next += 1;
        result.push_str(&clause(verb, precision.unwrap_or(6), &argument)?);
    }
    Ok(result)
}

/// What can be seen to be wrong with a text and the types of what is filled in: which argument is at fault, or
/// none, and why.
pub(crate) fn check(text: &str, types: &[Type]) -> Result<(), (Option<usize>, String)> {
    let mut characters = text.chars().peekable();
    let mut next = 0;
    while let Some(character) = characters.next() {
        if character != '%' || characters.next_if_eq(&'%').is_some() {
            continue;
        }
        let Some(ty) = types.get(next) else { return Err((None, format!("index {next} out of range"))) };
        if characters.next_if_eq(&'.').is_some() {
            let mut digits = String::new();
            while let Some(digit) = characters.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            if digits.is_empty() {
                let why = "error while converting precision to integer: strconv.Atoi: parsing \"\": invalid syntax";
                return Err((None, format!("could not parse formatting clause: error while parsing precision: {why}")));
            }
        }
        let Some(verb) = characters.next() else { return Err((None, "unexpected end of string".into())) };
        let fits = match (verb, ty) {
            ('s', Type::Opaque(_) | Type::Optional(_) | Type::Object(_) | Type::Struct(_)) => false,
            ('s', _) => true,
            ('d' | 'o' | 'f' | 'e' | 'b' | 'x' | 'X', Type::Dyn)
            | ('d' | 'o', Type::Int | Type::Uint)
            | ('f' | 'e', Type::Double | Type::String)
            | ('b', Type::Bool | Type::Int | Type::Uint)
            | ('x' | 'X', Type::Int | Type::Uint | Type::String | Type::Bytes) => true,
            ('d' | 'o' | 'f' | 'e' | 'b' | 'x' | 'X', _) => false,
            (other, _) => {
                let why = format!("could not parse formatting clause: unrecognized formatting clause \"{other}\"");
                return Err((None, why));
            }
        };
        if !fits {
            return Err((Some(next), format!("error during formatting: {}, was given {ty}", wants(verb))));
        }
        next += 1;
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
        ('f' | 'e', Value::Double(number)) if !number.is_finite() => Ok(infinite(*number)),
        ('f' | 'e', Value::String(text)) if matches!(&**text, "NaN" | "Infinity" | "-Infinity") => Ok(text.to_string()),
        ('f', Value::Double(number)) => Ok(grouped(&format!("{number:.precision$}"))),
        ('e', Value::Double(number)) => Ok(scientific(*number, precision)),
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
        ('d' | 'f' | 'e' | 'b' | 'o' | 'x' | 'X', _) => refuse(wants(verb)),
        (other, _) => {
            Err(fail(&format!("could not parse formatting clause: unrecognized formatting clause \"{other}\"")))
        }
    }
}

fn infinite(number: f64) -> String {
    if number.is_nan() {
        "NaN".into()
    } else if number > 0.0 {
        "Infinity".into()
    } else {
        "-Infinity".into()
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
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Duration(_) | Value::Timestamp(_) | Value::List(_) | Value::Map(_) => inner(value, false)?,
        other => {
            let name = other.type_name();
            return Err(fail(&format!("error during formatting: {}, was given {name}", wants('s'))));
        }
    })
}

/// A value within a list or map: as it would be written in an expression.
fn inner(value: &Value<'_>, quoted: bool) -> Formatted {
    Ok(match value {
        Value::String(text) if quoted => go::quote(text),
        Value::Bytes(bytes) if quoted => format!("b{}", go::quote(&String::from_utf8_lossy(bytes))),
        Value::Double(number) if quoted && number.is_finite() => format!("{number:.6}"),
        Value::Double(number) if quoted => format!("{:?}", infinite(*number)),
        Value::Duration(nanos) if quoted => format!("duration({:?})", time::duration_text(*nanos)),
        Value::Timestamp(time) if quoted => format!("timestamp({:?})", time::timestamp_text(*time)),
        Value::Duration(nanos) => time::duration_text(*nanos),
        Value::Timestamp(time) => time::timestamp_text(*time),
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
