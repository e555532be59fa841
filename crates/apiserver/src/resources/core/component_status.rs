//! How the parts of the control plane do: only columns, as nothing of it is written.

use portolan_base::Timestamp;
use serde_json::Value;

use crate::resources::json::{items, text};
use crate::resources::print;
use crate::strategy::{Column, NAME, Strategy};

/// The strategy of component statuses.
pub(crate) struct ComponentStatus;

const COLUMNS: &[Column] = &[
    NAME,
    Column::string("Status").about("Status of the component conditions"),
    Column::string("Message").about("Message of the component conditions"),
    Column::string("Error").about("Error of the component conditions"),
];

impl Strategy for ComponentStatus {
    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, _now: Timestamp) -> Vec<Value> {
        let condition = items(&object["conditions"]).iter().find(|condition| condition["type"] == "Healthy");
        let status = match condition.map(|condition| text(&condition["status"])) {
            None => "Unknown",
            Some("True") => "Healthy",
            Some(_) => "Unhealthy",
        };
        let word = |field: &str| condition.map(|condition| text(&condition[field])).unwrap_or_default();
        vec![print::name(object), status.into(), word("message").into(), word("error").into()]
    }
}
