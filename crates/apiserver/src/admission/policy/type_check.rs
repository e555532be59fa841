//! Checks of a policy's expressions against the kinds that it is about. What they find is told in the status of
//! the policy and keeps nobody from writing it.
//!
//! Source: `k8s.io/apiserver/pkg/admission/plugin/policy/validating/typechecking.go`.

use std::collections::BTreeSet;
use std::sync::Arc;

use portolan_api::description::{Description, GroupVersionKind, OwnedKind, Schema, Type as ApiType};
use portolan_cel::{Field, Kind, Merge, Object, Schema as CelSchema, escape};
use serde_json::{Value, json};

use super::compile::{self, Scope};

/// Most kinds that a policy is checked against.
const MOST_KINDS: usize = 10;

/// How deep fields are known. Some definitions contain themselves.
const DEEPEST: usize = 16;

/// What does not fit the kinds that a policy names, as `status.typeChecking.expressionWarnings`.
pub(crate) fn warnings(spec: &Value, description: &Description) -> Vec<Value> {
    let kinds = kinds(spec, description);
    let schemas: Vec<(OwnedKind, Arc<CelSchema>)> =
        kinds.into_iter().filter_map(|kind| Some((kind.clone(), of_kind(description, kind.borrowed())?))).collect();
    let param_kind = &spec["paramKind"];
    let params = param_kind["apiVersion"]
        .as_str()
        .zip(param_kind["kind"].as_str())
        .and_then(|(version, kind)| of_kind(description, GroupVersionKind::from_api_version(version, kind)));
    let scope = Scope { params: param_kind.is_object(), authorizer: true, mutation: false };
    let mut warnings = Vec::new();
    for (index, validation) in spec["validations"].as_array().into_iter().flatten().enumerate() {
        for field in ["expression", "messageExpression"] {
            let Some(text) = validation[field].as_str().filter(|text| !text.is_empty()) else { continue };
            let mut problems = Vec::new();
            for (kind, schema) in &schemas {
                let mut environment =
                    compile::environment(scope).with("object", schema.clone()).with("oldObject", schema.clone());
                if let Some(params) = &params {
                    environment = environment.with("params", params.clone());
                }
                let (_, environment) = compile::variables(environment, spec);
                if let Err(why) = environment.compile(text) {
                    problems.push(format!("{}: {why}\n", kind.borrowed()));
                }
            }
            if !problems.is_empty() {
                let field = format!("spec.validations[{index}].{field}");
                warnings.push(json!({"fieldRef": field, "warning": problems.join("\n")}));
            }
        }
    }
    warnings
}

/// Kinds that the rules name, without wildcards.
fn kinds(spec: &Value, description: &Description) -> BTreeSet<OwnedKind> {
    let mut kinds = BTreeSet::new();
    for rule in spec["matchConstraints"]["resourceRules"].as_array().into_iter().flatten() {
        let texts = |field: &str| -> Vec<&str> {
            rule[field].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
        };
        let (groups, versions) = (texts("apiGroups"), texts("apiVersions"));
        if groups.iter().chain(&versions).any(|name| name.contains('*')) {
            continue;
        }
        for group in groups {
            for version in &versions {
                for name in texts("resources").into_iter().filter(|name| !name.contains(['*', '/'])) {
                    let Some(resource) = description.resource(group, version, name) else { continue };
                    let kind = resource.group_version_kind();
                    kinds.insert(OwnedKind {
                        group: kind.group.to_owned().into(),
                        version: kind.version.to_owned().into(),
                        kind: kind.kind.to_owned().into(),
                    });
                    if kinds.len() == MOST_KINDS {
                        return kinds;
                    }
                }
            }
        }
    }
    kinds
}

/// What expressions know of a kind.
fn of_kind(description: &Description, kind: GroupVersionKind<'_>) -> Option<Arc<CelSchema>> {
    Some(of_schema(description.schema(kind)?, kind.kind, 0))
}

fn of_schema(schema: Schema<'_>, name: &str, depth: usize) -> Arc<CelSchema> {
    if depth > DEEPEST {
        return CelSchema::any();
    }
    let inner = |schema: Option<Schema<'_>>| match schema {
        Some(schema) => of_schema(schema, name, depth + 1),
        None => CelSchema::any(),
    };
    let kind = match schema.r#type() {
        ApiType::String | ApiType::Quantity => Kind::String,
        ApiType::Bytes => Kind::Bytes,
        ApiType::Time | ApiType::MicroTime => Kind::Timestamp,
        ApiType::Boolean => Kind::Bool,
        ApiType::Int32 | ApiType::Int64 => Kind::Int,
        ApiType::Number => Kind::Double,
        ApiType::IntOrString => Kind::IntOrString,
        ApiType::List(_) => Kind::List(inner(schema.items()), Merge::Atomic),
        ApiType::Map(_) => Kind::Map(inner(schema.values())),
        ApiType::Struct(_) => {
            let fields = schema.fields().iter().filter_map(|field| {
                let made = of_schema(schema.at(field), &format!("{name}.{}", field.name), depth + 1);
                let known = Field { name: field.name.to_string(), schema: made, required: field.required };
                Some((escape(&field.name)?, known))
            });
            Kind::Object(Arc::new(Object { name: name.to_owned(), fields: fields.collect() }))
        }
        ApiType::Any | ApiType::Dynamic | ApiType::Builtin(_) => Kind::Dyn,
    };
    Arc::new(CelSchema::new(kind))
}

