//! What is wrong with the rules of a definition.

use portolan_api::custom::{Additional, Compilable, Node, Rule};
use portolan_api::field::{Error, Path, Shown};
use portolan_cel::{RESOURCE_ESTIMATE_LIMIT, RULE_ESTIMATE_LIMIT, Root, Schema};
use serde_json::Value;

use super::Place;
use super::run::{Ratchet, Ratcheting, Run, Stop};
use crate::resources::shown::compact;

/// What is wrong with the rules of a schema, where they can be looked at: they do not compile, cost too much, or speak
/// of old values that nobody can find.
pub(crate) fn problems(schema: &Value, path: &Path, compilable: &Compilable) -> Vec<Error> {
    let node = Node::read(schema);
    let mut errors = Vec::new();
    let mut costs = Vec::new();
    if *compilable != Compilable::Nowhere {
        unreachable_rules(schema, &node, path, compilable, &mut errors);
        if let Some(place) = Place::new(schema, &node, Root::Yes) {
            estimate(&place, &node, schema, path, Some(1), &mut costs);
            costs.retain(|cost| compilable.contains(&cost.of));
            let expensive: Vec<&Cost> = costs.iter().filter(|cost| cost.most > RULE_ESTIMATE_LIMIT).collect();
            check(&place, &node, path, None, &Known { compilable, expensive: &expensive }, &mut errors);
        }
    }
    let total = costs.iter().fold(0_u64, |total, cost| total.saturating_add(cost.most));
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

/// What is known of rules before they are looked at one by one.
struct Known<'a> {
    compilable: &'a Compilable,
    /// Those that cost more than one may.
    expensive: &'a [&'a Cost],
}

impl Known<'_> {
    fn report_cost(&self, path: &Path, errors: &mut Vec<Error>) {
        let Some(cost) = self.expensive.iter().find(|cost| cost.path.to_string() == path.to_string()) else { return };
        let text = over(&format!("estimated {} cost", cost.what), cost.most, RULE_ESTIMATE_LIMIT);
        errors.push(Error::forbidden(path, text));
    }
}

fn check(place: &Place, node: &Node, path: &Path, lost: Option<&Path>, known: &Known<'_>, errors: &mut Vec<Error>) {
    // What is wrong inside is told before what is wrong here.
    let inside = if node.map_type == "atomic" { lost.or(Some(path)) } else { lost };
    if let (Some(inner), Some(Additional::Schema(node))) = (&place.values, &node.additional) {
        check(inner, node, &path.child("additionalProperties"), lost, known, errors);
    }
    for (name, inner) in &place.properties {
        if let Some(node) = node.properties.get(name) {
            check(inner, node, &path.child("properties").key(name), inside, known, errors);
        }
    }
    if let (Some(inner), Some(items)) = (&place.items, &node.items) {
        let lost = lost.or((node.list_type != "map").then_some(path));
        check(inner, items, &path.child("items"), lost, known, errors);
    }
    let rules = if known.compilable.contains(path) { &place.rules[..] } else { &[] };
    for (index, compiled) in rules.iter().enumerate() {
        let here = path.child("x-kubernetes-validations").index(index);
        let wrong =
            |name: &str, problem: &str| Error::invalid(&here.child(name), Shown::Text(shown(&compiled.rule)), problem);
        known.report_cost(&here.child("rule"), errors);
        if let Err(problem) = &compiled.program {
            errors.push(wrong("rule", problem));
        }
        if let Some(Err(problem)) = &compiled.message {
            errors.push(wrong("messageExpression", problem));
        }
        known.report_cost(&here.child("messageExpression"), errors);
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
