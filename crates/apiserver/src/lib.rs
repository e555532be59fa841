//! The API server: one generic handler over the store, and a small strategy per kind.

pub mod resources;
pub mod strategy;
