//! Holds custom resources against the schema of their definition, in the words of upstream's validator.
//!
//! Source: `kube-openapi/pkg/validation/validate`, and for lists
//! `apiextensions-apiserver/pkg/apiserver/schema/listtype`.

use std::collections::HashMap;

use portolan_base::go;
use serde_json::{Map, Number, Value};

use super::embedded::embedded;
use super::format;
use super::node::{Additional, Checks, JsonType, Node};
use crate::field::{self, ErrorType, Path};

/// What an object is held against beside its schema.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// The object before an update: what it had in it already is not held against it again.
    pub old: Option<&'a Value>,
}

/// What is wrong with an object by its schema.
pub fn validate(object: &Value, root: &Node, options: Options<'_>) -> Vec<field::Error> {
    let mut found = Found::default();
    found.value("", object, options.old, root);
    found.errors
}

/// What is wrong with the objects within an object.
pub fn validate_embedded(object: &Value, root: &Node) -> Vec<field::Error> {
    let mut errors = Vec::new();
    embedded(&Path::default(), object, root, true, &mut errors);
    errors
}

/// What is wrong with the sets and maps that are lists in an object.
pub fn validate_lists(object: &Value, root: &Node) -> Vec<field::Error> {
    let mut errors = Vec::new();
    lists(&Path::default(), object, root, &mut errors);
    errors
}

/// What is wrong by its schema with the status of an object. Texts name places within the status.
pub fn validate_status(object: &Value, root: &Node, options: Options<'_>) -> Vec<field::Error> {
    let mut errors = Vec::new();
    if let (Some(status), Some(node)) = (object.get("status"), root.properties.get("status")) {
        let mut found = Found::default();
        found.value("", status, options.old.and_then(|old| old.get("status")), node);
        let place = Path::new("status");
        errors.extend(found.errors.into_iter().map(|error| match error.path == Path::default() {
            true => field::Error { path: place.clone(), ..error },
            false => field::Error { path: place.child(&error.path.to_string()), ..error },
        }));
    }
    errors
}

/// What is wrong with a value that stands at `path` of a definition: a default.
pub(super) fn validate_value(value: &Value, node: &Node) -> Vec<field::Error> {
    let mut found = Found::default();
    found.value("", value, None, node);
    let mut errors = found.errors;
    lists(&Path::default(), value, node, &mut errors);
    embedded(&Path::default(), value, node, false, &mut errors);
    errors
}

/// Errors, and how much was right: of several schemas, the one that fits best tells what is wrong.
#[derive(Default)]
struct Found {
    errors: Vec<field::Error>,
    matches: usize,
}

fn at(path: &str) -> Path {
    if path.is_empty() { Path::default() } else { Path::new(path.trim_start_matches('.')) }
}

impl Found {
    fn merge(&mut self, other: Self) {
        self.errors.extend(other.errors);
        self.matches += other.matches;
    }

    fn invalid(&mut self, path: &str, value: impl Into<field::Shown>, what: &str) {
        self.errors.push(field::Error::invalid(&at(path), value, format!("{path} in body {what}")));
    }

    fn wrong_type(&mut self, path: &str, value: impl Into<Value>, wanted: &str) {
        let value = value.into();
        let shown = value.as_str().map_or_else(|| value.to_string(), go::quote);
        let text = format!("{path} in body must be of type {wanted}: {shown}");
        let error = field::Error::invalid(&at(path), value, text);
        self.errors.push(field::Error { error_type: ErrorType::TypeInvalid, ..error });
    }

    /// An error about a place that has no field of its own.
    fn plain(&mut self, text: String) {
        self.errors.push(field::Error::invalid(&Path::default(), "", text));
    }

    fn value(&mut self, path: &str, value: &Value, old: Option<&Value>, node: &Node) {
        if old == Some(value) {
            self.matches += 1;
            return;
        }
        // Of what is of a wrong type everything else is told, too; of nothing there is nothing to tell.
        if !self.r#type(path, value, node) && value.is_null() {
            return;
        }
        let checks = node.checks.as_deref();
        if let Some(checks) = checks {
            self.junctors(path, value, checks);
        }
        match value {
            Value::String(text) => self.text(path, text, checks),
            Value::Number(number) => self.number(path, number, checks, node),
            Value::Array(items) => self.items(path, items, old, node),
            _ => {}
        }
        if let Some(checks) = checks.filter(|checks| !checks.r#enum.is_empty())
            && !checks.r#enum.iter().any(|allowed| same(allowed, value))
        {
            let names: Vec<String> = checks
                .r#enum
                .iter()
                .map(|allowed| allowed.as_str().map_or_else(|| allowed.to_string(), str::to_owned))
                .collect();
            let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
            // In the order of the definition.
            let error = field::Error::not_supported(&at(path), value.clone(), &[]);
            self.errors.push(field::Error { detail: format!("supported values: {}", names.join(", ")), ..error });
        }
        if let Value::Object(fields) = value {
            self.fields(path, fields, old, node);
        }
        self.matches += 1;
    }

