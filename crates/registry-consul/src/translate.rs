//! What clients register, as objects. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use portolan_api::typed::{
    CheckType, Health, HealthCheck, HealthCheckStatus, InstanceLease, InstanceLocality, InstancePort, InstanceWeights,
    ServiceInstanceSpec, TaggedAddress,
};
use serde_json::{Map, Value};

use crate::Error;
use crate::body::Fields;
use crate::entry::EXTENSION;

/// Active checks are not run more often, as in Consul.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
/// Nothing is deregistered sooner, as in Consul.
const SHORTEST_CRITICAL: Duration = Duration::from_secs(60);

/// Who takes a registration: the agent fills in what an instance leaves out, the catalog takes it as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Via {
    Agent,
    Catalog,
}

/// A service as registered, without its checks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Service {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) spec: ServiceInstanceSpec,
}

/// Names of services have at most so many bytes, and labels of DNS (RFC 1035, section 2.3.4).
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

/// Reads a service. `node` is where it runs, `node_address` what it is reached by unless it says.
pub(crate) fn service(fields: &Fields, via: Via, node: &str, node_address: &str) -> Result<Service, Error> {
    let name = fields.first_text(if via == Via::Agent { &["Name", "Service"] } else { &["Service", "Name"] })?;
    if name.is_empty() {
        return Err(Error::BadRequest("Missing service name".into()));
    }
    check_name(&name)?;
    let id = fields.text("ID")?;
    let id = if id.is_empty() { name.clone() } else { id };
    let own_address = fields.text("Address")?;
    if matches!(own_address.as_str(), "0.0.0.0" | "::" | "[::]") {
        return Err(Error::BadRequest("Invalid service address".into()));
    }
    let port = fields.number("Port")?.unwrap_or(0);
    if !(0..=65535).contains(&port) {
        return Err(Error::BadRequest(format!("Invalid port number {port}")));
    }
    let weights = fields.fields("Weights")?;
    let weight = |name: &str| weights.as_ref().map_or(Ok(None), |weights| weights.number(name));
    let weights =
        InstanceWeights { passing: weight("Passing")?.unwrap_or(1), warning: weight("Warning")?.unwrap_or(1) };
    if weights.passing < 1 || weights.warning < 0 || weights.passing.max(weights.warning) > 65535 {
        let words = if weights.passing < 1 {
            "Passing must be greater than 0"
        } else if weights.warning < 0 {
            "Warning must be greater or equal than 0"
        } else {
            "DNS Weight must be between 0 and 65535"
        };
        return Err(Error::BadRequest(format!("Invalid Weights: {words}")));
    }
    let metadata = fields.text_map("Meta")?;
    if via == Via::Agent {
        check_metadata(&fields.text("Kind")?, &metadata)
            .map_err(|error| Error::BadRequest(format!("Invalid Service Meta: {error}")))?;
    }
    let address = if own_address.is_empty() { node_address.to_owned() } else { own_address.clone() };
    let mut extension = extension(fields, via)?;
    if own_address.is_empty() {
        extension.insert("ofNode".into(), true.into());
    }
    let mut extensions = Map::new();
    if !extension.is_empty() {
        extensions.insert(EXTENSION.to_owned(), extension.into());
    }
    let spec = ServiceInstanceSpec {
        service: name.clone(),
        instance_id: id.clone(),
        address,
        ports: (port > 0)
            .then(|| InstancePort { name: String::new(), port, protocol: "TCP".into() })
            .into_iter()
            .collect(),
        tags: fields.texts("Tags")?,
        metadata,
        weights: Some(weights),
        locality: locality(fields)?,
        lease: Some(InstanceLease::default()),
        node: node.to_owned(),
        tagged_addresses: tagged_addresses(fields)?,
        enable_tag_override: fields.bool("EnableTagOverride")?,
        origin: "consul".into(),
        extensions,
        ..ServiceInstanceSpec::default()
    };
    Ok(Service { id, name, spec })
}

/// What an agent takes as metadata, in Consul's words.
fn check_metadata(kind: &str, metadata: &BTreeMap<String, String>) -> Result<(), String> {
    const MOST: usize = 64;
    const LONGEST_KEY: usize = 128;
    const LONGEST_VALUE: usize = 512;
    /// What a gateway between datacenters says of itself.
    const FEDERATION: &str = "consul-wan-federation";
    if metadata.len() > MOST {
        return Err(format!("Node metadata cannot contain more than {MOST} key/value pairs"));
    }
    let is_known = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
    for (key, value) in metadata {
        let of_gateway = kind == "mesh-gateway" && key == FEDERATION;
        let problem = if key.is_empty() {
            "Key cannot be blank".to_owned()
        } else if !key.chars().all(is_known) {
            "Key contains invalid characters".to_owned()
        } else if key.len() > LONGEST_KEY {
            format!("Key is too long (limit: {LONGEST_KEY} characters)")
        } else if key.starts_with("consul-") && !of_gateway {
            "Key prefix 'consul-' is reserved for internal use".to_owned()
        } else if value.len() > LONGEST_VALUE {
            format!("Value is too long (limit: {LONGEST_VALUE} characters)")
        } else {
            continue;
        };
        return Err(format!("Couldn't load metadata pair ('{key}', '{value}'): {problem}"));
    }
    Ok(())
}

