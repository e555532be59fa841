//! How far a rollout may stray from the wanted number of pods.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use portolan_api::typed::kinds::apps::v1::DeploymentSpec;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) replicas: i32,
    pub(super) max_surge: i32,
    pub(super) max_unavailable: i32,
    pub(super) recreate: bool,
}

impl Limits {
    pub(super) fn of(spec: &DeploymentSpec) -> Self {
        let replicas = spec.replicas.unwrap_or(1).max(0);
        let strategy = spec.strategy.as_ref();
        if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate") {
            return Self { replicas, max_surge: 0, max_unavailable: replicas, recreate: true };
        }
        let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
        let quarter = IntOrString::String("25%".to_owned());
        let surge = rolling.and_then(|rolling| rolling.max_surge.as_ref()).unwrap_or(&quarter);
        let unavailable = rolling.and_then(|rolling| rolling.max_unavailable.as_ref()).unwrap_or(&quarter);
        let max_surge = scaled(surge, replicas, Rounding::Up);
        let mut max_unavailable = scaled(unavailable, replicas, Rounding::Down);
        if max_surge == 0 && max_unavailable == 0 {
            // Both rounded to nothing: a rollout must be able to move.
            max_unavailable = 1;
        }
        Self { replicas, max_surge, max_unavailable: max_unavailable.min(replicas.max(0)), recreate: false }
    }

    /// Pods that must stay available during a rollout.
    pub(super) fn min_available(&self) -> i32 {
        self.replicas - self.max_unavailable
    }
}

enum Rounding {
    Up,
    Down,
}

/// The API server lets in only numbers and percentages; anything else counts as 0.
fn scaled(value: &IntOrString, total: i32, rounding: Rounding) -> i32 {
    match value {
        IntOrString::Int(number) => *number,
        IntOrString::String(text) => {
            let percent: i64 = text.strip_suffix('%').and_then(|digits| digits.parse().ok()).unwrap_or(0);
            let exact = percent * i64::from(total);
            let whole = match rounding {
                Rounding::Up => (exact + 99) / 100,
                Rounding::Down => exact / 100,
            };
            i32::try_from(whole).unwrap_or(i32::MAX)
        }
    }
}
