//! The object model: what an API object is, without any input or output.
//!
//! Objects travel through the server as [`serde_json::Value`] or as their encoded bytes; [`typed`]
//! gives the views that people write logic against.
//!
//! Everything generic comes from one [`description`] of the API: [`discovery`] and [`openapi`]
//! publish it, [`schema`] holds objects against it, [`patch`] and [`mod@apply`] merge by it.

pub mod annotations;
pub mod apply;
pub mod conversion;
pub mod custom;
pub mod decode;
pub mod description;
pub mod discovery;
pub mod encoded;
pub mod event_series;
pub mod field;
mod go_text;
pub mod int_or_string;
pub mod openapi;
pub mod patch;
pub mod protobuf;
pub mod quantity;
pub mod quota;
pub mod resources;
pub mod schema;
pub mod selector;
pub mod time;
pub mod typed;
pub mod usage;
pub mod validation;
pub mod yaml;

pub use go_text::{go_text, go_type};
