//! The schema of a custom resource, read from `openAPIV3Schema`.

use std::collections::BTreeMap;

use portolan_base::go::regexp;
use regex::Regex;
use serde_json::{Map, Number, Value};

/// Bytes that a pattern may take once it is compiled. Patterns come from users.
const MOST_PATTERN_BYTES: usize = 10 << 20;

/// The type of a JSON value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonType {
    /// `object`
    Object,
    /// `array`
    Array,
    /// `string`
    String,
    /// `integer`
    Integer,
    /// `number`
    Number,
    /// `boolean`
    Boolean,
}

impl JsonType {
    /// The type with this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "object" => Self::Object,
            "array" => Self::Array,
            "string" => Self::String,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            _ => return None,
        })
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }
}

/// What is known about fields that are not named.
#[derive(Debug, Clone, PartialEq)]
pub enum Additional {
    /// They may be anything, or may not be.
    Allowed(bool),
    /// Their values have this schema.
    Schema(Box<Node>),
}

/// One rule of `x-kubernetes-validations`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The expression that must hold.
    pub rule: String,
    /// What is said if it does not.
    pub message: String,
    /// An expression for what is said.
    pub message_expression: String,
    /// Machine-readable reason of the error: `FieldValueInvalid`, `FieldValueForbidden`, ...
    pub reason: String,
    /// The field that is named, relative to the object of the rule.
    pub field_path: String,
    /// Whether a rule about `oldSelf` also holds where there is no old value, if that is said.
    pub optional_old_self: Option<bool>,
}

/// One place of a schema.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Node {
    /// The type of the value.
    pub r#type: Option<JsonType>,
    /// Whether `null` is a value.
    pub nullable: bool,
    /// Known fields.
    pub properties: BTreeMap<String, Node>,
    /// Items of a list.
    pub items: Option<Box<Node>>,
    /// All other fields.
    pub additional: Option<Additional>,
    /// What stands here if nothing was given.
    pub default: Option<Value>,
    /// Unknown fields are kept.
    pub preserve_unknown: bool,
    /// The value is an object with `apiVersion`, `kind` and `metadata`.
    pub embedded: bool,
    /// The value is an integer or a text.
    pub int_or_string: bool,
    /// `atomic`, `set` or `map`; empty if not said.
    pub list_type: String,
    /// Which fields tell the items of a list apart.
    pub list_map_keys: Vec<String>,
    /// `atomic` or `granular`; empty if not said.
    pub map_type: String,
    /// Rules in CEL.
    pub rules: Vec<Rule>,
    /// What the value itself must be like.
    pub checks: Option<Box<Checks>>,
}

/// What a value must be like.
#[derive(Debug, Clone, Default)]
pub struct Checks {
    /// Format of a text or number.
    pub format: String,
    /// Largest number.
    pub maximum: Option<Number>,
    /// Whether the maximum itself is too large.
    pub exclusive_maximum: bool,
    /// Smallest number.
    pub minimum: Option<Number>,
    /// Whether the minimum itself is too small.
    pub exclusive_minimum: bool,
    /// What a number must be a multiple of.
    pub multiple_of: Option<Number>,
    /// Most characters.
    pub max_length: Option<i64>,
    /// Fewest characters.
    pub min_length: Option<i64>,
    /// What a text must match, as written.
    pub pattern: String,
    /// The same, compiled; `None` if there is none or it is none.
    pub regex: Option<Regex>,
    /// Most items.
    pub max_items: Option<i64>,
    /// Fewest items.
    pub min_items: Option<i64>,
    /// Whether items must differ.
    pub unique_items: bool,
    /// Most fields.
    pub max_properties: Option<i64>,
    /// Fewest fields.
    pub min_properties: Option<i64>,
    /// Fields that must be there.
    pub required: Vec<String>,
    /// All values that are possible.
    pub r#enum: Vec<Value>,
    /// Schemas that all hold.
    pub all_of: Vec<Node>,
    /// Schemas of which one holds at least.
    pub any_of: Vec<Node>,
    /// Schemas of which exactly one holds.
    pub one_of: Vec<Node>,
    /// A schema that does not hold.
    pub not: Option<Box<Node>>,
}

