//! What an expression can refer to, and expressions compiled against it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::check;
use crate::error::EvaluationError;
use crate::estimate::{self, Estimate};
use crate::evaluate::{self, Bindings};
use crate::lexer::Problem;
use crate::parser;
use crate::plan::Node;
use crate::schema::Schema;
use crate::source::CompileError;
use crate::stack;
use crate::types::Type;
use crate::value::Value;

/// The variables that expressions may use.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    pub(crate) variables: BTreeMap<String, (Type, Option<Arc<Schema>>)>,
    pub(crate) mutation: bool,
    pub(crate) bindings: bool,
}

impl Environment {
    /// An environment without variables.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares a variable whose values a schema describes.
    #[must_use]
    pub fn with(mut self, name: &str, schema: Arc<Schema>) -> Self {
        self.variables.insert(name.to_owned(), (schema.ty(), Some(schema)));
        self
    }

    /// Declares a variable by its type. Names may have dots: `variables.replicas`.
    #[must_use]
    pub fn with_type(mut self, name: &str, ty: Type) -> Self {
        self.variables.insert(name.to_owned(), (ty, None));
        self
    }

    /// Declares `authorizer` and `authorizer.requestResource`.
    #[must_use]
    pub fn with_authorizer(self) -> Self {
        use crate::authorizer::{AUTHORIZER, RESOURCE_CHECK};
        self.with_type("authorizer", Type::Opaque(AUTHORIZER))
            .with_type("authorizer.requestResource", Type::Opaque(RESOURCE_CHECK))
    }

    /// Lets expressions build `Object{...}` and `JSONPatch{...}`.
    #[must_use]
    pub fn for_mutation(mut self) -> Self {
        self.mutation = true;
        self
    }

    /// Lets expressions name a value: `cel.bind(name, value, expression)`.
    #[must_use]
    pub fn with_bindings(mut self) -> Self {
        self.bindings = true;
        self
    }

    /// Compiles an expression.
    ///
    /// # Errors
    /// The text is no expression, uses something that is not there, or types do not match.
    pub fn compile(&self, text: &str) -> Result<Program, CompileError> {
        let read = || parser::parse(text).and_then(|expression| check::check(self, &expression));
        let checked = stack::with_room(text, read)
            .unwrap_or_else(|error| Err(Problem::of_all(format!("expression needs a thread: {error}")).into()));
        let check::Checked { root, failure } = checked.map_err(|problems| CompileError::of(text, problems))?;
        Ok(Program { root, failure })
    }
}

/// An expression that can be evaluated again and again.
#[derive(Debug)]
pub struct Program {
    root: Node,
    /// Why it has no value whatever its variables are: upstream computes what is constant before there is a program.
    failure: Option<String>,
}

impl Program {
    /// The program itself, or why there is none although nothing is wrong with the text and its types.
    ///
    /// # Errors
    /// A conversion of a constant fails, or a pattern is none.
    pub fn instantiated(self) -> Result<Self, String> {
        match &self.failure {
            Some(why) => Err(why.clone()),
            None => Ok(self),
        }
    }

    /// The type of its value.
    pub fn ty(&self) -> &Type {
        &self.root.ty
    }

    /// What it costs at least and at most, going by the schemas of the variables in the environment that it was
    /// compiled in.
    pub fn estimate(&self, environment: &Environment) -> Estimate {
        estimate::estimate(&self.root, environment)
    }

    /// Evaluates it. What that cost is taken from the budget, whether it succeeds or not.
    ///
    /// # Errors
    /// The expression has no value for these bindings, or became too expensive.
    pub fn evaluate<'a>(&self, bindings: &dyn Bindings<'a>, budget: &mut Budget) -> Result<Value<'a>, EvaluationError> {
        let limit = budget.per_expression.min(budget.remaining);
        let (outcome, cost) = evaluate::run(&self.root, bindings, limit);
        budget.remaining = budget.remaining.saturating_sub(cost);
        outcome
    }
}

/// What evaluation may still cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// For one expression.
    pub per_expression: u64,
    /// For all that are evaluated together.
    pub remaining: u64,
}

impl Budget {
    /// So much for all expressions together, and upstream's limit for each.
    pub fn new(total: u64) -> Self {
        Self { per_expression: crate::cost::EXPRESSION_LIMIT, remaining: total }
    }
}
