//! One registry, many dialects: how fast, how surely, and for whom.

mod crash;
mod import;
mod indexes;
mod leases;
mod pairs;
mod pods;
mod support;
