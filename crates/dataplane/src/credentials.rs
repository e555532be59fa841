//! The way to the API by a kubeconfig that may be written again while it is in use.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use portolan_base::error::chain;
use portolan_client::{Body, Error, HttpsTransport, Transport};

/// Requests as the kubeconfig of the moment says: a server that was started anew may have another
/// address, and its certificates are new.
#[derive(Debug)]
pub(crate) struct Reloading {
    path: PathBuf,
    current: Mutex<Option<(Version, Arc<HttpsTransport>)>>,
}

/// Which file: it is replaced as a whole, never written into.
type Version = (u64, i64, i64);

impl Reloading {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, current: Mutex::default() }
    }

    fn transport(&self) -> Result<Arc<HttpsTransport>, Error> {
        let unusable = |reason: String| Error::Setup(format!("{}: {reason}", self.path.display()));
        // A few kilobytes of a local file, and only when a watch begins: not worth a thread.
        let file = std::fs::metadata(&self.path).map_err(|error| unusable(error.to_string()))?;
        let version = (file.ino(), file.mtime(), file.mtime_nsec());
        let mut current = self.current.lock();
        if let Some((known, transport)) = &*current
            && *known == version
        {
            return Ok(transport.clone());
        }
        let transport = HttpsTransport::from_kubeconfig(&self.path);
        let transport = Arc::new(transport.map_err(|error| unusable(chain(&error).to_string()))?);
        *current = Some((version, transport.clone()));
        Ok(transport)
    }
}

#[async_trait]
impl Transport for Reloading {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Body>, Error> {
        self.transport()?.send(request).await
    }
}
