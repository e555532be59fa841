//! The strategy of kinds that users define: everything comes from their definition.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;

use portolan_api::custom::{self, JsonPath, Options};
use portolan_api::description::Resource;
use portolan_api::field::{self, ErrorType, Path};
use portolan_base::{Timestamp, go};
use serde_json::{Value, json};

use super::rules::Rules;
use crate::endpoint::metadata;
use crate::resources::{self, print};
use crate::strategy::{CUSTOM_AGE, Context, Generations, NAME, Strategy, definition};

/// The strategy of a resource.
pub(crate) fn strategy_of(resource: &Resource) -> &dyn Strategy {
    match &resource.custom {
        Some(custom) => &**custom,
        None => resources::strategy(&resource.group, &resource.name),
    }
}

/// The strategy of a resource, for those who outlive the request.
#[derive(Clone)]
pub(crate) enum StrategyOf {
    BuiltIn(&'static dyn Strategy),
    Custom(Arc<custom::Version>),
}

impl StrategyOf {
    pub(crate) fn new(resource: &Resource) -> Self {
        match &resource.custom {
            Some(custom) => Self::Custom(custom.clone()),
            None => Self::BuiltIn(resources::strategy(&resource.group, &resource.name)),
        }
    }
}

impl Deref for StrategyOf {
    type Target = dyn Strategy;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::BuiltIn(strategy) => *strategy,
            Self::Custom(custom) => &**custom,
        }
    }
}

impl Strategy for custom::Version {
    fn default(&self, object: &mut Value) {
        custom::default(object, self.root());
    }

    fn prepare_for_create(&self, object: &mut Value, _context: &Context) {
        if self.has_status
            && let Some(fields) = object.as_object_mut()
        {
            fields.remove("status");
        }
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value, context: &Context) {
        if !self.has_status {
            return;
        }
        if context.subresource == "status" {
            let status = new.get_mut("status").map(Value::take);
            let managers = new["metadata"].get("managedFields").cloned();
            new.clone_from(old);
            set_or_remove(new, "status", status);
            if let Some(metadata) = new.get_mut("metadata") {
                set_or_remove(metadata, "managedFields", managers);
                set_or_remove(metadata, "resourceVersion", None);
            }
        } else {
            set_or_remove(new, "status", old.get("status").cloned());
        }
    }

    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        problems(self, object, None, "", &mut Vec::new())
    }

    fn validate_changed(
        &self,
        new: &Value,
        old: &Value,
        context: &Context,
        warnings: &mut Vec<String>,
    ) -> Vec<field::Error> {
        problems(self, new, Some(old), &context.subresource, warnings)
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        unqualified_finalizers(object, &Value::Null)
    }

    fn update_warnings(&self, new: &Value, old: &Value) -> Vec<String> {
        unqualified_finalizers(new, old)
    }

    fn column_definitions(&self) -> Value {
        let mut columns = vec![definition(&NAME)];
        if custom::Version::columns(self).is_empty() {
            columns.push(definition(&CUSTOM_AGE));
        }
        columns.extend(custom::Version::columns(self).iter().map(|column| {
            let description = match column.description.as_str() {
                "" => format!("Custom resource definition column (in JSONPath format): {}", column.path),
                given => given.to_owned(),
            };
            json!({
                "name": column.name, "type": column.value_type, "format": column.format,
                "priority": column.priority, "description": description,
            })
        }));
        Value::Array(columns)
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let mut cells = vec![print::name(object)];
        if custom::Version::columns(self).is_empty() {
            cells.push(print::age(object, now));
        }
        cells.extend(custom::Version::columns(self).iter().map(|column| {
            custom::cell(column, object, |time| {
                let then = time.parse::<Timestamp>().ok()?;
                Some(print::human_duration(now.as_second() - then.as_second()))
            })
        }));
        cells
    }

    fn selectable_field(&self, object: &Value, name: &str) -> Option<String> {
        let (_, path) = self.selectable().iter().find(|(known, _)| known == name)?;
        Some(match path.first(object) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        })
    }

    fn knows_field(&self, name: &str) -> bool {
        self.selectable().iter().any(|(known, _)| known == name)
    }

    fn generations(&self) -> Generations {
        Generations::FromCreation
    }

    fn is_new_generation(&self, new: &Value, old: &Value) -> bool {
        let content = |object: &Value| -> Value {
            let fields = object.as_object().into_iter().flatten();
            let content = fields.filter(|(name, _)| *name != "metadata" && !(self.has_status && *name == "status"));
            content.map(|(name, value)| (name.clone(), value.clone())).collect::<serde_json::Map<_, _>>().into()
        };
        content(new) != content(old)
    }
}

