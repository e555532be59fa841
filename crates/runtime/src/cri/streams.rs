//! Commands and connections into containers.

use std::time::Duration;

use async_trait::async_trait;
use k8s_cri::v1;
use tonic::Code;

use super::{CALL_TIMEOUT, CriRuntime, exec, network, timed};
use crate::port::*;

#[async_trait]
impl Streams for CriRuntime {
    async fn exec_sync(&self, id: &ContainerId, command: &[String], timeout: Duration) -> Result<ExecOutput> {
        // CRI counts whole seconds; the exact limit is kept here and the runtime's is only a backstop.
        let seconds = if timeout.is_zero() { 0 } else { timeout.as_secs().saturating_add(1) };
        let request = v1::ExecSyncRequest {
            container_id: id.0.clone(),
            cmd: command.to_vec(),
            timeout: i64::try_from(seconds).unwrap_or(i64::MAX),
        };
        let mut client = self.inner.runtime();
        let call = client.exec_sync(request);
        let answer = if timeout.is_zero() {
            call.await
        } else {
            tokio::time::timeout(timeout, call).await.map_err(|_| Error::Timeout(timeout))?
        };
        match answer {
            Ok(answer) => {
                let output = answer.into_inner();
                Ok(ExecOutput { exit_code: output.exit_code, stdout: output.stdout, stderr: output.stderr })
            }
            Err(status) if status.code() == Code::DeadlineExceeded => Err(Error::Timeout(timeout)),
            Err(status) => Err(super::failed("exec")(status)),
        }
    }

    async fn exec(&self, id: &ContainerId, command: &[String], options: StreamOptions) -> Result<ExecSession> {
        let request = v1::ExecRequest {
            container_id: id.0.clone(),
            cmd: command.to_vec(),
            tty: options.tty,
            stdin: options.stdin,
            stdout: options.stdout,
            stderr: options.stderr && !options.tty,
        };
        let answer = timed("exec", CALL_TIMEOUT, self.inner.runtime().exec(request)).await?;
        self.stream(&answer.url, options).await
    }

    async fn attach(&self, id: &ContainerId, options: StreamOptions) -> Result<ExecSession> {
        let request = v1::AttachRequest {
            container_id: id.0.clone(),
            stdin: options.stdin,
            tty: options.tty,
            stdout: options.stdout,
            stderr: options.stderr && !options.tty,
        };
        let answer = timed("attach", CALL_TIMEOUT, self.inner.runtime().attach(request)).await?;
        self.stream(&answer.url, options).await
    }

    async fn connect(&self, id: &SandboxId, port: u16) -> Result<(Reader, Writer)> {
        let known = self.inner.sandbox(&id.0, None).await?;
        let known = known.ok_or_else(|| Error::NotFound { what: "sandbox", name: id.0.clone() })?;
        let stream = network::connect(known.status.network_namespace, port).await;
        let reason = |error: std::io::Error| format!("port {port} of sandbox {}: {error}", id.0);
        let stream = stream.map_err(|error| Error::Failed { operation: "connect", reason: reason(error) })?;
        let (reader, writer) = stream.into_split();
        Ok((Box::pin(reader), Box::pin(writer)))
    }
}

impl CriRuntime {
    async fn stream(&self, url: &str, options: StreamOptions) -> Result<ExecSession> {
        let (session, work) = exec::open(url, options).await?;
        self.spawn(work);
        Ok(session)
    }
}
