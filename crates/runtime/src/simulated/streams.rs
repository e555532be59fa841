//! Commands and connections into simulated containers.

use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::{mpsc, oneshot, watch};

use super::program::{End, Program};
use super::sandboxes::pause;
use super::{SimulatedRuntime, missing};
use crate::port::*;

const PIPE: usize = 64 * 1024;

impl SimulatedRuntime {
    /// The program and the stop signal of a running container.
    fn running(&self, id: &ContainerId) -> Result<(Program, watch::Receiver<bool>)> {
        let world = self.world.lock();
        let container = world.containers.get(id).ok_or_else(|| missing("container", &id.0))?;
        if !matches!(container.status.state, ContainerState::Running { .. }) {
            let reason = format!("container {} does not run", id.0);
            return Err(Error::Failed { operation: "exec", reason });
        }
        Ok((container.program.clone(), container.stopped.subscribe()))
    }

    fn session(&self, program: Program, mut stopped: watch::Receiver<bool>, options: StreamOptions) -> ExecSession {
        let (stdin, input) = duplex(PIPE);
        let (mut output, stdout) = duplex(PIPE);
        let (resize, mut sizes) = mpsc::channel::<TerminalSize>(4);
        let (done, exit) = oneshot::channel();
        self.spawn(async move {
            let run = async {
                let code = play(&program, input, &mut output).await;
                let _ = output.shutdown().await;
                code
            };
            // Sizes are taken so that their sender does not wait; they mean nothing here.
            let sizes = async {
                while sizes.recv().await.is_some() {}
                std::future::pending::<()>().await;
            };
            let code = tokio::select! {
                code = run => code,
                () = sizes => 0,
                _ = stopped.wait_for(|stopped| *stopped) => 137,
            };
            // Nobody has to be interested in the code.
            let _ = done.send(Ok(code));
        });
        ExecSession {
            stdin: options.stdin.then(|| Box::pin(stdin) as Writer),
            stdout: options.stdout.then(|| Box::pin(stdout) as Reader),
            stderr: options.stderr.then(|| Box::pin(tokio::io::empty()) as Reader),
            resize,
            exit,
        }
    }
}

/// Runs a program on streams; its exit code. Failed writes mean that nobody listens, as with a closed pipe.
async fn play(program: &Program, mut input: DuplexStream, output: &mut DuplexStream) -> i32 {
    for line in &program.output {
        let _ = output.write_all(format!("{line}\n").as_bytes()).await;
    }
    if program.echoes_input {
        let _ = tokio::io::copy(&mut input, output).await;
    }
    match program.end {
        End::Never => std::future::pending().await,
        End::Exit { code, after } => {
            pause(after).await;
            code
        }
    }
}

#[async_trait]
impl Streams for SimulatedRuntime {
    async fn exec_sync(&self, id: &ContainerId, command: &[String], timeout: Duration) -> Result<ExecOutput> {
        self.running(id)?;
        let program = scripted_command(self, command);
        let stdout = program.output.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect();
        match program.end {
            End::Exit { code, after } if timeout.is_zero() || after <= timeout => {
                pause(after).await;
                Ok(ExecOutput { exit_code: code, stdout, stderr: Vec::new() })
            }
            _ => {
                pause(timeout).await;
                Err(Error::Timeout(timeout))
            }
        }
    }

    async fn exec(&self, id: &ContainerId, command: &[String], options: StreamOptions) -> Result<ExecSession> {
        let (_, stopped) = self.running(id)?;
        Ok(self.session(scripted_command(self, command), stopped, options))
    }

    async fn attach(&self, id: &ContainerId, options: StreamOptions) -> Result<ExecSession> {
        let (program, stopped) = self.running(id)?;
        Ok(self.session(program, stopped, options))
    }

    async fn connect(&self, id: &SandboxId, port: u16) -> Result<(Reader, Writer)> {
        let world = self.world.lock();
        let ready = world.sandboxes.get(id).ok_or_else(|| missing("sandbox", &id.0))?.ready;
        if !ready || !world.echo_ports.contains(&port) {
            let reason = format!("connection to port {port} refused");
            return Err(Error::Failed { operation: "connect", reason });
        }
        drop(world);
        let (near, far) = duplex(PIPE);
        self.spawn(async move {
            let (mut reader, mut writer) = tokio::io::split(far);
            let _ = tokio::io::copy(&mut reader, &mut writer).await;
            let _ = writer.shutdown().await;
        });
        let (reader, writer) = tokio::io::split(near);
        Ok((Box::pin(reader), Box::pin(writer)))
    }
}

/// A command's script: one set under its first word, or what the command line says.
fn scripted_command(runtime: &SimulatedRuntime, command: &[String]) -> Program {
    let scripted = command.first().and_then(|first| runtime.world.lock().programs.get(first).cloned());
    scripted.unwrap_or_else(|| Program::of_command(command))
}
