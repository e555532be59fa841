//! Schemas of definitions, and objects that are held against them: what is found to be structural can be read,
//! prunes and defaults an object once for all, and makes a table to merge by.

use bytes::Bytes;
use portolan_api::custom::{self, Definition, Node, Options, Structure};
use portolan_api::field::Path;
use serde_json::{Value, json};

use crate::two;

pub(crate) fn run(input: &[u8]) {
    let Some((schema, object)) = two(input) else { return };
    let (Ok(schema), Ok(object)) = (serde_json::from_str::<Value>(schema), serde_json::from_str::<Value>(object))
    else {
        return;
    };
    let problems = Structure::of(&schema, &Path::new("schema")).errors;
    let root = Node::read(&schema);
    let mut pruned = object.clone();
    custom::prune(&mut pruned, &root);
    if !problems.is_empty() {
        return;
    }
    let once = pruned.clone();
    assert!(custom::prune(&mut pruned, &root).unknown.is_empty(), "nothing is left to prune");
    assert_eq!(pruned, once);
    custom::default(&mut pruned, &root);
    let once = pruned.clone();
    custom::default(&mut pruned, &root);
    assert_eq!(pruned, once, "defaults are the same the second time");
    let _ = custom::validate(&pruned, &root, Options::default());
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "xs.e.io"},
        "spec": {
            "group": "e.io", "scope": "Namespaced", "names": {"kind": "X", "plural": "xs", "listKind": "XList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
        "status": {
            "acceptedNames": {"kind": "X", "plural": "xs", "listKind": "XList"},
            "conditions": [{"type": "Established", "status": "True"}],
        },
    });
    let source = Bytes::from(definition.to_string());
    for resource in Definition::resources(&definition, &source, 1) {
        let schema = resource.schema().expect("it has a schema");
        let _ = portolan_api::schema::check_at(&pruned, schema);
        let _ = portolan_api::apply::merge(&pruned, &object, schema);
    }
}
