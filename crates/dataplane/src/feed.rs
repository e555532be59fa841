//! From informers to the catalog's snapshots.

use std::sync::Arc;
use std::time::Duration;

use portolan_api::typed::kinds::core::v1::{Node, Pod, Service};
use portolan_api::typed::kinds::discovery::v1::EndpointSlice;
use portolan_api::typed::{ExternalNode, Object, PreparedQuery, ServiceInstance};
use portolan_base::Shutdown;
use portolan_catalog::{Catalog, Input, Key, Kind, Snapshot};
use portolan_client::{Encoded, Informer, Informers, WorkQueue};
use tokio::sync::watch;

/// How long the API has to tell what is before what was is published instead. An API that refuses
/// connections is not waited for.
const HEAD_START: Duration = Duration::from_millis(500);

/// Publishes a snapshot after each batch of changes until shutdown.
///
/// Nothing is published before every kind has arrived completely: a snapshot with the index 0
/// means "not known yet".
pub async fn feed(informers: Arc<Informers>, snapshots: watch::Sender<Arc<Snapshot>>, shutdown: Shutdown) {
    feed_from(informers, Vec::new(), snapshots, shutdown).await;
}

/// The same, but where the API is away, `last_known` is published in the meantime.
pub(crate) async fn feed_from(
    informers: Arc<Informers>,
    last_known: Vec<Input>,
    snapshots: watch::Sender<Arc<Snapshot>>,
    shutdown: Shutdown,
) {
    let mut sources = Sources::new(&informers);
    let mut catalog = Catalog::new();
    let remembered: Vec<(Kind, Key)> = last_known.iter().map(identity).collect();
    if !remembered.is_empty() {
        let away = async {
            tokio::select! {
                () = sources.synced() => false,
                () = is_away(&informers) => true,
            }
        };
        match shutdown.run(away).await {
            None => return,
            Some(false) => {}
            Some(true) => {
                last_known.into_iter().for_each(|input| catalog.put(input));
                publish(&snapshots, catalog.snapshot());
            }
        }
    }
    if shutdown.run(sources.synced()).await.is_none() {
        return;
    }
    sources.drain(&mut catalog);
    // The index goes on where that of the process before stopped: removals left no object to tell.
    catalog.seen(sources.revision());
    for (kind, key) in remembered.into_iter().filter(|(kind, key)| !sources.has(*kind, key)) {
        catalog.remove(kind, &key);
    }
    loop {
        publish(&snapshots, catalog.snapshot());
        if shutdown.run(sources.next(&mut catalog)).await.is_none() {
            return;
        }
    }
}

fn publish(snapshots: &watch::Sender<Arc<Snapshot>>, snapshot: Arc<Snapshot>) {
    snapshots.send_if_modified(|current| {
        let changed = current.index() != snapshot.index();
        if changed {
            *current = snapshot;
        }
        changed
    });
}

async fn is_away(informers: &Informers) {
    let mut interrupted = informers.interrupted();
    let refused = interrupted.wait_for(|count| *count > 0);
    // The sender lives in `informers`; either way the time is up.
    let _ = tokio::time::timeout(HEAD_START, refused).await;
}

fn identity(input: &Input) -> (Kind, Key) {
    fn key(object: &impl Object) -> Key {
        Key::new(object.namespace(), object.name())
    }
    match input {
        Input::Service(object) => (Kind::Service, key(&**object)),
        Input::EndpointSlice(object) => (Kind::EndpointSlice, key(&**object)),
        Input::Pod(object) => (Kind::Pod, key(&**object)),
        Input::Node(object) => (Kind::Node, key(&**object)),
        Input::Registration(object) => (Kind::Registration, key(&**object)),
        Input::ExternalNode(object) => (Kind::ExternalNode, key(&**object)),
        Input::PreparedQuery(object) => (Kind::PreparedQuery, key(&**object)),
    }
}

/// All kinds that the catalog is derived from.
struct Sources {
    services: Source<Service>,
    slices: Source<EndpointSlice>,
    pods: Source<Pod>,
    nodes: Source<Node>,
    registrations: Source<ServiceInstance>,
    machines: Source<ExternalNode>,
    queries: Source<PreparedQuery>,
}

impl Sources {
    fn new(informers: &Arc<Informers>) -> Self {
        Self {
            services: Source::new(informers, Kind::Service, Input::Service),
            slices: Source::new(informers, Kind::EndpointSlice, Input::EndpointSlice),
            pods: Source::of(informers, Kind::Pod, Input::Pod, PLACED),
            nodes: Source::new(informers, Kind::Node, Input::Node),
            registrations: Source::new(informers, Kind::Registration, Input::Registration),
            machines: Source::new(informers, Kind::ExternalNode, Input::ExternalNode),
            queries: Source::new(informers, Kind::PreparedQuery, Input::PreparedQuery),
        }
    }

