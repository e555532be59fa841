//! Configurations, read once per version of them and kept in the form in which they are asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use portolan_api::selector::LabelSelector;
use portolan_store::{Entry, EventKind};
use serde_json::Value;

use super::rules::Rule;
use crate::admission::policy::FailurePolicy;
use crate::admission::policy::hook::HookConditions;
use crate::authorization::followed::View;
use crate::server::Server;
use crate::webhook_client::{Endpoint, WebhookUsers};

/// How long a hook has unless its configuration says otherwise.
const DEFAULT_SECONDS: i64 = 10;
/// The longest that a configuration may say.
const LONGEST_SECONDS: i64 = 30;

/// All hooks of one kind of configuration.
#[derive(Debug, Default)]
pub(crate) struct Hooks {
    /// By key, so in order of the configurations' names.
    configurations: BTreeMap<Bytes, Vec<Arc<Hook>>>,
}

impl Hooks {
    /// All hooks, in the order in which they are asked.
    pub(crate) fn list(&self) -> Vec<Arc<Hook>> {
        self.configurations.values().flatten().cloned().collect()
    }
}

impl View for Hooks {
    fn take(&mut self, entry: &Entry, kind: EventKind) {
        if kind == EventKind::Delete {
            self.configurations.remove(&entry.key);
            return;
        }
        match serde_json::from_slice::<Value>(&entry.value) {
            Ok(configuration) => {
                let name = configuration["metadata"]["name"].as_str().unwrap_or_default();
                let hooks = configuration["webhooks"].as_array().into_iter().flatten();
                let hooks = hooks.map(|hook| Arc::new(Hook::read(name, hook))).collect();
                self.configurations.insert(entry.key.clone(), hooks);
            }
            Err(error) => {
                tracing::error!(key = %String::from_utf8_lossy(&entry.key), %error, "a configuration cannot be read");
            }
        }
    }
}

/// One webhook.
#[derive(Debug)]
pub(crate) struct Hook {
    /// Name of the configuration that it stands in.
    pub(super) configuration: String,
    pub(super) name: String,
    pub(super) rules: Vec<Rule>,
    /// Whether it is also asked about other versions of what its rules name.
    pub(super) matches_equivalents: bool,
    pub(super) namespaces: LabelSelector,
    pub(super) objects: LabelSelector,
    pub(super) conditions: HookConditions,
    pub(super) failure_policy: FailurePolicy,
    pub(super) has_side_effects: bool,
    pub(super) is_reinvocable: bool,
    pub(super) timeout: Duration,
    /// Version of the reviews that it understands best: `v1` or `v1beta1`.
    pub(super) review_version: &'static str,
    endpoint: Endpoint,
}

impl Hook {
    fn read(configuration: &str, hook: &Value) -> Self {
        let text = |field: &str| hook[field].as_str().unwrap_or_default();
        let list = |field: &str| hook[field].as_array().into_iter().flatten();
        let seconds = hook["timeoutSeconds"].as_i64().unwrap_or(DEFAULT_SECONDS).clamp(1, LONGEST_SECONDS);
        let mut versions = list("admissionReviewVersions").filter_map(|version| match version.as_str() {
            Some("v1") => Some("v1"),
            Some("v1beta1") => Some("v1beta1"),
            _ => None,
        });
        Self {
            configuration: configuration.to_owned(),
            name: text("name").to_owned(),
            rules: list("rules").map(Rule::read).collect(),
            matches_equivalents: text("matchPolicy") != "Exact",
            namespaces: selector(&hook["namespaceSelector"]),
            objects: selector(&hook["objectSelector"]),
            conditions: HookConditions::compile(hook),
            failure_policy: if text("failurePolicy") == "Ignore" { FailurePolicy::Ignore } else { FailurePolicy::Fail },
            has_side_effects: !matches!(text("sideEffects"), "None" | "NoneOnDryRun"),
            is_reinvocable: text("reinvocationPolicy") == "IfNeeded",
            timeout: Duration::from_secs(seconds.unsigned_abs()),
            review_version: versions.next().unwrap_or("v1"),
            endpoint: Endpoint::read(&hook["clientConfig"]),
        }
    }

    /// Asks it, as that of `users` who is meant for its host.
    pub(super) async fn ask(&self, server: &Server, users: &WebhookUsers, question: String) -> Result<Bytes, String> {
        let user = users.of(&self.endpoint.target());
        self.endpoint.post(server, user, question.into(), self.timeout).await
    }

    /// Text about a failure to ask the hook.
    pub(super) fn failed_calling(&self, why: impl std::fmt::Display) -> String {
        format!("failed calling webhook \"{}\": {why}", self.name)
    }
}

/// No selector selects everything; one that cannot be read was refused when it was written.
fn selector(value: &Value) -> LabelSelector {
    if value.is_object() { LabelSelector::from_value(value).unwrap_or_default() } else { LabelSelector::default() }
}
