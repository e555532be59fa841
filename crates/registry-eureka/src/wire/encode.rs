//! Writes what clients read.
//!
//! The text of an instance is made without its end, so that it can be kept and completed with the
//! action that a list or a delta says of it.

use std::collections::BTreeMap;
use std::fmt::Write;

use quick_xml::escape::escape;
use serde::Serialize;
use serde_json::json;

use super::{Action, InstanceInfo, Port, xml};

/// In which form an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Format {
    Xml,
    Json,
}

impl Format {
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Xml => "application/xml",
            Self::Json => "application/json",
        }
    }
}

/// How much of an instance is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum View {
    Full,
    /// What a client needs that only connects.
    Compact,
}

#[derive(Serialize)]
struct JsonPort {
    #[serde(rename = "$")]
    number: u16,
    #[serde(rename = "@enabled")]
    enabled: &'static str,
}

impl From<Port> for JsonPort {
    fn from(port: Port) -> Self {
        Self { number: port.number, enabled: word(port.enabled) }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonInstance<'a> {
    instance_id: &'a str,
    host_name: &'a str,
    app: &'a str,
    ip_addr: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    sid: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    overridden_status: Option<&'static str>,
    port: Option<JsonPort>,
    secure_port: Option<JsonPort>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country_id: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_center_info: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_info: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "str::is_empty")]
    app_group_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    home_page_url: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    status_page_url: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    health_check_url: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    secure_health_check_url: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    vip_address: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    secure_vip_address: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_coordinating_discovery_server: Option<&'static str>,
    last_updated_timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_dirty_timestamp: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    asg_name: &'a str,
}

/// The text of an instance up to the place of its action; see [`complete`].
pub(crate) fn instance_fragment(instance: &InstanceInfo, format: Format, view: View) -> String {
    match format {
        Format::Json => json_fragment(instance, view),
        Format::Xml => xml_fragment(instance, view),
    }
}

fn json_fragment(instance: &InstanceInfo, view: View) -> String {
    let full = view == View::Full;
    let told = |text| if full { text } else { "" };
    let lease = &instance.lease;
    let encoded = JsonInstance {
        instance_id: &instance.instance_id,
        host_name: &instance.host_name,
        app: &instance.app,
        ip_addr: &instance.ip_address,
        sid: told(visible_sid(instance)),
        status: instance.status.as_str(),
        overridden_status: full.then(|| instance.overridden_status.as_str()),
        port: instance.port.map(Into::into),
        secure_port: instance.secure_port.map(Into::into),
        country_id: full.then_some(instance.country_id),
        data_center_info: instance.data_center.as_ref().map(|info| match info.name.as_str() {
            "Amazon" => json!({"@class": info.class(), "name": info.name, "metadata": info.metadata}),
            _ => json!({"@class": info.class(), "name": info.name}),
        }),
        lease_info: full.then(|| {
            json!({
                "renewalIntervalInSecs": lease.renewal_seconds,
                "durationInSecs": lease.duration_seconds,
                "registrationTimestamp": lease.registered,
                "lastRenewalTimestamp": lease.renewed,
                "evictionTimestamp": 0,
                "serviceUpTimestamp": lease.up_since,
            })
        }),
        metadata: full.then(|| match instance.metadata.is_empty() {
            true => json!({"@class": "java.util.Collections$EmptyMap"}),
            false => json!(instance.metadata),
        }),
        app_group_name: told(&instance.app_group_name),
        home_page_url: told(&instance.home_page_url),
        status_page_url: told(&instance.status_page_url),
        health_check_url: told(&instance.health_check_url),
        secure_health_check_url: told(&instance.secure_health_check_url),
        vip_address: &instance.vip_address,
        secure_vip_address: &instance.secure_vip_address,
        is_coordinating_discovery_server: full.then(|| word(instance.is_coordinating_discovery_server)),
        last_updated_timestamp: instance.last_updated.to_string(),
        last_dirty_timestamp: full.then(|| instance.last_dirty.to_string()),
        asg_name: &instance.asg_name,
    };
    let mut text = serde_json::to_string(&encoded).expect("plain structs serialise to JSON: their keys are strings");
    text.pop();
    text
}

