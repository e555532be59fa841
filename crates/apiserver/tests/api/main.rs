//! The API server over a store in a temporary folder, asked in process.

mod access;
mod aggregation;
mod applies;
mod audit;
mod authentication;
mod certificates;
mod collections;
mod encryption;
mod escalation;
mod evictions;
mod fairness;
mod forms;
mod heartbeats;
mod hooks;
mod limits;
mod malformed;
mod measurements;
mod nodes;
mod objects;
mod own_service;
mod policies;
mod refusals;
mod service_addresses;
mod support;
mod versions;
mod watches;
