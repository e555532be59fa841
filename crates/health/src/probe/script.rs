//! The exit code of a command.

use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use portolan_api::typed::Health;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::Outcome;

/// Kills a command and what it started when dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It has ended by itself, most of the time.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

/// Runs a command: exit code 0 is passing, 1 warning, anything else critical.
///
/// # Errors
/// Why it could not be run to its end.
pub async fn run(command: &[String], timeout: Duration, kept: usize) -> Result<Outcome, String> {
    let [program, arguments @ ..] = command else { return Err("the check has no command".to_owned()) };
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let mut child = child.map_err(|error| format!("{program}: {error}"))?;
    let group = Group(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let work = async {
        let (stdout, stderr, status) = tokio::join!(read(stdout, kept), read(stderr, kept), child.wait());
        (status, [stdout, stderr].concat())
    };
    let finished = tokio::time::timeout(timeout, work).await;
    drop(group);
    let (status, mut output) = finished.map_err(|_| format!("Timed out ({timeout:?}) running check"))?;
    let status = status.map_err(|error| format!("{program}: {error}"))?;
    output.truncate(kept);
    let output = String::from_utf8_lossy(&output).trim_end().to_owned();
    let health = match status.code() {
        Some(0) => Health::Passing,
        Some(1) => Health::Warning,
        _ => Health::Critical,
    };
    let output = if output.is_empty() && health != Health::Passing { status.to_string() } else { output };
    Ok(Outcome { health, output })
}

/// The beginning of what a command says; the rest is read and thrown away, so that it does not block.
async fn read(source: Option<impl AsyncRead + Unpin>, kept: usize) -> Vec<u8> {
    let (mut beginning, mut buffer) = (Vec::new(), [0; 4096]);
    let Some(mut source) = source else { return beginning };
    while let Ok(length) = source.read(&mut buffer).await
        && length > 0
    {
        let room = kept.saturating_sub(beginning.len()).min(length);
        beginning.extend_from_slice(&buffer[..room]);
    }
    beginning
}
