//! Scenarios over all controllers together, against the fake server, on paused time.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use portolan_api::typed::Object;
use portolan_api::typed::kinds::apps::v1::{Deployment, ReplicaSet};
use portolan_api::typed::kinds::coordination::v1::Lease;
use portolan_api::typed::kinds::core::v1::{
    ConfigMap, Endpoints, Event, Namespace, Node, Pod, ReplicationController, Service, ServiceAccount,
};
use portolan_api::typed::kinds::discovery::v1::EndpointSlice;
use portolan_base::{Clock, Shutdown};
use portolan_client::testing::{FakeServer, TokioClock};
use portolan_client::{Client, DeleteOptions, Informers, Key, Patch, Propagation, WorkQueue};
use serde_json::{Value, json};

use crate::meta::{is_deleting, is_ready};
use crate::{Config, NodeTimes};

/// Nobody asks for a certificate in these scenarios.
#[derive(Debug)]
struct NoKeys;

impl crate::Keys for NoKeys {
    fn sign(
        &self,
        _: &portolan_identity::CertificateRequest,
        _: &[String],
        _: portolan_base::Timestamp,
        _: portolan_base::Timestamp,
    ) -> Result<String, String> {
        Err("there is no authority".to_owned())
    }

    fn sign_token(&self, _: &portolan_identity::LegacyClaims) -> Result<String, String> {
        Err("there is no key".to_owned())
    }
}

#[derive(Clone)]
struct World {
    server: FakeServer,
    client: Client,
    clock: Arc<dyn Clock>,
}

impl World {
    async fn create<K: Object>(&self, value: Value) -> K {
        let object = K::decode(value.to_string().as_bytes()).expect("it is of this kind");
        self.client.create(&object).await.expect("the name is free")
    }

    async fn patch<K: Object>(&self, namespace: &str, name: &str, patch: Value) {
        self.client.patch::<K>(namespace, name, "", &Patch::Merge(patch)).await.expect("it exists");
    }

