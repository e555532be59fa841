//! From informers to the catalog's snapshots.

use std::sync::Arc;

use portolan_api::typed::kinds::core::v1::{Node, Pod, Service};
use portolan_api::typed::kinds::discovery::v1::EndpointSlice;
use portolan_api::typed::{ExternalNode, Object, ServiceInstance};
use portolan_base::Shutdown;
use portolan_catalog::{Catalog, Input, Key, Kind, Snapshot};
use portolan_client::{Informer, Informers, KeyFeed};
use tokio::sync::watch;

/// Publishes a snapshot after each batch of changes until shutdown.
///
/// Nothing is published before every kind has arrived completely: a snapshot with the index 0
/// means "not known yet".
pub async fn feed(informers: Arc<Informers>, snapshots: watch::Sender<Arc<Snapshot>>, shutdown: Shutdown) {
    let mut services = Source::new(&informers, Kind::Service, Input::Service as fn(Arc<Service>) -> Input);
    let mut slices =
        Source::new(&informers, Kind::EndpointSlice, Input::EndpointSlice as fn(Arc<EndpointSlice>) -> Input);
    let mut pods = Source::new(&informers, Kind::Pod, Input::Pod as fn(Arc<Pod>) -> Input);
    let mut nodes = Source::new(&informers, Kind::Node, Input::Node as fn(Arc<Node>) -> Input);
    let mut registrations =
        Source::new(&informers, Kind::Registration, Input::Registration as fn(Arc<ServiceInstance>) -> Input);
    let mut machines =
        Source::new(&informers, Kind::ExternalNode, Input::ExternalNode as fn(Arc<ExternalNode>) -> Input);
    let synced = async {
        services.informer.synced().await;
        slices.informer.synced().await;
        pods.informer.synced().await;
        nodes.informer.synced().await;
        registrations.informer.synced().await;
        machines.informer.synced().await;
    };
    if shutdown.run(synced).await.is_none() {
        return;
    }
    let mut catalog = Catalog::new();
    services.drain(&mut catalog);
    slices.drain(&mut catalog);
    pods.drain(&mut catalog);
    nodes.drain(&mut catalog);
    registrations.drain(&mut catalog);
    machines.drain(&mut catalog);
    loop {
        let snapshot = catalog.snapshot();
        snapshots.send_if_modified(|current| {
            let changed = current.index() != snapshot.index();
            if changed {
                *current = snapshot;
            }
            changed
        });
        tokio::select! {
            () = shutdown.requested() => return,
            keys = services.keys.next() => services.put(keys, &mut catalog),
            keys = slices.keys.next() => slices.put(keys, &mut catalog),
            keys = pods.keys.next() => pods.put(keys, &mut catalog),
            keys = nodes.keys.next() => nodes.put(keys, &mut catalog),
            keys = registrations.keys.next() => registrations.put(keys, &mut catalog),
            keys = machines.keys.next() => machines.put(keys, &mut catalog),
        }
    }
}

/// One kind on its way into the catalog.
struct Source<K> {
    informer: Informer<K>,
    keys: KeyFeed,
    kind: Kind,
    input: fn(Arc<K>) -> Input,
}

impl<K: Object> Source<K> {
    fn new(informers: &Arc<Informers>, kind: Kind, input: fn(Arc<K>) -> Input) -> Self {
        let informer = informers.informer::<K>();
        Self { keys: informer.keys(), informer, kind, input }
    }

    /// Everything there is; the keys that are queued for it change nothing later.
    fn drain(&mut self, catalog: &mut Catalog) {
        // One at a time: all of a large cluster at once would be much memory.
        for key in self.informer.all_keys() {
            if let Some(object) = self.informer.get(&key.namespace, &key.name) {
                catalog.put((self.input)(object));
            }
        }
    }

    fn put(&mut self, keys: std::collections::BTreeSet<portolan_client::Key>, catalog: &mut Catalog) {
        for key in keys {
            match self.informer.get(&key.namespace, &key.name) {
                Some(object) => catalog.put((self.input)(object)),
                None => catalog.remove(self.kind, &Key::new(key.namespace, key.name)),
            }
        }
    }
}
