//! An agent on a simulated runtime and an API in memory, with time that only moves when all wait.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use portolan_api::typed::Object;
use portolan_api::typed::kinds::core::v1::Pod;
use portolan_base::{Clock, Readiness, Shutdown, Timestamp};
use portolan_client::testing::FakeServer;
use portolan_client::{Body, Client, Transport};
use portolan_node::{Capacity, CgroupConfig, Config, LogRotation, MemoryVolumes, ServerConfig};
use portolan_runtime::simulated::{Options, SimulatedRuntime};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub(crate) const NODE: &str = "north";

/// Wall-clock time that follows Tokio's, paused or not.
#[derive(Debug)]
pub(crate) struct TokioClock {
    start: Instant,
    epoch: Timestamp,
}

impl TokioClock {
    pub(crate) fn new() -> Self {
        let epoch = Timestamp::from_second(1_900_000_000).expect("in range");
        Self { start: Instant::now(), epoch }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        self.epoch + self.start.elapsed()
    }
}

/// The API in memory has no strategic merge. The agent's patches name whole lists, so that after
/// leaving out the directives a plain merge does the same.
#[derive(Debug)]
struct Adapter(FakeServer);

#[async_trait::async_trait]
impl Transport for Adapter {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Body>, portolan_client::Error> {
        let (mut parts, mut body) = request.into_parts();
        let media = http::HeaderValue::from_static("application/merge-patch+json");
        if parts
            .headers
            .get(http::header::CONTENT_TYPE)
            .is_some_and(|media| media == "application/strategic-merge-patch+json")
        {
            parts.headers.insert(http::header::CONTENT_TYPE, media);
            let mut patch: Value = serde_json::from_slice(&body).expect("the agent sends JSON");
            for list in
                patch["status"].as_object_mut().into_iter().flatten().filter_map(|(_, value)| value.as_array_mut())
            {
                list.retain(|item| item.get("$patch").is_none());
            }
            body = patch.to_string().into();
        }
        self.0.send(http::Request::from_parts(parts, body)).await
    }
}

/// A node under test.
pub(crate) struct Node {
    pub(crate) api: FakeServer,
    pub(crate) client: Client,
    pub(crate) runtime: SimulatedRuntime,
    clock: Arc<TokioClock>,
    folder: tempfile::TempDir,
    shutdown: Shutdown,
    agent: Option<JoinHandle<Result<(), portolan_node::Error>>>,
    pub(crate) server: Option<ServerConfig>,
    cgroups: Option<CgroupConfig>,
}

impl Node {
    pub(crate) async fn start() -> Self {
        let mut node = Self::prepare();
        node.run();
        node
    }

    /// Everything but the agent itself.
    pub(crate) fn prepare() -> Self {
        let clock = Arc::new(TokioClock::new());
        let api = FakeServer::new(clock.clone());
        Self {
            client: Client::new(Arc::new(Adapter(api.clone()))),
            api,
            runtime: SimulatedRuntime::new(Options { clock: clock.clone(), ..Options::default() }),
            clock,
            folder: tempfile::tempdir().expect("a folder for the test"),
            shutdown: Shutdown::default(),
            agent: None,
            server: None,
            cgroups: None,
        }
    }

    /// Gives pods control groups: plain files, that take whatever is written.
    pub(crate) fn with_groups(mut self) -> Self {
        let mount = self.folder.path().join("cgroup");
        for controller in ["cpu", "memory"] {
            std::fs::create_dir_all(mount.join(controller)).expect("a folder of the test");
        }
        self.cgroups = Some(CgroupConfig { mount, parent: "/kubepods".into() });
        self
    }

    /// The file `name`, such as `cpu.shares`, in the control group of a burstable pod.
    pub(crate) fn group_file(&self, pod: &str, name: &str) -> std::path::PathBuf {
        let controller = name.split('.').next().unwrap_or_default();
        let pod = self.pod(pod).expect("the API has it");
        self.folder
            .path()
            .join("cgroup")
            .join(controller)
            .join(format!("kubepods/burstable/pod{}", pod.uid()))
            .join(name)
    }

    /// Starts the agent.
    pub(crate) fn run(&mut self) {
        self.shutdown = Shutdown::default();
        let config = Config {
            node_name: NODE.into(),
            client: self.client.clone(),
            runtime: Arc::new(self.runtime.clone()),
            data_dir: self.folder.path().join("data"),
            log_dir: self.folder.path().join("logs"),
            server: self.server.clone(),
            cluster_dns: IpAddr::V4(Ipv4Addr::new(10, 43, 0, 10)),
            cluster_domain: "cluster.local".into(),
            resolv_conf: self.folder.path().join("resolv.conf"),
            addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            pod_cidr: "10.42.0.0/24".into(),
            labels: [("zone".to_owned(), "a".to_owned())].into(),
            taints: Vec::new(),
            max_pods: 110,
            capacity: Some(Capacity {
                cpu_milli: 2000,
                memory_bytes: 4 << 30,
                ephemeral_storage_bytes: 10 << 30,
                huge_pages: [(2 << 20, 1 << 30)].into(),
            }),
            log_rotation: LogRotation::default(),
            memory_volumes: MemoryVolumes::Directory,
            cgroups: self.cgroups.clone(),
            eviction: None,
            clock: self.clock.clone(),
            readiness: Readiness::default(),
        };
        self.agent = Some(tokio::spawn(portolan_node::run(config, self.shutdown.clone())));
    }

