//! Health checks of instances and machines: the tries themselves ([`probe`]), and the loop that runs
//! those that fall to one process.
//!
//! Every check has one place where it is run, a pure function of its owner and the nodes
//! ([`checker_of`]): no two agree on anything, and no list of assignments exists. Results are
//! written to the owner's status when the health changes; words without a change of health are
//! written now and then only, so that watchers do not spin.

mod assign;
pub mod probe;
mod queue;
mod run;
mod verdict;
mod write;

#[cfg(test)]
mod tests;

pub use assign::{CheckerNode, Place, Subject, checker_of};
pub use run::{Config, run};
