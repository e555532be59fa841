//! Services and endpoints for the catalogs of tests.

use std::sync::Arc;

use portolan_api::typed::Object;
use portolan_api::typed::kinds::core::v1 as core;
use portolan_api::typed::kinds::discovery::v1::EndpointSlice;
use portolan_catalog::{Catalog, Input};
use serde_json::{Value, json};

pub(crate) fn decode<K: Object>(value: &Value) -> Arc<K> {
    Arc::new(K::decode(value.to_string().as_bytes()).expect("the test's object fits its kind"))
}

/// A service `name` with `spec` merged over one TCP and one UDP port 80.
pub(crate) fn put_service(catalog: &mut Catalog, name: &str, address: &str, extra: &Value, balancer: &[&str]) {
    let mut spec = json!({"clusterIP": address, "ports": [
        {"name": "t", "port": 80, "protocol": "TCP"}, {"name": "u", "port": 80, "protocol": "UDP"}]});
    for (key, value) in extra.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    let ingress: Vec<Value> = balancer.iter().map(|ip| json!({"ip": ip})).collect();
    catalog.put(Input::Service(decode::<core::Service>(&json!({
        "metadata": {"namespace": "default", "name": name}, "spec": spec,
        "status": {"loadBalancer": {"ingress": ingress}}
    }))));
}

pub(crate) fn put_endpoints(catalog: &mut Catalog, service: &str, endpoints: &[(&str, &str)]) {
    let endpoints: Vec<Value> = endpoints
        .iter()
        .map(|(address, node)| json!({"addresses": [address], "conditions": {"ready": true}, "nodeName": node}))
        .collect();
    catalog.put(Input::EndpointSlice(decode::<EndpointSlice>(&json!({
        "metadata": {"namespace": "default", "name": service, "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4", "endpoints": endpoints,
        "ports": [{"name": "t", "port": 8080, "protocol": "TCP"}, {"name": "u", "port": 8080, "protocol": "UDP"}]
    }))));
}