    /// Waits until the objects of a kind satisfy a condition. Paused time moves on only while nothing else
    /// can happen, so the wait costs nothing and ends with the first step that satisfies it.
    async fn until<K: Object>(&self, what: &str, condition: impl Fn(&[K]) -> bool) -> Vec<K> {
        let found = async {
            loop {
                let objects = self.server.objects::<K>();
                if condition(&objects) {
                    return objects;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        match tokio::time::timeout(Duration::from_secs(900), found).await {
            Ok(objects) => objects,
            Err(_) => panic!("never: {what}; there is {:#?}", self.server.objects::<K>()),
        }
    }

    /// Lets everything happen that is going to happen within this time.
    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn sizes(&self) -> Vec<(i32, String)> {
        let image = |set: &ReplicaSet| {
            let template = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
            template.and_then(|found| found.spec.as_ref()?.containers.first()?.image.clone()).unwrap_or_default()
        };
        let size = |set: &ReplicaSet| set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or_default();
        self.server.objects::<ReplicaSet>().iter().map(|set| (size(set), image(set))).collect()
    }
}

/// Plays scheduler and node: binds pods, makes those ready whose image works, ends those deleted.
async fn play_node(client: Client, informers: Arc<Informers>, clock: Arc<dyn Clock>, shutdown: Shutdown) {
    let pods = informers.informer::<Pod>();
    let queue = WorkQueue::new();
    pods.feed(&queue, |pod| vec![Key::of(pod)]);
    let mut next_address = 1;
    while let Some(keys) = shutdown.run(queue.next()).await {
        for key in keys {
            let Some(pod) = pods.get(&key.namespace, &key.name) else { continue };
            let spec = pod.spec.as_ref().expect("all pods here have a spec");
            if spec.node_name.as_deref().is_some_and(|node| node == "lost") {
                continue;
            }
            // Answers that say conflict or not found: the pod changed, its key comes again.
            if is_deleting(&*pod) {
                let _ = client.delete::<Pod>(&key.namespace, &key.name, &DeleteOptions::now()).await;
            } else if spec.node_name.is_none() {
                let _ = client.bind(&pod, "node-1").await;
            } else if pod.status.is_none() {
                let works = spec.containers.iter().all(|container| container.image.as_deref() != Some("broken"));
                let ready = json!({
                    "type": "Ready", "status": if works { "True" } else { "False" }, "lastTransitionTime": Time(clock.now()),
                });
                let status = json!({
                    "phase": if works { "Running" } else { "Pending" }, "podIP": format!("10.42.0.{next_address}"), "conditions": [ready],
                });
                next_address += 1;
                let patch = Patch::Merge(json!({"status": status}));
                let _ = client.patch::<Pod>(&key.namespace, &key.name, "status", &patch).await;
            }
        }
    }
}

async fn with_world<F: Future<Output = ()>>(scenario: impl FnOnce(World) -> F) {
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::new("2030-01-01T00:00:00Z".parse().expect("it is a time")));
    let server = FakeServer::new(clock.clone());
    let client = server.client();
    let informers = Informers::new(client.clone());
    let config = Config {
        client: client.clone(),
        informers: informers.clone(),
        clock: clock.clone(),
        root_ca_pem: "CERTIFICATE".to_owned(),
        load_balancer_cidr: "10.44.0.0/24".to_owned(),
        node_times: NodeTimes::default(),
        legacy_token_period: Duration::from_secs(10 * 24 * 3600),
        keys: Arc::new(NoKeys),
    };
    let shutdown = Shutdown::default();
    let world = World { server, client: client.clone(), clock: clock.clone() };
    world
        .create::<Node>(
            json!({"metadata": {"name": "node-1"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
        )
        .await;
    tokio::join!(
        informers.run(shutdown.clone()),
        crate::run(config, shutdown.clone()),
        play_node(client, informers.clone(), clock, shutdown.clone()),
        async {
            tokio::select! {
                () = scenario(world.clone()) => {}
                () = beat(&world) => {}
            }
            shutdown.request();
        }
    );
}

/// The heartbeat of `node-1`.
async fn beat(world: &World) {
    let spec = || json!({"renewTime": MicroTime(world.clock.now())});
    let lease = json!({"metadata": {"name": "node-1", "namespace": "kube-node-lease"}, "spec": spec()});
    world.create::<Lease>(lease).await;
    loop {
        world.pass(Duration::from_secs(10)).await;
        world.patch::<Lease>("kube-node-lease", "node-1", json!({"spec": spec()})).await;
    }
}

fn deployment(replicas: i32, image: &str) -> Value {
    json!({
        "metadata": {"name": "shop", "namespace": "n"},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "shop"}}, "progressDeadlineSeconds": 600,
            "revisionHistoryLimit": 10,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "template": {"metadata": {"labels": {"app": "shop"}}, "spec": {"containers": [{"name": "c", "image": image}]}},
        },
    })
}

fn image(image: &str) -> Value {
    json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}})
}

fn condition(deployment: &Deployment, kind: &str) -> String {
    let conditions = deployment.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let found = conditions.iter().find(|condition| condition.type_ == kind);
    found.map(|found| format!("{} {}", found.status, found.reason.clone().unwrap_or_default())).unwrap_or_default()
}

