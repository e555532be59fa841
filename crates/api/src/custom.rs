//! Kinds that users define: what a CustomResourceDefinition says, and objects held against it.
//!
//! A definition is read when it is written to the server; the schema of one of its versions when an object
//! of that version is first touched, so a definition that nobody uses costs little more than its names.
//! Everything here is pure.

mod approval;
mod columns;
mod default;
mod definition;
mod embedded;
mod field_path;
mod format;
mod json_path;
mod names;
mod node;
mod prune;
mod structural;
mod structure;
mod table;
#[cfg(test)]
mod tests;
mod validate;

pub use approval::judge as judge_approval;
pub use columns::{Column, cell};
pub use default::{default, tidy_numbers};
pub use definition::{Conversion, Definition, Scale, Version, WebhookClient};
pub use field_path::{NoField, Notation, field_path};
pub use json_path::JsonPath;
pub use names::{Conflict, Converter, accept, is_established, is_terminating, set as set_condition, settle};
pub use node::{Additional, Checks, JsonType, Node, Rule};
pub use prune::{Pruned, prune};
pub use structure::{Compilable, Structure};
pub use validate::{Options, counterpart, validate, validate_embedded, validate_lists, validate_status};
