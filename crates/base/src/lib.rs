//! What every other crate stands on: time, shutdown, readiness, back-off, processes, relays of bytes, error texts and
//! forms of Go.
//!
//! Nothing here knows a noun of the domain. If a name from Kubernetes, a registry or a container
//! appears in this crate, it is in the wrong place.

pub mod backoff;
pub mod clock;
pub mod error;
pub mod go;
pub mod liveness;
pub mod patience;
pub mod process;
pub mod readiness;
pub mod relay;
pub mod supervise;
pub mod tasks;
pub mod timer;
pub mod trust;

pub use backoff::Backoff;
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use patience::Patience;
pub use readiness::Readiness;
pub use tasks::{Shutdown, TaskGroup};
