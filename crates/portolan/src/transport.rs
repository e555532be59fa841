//! Requests from parts of this process to the API server in it: the same handler, authorization
//! and admission as over the network, without a socket.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderValue;
use portolan_api::typed::Known;
use portolan_apiserver::{Peer, Server};
use portolan_client::{Body, Error, SharedFrames, Transport, body_of};
use portolan_identity::User;

/// A transport for one identity.
#[derive(Clone)]
pub(crate) struct InProcess {
    server: Arc<Server>,
    user: Arc<User>,
}

impl InProcess {
    pub(crate) fn new(server: Arc<Server>, user: User) -> Self {
        Self { server, user: Arc::new(user) }
    }
}

impl std::fmt::Debug for InProcess {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("InProcess").field("user", &self.user.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl Transport for InProcess {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Body>, Error> {
        let mut answer = self.server.handle(request.map(body_of), Peer::Trusted(self.user.clone())).await;
        answer.extensions_mut().insert(SharedFrames);
        Ok(answer)
    }

    async fn create(&self, agent: Option<&HeaderValue>, object: Known<'_>) -> bool {
        self.server.create_known(&self.user, agent, object).await
    }
}