    /// Starts the agent again, which finds nothing to do.
    pub(crate) async fn run_idle(&mut self) {
        self.api.clear_requests();
        self.run();
        tokio::time::sleep(Duration::from_secs(30)).await;
        self.wrote_no_pods();
    }

    /// No pod was written since requests were cleared last.
    pub(crate) fn wrote_no_pods(&self) {
        let writes = self.api.writes();
        assert!(!writes.iter().any(|write| write.contains("/pods/")), "{writes:?}");
    }

    /// Ends the agent as `kill -9` would: nothing is told, nothing is cleaned up.
    pub(crate) async fn kill(&mut self) {
        if let Some(agent) = self.agent.take() {
            agent.abort();
            assert!(agent.await.is_err_and(|error| error.is_cancelled()), "the agent had ended by itself");
        }
    }

    /// Ends the agent in good order.
    pub(crate) async fn stop(mut self) {
        self.shutdown.request();
        if let Some(agent) = self.agent.take() {
            agent.await.expect("the agent does not panic").expect("the agent ends in good order");
        }
    }

    pub(crate) fn log_dir(&self) -> std::path::PathBuf {
        self.folder.path().join("logs")
    }

    pub(crate) fn data_dir(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Creates a pod bound to the node.
    pub(crate) async fn create(&self, name: &str, spec: Value) -> Pod {
        let mut object = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"nodeName": NODE, "containers": [{"name": "app", "image": "app:1"}]},
        });
        object["spec"].as_object_mut().expect("an object").extend(spec.as_object().expect("an object").clone());
        let pod = Pod::decode(object.to_string().as_bytes()).expect("the test's pod is valid");
        self.client.create(&pod).await.expect("the API takes the pod")
    }

    pub(crate) fn pod(&self, name: &str) -> Option<Pod> {
        self.api.objects::<Pod>().into_iter().find(|pod| pod.name() == name)
    }

    /// Waits until a pod is as wanted; `None` means gone.
    pub(crate) async fn until(&self, name: &str, what: &str, holds: impl Fn(Option<&Pod>) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(1800);
        loop {
            let pod = self.pod(name);
            if holds(pod.as_ref()) {
                return;
            }
            let status = pod.and_then(|pod| pod.status).map(|status| serde_json::to_string_pretty(&status));
            let writes = || self.api.writes().into_iter().rev().take(20).collect::<Vec<_>>();
            assert!(
                Instant::now() < deadline,
                "{name} never became {what}: {status:?}, last writes {:?}, agent ended {:?}",
                writes(),
                self.agent.as_ref().map(JoinHandle::is_finished)
            );
            // Paused time moves on only when every task waits.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn until_ready(&self, name: &str) {
        self.until(name, "ready", |pod| pod.is_some_and(|pod| condition(pod, "Ready") == "True")).await;
    }

    pub(crate) async fn until_phase(&self, name: &str, phase: &str) {
        self.until(name, phase, |pod| pod.is_some_and(|pod| status(pod).phase.as_deref() == Some(phase))).await;
    }

    pub(crate) async fn until_gone(&self, name: &str) {
        self.until(name, "gone", |pod| pod.is_none()).await;
    }

    /// Waits for an event about a pod, as [`Self::events`] has it: events are written behind the status.
    pub(crate) async fn until_event(&self, name: &str, start: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.events(name).iter().any(|event| event.starts_with(start)) {
            assert!(Instant::now() < deadline, "{start}: {:?}", self.events(name));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// `reason message` of the events about a pod.
    pub(crate) fn events(&self, name: &str) -> Vec<String> {
        let mut events = self.api.objects::<portolan_api::typed::kinds::core::v1::Event>();
        events.retain(|event| event.involved_object.name.as_deref() == Some(name));
        events
            .into_iter()
            .map(|event| format!("{} {}", event.reason.unwrap_or_default(), event.message.unwrap_or_default()))
            .collect()
    }
}

pub(crate) fn status(pod: &Pod) -> portolan_api::typed::kinds::core::v1::PodStatus {
    pod.status.clone().unwrap_or_default()
}

pub(crate) fn condition(pod: &Pod, name: &str) -> String {
    let conditions = status(pod).conditions.unwrap_or_default();
    conditions
        .into_iter()
        .find(|condition| condition.type_ == name)
        .map(|condition| condition.status)
        .unwrap_or_default()
}
