//! A registration with the catalog as it was asked for.

use std::sync::Arc;

use portolan_registrar::http::Request;

use crate::Error;
use crate::body::Fields;
use crate::machine::{Machine, Machines};
use crate::state::State;

/// A registration and the machines that it is about, read once: those who judge it and the one who carries it out see
/// the same.
pub(crate) struct Wanted {
    pub(crate) fields: Fields,
    /// Name of its machine, as it is written there if that is known.
    pub(crate) node: String,
    pub(crate) machines: Arc<Machines>,
    /// Whether the machine, which is known, is left as it is.
    pub(crate) skips: bool,
    /// The machine that has the id under another name: under that it goes, with all that is on it.
    pub(crate) former: Option<Arc<Machine>>,
}

impl Wanted {
    /// Reads the body of a request.
    pub(crate) fn read(state: &State, request: &Request) -> Result<Self, Error> {
        let fields = Fields::parse(&request.body)?;
        let machines = state.machines(&state.snapshot());
        let node = fields.text("Node")?;
        let known = machines.get(&node);
        let skips = fields.bool("SkipNodeUpdate")? && known.is_some();
        let node = known.map_or(node, |machine| machine.name.to_string());
        let former = if skips { None } else { former(&machines, &node, &fields.text("ID")?) };
        Ok(Self { fields, node, machines, skips, former })
    }

    /// What is known of its machine.
    pub(crate) fn known(&self) -> Option<&Arc<Machine>> {
        self.machines.get(&self.node)
    }
}

fn former(machines: &Machines, node: &str, id: &str) -> Option<Arc<Machine>> {
    if id.is_empty() {
        return None;
    }
    let has_it = |machine: &&Arc<Machine>| &*machine.name != node && machine.id.eq_ignore_ascii_case(id);
    machines.all().find(has_it).cloned()
}