#[cfg(test)]
mod tests {
    use portolan_api::description::builtin;

    use super::*;

    #[test]
    fn what_does_not_fit_the_kind_is_told() {
        let spec = |expression: &str| {
            json!({
                "matchConstraints": {"resourceRules": [
                    {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["*"], "resources": ["deployments"]},
                ]},
                "variables": [{"name": "spec", "expression": "object.spec"}],
                "validations": [{"expression": expression}],
            })
        };
        for fits in ["object.spec.replicas > 1", "object.metadata.__namespace__ == 'a'", "variables.spec.replicas == 1"]
        {
            assert_eq!(warnings(&spec(fits), builtin()), Vec::<Value>::new(), "{fits}");
        }
        let found = warnings(&spec("object.spec.replicas > '1'"), builtin());
        assert_eq!(
            found,
            [json!({
                "fieldRef": "spec.validations[0].expression",
                "warning": "apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload for '_>_' applied to '(int, string)'\n | object.spec.replicas > '1'\n | .....................^\n",
            })]
        );
        let found = warnings(&spec("object.spec.foo"), builtin());
        assert!(found[0]["warning"].as_str().expect("a text").contains("undefined field 'foo'"), "{found:?}");
    }

    /// The answers are those of upstream's own checker.
    #[test]
    fn variables_are_known_by_their_types_but_objects_are_not() {
        let no_overload = |place, types| {
            Some(format!("ERROR: <input>:1:{place}: found no matching overload for '_>_' applied to '({types})'"))
        };
        let undefined = |name| Some(format!("ERROR: <input>:1:10: undefined field '{name}'"));
        for (variables, expression, expected) in [
            (&[("spec", "object.spec")][..], "variables.spec.foo", None),
            (&[("spec", "object.spec")], "variables.spec.replicas > '1'", None),
            (&[("replicas", "object.spec.replicas")], "variables.replicas > '1'", no_overload(20, "int, string")),
            (&[("bad", "object.spec.foo")], "variables.bad > '1'", None),
            (&[("other", "object.spec")], "variables.bad > '1'", undefined("bad")),
            (&[("labels", "object.metadata.labels")], "variables.labels.x > 1", no_overload(20, "string, int")),
            (&[("names", "object.metadata.finalizers")], "variables.names[0] > 1", no_overload(20, "string, int")),
            (&[("items", "object.spec.template.spec.containers")], "variables.items[0].b > 'x'", None),
            (&[("r", "request")], "variables.r.foo > 'x'", None),
            (&[("ns", "namespaceObject")], "variables.ns.foo > 'x'", None),
            (&[("o", "optional.of(1)")], "variables.o > 'x'", None),
            (&[("one", "1"), ("two", "variables.one")], "variables.two > 'x'", no_overload(15, "int, string")),
            (&[("two", "variables.one"), ("one", "1")], "variables.two > 'x'", None),
            (&[("t", "type(1)")], "variables.t > 'x'", None),
            (&[("a", "authorizer")], "variables.a > 'x'", None),
            (&[("m", "{'a': object.spec}")], "variables.m['a'].replicas > 'a'", None),
            (&[("m", "{1: 2}")], "variables.m[1] > 'a'", no_overload(16, "int, string")),
            (&[("d", "duration('1s')")], "variables.d > 'x'", no_overload(13, "duration, string")),
        ] {
            let variables: Vec<Value> =
                variables.iter().map(|(name, text)| json!({"name": name, "expression": text})).collect();
            let spec = json!({
                "matchConstraints": {"resourceRules": [
                    {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["*"], "resources": ["deployments"]},
                ]},
                "variables": variables,
                "validations": [{"expression": expression}],
            });
            let found = warnings(&spec, builtin());
            let told =
                found.first().and_then(|warning| warning["warning"].as_str()).and_then(|text| text.lines().next());
            let told = told.map(|line| line.replace("apps/v1, Kind=Deployment: ", ""));
            assert_eq!(told, expected, "{variables:?} {expression}");
        }
    }
}
