//! One file per kind that needs more than the API description says: `resources/<group>/<kind>.rs`.

pub mod print;

use crate::strategy::Strategy;

/// A kind that needs nothing of its own.
struct Plain;

impl Strategy for Plain {}

/// The strategy of a resource, for example `("apps", "deployments")`; the core group is `""`.
pub fn strategy(_group: &str, _resource: &str) -> &'static dyn Strategy {
    &Plain
}
