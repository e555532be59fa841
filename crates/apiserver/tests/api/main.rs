//! The API server over a store in a temporary folder, asked in process.

mod access;
mod audit;
mod authentication;
mod certificates;
mod collections;
mod encryption;
mod escalation;
mod fairness;
mod heartbeats;
mod nodes;
mod objects;
mod refusals;
mod support;
mod watches;
