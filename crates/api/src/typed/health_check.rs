//! Health checks of instances and machines, and what they found.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Serialize};

/// The health of an instance, a machine or one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Takes requests.
    #[default]
    Passing,
    /// Takes requests, with its lower weight.
    Warning,
    /// Takes none.
    Critical,
}

impl Health {
    /// `passing`, `warning` or `critical`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// How a check finds out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckType {
    /// The instance says so in time.
    #[default]
    Ttl,
    /// A request over HTTP.
    Http,
    /// A request over HTTPS is [`CheckType::Http`] with such an URL; a TCP connection.
    Tcp,
    /// A datagram that is not refused.
    Udp,
    /// The gRPC health checking protocol.
    Grpc,
    /// A ping frame over HTTP/2.
    H2ping,
    /// The exit code of a command; only where the node allows it.
    Script,
    /// Whatever another node or service is.
    Alias,
    /// Somebody else decides and writes the result.
    External,
}

impl CheckType {
    /// The word for it in objects.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ttl => "ttl",
            Self::Http => "http",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Grpc => "grpc",
            Self::H2ping => "h2ping",
            Self::Script => "script",
            Self::Alias => "alias",
            Self::External => "external",
        }
    }

    /// Whether somebody of ours must act at intervals to know.
    pub fn is_active(self) -> bool {
        !matches!(self, Self::Ttl | Self::Alias | Self::External)
    }
}

/// One way to find out how an instance or a machine does.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthCheck {
    /// Identity among the checks of its owner.
    pub id: String,
    /// Name for people; the id if empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// How it finds out.
    pub r#type: CheckType,
    /// Words for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub notes: String,
    /// What [`CheckType::Http`] asks.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// Method of the request, GET if empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub method: String,
    /// Headers of the request.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Vec<String>>,
    /// Body of the request.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// Takes a redirect for the answer.
    #[serde(skip_serializing_if = "is_false")]
    pub disable_redirects: bool,
    /// `host:port` of TCP, UDP, gRPC (`host:port/service`) and HTTP/2.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// Over TLS.
    #[serde(skip_serializing_if = "is_false")]
    pub tls: bool,
    /// Name that the certificate must have, if not the host's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tls_server_name: String,
    /// Takes any certificate.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_skip_verify: bool,
    /// Command of [`CheckType::Script`] and its arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Node that [`CheckType::Alias`] follows; the owner's if empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub alias_node: String,
    /// Instance id that [`CheckType::Alias`] follows; the node's own checks if empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub alias_service: String,
    /// Time between two tries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval_milliseconds: Option<i64>,
    /// Time that a try may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_milliseconds: Option<i64>,
    /// Time within which the instance must say how it is, for [`CheckType::Ttl`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_milliseconds: Option<i64>,
    /// Further good results in a row before it passes again.
    #[serde(skip_serializing_if = "is_zero")]
    pub success_before_passing: i32,
    /// Further bad results in a row before it warns.
    #[serde(skip_serializing_if = "is_zero")]
    pub failures_before_warning: i32,
    /// Further bad results in a row before it is critical.
    #[serde(skip_serializing_if = "is_zero")]
    pub failures_before_critical: i32,
    /// Bytes of output that are kept; 4096 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_max_bytes: Option<i32>,
    /// Seconds of critical health after which the owner is deregistered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deregister_critical_after_seconds: Option<i32>,
    /// Health before the first result; critical if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_health: Option<Health>,
}

/// What a check found last.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthCheckStatus {
    /// The check.
    pub id: String,
    /// What it found.
    pub health: Health,
    /// In words; may lag behind while the health stays the same.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub output: String,
    /// Since when the health is this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

impl HealthCheck {
    /// Health before the first result.
    pub fn initial(&self) -> Health {
        self.initial_health.unwrap_or(Health::Critical)
    }

    /// Its name for people.
    pub fn display_name(&self) -> &str {
        if self.name.is_empty() { &self.id } else { &self.name }
    }
}

pub(super) fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &i32) -> bool {
    *value == 0
}