/// Consul takes any name and warns of those that DNS cannot ask for; so does this, but for what no path could name.
fn check_name(name: &str) -> Result<(), Error> {
    if name.len() > LONGEST_NAME || name.chars().any(|character| character.is_control() || character == '/') {
        return Err(Error::BadRequest(format!(
            "Invalid service name {name:?}: at most {LONGEST_NAME} bytes, without '/' and control characters"
        )));
    }
    let is_label = |character: char| character.is_ascii_alphanumeric() || character == '-';
    if !name.chars().all(is_label) {
        tracing::warn!(
            service = name,
            "Service name will not be discoverable via DNS due to invalid characters. Valid characters include all alpha-numerics and dashes."
        );
    } else if name.len() > LONGEST_LABEL {
        tracing::warn!(
            service = name,
            "Service name will not be discoverable via DNS due to it being too long. Valid lengths are between 1 and 63 bytes."
        );
    }
    Ok(())
}

pub(crate) fn locality(fields: &Fields) -> Result<Option<InstanceLocality>, Error> {
    let Some(locality) = fields.fields("Locality")? else { return Ok(None) };
    let (region, zone) = (locality.text("Region")?, locality.text("Zone")?);
    Ok(Some(InstanceLocality { region, zone, rack: String::new() }))
}

fn tagged_addresses(fields: &Fields) -> Result<BTreeMap<String, TaggedAddress>, Error> {
    let Some(tagged) = fields.object("TaggedAddresses")? else { return Ok(BTreeMap::new()) };
    let read = |value: &Value| -> Result<TaggedAddress, Error> {
        let entry = value.as_object().map(Fields::of).unwrap_or_default();
        Ok(TaggedAddress { address: entry.text("Address")?, port: entry.number("Port")?.unwrap_or(0) })
    };
    tagged.iter().map(|(kind, value)| Ok((kind.clone(), read(value)?))).collect()
}

/// What only this dialect knows.
fn extension(fields: &Fields, via: Via) -> Result<Map<String, Value>, Error> {
    let mut extension = Map::new();
    if via == Via::Catalog {
        extension.insert("catalog".into(), true.into());
    }
    let (kind, path) = (fields.text("Kind")?, fields.text("SocketPath")?);
    let kinds = ["connect-proxy", "mesh-gateway", "terminating-gateway", "ingress-gateway", "api-gateway"];
    if !kind.is_empty() && kind != "typical" {
        if !kinds.contains(&kind.as_str()) {
            return Err(Error::BadRequest(format!("Invalid service kind {kind:?}")));
        }
        extension.insert("kind".into(), kind.clone().into());
    }
    if !path.is_empty() {
        extension.insert("socketPath".into(), path.into());
    }
    let proxy = fields.object("Proxy")?.cloned();
    if kind == "connect-proxy" {
        let destination = proxy.as_ref().map(Fields::of).map(|proxy| proxy.text("DestinationServiceName"));
        if destination.transpose()?.unwrap_or_default().is_empty() {
            let text = "Proxy.DestinationServiceName must be non-empty for Connect proxy services";
            return Err(Error::BadRequest(text.into()));
        }
    }
    if let Some(proxy) = proxy.filter(|proxy| !proxy.is_empty()) {
        extension.insert("proxy".into(), proxy.into());
    }
    if let Some(connect) = fields.fields("Connect")?
        && connect.bool("Native")?
    {
        extension.insert("connect".into(), serde_json::json!({"Native": true}));
    }
    Ok(extension)
}

/// A check, and the health that it begins with if that is said.
pub(crate) type FirstCheck = (HealthCheck, Option<Health>);

/// The checks of a service that is registered with an agent.
pub(crate) fn service_checks(fields: &Fields, service: &Service) -> Result<Vec<FirstCheck>, Error> {
    let mut listed = fields.list("Checks")?;
    if let Some(check) = fields.fields("Check")? {
        listed.insert(0, check);
    }
    let count = listed.len();
    let mut checks = Vec::with_capacity(count);
    for (number, fields) in listed.iter().enumerate() {
        let mut check = check(fields)?;
        if check.0.id.is_empty() {
            check.0.id = match count {
                1 => format!("service:{}", service.id),
                _ => format!("service:{}:{}", service.id, number + 1),
            };
        }
        if check.0.name.is_empty() {
            check.0.name = format!("Service '{}' check", service.name);
        }
        checks.push(check);
    }
    Ok(checks)
}

