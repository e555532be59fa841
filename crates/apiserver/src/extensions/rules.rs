//! Rules in CEL that definitions hold their objects to: `x-kubernetes-validations`.
//!
//! Source: `apiextensions-apiserver/pkg/apiserver/schema/cel`.

use std::collections::BTreeMap;
use std::sync::Arc;

use portolan_api::custom::{self, Additional, Compilable, Node, Notation, Rule};
use portolan_api::field::{Error, Path, Shown};
use portolan_cel::{
    Bindings, Budget, Environment, EvaluationError, OBJECT_LIMIT, Program, RESOURCE_ESTIMATE_LIMIT,
    RULE_ESTIMATE_LIMIT, Root, Schema, Type, Value as Cel,
};
use serde_json::Value;

use crate::resources::shown::compact;

/// Longest message that an expression may make.
const MESSAGE_LIMIT: usize = 5 * 1024;

const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// The rules of a version, compiled, where its schema has them.
#[derive(Debug)]
pub(crate) struct Rules(Option<Place>);

#[derive(Debug)]
struct Place {
    schema: Arc<Schema>,
    rules: Vec<Compiled>,
    properties: BTreeMap<String, Place>,
    items: Option<Box<Place>>,
    values: Option<Box<Place>>,
}

#[derive(Debug)]
struct Compiled {
    rule: Rule,
    program: Result<Program, String>,
    message: Option<Result<Program, String>>,
    uses_old: bool,
    /// The field that errors name, below the place of the rule; empty for the place itself.
    field: String,
    /// What evaluating the rule, and its message, costs at most.
    cost: (u64, u64),
}

fn of_type(found: &Type, wanted: &Type, what: &str) -> Result<(), String> {
    if found == wanted || *found == Type::Dyn { Ok(()) } else { Err(what.to_owned()) }
}

impl Compiled {
    fn new(rule: &Rule, schema: &Arc<Schema>, source: &Value) -> Self {
        let plain = Environment::new().with("self", schema.clone());
        let old = match rule.optional_old_self == Some(true) {
            true => plain.clone().with_type("oldSelf", Type::Optional(Arc::new(schema.ty()))),
            false => plain.clone().with("oldSelf", schema.clone()),
        };
        let compile = |environment: &Environment, text: &str| environment.compile(text);
        let program =
            compile(&old, &rule.rule).map_err(|error| format!("compilation failed: {error}")).and_then(|program| {
                of_type(program.ty(), &Type::Bool, "cel expression must evaluate to a bool").map(|()| program)
            });
        // Only an expression that names it fails without it.
        let uses_old = program.is_ok() && rule.rule.contains("oldSelf") && compile(&plain, &rule.rule).is_err();
        // What is said of a rule that is none does not matter.
        let message = (program.is_ok() && !rule.message_expression.is_empty()).then(|| {
            compile(&old, &rule.message_expression)
                .map_err(|error| format!("messageExpression compilation failed: {error}"))
                .and_then(|program| {
                    of_type(program.ty(), &Type::String, "messageExpression must evaluate to a string")
                        .map(|()| program)
                })
        });
        let most = |program: &Program| program.estimate(&old).max;
        let cost = (
            program.as_ref().map_or(0, most),
            message.as_ref().and_then(|message| message.as_ref().ok()).map_or(0, most),
        );
        // A path that leads nowhere is refused with the definition.
        let field = custom::field_path(&rule.field_path, source, Notation::DotsAndBrackets);
        let field = field.map(|(path, _)| path).unwrap_or_default();
        Self { rule: rule.clone(), program, message, uses_old, field, cost }
    }

    /// How the rule is named in errors.
    fn name(&self) -> &str {
        if self.rule.message.is_empty() { self.rule.rule.trim() } else { self.rule.message.trim() }
    }
}

impl Place {
    /// Compiles the rules here and below; `None` if there are none.
    fn new(source: &Value, node: &Node, root: Root) -> Option<Self> {
        if !node.has_rules() {
            return None;
        }
        let schema = Schema::of_structural(source, root)?;
        let below = |name: &str, inner: &Node| Self::new(&source[name], inner, Root::No).map(Box::new);
        let properties = node
            .properties
            .iter()
            .filter_map(|(name, inner)| Some((name.clone(), Self::new(&source["properties"][name], inner, Root::No)?)));
        Some(Self {
            rules: node.rules.iter().map(|rule| Compiled::new(rule, &schema, source)).collect(),
            properties: properties.collect(),
            items: node.items.as_deref().and_then(|inner| below("items", inner)),
            values: match &node.additional {
                Some(Additional::Schema(inner)) => below("additionalProperties", inner),
                _ => None,
            },
            schema,
        })
    }
}

