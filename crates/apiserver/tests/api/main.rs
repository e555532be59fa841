//! The API server over a store in a temporary folder, asked in process.

mod access;
mod collections;
mod heartbeats;
mod nodes;
mod objects;
mod policies;
mod refusals;
mod support;
mod watches;
