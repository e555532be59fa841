//! What the tests of several dialects have in common.

use std::net::TcpListener;

/// A port that is free now, for a server that must be found again after its end.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// An instance as Eureka's clients register it.
pub(crate) fn eureka_instance(app: &str, id: &str, address: &str, seconds: u32) -> String {
    serde_json::json!({"instance": {
        "instanceId": id, "app": app.to_uppercase(), "hostName": address, "ipAddr": address, "vipAddress": app,
        "status": "UP", "port": {"$": 80, "@enabled": "true"},
        "dataCenterInfo": {"@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo", "name": "MyOwn"},
        "leaseInfo": {"renewalIntervalInSecs": seconds / 3, "durationInSecs": seconds},
    }})
    .to_string()
}
