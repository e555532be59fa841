//! What every dialect of the registry stands on: registrations and their leases, checks that others
//! report, names, waiting for changes, and the HTTP listener.
//!
//! A dialect translates its clients' requests into [`Registrar`] calls and its answers from the
//! catalog's snapshots; it never talks to another dialect.

pub mod access;
mod alias;
mod body;
mod changes;
mod checks;
mod counters;
mod encoded;
mod error;
mod front;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod half_closed;
mod holders;
pub mod http;
mod ids;
mod kept;
mod lease;
pub mod limits;
mod names;
mod places;
mod policy;
mod refusals;
mod registrar;
mod report;
mod run;
mod segment;
mod sessions;
mod tidy;
mod timers;

#[cfg(test)]
mod tests;

pub use changes::Changes;
pub use counters::{Counter, Counters};
pub use encoded::Encoded;
pub use error::Error;
pub use holders::Connected;
pub use names::object_name;
pub use policy::{Decision, PartitionPolicy, Stage, Standing};
pub use portolan_catalog::published_name;
pub use registrar::{Outcome, Registrar};
pub use segment::{SegmentError, decode_segment};
