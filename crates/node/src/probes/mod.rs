//! Startup, readiness and liveness probes.

pub(crate) mod http;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Probe};
use portolan_base::error::chain;
use portolan_health::probe::grpc;
use portolan_health::probe::http::Secrecy;
use portolan_runtime::{ContainerId, Runtime};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

pub(crate) use http::Target;

/// What a probe is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Startup,
    Readiness,
    Liveness,
}

impl Kind {
    /// As in upstream's messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Readiness => "Readiness",
            Self::Liveness => "Liveness",
        }
    }

    /// The probe of this kind that a container has.
    pub(crate) fn of(self, container: &Container) -> Option<&Probe> {
        match self {
            Self::Startup => container.startup_probe.as_ref(),
            Self::Readiness => container.readiness_probe.as_ref(),
            Self::Liveness => container.liveness_probe.as_ref(),
        }
    }
}

/// What a probe reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) container: String,
    pub(crate) id: ContainerId,
    pub(crate) kind: Kind,
    pub(crate) finding: Finding,
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    /// One try failed; for the event.
    Failed(String),
    /// Enough tries in a row said the same.
    Decided { healthy: bool },
}

/// One probe of one start of a container.
#[derive(Debug)]
pub(crate) struct Prober {
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) container: Container,
    pub(crate) id: ContainerId,
    pub(crate) kind: Kind,
    pub(crate) probe: Probe,
    /// Address of the pod.
    pub(crate) address: Option<IpAddr>,
    /// How long the container has been running.
    pub(crate) running_for: Duration,
    pub(crate) reports: mpsc::Sender<Report>,
}

impl Prober {
    /// Probes until dropped. A startup probe ends with its verdict.
    pub(crate) async fn run(self) {
        let seconds = |value: Option<i32>, default: u64| {
            Duration::from_secs(value.and_then(|value| u64::try_from(value).ok()).unwrap_or(default))
        };
        let period = seconds(self.probe.period_seconds, 10).max(Duration::from_secs(1));
        let timeout = seconds(self.probe.timeout_seconds, 1).max(Duration::from_secs(1));
        let initial = seconds(self.probe.initial_delay_seconds, 0);
        tokio::time::sleep(initial.saturating_sub(self.running_for)).await;
        let mut counter = Counter::new(
            u32::try_from(self.probe.success_threshold.unwrap_or(1)).unwrap_or(1),
            u32::try_from(self.probe.failure_threshold.unwrap_or(3)).unwrap_or(3),
        );
        let mut decided = None;
        let mut timer = tokio::time::interval(period);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            timer.tick().await;
            let outcome = match tokio::time::timeout(timeout, self.once(timeout)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(format!("probe timed out after {timeout:?}")),
            };
            let healthy = outcome.is_ok();
            if let Err(message) = outcome {
                self.report(Finding::Failed(message)).await;
            }
            if let Some(healthy) = counter.count(healthy)
                && decided.replace(healthy) != Some(healthy)
            {
                self.report(Finding::Decided { healthy }).await;
                if self.kind == Kind::Startup {
                    return;
                }
            }
        }
    }

    async fn report(&self, finding: Finding) {
        let report = Report { container: self.container.name.clone(), id: self.id.clone(), kind: self.kind, finding };
        // The worker is gone only when this probe is about to be dropped too.
        let _ = self.reports.send(report).await;
    }

    async fn once(&self, timeout: Duration) -> Result<(), String> {
        let target = Target { address: self.address, container: &self.container };
        if let Some(exec) = &self.probe.exec {
            let command = exec.command.clone().unwrap_or_default();
            let output = self.runtime.exec_sync(&self.id, &command, timeout).await;
            let output = output.map_err(|error| chain(&error).to_string())?;
            let text = [output.stdout, output.stderr].concat();
            return match output.exit_code {
                0 => Ok(()),
                _ => Err(String::from_utf8_lossy(&text).trim().to_owned()),
            };
        }
        if let Some(action) = &self.probe.http_get {
            let answer = http::get(&target, action).await?;
            return match answer.status.as_u16() {
                200..400 => Ok(()),
                code => {
                    tracing::debug!(code, body = answer.body, "probe answered with a failure");
                    Err(format!("HTTP probe failed with statuscode: {code}"))
                }
            };
        }
        if let Some(action) = &self.probe.tcp_socket {
            let (host, port) = (target.host(action.host.as_deref())?, target.port(&action.port)?);
            let connected = TcpStream::connect((host.as_str(), port)).await;
            return connected.map(drop).map_err(|error| format!("dial tcp {host}:{port}: {error}"));
        }
        if let Some(action) = &self.probe.grpc {
            let port = u16::try_from(action.port).map_err(|_| format!("invalid port number: {}", action.port))?;
            let (host, service) = (target.host(None)?, action.service.as_deref().unwrap_or_default());
            let secrecy = Secrecy::Plain;
            return grpc::check(&grpc::Call { host: &host, port, service, user_agent: &http::user_agent(), secrecy })
                .await;
        }
        Err("the probe has no action that this node knows".to_owned())
    }
}

/// Counts equal results in a row.
#[derive(Debug)]
struct Counter {
    success_threshold: u32,
    failure_threshold: u32,
    last: Option<bool>,
    in_a_row: u32,
}

impl Counter {
    fn new(success_threshold: u32, failure_threshold: u32) -> Self {
        Self {
            success_threshold: success_threshold.max(1),
            failure_threshold: failure_threshold.max(1),
            last: None,
            in_a_row: 0,
        }
    }

    /// Takes in a result; a verdict each time the threshold is reached or exceeded.
    fn count(&mut self, healthy: bool) -> Option<bool> {
        if self.last == Some(healthy) {
            self.in_a_row = self.in_a_row.saturating_add(1);
        } else {
            self.last = Some(healthy);
            self.in_a_row = 1;
        }
        let threshold = if healthy { self.success_threshold } else { self.failure_threshold };
        (self.in_a_row >= threshold).then_some(healthy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_needs_enough_equal_results() {
        let mut counter = Counter::new(2, 3);
        let verdicts: Vec<Option<bool>> =
            [false, false, true, false, false, false, true, true].map(|healthy| counter.count(healthy)).into();
        assert_eq!(verdicts, [None, None, None, None, None, Some(false), None, Some(true)]);
    }
}
