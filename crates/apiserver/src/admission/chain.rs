//! Who decides, and in which order.

use std::convert::Infallible;

use super::attributes::{Attributes, Operation};
use super::controllers::{
    ALWAYS_DENY, MUTATING_POLICY, MUTATING_WEBHOOK, NAMESPACE_LIFECYCLE, RESOURCE_QUOTA, VALIDATING_POLICY,
    VALIDATING_WEBHOOK,
};
use super::{plugins, policy, quota, webhook};
use crate::endpoint::Call;
use crate::metrics::{Step, Timed};
use crate::status::Status;

/// Lets everyone look at a write who may change it.
///
/// If a policy or webhook changed the object, all that is built in looks at it once more, and so do the policies
/// and webhooks before that one which ask for it.
pub(crate) async fn mutate(attributes: &mut Attributes<'_>) -> Result<(), Status> {
    let mut timed = attributes.call.server.metrics.admissions.begin(Step::Admit, attributes.operation);
    let outcome = mutate_in_rounds(attributes, &mut timed).await;
    timed.end(outcome)
}

async fn mutate_in_rounds(attributes: &mut Attributes<'_>, timed: &mut Timed<'_>) -> Result<(), Status> {
    let mut rounds = webhook::Rounds::default();
    let mut policies = policy::Rounds::default();
    mutate_once(attributes, &mut policies, &mut rounds, timed).await?;
    if rounds.again {
        rounds.round = 1;
        mutate_once(attributes, &mut policies, &mut rounds, timed).await?;
    }
    Ok(())
}

async fn mutate_once(
    attributes: &mut Attributes<'_>,
    policies: &mut policy::Rounds,
    rounds: &mut webhook::Rounds,
    timed: &mut Timed<'_>,
) -> Result<(), Status> {
    plugins::mutate(attributes, timed).await?;
    let settings = &attributes.call.server.config.access.admission;
    if settings.runs(&MUTATING_POLICY) {
        let changed = policy::mutate(attributes, policies, rounds.round > 0).await;
        rounds.again |= timed.of(&MUTATING_POLICY, changed)?;
    }
    if settings.runs(&MUTATING_WEBHOOK) {
        timed.of(&MUTATING_WEBHOOK, webhook::mutate(attributes, rounds).await)?;
    }
    refuse_all(attributes)
}

/// Whether a new object of a kind of our own needs no more than a namespace that takes it. `false` if anyone may have
/// more to say: policies, webhooks, quotas. What else is built in looks at upstream's kinds alone.
pub(crate) async fn admits_plainly(call: &Call<'_>) -> Result<bool, Status> {
    if !call.server.config.access.admission.are_usual() || call.server.admission.asks_anyone().await? {
        return Ok(false);
    }
    let admissions = &call.server.metrics.admissions;
    let mut timed = admissions.begin(Step::Admit, Operation::Create);
    // Nothing is counted for what comes as a request after all.
    if !plugins::takes_new_objects(call).await? || quota::has_quotas(call).await? {
        return Ok(false);
    }
    timed.done(&NAMESPACE_LIFECYCLE);
    let Ok(()) = timed.end(Ok::<_, Infallible>(()));
    let mut timed = admissions.begin(Step::Validate, Operation::Create);
    timed.done(&RESOURCE_QUOTA);
    let Ok(()) = timed.end(Ok::<_, Infallible>(()));
    Ok(true)
}

/// Lets everyone look at a write who may refuse it. `new` is what will be written.
pub(crate) async fn validate(attributes: &mut Attributes<'_>) -> Result<(), Status> {
    let mut timed = attributes.call.server.metrics.admissions.begin(Step::Validate, attributes.operation);
    let outcome = validate_in_order(attributes, &mut timed).await;
    timed.end(outcome)
}

async fn validate_in_order(attributes: &mut Attributes<'_>, timed: &mut Timed<'_>) -> Result<(), Status> {
    plugins::validate(attributes, timed).await?;
    let settings = &attributes.call.server.config.access.admission;
    if settings.runs(&VALIDATING_POLICY) {
        timed.of(&VALIDATING_POLICY, policy::validate(attributes).await)?;
    }
    if settings.runs(&VALIDATING_WEBHOOK) {
        timed.of(&VALIDATING_WEBHOOK, webhook::validate(attributes).await)?;
    }
    if settings.runs(&RESOURCE_QUOTA) {
        timed.of(&RESOURCE_QUOTA, quota::validate(attributes).await)?;
    }
    refuse_all(attributes)
}

/// AlwaysDeny, for those who enable that. What every cluster has is written all the same: the server starts.
fn refuse_all(attributes: &Attributes<'_>) -> Result<(), Status> {
    let is_own = attributes.call.user.name == "system:apiserver";
    if !is_own && attributes.call.server.config.access.admission.runs(&ALWAYS_DENY) {
        return Err(attributes.forbidden("admission control is denying all modifications"));
    }
    Ok(())
}