fn xml_fragment(instance: &InstanceInfo, view: View) -> String {
    let full = view == View::Full;
    let mut text = String::with_capacity(1024);
    text.push_str("<instance>");
    element(&mut text, "instanceId", &instance.instance_id);
    element(&mut text, "hostName", &instance.host_name);
    element(&mut text, "app", &instance.app);
    element(&mut text, "ipAddr", &instance.ip_address);
    if full && !visible_sid(instance).is_empty() {
        element(&mut text, "sid", &instance.sid);
    }
    element(&mut text, "status", instance.status.as_str());
    if full {
        element(&mut text, "overriddenstatus", instance.overridden_status.as_str());
    }
    for (name, port) in [("port", instance.port), ("securePort", instance.secure_port)] {
        if let Some(port) = port {
            put(&mut text, format_args!("<{name} enabled=\"{}\">{}</{name}>", port.enabled, port.number));
        }
    }
    if full {
        put(&mut text, format_args!("<countryId>{}</countryId>", instance.country_id));
    }
    if let Some(info) = &instance.data_center {
        put(&mut text, format_args!("<dataCenterInfo class=\"{}\">", info.class()));
        element(&mut text, "name", &info.name);
        if info.name == "Amazon" {
            metadata(&mut text, &info.metadata);
        }
        text.push_str("</dataCenterInfo>");
    }
    if full {
        let lease = &instance.lease;
        put(
            &mut text,
            format_args!(
                "<leaseInfo><renewalIntervalInSecs>{}</renewalIntervalInSecs><durationInSecs>{}</durationInSecs>\
                 <registrationTimestamp>{}</registrationTimestamp><lastRenewalTimestamp>{}</lastRenewalTimestamp>\
                 <evictionTimestamp>0</evictionTimestamp><serviceUpTimestamp>{}</serviceUpTimestamp></leaseInfo>",
                lease.renewal_seconds, lease.duration_seconds, lease.registered, lease.renewed, lease.up_since
            ),
        );
        metadata(&mut text, &instance.metadata);
        for (name, value) in [
            ("appGroupName", &instance.app_group_name),
            ("homePageUrl", &instance.home_page_url),
            ("statusPageUrl", &instance.status_page_url),
            ("healthCheckUrl", &instance.health_check_url),
            ("secureHealthCheckUrl", &instance.secure_health_check_url),
        ] {
            present(&mut text, name, value);
        }
    }
    present(&mut text, "vipAddress", &instance.vip_address);
    present(&mut text, "secureVipAddress", &instance.secure_vip_address);
    if full {
        element(&mut text, "isCoordinatingDiscoveryServer", word(instance.is_coordinating_discovery_server));
    }
    put(&mut text, format_args!("<lastUpdatedTimestamp>{}</lastUpdatedTimestamp>", instance.last_updated));
    if full {
        put(&mut text, format_args!("<lastDirtyTimestamp>{}</lastDirtyTimestamp>", instance.last_dirty));
    }
    present(&mut text, "asgName", &instance.asg_name);
    text
}

/// Completes the text of an instance with what happened to it.
fn complete(text: &mut String, fragment: &str, action: Action, format: Format) {
    text.push_str(fragment);
    match format {
        Format::Json => put(text, format_args!(",\"actionType\":\"{}\"}}", action.as_str())),
        Format::Xml => put(text, format_args!("<actionType>{}</actionType></instance>", action.as_str())),
    }
}

/// What a document is about.
pub(crate) enum Document<'a> {
    /// The version of a choice of instances is nobody's, and -1.
    Applications {
        version: Option<u64>,
        hash: &'a str,
    },
    Application,
    Instance,
}

