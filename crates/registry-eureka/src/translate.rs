//! A registration to a [`ServiceInstance`], and instances of the catalog to what clients read. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use portolan_api::typed::{
    Health, InstanceLease, InstanceLocality, InstanceOverride, InstancePort, LeaseKind, OverrideMode, ServiceInstance,
    ServiceInstanceSpec, ServiceInstanceStatus,
};
use portolan_base::Timestamp;
use portolan_catalog::{self as catalog, Instance, Protocol, Registration, Status};
use portolan_registrar::{object_name, published_name};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::wire::{DataCenter, InstanceInfo, InstanceStatus, Lease, Port};

/// The name of the dialect, in `spec.origin` and among the extensions.
const DIALECT: &str = "eureka";
/// The namespace of what registers here.
pub(crate) const NAMESPACE: &str = "default";
/// The API takes no longer lease.
const LONGEST_LEASE_SECONDS: i32 = 24 * 60 * 60;
/// Why an override is there, for those who see it elsewhere.
const OVERRIDE_REASON: &str = "set through Eureka";

/// What only Eureka's clients know of an instance; kept so that they read what was written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Known {
    pub(crate) host_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) app_group_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) sid: String,
    pub(crate) status: InstanceStatus,
    pub(crate) overridden_status: InstanceStatus,
    pub(crate) port: Option<Port>,
    pub(crate) secure_port: Option<Port>,
    pub(crate) country_id: i32,
    pub(crate) data_center: Option<DataCenter>,
    pub(crate) renewal_seconds: i32,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) home_page_url: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) status_page_url: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) health_check_url: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) secure_health_check_url: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) vip_address: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) secure_vip_address: String,
    pub(crate) is_coordinating_discovery_server: bool,
    pub(crate) last_dirty: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) asg_name: String,
}

impl Known {
    /// What a registration through Eureka left; none for those of other dialects.
    pub(crate) fn of(spec: &ServiceInstanceSpec) -> Option<Self> {
        serde_json::from_value(spec.extensions.get(DIALECT)?.clone()).ok()
    }

    fn of_registration(registration: &Registration) -> Option<Self> {
        Self::deserialize(registration.extension(DIALECT)?).ok()
    }

    fn keep(&self, spec: &mut ServiceInstanceSpec) {
        let value = serde_json::to_value(self).expect("a plain struct serialises to JSON: its keys are strings");
        spec.extensions.insert(DIALECT.to_owned(), value);
    }
}

/// The name of the object of an instance that registers here.
pub(crate) fn name(app: &str, id: &str) -> String {
    object_name(app, id)
}

/// The object that a registration becomes. The override of the instance that was there before stays.
pub(crate) fn object(info: &InstanceInfo, before: Option<&ServiceInstance>, now: Timestamp) -> ServiceInstance {
    let ports = [("http", info.port), ("https", info.secure_port)];
    let ports = ports.into_iter().filter_map(|(name, port)| {
        let port = port.filter(|port| port.enabled && port.number > 0)?;
        // As the API stores it, so that the same registration is seen to be the same.
        Some(InstancePort { name: name.into(), port: port.number.into(), protocol: "TCP".into() })
    });
    let zone = info.metadata.get("zone").or_else(|| info.data_center.as_ref()?.metadata.get("availability-zone"));
    let mut spec = ServiceInstanceSpec {
        service: info.app.to_lowercase(),
        instance_id: info.instance_id.clone(),
        address: info.ip_address.clone(),
        ports: ports.collect(),
        metadata: info.metadata.clone(),
        version: info.metadata.get("version").cloned().unwrap_or_default(),
        locality: zone.map(|zone| InstanceLocality { zone: zone.clone(), ..InstanceLocality::default() }),
        lease: Some(InstanceLease {
            kind: LeaseKind::Ttl,
            ttl_seconds: Some(info.lease.duration_seconds.clamp(1, LONGEST_LEASE_SECONDS)),
            ..InstanceLease::default()
        }),
        administrative: before.and_then(|before| before.spec.administrative.clone()),
        origin: DIALECT.into(),
        ..ServiceInstanceSpec::default()
    };
    let known = Known {
        host_name: info.host_name.clone(),
        app_group_name: info.app_group_name.clone(),
        sid: info.sid.clone(),
        status: info.status,
        overridden_status: InstanceStatus::Unknown,
        port: info.port,
        secure_port: info.secure_port,
        country_id: info.country_id,
        data_center: info.data_center.clone(),
        renewal_seconds: info.lease.renewal_seconds,
        home_page_url: info.home_page_url.clone(),
        status_page_url: info.status_page_url.clone(),
        health_check_url: info.health_check_url.clone(),
        secure_health_check_url: info.secure_health_check_url.clone(),
        vip_address: info.vip_address.clone(),
        secure_vip_address: info.secure_vip_address.clone(),
        is_coordinating_discovery_server: info.is_coordinating_discovery_server,
        last_dirty: info.last_dirty,
        asg_name: info.asg_name.clone(),
    };
    known.keep(&mut spec);
    set_override(&mut spec, info.overridden_status, now);
    let mut object = ServiceInstance { spec, status: Some(status_of(info.status, now)), ..ServiceInstance::default() };
    object.metadata.name = Some(name(&info.app, &info.instance_id));
    object.metadata.namespace = Some(NAMESPACE.into());
    object
}

