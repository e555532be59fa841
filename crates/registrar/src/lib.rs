//! What every dialect of the registry stands on: registrations and their leases, names, waiting for
//! changes, and the HTTP listener.
//!
//! A dialect translates its clients' requests into [`Registrar`] calls and its answers from the
//! catalog's snapshots; it never talks to another dialect.

mod changes;
mod error;
pub mod http;
mod lease;
mod names;
mod registrar;

pub use changes::Changes;
pub use error::Error;
pub use names::{find_service, object_name, published_name};
pub use registrar::{Outcome, Registrar};
