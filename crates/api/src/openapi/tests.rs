use std::collections::BTreeSet;

use expect_test::expect;

use super::*;

fn v3_document(name: &str) -> Value {
    serde_json::from_slice(&v3(v3_version(builtin(), name).expect("served"))).expect("is JSON")
}

/// Every reference in `document` that points nowhere.
fn dangling(document: &Value) -> BTreeSet<String> {
    fn collect(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(target)) = fields.get("$ref") {
                    found.insert(target.clone());
                }
                fields.values().for_each(|value| collect(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| collect(value, found)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    collect(document, &mut found);
    found.retain(|target| document.pointer(target.trim_start_matches('#')).is_none());
    found
}

#[test]
fn every_document_of_the_index_is_there_and_complete() {
    let index = v3_index(builtin());
    let paths = index["paths"].as_object().expect("an object");
    assert!(paths.contains_key("api/v1") && paths.contains_key("apis/registry.portolan.dev/v1"));
    for name in paths.keys() {
        let document = v3_document(name);
        assert_eq!(dangling(&document), BTreeSet::new(), "{name}");
    }
    assert!(v3_version(builtin(), "apis/none/v1").is_none());
    assert_eq!(dangling(&v2(builtin())), BTreeSet::new());
}

#[test]
fn each_document_has_a_hash_of_its_own() {
    let index = v3_index(builtin());
    let urls = index["paths"].as_object().expect("an object").values();
    let hashes: Vec<&str> =
        urls.filter_map(|entry| Some(entry["serverRelativeURL"].as_str()?.split_once("?hash=")?.1)).collect();
    let different: BTreeSet<&str> = hashes.iter().copied().collect();
    assert!(hashes.len() > 20 && different.len() == hashes.len(), "{hashes:?}");
    let apps = v3_version(builtin(), "apis/apps/v1").expect("served");
    assert_eq!(hash_of(apps), format!("{:016X}", fold(SEED, v3(apps))));
}

#[test]
fn operations_have_names_of_their_own() {
    let document = v2(builtin());
    let mut seen = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("an object") {
        for (method, operation) in item.as_object().expect("an object").iter().filter(|(it, _)| *it != "parameters") {
            let id = operation["operationId"].as_str().expect("text");
            assert!(seen.insert(id.to_owned()), "{method} {path}: {id}");
        }
    }
}

#[test]
fn patches_say_what_kubectl_looks_for() {
    let document = v3_document("apis/apps/v1");
    let patch = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    let names: Vec<&str> =
        patch["parameters"].as_array().expect("a list").iter().filter_map(|it| it["name"].as_str()).collect();
    assert_eq!(names, ["dryRun", "fieldManager", "fieldValidation", "force"]);
    let types: Vec<&String> = patch["requestBody"]["content"].as_object().expect("an object").keys().collect();
    expect![[r#"["application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json"]"#]]
    .assert_eq(&format!("{types:?}"));
    expect![[r#"{"group":"apps","kind":"Deployment","version":"v1"}"#]]
        .assert_eq(&patch["x-kubernetes-group-version-kind"].to_string());
}

#[test]
fn schemas_carry_the_merge_rules() {
    let document = v3_document("api/v1");
    let schemas = &document["components"]["schemas"];
    expect![[r##"{"description":"Its ports.","items":{"$ref":"#/components/schemas/io.k8s.api.core.v1.ServicePort"},"type":"array","x-kubernetes-list-map-keys":["port","protocol"],"x-kubernetes-list-type":"map","x-kubernetes-patch-merge-key":"port","x-kubernetes-patch-strategy":"merge"}"##]]
    .assert_eq(&schemas["io.k8s.api.core.v1.ServiceSpec"]["properties"]["ports"].to_string());
    expect![[r##"{"description":"Pod is a group of containers that run together on one node and share its network and volumes.","properties":{"apiVersion":{"description":"Group and version in which the object is written, such as apps/v1.","type":"string"},"kind":{"description":"What the object is, such as Pod.","type":"string"},"metadata":{"allOf":[{"$ref":"#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}],"description":"Name, labels and whatever else every object has."},"spec":{"allOf":[{"$ref":"#/components/schemas/io.k8s.api.core.v1.PodSpec"}],"description":"What shall run, and how."},"status":{"allOf":[{"$ref":"#/components/schemas/io.k8s.api.core.v1.PodStatus"}],"description":"How it runs. Written by the node's agent; may lag behind."}},"type":"object","x-kubernetes-group-version-kind":[{"group":"","kind":"Pod","version":"v1"}]}"##]]
    .assert_eq(&schemas["io.k8s.api.core.v1.Pod"].to_string());
}

#[test]
fn the_protobuf_form_holds_every_path_and_definition() {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let (first, rest) = bytes.split_first().expect("complete");
            *bytes = rest;
            value |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                break;
            }
        }
        value
    }
    /// Number and content of each field; the document has only such with a length.
    fn fields(mut bytes: &[u8]) -> Vec<(u64, &[u8])> {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let tag = varint(&mut bytes);
            assert_eq!(tag & 7, 2);
            let length = usize::try_from(varint(&mut bytes)).expect("fits");
            let (content, rest) = bytes.split_at(length);
            bytes = rest;
            fields.push((tag >> 3, content));
        }
        fields
    }
    let names = |entries: &[u8]| -> Vec<String> {
        let entries = fields(entries);
        let name = |entry: &[u8]| String::from_utf8(fields(entry)[0].1.to_vec()).expect("text");
        entries.into_iter().map(|(_, entry)| name(entry)).collect()
    };
    let json = v2(builtin());
    let bytes = v2_protobuf(&json);
    let keys = |field: &str| json[field].as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    let document = fields(&bytes);
    assert_eq!(document[0], (1, "2.0".as_bytes()));
    assert_eq!((document[2].0, names(document[2].1)), (8, keys("paths")));
    assert_eq!((document[3].0, names(document[3].1)), (9, keys("definitions")));
}

#[test]
fn the_fields_of_every_object_say_what_they_are() {
    let about = |document: &Value, at: &str| {
        document.pointer(at).and_then(|metadata| {
            metadata["properties"].as_object().map(|fields| {
                let silent = fields.iter().filter(|(_, field)| field["description"].as_str().is_none_or(str::is_empty));
                silent.map(|(name, _)| name.clone()).collect::<Vec<_>>()
            })
        })
    };
    let document = v3_document("apis/apps/v1");
    let at = "/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
    assert_eq!(about(&document, at), Some(vec![]));
}

#[test]
fn objects_that_may_hold_anything_are_told_without_properties_in_version_2() {
    use crate::custom::{Converter, Definition, accept, settle};
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let closed = json!({"type": "object", "properties": {"spec": {"type": "integer"}}});
    for (schema, in_v2, in_v3) in [
        (
            open,
            expect!["type x-kubernetes-group-version-kind;"],
            expect![
                "properties type x-kubernetes-group-version-kind x-kubernetes-preserve-unknown-fields; apiVersion kind metadata"
            ],
        ),
        (
            closed,
            expect!["properties type x-kubernetes-group-version-kind; apiVersion kind metadata spec"],
            expect!["properties type x-kubernetes-group-version-kind; apiVersion kind metadata spec"],
        ),
    ] {
        let mut definition = json!({
            "metadata": {"name": "tabs.a.example", "uid": "u"},
            "spec": {
                "group": "a.example", "scope": "Namespaced",
                "names": {"plural": "tabs", "singular": "tab", "kind": "Tab", "listKind": "TabList"},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
            },
        });
        let accepted = accept(&definition["spec"]["names"], std::iter::empty());
        settle(&mut definition, accepted, Converter::Trusted, "2026-01-01T00:00:00Z");
        let source = bytes::Bytes::from(definition.to_string());
        let description = builtin().with_custom("a.example", Definition::resources(&definition, &source, 1));
        let told = |schema: &Value| {
            let names = |value: &Value| {
                value.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect::<Vec<_>>()
            };
            format!("{}; {}", names(schema).join(" "), names(&schema["properties"]).join(" ")).trim_end().to_owned()
        };
        in_v2.assert_eq(&told(&v2(&description)["definitions"]["example.a.v1.Tab"]));
        let version = v3_version(&description, "apis/a.example/v1").expect("served");
        let document: Value = serde_json::from_slice(&v3(version)).expect("is JSON");
        in_v3.assert_eq(&told(&document["components"]["schemas"]["example.a.v1.Tab"]));
    }
}
