//! The Service `kubernetes` and where it leads: this server. What runs in a pod finds the API by it, so it is written
//! when the server starts, and again when somebody deleted it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portolan_store::{EventKind, KeyRange, WatchItem, WatchRequest};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::bootstrap::ensure;
use crate::config::Error;
use crate::resources::addresses::is_endpoint;
use crate::server::Server;
use crate::status::Status;
use crate::{rounds, storage};

const NAME: &str = "kubernetes";
const NAMESPACE: &str = "default";

/// Index of the Service's address in the service network.
const INDEX: u64 = 1;

/// Changes that may wait to be looked at.
const BUFFER: usize = 64;

/// Time before another attempt after one that failed.
const PAUSE: Duration = Duration::from_secs(2);

/// Brings them back whenever they are deleted, until `stop`.
pub(crate) async fn keep(server: Arc<Server>, stop: CancellationToken) {
    rounds::until(&stop, PAUSE, "the service of the API could not be kept", || round(&server)).await;
}

/// Writes what is missing, and waits until something is again.
async fn round(server: &Server) -> Result<(), Status> {
    let watch = |group: &str, resource: &str| {
        let range = KeyRange::key(storage::key(group, resource, NAMESPACE, NAME));
        server.store().watch(WatchRequest { range, after: None, progress: None, buffer: BUFFER })
    };
    let (mut service, mut endpoints, mut slice) =
        tokio::try_join!(watch("", "services"), watch("", "endpoints"), watch("discovery.k8s.io", "endpointslices"),)?;
    write(server).await.map_err(|error| Status::internal(error.to_string()))?;
    loop {
        let item = tokio::select! {
            item = service.next() => item,
            item = endpoints.next() => item,
            item = slice.next() => item,
        };
        match item {
            Some(WatchItem::Progress(_)) => {}
            Some(WatchItem::Events(events)) if events.iter().all(|event| event.kind != EventKind::Delete) => {}
            Some(WatchItem::Events(_) | WatchItem::Lagged) => return Ok(()),
            Some(WatchItem::Closed) | None => return std::future::pending().await,
        }
    }
}

/// Writes what is missing of them, and what does not lead here.
pub(crate) async fn write(server: &Server) -> Result<(), Error> {
    let advertise: SocketAddr = server.config.advertise;
    let (address, port) = (advertise.ip().to_string(), advertise.port());
    let cluster_ip = server.config.networks.service_cidr.nth(INDEX).map(|ip| ip.to_string());
    let labels = json!({"component": "apiserver", "provider": "kubernetes"});
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "clusterIP": cluster_ip, "ipFamilyPolicy": "SingleStack", "type": "ClusterIP", "sessionAffinity": "None",
            "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": port}],
        },
    });
    ensure(server, service, |old| {
        let mut new = old.clone();
        new["spec"]["ports"][0]["targetPort"] = port.into();
        (new != *old).then_some(new)
    })
    .await?;
    if !is_endpoint(advertise.ip()) {
        tracing::warn!(address = %advertise.ip(), "pods cannot find the API: the address of this server is reached from this machine alone");
        return Ok(());
    }
    let subsets = json!([{
        "addresses": [{"ip": address}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }]);
    // The slice below is written here, not mirrored from these endpoints.
    let mirrored = json!({"endpointslice.kubernetes.io/skip-mirror": "true"});
    let endpoints = json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": mirrored}, "subsets": subsets,
    });
    ensure(server, endpoints, |old| {
        let mut new = old.clone();
        new["subsets"].clone_from(&subsets);
        (new != *old).then_some(new)
    })
    .await?;
    let address_type = if advertise.is_ipv4() { "IPv4" } else { "IPv6" };
    let list = json!([{"addresses": [address], "conditions": {"ready": true}}]);
    let ports = json!([{"name": "https", "port": port, "protocol": "TCP"}]);
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": address_type,
        "metadata": {
            "name": NAME, "namespace": NAMESPACE, "labels": {"kubernetes.io/service-name": NAME},
        },
        "endpoints": list, "ports": ports,
    });
    ensure(server, slice, |old| {
        let mut new = old.clone();
        new["endpoints"].clone_from(&list);
        new["ports"].clone_from(&ports);
        (new != *old).then_some(new)
    })
    .await
}
