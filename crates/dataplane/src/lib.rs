//! What answers for the cluster's names and addresses on a node: a process of its own.
//!
//! [`Process`] is that process: it follows the API, feeds the catalog, keeps the packet rules in step
//! and answers names. Away from the API it goes on with what it knew last, also after a restart
//! ([`last_known`]). [`Supervisor`] is its owner in the node's main process: it adopts the process
//! that runs, or starts one, and replaces one of another build or with other arguments without a
//! question being lost, as the sockets are handed on.
//!
//! ```text
//! server or agent ── Supervisor ── control socket: sockets and state ── Process ─┬─ names (UDP, TCP)
//!                                                                                └─ packet rules
//! ```

mod control;
mod credentials;
mod error;
mod feed;
pub mod last_known;
mod layout;
mod names;
mod process;
mod report;
mod sockets;
mod supervisor;

#[cfg(test)]
mod tests;

pub use control::{Knowledge, Part, Status};
pub use error::Error;
pub use feed::feed;
pub use layout::{Layout, purge};
pub use names::{ConsulNames, Names};
pub use process::Process;
pub use supervisor::{Options, Supervisor};
