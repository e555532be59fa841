//! Sizes of the ReplicaSets of a deployment.

use super::annotations::{DESIRED_REPLICAS, MAX_REPLICAS};
use super::limits::Limits;
use super::plan::Set;

fn total(sets: &[Set]) -> i32 {
    sets.iter().map(|set| set.replicas).sum()
}

/// Grows the new set as far as the surge allows, or shrinks it to what is wanted.
pub(super) fn up_new(new: &mut Set, old: &[Set], limits: &Limits) {
    if new.replicas >= limits.replicas {
        if new.replicas > limits.replicas {
            new.scale(limits.replicas, limits);
        }
        return;
    }
    let room = limits.replicas + limits.max_surge - total(old) - new.replicas;
    let step = room.clamp(0, limits.replicas - new.replicas);
    if step > 0 {
        new.scale(new.replicas + step, limits);
    }
}

/// Shrinks old sets: first pods that serve nobody anyway, then as many as availability allows.
pub(super) fn down_old(new: &Set, old: &mut [Set], limits: &Limits) {
    let pods = total(old) + new.replicas;
    let new_unavailable = (new.replicas - new.available()).max(0);
    let mut spare = (pods - limits.min_available() - new_unavailable).max(0);
    for set in old.iter_mut().filter(|set| set.replicas > 0) {
        let unhealthy = (set.replicas - set.available()).max(0).min(spare);
        if unhealthy > 0 {
            set.scale(set.replicas - unhealthy, limits);
            spare -= unhealthy;
        }
    }
    let available: i32 =
        old.iter().map(|set| set.available().min(set.replicas)).sum::<i32>() + new.available().min(new.replicas);
    let mut left = (available - limits.min_available()).max(0);
    for set in old.iter_mut().filter(|set| set.replicas > 0) {
        let step = set.replicas.min(left);
        if step > 0 {
            set.scale(set.replicas - step, limits);
            left -= step;
        }
    }
}

/// Spreads a changed number of replicas over the sets in proportion to their sizes, so that scaling
/// in the middle of a rollout (or while paused) neither finishes nor undoes it.
pub(super) fn proportionally(new: &mut Option<Set>, old: &mut [Set], limits: &Limits) {
    let has_new = new.is_some();
    let mut sets: Vec<&mut Set> = old.iter_mut().chain(new.as_mut()).collect();
    let active = sets.iter().filter(|set| set.replicas > 0).count();
    if active <= 1 {
        // One set carries everything (or none does: then the newest one does).
        let index = sets.iter().position(|set| set.replicas > 0).or(sets.len().checked_sub(1));
        if let Some(set) = index.and_then(|index| sets.get_mut(index)) {
            set.scale(limits.replicas, limits);
        }
        return;
    }
    let saturated = |set: &Set| {
        let desired = set.annotations.get(DESIRED_REPLICAS).and_then(|desired| desired.parse().ok());
        desired == Some(limits.replicas) && set.replicas == limits.replicas && set.available() >= limits.replicas
    };
    if let Some((new, old)) = sets.split_last_mut().filter(|(new, _)| has_new && saturated(new)) {
        // The rollout is over but for the old pods.
        old.iter_mut().for_each(|set| set.scale(0, limits));
        new.scale(limits.replicas, limits);
        return;
    }
    if limits.recreate {
        return;
    }
    let pods: i32 = sets.iter().map(|set| set.replicas).sum();
    let allowed = if limits.replicas > 0 { limits.replicas + limits.max_surge } else { 0 };
    let to_add = allowed - pods;
    // Largest first; among equals the newer first when growing, the older first when shrinking.
    sets.sort_by_key(|set| {
        let age = set.created().map_or(i64::MAX, |time| time.as_second());
        (-set.replicas, if to_add > 0 { age.saturating_neg() } else { age })
    });
    let mut left = to_add;
    for set in sets.iter_mut().filter(|set| set.replicas > 0) {
        let share = share(set, limits, left);
        left -= share;
        set.scale((set.replicas + share).max(0), limits);
    }
    if let Some(first) = sets.first_mut()
        && left != 0
    {
        let replicas = (first.replicas + left).max(0);
        first.scale(replicas, limits);
    }
}

/// What a set gets (or gives, if negative) of what is left to spread.
fn share(set: &Set, limits: &Limits, left: i32) -> i32 {
    if left == 0 {
        return 0;
    }
    let before = set.annotations.get(MAX_REPLICAS).and_then(|max| max.parse::<i32>().ok()).filter(|max| *max > 0);
    let before = f64::from(before.unwrap_or(limits.replicas).max(1));
    let after = f64::from(limits.replicas + limits.max_surge);
    let wanted = (f64::from(set.replicas) * after / before).round() as i32 - set.replicas;
    if left > 0 { wanted.clamp(0, left) } else { wanted.clamp(left, 0) }
}
