//! Machines of the source, as machines outside of this cluster. What to write is decided purely.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use portolan_api::typed::{ExternalNode, ExternalNodeSpec, Object};
use portolan_registrar::object_name;

use crate::plan::{FROM_LABEL, IMPORT_LABEL, Owner, URL_ANNOTATION};
use crate::source::Machine;

/// One write.
#[derive(Debug, PartialEq)]
pub(crate) enum Action {
    Create(Box<ExternalNode>),
    /// With the version that was seen.
    Update(Box<ExternalNode>),
    Delete {
        name: String,
        uid: String,
    },
}

/// What must be written so that the import's machines are what was found: removals first.
///
/// Machines that somebody registered here, or that are nodes of this cluster, are not touched.
pub(crate) fn plan(
    owner: &Owner,
    present: &[ExternalNode],
    nodes: &BTreeSet<String>,
    found: &[Machine],
) -> Vec<Action> {
    let by_name: BTreeMap<&str, &ExternalNode> = present.iter().map(|object| (object.name(), object)).collect();
    let (mut writes, mut wanted) = (Vec::new(), BTreeSet::new());
    for machine in found.iter().filter(|machine| !machine.name.is_empty() && !nodes.contains(&machine.name)) {
        let object = object(owner, machine);
        if !wanted.insert(object.name().to_owned()) {
            continue;
        }
        match by_name.get(object.name()) {
            None => writes.push(Action::Create(Box::new(object))),
            Some(before) if !owns(owner, before) || before.spec == object.spec => {}
            Some(before) => {
                writes.push(Action::Update(Box::new(ExternalNode { spec: object.spec, ..(*before).clone() })));
            }
        }
    }
    let gone = present.iter().filter(|object| owns(owner, object) && !wanted.contains(object.name()));
    let delete = |object: &ExternalNode| Action::Delete { name: object.name().into(), uid: object.uid().into() };
    gone.map(delete).chain(writes).collect()
}

fn owns(owner: &Owner, object: &ExternalNode) -> bool {
    let labels = object.metadata.labels.as_ref();
    let label = |name: &str| labels.and_then(|labels| labels.get(name)).map(String::as_str);
    object.spec.origin == "import"
        && (label(FROM_LABEL), label(IMPORT_LABEL)) == (Some(owner.from), Some(&owner.import))
}

fn object(owner: &Owner, machine: &Machine) -> ExternalNode {
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    ExternalNode {
        metadata: ObjectMeta {
            // As Consul's dialect names them, so that one machine is one object.
            name: Some(object_name("", &machine.name.to_lowercase())),
            labels: Some([(FROM_LABEL, owner.from), (IMPORT_LABEL, owner.import.as_str())].map(owned).into()),
            annotations: Some([(URL_ANNOTATION, owner.url.as_str())].map(owned).into()),
            ..ObjectMeta::default()
        },
        spec: ExternalNodeSpec {
            node: machine.name.clone(),
            node_id: machine.id.clone(),
            address: machine.address.clone(),
            tagged_addresses: machine.tagged_addresses.clone(),
            metadata: machine.metadata.clone(),
            origin: "import".into(),
            ..ExternalNodeSpec::default()
        },
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(name: &str, address: &str) -> Machine {
        Machine { name: name.into(), address: address.into(), ..Machine::default() }
    }

    #[test]
    fn machines_follow_the_source_and_those_of_others_are_left_alone() {
        let owner =
            Owner { namespace: "default".into(), from: "consul", import: "old".into(), url: "http://old".into() };
        let found =
            [machine("a", "192.0.2.1"), machine("b", "192.0.2.2"), machine("c", "192.0.2.3"), machine("own", "")];
        let nodes = BTreeSet::from(["own".to_owned()]);
        let made: Vec<ExternalNode> = plan(&owner, &[], &nodes, &found)
            .into_iter()
            .map(|action| match action {
                Action::Create(object) => *object,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(made.len(), 3, "a node of the cluster is not one of them");
        assert_eq!(plan(&owner, &made, &nodes, &found), []);
        let mut present = made;
        present[2].metadata.labels = None;
        let after = [machine("b", "192.0.2.9"), machine("c", "192.0.2.8")];
        let words: Vec<String> = plan(&owner, &present, &nodes, &after)
            .iter()
            .map(|action| match action {
                Action::Create(object) => format!("create {}", object.spec.node),
                Action::Update(object) => format!("update {} {}", object.spec.node, object.spec.address),
                Action::Delete { name, .. } => format!("delete {name}"),
            })
            .collect();
        assert_eq!(words, ["delete a", "update b 192.0.2.9"]);
    }
}