    /// Checks the type; whether the value is of it.
    fn r#type(&mut self, path: &str, value: &Value, node: &Node) -> bool {
        let wanted = match node.r#type {
            _ if node.int_or_string => "integer,string",
            Some(wanted) => wanted.name(),
            None => return !value.is_null(),
        };
        let format = node.checks.as_deref().map_or("", |checks| &checks.format);
        let is_of_numbers = wanted.split(',').any(|wanted| matches!(wanted, "integer" | "number"));
        if !format.is_empty() && !is_of_numbers && matches!(value, Value::String(_) | Value::Array(_)) {
            // As upstream: a format is all that is asked of a text or list.
            return true;
        }
        if value.is_null() && node.nullable {
            return false;
        }
        let found = type_name(value);
        let fits = wanted.split(',').any(|wanted| wanted == found || (wanted, found) == ("number", "integer"));
        if !fits && !format.is_empty() && !matches!(value, Value::Null | Value::String(_) | Value::Array(_)) {
            let found = match found {
                "integer" => "int64",
                "number" => "float64",
                _ => "",
            };
            self.wrong_type(path, found, format);
        } else if !fits {
            self.wrong_type(path, found, wanted);
        }
        fits
    }

    /// Parts of the value that were there before count here nevertheless.
    fn junctors(&mut self, path: &str, value: &Value, checks: &Checks) {
        let of = |node: &Node| {
            let mut found = Self::default();
            found.value(path, value, None, node);
            found
        };
        let quoted = || go::quote(path);
        let best = |tried: Vec<Self>| tried.into_iter().reduce(|a, b| if b.matches > a.matches { b } else { a });
        if !checks.any_of.is_empty() {
            let tried: Vec<Self> = checks.any_of.iter().map(of).collect();
            if tried.iter().all(|found| !found.errors.is_empty()) {
                self.plain(format!("{} must validate at least one schema (anyOf)", quoted()));
                if let Some(best) = best(tried) {
                    self.merge(best);
                }
            }
        }
        if !checks.one_of.is_empty() {
            let tried: Vec<Self> = checks.one_of.iter().map(of).collect();
            let valid = tried.iter().filter(|found| found.errors.is_empty()).count();
            if valid != 1 {
                let more = match valid {
                    0 => "Found none valid".to_owned(),
                    valid => format!("Found {valid} valid alternatives"),
                };
                self.plain(format!("{} must validate one and only one schema (oneOf). {more}", quoted()));
            }
            if valid == 0
                && let Some(best) = best(tried)
            {
                self.merge(best);
            }
        }
        if !checks.all_of.is_empty() {
            let mut valid = 0;
            for node in &checks.all_of {
                let found = of(node);
                valid += usize::from(found.errors.is_empty());
                self.merge(found);
            }
            if valid != checks.all_of.len() {
                let more = if valid == 0 { ". None validated" } else { "" };
                self.plain(format!("{} must validate all the schemas (allOf){more}", quoted()));
            }
        }
        if checks.not.as_ref().is_some_and(|not| of(not).errors.is_empty()) {
            self.plain(format!("{} must not validate the schema (not)", quoted()));
        }
    }

    fn text(&mut self, path: &str, text: &str, checks: Option<&Checks>) {
        let Some(checks) = checks else { return };
        let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
        // Of length and pattern, the first that is wrong is told.
        if let Some(most) = checks.max_length.filter(|most| length > *most) {
            self.errors.push(match usize::try_from(most) {
                Ok(most) => field::Error::too_long(&at(path), most),
                Err(_) => field::Error::too_long_for_nothing(&at(path)),
            });
        } else if let Some(fewest) = checks.min_length.filter(|fewest| length < *fewest) {
            self.invalid(path, text, &format!("should be at least {fewest} chars long"));
        } else if checks.regex.as_ref().is_some_and(|regex| !regex.is_match(text)) {
            self.invalid(path, text, &format!("should match '{}'", checks.pattern));
        }
        if !format::holds(&checks.format, text) {
            self.wrong_type(path, text, &checks.format);
        }
    }

    fn number(&mut self, path: &str, number: &Number, checks: Option<&Checks>, node: &Node) {
        let format = checks.map_or("", |checks| &checks.format);
        if !is_in_range(number, node.r#type, format) {
            let name = node.r#type.map_or("", JsonType::name);
            let what =
                if format.is_empty() { " (default format)".to_owned() } else { format!(" with format {format}") };
            self.plain(format!("Checked value must be of type {name}{what} in {path}"));
        }
        let Some(checks) = checks else { return };
        let value = number.as_f64().unwrap_or_default();
        let shown = Value::Number(number.clone());
        if let Some(factor) = checks.multiple_of.as_ref().and_then(Number::as_f64) {
            self.multiple(path, number, factor);
        }
        if let Some(most) = checks.maximum.as_ref().and_then(Number::as_f64) {
            if checks.exclusive_maximum && value >= most {
                self.invalid(path, shown.clone(), &format!("should be less than {}", plain(most)));
            } else if value > most {
                self.invalid(path, shown.clone(), &format!("should be less than or equal to {}", plain(most)));
            }
        }
        if let Some(least) = checks.minimum.as_ref().and_then(Number::as_f64) {
            if checks.exclusive_minimum && value <= least {
                self.invalid(path, shown, &format!("should be greater than {}", plain(least)));
            } else if value < least {
                self.invalid(path, shown, &format!("should be greater than or equal to {}", plain(least)));
            }
        }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "as upstream")]
    fn multiple(&mut self, path: &str, number: &Number, factor: f64) {
        // Of whole numbers only whole factors are known.
        let factor = if number.is_f64() { factor } else { factor as i64 as f64 };
        if factor <= 0.0 {
            let shown: Value = if number.is_f64() { factor.into() } else { (factor as i64).into() };
            let text = format!("factor MultipleOf declared for {path} must be positive: {}", plain(factor));
            self.errors.push(field::Error::invalid(&at(path), shown, text));
            return;
        }
        let value = number.as_f64().unwrap_or_default();
        let is_multiple = match number.as_i64() {
            Some(whole) => whole % factor as i64 == 0,
            None => (value / factor).fract().abs() <= f64::EPSILON,
        };
        if !is_multiple {
            let shown = Value::Number(number.clone());
            self.invalid(path, shown, &format!("should be a multiple of {}", plain(factor)));
        }
    }

    fn items(&mut self, path: &str, items: &[Value], old: Option<&Value>, node: &Node) {
        if let Some(inner) = &node.items {
            for (index, item) in items.iter().enumerate() {
                self.value(&format!("{path}[{index}]"), item, counterpart(item, old, node), inner);
            }
        }
        let Some(checks) = node.checks.as_deref() else { return };
        let count = i64::try_from(items.len()).unwrap_or(i64::MAX);
        if let Some(fewest) = checks.min_items.filter(|fewest| count < *fewest) {
            self.invalid(path, count, &format!("should have at least {fewest} items"));
        }
        if let Some(most) = checks.max_items.filter(|most| count > *most) {
            self.errors.push(too_many(path, count, most));
        }
        let has_twins = || items.iter().enumerate().any(|(index, item)| items[..index].contains(item));
        if checks.unique_items && has_twins() {
            self.invalid(path, Value::Array(items.to_vec()), "shouldn't contain duplicates");
        }
    }

    fn fields(&mut self, path: &str, fields: &Map<String, Value>, old: Option<&Value>, node: &Node) {
        let checks = node.checks.as_deref();
        let count = i64::try_from(fields.len()).unwrap_or(i64::MAX);
        if let Some(fewest) = checks.and_then(|checks| checks.min_properties).filter(|fewest| count < *fewest) {
            self.invalid(path, count, &format!("should have at least {fewest} properties"));
        }
        if let Some(most) = checks.and_then(|checks| checks.max_properties).filter(|most| count > *most) {
            self.errors.push(too_many(path, count, most));
        }
        for (name, value) in fields {
            let inner = match (node.properties.get(name), &node.additional) {
                (Some(property), _) => property,
                (None, Some(Additional::Schema(values))) => values,
                (None, Some(Additional::Allowed(false))) => {
                    self.plain(format!("{path}.{name} in body is a forbidden property"));
                    continue;
                }
                _ => continue,
            };
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            self.value(&path, value, old.and_then(|old| old.get(name)), inner);
        }
        for name in checks.map_or(&[][..], |checks| &checks.required) {
            if !fields.contains_key(name) {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                self.errors.push(field::Error::required(&at(&path), ""));
            }
        }
    }
}

