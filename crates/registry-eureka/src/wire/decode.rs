//! Reads what clients send. JSON and XML take the same path.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{DataCenter, InstanceInfo, InstanceStatus, Lease, Port, xml};

/// The ports of an instance that names none, as Eureka's own clients assume them.
const DEFAULT_PORT: u16 = 7001;
const DEFAULT_SECURE_PORT: u16 = 7002;

/// Reads a body in JSON or XML, whichever it is: some clients send one under the other's type.
pub(crate) fn body(bytes: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "the body is not UTF-8".to_owned())?;
    let text = text.trim_start_matches('\u{feff}').trim_start();
    match text.chars().next() {
        None => Err("the body is empty".into()),
        Some('<') => xml::to_json(text).map_err(|problem| format!("the body is not well-formed XML: {problem}")),
        Some(_) => serde_json::from_str(text).map_err(|problem| format!("the body is not JSON: {problem}")),
    }
}

/// Reads an instance from the object inside `{"instance": ...}`.
///
/// Lenient, as Eureka is: numbers may be texts, booleans too, unknown fields are ignored. What must
/// be there is checked where it is registered.
pub(crate) fn instance(value: &Value) -> Result<InstanceInfo, String> {
    let Value::Object(fields) = value else { return Err("instance: must be an object".into()) };
    let text = |name: &str| text(fields.get(name));
    let status = |name: &str| InstanceStatus::parse(&text(name));
    let mut instance = InstanceInfo {
        instance_id: text("instanceId"),
        host_name: text("hostName"),
        app: text("app").to_uppercase(),
        app_group_name: text("appGroupName").to_uppercase(),
        ip_address: text("ipAddr"),
        sid: text("sid"),
        // Unknown words are UNKNOWN; an absent status is the default of Eureka's builder.
        status: if text("status").is_empty() { InstanceStatus::Up } else { status("status").unwrap_or_default() },
        overridden_status: status("overriddenStatus").or_else(|| status("overriddenstatus")).unwrap_or_default(),
        port: Some(port(fields.get("port"), "port", Port { number: DEFAULT_PORT, enabled: true })?),
        secure_port: Some(port(
            fields.get("securePort"),
            "securePort",
            Port { number: DEFAULT_SECURE_PORT, enabled: false },
        )?),
        country_id: integer(fields.get("countryId")).and_then(|id| i32::try_from(id).ok()).unwrap_or(1),
        data_center: fields.get("dataCenterInfo").and_then(data_center),
        lease: lease(fields.get("leaseInfo")),
        metadata: metadata(fields.get("metadata")),
        home_page_url: text("homePageUrl"),
        status_page_url: text("statusPageUrl"),
        health_check_url: text("healthCheckUrl"),
        secure_health_check_url: text("secureHealthCheckUrl"),
        vip_address: text("vipAddress"),
        secure_vip_address: text("secureVipAddress"),
        is_coordinating_discovery_server: boolean(fields.get("isCoordinatingDiscoveryServer")).unwrap_or(false),
        last_updated: integer(fields.get("lastUpdatedTimestamp")).unwrap_or(0),
        last_dirty: integer(fields.get("lastDirtyTimestamp")).unwrap_or(0),
        asg_name: text("asgName"),
    };
    if instance.instance_id.is_empty() {
        // Old clients have no id of their own: Amazon's is the machine's, others go by their host name.
        let amazon = instance.data_center.as_ref().and_then(|info| info.metadata.get("instance-id"));
        instance.instance_id = amazon.unwrap_or(&instance.host_name).clone();
    }
    Ok(instance)
}

fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(flag)) => flag.to_string(),
        // XML text beside attributes.
        Some(Value::Object(fields)) => text(fields.get("$")),
        _ => String::new(),
    }
}

fn integer(value: Option<&Value>) -> Option<i64> {
    match value? {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn boolean(value: Option<&Value>) -> Option<bool> {
    match value? {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) => Some(text.trim().eq_ignore_ascii_case("true")),
        _ => None,
    }
}

/// `{"$": 80, "@enabled": "true"}`, `<port enabled="true">80</port>` or a plain number.
fn port(value: Option<&Value>, name: &str, default: Port) -> Result<Port, String> {
    let (number, enabled) = match value {
        None | Some(Value::Null) => return Ok(default),
        // Spring and others send the same object with more or fewer quotation marks.
        Some(Value::Object(fields)) => (fields.get("$"), fields.get("@enabled").or_else(|| fields.get("enabled"))),
        plain => (plain, None),
    };
    let number = match number {
        None => default.number,
        Some(value) => integer(Some(value))
            .and_then(|number| u16::try_from(number.max(0)).ok())
            .ok_or_else(|| format!("{name}: {value} is not a port number"))?,
    };
    let named = number != 0 && value.is_some_and(|value| !value.is_object());
    Ok(Port { number, enabled: boolean(enabled).unwrap_or(default.enabled || named) })
}

fn data_center(value: &Value) -> Option<DataCenter> {
    let Value::Object(fields) = value else { return None };
    Some(DataCenter { name: text(fields.get("name")), metadata: metadata(fields.get("metadata")) })
}

fn lease(value: Option<&Value>) -> Lease {
    let none = Map::new();
    let fields = value.and_then(Value::as_object).unwrap_or(&none);
    let stamp = |name: &str| integer(fields.get(name)).unwrap_or(0);
    // What is not above zero means the default, as in Eureka's builder of leases.
    let seconds = |name: &str, default| {
        integer(fields.get(name))
            .and_then(|value| i32::try_from(value).ok())
            .filter(|value| *value > 0)
            .unwrap_or(default)
    };
    let default = Lease::default();
    Lease {
        renewal_seconds: seconds("renewalIntervalInSecs", default.renewal_seconds),
        duration_seconds: seconds("durationInSecs", default.duration_seconds),
        registered: stamp("registrationTimestamp"),
        renewed: stamp("lastRenewalTimestamp"),
        up_since: stamp("serviceUpTimestamp"),
    }
}

/// The map without the class that Java writes beside it.
fn metadata(value: Option<&Value>) -> BTreeMap<String, String> {
    let Some(Value::Object(fields)) = value else { return BTreeMap::new() };
    let told = fields.iter().filter(|(key, _)| !key.starts_with('@'));
    told.map(|(key, value)| {
        let value = match value {
            // A key that came more than once: the last counts, as in a map.
            Value::Array(values) => text(values.last()),
            value => text(Some(value)),
        };
        (key.clone(), value)
    })
    .collect()
}
