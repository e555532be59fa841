//! The object model: what an API object is, without any input or output.
//!
//! Objects travel through the server as [`serde_json::Value`] or as their encoded bytes; [`typed`]
//! gives the views that people write logic against.

pub mod description;
pub mod field;
pub mod typed;
