//! The node's HTTP API.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use portolan_base::Shutdown;
use portolan_client::Informer;
use tokio::net::TcpListener;

use crate::config::ServerConfig;
use crate::error::Error;
use crate::worker::Context;

pub(crate) struct Server {
    listener: TcpListener,
    port: u16,
}

impl Server {
    pub(crate) async fn bind(config: &ServerConfig, _: Arc<Context>, _: Informer<Pod>) -> Result<Self, Error> {
        let failed = |source| Error::Bind { address: config.bind, source };
        let listener = TcpListener::bind(config.bind).await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        Ok(Self { listener, port })
    }
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
    pub(crate) async fn run(self, shutdown: Shutdown) {
        shutdown.requested().await;
        drop(self.listener);
    }
}
