//! Requests and answers over a fake API server, with the catalog's real feed.

mod blocking;
mod checks;
mod dialect;
mod malformed;
mod manners;
mod names;
mod registration;
mod rights;
mod transactions;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use http_body_util::BodyExt;
use portolan_api::typed::{ExternalNode, ServiceInstance};
use portolan_base::{Clock, Shutdown, SystemClock, TaskGroup};
use portolan_catalog::{Catalog, Snapshot};
use portolan_client::Informers;
use portolan_client::testing::FakeServer;
use portolan_registrar::access::Caller;
use portolan_registrar::http::{Handler, Request};
use portolan_registrar::limits::{Limiter, Limits};
use portolan_registrar::{Changes, Registrar};
use portolan_store::embedded::{Embedded, Options};
use serde_json::Value;
use tokio::sync::watch;

use crate::acl::Acl;
use crate::route::Consul;
use crate::space::Space;
use crate::state::{Identity, State};
use crate::{AclConfig, ScriptChecks};

/// An answer as the client reads it.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn index(&self) -> u64 {
        self.headers["x-consul-index"].to_str().expect("ASCII").parse().expect("a number")
    }
}

/// The dialect with all that it stands on.
struct World {
    api: FakeServer,
    consul: Arc<Consul>,
    state: Arc<State>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    log: crate::Log,
    tasks: TaskGroup,
    shutdown: Shutdown,
    _folder: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        Self::with_acl(AclConfig::default()).await
    }

    async fn with_acl(acl: AclConfig) -> Self {
        Self::with(acl, ScriptChecks::Refused).await
    }

    async fn with(acl: AclConfig, scripts: ScriptChecks) -> Self {
        let (shutdown, mut tasks) = (Shutdown::default(), TaskGroup::default());
        let folder = tempfile::tempdir().expect("a folder");
        let store = Embedded::open(Options::new(folder.path())).expect("a store");
        let api = FakeServer::new(Arc::new(SystemClock));
        let informers = Informers::new(api.client());
        let instances = informers.informer::<ServiceInstance>();
        let machines = informers.informer::<ExternalNode>();
        let registrar = Arc::new(Registrar::new(api.client(), instances).with_machines(machines));
        let (sender, snapshots) = watch::channel(Catalog::default().snapshot());
        let changes = Changes::new(snapshots.clone());
        let (running, stopping) = (informers.clone(), shutdown.clone());
        tasks.spawn("informers", async move { running.run(stopping).await });
        tasks.spawn("catalog", portolan_dataplane::feed(informers, sender, shutdown.clone()));
        let (running, stopping) = (registrar.clone(), shutdown.clone());
        tasks.spawn("registrations", async move {
            stopping.run(running.run()).await;
        });
        let (running, stopping) = (changes.clone(), shutdown.clone());
        tasks.spawn("changes", async move { running.run(stopping).await });
        let identity = Identity {
            node: "agent".into(),
            datacenter: "dc1".into(),
            version: "1.22.0".into(),
            addresses: vec![(Ipv4Addr::LOCALHOST, 8500).into()],
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let kept = (Space::new(Arc::new(store), clock.clone()), Acl::new(acl, "dc1".into()));
        let limiter = Arc::new(Limiter::new(Limits::OFF));
        let state = State::new(registrar, changes, api.client(), kept, clock, identity, limiter, shutdown.clone());
        state.acl.prepare(&state.space).await.expect("the store takes it");
        let log = crate::Log::new(16);
        let state = Arc::new(state.with_log(Some(log.clone())).with_scripts(scripts));
        let following = state.clone();
        tasks.spawn("key space", async move { following.space.run(following.shutdown.clone()).await });
        let following = state.clone();
        tasks.spawn("machines", async move { following.follow_machines().await });
        let writing = state.clone();
        tasks.spawn("transactions", async move { crate::txn::Queue::run(&writing).await });
        let consul = Arc::new(Consul::new(state.clone()));
        Self { api, consul, state, snapshots, log, tasks, shutdown, _folder: folder }
    }

    async fn ask(&self, method: Method, path: &str, body: &str) -> Answer {
        ask(&self.consul, method, path, body).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, "").await
    }

    /// A write that must succeed.
    async fn put(&self, path: &str, body: &str) {
        let answer = self.ask(Method::PUT, path, body).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }

    async fn stop(self) {
        self.shutdown.request();
        assert!(self.tasks.join(Duration::from_secs(5)).await.is_empty());
    }
}

fn request(method: Method, path: &str, body: &str) -> Request {
    Request {
        method,
        uri: path.parse().expect("a path"),
        headers: HeaderMap::new(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
        caller: Caller::Trusted,
    }
}

async fn ask(consul: &Consul, method: Method, path: &str, body: &str) -> Answer {
    let (head, body) = consul.answer(request(method, path, body)).await.into_parts();
    let body = body.collect().await.expect("the body cannot fail").to_bytes();
    Answer { status: head.status.as_u16(), headers: head.headers, body }
}

/// The names of an object's fields.
fn fields(value: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}
