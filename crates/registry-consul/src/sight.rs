//! What of the catalog a caller may see. Pure.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use portolan_catalog::Instance;

use crate::acl::{Access, Authorizer};
use crate::entry;
use crate::machine::Machine;

/// What of the catalog a caller may see, and whether anything was kept from them.
#[derive(Clone)]
pub(crate) struct Sight {
    what: What,
    /// Shared by all copies of one request.
    hid: Arc<AtomicBool>,
}

#[derive(Clone)]
enum What {
    /// All of it.
    Everything,
    /// What a token of Consul may read.
    Token {
        authorizer: Arc<Authorizer>,
        /// Rises when rights change.
        generation: u64,
    },
    /// The instances of these namespaces.
    Namespaces(Arc<BTreeSet<String>>),
}

impl From<What> for Sight {
    fn from(what: What) -> Self {
        Self { what, hid: Arc::default() }
    }
}

impl Sight {
    /// All of the catalog.
    pub(crate) fn everything() -> Self {
        What::Everything.into()
    }

    /// What a token may read; the generation rises when rights change.
    pub(crate) fn of_token(authorizer: Arc<Authorizer>, generation: u64) -> Self {
        What::Token { authorizer, generation }.into()
    }

    /// The instances of these namespaces.
    pub(crate) fn of_namespaces(namespaces: BTreeSet<String>) -> Self {
        What::Namespaces(Arc::new(namespaces)).into()
    }

    /// Whether something was asked about that it does not take in; forgets that.
    pub(crate) fn take_hid(&self) -> bool {
        self.hid.swap(false, Ordering::Relaxed)
    }

    fn noted(&self, taken_in: bool) -> bool {
        if !taken_in {
            self.hid.store(true, Ordering::Relaxed);
        }
        taken_in
    }

    /// Whether it takes in an instance.
    pub(crate) fn takes_in(&self, instance: &Instance, machine: &Machine) -> bool {
        self.noted(match &self.what {
            What::Everything => true,
            What::Token { authorizer, .. } => {
                authorizer.allows(Access::ServiceRead, &entry::service_name(instance))
                    && authorizer.allows(Access::NodeRead, &machine.name)
            }
            What::Namespaces(namespaces) => namespaces.contains(&*instance.namespace),
        })
    }

    /// Whether it takes in a machine.
    pub(crate) fn takes_in_machine(&self, machine: &Machine) -> bool {
        self.noted(match &self.what {
            What::Everything | What::Namespaces(_) => true,
            What::Token { authorizer, .. } => authorizer.allows(Access::NodeRead, &machine.name),
        })
    }

    /// The same text for the same sight: answers are shared by those who see the same.
    pub(crate) fn text(&self) -> String {
        match &self.what {
            What::Everything => String::new(),
            What::Token { authorizer, generation } => format!("#token {} {generation}", authorizer.accessor()),
            What::Namespaces(namespaces) => {
                let mut text = "#namespaces".to_owned();
                for namespace in namespaces.iter() {
                    // Writing to a string cannot fail.
                    let _ = write!(text, " {namespace}");
                }
                text
            }
        }
    }
}