/// What is wrong with the rules of a schema, where they can be looked at: they do not compile, cost too much, or speak
/// of old values that nobody can find.
pub(crate) fn problems(schema: &Value, path: &Path, compilable: &Compilable) -> Vec<Error> {
    let node = Node::read(schema);
    let mut errors = Vec::new();
    let mut costs = Vec::new();
    if *compilable != Compilable::Nowhere {
        unreachable_rules(schema, &node, path, compilable, &mut errors);
        if let Some(place) = Place::new(schema, &node, Root::Yes) {
            check(&place, &node, path, None, compilable, &mut errors);
            estimate(&place, &node, schema, path, Some(1), &mut costs);
            costs.retain(|cost| compilable.contains(&cost.of));
        }
    }
    let total = costs.iter().fold(0_u64, |total, cost| total.saturating_add(cost.most));
    for Cost { path, what, most, .. } in &costs {
        if *most > RULE_ESTIMATE_LIMIT {
            errors.push(Error::forbidden(path, over(&format!("estimated {what} cost"), *most, RULE_ESTIMATE_LIMIT)));
        }
    }
    if total > RESOURCE_ESTIMATE_LIMIT {
        // What is less than a hundredth of the limit is not worth a word.
        costs.retain(|cost| cost.most >= RESOURCE_ESTIMATE_LIMIT / 100);
        costs.sort_by_key(|cost| std::cmp::Reverse(cost.most));
        for cost in costs.iter().take(4) {
            let text = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
            errors.push(Error::forbidden(&cost.path, text));
        }
        let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        errors.push(Error::forbidden(path, over(what, total, RESOURCE_ESTIMATE_LIMIT)));
    }
    errors
}

/// Which defaults break the rules that stand with them or below: as values that stay, and as new ones.
pub(crate) fn problems_of_defaults(schema: &Value, path: &Path) -> Vec<Error> {
    let mut run = Run::new(Ratcheting::Off);
    // What ends it early is among the errors.
    let _ = defaults(schema, path, Root::Yes, &mut run);
    run.errors
}

fn defaults(schema: &Value, path: &Path, root: Root, run: &mut Run) -> Result<(), Stop> {
    let default = &schema["default"];
    if root == Root::No && !default.is_null() {
        let node = Node::read(schema);
        if let Some(place) = Place::new(schema, &node, Root::No) {
            let (path, before) = (path.child("default"), run.errors.len());
            run.place(&place, &node, &path, default, Some(default), Ratchet::Changed)?;
            if run.errors.len() == before {
                run.place(&place, &node, &path, default, None, Ratchet::Changed)?;
            }
        }
    }
    if schema["items"].is_object() {
        defaults(&schema["items"], &path.child("items"), Root::No, run)?;
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        defaults(property, &path.child("properties").key(name), Root::No, run)?;
    }
    Ok(())
}

/// By how much an estimate is too high, in upstream's words.
fn over(what: &str, cost: u64, limit: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a factor for people")]
    let factor = cost as f64 / limit as f64;
    let factor = match factor {
        factor if factor > 100.0 => "more than 100x".to_owned(),
        factor if factor < 1.5 => format!("{factor:.6}x"),
        factor => format!("{factor:.1}x"),
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and \
         maxLength where arrays, maps, and strings are declared)"
    )
}

