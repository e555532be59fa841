//! The terminal that a command was started from: raw mode, its size, its keys.

use std::io::{IsTerminal, Read};
use std::os::fd::AsFd;

use anyhow::Context;
use bytes::Bytes;
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use tokio::sync::mpsc;

/// Chunks of input that wait for a slow connection; more make the keyboard or pipe wait.
const QUEUE: usize = 4;
const CHUNK: usize = 16 << 10;

/// Whether standard input comes from a person.
pub(crate) fn is_interactive() -> bool {
    std::io::stdin().is_terminal()
}

/// Keys arrive one by one and unchanged while this lives; dropping it gives the terminal back.
pub(crate) struct RawMode {
    before: Termios,
}

impl RawMode {
    /// Switches the terminal of standard input.
    pub(crate) fn enter() -> anyhow::Result<Self> {
        let stdin = std::io::stdin();
        let before = tcgetattr(stdin.as_fd()).context("read the terminal's settings")?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(stdin.as_fd(), SetArg::TCSANOW, &raw).context("switch the terminal to raw mode")?;
        Ok(Self { before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // There is nobody left to tell.
        let _ = tcsetattr(std::io::stdin().as_fd(), SetArg::TCSANOW, &self.before);
    }
}

/// Columns and rows of the terminal, if there is one.
pub(crate) fn size() -> Option<(u16, u16)> {
    let (rows, columns) = console::Term::stdout().size_checked()?;
    Some((columns, rows))
}

/// Standard input in chunks; the channel ends with it.
///
/// A thread and not a task: a read from a terminal cannot be cancelled, and a task that never ends
/// would keep the process from ending. This thread ends with the process.
pub(crate) fn input() -> mpsc::Receiver<Bytes> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    std::thread::spawn(move || {
        let mut buffer = vec![0; CHUNK];
        let mut stdin = std::io::stdin();
        while let Ok(length @ 1..) = stdin.read(&mut buffer) {
            if sender.blocking_send(Bytes::copy_from_slice(&buffer[..length])).is_err() {
                return;
            }
        }
    });
    receiver
}
