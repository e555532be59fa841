//! Finding, watching and ending processes by their id, without mistaking a reused id.

use std::fs;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::unix::AsyncFd;

/// Arguments of a process, or `None` if there is none (or it is a zombie).
pub(super) fn arguments(pid: i32) -> Option<Vec<String>> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let arguments: Vec<String> =
        bytes.split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned()).collect();
    (!bytes.is_empty()).then_some(arguments)
}

/// All process ids.
pub(super) fn all() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The pid in `file` if that process was started with `config` as an argument.
pub(super) fn running(file: &Path, config: &Path) -> Option<i32> {
    let pid: i32 = fs::read_to_string(file).ok()?.trim().parse().ok()?;
    let config = config.to_string_lossy();
    arguments(pid)?.iter().any(|argument| *argument == config).then_some(pid)
}

/// Sends a signal; a process that is gone already is fine.
pub(super) fn signal(pid: i32, signal: Signal) -> io::Result<()> {
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A handle that becomes readable when the process ends.
pub(super) struct Ending(AsyncFd<OwnedFd>);

impl Ending {
    /// Watches a process; `None` if it is gone.
    pub(super) fn watch(pid: i32) -> io::Result<Option<Self>> {
        // SAFETY: pidfd_open takes two integers and returns a new descriptor or -1; neither the
        // standard library nor nix offers it on stable.
        let descriptor = unsafe { nix::libc::syscall(nix::libc::SYS_pidfd_open, pid, 0) };
        if descriptor < 0 {
            let error = io::Error::last_os_error();
            return if error.raw_os_error() == Some(nix::libc::ESRCH) { Ok(None) } else { Err(error) };
        }
        // SAFETY: the descriptor was just made and nobody else owns it.
        let owned = unsafe { OwnedFd::from_raw_fd(descriptor as i32) };
        // SAFETY: the descriptor is owned by the registration alone and stays open until that is dropped.
        let registered = unsafe { AsyncFd::register_with_interest(owned, tokio::io::Interest::READABLE) };
        Ok(Some(Self(registered?)))
    }

    /// Completes when the process has ended.
    pub(super) async fn ended(&self) {
        // An error means that the runtime shuts down; then nobody waits either.
        let _ = self.0.readable().await;
    }
}

/// Asks a process to end, and after `grace` makes it.
pub(super) async fn end(pid: i32, grace: Duration) -> io::Result<()> {
    let Some(ending) = Ending::watch(pid)? else { return Ok(()) };
    signal(pid, Signal::SIGTERM)?;
    if tokio::time::timeout(grace, ending.ended()).await.is_err() {
        signal(pid, Signal::SIGKILL)?;
        ending.ended().await;
    }
    Ok(())
}
