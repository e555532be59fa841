//! Handing rules to the kernel, one batch at a time.

use std::io::{self, Write as _};
use std::process::{Command, Stdio};

/// Why a batch of rules was not applied. Nothing of a failed batch is.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// nft could not be started.
    #[error("start nft (install the package nftables)")]
    Start(#[source] io::Error),
    /// Writing to nft failed.
    #[error("send rules to nft")]
    Send(#[source] io::Error),
    /// nft or the kernel refused the batch.
    #[error("nft refused the rules: {0}")]
    Refused(String),
}

/// Applies a batch: all of it or nothing.
///
/// # Errors
/// nft is missing or refuses the batch.
pub fn apply(text: &str) -> Result<(), ApplyError> {
    if text.is_empty() {
        return Ok(());
    }
    let mut nft = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(ApplyError::Start)?;
    // nft reads all of its input before it writes, so the pipe of its errors cannot fill meanwhile.
    let sent = nft.stdin.take().expect("standard input is piped").write_all(text.as_bytes());
    let output = nft.wait_with_output().map_err(ApplyError::Send)?;
    if output.status.success() {
        return sent.map_err(ApplyError::Send);
    }
    let message = String::from_utf8_lossy(&output.stderr);
    // nft repeats the offending line, which may hold thousands of elements.
    let lines: Vec<&str> = message.lines().filter(|line| line.contains("Error")).take(3).collect();
    Err(ApplyError::Refused(if lines.is_empty() { output.status.to_string() } else { lines.join("; ") }))
}

/// Whether the table `ip name` exists.
///
/// # Errors
/// nft cannot be started.
pub(crate) fn table_exists(name: &str) -> Result<bool, ApplyError> {
    let output = Command::new("nft").args(["list", "tables", "ip"]).output().map_err(ApplyError::Start)?;
    if !output.status.success() {
        return Err(ApplyError::Refused(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let wanted = format!("table ip {name}");
    Ok(String::from_utf8_lossy(&output.stdout).lines().any(|line| line.trim() == wanted))
}
