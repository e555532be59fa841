//! Conditions of the kind that newer objects share.
//!
//! Source: `ValidateConditions` of `k8s.io/apimachinery/pkg/apis/meta/v1/validation`.

use std::collections::HashSet;

use portolan_api::validation;
use serde_json::Value;

use super::at::{At, Errors};
use super::json::{is_set, items, text};

const STATUSES: [&str; 3] = ["False", "True", "Unknown"];
const REASON_LENGTH: usize = 1024;
const MESSAGE_LENGTH: usize = 32 * 1024;
const REASON: &str = "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')";

impl Errors {
    /// A list of conditions, one of each type.
    pub(crate) fn conditions(&mut self, at: &At<'_>, conditions: &Value) {
        let mut kinds = HashSet::new();
        for (index, condition) in items(conditions).iter().enumerate() {
            let at = at.index(index);
            let kind = text(&condition["type"]);
            if !kinds.insert(kind) {
                self.duplicate(&at.child("type"), kind);
            }
            self.obeys(&at.child("type"), kind, validation::is_qualified_name);
            let status = text(&condition["status"]);
            if !STATUSES.contains(&status) {
                self.not_supported(&at.child("status"), status, &STATUSES);
            }
            if let Some(generation) = condition["observedGeneration"].as_i64().filter(|number| *number < 0) {
                self.invalid(&at.child("observedGeneration"), generation, "must be greater than or equal to zero");
            }
            if !is_set(&condition["lastTransitionTime"]) {
                self.required(&at.child("lastTransitionTime"), "");
            }
            let reason = text(&condition["reason"]);
            if reason.is_empty() {
                self.required(&at.child("reason"), "");
            } else if !is_reason(reason) {
                self.invalid(&at.child("reason"), reason, REASON);
            }
            if reason.len() > REASON_LENGTH {
                self.too_long(&at.child("reason"), REASON_LENGTH);
            }
            if text(&condition["message"]).len() > MESSAGE_LENGTH {
                self.too_long(&at.child("message"), MESSAGE_LENGTH);
            }
        }
    }
}

fn is_reason(reason: &str) -> bool {
    let is_last = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    reason.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && reason.bytes().all(|byte| is_last(byte) || matches!(byte, b',' | b':'))
        && reason.bytes().next_back().is_some_and(is_last)
}
