//! What the server counts about itself, as Prometheus text.

mod admission;
mod attempts;
mod authorization;
mod certificates;
mod health_checks;
mod histogram;
mod impersonation;
mod long_running;
mod objects;
pub(crate) mod process;
mod watches;
mod webhooks;

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Method, StatusCode};
use parking_lot::Mutex;
use portolan_api::description::{Description, Name};

use crate::discovery;
use crate::request::Info;
pub(crate) use admission::{Admissions, Step, Timed};
use attempts::Attempts;
pub(crate) use authorization::{Authorizations, Decided, Matched, Reply};
use certificates::Certificates;
use health_checks::HealthChecks;
use histogram::Histogram;
use impersonation::Impersonations;
use long_running::LongRunning;
use objects::Objects;
pub(crate) use watches::Events;
use watches::Watches;
pub(crate) use webhooks::{Asked, Outcome, Webhooks};

/// Upper ends of the duration histogram's buckets in seconds, as upstream: rules and dashboards name them.
const BUCKETS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
];

/// What a request is counted under, with upstream's names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Label {
    verb: &'static str,
    group: Name,
    version: Name,
    resource: Name,
    subresource: Name,
    scope: &'static str,
    dry_run: &'static str,
}

impl Label {
    /// The label of a request; names that are not known do not become labels.
    pub(crate) fn of(info: Option<&Info>, description: &Description) -> Self {
        let found = info.and_then(|info| {
            let resource = description.resource(&info.group, &info.version, &info.resource)?;
            let known = resource.subresource(&info.subresource).is_some();
            let is_stream = crate::subresource::is_stream(info) && info.subresource != "log";
            Some(Self {
                verb: if is_stream { "CONNECT" } else { method(info.verb) },
                group: resource.group.clone(),
                version: resource.version.clone(),
                resource: resource.name.clone(),
                subresource: if known { info.subresource.clone().into() } else { "".into() },
                dry_run: "",
                scope: match (info.name.as_str(), info.namespace.as_str()) {
                    ("", "") => "cluster",
                    ("", _) => "namespace",
                    _ => "resource",
                },
            })
        });
        let none = || Name::from("");
        found.unwrap_or_else(|| Self {
            verb: "other",
            group: none(),
            version: none(),
            resource: none(),
            subresource: none(),
            scope: "",
            dry_run: "",
        })
    }

    /// The same for a request with these values of `dryRun`.
    pub(crate) fn with_dry_run<'a>(mut self, values: impl Iterator<Item = &'a str>) -> Self {
        for value in values {
            self.dry_run = if value == "All" { "All" } else { "invalid" };
        }
        self
    }
}

fn method(verb: &str) -> &'static str {
    match verb {
        "get" => "GET",
        "list" => "LIST",
        "watch" => "WATCH",
        "create" => "POST",
        "update" => "PUT",
        "patch" => "PATCH",
        "delete" => "DELETE",
        "deletecollection" => "DELETECOLLECTION",
        _ => "other",
    }
}

impl fmt::Display for Label {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, group, version, resource, subresource, scope, dry_run } = self;
        write!(
            formatter,
            "verb=\"{verb}\",group=\"{group}\",version=\"{version}\",resource=\"{resource}\",\
             subresource=\"{subresource}\",scope=\"{scope}\",dry_run=\"{dry_run}\",component=\"apiserver\""
        )
    }
}

/// Counters.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    counters: Mutex<Counters>,
    reading: AtomicUsize,
    writing: AtomicUsize,
    pub(crate) long_running: LongRunning,
    pub(crate) webhooks: Webhooks,
    pub(crate) admissions: Admissions,
    pub(crate) watches: Watches,
    pub(crate) attempts: Attempts,
    pub(crate) impersonations: Impersonations,
    pub(crate) authorizations: Authorizations,
    pub(crate) certificates: Certificates,
    pub(crate) health_checks: HealthChecks,
    objects: Objects,
}

/// A request that is being answered; counted until dropped.
pub(crate) struct InFlight<'a>(&'a AtomicUsize);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct Counters {
    requests: BTreeMap<(Label, u16), u64>,
    durations: BTreeMap<Label, Histogram<{ BUCKETS.len() }>>,
}