/// Errors that keep rules from being looked at.
const BLOCKING: [ErrorType; 5] =
    [ErrorType::NotSupported, ErrorType::Required, ErrorType::TooLong, ErrorType::TooMany, ErrorType::TypeInvalid];

/// What is wrong with an object of a definition's version. What was wrong before and may stay is warned of.
fn problems(
    version: &custom::Version,
    new: &Value,
    old: Option<&Value>,
    subresource: &str,
    warnings: &mut Vec<String>,
) -> Vec<field::Error> {
    let validate = if subresource == "status" { custom::validate_status } else { custom::validate };
    let mut errors = validate(new, version.root(), Options { old });
    if let Some(scale) = &version.scale {
        if subresource != "status" {
            errors.extend(replicas_problem(&scale.spec_replicas, new));
        }
        errors.extend(replicas_problem(&scale.status_replicas, new));
        errors.extend(scale.label_selector.as_ref().and_then(|path| selector_problem(path, new)));
    }
    if subresource != "status" {
        errors.extend(custom::validate_embedded(new, version.root()));
    }
    let twins = custom::validate_lists(new, version.root());
    // Who has some already may have others.
    if !twins.is_empty() && old.is_none_or(|old| custom::validate_lists(old, version.root()).is_empty()) {
        errors.extend(twins);
    }
    let rules = Rules::of(version);
    if !rules.are_there() {
        return errors;
    }
    // Rules are written against what the schema promises.
    let is_blocking = |error: &field::Error| BLOCKING.contains(&error.error_type);
    if errors.iter().any(is_blocking) || metadata_problems(version, new, old).iter().any(is_blocking) {
        let detail = "some validation rules were not checked because the object was invalid; correct the existing \
                      errors to complete validation";
        errors.push(field::Error::invalid(&Path::default(), Value::Null, detail));
    } else {
        let mut broken = rules.broken(version.root(), new, old);
        errors.append(&mut broken.errors);
        warnings.append(&mut broken.warnings);
    }
    errors
}

/// What is wrong with the metadata, which is told apart.
fn metadata_problems(version: &custom::Version, new: &Value, old: Option<&Value>) -> Vec<field::Error> {
    let rule = version.name_rule();
    old.map_or_else(|| metadata::check_new(new, rule), |old| metadata::check_update(new, old, Some(rule)))
}

/// The place of a path of a definition: upstream shows it as it is written there.
fn place(path: &JsonPath) -> Path {
    Path::new(&path.to_string())
}

fn replicas_problem(path: &JsonPath, object: &Value) -> Option<field::Error> {
    let most = i32::MAX;
    let (replicas, detail) = match path.integer(object) {
        Err(problem) => (0, problem),
        Ok(Some(replicas)) if replicas < 0 => (replicas, "should be a non-negative integer".to_owned()),
        Ok(Some(replicas)) if replicas > most.into() => (replicas, format!("should be less than or equal to {most}")),
        Ok(_) => return None,
    };
    Some(field::Error::invalid(&place(path), replicas, detail))
}

fn selector_problem(path: &JsonPath, object: &Value) -> Option<field::Error> {
    path.text(object).err().map(|problem| field::Error::invalid(&place(path), "", problem))
}

/// New finalizers whose names others may have, too.
fn unqualified_finalizers(new: &Value, old: &Value) -> Vec<String> {
    let of = |object: &Value| -> BTreeSet<String> {
        let list = object["metadata"]["finalizers"].as_array().into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let old = of(old);
    let added = of(new).into_iter().filter(|name| !old.contains(name));
    let unqualified = added.filter(|name| !metadata::is_standard_finalizer(name));
    unqualified
        .map(|name| {
            let path = if name.contains('.') { "including a path (/) " } else { "" };
            format!(
                "metadata.finalizers: {}: prefer a domain-qualified finalizer name {path}to avoid accidental \
                 conflicts with other finalizer writers",
                go::quote(&name)
            )
        })
        .collect()
}

fn set_or_remove(object: &mut Value, name: &str, value: Option<Value>) {
    let Some(fields) = object.as_object_mut() else { return };
    match value {
        Some(value) => fields.insert(name.into(), value),
        None => fields.remove(name),
    };
}
