//! Keys that are taken over from their file while the server runs: `--encryption-provider-config-automatic-reload`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use portolan_base::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{EncryptedStore, Encryption};
use crate::followed_file::{FollowedFile, SettingsFile};
use crate::rounds;
use crate::server::Server;

/// How often the file is looked at, as upstream.
const INTERVAL: Duration = Duration::from_secs(60);

/// Where new keys come from.
#[derive(Debug, Clone)]
pub(super) struct Source {
    file: Arc<FollowedFile>,
    /// What stays readable whatever the file says.
    always: Option<Box<Encryption>>,
}

impl Encryption {
    /// Has the server follow the file from which these settings were made; what `always` holds stays readable.
    #[must_use]
    pub fn followed(self, path: PathBuf, text: &str, always: Option<Self>) -> Self {
        let file = Arc::new(FollowedFile::new(SettingsFile { path, text: text.to_owned() }, "encryption"));
        Self { source: Some(Source { file, always: always.map(Box::new) }), ..self }
    }
}

impl EncryptedStore {
    /// The file that is followed, if one is.
    pub(crate) fn file(&self) -> Option<&FollowedFile> {
        self.source.as_ref().map(|source| &*source.file)
    }

    /// Takes over what the file says now. One that cannot be used changes nothing, and is tried again.
    pub(crate) async fn reload(&self, now: Timestamp) {
        let Some(Source { file, always }) = &self.source else { return };
        let text = match file.changed().await {
            Ok(Some(text)) => text,
            Ok(None) => return,
            Err(error) => return file.refused(now, &error.to_string()),
        };
        let settings = match Encryption::parse(&text) {
            Ok(settings) => settings,
            Err(error) => return file.put_off(now, &error.to_string()),
        };
        let settings = match always {
            Some(always) => settings.reading(Encryption::clone(always)),
            None => settings,
        };
        self.rules.replace(settings.rules);
        file.taken_over(now);
    }
}

/// Looks at the file again and again, until `stop`.
pub(crate) async fn follow(server: Arc<Server>, stop: CancellationToken) {
    if server.encrypted.as_ref().is_none_or(|encrypted| encrypted.file().is_none()) {
        return;
    }
    rounds::every(&stop, INTERVAL, || server.reload_encryption()).await;
}
