//! `matchConditions` of webhooks: they see what the conditions of policies see, but no parameters.

use std::sync::LazyLock;

use portolan_cel::Environment;
use serde_json::Value;

use super::FailurePolicy;
use super::authorizer::OnBehalf;
use super::compile::{Scope, environment};
use super::conditions::Conditions;
use super::scene::{self, Scene};
use crate::admission::Attributes;
use crate::admission::webhook::select::Seen;
use crate::status::Status;

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

    /// Whether all hold, for the request as the webhook sees it; the error says why nobody knows.
    pub(in crate::admission) async fn hold(
        &self,
        attributes: &Attributes<'_>,
        seen: &Seen,
        failure: FailurePolicy,
    ) -> Result<bool, String> {
        if self.count == 0 {
            return Ok(true);
        }
        let told = |status: Status| status.message().to_owned();
        let new = seen.shown(attributes, &attributes.new).await.map_err(told)?;
        let old = seen.shown(attributes, attributes.old).await.map_err(told)?;
        let scene = Scene {
            object: &new,
            old: &old,
            request: &scene::request(attributes, seen),
            namespace: &Value::Null,
            params: &Value::Null,
            authorizer: &OnBehalf { server: attributes.call.server, user: attributes.call.user },
            asked: scene::asked(attributes),
        };
        self.conditions.hold(&scene, &[], failure)
    }
}