impl PartialEq for Checks {
    fn eq(&self, other: &Self) -> bool {
        // All but what follows from the pattern.
        let Self {
            format,
            maximum,
            exclusive_maximum,
            minimum,
            exclusive_minimum,
            multiple_of,
            max_length,
            min_length,
            pattern,
            regex: _,
            max_items,
            min_items,
            unique_items,
            max_properties,
            min_properties,
            required,
            r#enum,
            all_of,
            any_of,
            one_of,
            not,
        } = self;
        (format, pattern) == (&other.format, &other.pattern)
            && (maximum, exclusive_maximum) == (&other.maximum, &other.exclusive_maximum)
            && (minimum, exclusive_minimum) == (&other.minimum, &other.exclusive_minimum)
            && (multiple_of, max_length, min_length) == (&other.multiple_of, &other.max_length, &other.min_length)
            && (max_items, min_items, unique_items) == (&other.max_items, &other.min_items, &other.unique_items)
            && (max_properties, min_properties) == (&other.max_properties, &other.min_properties)
            && (required, r#enum) == (&other.required, &other.r#enum)
            && (all_of, any_of, one_of, not) == (&other.all_of, &other.any_of, &other.one_of, &other.not)
    }
}

impl Node {
    /// Reads a schema. What it does not know is left out: definitions are checked before they are stored.
    pub fn read(schema: &Value) -> Self {
        let Some(fields) = schema.as_object() else { return Self::default() };
        let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let is = |name: &str| fields.get(name) == Some(&Value::Bool(true));
        let properties = fields.get("properties").and_then(Value::as_object);
        let checks = Checks::read(fields);
        Self {
            r#type: JsonType::of_name(&text("type")),
            nullable: is("nullable"),
            properties: properties.into_iter().flatten().map(|(name, it)| (name.clone(), Self::read(it))).collect(),
            items: fields.get("items").filter(|items| items.is_object()).map(|items| Box::new(Self::read(items))),
            additional: match fields.get("additionalProperties") {
                Some(Value::Bool(allowed)) => Some(Additional::Allowed(*allowed)),
                Some(schema @ Value::Object(_)) => Some(Additional::Schema(Box::new(Self::read(schema)))),
                _ => None,
            },
            default: fields.get("default").cloned(),
            preserve_unknown: is("x-kubernetes-preserve-unknown-fields"),
            embedded: is("x-kubernetes-embedded-resource"),
            int_or_string: is("x-kubernetes-int-or-string"),
            list_type: text("x-kubernetes-list-type"),
            list_map_keys: texts(fields.get("x-kubernetes-list-map-keys")),
            map_type: text("x-kubernetes-map-type"),
            rules: fields
                .get("x-kubernetes-validations")
                .and_then(Value::as_array)
                .map_or_else(Vec::new, |rules| rules.iter().map(Rule::read).collect()),
            checks: (!checks.is_empty()).then(|| Box::new(checks)),
        }
    }

    /// Whether any rule in CEL stands here or below.
    pub fn has_rules(&self) -> bool {
        !self.rules.is_empty()
            || self.properties.values().any(Self::has_rules)
            || self.items.as_ref().is_some_and(|items| items.has_rules())
            || matches!(&self.additional, Some(Additional::Schema(values)) if values.has_rules())
    }

    /// The schema of a field, if it is known.
    pub fn field(&self, name: &str) -> Option<&Self> {
        self.properties.get(name).or(match &self.additional {
            Some(Additional::Schema(values)) => Some(values),
            _ => None,
        })
    }
}

impl Rule {
    fn read(rule: &Value) -> Self {
        let text = |name: &str| rule[name].as_str().unwrap_or_default().to_owned();
        Self {
            rule: text("rule"),
            message: text("message"),
            message_expression: text("messageExpression"),
            reason: text("reason"),
            field_path: text("fieldPath"),
            optional_old_self: rule["optionalOldSelf"].as_bool(),
        }
    }
}

/// Compiles a pattern of a schema.
pub(super) fn compiled(pattern: &str) -> Result<Regex, String> {
    regexp::compile(pattern, MOST_PATTERN_BYTES)
}

fn texts(list: Option<&Value>) -> Vec<String> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

impl Checks {
    fn read(fields: &Map<String, Value>) -> Self {
        let number = |name: &str| match fields.get(name) {
            Some(Value::Number(number)) => Some(number.clone()),
            _ => None,
        };
        let count = |name: &str| fields.get(name).and_then(Value::as_i64);
        let is = |name: &str| fields.get(name) == Some(&Value::Bool(true));
        let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let nodes = |name: &str| {
            fields.get(name).and_then(Value::as_array).into_iter().flatten().map(Node::read).collect::<Vec<_>>()
        };
        let pattern = text("pattern");
        Self {
            format: text("format"),
            maximum: number("maximum"),
            exclusive_maximum: is("exclusiveMaximum"),
            minimum: number("minimum"),
            exclusive_minimum: is("exclusiveMinimum"),
            multiple_of: number("multipleOf"),
            max_length: count("maxLength"),
            min_length: count("minLength"),
            regex: (!pattern.is_empty()).then(|| compiled(&pattern).ok()).flatten(),
            pattern,
            max_items: count("maxItems"),
            min_items: count("minItems"),
            unique_items: is("uniqueItems"),
            max_properties: count("maxProperties"),
            min_properties: count("minProperties"),
            required: texts(fields.get("required")),
            r#enum: fields.get("enum").and_then(Value::as_array).cloned().unwrap_or_default(),
            all_of: nodes("allOf"),
            any_of: nodes("anyOf"),
            one_of: nodes("oneOf"),
            not: fields.get("not").filter(|not| not.is_object()).map(|not| Box::new(Node::read(not))),
        }
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
