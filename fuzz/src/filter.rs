//! Filters of Consul's clients, put to an entry.

use std::sync::LazyLock;

use serde_json::{Value, json};

static ENTRY: LazyLock<Value> = LazyLock::new(|| {
    json!({
        "Node": {"Node": "n1", "Address": "10.0.0.1", "Meta": {"rack": "r1"}, "TaggedAddresses": null},
        "Service": {"Service": "web", "ID": "web-1", "Port": 8080, "Tags": ["primary", "v2"], "EnableTagOverride": false,
            "Meta": {}, "Weights": {"Passing": 10, "Warning": 1},
            "TaggedAddresses": {"wan": {"Address": "192.0.2.1", "Port": 80}}},
        "Checks": [{"CheckID": "serfHealth", "Status": "passing"}, {"CheckID": "c", "Status": "warning"}],
        "ServiceName": "web", "ServiceTags": ["a"], "Status": "passing", "CheckID": "c", "ID": "x", "Tags": ["a"],
    })
});

pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    portolan_registry_consul::fuzzing::filter(text, &ENTRY);
}
