//! The API server over a store in a temporary folder, asked in process.

mod access;
mod authentication;
mod certificates;
mod escalation;
mod collections;
mod heartbeats;
mod nodes;
mod objects;
mod refusals;
mod support;
mod watches;
