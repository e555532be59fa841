//! The sessions of dialects, and which registrations live by them. Pure.

use std::collections::{HashMap, HashSet};

use portolan_client::Key;

/// Which sessions live, and whose registrations end with them.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    living: HashSet<String>,
    bound: HashMap<String, HashSet<Key>>,
    of: HashMap<Key, String>,
}

impl Sessions {
    /// Binds a registration to a session, and to no other. Returns whether that lives.
    pub(crate) fn bind(&mut self, key: &Key, session: &str) -> bool {
        if self.of.get(key).is_none_or(|known| known != session) {
            self.release(key);
            self.of.insert(key.clone(), session.to_owned());
            self.bound.entry(session.to_owned()).or_default().insert(key.clone());
        }
        self.living.contains(session)
    }

    /// A registration lives by no session.
    pub(crate) fn release(&mut self, key: &Key) {
        let Some(session) = self.of.remove(key) else { return };
        if let Some(keys) = self.bound.get_mut(&session) {
            keys.remove(key);
            if keys.is_empty() {
                self.bound.remove(&session);
            }
        }
    }

    /// Whether a session lives.
    pub(crate) fn lives(&self, session: &str) -> bool {
        self.living.contains(session)
    }

    /// A session lives. Returns the registrations that waited for it.
    pub(crate) fn began(&mut self, session: &str) -> Vec<Key> {
        if !self.living.insert(session.to_owned()) {
            return Vec::new();
        }
        self.bound_to(session)
    }

    /// A session ended. Returns the registrations that lived by it.
    pub(crate) fn ended(&mut self, session: &str) -> Vec<Key> {
        self.living.remove(session);
        self.bound_to(session)
    }

    /// The sessions that live and are none of these.
    pub(crate) fn others(&self, sessions: &HashSet<String>) -> Vec<String> {
        self.living.difference(sessions).cloned().collect()
    }

    fn bound_to(&self, session: &str) -> Vec<Key> {
        self.bound.get(session).into_iter().flatten().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_lives_by_the_session_that_it_named_last() {
        let (mut sessions, key) = (Sessions::default(), Key::new("default", "a"));
        assert!(!sessions.bind(&key, "one"));
        assert_eq!(sessions.began("one"), std::slice::from_ref(&key));
        assert_eq!(sessions.began("one"), [], "known already");
        assert!(sessions.bind(&key, "one"));
        assert!(!sessions.bind(&key, "two"));
        assert_eq!(sessions.ended("one"), []);
        assert_eq!(sessions.ended("two"), std::slice::from_ref(&key));
        sessions.release(&key);
        assert_eq!(sessions.ended("two"), []);
        assert!(sessions.bound.is_empty() && sessions.of.is_empty());
    }
}
