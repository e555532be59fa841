//! What many instances say alike is kept once.

use std::collections::{BTreeMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use crate::model::{Check, InstancePort, Locality};

/// Values that are looked through for some that nobody has any more, at the least.
const LEAST_TO_SWEEP: usize = 1024;

/// Values of one type, each once.
#[derive(Debug)]
pub(crate) struct Shared<T: ?Sized> {
    known: HashSet<Arc<T>>,
    /// How many there may be before those that nobody has are dropped.
    sweep_at: usize,
}

impl<T: ?Sized> Default for Shared<T> {
    fn default() -> Self {
        Self { known: HashSet::new(), sweep_at: LEAST_TO_SWEEP }
    }
}

impl<T: Hash + Eq + ?Sized> Shared<T> {
    /// The value of this content.
    pub(crate) fn share<V: AsRef<T> + Into<Arc<T>>>(&mut self, value: V) -> Arc<T> {
        if let Some(known) = self.known.get(value.as_ref()) {
            return known.clone();
        }
        if self.known.len() >= self.sweep_at {
            self.known.retain(|value| Arc::strong_count(value) > 1);
            self.sweep_at = (2 * self.known.len()).max(LEAST_TO_SWEEP);
        }
        let value = value.into();
        self.known.insert(value.clone());
        value
    }
}

/// A value whose own type is what is shared.
pub(crate) struct Own<T>(pub(crate) T);

impl<T> AsRef<T> for Own<T> {
    fn as_ref(&self) -> &T {
        &self.0
    }
}

impl<T> From<Own<T>> for Arc<T> {
    fn from(own: Own<T>) -> Self {
        Arc::new(own.0)
    }
}

/// Everything that instances share.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    /// Names of namespaces, services and nodes, versions, reasons.
    pub(crate) texts: Shared<str>,
    pub(crate) maps: Shared<BTreeMap<String, String>>,
    pub(crate) tags: Shared<Vec<String>>,
    pub(crate) ports: Shared<Vec<InstancePort>>,
    pub(crate) localities: Shared<Locality>,
    no_checks: Option<Arc<[Check]>>,
}

impl Pool {
    /// The list of an instance of which nothing is checked.
    pub(crate) fn no_checks(&mut self) -> Arc<[Check]> {
        self.no_checks.get_or_insert_with(|| Arc::new([])).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_has_any_more_is_dropped() {
        let mut texts: Shared<str> = Shared::default();
        let kept = texts.share("kept");
        for number in 0..10 * LEAST_TO_SWEEP {
            texts.share(number.to_string());
        }
        assert!(texts.known.len() <= LEAST_TO_SWEEP, "{}", texts.known.len());
        assert!(Arc::ptr_eq(&kept, &texts.share("kept".to_owned())));
        let mut lists = Shared::default();
        let one = lists.share(Own(vec!["a".to_owned()]));
        assert!(Arc::ptr_eq(&one, &lists.share(Own(vec!["a".to_owned()]))));
    }
}
