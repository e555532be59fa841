//! A record of who did what (`audit.k8s.io/v1`).

mod backend;
pub(crate) mod deliver;
mod format;
mod log;
mod notes;
mod policy;
mod record;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::request::Parts;
use http::{HeaderMap, HeaderName, Method};
use portolan_base::{Clock, Timestamp};
use portolan_identity::User;
use serde_json::Value;

use backend::Backend;
pub use backend::{Batch, Delivery, LogSettings, Throttle, Truncate, WebhookSettings};
pub use format::Format;
pub use log::LogFile;
pub(crate) use notes::Notes;
pub use policy::{Level, Policy, Stage};
pub(crate) use record::Record;

use crate::config::Error;
use crate::request::Info;
use crate::server::Peer;

/// What is recorded, and where.
#[derive(Debug, Clone)]
pub struct Audit {
    /// What.
    pub policy: Policy,
    /// Into this file.
    pub log: Option<LogSettings>,
    /// And to this service.
    pub webhook: Option<WebhookSettings>,
}

impl Audit {
    /// Into a file.
    pub fn to_file(policy: Policy, file: LogFile) -> Self {
        Self { policy, log: Some(LogSettings::of(file)), webhook: None }
    }
}

/// Records requests.
#[derive(Debug)]
pub(crate) struct Auditor {
    policy: Policy,
    backends: Vec<Arc<Backend>>,
    clock: Arc<dyn Clock>,
    events: AtomicU64,
    rejected: AtomicU64,
    levels: [AtomicU64; 4],
}

/// The header that names a request.
pub(crate) static ID: HeaderName = HeaderName::from_static("audit-id");

/// The longest name that a client may give its request.
const ID_LENGTH: usize = 64;

/// The name of a request in the audit log and in its answer: what the client calls it, or a new one.
pub(crate) fn id_of(headers: &HeaderMap) -> String {
    let given = headers.get(&ID).and_then(|id| id.to_str().ok()).filter(|id| !id.is_empty());
    given.map_or_else(|| uuid::Uuid::new_v4().to_string(), |id| id.chars().take(ID_LENGTH).collect())
}

impl Auditor {
    pub(crate) fn open(settings: Audit, clock: Arc<dyn Clock>) -> Result<Arc<Self>, Error> {
        let log = settings.log.map(Backend::log).transpose()?;
        let webhook = settings.webhook.map(Backend::webhook).transpose()?;
        Ok(Arc::new(Self {
            policy: settings.policy,
            backends: log.into_iter().chain(webhook).map(Arc::new).collect(),
            clock,
            events: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            levels: Default::default(),
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
        let verb = info.map_or(&*method, |info| info.verb);
        let extent = self.policy.extent(user.map(|user| &**user), verb, path, info);
        if let Some(index) = LEVELS.iter().position(|level| *level == extent.level) {
            self.levels[index].fetch_add(1, Ordering::Relaxed);
        }
        if extent.level == Level::None {
            return None;
        }
        let mut record = Record::new(self.clone(), extent, id, now);
        record.describe(user, verb, parts, info, &sources(&parts.headers, peer));
        Some(record)
    }

    /// Has a record kept, and waits for that where it is wanted.
    async fn record(&self, event: Value, now: Timestamp) -> Kept {
        self.events.fetch_add(1, Ordering::Relaxed);
        let (event, mut kept) = (Arc::new(event), Kept::AsWanted);
        for backend in &self.backends {
            if backend.take(&event, now).await.is_err() && backend.delivery == Delivery::BlockingStrict {
                kept = Kept::NotAsWanted;
            }
        }
        kept
    }

    /// The same for those who cannot wait.
    fn put(&self, event: Value, now: Timestamp) {
        self.events.fetch_add(1, Ordering::Relaxed);
        let event = Arc::new(event);
        for backend in &self.backends {
            backend.put(&event, now);
        }
    }

    /// A request is refused as it could not be recorded.
    pub(crate) fn reject(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    /// Appends what it counted as Prometheus text.
    pub(crate) fn metrics(&self, text: &mut String) {
        let (events, rejected) = (self.events.load(Ordering::Relaxed), self.rejected.load(Ordering::Relaxed));
        text.push_str(&format!(
            "# HELP apiserver_audit_event_total Counter of audit events generated and sent to the audit backend.\n\
             # TYPE apiserver_audit_event_total counter\napiserver_audit_event_total {events}\n\
             # HELP apiserver_audit_requests_rejected_total Requests that were refused as they could not be recorded.\n\
             # TYPE apiserver_audit_requests_rejected_total counter\n\
             apiserver_audit_requests_rejected_total {rejected}\n\
             # HELP apiserver_audit_error_total Counter of audit events that failed to be audited properly.\n\
             # TYPE apiserver_audit_error_total counter\n"
        ));
        let mut errors = BTreeMap::<&str, u64>::new();
        for (plugin, count) in self.backends.iter().flat_map(|backend| backend.errors()) {
            *errors.entry(plugin).or_default() += count;
        }
        for (plugin, count) in errors {
            text.push_str(&format!("apiserver_audit_error_total{{plugin=\"{plugin}\"}} {count}\n"));
        }
        let metric = "apiserver_audit_level_total";
        text.push_str(&format!(
            "# HELP {metric} Requests by the level at which they are recorded.\n# TYPE {metric} counter\n"
        ));
        for (level, count) in LEVELS.into_iter().zip(&self.levels) {
            text.push_str(&format!("{metric}{{level=\"{}\"}} {}\n", level.name(), count.load(Ordering::Relaxed)));
        }
    }
}

const LEVELS: [Level; 4] = [Level::None, Level::Metadata, Level::Request, Level::RequestResponse];

/// Whether a request may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It may.
    AsWanted,
    /// It may not: it is not recorded, and must be.
    NotAsWanted,
}

/// The verb of a request for a path that is no resource's.
pub(crate) fn verb_of(method: &Method) -> Cow<'static, str> {
    Cow::Borrowed(match *method {
        Method::GET => "get",
        Method::HEAD => "head",
        Method::POST => "post",
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => return Cow::Owned(method.as_str().to_ascii_lowercase()),
    })
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