/// The narrowest type of a value.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if is_integer(number) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn too_many(path: &str, count: i64, most: i64) -> field::Error {
    let detail = match most {
        1 => "must have at most 1 item".to_owned(),
        0.. => format!("must have at most {most} items"),
        _ => "has too many items".to_owned(),
    };
    let error = field::Error::invalid(&at(path), count, detail);
    field::Error { error_type: ErrorType::TooMany, ..error }
}

/// Whether a value is one that is allowed: `1` is `1.0`. As upstream, where a whole number is allowed so are those that
/// begin with it.
fn same(allowed: &Value, value: &Value) -> bool {
    match (allowed, value) {
        (Value::Number(allowed), Value::Number(value)) if allowed.is_i64() => {
            allowed.as_f64() == value.as_f64().map(f64::trunc)
        }
        (Value::Number(allowed), Value::Number(value)) => allowed.as_f64() == value.as_f64(),
        _ => allowed == value,
    }
}

/// Whole numbers beyond are no integers to JSON, however they are written.
const LARGEST_WHOLE: f64 = ((1_u64 << 53) - 1) as f64;

fn is_integer(number: &Number) -> bool {
    let is_whole = |number: f64| number.fract() == 0.0 && number.abs() <= LARGEST_WHOLE;
    number.is_i64() || number.as_f64().is_some_and(is_whole)
}