/// Reads a health of a check; none if the text is empty.
pub(crate) fn health(text: &str) -> Option<Option<Health>> {
    match text {
        "" => Some(None),
        "passing" => Some(Some(Health::Passing)),
        "warning" => Some(Some(Health::Warning)),
        "critical" => Some(Some(Health::Critical)),
        _ => None,
    }
}

/// Reads the definition of a check and the health that it begins with, if that is said.
pub(crate) fn check(fields: &Fields) -> Result<FirstCheck, Error> {
    let invalid = |words: &str| Error::BadRequest(format!("Invalid check: {words}"));
    let definition = fields.fields("Definition")?.unwrap_or_default();
    let command = match fields.texts("ScriptArgs")? {
        empty if empty.is_empty() => fields.texts("Args")?,
        given => given,
    };
    let (interval, ttl) = (fields.duration("Interval")?, fields.duration("TTL")?);
    let unsupported = [("DockerContainerID", "Docker"), ("OSService", "OS service")];
    for (field, words) in unsupported {
        if !fields.text(field)?.is_empty() || !definition.text(field)?.is_empty() {
            return Err(invalid(&format!(
                "{words} checks are not possible here; use a script, HTTP, TCP or TTL check"
            )));
        }
    }
    let (http, tcp, udp) = (fields.text("HTTP")?, fields.text("TCP")?, fields.text("UDP")?);
    let (grpc, h2ping) = (fields.text("GRPC")?, fields.text("H2PING")?);
    let (alias_node, alias_service) = (fields.text("AliasNode")?, fields.text("AliasService")?);
    let (kind, address, tls) = if !http.is_empty() {
        (CheckType::Http, String::new(), false)
    } else if !tcp.is_empty() {
        (CheckType::Tcp, tcp, fields.bool("TCPUseTLS")?)
    } else if !udp.is_empty() {
        (CheckType::Udp, udp, false)
    } else if !grpc.is_empty() {
        (CheckType::Grpc, grpc, fields.bool("GRPCUseTLS")?)
    } else if !h2ping.is_empty() {
        let tls = if fields.get("H2PingUseTLS").is_some() { fields.bool("H2PingUseTLS")? } else { true };
        (CheckType::H2ping, h2ping, tls)
    } else if !command.is_empty() {
        (CheckType::Script, String::new(), false)
    } else if !alias_node.is_empty() || !alias_service.is_empty() {
        (CheckType::Alias, String::new(), false)
    } else {
        (CheckType::Ttl, String::new(), false)
    };
    let (is_set, timed) = (|time: Option<Duration>| time.is_some_and(|time| !time.is_zero()), kind.is_active());
    if is_set(interval) && is_set(ttl) {
        return Err(invalid("Interval and TTL cannot both be specified"));
    }
    if kind == CheckType::Alias && is_set(interval) {
        return Err(invalid("Interval cannot be set for Alias checks"));
    }
    if timed && !is_set(interval) {
        return Err(invalid("Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks"));
    }
    if kind == CheckType::Ttl && !is_set(ttl) {
        return Err(invalid("TTL must be > 0 for TTL checks"));
    }
    let status = health(&fields.text("Status")?).ok_or_else(|| Error::BadRequest("Bad check status".into()))?;
    let thresholds = [
        fields.number("SuccessBeforePassing")?.unwrap_or(0),
        fields.number("FailuresBeforeWarning")?.unwrap_or(0),
        fields.number("FailuresBeforeCritical")?.unwrap_or(0),
    ];
    if thresholds.iter().any(|threshold| *threshold < 0) {
        return Err(invalid("thresholds must not be negative"));
    }
    if thresholds[2] > 0 && thresholds[1] > thresholds[2] {
        return Err(invalid("FailuresBeforeWarning can't be higher than FailuresBeforeCritical"));
    }
    let output_max_bytes = fields.number("OutputMaxSize")?;
    if output_max_bytes.is_some_and(|size| size < 0) {
        return Err(invalid("MaxOutputMaxSize must be positive"));
    }
    let deregister = fields.duration("DeregisterCriticalServiceAfter")?.filter(|after| !after.is_zero());
    let check = HealthCheck {
        id: fields.first_text(&["CheckID", "ID"])?,
        name: fields.text("Name")?,
        r#type: kind,
        notes: fields.text("Notes")?,
        url: http,
        method: fields.text("Method")?,
        headers: headers(fields)?,
        body: fields.text("Body")?,
        disable_redirects: fields.bool("DisableRedirects")?,
        address,
        tls,
        tls_server_name: fields.text("TLSServerName")?,
        tls_skip_verify: fields.bool("TLSSkipVerify")?,
        command,
        alias_node,
        alias_service,
        interval_milliseconds: interval.filter(|_| timed).map(|time| milliseconds(time.max(SHORTEST_INTERVAL))),
        timeout_milliseconds: fields.duration("Timeout")?.filter(|time| !time.is_zero()).map(milliseconds),
        ttl_milliseconds: ttl.filter(|_| kind == CheckType::Ttl).map(milliseconds),
        success_before_passing: thresholds[0],
        failures_before_warning: thresholds[1],
        failures_before_critical: thresholds[2],
        output_max_bytes: output_max_bytes.filter(|size| *size > 0),
        deregister_critical_after_seconds: deregister
            .map(|after| i32::try_from(after.max(SHORTEST_CRITICAL).as_secs()).unwrap_or(i32::MAX)),
        initial_health: status.filter(|health| *health != Health::Critical),
    };
    Ok((check, status))
}

