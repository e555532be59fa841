//! The API server over a store in a temporary folder, asked in process.

mod access;
mod collections;
mod evictions;
mod heartbeats;
mod hooks;
mod limits;
mod nodes;
mod objects;
mod refusals;
mod support;
mod watches;
