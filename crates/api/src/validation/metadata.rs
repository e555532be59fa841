//! The metadata of an object, as far as it is the same for every kind.
//!
//! Source: `k8s.io/apimachinery/pkg/api/validation/objectmeta.go` and `pkg/apis/meta/v1/validation`.

use portolan_base::go;
use serde_json::Value;

use super::{annotations, is_qualified_name, labels};
use crate::field::{Error, Path, Shown};

/// Longest name of a field manager, in bytes.
const MANAGER_LENGTH: usize = 128;

/// Longest name of a subresource in `managedFields`.
const SUBRESOURCE_LENGTH: usize = 256;

/// What is wrong with an object's metadata, apart from its name and namespace.
pub fn metadata(metadata: &Value, path: &Path) -> Vec<Error> {
    let mut errors = Vec::new();
    let generation = metadata["generation"].as_i64().unwrap_or_default();
    if generation < 0 {
        let detail = "must be greater than or equal to 0";
        errors.push(Error::invalid(&path.child("generation"), generation, detail));
    }
    errors.extend(labels(&metadata["labels"], &path.child("labels")));
    errors.extend(annotations(&metadata["annotations"], &path.child("annotations")));
    errors.extend(owners(&metadata["ownerReferences"], &path.child("ownerReferences")));
    errors.extend(finalizers(&metadata["finalizers"], &path.child("finalizers")));
    errors.extend(managers(&metadata["managedFields"], &path.child("managedFields")));
    errors
}

fn owners(owners: &Value, path: &Path) -> Vec<Error> {
    let mut errors = Vec::new();
    let mut controller: Option<String> = None;
    for owner in owners.as_array().into_iter().flatten() {
        let text = |name: &str| owner[name].as_str().unwrap_or_default();
        if !has_version(text("apiVersion")) {
            errors.push(Error::invalid(&path.child("apiVersion"), text("apiVersion"), "version must not be empty"));
        }
        for name in ["kind", "name", "uid"] {
            if text(name).is_empty() {
                errors.push(Error::invalid(&path.child(name), "", "must not be empty"));
            }
        }
        if (text("apiVersion"), text("kind")) == ("v1", "Event") {
            let detail = "/v1, Kind=Event is disallowed from being an owner";
            errors.push(Error::invalid(path, Shown::Text(owner_text(owner)), detail));
        }
        if owner["controller"] == true {
            let name = format!("{}/{}", text("kind"), text("name"));
            match &controller {
                None => controller = Some(name),
                Some(first) => {
                    let detail = format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} \
                         and {name}"
                    );
                    let all: Vec<String> = owners.as_array().into_iter().flatten().map(owner_text).collect();
                    errors.push(Error::invalid(path, Shown::Text(format!("[{}]", all.join(","))), detail));
                }
            }
        }
    }
    errors
}

/// A reference to an owner in the order in which upstream tells its fields.
fn owner_text(owner: &Value) -> String {
    let names = ["apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"];
    let told = names.iter().filter_map(|name| Some(format!("\"{name}\":{}", owner.get(*name)?)));
    format!("{{{}}}", told.collect::<Vec<_>>().join(","))
}

/// Whether there is a version in `version` or `group/version`.
fn has_version(text: &str) -> bool {
    match text.split('/').collect::<Vec<_>>()[..] {
        [version] | [_, version] => !version.is_empty(),
        _ => false,
    }
}

fn finalizers(finalizers: &Value, path: &Path) -> Vec<Error> {
    let mut errors = Vec::new();
    let names: Vec<&str> = finalizers.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for name in &names {
        let problems = is_qualified_name(name);
        errors.extend(problems.into_iter().map(|problem| Error::invalid(path, *name, problem)));
    }
    if ["orphan", "foregroundDeletion"].iter().all(|name| names.contains(name)) {
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.push(Error::invalid(path, finalizers.clone(), detail));
    }
    errors
}

fn managers(managers: &Value, path: &Path) -> Vec<Error> {
    let mut errors = Vec::new();
    for (index, manager) in managers.as_array().into_iter().flatten().enumerate() {
        let path = path.index(index);
        let text = |name: &str| manager[name].as_str().unwrap_or_default();
        if !matches!(text("operation"), "Apply" | "Update") {
            errors.push(Error::invalid(&path.child("operation"), text("operation"), "must be `Apply` or `Update`"));
        }
        if !matches!(text("fieldsType"), "" | "FieldsV1") {
            errors.push(Error::invalid(&path.child("fieldsType"), text("fieldsType"), "must be `FieldsV1`"));
        }
        errors.extend(field_manager(text("manager"), &path.child("manager")));
        if text("subresource").len() > SUBRESOURCE_LENGTH {
            errors.push(Error::too_long(&path.child("subresource"), SUBRESOURCE_LENGTH));
        }
    }
    errors
}

