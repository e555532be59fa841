//! Selectors and quantities, which stand in queries and objects.

use portolan_api::quantity::Quantity;
use portolan_api::selector::{FieldSelector, LabelSelector};

pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(selector) = LabelSelector::parse(text) {
        selector.matches(|key| (key.len() % 2 == 0).then(|| key.to_owned()));
    }
    if let Ok(selector) = FieldSelector::parse(text) {
        selector.matches(|field| Some(field.to_owned()));
    }
    if let Ok(quantity) = Quantity::parse(text) {
        let written = quantity.to_string();
        assert_eq!(Quantity::parse(&written).map(|it| it.to_string()), Ok(written));
    }
}