/// What an instance says of itself, as every dialect understands it.
pub(crate) fn status_of(status: InstanceStatus, now: Timestamp) -> ServiceInstanceStatus {
    let (health, reason) = match status {
        InstanceStatus::Up => (Health::Passing, String::new()),
        other => (Health::Critical, format!("says {} of itself", other.as_str())),
    };
    ServiceInstanceStatus { health, reason, since: Some(Time(now)), ..ServiceInstanceStatus::default() }
}

/// Sets an administrator's word, or takes it back ([`InstanceStatus::Unknown`]).
///
/// UP over an instance that is not out of service by its own word changes nothing about it, as in
/// Eureka, where STARTING and DOWN win: then there is a word but no override.
pub(crate) fn set_override(spec: &mut ServiceInstanceSpec, word: InstanceStatus, now: Timestamp) {
    let mut reported = InstanceStatus::Unknown;
    if let Some(mut known) = Known::of(spec) {
        reported = known.status;
        known.overridden_status = word;
        known.keep(spec);
    }
    let wins = matches!(reported, InstanceStatus::OutOfService | InstanceStatus::Unknown);
    let mode = match word {
        InstanceStatus::Unknown => None,
        InstanceStatus::Up => wins.then_some(OverrideMode::Up),
        InstanceStatus::OutOfService => Some(OverrideMode::OutOfService),
        InstanceStatus::Down | InstanceStatus::Starting => Some(OverrideMode::Down),
    };
    // One that is there already keeps its time and its reason.
    if spec.administrative.as_ref().map(|decision| decision.mode) != mode {
        spec.administrative =
            mode.map(|mode| InstanceOverride { mode, reason: OVERRIDE_REASON.into(), since: Some(Time(now)) });
    }
}

/// Changes what an instance said of itself.
pub(crate) fn set_reported(spec: &mut ServiceInstanceSpec, status: InstanceStatus) {
    if let Some(mut known) = Known::of(spec) {
        known.status = status;
        known.keep(spec);
    }
}

/// Whether an instance said that its status is not known, and nobody decided about it.
pub(crate) fn is_unknown(spec: &ServiceInstanceSpec) -> bool {
    // Asked at every heartbeat: two words are read, not all that is known.
    let Some(known) = spec.extensions.get(DIALECT) else { return false };
    let unknown = |name: &str| known.get(name).and_then(Value::as_str) == Some(InstanceStatus::Unknown.as_str());
    unknown("status") && unknown("overriddenStatus") && spec.administrative.is_none()
}

/// Remembers a newer time stamp of the client's own changes.
pub(crate) fn set_dirty(spec: &mut ServiceInstanceSpec, last_dirty: i64) {
    if let Some(mut known) = Known::of(spec)
        && last_dirty > known.last_dirty
    {
        known.last_dirty = last_dirty;
        known.keep(spec);
    }
}

/// The application that a service is.
pub(crate) fn application(namespace: &str, service: &str) -> String {
    published_name(namespace, service).to_uppercase()
}

/// An instance as Eureka's clients read it, whoever started it.
pub(crate) fn info(instance: &Instance) -> InstanceInfo {
    let registration = instance.registration.as_deref();
    let known = registration.and_then(Known::of_registration);
    let words = known.as_ref().map(|known| (known.status, known.overridden_status));
    let (status, overridden_status) = shown_status(instance, words);
    let since = instance.health.since.map_or(0, Timestamp::as_millisecond);
    let created = registration.and_then(|registration| registration.created());
    let created = created.map_or(since, Timestamp::as_millisecond);
    let default = Lease::default();
    let duration = instance.ttl.and_then(|ttl| i32::try_from(ttl.as_secs()).ok()).unwrap_or(default.duration_seconds);
    let lease = Lease {
        renewal_seconds: known.as_ref().map_or((duration / 3).max(1), |known| known.renewal_seconds),
        duration_seconds: duration,
        registered: created,
        renewed: created,
        up_since: if status == InstanceStatus::Up { since.max(created) } else { 0 },
    };
    let basics = InstanceInfo {
        instance_id: instance.id.to_string(),
        app: application(&instance.namespace, &instance.service),
        ip_address: instance.address.to_string(),
        status,
        overridden_status,
        lease,
        metadata: BTreeMap::clone(&instance.metadata),
        last_updated: since.max(created),
        ..InstanceInfo::default()
    };
    match known {
        Some(known) => registered_here(basics, known),
        None => from_elsewhere(basics, instance),
    }
}

fn registered_here(basics: InstanceInfo, known: Known) -> InstanceInfo {
    InstanceInfo {
        host_name: known.host_name,
        app_group_name: known.app_group_name,
        sid: known.sid,
        port: known.port,
        secure_port: known.secure_port,
        country_id: known.country_id,
        data_center: known.data_center,
        home_page_url: known.home_page_url,
        status_page_url: known.status_page_url,
        health_check_url: known.health_check_url,
        secure_health_check_url: known.secure_health_check_url,
        vip_address: known.vip_address,
        secure_vip_address: known.secure_vip_address,
        is_coordinating_discovery_server: known.is_coordinating_discovery_server,
        last_dirty: known.last_dirty,
        asg_name: known.asg_name,
        ..basics
    }
}

