//! Where a Service of the cluster is reached from here: at one of its ready endpoints.
//!
//! Not at its cluster address: the machine of the control plane need not have rules for those.

use std::net::SocketAddr;

use portolan_store::{KeyRange, RangeRequest};
use serde_json::Value;

use crate::server::Server;
use crate::storage;

const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Where a service is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Address {
    Endpoint(SocketAddr),
    /// A name outside of the cluster, and a port.
    External(String, u16),
}

/// One address of a service's port.
pub(super) async fn address(server: &Server, namespace: &str, name: &str, port: u16) -> Result<Address, String> {
    let found = storage::find(server, "", "services", namespace, name).await.map_err(|status| status.to_string())?;
    let entry = found.ok_or_else(|| format!("service \"{name}\" not found"))?;
    let service = storage::decode(&entry).map_err(|status| status.to_string())?;
    if service["spec"]["type"] == "ExternalName" {
        return Ok(Address::External(service["spec"]["externalName"].as_str().unwrap_or_default().to_owned(), port));
    }
    let ports = service["spec"]["ports"].as_array().into_iter().flatten();
    let wanted = ports.into_iter().find(|it| it["port"] == port);
    let wanted = wanted.ok_or_else(|| format!("no service port {port} found for service \"{name}\""))?;
    let port_name = wanted["name"].as_str().unwrap_or_default();
    let range = KeyRange::prefix(storage::prefix("discovery.k8s.io", "endpointslices", namespace));
    let slices = server.store().range(RangeRequest { range, revision: None, limit: 0 }).await;
    let slices = slices.map_err(|error| error.to_string())?;
    let label = ["metadata", "labels", SERVICE_NAME];
    let of_service = slices
        .entries
        .iter()
        .filter(|slice| portolan_api::encoded::string_at(&slice.value, &label).as_deref() == Some(name));
    let mut addresses = Vec::new();
    for slice in of_service {
        let slice = storage::decode(slice).map_err(|status| status.to_string())?;
        addresses.extend(ready_addresses(&slice, port_name));
    }
    let choice = usize::try_from(uuid::Uuid::new_v4().as_u128() % (addresses.len().max(1) as u128)).unwrap_or(0);
    let address = addresses.get(choice).copied();
    address.map(Address::Endpoint).ok_or_else(|| format!("no endpoints available for service \"{name}\""))
}

fn ready_addresses(slice: &Value, port_name: &str) -> Vec<SocketAddr> {
    let ports = slice["ports"].as_array().into_iter().flatten();
    let port = ports.filter(|port| port["name"].as_str().unwrap_or_default() == port_name);
    let Some(port) = port.filter_map(|port| u16::try_from(port["port"].as_u64()?).ok()).next() else {
        return Vec::new();
    };
    let endpoints = slice["endpoints"].as_array().into_iter().flatten();
    let ready = endpoints.filter(|endpoint| endpoint["conditions"]["ready"] != false);
    let addresses = ready.filter_map(|endpoint| endpoint["addresses"].as_array()?.first()?.as_str()?.parse().ok());
    addresses.map(|address| SocketAddr::new(address, port)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_ready_endpoints_of_the_named_port_count() {
        let slice = json!({
            "ports": [{"name": "metrics", "port": 9090}, {"name": "https", "port": 8443}],
            "endpoints": [
                {"addresses": ["10.42.0.5"], "conditions": {"ready": true}},
                {"addresses": ["10.42.0.6"], "conditions": {"ready": false}},
                {"addresses": ["10.42.0.7"]},
            ],
        });
        let found: Vec<String> = ready_addresses(&slice, "https").iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10.42.0.5:8443", "10.42.0.7:8443"]);
        assert_eq!(ready_addresses(&slice, "other"), []);
    }
}
