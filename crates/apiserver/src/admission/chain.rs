//! Who decides, and in which order.

use super::attributes::Attributes;
use super::{plugins, policy, quota, webhook};
use crate::status::Status;

/// Lets everyone look at a write who may change it.
///
/// If a policy or webhook changed the object, all that is built in looks at it once more, and so do the policies
/// and webhooks before that one which ask for it.
pub(crate) async fn mutate(attributes: &mut Attributes<'_>) -> Result<(), Status> {
    let mut rounds = webhook::Rounds::default();
    let mut policies = policy::Rounds::default();
    mutate_once(attributes, &mut policies, &mut rounds).await?;
    if rounds.again {
        rounds.round = 1;
        mutate_once(attributes, &mut policies, &mut rounds).await?;
    }
    Ok(())
}

async fn mutate_once(
    attributes: &mut Attributes<'_>,
    policies: &mut policy::Rounds,
    rounds: &mut webhook::Rounds,
) -> Result<(), Status> {
    plugins::mutate(attributes).await?;
    rounds.again |= policy::mutate(attributes, policies, rounds.round > 0).await?;
    webhook::mutate(attributes, rounds).await
}

/// Lets everyone look at a write who may refuse it. `new` is what will be written.
pub(crate) async fn validate(attributes: &mut Attributes<'_>) -> Result<(), Status> {
    plugins::validate(attributes).await?;
    policy::validate(attributes).await?;
    webhook::validate(attributes).await?;
    quota::validate(attributes).await
}
