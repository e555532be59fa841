//! What can go wrong.

use std::io;
use std::path::{Path, PathBuf};

/// Why the data plane does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or socket could not be used.
    #[error("{what} {path}")]
    File {
        /// What was being done.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// An address for names could not be taken.
    #[error(transparent)]
    Names(#[from] portolan_dns::Error),
    /// The program could not be run.
    #[error("start {program}")]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The process ended or does not answer.
    #[error("the data plane {problem}; the end of {log}: {tail}")]
    NotServing {
        /// What is wrong.
        problem: &'static str,
        /// Its log file.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// Sockets could not be handed on or taken over.
    #[error("take over the sockets of the data plane")]
    Sockets(#[source] io::Error),
    /// A part of the process ended.
    #[error("{part} ended: {reason}")]
    Part {
        /// Which part.
        part: &'static str,
        /// What it said.
        reason: String,
    },
    /// The domain is none.
    #[error("{0:?} is no domain name")]
    Domain(String),
}

pub(crate) fn file_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { what, path, source }
}