/// Rules in places whose values expressions cannot reach, for example because their type is not said.
fn unreachable_rules(schema: &Value, node: &Node, path: &Path, compilable: &Compilable, errors: &mut Vec<Error>) {
    if !node.has_rules() {
        return;
    }
    if !node.rules.is_empty() && compilable.contains(path) && Schema::of_structural(schema, Root::No).is_none() {
        let text = "internal error: failed to construct type information for x-kubernetes-validations rules: unable to \
                    convert structural schema to CEL declarations";
        errors.push(Error::internal(&path.child("x-kubernetes-validations"), text));
    }
    for (name, inner) in &node.properties {
        let path = path.child("properties").key(name);
        unreachable_rules(&schema["properties"][name], inner, &path, compilable, errors);
    }
    if let Some(items) = &node.items {
        unreachable_rules(&schema["items"], items, &path.child("items"), compilable, errors);
    }
    if let Some(Additional::Schema(values)) = &node.additional {
        let path = path.child("additionalProperties");
        unreachable_rules(&schema["additionalProperties"], values, &path, compilable, errors);
    }
}

/// What an expression costs.
struct Cost {
    /// The place whose rule it is.
    of: Path,
    /// The expression.
    path: Path,
    what: &'static str,
    most: u64,
}

/// What rules cost at most, each as often as its place can be there: `times`, or nobody knows how often.
fn estimate(place: &Place, node: &Node, source: &Value, path: &Path, times: Option<u64>, costs: &mut Vec<Cost>) {
    // As often as its smallest values fit into the largest request.
    let times_here = times.unwrap_or_else(|| {
        let list = serde_json::json!({"type": "array", "items": source});
        Schema::of_structural(&list, Root::No).and_then(|list| list.max_length).unwrap_or(u64::MAX)
    });
    for (index, compiled) in place.rules.iter().enumerate() {
        let here = path.child("x-kubernetes-validations").index(index);
        let (rule, message) = compiled.cost;
        let mut cost = |what, most| costs.push(Cost { of: path.clone(), path: here.child(what), what, most });
        cost("rule", rule.saturating_mul(times_here));
        if compiled.message.is_some() {
            cost("messageExpression", message);
        }
    }
    for (name, inner) in &place.properties {
        if let Some(node) = node.properties.get(name) {
            estimate(inner, node, &source["properties"][name], &path.child("properties").key(name), times, costs);
        }
    }
    let most = |count: Option<i64>| count.and_then(|count| u64::try_from(count).ok());
    let product = |most: Option<u64>| Some(times?.saturating_mul(most?));
    let checks = node.checks.as_deref();
    if let (Some(inner), Some(items)) = (&place.items, &node.items) {
        let times = product(most(checks.and_then(|checks| checks.max_items)));
        estimate(inner, items, &source["items"], &path.child("items"), times, costs);
    }
    if let (Some(inner), Some(Additional::Schema(values))) = (&place.values, &node.additional) {
        let times = product(most(checks.and_then(|checks| checks.max_properties)));
        let (source, path) = (&source["additionalProperties"], path.child("additionalProperties"));
        estimate(inner, values, source, &path, times, costs);
    }
}

fn check(
    place: &Place,
    node: &Node,
    path: &Path,
    lost: Option<&Path>,
    compilable: &Compilable,
    errors: &mut Vec<Error>,
) {
    let rules = if compilable.contains(path) { &place.rules[..] } else { &[] };
    for (index, compiled) in rules.iter().enumerate() {
        let here = path.child("x-kubernetes-validations").index(index);
        let wrong =
            |name: &str, problem: &str| Error::invalid(&here.child(name), Shown::Text(shown(&compiled.rule)), problem);
        if let Err(problem) = &compiled.program {
            errors.push(wrong("rule", problem));
        }
        if let Some(Err(problem)) = &compiled.message {
            errors.push(wrong("messageExpression", problem));
        }
        match lost {
            Some(lost) if compiled.uses_old => {
                let detail =
                    format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {lost}");
                errors.push(Error::invalid(&here.child("rule"), compiled.rule.rule.as_str(), detail));
            }
            _ if !compiled.uses_old && compiled.rule.optional_old_self.is_some() => {
                let detail = "may not be set if oldSelf is not used in rule";
                errors.push(Error::invalid(&here.child("optionalOldSelf"), compiled.rule.optional_old_self, detail));
            }
            _ => {}
        }
    }
    let inside = if node.map_type == "atomic" { lost.or(Some(path)) } else { lost };
    for (name, inner) in &place.properties {
        if let Some(node) = node.properties.get(name) {
            check(inner, node, &path.child("properties").key(name), inside, compilable, errors);
        }
    }
    if let (Some(inner), Some(items)) = (&place.items, &node.items) {
        let lost = lost.or((node.list_type != "map").then_some(path));
        check(inner, items, &path.child("items"), lost, compilable, errors);
    }
    if let (Some(inner), Some(Additional::Schema(node))) = (&place.values, &node.additional) {
        check(inner, node, &path.child("additionalProperties"), lost, compilable, errors);
    }
}

