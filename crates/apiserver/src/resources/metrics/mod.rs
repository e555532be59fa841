//! Strategies of `metrics.k8s.io`: only columns, as nothing of it is written.

use portolan_api::quantity::{Format, Quantity};
use portolan_base::Timestamp;
use serde_json::Value;

use super::json::{items, text};
use super::print;
use crate::strategy::{Column, NAME, Strategy};

/// The strategy of what nodes and pods use.
pub(super) struct Metrics;

const COLUMNS: &[Column] = &[NAME, Column::string("CPU"), Column::string("Memory"), Column::string("Window")];

impl Strategy for Metrics {
    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, _now: Timestamp) -> Vec<Value> {
        let own = std::iter::once(&object["usage"]);
        let usages: Vec<&Value> = own.chain(items(&object["containers"]).iter().map(|it| &it["usage"])).collect();
        let sum = |name: &str, zero: Quantity| -> Quantity {
            let amounts = usages.iter().filter_map(|usage| Quantity::parse(text(&usage[name])).ok());
            amounts.fold(zero, |sum, amount| sum + amount)
        };
        let memory = sum("memory", Quantity::from_value(0, Format::BinarySi));
        vec![
            print::name(object),
            sum("cpu", Quantity::ZERO).to_string().into(),
            memory.to_string().into(),
            text(&object["window"]).into(),
        ]
    }
}
