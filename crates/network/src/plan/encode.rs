//! From a batch to a transaction.

use super::element::{Element, Map};
use super::planner::{Batch, Scope};
use super::table::{self, Step};
use crate::Config;
use crate::nftables::{Request, Transaction};

/// Where a request comes from.
#[derive(Debug)]
pub(crate) enum Origin<'a> {
    Table(String),
    Elements { verb: &'static str, map: Map, elements: &'a [Element] },
}

impl Origin<'_> {
    /// In words, for a person who looks for the cause of a failure.
    pub(crate) fn describe(&self, element: Option<usize>) -> String {
        match self {
            Self::Table(what) => what.clone(),
            Self::Elements { verb, map, elements } => {
                let map = map.name();
                match element.and_then(|index| elements.get(index)) {
                    Some(element) => format!("{verb} element {map} {{ {element} }}"),
                    None => format!("{verb} {} elements of {map}", elements.len()),
                }
            }
        }
    }
}

impl Batch {
    /// The same for the kernel.
    pub(crate) fn transaction(&self, config: &Config) -> Transaction<Origin<'_>> {
        let table = config.table.as_str();
        let mut transaction = Transaction::new();
        let mut push = |steps: &mut dyn Iterator<Item = Step>| {
            for Step { what, request } in steps {
                transaction.push(&request, Origin::Table(what));
            }
        };
        match self.scope {
            Scope::Changes => {}
            Scope::Whole => {
                push(&mut table::removal(table).into_iter());
                push(&mut table::creation(config).into_iter());
            }
            Scope::Removal => push(&mut table::removal(table).into_iter()),
        }
        push(&mut self.pickers.iter().flat_map(|picker| table::picker(table, picker)));
        for (map, elements) in &self.deleted {
            for elements in elements.chunks(Request::MOST_ELEMENTS) {
                let request = Request::delete_elements(table, map.name(), elements.iter().map(Element::encode));
                transaction.push(&request, Origin::Elements { verb: "delete", map: *map, elements });
            }
        }
        for (map, elements) in &self.added {
            for elements in elements.chunks(Request::MOST_ELEMENTS) {
                let request = Request::add_elements(table, map.name(), elements.iter().map(Element::encode));
                transaction.push(&request, Origin::Elements { verb: "add", map: *map, elements });
            }
        }
        transaction
    }
}
