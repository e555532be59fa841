//! The Common Expression Language as Kubernetes has it: rules of custom resources, admission policies,
//! match conditions.
//!
//! An [`Environment`] says what an expression may refer to. It compiles texts into [`Program`]s, with the
//! errors that upstream prints; a program is evaluated with [`Bindings`] and within a [`Budget`].
//!
//! ```
//! use portolan_cel::{Budget, Environment, Schema, Value};
//!
//! let environment = Environment::new().with("object", Schema::any());
//! let program = environment.compile("object.spec.replicas <= 5")?;
//! let object = serde_json::json!({"spec": {"replicas": 3}});
//! let bindings = [("object", Value::any(&object))];
//! let value = program.evaluate(&bindings, &mut Budget::new(portolan_cel::OBJECT_LIMIT))?;
//! assert_eq!(value.as_bool(), Some(true));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ast;
mod authorizer;
mod check;
mod cost;
mod environment;
mod error;
mod escape;
mod estimate;
mod evaluate;
mod functions;
mod json;
mod lexer;
mod library;
mod moment;
mod parser;
mod plan;
mod schema;
mod selects;
mod source;
mod stack;
mod types;
mod value;

#[cfg(test)]
mod tests;

pub use authorizer::{Asked, Authorizer, Decided, Resource, What};
pub use cost::{EXPRESSION_LIMIT, MATCH_CONDITIONS_LIMIT, OBJECT_LIMIT};
pub use environment::{Budget, Environment, Program};
pub use error::EvaluationError;
pub use escape::escape;
pub use estimate::{Estimate, RESOURCE_ESTIMATE_LIMIT, RULE_ESTIMATE_LIMIT};
pub use evaluate::Bindings;
pub use moment::Moment;
pub use schema::{Field, Kind, Merge, Object, Root, Schema};
pub use selects::selects;
pub use source::{CompileError, Issue};
pub use types::Type;
pub use value::{Entries, Key, List, Map, Text, Value};