/// A rule as upstream shows it in errors.
fn shown(rule: &Rule) -> String {
    let some = |text: &str| if text.is_empty() { Value::Null } else { text.into() };
    let rule = serde_json::json!({
        "rule": rule.rule, "message": rule.message, "messageExpression": rule.message_expression,
        "reason": some(&rule.reason), "fieldPath": rule.field_path,
        "optionalOldSelf": rule.optional_old_self,
    });
    compact("ValidationRule", &rule)
}

impl Rules {
    /// The rules of a version, compiled at the first call.
    pub(crate) fn of(version: &custom::Version) -> &Self {
        version.derived(|| {
            let source = version.source();
            Self(Place::new(&source["schema"]["openAPIV3Schema"], version.root(), Root::Yes))
        })
    }

    /// Which rules an object breaks.
    pub(crate) fn broken(&self, node: &Node, object: &Value, old: Option<&Value>) -> Broken {
        let mut run = Run::new(Ratcheting::On);
        if let Some(place) = &self.0 {
            // What ends it early is among the errors.
            let _ = run.place(place, node, &Path::default(), object, old, Ratchet::of(object, old));
        }
        Broken { errors: run.errors, warnings: run.warnings }
    }

    /// Whether there are rules at all.
    pub(crate) fn are_there(&self) -> bool {
        self.0.is_some()
    }
}

/// What a look at all rules brought.
pub(crate) struct Broken {
    /// What the write is refused for.
    pub(crate) errors: Vec<Error>,
    /// What was wrong before and may stay.
    pub(crate) warnings: Vec<String>,
}

/// Whether what was there before and broke the same rule is let be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ratcheting {
    On,
    Off,
}

/// Whether a value was there before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ratchet {
    Unchanged,
    Changed,
}

impl Ratchet {
    fn of(new: &Value, old: Option<&Value>) -> Self {
        if old == Some(new) { Self::Unchanged } else { Self::Changed }
    }
}

/// No more rules are run.
struct Stop;

/// The values of variables.
struct Bound<'b, 'a>(&'b [(&'b str, Cel<'a>)]);

impl<'a> Bindings<'a> for Bound<'_, 'a> {
    fn get(&self, name: &str) -> Option<Result<Cel<'a>, EvaluationError>> {
        self.0.iter().find(|(bound, _)| *bound == name).map(|(_, value)| Ok(value.clone()))
    }
}

struct Run {
    errors: Vec<Error>,
    warnings: Vec<String>,
    budget: Budget,
    ratcheting: Ratcheting,
}

impl Run {
    fn new(ratcheting: Ratcheting) -> Self {
        Self { errors: Vec::new(), warnings: Vec::new(), budget: Budget::new(OBJECT_LIMIT), ratcheting }
    }

