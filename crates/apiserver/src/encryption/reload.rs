//! Keys that are taken over from their file while the server runs: `--encryption-provider-config-automatic-reload`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use parking_lot::Mutex;
use portolan_base::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{EncryptedStore, Encryption};
use crate::configuration::Invalid;
use crate::server::Server;

/// How often the file is looked at, as upstream.
const INTERVAL: Duration = Duration::from_secs(60);

/// The file, and what stays readable whatever it says.
#[derive(Debug, Clone)]
pub(super) struct Source {
    file: PathBuf,
    /// Of the text that is in use.
    hash: String,
    always: Option<Box<Encryption>>,
}

/// What became of it.
#[derive(Debug)]
pub(super) struct Reload {
    source: Mutex<Source>,
    succeeded: Mutex<Attempts>,
    failed: Mutex<Attempts>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Attempts {
    count: u64,
    last: Option<Timestamp>,
}

/// Why keys stay as they were.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("read {file}")]
    Read {
        file: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{file}")]
    Parse {
        file: PathBuf,
        #[source]
        source: Invalid,
    },
}

impl Encryption {
    /// Has the server follow the file from which these settings were made; what `always` holds stays readable.
    #[must_use]
    pub fn followed(self, file: PathBuf, text: &str, always: Option<Self>) -> Self {
        let source = Source { file, hash: hash(text.as_bytes()), always: always.map(Box::new) };
        Self { source: Some(source), ..self }
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

impl Attempts {
    fn add(&mut self, now: Timestamp) {
        self.count += 1;
        self.last = Some(now);
    }
}

impl Reload {
    pub(super) fn new(source: Source) -> Self {
        Self { source: Mutex::new(source), succeeded: Mutex::default(), failed: Mutex::default() }
    }

    /// What the file says now; nothing if that is in use already.
    async fn changed(&self) -> Result<Option<(Encryption, String)>, Unusable> {
        let Source { file, hash: before, always } = self.source.lock().clone();
        let text = tokio::fs::read_to_string(&file).await;
        let text = text.map_err(|source| Unusable::Read { file: file.clone(), source })?;
        let after = hash(text.as_bytes());
        if after == before {
            return Ok(None);
        }
        let settings = Encryption::parse(&text).map_err(|source| Unusable::Parse { file, source })?;
        let settings = match always {
            Some(always) => settings.reading(*always),
            None => settings,
        };
        Ok(Some((settings, after)))
    }
}

impl EncryptedStore {
    /// Takes over what the file says now. One that cannot be used changes nothing.
    pub(crate) async fn reload(&self, now: Timestamp) {
        let Some(reload) = &self.reload else { return };
        match reload.changed().await {
            Ok(None) => {}
            Ok(Some((settings, hash))) => {
                self.rules.replace(settings.rules);
                let file = {
                    let mut source = reload.source.lock();
                    source.hash = hash;
                    source.file.clone()
                };
                reload.succeeded.lock().add(now);
                tracing::info!(file = %file.display(), "the keys by which objects are encrypted were taken over");
            }
            Err(error) => {
                reload.failed.lock().add(now);
                let error = portolan_base::error::chain(&error);
                tracing::error!(%error, "the keys by which objects are encrypted stay as they were; mend the file");
            }
        }
    }

    /// Figures as Prometheus text; `identity` tells this server from others.
    pub(crate) fn metrics(&self, identity: &str, text: &mut String) {
        let Some(reload) = &self.reload else { return };
        let identity = hash(identity.as_bytes());
        let (failed, succeeded) = (*reload.failed.lock(), *reload.succeeded.lock());
        let all = [("failure", failed), ("success", succeeded)];
        let metric = "apiserver_encryption_config_controller_automatic_reloads_total";
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "# HELP {metric} Attempts to take over new keys.\n# TYPE {metric} counter");
        for (status, attempts) in all.iter().filter(|(_, attempts)| attempts.count > 0) {
            let count = attempts.count;
            let _ = writeln!(text, "{metric}{{apiserver_id_hash=\"{identity}\",status=\"{status}\"}} {count}");
        }
        let metric = "apiserver_encryption_config_controller_automatic_reload_last_timestamp_seconds";
        let _ = writeln!(text, "# HELP {metric} When it was attempted last.\n# TYPE {metric} gauge");
        for (status, last) in all.iter().filter_map(|(status, attempts)| Some((status, attempts.last?))) {
            let last = last.as_second();
            let _ = writeln!(text, "{metric}{{apiserver_id_hash=\"{identity}\",status=\"{status}\"}} {last}");
        }
        let metric = "apiserver_encryption_config_controller_last_config_info";
        let used = reload.source.lock().hash.clone();
        let _ = writeln!(text, "# HELP {metric} The file whose keys are in use.\n# TYPE {metric} gauge");
        let _ = writeln!(text, "{metric}{{apiserver_id_hash=\"{identity}\",hash=\"{used}\"}} 1");
    }
}

/// Looks at the file again and again, until `stop`.
pub(crate) async fn follow(server: Arc<Server>, stop: CancellationToken) {
    if server.encrypted.as_ref().is_none_or(|encrypted| encrypted.reload.is_none()) {
        return;
    }
    while stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
        server.reload_encryption().await;
    }
}
