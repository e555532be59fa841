//! A record of who did what (`audit.k8s.io/v1`).

mod log;
mod notes;
mod policy;
mod record;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderMap;
use http::request::Parts;
use portolan_base::{Clock, Timestamp};
use portolan_identity::User;
use serde_json::Value;

pub use log::LogFile;
pub(crate) use notes::Notes;
pub use policy::{Level, Policy, Stage};
pub(crate) use record::Record;

use crate::request::Info;
use crate::server::Peer;

/// What is recorded, and where.
#[derive(Debug, Clone)]
pub struct Audit {
    /// What.
    pub policy: Policy,
    /// Where.
    pub log: LogFile,
}

/// Records requests.
#[derive(Debug)]
pub(crate) struct Auditor {
    policy: Policy,
    log: log::Log,
    clock: Arc<dyn Clock>,
    events: AtomicU64,
    failures: AtomicU64,
}

/// The longest name that a client may give its request.
const ID_LENGTH: usize = 64;

/// The name of a request in the audit log and in its answer: what the client calls it, or a new one.
pub(crate) fn id_of(headers: &HeaderMap) -> String {
    let given = headers.get("audit-id").and_then(|id| id.to_str().ok()).filter(|id| !id.is_empty());
    given.map_or_else(|| uuid::Uuid::new_v4().to_string(), |id| id.chars().take(ID_LENGTH).collect())
}

impl Auditor {
    pub(crate) fn open(settings: Audit, clock: Arc<dyn Clock>) -> std::io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            policy: settings.policy,
            log: log::Log::open(settings.log)?,
            clock,
            events: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }))
    }

    /// Begins the record of a request; `None` if the policy wants none.
    pub(crate) fn begin(
        self: &Arc<Self>,
        user: Option<&Arc<User>>,
        parts: &Parts,
        info: Option<&Info>,
        peer: &Peer,
        id: &str,
        now: Timestamp,
    ) -> Option<Record> {
        let path = parts.uri.path();
        let method = verb_of(&parts.method);
        let verb = info.map_or(method.as_str(), |info| info.verb);
        let extent = self.policy.extent(user.map(|user| &**user), verb, path, info);
        if extent.level == Level::None {
            return None;
        }
        let mut record = Record::new(self.clone(), extent, id, now);
        record.describe(user, verb, parts, info, &sources(&parts.headers, peer));
        Some(record)
    }

    fn write(&self, event: &Value, now: Timestamp) {
        let mut line = event.to_string().into_bytes();
        line.push(b'\n');
        self.events.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = self.log.write(&line, now) {
            self.failures.fetch_add(1, Ordering::Relaxed);
            tracing::error!(%error, "the audit log cannot be written");
        }
    }

    /// Appends what it counted as Prometheus text.
    pub(crate) fn metrics(&self, text: &mut String) {
        let (events, failures) = (self.events.load(Ordering::Relaxed), self.failures.load(Ordering::Relaxed));
        text.push_str(&format!(
            "# HELP apiserver_audit_event_total Counter of audit events generated and sent to the audit backend.\n\
             # TYPE apiserver_audit_event_total counter\napiserver_audit_event_total {events}\n\
             # HELP apiserver_audit_error_total Counter of audit events that failed to be audited properly.\n\
             # TYPE apiserver_audit_error_total counter\napiserver_audit_error_total{{plugin=\"log\"}} {failures}\n"
        ));
    }
}

/// The verb of a request for a path that is no resource's. Whoever asks for the head asks for the whole.
pub(crate) fn verb_of(method: &http::Method) -> String {
    if method == http::Method::HEAD { "get".to_owned() } else { method.as_str().to_ascii_lowercase() }
}

/// Where a request comes from: as proxies say, then the connection.
fn sources(headers: &HeaderMap, peer: &Peer) -> Vec<String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let named = text("x-forwarded-for").split(',').chain([text("x-real-ip")]).map(str::trim);
    let mut sources: Vec<String> =
        named.filter(|address| address.parse::<std::net::IpAddr>().is_ok()).map(str::to_owned).collect();
    let own = match peer {
        Peer::Trusted(_) => "127.0.0.1".to_owned(),
        Peer::Tls { address, .. } => address.ip().to_canonical().to_string(),
    };
    if sources.last() != Some(&own) {
        sources.push(own);
    }
    sources
}
