//! What stops the agent.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the agent could not start or had to stop.
///
/// What goes wrong with one pod is not here: it is that pod's status and events.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The listener of the agent's HTTP API.
    #[error("listen on {address} for the node's API (is another agent running? choose another port)")]
    Bind {
        /// Where it should listen.
        address: SocketAddr,
        /// Why it could not.
        #[source]
        source: io::Error,
    },
    /// A folder the agent needs.
    #[error("create folder {path}")]
    CreateFolder {
        /// Which one.
        path: PathBuf,
        /// Why it could not.
        #[source]
        source: io::Error,
    },
    /// A task of the agent ended that never ends.
    #[error("part {part} of the agent stopped: {reason}")]
    PartStopped {
        /// Which one.
        part: &'static str,
        /// What is known.
        reason: String,
    },
}
