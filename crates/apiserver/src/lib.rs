//! The API server: one generic handler over the store, and a small strategy per kind.

mod config;
pub mod resources;
pub mod strategy;

pub use config::{Config, Error, Network, Networks, NotANetwork};
