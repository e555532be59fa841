//! One try of a check over the network, or by a command. No thresholds, no schedule.

pub mod grpc;
pub mod h2ping;
pub mod http;
pub mod script;
pub mod socket;
pub mod tls;

use portolan_api::typed::{CheckType, Health, HealthCheck};

use http::{Redirects, Request, Secrecy};
use tls::Trust;

/// What one try found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How it is.
    pub health: Health,
    /// In words.
    pub output: String,
}

/// Whether commands may be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scripts {
    /// A check by a command is critical and says so.
    #[default]
    Refused,
    /// Whoever may register an instance may run commands here.
    Allowed,
}

/// What tries have in common.
#[derive(Debug, Clone, Default)]
pub struct Prober {
    /// Whose certificates are believed.
    pub trust: Trust,
    /// Whether commands may be run.
    pub scripts: Scripts,
}

const USER_AGENT: &str = "Portolan Health Check";

impl Prober {
    /// Tries a check once; it ends in time.
    pub async fn try_once(&self, check: &HealthCheck) -> Outcome {
        let timeout = check.timeout();
        let found = match check.r#type {
            // A script is killed at its end of time by its own code; a datagram's silence is no failure.
            CheckType::Script => self.script(check).await,
            CheckType::Udp => socket::udp(&check.address, timeout).await.map(passing),
            _ => tokio::time::timeout(timeout, self.connect(check))
                .await
                .unwrap_or_else(|_| Err(format!("{}: no answer within {timeout:?}", target(check)))),
        };
        let mut outcome = found.unwrap_or_else(|output| Outcome { health: Health::Critical, output });
        outcome.output.truncate(check.capped(&outcome.output).len());
        outcome
    }

    async fn script(&self, check: &HealthCheck) -> Result<Outcome, String> {
        match self.scripts {
            Scripts::Allowed => script::run(&check.command, check.timeout(), check.output_limit()).await,
            Scripts::Refused => {
                Err("checks by a command are not allowed here; the operator allows them at the start".to_owned())
            }
        }
    }

    async fn connect(&self, check: &HealthCheck) -> Result<Outcome, String> {
        match check.r#type {
            CheckType::Http => self.http(check).await,
            CheckType::Tcp => {
                let secrecy = self.secrecy(check)?;
                socket::tcp(&check.address, &secrecy).await.map(passing)
            }
            CheckType::Grpc => {
                let (address, service) = check.address.split_once('/').unwrap_or((&check.address, ""));
                let (host, port) = socket::host_and_port(address)?;
                let secrecy = self.secrecy(check)?;
                grpc::check(&grpc::Call { host, port, service, user_agent: USER_AGENT, secrecy }).await?;
                Ok(passing(format!("gRPC check {}: success", check.address)))
            }
            CheckType::H2ping => {
                let (host, port) = socket::host_and_port(&check.address)?;
                h2ping::ping(host, port, &self.secrecy(check)?).await?;
                Ok(passing("HTTP2 ping was successful".to_owned()))
            }
            CheckType::Ttl | CheckType::Udp | CheckType::Script | CheckType::Alias | CheckType::External => {
                Err(format!("a check of type {} is not tried over a connection", check.r#type.as_str()))
            }
        }
    }

    fn secrecy(&self, check: &HealthCheck) -> Result<Secrecy, String> {
        if !check.tls {
            return Ok(Secrecy::Plain);
        }
        Ok(Secrecy::Tls { config: self.trust.config(check.tls_skip_verify)?, name: check.tls_server_name.clone() })
    }

    async fn http(&self, check: &HealthCheck) -> Result<Outcome, String> {
        let url = url::Url::parse(&check.url).map_err(|error| format!("the URL {:?}: {error}", check.url))?;
        let mut headers: Vec<(String, String)> = Vec::new();
        for (name, values) in &check.headers {
            headers.extend(values.iter().map(|value| (name.clone(), value.clone())));
        }
        let request = Request {
            method: if check.method.is_empty() { "GET".to_owned() } else { check.method.to_uppercase() },
            headers,
            body: check.body.clone(),
            user_agent: USER_AGENT.to_owned(),
            kept: check.output_limit(),
        };
        let redirects = if check.disable_redirects { Redirects::Returned } else { Redirects::Followed };
        let secrecy = || {
            Ok(Secrecy::Tls { config: self.trust.config(check.tls_skip_verify)?, name: check.tls_server_name.clone() })
        };
        let (url, answer) = http::fetch(url, request, secrecy, redirects).await?;
        let health = match answer.status.as_u16() {
            200..300 => Health::Passing,
            429 => Health::Warning,
            _ => Health::Critical,
        };
        let method = if check.method.is_empty() { "GET" } else { &check.method };
        Ok(Outcome { health, output: format!("HTTP {method} {url}: {} Output: {}", answer.status, answer.body) })
    }
}

/// What a check asks, for messages.
fn target(check: &HealthCheck) -> &str {
    if check.url.is_empty() { &check.address } else { &check.url }
}

fn passing(output: String) -> Outcome {
    Outcome { health: Health::Passing, output }
}

#[cfg(test)]
mod tests;
