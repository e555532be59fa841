//! Expressions of policies and conditions: what they may refer to, and what they must give.

use std::sync::{Arc, LazyLock};

use portolan_cel::{Environment, Kind, Program, Schema, Type};
use serde_json::Value;

/// Which variables an expression sees besides the objects and the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scope {
    /// `params`
    pub(crate) params: bool,
    /// `authorizer` and `authorizer.requestResource`
    pub(crate) authorizer: bool,
    /// Objects can be built.
    pub(crate) mutation: bool,
}

/// The schema of `request`.
pub(crate) static REQUEST: LazyLock<Arc<Schema>> = LazyLock::new(|| {
    let kind = Schema::object("kubernetes.GroupVersionKind", texts(["group", "version", "kind"]));
    let resource = Schema::object("kubernetes.GroupVersionResource", texts(["group", "version", "resource"]));
    let user = Schema::object(
        "kubernetes.UserInfo",
        [("username", text()), ("uid", text()), ("groups", list(text())), ("extra", map(list(text())))],
    );
    Schema::object(
        "kubernetes.AdmissionRequest",
        [
            ("kind", kind.clone()),
            ("resource", resource.clone()),
            ("subResource", text()),
            ("requestKind", kind),
            ("requestResource", resource),
            ("requestSubResource", text()),
            ("name", text()),
            ("namespace", text()),
            ("operation", text()),
            ("userInfo", user),
            ("dryRun", Arc::new(Schema::new(Kind::Bool))),
            ("options", Schema::any()),
        ],
    )
});

/// The schema of `namespaceObject`.
pub(crate) static NAMESPACE: LazyLock<Arc<Schema>> = LazyLock::new(|| {
    let time = || Arc::new(Schema::new(Kind::Timestamp));
    let number = || Arc::new(Schema::new(Kind::Int));
    let metadata = Schema::object(
        "kubernetes.NamespaceMetadata",
        [
            ("name", text()),
            ("generateName", text()),
            ("namespace", text()),
            ("labels", map(text())),
            ("annotations", map(text())),
            ("UID", text()),
            ("creationTimestamp", time()),
            ("deletionGracePeriodSeconds", number()),
            ("deletionTimestamp", time()),
            ("generation", number()),
            ("resourceVersion", text()),
            ("finalizers", list(text())),
        ],
    );
    let condition = Schema::object(
        "kubernetes.NamespaceCondition",
        [("status", text()), ("type", text()), ("lastTransitionTime", time()), ("message", text()), ("reason", text())],
    );
    let status = Schema::object("kubernetes.NamespaceStatus", [("conditions", list(condition)), ("phase", text())]);
    let spec = Schema::object("kubernetes.NamespaceSpec", [("finalizers", list(text()))]);
    Schema::object("kubernetes.Namespace", [("metadata", metadata), ("spec", spec), ("status", status)])
});

fn text() -> Arc<Schema> {
    Arc::new(Schema::new(Kind::String))
}

fn texts<const N: usize>(names: [&'static str; N]) -> [(&'static str, Arc<Schema>); N] {
    names.map(|name| (name, text()))
}

fn list(items: Arc<Schema>) -> Arc<Schema> {
    Arc::new(Schema::new(Kind::List(items, portolan_cel::Merge::Atomic)))
}

fn map(values: Arc<Schema>) -> Arc<Schema> {
    Arc::new(Schema::new(Kind::Map(values)))
}

/// What expressions of a policy or condition may refer to.
pub(crate) fn environment(scope: Scope) -> Environment {
    let mut environment = Environment::new()
        .with("object", Schema::any())
        .with("oldObject", Schema::any())
        .with("request", REQUEST.clone())
        .with("namespaceObject", NAMESPACE.clone());
    if scope.params {
        environment = environment.with("params", Schema::any());
    }
    if scope.authorizer {
        environment = environment.with_authorizer();
    }
    if scope.mutation { environment.for_mutation() } else { environment }
}

/// An expression, or why it is none.
#[derive(Debug)]
pub(crate) struct Expression {
    pub(crate) text: String,
    pub(crate) program: Result<Program, NoProgram>,
}

/// Why a text is no program.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum NoProgram {
    /// It is no expression, or of another type than is wanted.
    #[error("{0}")]
    Invalid(String),
    /// It is what it should be, but what is constant in it has no value.
    #[error("{0}")]
    Internal(String),
}

impl Expression {
    /// Compiles a text whose value must be of one of these types; of any, if none is named.
    pub(crate) fn compile(environment: &Environment, text: &str, types: &[Type]) -> Self {
        let compiled =
            environment.compile(text).map_err(|error| NoProgram::Invalid(format!("compilation failed: {error}")));
        let program = compiled.and_then(|program| {
            if types.is_empty() || types.contains(program.ty()) {
                return program
                    .instantiated()
                    .map_err(|why| NoProgram::Internal(format!("program instantiation failed: {why}")));
            }
            let found = program.ty().full_name();
            Err(NoProgram::Invalid(match types {
                [one] => format!("must evaluate to {} but got {found}", one.full_name()),
                many => {
                    let names: Vec<String> = many.iter().map(Type::full_name).collect();
                    format!("must evaluate to one of [{}] but got {found}", names.join(" "))
                }
            }))
        });
        Self { text: text.to_owned(), program }
    }
}

/// A value that other expressions of the same policy use as `variables.<name>`.
#[derive(Debug)]
pub(crate) struct Variable {
    /// With `variables.` before it.
    pub(crate) name: String,
    pub(crate) expression: Expression,
}

/// An environment that knows the name before those of variables.
pub(crate) fn with_no_variables(environment: Environment) -> Environment {
    environment.with("variables", Schema::object("kubernetes.variables", []))
}

/// What other expressions know of the type of a variable: of objects and of all that is not data nothing, as upstream.
fn of_variable(ty: &Type) -> Type {
    match ty {
        Type::List(items) => Type::List(Arc::new(of_variable(items))),
        Type::Map(entries) => Type::Map(Arc::new((of_variable(&entries.0), of_variable(&entries.1)))),
        Type::Null | Type::Bool | Type::Int | Type::Uint | Type::Double => ty.clone(),
        Type::String | Type::Bytes | Type::Duration | Type::Timestamp => ty.clone(),
        _ => Type::Dyn,
    }
}

/// Compiles the variables of a policy, each of which sees those before it, and gives the environment in which
/// they are all known.
pub(crate) fn variables(environment: Environment, spec: &Value) -> (Vec<Variable>, Environment) {
    let mut environment = environment;
    let mut variables = Vec::new();
    for variable in spec["variables"].as_array().into_iter().flatten() {
        if variables.is_empty() {
            // Policies without variables do not know the name.
            environment = with_no_variables(environment);
        }
        let text = variable["expression"].as_str().unwrap_or_default();
        let name = format!("variables.{}", variable["name"].as_str().unwrap_or_default());
        let expression = Expression::compile(&environment, text, &[]);
        let ty = expression.program.as_ref().map_or(Type::Dyn, |program| of_variable(program.ty()));
        if !text.trim().is_empty() {
            environment = environment.with_type(&name, ty);
        }
        variables.push(Variable { name, expression });
    }
    (variables, environment)
}
