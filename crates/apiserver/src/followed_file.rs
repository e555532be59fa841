//! A file of settings that is looked at again while the server runs.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use parking_lot::Mutex;
use portolan_base::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::outgoing::Endpoint;
use crate::rounds;
use crate::server::Server;

/// How often files are looked at. Upstream has the kernel tell it; looking also sees what is behind links and mounts.
const INTERVAL: Duration = Duration::from_secs(5);

/// A file of settings, and what it said when the server was started.
#[derive(Debug, Clone)]
pub struct SettingsFile {
    /// The file.
    pub path: PathBuf,
    /// What it said.
    pub text: String,
}

/// Finds out to which service a kubeconfig leads; the error says why that cannot be told.
#[derive(Clone)]
pub struct Kubeconfigs(Arc<Reader>);

type Reader = dyn Fn(&Path) -> Result<Endpoint, String> + Send + Sync;

impl Kubeconfigs {
    /// Reads them with this function.
    pub fn new(read: impl Fn(&Path) -> Result<Endpoint, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    pub(crate) fn endpoint(&self, path: &Path) -> Result<Endpoint, String> {
        (self.0)(path)
    }
}

impl std::fmt::Debug for Kubeconfigs {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Kubeconfigs")
    }
}

/// The same while it is followed, and how that went.
#[derive(Debug)]
pub(crate) struct FollowedFile {
    path: PathBuf,
    /// What it holds, in upstream's names of metrics: `authorization`.
    what: &'static str,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Of the text that was read last.
    seen: String,
    /// Of the text that is in use.
    used: String,
    succeeded: Attempts,
    failed: Attempts,
}

#[derive(Debug, Default, Clone, Copy)]
struct Attempts {
    count: u64,
    last: Option<Timestamp>,
}

impl Attempts {
    fn add(&mut self, now: Timestamp) {
        self.count += 1;
        self.last = Some(now);
    }
}

impl FollowedFile {
    pub(crate) fn new(file: SettingsFile, what: &'static str) -> Self {
        let used = hash(file.text.as_bytes());
        let state = State { seen: used.clone(), used, succeeded: Attempts::default(), failed: Attempts::default() };
        Self { path: file.path, what, state: Mutex::new(state) }
    }

    /// What it says now; nothing if it says what it said when it was read last.
    pub(crate) async fn changed(&self) -> io::Result<Option<String>> {
        let text = tokio::fs::read_to_string(&self.path).await?;
        let mut state = self.state.lock();
        let seen = hash(text.as_bytes());
        if seen == state.seen {
            return Ok(None);
        }
        state.seen = seen;
        Ok(Some(text))
    }

    /// What was read last is in use.
    pub(crate) fn taken_over(&self, now: Timestamp) {
        let mut state = self.state.lock();
        state.used = state.seen.clone();
        state.succeeded.add(now);
        tracing::info!(file = %self.path.display(), what = self.what, "settings were taken over from their file");
    }

    /// What was read last cannot be used yet: it is read again.
    pub(crate) fn put_off(&self, now: Timestamp, why: &str) {
        {
            let mut state = self.state.lock();
            state.seen = state.used.clone();
        }
        self.refused(now, why);
    }

    /// What was read last, or could not be read, is not used.
    pub(crate) fn refused(&self, now: Timestamp, why: &str) {
        self.state.lock().failed.add(now);
        let (file, what) = (self.path.display(), self.what);
        tracing::error!(%file, what, why, "settings stay as they were; mend the file");
    }

    /// Figures as Prometheus text; `identity` tells this server from others.
    pub(crate) fn metrics(&self, identity: &str, text: &mut String) {
        let Self { what, state, .. } = self;
        let identity = hash(identity.as_bytes());
        let state = state.lock();
        let all = [("failure", state.failed), ("success", state.succeeded)];
        let metric = format!("apiserver_{what}_config_controller_automatic_reloads_total");
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "# HELP {metric} Attempts to take over changed settings.\n# TYPE {metric} counter");
        for (status, attempts) in all.iter().filter(|(_, attempts)| attempts.count > 0) {
            let count = attempts.count;
            let _ = writeln!(text, "{metric}{{apiserver_id_hash=\"{identity}\",status=\"{status}\"}} {count}");
        }
        let metric = format!("apiserver_{what}_config_controller_automatic_reload_last_timestamp_seconds");
        let _ = writeln!(text, "# HELP {metric} When it was attempted last.\n# TYPE {metric} gauge");
        for (status, last) in all.iter().filter_map(|(status, attempts)| Some((status, attempts.last?))) {
            let last = last.as_second();
            let _ = writeln!(text, "{metric}{{apiserver_id_hash=\"{identity}\",status=\"{status}\"}} {last}");
        }
        let metric = format!("apiserver_{what}_config_controller_last_config_info");
        let _ = writeln!(text, "# HELP {metric} The settings that are in use.\n# TYPE {metric} gauge");
        let _ = writeln!(text, "{metric}{{apiserver_id_hash=\"{identity}\",hash=\"{}\"}} 1", state.used);
    }
}

fn hash(bytes: &[u8]) -> String {
    let mut text = "sha256:".to_owned();
    for byte in digest(&SHA256, bytes).as_ref() {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Looks at the files of authentication and authorization again and again, until `stop`.
pub(crate) async fn follow(server: Arc<Server>, stop: CancellationToken) {
    if server.authenticator.file.is_none() && server.ways.file().is_none() {
        return;
    }
    rounds::every(&stop, INTERVAL, || server.reload_access()).await;
}
