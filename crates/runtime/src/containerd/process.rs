//! The process of one instance.

use std::fs;
use std::path::Path;

pub(super) use portolan_base::process::{Ending, all, arguments, end, signal};

/// The pid in `file` if that process was started with `config` as an argument.
pub(super) fn running(file: &Path, config: &Path) -> Option<i32> {
    let pid: i32 = fs::read_to_string(file).ok()?.trim().parse().ok()?;
    let config = config.to_string_lossy();
    arguments(pid)?.iter().any(|argument| *argument == config).then_some(pid)
}
