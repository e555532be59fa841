//! Quantities by name.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use crate::quantity::Quantity;

/// Quantities by the name of what they are of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Amounts(BTreeMap<String, Quantity>);

impl Amounts {
    /// Reads a list such as `status.hard`; what is malformed is left out.
    pub fn read(list: &Value) -> Self {
        let entries = list.as_object().into_iter().flatten();
        Self(
            entries
                .filter_map(|(name, value)| {
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    Some((name.clone(), Quantity::parse(&text).ok()?))
                })
                .collect(),
        )
    }

    /// As a list in an object.
    pub fn to_value(&self) -> Value {
        let fields: Map<String, Value> =
            self.0.iter().map(|(name, quantity)| (name.clone(), quantity.to_string().into())).collect();
        Value::Object(fields)
    }

    /// The amount of something, if it is known.
    pub fn get(&self, name: &str) -> Option<Quantity> {
        self.0.get(name).copied()
    }

    /// Replaces an amount.
    pub fn set(&mut self, name: &str, quantity: Quantity) {
        self.0.insert(name.to_owned(), quantity);
    }

    /// Adds to an amount.
    pub fn add(&mut self, name: &str, quantity: Quantity) {
        let sum = self.get(name).map_or(quantity, |known| known + quantity);
        self.set(name, sum);
    }

    /// Adds all amounts of another list.
    pub fn add_all(&mut self, other: &Self) {
        for (name, quantity) in other.iter() {
            self.add(name, quantity);
        }
    }

    /// Takes the larger amount of each name.
    pub fn raise_to(&mut self, other: &Self) {
        for (name, quantity) in other.iter() {
            let larger = self.get(name).map_or(quantity, |known| known.max(quantity));
            self.set(name, larger);
        }
    }

    /// What is left after taking another list away, without what is zero.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut left = self.clone();
        for (name, quantity) in other.iter() {
            let known = left.get(name).unwrap_or(Quantity::ZERO);
            left.set(name, known - quantity);
        }
        left.0.retain(|_, quantity| !quantity.is_zero());
        left
    }

    /// The amounts whose names are wanted.
    #[must_use]
    pub fn only(&self, wanted: impl Fn(&str) -> bool) -> Self {
        Self(self.0.iter().filter(|(name, _)| wanted(name)).map(|(name, it)| (name.clone(), *it)).collect())
    }

    /// All names with their amounts, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Quantity)> {
        self.0.iter().map(|(name, quantity)| (name.as_str(), *quantity))
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Amounts {
    /// `cpu=1,pods=2`, as texts about quotas have it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, quantity)) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(formatter, "{comma}{name}={quantity}")?;
        }
        Ok(())
    }
}