/// A whole document from applications, each with the texts of its instances.
pub(crate) fn envelope<'a, A, I>(kind: &Document<'_>, format: Format, applications: A) -> String
where
    A: IntoIterator<Item = (&'a str, I)>,
    I: IntoIterator<Item = (&'a str, Action)>,
{
    let mut text = String::with_capacity(4096);
    let version = match kind {
        Document::Applications { version: Some(version), .. } => version.to_string(),
        _ => "-1".to_owned(),
    };
    match (kind, format) {
        (Document::Applications { hash, .. }, Format::Json) => put(
            &mut text,
            format_args!(
                "{{\"applications\":{{\"versions__delta\":\"{version}\",\"apps__hashcode\":\"{hash}\",\"application\":["
            ),
        ),
        (Document::Applications { hash, .. }, Format::Xml) => put(
            &mut text,
            format_args!(
                "<applications><versions__delta>{version}</versions__delta><apps__hashcode>{hash}</apps__hashcode>"
            ),
        ),
        (Document::Application, Format::Json) => text.push_str("{\"application\":"),
        (Document::Instance, Format::Json) => text.push_str("{\"instance\":"),
        (_, Format::Xml) => {}
    }
    for (index, (name, instances)) in applications.into_iter().enumerate() {
        let bare = matches!(kind, Document::Instance);
        match (format, bare) {
            (Format::Json, false) => {
                let name = serde_json::Value::from(name);
                let comma = if index > 0 { "," } else { "" };
                put(&mut text, format_args!("{comma}{{\"name\":{name},\"instance\":["));
            }
            (Format::Xml, false) => {
                text.push_str("<application>");
                element(&mut text, "name", name);
            }
            (_, true) => {}
        }
        for (index, (fragment, action)) in instances.into_iter().enumerate() {
            if index > 0 && format == Format::Json {
                text.push(',');
            }
            complete(&mut text, fragment, action, format);
        }
        match (format, bare) {
            (Format::Json, false) => text.push_str("]}"),
            (Format::Xml, false) => text.push_str("</application>"),
            (_, true) => {}
        }
    }
    match (kind, format) {
        (Document::Applications { .. }, Format::Json) => text.push_str("]}}"),
        (Document::Applications { .. }, Format::Xml) => text.push_str("</applications>"),
        (_, Format::Json) => text.push('}'),
        (_, Format::Xml) => {}
    }
    text
}

/// `na` and `unknown` say that there is none.
fn visible_sid(instance: &InstanceInfo) -> &str {
    if matches!(instance.sid.as_str(), "na" | "unknown") { "" } else { &instance.sid }
}

fn word(flag: bool) -> &'static str {
    if flag { "true" } else { "false" }
}

fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = text.write_fmt(arguments);
}

fn present(text: &mut String, name: &str, value: &str) {
    if !value.is_empty() {
        element(text, name, value);
    }
}

fn element(text: &mut String, name: &str, value: &str) {
    // XML 1.0 cannot say most control characters, not even escaped.
    let sayable = |character: char| !character.is_control() || matches!(character, '\t' | '\n' | '\r');
    if value.chars().all(sayable) {
        put(text, format_args!("<{name}>{}</{name}>", escape(value)));
    } else {
        let value: String = value.chars().filter(|character| sayable(*character)).collect();
        put(text, format_args!("<{name}>{}</{name}>", escape(&value)));
    }
}

fn metadata(text: &mut String, map: &BTreeMap<String, String>) {
    if map.is_empty() {
        text.push_str("<metadata class=\"java.util.Collections$EmptyMap\"/>");
        return;
    }
    text.push_str("<metadata>");
    for (key, value) in map {
        if let Some(name) = xml::encode_name(key) {
            element(text, &name, value);
        }
    }
    text.push_str("</metadata>");
}

/// Groups of facts about a server, in the names of Netflix's.
pub(crate) fn server_status(groups: &[(&str, &[(&str, String)])], format: Format) -> String {
    if format == Format::Json {
        let facts =
            |facts: &[(&str, String)]| facts.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let groups = groups.iter().map(|(name, group)| ((*name).to_owned(), serde_json::Value::Object(facts(group))));
        return serde_json::Value::Object(groups.collect()).to_string();
    }
    let mut text = "<com.netflix.eureka.util.StatusInfo>".to_owned();
    for (name, group) in groups {
        put(&mut text, format_args!("<{name}>"));
        group.iter().for_each(|(name, value)| element(&mut text, name, value));
        put(&mut text, format_args!("</{name}>"));
    }
    text + "</com.netflix.eureka.util.StatusInfo>"
}
