//! What of the catalog a caller may see. Pure.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use portolan_catalog::Instance;

use crate::acl::{Access, Authorizer};
use crate::entry;
use crate::machine::Machine;

/// What of the catalog a caller may see.
#[derive(Clone)]
pub(crate) enum Sight {
    /// All of it.
    Everything,
    /// What a token of Consul may read.
    Token {
        /// The token's rights.
        authorizer: Arc<Authorizer>,
        /// Rises when rights change.
        generation: u64,
    },
    /// The instances of these namespaces.
    Namespaces(Arc<BTreeSet<String>>),
}

impl Sight {
    /// Whether it takes in an instance.
    pub(crate) fn takes_in(&self, instance: &Instance, machine: &Machine) -> bool {
        match self {
            Self::Everything => true,
            Self::Token { authorizer, .. } => {
                authorizer.allows(Access::ServiceRead, &entry::service_name(instance))
                    && authorizer.allows(Access::NodeRead, &machine.name)
            }
            Self::Namespaces(namespaces) => namespaces.contains(&*instance.namespace),
        }
    }

    /// Whether it takes in a machine.
    pub(crate) fn takes_in_machine(&self, machine: &Machine) -> bool {
        match self {
            Self::Everything | Self::Namespaces(_) => true,
            Self::Token { authorizer, .. } => authorizer.allows(Access::NodeRead, &machine.name),
        }
    }

    /// The same text for the same sight: answers are shared by those who see the same.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Everything => String::new(),
            Self::Token { authorizer, generation } => format!("#token {} {generation}", authorizer.accessor()),
            Self::Namespaces(namespaces) => {
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