/// As `kubectl rollout status` decides it.
fn is_rolled_out(replicas: i32) -> impl Fn(&[Deployment]) -> bool {
    move |deployments| {
        deployments.iter().any(|deployment| {
            let Some(status) = &deployment.status else { return false };
            status.observed_generation == deployment.metadata.generation
                && status.updated_replicas == Some(replicas)
                && status.replicas == Some(replicas)
                && status.available_replicas == Some(replicas)
                && condition(deployment, "Progressing") == "True NewReplicaSetAvailable"
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_deployment_comes_up_scales_and_its_service_follows() {
    with_world(|world| async move {
        world.create::<Deployment>(deployment(3, "one")).await;
        let service = json!({"metadata": {"name": "shop", "namespace": "n"}, "spec": {"selector": {"app": "shop"}, "type": "LoadBalancer", "ports": [{"port": 80, "targetPort": 8080, "protocol": "TCP"}]}});
        world.create::<Service>(service).await;
        world.until("3 replicas", is_rolled_out(3)).await;
        world.patch::<Deployment>("n", "shop", json!({"spec": {"replicas": 5}})).await;
        let deployments = world.until("5 replicas", is_rolled_out(5)).await;
        assert_eq!(deployments[0].metadata.annotations.as_ref().and_then(|all| all.get("deployment.kubernetes.io/revision")).map(String::as_str), Some("1"));
        assert_eq!(world.server.objects::<Pod>().len(), 5, "no pod too many");
        let ready = |slices: &[EndpointSlice]| {
            let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten());
            endpoints.filter(|endpoint| endpoint.conditions.as_ref().and_then(|found| found.ready) == Some(true)).count()
        };
        let slices = world.until::<EndpointSlice>("5 endpoints", |slices| ready(slices) == 5).await;
        assert_eq!(slices.len(), 1, "no slice left over");
        world.until::<Endpoints>("5 addresses", |all| {
            let subsets = all.iter().flat_map(|endpoints| endpoints.subsets.iter().flatten());
            subsets.map(|subset| subset.addresses.as_ref().map_or(0, Vec::len)).sum::<usize>() == 5
        }).await;
        world.until::<Service>("an address", |services| {
            let ingress = services[0].status.as_ref().and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref()?.first());
            ingress.and_then(|ingress| ingress.ip.as_deref()) == Some("10.44.0.1")
        }).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_new_image_rolls_out_without_losing_more_than_allowed_and_undo_rolls_back() {
    with_world(|world| async move {
        world.create::<Deployment>(deployment(4, "one")).await;
        world.until("4 replicas", is_rolled_out(4)).await;
        world.patch::<Deployment>("n", "shop", image("two")).await;
        let rolled_out = is_rolled_out(4);
        world
            .until::<Deployment>("the new image", |deployments| {
                let ready =
                    world.server.objects::<Pod>().iter().filter(|pod| is_ready(pod) && !is_deleting(*pod)).count();
                assert!(ready >= 3, "maxUnavailable is 1, but only {ready} are ready");
                assert!(
                    world.server.objects::<Pod>().iter().filter(|pod| !is_deleting(*pod)).count() <= 5,
                    "maxSurge is 1"
                );
                rolled_out(deployments)
            })
            .await;
        let mut sizes = world.sizes();
        sizes.sort();
        assert_eq!(sizes, [(0, "one".to_owned()), (4, "two".to_owned())]);
        // `kubectl rollout undo` writes the old template back.
        world.patch::<Deployment>("n", "shop", image("one")).await;
        world.until("the old image", is_rolled_out(4)).await;
        let mut sizes = world.sizes();
        sizes.sort();
        assert_eq!(sizes, [(0, "two".to_owned()), (4, "one".to_owned())], "the old set is used again");
        let annotations = world.server.objects::<Deployment>()[0].metadata.annotations.clone().unwrap_or_default();
        assert_eq!(annotations.get("deployment.kubernetes.io/revision").map(String::as_str), Some("3"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_broken_image_stops_at_max_unavailable_and_times_out() {
    with_world(|world| async move {
        world.create::<Deployment>(deployment(4, "one")).await;
        world.until("4 replicas", is_rolled_out(4)).await;
        world.patch::<Deployment>("n", "shop", image("broken")).await;
        world
            .until::<Deployment>("the deadline", |deployments| {
                condition(&deployments[0], "Progressing") == "False ProgressDeadlineExceeded"
            })
            .await;
        let mut sizes = world.sizes();
        sizes.sort();
        assert_eq!(sizes, [(2, "broken".to_owned()), (3, "one".to_owned())], "3 of 4 keep serving, 5 in all");
        assert_eq!(condition(&world.server.objects::<Deployment>()[0], "Available"), "True MinimumReplicasAvailable");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_paused_deployment_waits_and_recreate_never_mixes() {
    with_world(|world| async move {
        let mut recreate = deployment(2, "one");
        recreate["spec"]["strategy"] = json!({"type": "Recreate"});
        world.create::<Deployment>(recreate).await;
        world.until("2 replicas", is_rolled_out(2)).await;
        world.patch::<Deployment>("n", "shop", json!({"spec": {"paused": true}})).await;
        world.patch::<Deployment>("n", "shop", image("two")).await;
        world.pass(Duration::from_secs(30)).await;
        assert_eq!(world.sizes(), [(2, "one".to_owned())], "paused");
        world.patch::<Deployment>("n", "shop", json!({"spec": {"paused": false}})).await;
        let rolled_out = is_rolled_out(2);
        world
            .until::<Deployment>("the new image", |deployments| {
                let pods = world.server.objects::<Pod>();
                let images: std::collections::BTreeSet<_> =
                    pods.iter().filter_map(|pod| pod.spec.as_ref()?.containers.first()?.image.clone()).collect();
                assert!(images.len() <= 1, "old and new together: {images:?}");
                rolled_out(deployments) && images.contains("two")
            })
            .await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn deleting_a_deployment_takes_everything_along() {
    for propagation in [Propagation::Background, Propagation::Foreground] {
        with_world(|world| async move {
            world.create::<Deployment>(deployment(2, "one")).await;
            world.until("2 replicas", is_rolled_out(2)).await;
            let options = DeleteOptions::default().with_propagation(propagation);
            world.client.delete::<Deployment>("n", "shop", &options).await.expect("it exists");
            world.until::<Pod>("no pods", |pods| pods.is_empty()).await;
            world.until::<ReplicaSet>("no sets", |sets| sets.is_empty()).await;
            world.until::<Deployment>("no deployment", |deployments| deployments.is_empty()).await;
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn orphaned_sets_live_on_and_are_adopted_again() {
    with_world(|world| async move {
        world.create::<Deployment>(deployment(2, "one")).await;
        world.until("2 replicas", is_rolled_out(2)).await;
        let options = DeleteOptions::default().with_propagation(Propagation::Orphan);
        world.client.delete::<Deployment>("n", "shop", &options).await.expect("it exists");
        world.until::<Deployment>("no deployment", |deployments| deployments.is_empty()).await;
        world.pass(Duration::from_secs(30)).await;
        assert_eq!(world.server.objects::<Pod>().len(), 2);
        let again = world.create::<Deployment>(deployment(2, "one")).await;
        world
            .until::<ReplicaSet>("adoption", |sets| {
                sets.len() == 1
                    && sets[0].metadata.owner_references.iter().flatten().any(|owner| owner.uid == again.uid())
            })
            .await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_replication_controller_keeps_its_pods_and_adopts_what_it_selects() {
    with_world(|world| async move {
        let spec = json!({"containers": [{"name": "c", "image": "one"}]});
        let metadata = json!({"name": "alone", "namespace": "n", "labels": {"app": "old"}});
        world.create::<Pod>(json!({"metadata": metadata, "spec": spec})).await;
        let controller = json!({
            "metadata": {"name": "old", "namespace": "n"},
            "spec": {"replicas": 3, "selector": {"app": "old"}, "template": {"metadata": {"labels": {"app": "old"}}, "spec": spec}},
        });
        let controller = world.create::<ReplicationController>(controller).await;
        let is_ready = |replicas: i32| {
            move |all: &[ReplicationController]| {
                let status = all.first().and_then(|controller| controller.status.as_ref());
                status.is_some_and(|status| status.replicas == replicas && status.ready_replicas.unwrap_or(0) == replicas)
            }
        };
        world.until("3 replicas", is_ready(3)).await;
        let pods = world.server.objects::<Pod>();
        assert_eq!(pods.len(), 3, "the one that was there counts");
        let owned = |pod: &Pod| pod.metadata.owner_references.iter().flatten().any(|owner| owner.uid == controller.uid());
        assert!(pods.iter().all(owned) && pods.iter().any(|pod| pod.name() == "alone"));
        world.patch::<ReplicationController>("n", "old", json!({"spec": {"replicas": 0}})).await;
        world.until("no replicas", is_ready(0)).await;
        world.until::<Pod>("no pods", <[Pod]>::is_empty).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn owners_without_a_selector_take_nothing() {
    with_world(|world| async move {
        let pod = json!({"metadata": {"name": "alone", "namespace": "n", "labels": {"app": "shop"}}, "spec": {"containers": [{"name": "c", "image": "one"}]}});
        world.create::<Pod>(pod).await;
        for (name, selector) in [("first", json!({})), ("second", json!({"matchLabels": {}}))] {
            let mut all = deployment(0, "one");
            all["spec"]["selector"] = selector;
            all["metadata"]["name"] = name.into();
            world.create::<Deployment>(all.clone()).await;
            world.create::<ReplicaSet>(all).await;
            world.pass(Duration::from_secs(30)).await;
            let pods = world.server.objects::<Pod>();
            assert!(pods.len() == 1 && pods[0].metadata.owner_references.is_none(), "{pods:?}");
            let mut sets = world.server.objects::<ReplicaSet>().into_iter();
            assert!(sets.all(|set| ["first", "second"].contains(&set.name())));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn endpoints_written_by_hand_become_slices() {
    with_world(|world| async move {
        let metadata = json!({"name": "db", "namespace": "n"});
        world.create::<Service>(json!({"metadata": metadata, "spec": {"ports": [{"port": 5432}]}})).await;
        let subsets = |ip: &str| json!([{"addresses": [{"ip": ip}], "ports": [{"port": 5432, "protocol": "TCP"}]}]);
        world.create::<Endpoints>(json!({"metadata": metadata, "subsets": subsets("192.0.2.1")})).await;
        let holds = |ip: &'static str| {
            move |slices: &[EndpointSlice]| {
                let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten());
                endpoints.flat_map(|endpoint| &endpoint.addresses).eq([ip])
            }
        };
        world.until("a slice", holds("192.0.2.1")).await;
        world.patch::<Endpoints>("n", "db", json!({"subsets": subsets("192.0.2.2")})).await;
        world.until("another address", holds("192.0.2.2")).await;
        world.client.delete::<Endpoints>("n", "db", &DeleteOptions::default()).await.expect("they are there");
        world.until::<EndpointSlice>("no slices", <[EndpointSlice]>::is_empty).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn namespaces_get_their_basics_and_go_with_their_content() {
    with_world(|world| async move {
        world.create::<Namespace>(json!({"metadata": {"name": "n"}})).await;
        world
            .until::<ServiceAccount>("an account", |accounts| accounts.iter().any(|found| found.name() == "default"))
            .await;
        world
            .until::<ConfigMap>("a bundle", |maps| {
                maps.iter().any(|map| {
                    map.name() == "kube-root-ca.crt"
                        && map.data.as_ref().is_some_and(|data| data["ca.crt"] == "CERTIFICATE")
                })
            })
            .await;
        world.create::<Deployment>(deployment(2, "one")).await;
        world.until("2 replicas", is_rolled_out(2)).await;
        world.client.delete::<Namespace>("", "n", &DeleteOptions::default()).await.expect("it exists");
        world.until::<Namespace>("no namespace", |namespaces| namespaces.is_empty()).await;
        assert!(world.server.objects::<Pod>().is_empty() && world.server.objects::<ConfigMap>().is_empty());
        assert!(world.server.objects::<ServiceAccount>().is_empty() && world.server.objects::<ReplicaSet>().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn pods_of_a_silent_node_are_replaced_elsewhere() {
    with_world(|world| async move {
        let lost = json!({"metadata": {"name": "lost"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        world.create::<Node>(lost).await;
            world.create::<Deployment>(deployment(2, "one")).await;
            world.until("2 replicas", is_rolled_out(2)).await;
            let stray = json!({
                "metadata": {"name": "stray", "namespace": "n", "labels": {"app": "other"}},
                "spec": {"nodeName": "lost", "containers": [], "tolerations": [
                    {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
                ]},
                "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
            });
            let start = world.clock.now();
            world.create::<Pod>(stray).await;
            world.until::<Pod>("unready", |pods| pods.iter().any(|pod| pod.name() == "stray" && !is_ready(pod))).await;
            let noticed = world.clock.now().duration_since(start).as_secs();
            assert!((30..=45).contains(&noticed), "noticed after {noticed} s");
            world.until::<Pod>("evicted", |pods| pods.iter().any(|pod| pod.name() == "stray" && is_deleting(pod))).await;
            let evicted = world.clock.now().duration_since(start).as_secs();
            assert!((330..=345).contains(&evicted), "evicted after {evicted} s");
            let nodes = world.server.objects::<Node>();
            let tainted = |node: &Node| node.spec.as_ref().and_then(|spec| spec.taints.as_ref()).is_some_and(|all| !all.is_empty());
            let tainted: Vec<&str> = nodes.iter().filter(|node| tainted(node)).map(Object::name).collect();
            assert_eq!(tainted, ["lost"], "the other node is well");
            world.client.delete::<Node>("", "lost", &DeleteOptions::default()).await.expect("it exists");
            world.until::<Pod>("gone", |pods| pods.iter().all(|pod| pod.name() != "stray")).await;
            world.pass(Duration::from_secs(600)).await;
            let mut events = world.server.objects::<Event>();
            events.retain(|event| event.message.as_deref() == Some("Node lost event: Removing Node lost from Controller"));
            assert_eq!(events.len(), 1, "{events:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_cluster_at_rest_sends_no_requests() {
    with_world(|world| async move {
        world.create::<Deployment>(deployment(3, "one")).await;
        world.until("3 replicas", is_rolled_out(3)).await;
        world.pass(Duration::from_secs(120)).await;
        world.server.clear_requests();
        world.pass(Duration::from_secs(3600)).await;
        let mut writes = world.server.writes();
        writes.retain(|write| !write.ends_with("/leases/node-1"));
        assert_eq!(writes, Vec::<String>::new(), "only the node's heartbeat");
    })
    .await;
}
