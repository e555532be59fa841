//! HTTP requests of probes and hooks.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Container, HTTPGetAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use portolan_health::probe::http::{Answer, Request, Secrecy, send};
use portolan_health::probe::{socket::authority, tls};

/// How much of an answer is kept for messages, as upstream.
const BODY_KEPT: usize = 10 << 10;

/// Whom to ask.
#[derive(Debug, Clone)]
pub(crate) struct Target<'a> {
    /// Address of the pod.
    pub(crate) address: Option<IpAddr>,
    /// For its ports' names.
    pub(crate) container: &'a Container,
}

impl Target<'_> {
    /// The address of the pod, or the host that the action names.
    pub(crate) fn host(&self, host: Option<&str>) -> Result<String, String> {
        match (host.filter(|host| !host.is_empty()), self.address) {
            (Some(host), _) => Ok(host.to_owned()),
            (None, Some(address)) => Ok(address.to_string()),
            (None, None) => Err("the pod has no address".to_owned()),
        }
    }

    /// A port by number or name.
    pub(crate) fn port(&self, port: &IntOrString) -> Result<u16, String> {
        let number = match port {
            IntOrString::Int(number) => *number,
            IntOrString::String(name) => {
                let ports = self.container.ports.as_deref().unwrap_or_default();
                match ports.iter().find(|port| port.name.as_deref() == Some(name)) {
                    Some(port) => port.container_port,
                    None => name.parse().map_err(|_| format!("couldn't find port: {name:?}"))?,
                }
            }
        };
        u16::try_from(number).ok().filter(|port| *port != 0).ok_or_else(|| format!("invalid port number: {number}"))
    }
}

/// Sends the request of an action; redirects are not followed.
///
/// # Errors
/// Why there is no answer, for the event.
pub(crate) async fn get(target: &Target<'_>, action: &HTTPGetAction) -> Result<Answer, String> {
    let (host, port) = (target.host(action.host.as_deref())?, target.port(&action.port)?);
    let path = action.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let authority = authority(&host, port);
    let secure = action.scheme.as_deref() == Some("HTTPS");
    let url = format!("{}://{authority}{path}", if secure { "https" } else { "http" });
    let failed = |error: String| format!("Get {url:?}: {error}");
    let headers = action.http_headers.iter().flatten();
    let request = Request {
        method: "GET".to_owned(),
        headers: headers.map(|header| (header.name.clone(), header.value.clone())).collect(),
        body: String::new(),
        user_agent: user_agent(),
        kept: BODY_KEPT,
    };
    // Any certificate will do: a probe asks whether the server answers, not who it is.
    let secrecy = match secure {
        true => Secrecy::Tls { config: tls::unverified().map_err(failed)?, name: String::new() },
        false => Secrecy::Plain,
    };
    send(&host, port, &path, &request, &secrecy).await.map_err(failed)
}

/// Who asks, as the release of Kubernetes that this node reports.
pub(super) fn user_agent() -> String {
    format!("kube-probe/{}", crate::registration::VERSION)
}