/// Whether a number can be kept in what its type and format promise.
#[expect(clippy::cast_possible_truncation, reason = "so it is found out")]
fn is_in_range(number: &Number, r#type: Option<JsonType>, format: &str) -> bool {
    let value = number.as_f64().unwrap_or_default();
    if !matches!(r#type, Some(JsonType::Integer)) {
        return !matches!(format, "float" | "float32") || (value as f32).is_finite();
    }
    let whole = number.as_i128().or((value.fract() == 0.0).then_some(value as i128));
    whole.is_some_and(|whole| match format {
        "int32" => i32::try_from(whole).is_ok(),
        "uint32" => u32::try_from(whole).is_ok(),
        "uint64" => u64::try_from(whole).is_ok(),
        _ => i64::try_from(whole).is_ok(),
    })
}

/// A bound as Go prints it.
fn plain(number: f64) -> String {
    if number.abs() >= 1e21 || (number != 0.0 && number.abs() < 1e-4) {
        format!("{number:e}")
    } else {
        number.to_string()
    }
}

/// The item of the old list that is the same item, if items can be told apart.
pub fn counterpart<'a>(item: &Value, old: Option<&'a Value>, node: &Node) -> Option<&'a Value> {
    let old = old?.as_array()?;
    match node.list_type.as_str() {
        "map" => {
            let is_same = |other: &&Value| node.list_map_keys.iter().all(|key| item.get(key) == other.get(key));
            let mut found = old.iter().filter(is_same);
            // Of twins, none can be said to be the one.
            found.next().filter(|_| found.next().is_none())
        }
        _ => None,
    }
}

/// Items of sets and maps that are there twice, and of maps those that are no objects.
fn lists(path: &Path, value: &Value, node: &Node, errors: &mut Vec<field::Error>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (node.properties.get(name), &node.additional) {
                    (Some(property), _) => lists(&path.child(name), value, property, errors),
                    (None, Some(Additional::Schema(values))) => lists(&path.key(name), value, values, errors),
                    _ => {}
                }
            }
        }
        Value::Array(items) => {
            match node.list_type.as_str() {
                "set" => twins(path, items.iter().cloned(), errors),
                "map" => match items.iter().position(|item| !matches!(item, Value::Object(_) | Value::Null)) {
                    None => twins(path, items.iter().map(|item| keys(item, node)), errors),
                    Some(index) => {
                        let detail = "must be an object for an array of list-type map";
                        errors.push(field::Error::invalid(&path.index(index), items[index].clone(), detail));
                    }
                },
                _ => {}
            }
            let Some(inner) = &node.items else { return };
            for (index, item) in items.iter().enumerate() {
                lists(&path.index(index), item, inner, errors);
            }
        }
        _ => {}
    }
}

/// Of those that are the same, the second is told.
fn twins(path: &Path, identities: impl Iterator<Item = Value>, errors: &mut Vec<field::Error>) {
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (index, identity) in identities.enumerate() {
        let times = seen.entry(identity.to_string()).or_default();
        *times += 1;
        if *times == 2 {
            errors.push(field::Error::duplicate(&path.index(index), identity));
        }
    }
}

fn keys(item: &Value, node: &Node) -> Value {
    let values = node.list_map_keys.iter().filter_map(|key| Some((key.clone(), item.get(key)?.clone())));
    Value::Object(values.collect())
}