/// A pod, or an instance that registered through another dialect.
fn from_elsewhere(basics: InstanceInfo, instance: &Instance) -> InstanceInfo {
    let plain = tcp_ports(instance).find(|port| !is_secure(&port.name)).map(|port| port.port);
    let secure = tcp_ports(instance).find(|port| is_secure(&port.name)).map(|port| port.port);
    let service = published_name(&instance.namespace, &instance.service);
    let host =
        if instance.address.contains(':') { format!("[{}]", instance.address) } else { instance.address.to_string() };
    let mut metadata = basics.metadata.clone();
    if !instance.locality.zone.is_empty() {
        metadata.entry("zone".into()).or_insert_with(|| instance.locality.zone.clone());
    }
    if !instance.version.is_empty() {
        metadata.entry("version".into()).or_insert_with(|| instance.version.to_string());
    }
    InstanceInfo {
        // Clients connect to this name by default, so it is one that always resolves.
        host_name: instance.address.to_string(),
        port: Some(Port { number: plain.unwrap_or(80), enabled: plain.is_some() }),
        secure_port: Some(Port { number: secure.unwrap_or(443), enabled: secure.is_some() }),
        country_id: 1,
        data_center: Some(DataCenter { name: "MyOwn".into(), metadata: Default::default() }),
        home_page_url: match (plain, secure) {
            (Some(port), _) => format!("http://{host}:{port}/"),
            (None, Some(port)) => format!("https://{host}:{port}/"),
            (None, None) => String::new(),
        },
        secure_vip_address: if secure.is_some() { service.clone() } else { String::new() },
        vip_address: service,
        last_dirty: basics.last_updated,
        metadata,
        ..basics
    }
}

/// The status of an instance as Eureka's clients read it.
pub(crate) fn status(instance: &Instance) -> InstanceStatus {
    shown_status(instance, reported(instance)).0
}

/// What was decided about an instance.
pub(crate) fn overridden_status(instance: &Instance) -> InstanceStatus {
    shown_status(instance, reported(instance)).1
}

/// What an instance that registered here says of its status, and what it says was decided.
fn reported(instance: &Instance) -> Option<(InstanceStatus, InstanceStatus)> {
    let known = instance.registration.as_ref()?.extension(DIALECT)?;
    let word = |name: &str| InstanceStatus::deserialize(known.get(name)?).ok();
    Some((word("status").unwrap_or_default(), word("overriddenStatus").unwrap_or_default()))
}

/// The virtual addresses of an instance, separated by commas.
pub(crate) fn virtual_addresses(instance: &Instance, secure: bool) -> Cow<'_, str> {
    let known = instance.registration.as_ref().and_then(|registration| registration.extension(DIALECT));
    if let Some(known) = known {
        let name = if secure { "secureVipAddress" } else { "vipAddress" };
        return known.get(name).and_then(Value::as_str).unwrap_or_default().into();
    }
    if secure && !tcp_ports(instance).any(|port| is_secure(&port.name)) {
        return "".into();
    }
    published_name(&instance.namespace, &instance.service).into()
}

fn is_secure(name: &str) -> bool {
    name == "https" || name.starts_with("https-")
}

fn tcp_ports(instance: &Instance) -> impl Iterator<Item = &catalog::InstancePort> {
    instance.ports.iter().filter(|port| port.protocol == Protocol::Tcp)
}

/// Status and override. STARTING and DOWN by the instance's own word win, then an administrator's
/// word, then what checks found, then the instance's own word.
fn shown_status(
    instance: &Instance,
    known: Option<(InstanceStatus, InstanceStatus)>,
) -> (InstanceStatus, InstanceStatus) {
    let decision = instance.registration.as_ref().and_then(|registration| registration.administrative());
    let word = known.map(|(_, word)| word).unwrap_or_default();
    let overridden = match decision.map(|decision| decision.mode) {
        Some(OverrideMode::Down) if word == InstanceStatus::Starting => InstanceStatus::Starting,
        Some(OverrideMode::Down) => InstanceStatus::Down,
        Some(OverrideMode::OutOfService | OverrideMode::Maintenance) => InstanceStatus::OutOfService,
        Some(OverrideMode::Up) => InstanceStatus::Up,
        None if word == InstanceStatus::Up => InstanceStatus::Up,
        None => InstanceStatus::Unknown,
    };
    let reported = known.map(|(status, _)| status);
    let status = match (reported, instance.health.status) {
        (Some(reported @ (InstanceStatus::Starting | InstanceStatus::Down)), _) => reported,
        _ if overridden != InstanceStatus::Unknown && decision.is_some() => overridden,
        (Some(InstanceStatus::Up) | None, Status::Critical) => InstanceStatus::Down,
        (Some(reported), _) => reported,
        (None, _) => InstanceStatus::Up,
    };
    (status, overridden)
}