/// At least one, since the shortest times are written in fractions of it.
fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX).max(1)
}

fn headers(fields: &Fields) -> Result<BTreeMap<String, Vec<String>>, Error> {
    let Some(headers) = fields.object("Header")? else { return Ok(BTreeMap::new()) };
    let values = Fields::of(headers);
    headers.keys().map(|name| Ok((name.clone(), values.texts(&name.replace('_', ""))?))).collect()
}

/// A check that somebody else runs, as it is registered with the catalog, and what it found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ExternalCheck {
    pub(crate) check: HealthCheck,
    pub(crate) found: HealthCheckStatus,
    /// Instance that it is of; of the machine if empty.
    pub(crate) service_id: String,
    /// As registered, to be shown again.
    pub(crate) definition: Option<Value>,
}

/// Reads a check that is registered with the catalog.
pub(crate) fn external_check(fields: &Fields) -> Result<ExternalCheck, Error> {
    let name = fields.text("Name")?;
    let id = fields.first_text(&["CheckID", "ID"])?;
    let id = if id.is_empty() { name.clone() } else { id };
    if id.is_empty() {
        return Err(Error::BadRequest("Must provide a check name or ID".into()));
    }
    let status = health(&fields.text("Status")?);
    let health = status.ok_or_else(|| Error::BadRequest("Bad check status".into()))?.unwrap_or(Health::Critical);
    let check = HealthCheck {
        id: id.clone(),
        name,
        r#type: CheckType::External,
        notes: fields.text("Notes")?,
        ..HealthCheck::default()
    };
    let found = HealthCheckStatus { id, health, output: fields.text("Output")?, since: None };
    let definition = fields.object("Definition")?.filter(|definition| !definition.is_empty());
    Ok(ExternalCheck {
        check,
        found,
        service_id: fields.text("ServiceID")?,
        definition: definition.cloned().map(Value::Object),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<HealthCheck, String> {
        let fields = Fields::parse(text.as_bytes()).expect("JSON");
        check(&fields).map(|(check, _)| check).map_err(|error| error.to_string())
    }

    #[test]
    fn checks_are_read_with_consuls_limits() {
        let script = read(r#"{"args": ["sh", "-c", "/bin/true"], "interval": 10}"#).expect("a check");
        assert_eq!((script.r#type, script.interval_milliseconds), (CheckType::Script, Some(1000)));
        let http =
            read(r#"{"HTTP": "http://x/", "Interval": "100ms", "Header": {"x-foo": ["bar"]}}"#).expect("a check");
        assert_eq!((http.interval_milliseconds, http.headers["x-foo"].len()), (Some(1000), 1));
        let ttl = read(r#"{"TTL": "100ms", "DeregisterCriticalServiceAfter": "1s"}"#).expect("a check");
        assert_eq!((ttl.ttl_milliseconds, ttl.deregister_critical_after_seconds), (Some(100), Some(60)));
        let alias = read(r#"{"AliasService": "web"}"#).expect("a check");
        assert_eq!(alias.r#type, CheckType::Alias);
    }

    #[test]
    fn what_is_no_check_is_refused() {
        let cases = [
            ("{}", "TTL must be > 0 for TTL checks"),
            (r#"{"HTTP": "http://x"}"#, "Interval must be > 0"),
            (r#"{"TCP": "x:1", "Interval": "1s", "TTL": "1s"}"#, "cannot both be specified"),
            (r#"{"AliasService": "a", "Interval": "1s"}"#, "Interval cannot be set for Alias checks"),
            (r#"{"TTL": "1s", "Status": "good"}"#, "Bad check status"),
            (r#"{"TTL": "x"}"#, "Request decode failed"),
            (r#"{"TTL": "1s", "FailuresBeforeWarning": 3, "FailuresBeforeCritical": 2}"#, "can't be higher"),
            (r#"{"DockerContainerID": "x", "Interval": "1s"}"#, "not possible here"),
        ];
        for (text, words) in cases {
            let error = read(text).expect_err(text);
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