    async fn synced(&self) {
        self.services.informer.synced().await;
        self.slices.informer.synced().await;
        self.pods.informer.synced().await;
        self.nodes.informer.synced().await;
        self.registrations.informer.synced().await;
        self.machines.informer.synced().await;
        self.queries.informer.synced().await;
    }

    /// Everything there is: its keys are queued from the start.
    fn drain(&self, catalog: &mut Catalog) {
        self.services.drain(catalog);
        self.slices.drain(catalog);
        self.pods.drain(catalog);
        self.nodes.drain(catalog);
        self.registrations.drain(catalog);
        self.machines.drain(catalog);
        self.queries.drain(catalog);
    }

    fn revision(&self) -> u64 {
        let registered = self.registrations.informer.revision().max(self.machines.informer.revision());
        let registered = registered.max(self.queries.informer.revision());
        let run = self.pods.informer.revision().max(self.nodes.informer.revision());
        let offered = self.services.informer.revision().max(self.slices.informer.revision());
        registered.max(run).max(offered)
    }

    fn has(&self, kind: Kind, key: &Key) -> bool {
        match kind {
            Kind::Service => self.services.has(key),
            Kind::EndpointSlice => self.slices.has(key),
            Kind::Pod => self.pods.has(key),
            Kind::Node => self.nodes.has(key),
            Kind::Registration => self.registrations.has(key),
            Kind::ExternalNode => self.machines.has(key),
            Kind::PreparedQuery => self.queries.has(key),
        }
    }

    /// Waits for changes and puts them in.
    async fn next(&mut self, catalog: &mut Catalog) {
        tokio::select! {
            keys = self.services.keys.next() => self.services.put(keys, catalog),
            keys = self.slices.keys.next() => self.slices.put(keys, catalog),
            keys = self.pods.keys.next() => self.pods.put(keys, catalog),
            keys = self.nodes.keys.next() => self.nodes.put(keys, catalog),
            keys = self.registrations.keys.next() => self.registrations.put(keys, catalog),
            keys = self.machines.keys.next() => self.machines.put(keys, catalog),
            keys = self.queries.keys.next() => self.queries.put(keys, catalog),
        }
    }
}

/// Which objects of a kind are of interest, asked of encoded and of decoded ones.
struct Interest<K> {
    encoded: fn(&Encoded<'_>) -> bool,
    decoded: fn(&K) -> bool,
}

/// Pods that run somewhere or have an address: nothing leads to the others, which may be many and
/// need not be decoded then.
const PLACED: Interest<Pod> = Interest {
    encoded: |pod| {
        let is_there = |path: &[&str]| pod.text(path).is_some_and(|text| !text.is_empty());
        is_there(&["spec", "nodeName"]) || is_there(&["status", "podIP"])
    },
    decoded: |pod| {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
        let address = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref());
        node.into_iter().chain(address).any(|text| !text.is_empty())
    },
};

/// One kind on its way into the catalog.
struct Source<K> {
    informer: Informer<K>,
    keys: WorkQueue,
    kind: Kind,
    input: fn(Arc<K>) -> Input,
    interest: fn(&K) -> bool,
}

impl<K: Object> Source<K> {
    fn new(informers: &Arc<Informers>, kind: Kind, input: fn(Arc<K>) -> Input) -> Self {
        Self::of(informers, kind, input, Interest { encoded: |_| true, decoded: |_| true })
    }

    fn of(informers: &Arc<Informers>, kind: Kind, input: fn(Arc<K>) -> Input, interest: Interest<K>) -> Self {
        let (informer, keys) = (informers.informer::<K>(), WorkQueue::new());
        let concerns = interest.encoded;
        informer.feed_encoded(&keys, move |object| concerns(object).then(|| object.key()).into_iter().collect());
        Self { keys, informer, kind, input, interest: interest.decoded }
    }

    fn has(&self, key: &Key) -> bool {
        self.informer.get(&key.namespace, &key.name).is_some_and(|object| (self.interest)(&object))
    }

    fn drain(&self, catalog: &mut Catalog) {
        self.put(self.keys.take(), catalog);
    }

    fn put(&self, keys: std::collections::BTreeSet<portolan_client::Key>, catalog: &mut Catalog) {
        // One at a time: all of a large cluster at once would be much memory.
        for key in keys {
            match self.informer.get(&key.namespace, &key.name).filter(|object| (self.interest)(object)) {
                Some(object) => catalog.put((self.input)(object)),
                None => catalog.remove(self.kind, &Key::new(key.namespace, key.name)),
            }
        }
    }
}
