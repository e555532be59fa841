//! Expressions that select devices.
//!
//! Source: `k8s.io/dynamic-resource-allocation/cel`.

use std::sync::{Arc, LazyLock};

use portolan_cel::{Environment, Kind, Schema, Type};
use serde_json::Value;

use super::device::{MOST_NAMES, VALUE_LENGTH};
use super::names::IDENTIFIER_LENGTH;
use crate::resources::at::{At, Errors};
use crate::resources::core::pod_template::DRIVER_LENGTH;
use crate::resources::json::text;

/// Most selectors of each list.
const MOST: usize = 32;
/// Longest expression, in bytes.
const LENGTH: usize = 10 * 1024;
/// Most that an expression may be estimated to cost.
const COST: u64 = 1_000_000;

/// What expressions may refer to.
static ENVIRONMENT: LazyLock<Environment> = LazyLock::new(|| {
    // Outside are domains, inside the names below them.
    let by_name = |of: Schema| {
        let map =
            |values, key| Schema::new(Kind::Map(Arc::new(values))).at_most(MOST_NAMES as u64).with_keys(key as u64);
        Arc::new(map(map(of, IDENTIFIER_LENGTH), DRIVER_LENGTH))
    };
    let device = Schema::object(
        "kubernetes.DRADevice",
        [
            ("driver", Arc::new(Schema::new(Kind::String).at_most(DRIVER_LENGTH as u64))),
            ("allowMultipleAllocations", Arc::new(Schema::new(Kind::Bool).at_most(1))),
            ("attributes", by_name(Schema::new(Kind::Any).at_most(VALUE_LENGTH as u64))),
            ("capacity", by_name(Schema::new(Kind::Quantity))),
        ],
    );
    Environment::new().with("device", device).with_bindings()
});

impl Errors {
    /// A list of selectors.
    pub(super) fn device_selectors(&mut self, at: &At<'_>, selectors: &Value) {
        self.each(at, selectors, MOST, |selector, at, errors| {
            let at = at.child("cel");
            if selector["cel"].is_null() {
                errors.required(&at, "");
            } else {
                errors.device_selector(&at.child("expression"), text(&selector["cel"]["expression"]));
            }
        });
    }

    fn device_selector(&mut self, at: &At<'_>, expression: &str) {
        if expression.len() > LENGTH {
            return self.too_long(at, LENGTH);
        }
        match ENVIRONMENT.compile(expression) {
            Err(why) => self.invalid(at, expression, format!("compilation failed: {why}")),
            Ok(program) if !matches!(program.ty(), Type::Bool | Type::Any) => {
                let found = program.ty().full_name();
                let detail = format!("must evaluate to bool or the unknown type, not {found}");
                self.invalid(at, expression, detail);
            }
            Ok(program) if program.estimate(&ENVIRONMENT).max > COST => {
                self.forbidden(at, "too complex, exceeds cost limit");
            }
            Ok(_) => {}
        }
    }
}
