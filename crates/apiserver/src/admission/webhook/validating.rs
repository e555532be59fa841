//! Hooks that only say yes or no: all at once.

use std::sync::Arc;
use std::time::Instant;

use futures::future::join_all;

use super::configuration::Hook;
use super::{Failure, is_exempt, may_ask, measured, review, select};
use crate::admission::Attributes;
use crate::admission::policy::FailurePolicy;
use crate::status::Status;

const AUDIT: &str = "validating.webhook.admission.k8s.io";

/// Asks all hooks that are concerned.
pub(crate) async fn validate(attributes: &mut Attributes<'_>) -> Result<(), Status> {
    if is_exempt(attributes) {
        return Ok(());
    }
    let hooks = attributes.call.server.admission.validating().await?;
    if hooks.is_empty() {
        return Ok(());
    }
    let mut concerned: Vec<(usize, Arc<Hook>, select::Seen)> = Vec::new();
    for (index, hook) in hooks.iter().enumerate() {
        let Some(seen) = select::seen_as(hook, attributes).await? else { continue };
        concerned.push((index, hook.clone(), seen));
    }
    let asked: &Attributes<'_> = attributes;
    let answers = join_all(concerned.iter().map(|(_, hook, seen)| async move {
        let started = Instant::now();
        let outcome = ask(hook, asked, seen).await;
        let refused = outcome.as_ref().map(|answer| answer.refusal.as_ref());
        measured(hook, asked, "validating", refused, started.elapsed());
        outcome
    }))
    .await;
    let mut first = None;
    for ((index, hook, _), outcome) in concerned.iter().zip(answers) {
        match outcome {
            Ok(answer) => {
                for (name, value) in answer.audit_annotations {
                    attributes.annotate(format!("{}/{name}", hook.name), value);
                }
                attributes.warnings.extend(answer.warnings);
                first = first.or(answer.refusal);
            }
            Err(Failure::Unanswered(why)) if hook.failure_policy == FailurePolicy::Ignore => {
                tracing::warn!(webhook = hook.name, why, "a webhook failed and may");
                attributes.annotate(format!("failed-open.{AUDIT}/round_0_index_{index}"), hook.name.as_str());
            }
            Err(failure) => first = first.or(Some(failure.into_status())),
        }
    }
    match first {
        None => Ok(()),
        Some(status) => Err(status.warning(std::mem::take(&mut attributes.warnings))),
    }
}

async fn ask(hook: &Hook, attributes: &Attributes<'_>, seen: &select::Seen) -> Result<review::Answer, Failure> {
    may_ask(hook, attributes)?;
    let objects = select::objects(attributes, seen).await.map_err(Failure::Rejected)?;
    let (question, uid) = review::question(hook, attributes, seen, objects, true);
    let server = attributes.call.server;
    let bytes = hook.ask(server, &server.config.access.admission.validating_users, question.to_string()).await;
    let bytes =
        bytes.map_err(|why| Failure::Unanswered(hook.failed_calling(format!("failed to call webhook: {why}"))))?;
    review::answer(hook, &bytes, &uid, false)
}
