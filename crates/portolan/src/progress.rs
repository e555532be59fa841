//! Progress of a starting server, one line per step on standard output.
//!
//! `portolan up` reads these lines from a pipe and goes away after the last one; from then on
//! nobody listens, so a failed write is not an error.

use std::io::Write;

/// The line that says everything is up.
pub(crate) const READY: &str = "ready";

/// Says a step.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
