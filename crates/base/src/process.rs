//! Finding, watching and ending processes by their id, without mistaking a reused id.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use tokio::io::unix::AsyncFd;

pub use nix::sys::signal::Signal;

/// Arguments of a process, or `None` if there is none (or it is a zombie).
pub fn arguments(pid: i32) -> Option<Vec<String>> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let arguments: Vec<String> =
        bytes.split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned()).collect();
    (!bytes.is_empty()).then_some(arguments)
}

/// Whether a process runs the very file that this process runs: a file that was replaced since is another.
pub fn runs_our_program(pid: i32) -> bool {
    let identity = |path: &str| fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    let own = identity("/proc/self/exe");
    own.is_some() && identity(&format!("/proc/{pid}/exe")) == own
}

/// All process ids.
pub fn all() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Sends a signal; a process that is gone already is fine.
///
/// # Errors
/// The process is not ours to signal.
pub fn signal(pid: i32, signal: Signal) -> io::Result<()> {
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A handle that becomes readable when the process ends.
#[derive(Debug)]
pub struct Ending(AsyncFd<OwnedFd>);

impl Ending {
    /// Watches a process; `None` if it is gone.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn watch(pid: i32) -> io::Result<Option<Self>> {
        // SAFETY: pidfd_open takes two integers and returns a new descriptor or -1; neither the
        // standard library nor nix offers it on stable.
        let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        if descriptor < 0 {
            let error = io::Error::last_os_error();
            return if error.raw_os_error() == Some(libc::ESRCH) { Ok(None) } else { Err(error) };
        }
        // SAFETY: the descriptor was just made and nobody else owns it.
        let owned = unsafe { OwnedFd::from_raw_fd(descriptor as i32) };
        // SAFETY: the descriptor is owned by the registration alone and stays open until that is dropped.
        let registered = unsafe { AsyncFd::register_with_interest(owned, tokio::io::Interest::READABLE) };
        Ok(Some(Self(registered?)))
    }

    /// Completes when the process has ended.
    pub async fn ended(&self) {
        // An error means that the runtime shuts down; then nobody waits either.
        let _ = self.0.readable().await;
    }
}

/// Asks a process to end, and after `grace` makes it.
///
/// # Errors
/// The process is not ours to signal.
pub async fn end(pid: i32, grace: Duration) -> io::Result<()> {
    let Some(ending) = Ending::watch(pid)? else { return Ok(()) };
    signal(pid, Signal::SIGTERM)?;
    if tokio::time::timeout(grace, ending.ended()).await.is_err() {
        signal(pid, Signal::SIGKILL)?;
        ending.ended().await;
    }
    Ok(())
}

/// The log of a process that is to be started, for appending; one larger than `limit` is put aside first.
///
/// # Errors
/// The file cannot be opened or renamed.
pub fn log_file(path: &Path, limit: u64) -> io::Result<File> {
    if fs::metadata(path).is_ok_and(|metadata| metadata.len() > limit) {
        fs::rename(path, path.with_extension("log.old"))?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

/// A process's claim to a file. The operating system gives it back when the process ends, however
/// it ends, so that a process id that is in use again is never mistaken for the one that claimed.
#[derive(Debug)]
pub struct Claim {
    _file: File,
}

/// What an attempt to claim came to.
#[derive(Debug)]
pub enum Claimed {
    /// The file is claimed by this process.
    Ours(Claim),
    /// Another process has it; its id, unless it gave the file back this moment.
    Theirs(Option<i32>),
}

impl Claim {
    /// Claims a file, which is made if need be. Opening the file again in this process and closing it
    /// gives the claim back (fcntl(2)), so claim a file once.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn take(path: &Path) -> io::Result<Claimed> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match fcntl(&file, FcntlArg::F_SETLK(&whole_file())) {
            Ok(_) => Ok(Claimed::Ours(Self { _file: file })),
            Err(_) => Ok(Claimed::Theirs(holder(&file))),
        }
    }

    /// The process that has claimed a file.
    pub fn holder(path: &Path) -> Option<i32> {
        holder(&OpenOptions::new().write(true).open(path).ok()?)
    }
}

fn whole_file() -> libc::flock {
    libc::flock { l_type: libc::F_WRLCK as i16, l_whence: libc::SEEK_SET as i16, l_start: 0, l_len: 0, l_pid: 0 }
}

fn holder(file: &File) -> Option<i32> {
    let mut lock = whole_file();
    fcntl(file, FcntlArg::F_GETLK(&mut lock)).ok()?;
    (lock.l_type != libc::F_UNLCK as i16).then_some(lock.l_pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_is_watched_to_its_end_and_ended_once() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().expect("sleep is installed");
        let pid = i32::try_from(child.id()).expect("process ids are positive");
        assert!(!runs_our_program(pid) && runs_our_program(std::process::id().try_into().expect("positive")));
        // The kernel shows them a moment after the program was started.
        let given = tokio::time::timeout(Duration::from_secs(5), async {
            loop {
                match arguments(pid) {
                    Some(given) => break given,
                    None => tokio::task::yield_now().await,
                }
            }
        });
        assert_eq!(given.await.expect("it runs")[1], "600");
        let ending = Ending::watch(pid).expect("watched").expect("it runs");
        end(pid, Duration::from_secs(5)).await.expect("ended");
        ending.ended().await;
        child.wait().expect("reaped");
        assert!(Ending::watch(pid).expect("asked").is_none());
        end(pid, Duration::from_secs(5)).await.expect("a second time");
    }

    #[test]
    fn a_claim_is_given_back_when_it_is_dropped() {
        let path = std::env::temp_dir().join(format!("portolan-claim-{}", std::process::id()));
        let Claimed::Ours(claim) = Claim::take(&path).expect("opened") else { panic!("nobody else has it") };
        drop(claim);
        assert_eq!(Claim::holder(&path), None);
        fs::remove_file(&path).expect("removed");
        assert_eq!(Claim::holder(&path), None, "no file, no holder");
    }
}
