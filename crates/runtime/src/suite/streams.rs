use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Fixture, Outcome, PATIENCE, ensure, equal, text};
use crate::port::*;

fn words(list: &[&str]) -> Vec<String> {
    std::iter::once("/bin/busybox").chain(list.iter().copied()).map(str::to_owned).collect()
}

pub(super) async fn a_command_gives_its_output_and_exit_code(fixture: &Fixture) -> Outcome {
    let (_, id) = fixture.start("host", &["sleep", "3600"]).await?;
    let command = words(&["sh", "-c", "echo hello; exit 7"]);
    let output = fixture.runtime.exec_sync(&id, &command, PATIENCE).await.map_err(text)?;
    let wanted = ExecOutput { exit_code: 7, stdout: b"hello\n".to_vec(), stderr: Vec::new() };
    equal("result", output, wanted)
}

pub(super) async fn a_command_that_takes_too_long_is_an_error(fixture: &Fixture) -> Outcome {
    let (_, id) = fixture.start("slow", &["sleep", "3600"]).await?;
    let limit = Duration::from_millis(300);
    let result = fixture.runtime.exec_sync(&id, &words(&["sleep", "60"]), limit).await;
    ensure(matches!(result, Err(Error::Timeout(_))), || format!("found {result:?}"))
}

pub(super) async fn closing_the_input_ends_a_command_that_reads_it(fixture: &Fixture) -> Outcome {
    let (_, id) = fixture.start("reader", &["sleep", "3600"]).await?;
    let options = StreamOptions { stdin: true, stdout: true, stderr: true, tty: false };
    let session = fixture.runtime.exec(&id, &words(&["cat"]), options).await.map_err(text)?;
    let mut stdin = session.stdin.ok_or("no input stream")?;
    let mut stdout = session.stdout.ok_or("no output stream")?;
    // More than any window or pipe on the way holds.
    let payload: Vec<u8> = (0..1_000_000_u32).map(|number| (number % 253) as u8).collect();
    let write = async {
        stdin.write_all(&payload).await?;
        stdin.shutdown().await
    };
    let mut heard = Vec::new();
    let (written, read) = tokio::join!(write, stdout.read_to_end(&mut heard));
    written.and(read).map_err(text)?;
    ensure(heard == payload, || format!("{} of {} bytes came back, or others", heard.len(), payload.len()))?;
    equal("exit code", session.exit.await.map_err(text)?.map_err(text)?, 0)
}

pub(super) async fn an_interactive_command_gives_its_exit_code(fixture: &Fixture) -> Outcome {
    let (_, id) = fixture.start("shell", &["sleep", "3600"]).await?;
    let options = StreamOptions { stdin: false, stdout: true, stderr: false, tty: true };
    let command = words(&["sh", "-c", "echo on a terminal; exit 9"]);
    let session = fixture.runtime.exec(&id, &command, options).await.map_err(text)?;
    session.resize.send(TerminalSize { width: 120, height: 40 }).await.map_err(text)?;
    let mut heard = String::new();
    session.stdout.ok_or("no output stream")?.read_to_string(&mut heard).await.map_err(text)?;
    equal("output", heard.trim_end(), "on a terminal")?;
    equal("exit code", session.exit.await.map_err(text)?.map_err(text)?, 9)
}

pub(super) async fn commands_need_a_running_container(fixture: &Fixture) -> Outcome {
    let (_, id) = fixture.start("done", &["true"]).await?;
    fixture.wait_for(&id, |state| matches!(state, ContainerState::Exited { .. })).await?;
    let result = fixture.runtime.exec_sync(&id, &words(&["true"]), PATIENCE).await;
    ensure(result.is_err(), || format!("found {result:?}"))
}

pub(super) async fn a_port_that_nobody_listens_on_is_refused(fixture: &Fixture) -> Outcome {
    let (sandbox, _) = fixture.start("silent", &["sleep", "3600"]).await?;
    // Reserved by IANA; nothing listens on it, on the machine's own network neither.
    let result = fixture.runtime.connect(&sandbox, 1).await.map(|_| ());
    ensure(matches!(result, Err(Error::Failed { .. })), || format!("found {result:?}"))
}
