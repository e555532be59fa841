//! Follows a Eureka server: everything first, then what changed, checked by its hash code.

use std::collections::BTreeMap;
use std::time::Duration;

use portolan_api::typed::{Health, InstanceLocality, InstancePort};
use serde_json::{Map, Value, json};

use crate::http::{Error, Remote};
use crate::source::Found;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A Eureka server.
pub(crate) struct Eureka {
    remote: Remote,
    /// How often changes are asked for.
    interval: Duration,
    /// Instances by application and id; none until all were fetched.
    known: Option<BTreeMap<(String, String), Value>>,
}

impl Eureka {
    pub(crate) fn new(remote: Remote, interval: Duration) -> Self {
        Self { remote, interval, known: None }
    }

    pub(crate) fn restart(&mut self) {
        self.known = None;
    }

    pub(crate) async fn next(&mut self) -> Result<Vec<Found>, Error> {
        let instances = match self.known.take() {
            None => self.full().await?,
            Some(mut instances) => {
                tokio::time::sleep(self.interval).await;
                if self.delta(&mut instances).await? { instances } else { self.full().await? }
            }
        };
        let found = instances.values().map(found).collect();
        self.known = Some(instances);
        Ok(found)
    }

    async fn full(&self) -> Result<BTreeMap<(String, String), Value>, Error> {
        let (_, answer) = self.remote.get("/apps", PATIENCE).await?;
        if !answer["applications"].is_object() {
            return Err(self.remote.not_understood("/apps", "it has no applications"));
        }
        Ok(instances(&answer).into_iter().map(|instance| (identity(instance), instance.clone())).collect())
    }

    /// Takes over what changed. Says whether the result is what the server has.
    async fn delta(&self, known: &mut BTreeMap<(String, String), Value>) -> Result<bool, Error> {
        let answer = match self.remote.get("/apps/delta", PATIENCE).await {
            Ok((_, answer)) => answer,
            // A server that has deltas switched off, or none yet.
            Err(Error::Refused { status: 403 | 404, .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        for instance in instances(&answer) {
            if instance["actionType"] == "DELETED" {
                known.remove(&identity(instance));
            } else {
                known.insert(identity(instance), instance.clone());
            }
        }
        Ok(answer["applications"]["apps__hashcode"] == hash(known.values()))
    }
}

/// How many instances are in which state, as Eureka's clients write it.
pub(crate) fn hash<'a>(instances: impl Iterator<Item = &'a Value>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for instance in instances {
        *counts.entry(instance["status"].as_str().unwrap_or("UNKNOWN")).or_default() += 1;
    }
    counts.iter().map(|(status, count)| format!("{status}_{count}_")).collect()
}

/// The instances of an answer. Some servers leave the brackets away where there is only one.
fn instances(answer: &Value) -> Vec<&Value> {
    let apps = list(&answer["applications"]["application"]);
    apps.into_iter().flat_map(|app| list(&app["instance"])).collect()
}

fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(values) => values.iter().collect(),
        Value::Object(_) => vec![value],
        _ => Vec::new(),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        _ => String::new(),
    }
}

fn identity(instance: &Value) -> (String, String) {
    let id = text(&instance["instanceId"]);
    (text(&instance["app"]).to_uppercase(), if id.is_empty() { text(&instance["hostName"]) } else { id })
}

pub(crate) fn found(instance: &Value) -> Found {
    let (app, id) = identity(instance);
    let metadata: BTreeMap<String, String> = instance["metadata"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| !key.starts_with('@'))
        .map(|(key, value)| (key.clone(), text(value)))
        .collect();
    let ports = [("http", port(&instance["port"])), ("https", port(&instance["securePort"]))];
    let named = ports.iter().filter_map(|(name, port)| {
        let (number, enabled) = (*port)?;
        (enabled && number > 0).then(|| InstancePort {
            name: (*name).into(),
            port: number.into(),
            ..InstancePort::default()
        })
    });
    let status = text(&instance["status"]);
    let (health, reason) = match status.as_str() {
        "UP" => (Health::Passing, String::new()),
        other => (Health::Critical, format!("the source says {other}")),
    };
    let zone = metadata.get("zone").map(|zone| InstanceLocality { zone: zone.clone(), ..InstanceLocality::default() });
    let address = Some(text(&instance["ipAddr"])).filter(|address| !address.is_empty());
    Found {
        service: app.to_lowercase(),
        address: address.unwrap_or_else(|| text(&instance["hostName"])),
        id,
        scope: app,
        ports: named.collect(),
        metadata,
        locality: zone,
        health,
        reason,
        extensions: extensions(instance, &status, &ports),
        ..Found::default()
    }
}

fn port(value: &Value) -> Option<(u16, bool)> {
    let enabled = text(&value["@enabled"]) == "true";
    Some((text(&value["$"]).parse().ok()?, enabled))
}

/// What Eureka's own clients want to read again, in the words in which the Eureka dialect keeps it.
fn extensions(instance: &Value, status: &str, ports: &[(&str, Option<(u16, bool)>)]) -> Map<String, Value> {
    let mut known = Map::new();
    let texts = [
        "hostName",
        "appGroupName",
        "homePageUrl",
        "statusPageUrl",
        "healthCheckUrl",
        "secureHealthCheckUrl",
        "vipAddress",
        "secureVipAddress",
        "asgName",
    ];
    for name in texts {
        if !text(&instance[name]).is_empty() {
            known.insert(name.into(), text(&instance[name]).into());
        }
    }
    for ((_, port), name) in ports.iter().zip(["port", "securePort"]) {
        if let Some((number, enabled)) = port {
            known.insert(name.into(), json!({"number": number, "enabled": enabled}));
        }
    }
    // The word that counts at the source; an override there is part of it.
    let word = if ["UP", "DOWN", "STARTING", "OUT_OF_SERVICE"].contains(&status) { status } else { "UNKNOWN" };
    known.insert("status".into(), word.into());
    known.insert("countryId".into(), instance["countryId"].as_i64().unwrap_or(1).into());
    known.insert("renewalSeconds".into(), instance["leaseInfo"]["renewalIntervalInSecs"].as_i64().unwrap_or(30).into());
    known.insert("lastDirty".into(), text(&instance["lastDirtyTimestamp"]).parse().unwrap_or(0_i64).into());
    let center = &instance["dataCenterInfo"];
    let details: Map<String, Value> = center["metadata"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| !key.starts_with('@'))
        .map(|(key, value)| (key.clone(), text(value).into()))
        .collect();
    let name = Some(text(&center["name"])).filter(|name| !name.is_empty()).unwrap_or_else(|| "MyOwn".into());
    known.insert("dataCenter".into(), json!({"name": name, "metadata": details}));
    Map::from_iter([("eureka".to_owned(), Value::Object(known))])
}