impl Metrics {
    /// Counts a request while it is being answered.
    pub(crate) fn begin(&self, method: &Method) -> InFlight<'_> {
        let running = if matches!(*method, Method::GET | Method::HEAD) { &self.reading } else { &self.writing };
        running.fetch_add(1, Ordering::Relaxed);
        InFlight(running)
    }

    pub(crate) fn record(&self, label: Label, code: StatusCode, took: Duration) {
        let mut counters = self.counters.lock();
        let durations = counters.durations.entry(label.clone());
        durations.or_insert_with(|| Histogram::new(&BUCKETS)).record(took);
        *counters.requests.entry((label, code.as_u16())).or_default() += 1;
    }

    /// All figures as Prometheus text.
    pub(crate) async fn all(&self, store: &dyn portolan_store::Store) -> String {
        let mut text = self.text(&store.status().await);
        // Writing to a `String` cannot fail.
        let _ = self.long_running.write(&mut text);
        let _ = self.webhooks.write(&mut text);
        let _ = self.admissions.write(&mut text);
        let _ = self.watches.write(&mut text);
        let _ = self.certificates.write(&mut text);
        let _ = self.attempts.write(&mut text);
        let _ = self.impersonations.write(&mut text);
        let _ = self.authorizations.write(&mut text);
        let _ = self.objects.write(store, &mut text).await;
        process::write(&mut text);
        let version = discovery::VERSION;
        text.push_str(&format!(
            "# HELP kubernetes_build_info What this server was built from.\n# TYPE kubernetes_build_info gauge\n\
             kubernetes_build_info{{build_date=\"{}\",compiler=\"{}\",git_commit=\"\",git_tree_state=\"{}\",\
             git_version=\"{}\",go_version=\"{}\",major=\"{}\",minor=\"{}\",platform=\"{}\"}} 1\n",
            version.build_date,
            version.compiler,
            version.tree,
            version.git,
            version.go,
            version.major,
            version.minor,
            discovery::PLATFORM,
        ));
        text.push_str(&format!(
            "# HELP version_info Which versions of Kubernetes this server is like.\n# TYPE version_info gauge\n\
             version_info{{binary=\"{0}.{1}\",component=\"kube\",emulation=\"{0}.{1}\",min_compat=\"{0}.{2}\"}} 1\n",
            version.major, version.minor, version.compatible_minor,
        ));
        text
    }

    /// The counters as Prometheus text.
    fn text(&self, store: &portolan_store::Status) -> String {
        let mut text = String::new();
        let metric = "apiserver_current_inflight_requests";
        text.push_str(&format!("# HELP {metric} Requests that are being answered.\n# TYPE {metric} gauge\n"));
        for (kind, running) in [("readOnly", &self.reading), ("mutating", &self.writing)] {
            let running = running.load(Ordering::Relaxed);
            text.push_str(&format!("{metric}{{request_kind=\"{kind}\"}} {running}\n"));
        }
        let counters = self.counters.lock();
        // Writing to a `String` cannot fail.
        let _ = render(&counters, store, &mut text);
        text
    }
}

fn render(counters: &Counters, store: &portolan_store::Status, text: &mut String) -> fmt::Result {
    text.push_str("# HELP apiserver_request_total Requests by verb, resource and code.\n");
    text.push_str("# TYPE apiserver_request_total counter\n");
    for ((label, code), count) in &counters.requests {
        writeln!(text, "apiserver_request_total{{{label},code=\"{code}\"}} {count}")?;
    }
    text.push_str("# HELP apiserver_request_duration_seconds Time until the head of the answer.\n");
    text.push_str("# TYPE apiserver_request_duration_seconds histogram\n");
    for (label, durations) in &counters.durations {
        durations.write(text, "apiserver_request_duration_seconds", label)?;
    }
    // By the name of what upstream keeps objects in, as health checks are.
    let size = "apiserver_storage_size_bytes";
    writeln!(text, "# HELP {size} Bytes on disk.\n# TYPE {size} gauge")?;
    writeln!(text, "{size}{{storage_cluster_id=\"etcd-0\"}} {}", store.disk_bytes)?;
    for (name, help, value) in [
        ("portolan_store_revision", "Newest revision of the store.", store.revision.0),
        ("portolan_store_compacted_revision", "Oldest revision that is kept.", store.compacted.0),
        ("portolan_store_keys", "Live keys.", store.keys as u64),
        ("portolan_store_disk_bytes", "Bytes on disk.", store.disk_bytes),
        ("portolan_store_read_only", "1 if writes are refused.", u64::from(store.read_only.is_some())),
    ] {
        writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}")?;
    }
    Ok(())
}
