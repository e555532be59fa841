//! Selectors and quantities, which stand in queries and objects.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portolan_api::quantity::Quantity;
use portolan_api::selector::{FieldSelector, LabelSelector};

fuzz_target!(|text: &str| {
    if let Ok(selector) = LabelSelector::parse(text) {
        selector.matches(|key| (key.len() % 2 == 0).then_some(key));
    }
    if let Ok(selector) = FieldSelector::parse(text) {
        selector.matches(|field| Some(field));
    }
    if let Ok(quantity) = Quantity::parse(text) {
        let written = quantity.to_string();
        assert_eq!(Quantity::parse(&written).map(|it| it.to_string()), Ok(written));
    }
});