    fn place(
        &mut self,
        place: &Place,
        node: &Node,
        path: &Path,
        value: &Value,
        old: Option<&Value>,
        ratchet: Ratchet,
    ) -> Result<(), Stop> {
        if value.is_null() {
            return Ok(());
        }
        for compiled in &place.rules {
            self.rule(compiled, place, node, path, value, old.filter(|old| !old.is_null()), ratchet)?;
        }
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let old = old.and_then(|old| old.get(name));
                    let ratchet = if old.is_some() { Ratchet::of(value, old) } else { ratchet };
                    if let (Some(inner), Some(node)) = (place.properties.get(name), node.properties.get(name)) {
                        self.place(inner, node, &path.child(name), value, old, ratchet)?;
                    } else if let (Some(inner), Some(Additional::Schema(node))) = (&place.values, &node.additional)
                        && place.properties.is_empty()
                    {
                        self.place(inner, node, &path.key(name), value, old, ratchet)?;
                    }
                }
                Ok(())
            }
            Value::Array(items) => {
                let (Some(inner), Some(inner_node)) = (&place.items, &node.items) else { return Ok(()) };
                for (index, item) in items.iter().enumerate() {
                    let old = custom::counterpart(item, old, node);
                    let ratchet = if old.is_some() { Ratchet::of(item, old) } else { ratchet };
                    self.place(inner, inner_node, &path.index(index), item, old, ratchet)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one place of a walk")]
    fn rule(
        &mut self,
        compiled: &Compiled,
        place: &Place,
        node: &Node,
        path: &Path,
        value: &Value,
        old: Option<&Value>,
        ratchet: Ratchet,
    ) -> Result<(), Stop> {
        let kind = node.r#type.map_or("", custom::JsonType::name);
        let program = match &compiled.program {
            Ok(program) => program,
            Err(problem) => {
                self.errors.push(Error::invalid(path, kind, format!("rule compile error: {problem}")));
                return Ok(());
            }
        };
        // A rule about a change asks nothing of what is new, unless it says that it may.
        if compiled.uses_old && old.is_none() && compiled.rule.optional_old_self != Some(true) {
            return Ok(());
        }
        if self.budget.remaining == 0 {
            self.errors.push(Error::invalid(path, kind, OUT_OF_BUDGET));
            return Err(Stop);
        }
        let new = Cel::of(value, &place.schema);
        let before = old.map(|old| Cel::of(old, &place.schema));
        let mut bindings = vec![("self", new)];
        if compiled.rule.optional_old_self == Some(true) {
            bindings.push(("oldSelf", Cel::Optional(before.map(Arc::new))));
        } else if let Some(before) = before {
            bindings.push(("oldSelf", before));
        }
        match program.evaluate(&Bound(&bindings), &mut self.budget) {
            Ok(outcome) if outcome.as_bool() == Some(true) => return Ok(()),
            Ok(_) => {}
            Err(EvaluationError::CostExceeded) => {
                let detail = match self.budget.remaining {
                    0 => OUT_OF_BUDGET.to_owned(),
                    _ => format!(
                        "'operation cancelled: actual cost limit exceeded': no further validation rules will be run \
                         due to call cost exceeds limit for rule: {}",
                        compiled.name()
                    ),
                };
                self.errors.push(Error::invalid(path, kind, detail));
                return Err(Stop);
            }
            Err(EvaluationError::NoSuchOverload) => {
                let detail = format!(
                    "'no such overload': call arguments did not match a supported operator, function or macro \
                     signature for rule: {}",
                    compiled.name()
                );
                self.errors.push(Error::invalid(path, kind, detail));
                return Ok(());
            }
            Err(error) => {
                let detail = format!("{error} evaluating rule: {}", compiled.name());
                self.errors.push(Error::invalid(path, kind, detail));
                return Ok(());
            }
        }
        let made = match &compiled.message {
            Some(Ok(program)) => self.message(program, &bindings),
            _ => None,
        };
        let detail = made.unwrap_or_else(|| match compiled.rule.message.is_empty() {
            true => format!("failed rule: {}", compiled.name()),
            false => compiled.name().to_owned(),
        });
        let error = broken(compiled, path, value, detail);
        if self.ratcheting == Ratcheting::On && ratchet == Ratchet::Unchanged && !compiled.uses_old {
            self.warnings.push(error.to_string());
        } else {
            self.errors.push(error);
        }
        Ok(())
    }

    fn message<'a>(&mut self, program: &Program, bindings: &[(&str, Cel<'a>)]) -> Option<String> {
        let value = program.evaluate(&Bound(bindings), &mut self.budget).ok()?;
        let text = value.as_str()?.trim();
        (!text.is_empty() && text.len() <= MESSAGE_LIMIT && !text.contains('\n')).then(|| text.to_owned())
    }
}

fn broken(compiled: &Compiled, path: &Path, value: &Value, detail: String) -> Error {
    let path = if compiled.field.is_empty() { path.clone() } else { path.child(&compiled.field) };
    match compiled.rule.reason.as_str() {
        "FieldValueForbidden" => Error::forbidden(&path, detail),
        "FieldValueRequired" => Error::required(&path, detail),
        "FieldValueDuplicate" => Error::duplicate(&path, value.clone()),
        _ if value.is_object() || value.is_array() => Error::invalid(&path, Shown::Omitted, detail),
        _ => Error::invalid(&path, value.clone(), detail),
    }
}
