//! `matchConditions` of webhooks: they see what the conditions of policies see, but no parameters.

use std::sync::LazyLock;

use portolan_cel::Environment;
use serde_json::Value;

use super::FailurePolicy;
use super::authorizer::OnBehalf;
use super::compile::{Scope, environment};
use super::conditions::Conditions;
use super::matching::Matched;
use super::scene::{self, Scene};
use crate::admission::Attributes;

/// What the conditions of webhooks may refer to.
pub(crate) static ENVIRONMENT: LazyLock<Environment> =
    LazyLock::new(|| environment(Scope { params: false, authorizer: true, mutation: false }));

/// The conditions of one webhook, compiled.
#[derive(Debug)]
pub(in crate::admission) struct HookConditions {
    conditions: Conditions,
    count: usize,
}

impl HookConditions {
    pub(in crate::admission) fn compile(hook: &Value) -> Self {
        let count = hook["matchConditions"].as_array().map_or(0, Vec::len);
        Self { conditions: Conditions::compile(&ENVIRONMENT, hook), count }
    }

    /// Whether all hold, for the request as it is in this version; the error says why nobody knows.
    pub(in crate::admission) fn hold(
        &self,
        attributes: &Attributes<'_>,
        version: &str,
        failure: FailurePolicy,
    ) -> Result<bool, String> {
        if self.count == 0 {
            return Ok(true);
        }
        let matched = Matched { version: version.to_owned() };
        let scene = Scene {
            object: &scene::as_seen(&attributes.new, attributes, &matched),
            old: &scene::as_seen(attributes.old, attributes, &matched),
            request: &scene::request(attributes, &matched),
            namespace: &Value::Null,
            params: &Value::Null,
            authorizer: &OnBehalf { server: attributes.call.server, user: attributes.call.user },
            asked: scene::asked(attributes),
        };
        self.conditions.hold(&scene, &[], failure)
    }
}