/// What is wrong with the name of a field manager.
pub fn field_manager(name: &str, path: &Path) -> Vec<Error> {
    let mut errors = Vec::new();
    if name.len() > MANAGER_LENGTH {
        errors.push(Error::too_long(path, MANAGER_LENGTH));
    }
    for (position, letter) in name.char_indices().filter(|(_, letter)| !go::is_printed(*letter)) {
        let number = u32::from(letter);
        let detail = format!("invalid character U+{number:04X} (at position {position})");
        errors.push(Error::invalid(path, name, detail));
    }
    errors
}

/// The manager that a user agent stands for: its first part, as far as that can be printed and is not too long.
pub fn manager_of_agent(agent: &str) -> String {
    let name = agent.split('/').next().unwrap_or_default();
    let mut name: String = name.chars().filter(|letter| go::is_printed(*letter)).collect();
    name.truncate(name.floor_char_boundary(MANAGER_LENGTH));
    name
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;

    #[test]
    fn agents_stand_for_managers_that_can_be_printed() {
        let long = |letter: &str, count: usize| letter.repeat(count);
        for (agent, expected) in [
            ("kubectl/v1.36 (linux)", "kubectl".to_owned()),
            ("my\tclient/1", "myclient".to_owned()),
            ("my client", "my client".to_owned()),
            ("é\u{ad}\u{a0}ß/2", "éß".to_owned()),
            ("", String::new()),
            ("/1", String::new()),
            (&long("a", 200), long("a", 128)),
            (&long("€", 50), long("€", 42)),
        ] {
            let manager = manager_of_agent(agent);
            assert_eq!(manager, expected, "{agent}");
            assert_eq!(field_manager(&manager, &Path::new("manager")), []);
        }
    }

    fn check(given: Value, expected: Expect) {
        let errors = metadata(&given, &Path::new("metadata"));
        expected.assert_eq(&errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn what_is_wrong_is_told_as_by_upstream() {
        let entry = json!({"manager": "a", "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": {}});
        let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "a", "uid": "u"});
        check(json!({"generation": 1, "managedFields": [entry], "ownerReferences": [owner]}), expect![[""]]);
        check(
            json!({"generation": -1}),
            expect![[r#"metadata.generation: Invalid value: -1: must be greater than or equal to 0"#]],
        );
        check(
            json!({"ownerReferences": [{"apiVersion": "a/b/c"}, {"apiVersion": "apps/", "kind": "A", "name": "a", "uid": "u"}]}),
            expect![[r#"
                metadata.ownerReferences.apiVersion: Invalid value: "a/b/c": version must not be empty
                metadata.ownerReferences.kind: Invalid value: "": must not be empty
                metadata.ownerReferences.name: Invalid value: "": must not be empty
                metadata.ownerReferences.uid: Invalid value: "": must not be empty
                metadata.ownerReferences.apiVersion: Invalid value: "apps/": version must not be empty"#]],
        );
        check(
            json!({"finalizers": ["orphan", "foregroundDeletion", "/a"]}),
            expect![[r#"
                metadata.finalizers: Invalid value: "/a": prefix part must be non-empty
                metadata.finalizers: Invalid value: ["orphan","foregroundDeletion","/a"]: finalizer orphan and foregroundDeletion cannot be both set"#]],
        );
        check(
            json!({"managedFields": [
                {"manager": "a\né", "operation": "apply", "fieldsType": "V2"},
                {"manager": "é".repeat(65), "operation": "Update", "subresource": "s".repeat(257)},
            ]}),
            expect![[r#"
                metadata.managedFields[0].operation: Invalid value: "apply": must be `Apply` or `Update`
                metadata.managedFields[0].fieldsType: Invalid value: "V2": must be `FieldsV1`
                metadata.managedFields[0].manager: Invalid value: "a\né": invalid character U+000A (at position 1)
                metadata.managedFields[1].manager: Too long: may not be more than 128 bytes
                metadata.managedFields[1].subresource: Too long: may not be more than 256 bytes"#]],
        );
    }

    #[test]
    fn names_of_managers_can_be_printed() {
        for (name, wrong) in [("kubectl é 漢", 0), ("a\u{200b}", 1), ("\u{a0}\u{e000}\u{7f}", 3)] {
            let errors = field_manager(name, &Path::new("fieldManager"));
            assert_eq!(errors.len(), wrong, "{name:?}: {errors:?}");
        }
    }
}
