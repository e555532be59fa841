//! What the operating system allows this process.

use std::io;

use nix::libc;

/// Allows this process as many open files as it may allow itself.
///
/// A shell gives 1024, which two thousand watchers and their connections exceed.
///
/// # Errors
/// The operating system refuses; the limit is then as before.
pub(crate) fn raise_open_files() -> io::Result<()> {
    let mut limit = open_files()?;
    limit.rlim_cur = limit.rlim_max;
    set_open_files(limit)
}

fn open_files() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live value of the type that the call fills; nix offers this call only
    // behind a feature that nothing else here needs.
    nix::errno::Errno::result(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    Ok(limit)
}

fn set_open_files(limit: libc::rlimit) -> io::Result<()> {
    // SAFETY: the pointer is to a live value of the type that the call reads.
    nix::errno::Errno::result(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_files_as_allowed_can_be_open() {
        let before = open_files().expect("known");
        set_open_files(libc::rlimit { rlim_cur: before.rlim_max.min(512), ..before }).expect("lowered");
        raise_open_files().expect("raised");
        assert_eq!(open_files().expect("known").rlim_cur, before.rlim_max);
    }
}
