//! Conversion by a webhook: `ConversionReview`.
//!
//! Source: `apiextensions-apiserver/pkg/apiserver/conversion/webhook_converter.go`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use portolan_api::custom::WebhookClient;
use portolan_api::description::GroupVersionKind;
use portolan_api::field::Path;
use portolan_api::{decode, go_type, validation};
use portolan_base::go;
use serde_json::{Value, json};

use crate::configuration;
use crate::server::Server;
use crate::status::Status;
use crate::webhook_client::{self, Endpoint};

/// How long a webhook may take, as upstream.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The webhooks that convert, by group and kind of what they convert: whom they trust is read once.
#[derive(Debug, Default)]
pub(crate) struct Converters(Mutex<HashMap<String, Known>>);

#[derive(Debug)]
struct Known {
    /// The `clientConfig` that was read.
    config: Value,
    endpoint: Arc<Endpoint>,
}

impl Converters {
    fn endpoint(&self, converted: String, config: &Value) -> Arc<Endpoint> {
        let mut known = self.0.lock();
        if let Some(known) = known.get(&converted).filter(|known| known.config == *config) {
            return known.endpoint.clone();
        }
        let endpoint = Arc::new(Endpoint::read(config));
        known.insert(converted, Known { config: config.clone(), endpoint: endpoint.clone() });
        endpoint
    }
}

/// Has a webhook convert objects of one kind to a version, given as `group/version`.
///
/// # Errors
/// It is not to be reached, refuses, or answers with something else than these objects.
pub(super) async fn convert(
    server: &Server,
    webhook: &WebhookClient,
    objects: Vec<Value>,
    wanted: &str,
) -> Result<Vec<Value>, Status> {
    let first = objects.first().map(described).unwrap_or_default();
    let failed = |why: &str| Status::unnamed(format!("conversion webhook for {first} failed: {why}"));
    let review = webhook.review_versions.iter().find(|version| matches!(version.as_str(), "v1" | "v1beta1"));
    let api_version = format!("apiextensions.k8s.io/{}", review.map_or("v1", String::as_str));
    let uid = uuid::Uuid::new_v4().to_string();
    // An empty answer goes with the question, as upstream sends it. Objects have no revision before they are shown.
    let body = json!({
        "kind": "ConversionReview", "apiVersion": api_version,
        "request": {"uid": uid, "desiredAPIVersion": wanted, "objects": objects.iter().map(sent).collect::<Vec<_>>()},
        "response": {"uid": "", "convertedObjects": null, "result": {"metadata": {}}},
    });
    let group = wanted.split_once('/').map_or("", |(group, _)| group);
    let kind = objects.first().and_then(|object| object["kind"].as_str()).unwrap_or_default();
    let endpoint = server.converters.endpoint(format!("{group}/{kind}"), &webhook.config);
    let answer = endpoint.post(server, None, Bytes::from(body.to_string()), TIMEOUT).await;
    let answer = answer.map_err(|why| failed(&why))?;
    let version = review.map_or("v1", String::as_str);
    let kind = GroupVersionKind { group: "apiextensions.k8s.io", version, kind: "ConversionReview" };
    let mut answer = webhook_client::review::read(&answer, kind).map_err(|why| failed(&why))?;
    let found = webhook_client::review::kind_of(&answer);
    let mut response = answer.get_mut("response").map(Value::take).unwrap_or_default();
    // The first version of reviews asks for no kind and uid in the answer.
    let is_first = version == "v1beta1";
    let expected = format!("{api_version}, Kind=ConversionReview");
    if !is_first && found != expected {
        return Err(failed(&format!("expected webhook response of {expected}, got {found}")));
    }
    if !response.is_object() {
        return Err(failed("no response provided"));
    }
    let given = response["uid"].as_str().unwrap_or_default();
    if !is_first && given != uid {
        return Err(failed(&format!("expected response.uid={}, got {}", go::quote(&uid), go::quote(given))));
    }
    let result = &response["result"];
    let status = result["status"].as_str().unwrap_or_default();
    if status != "Success" {
        let why = result["message"].as_str().filter(|why| !why.is_empty()).map(str::to_owned);
        let why = why.unwrap_or_else(|| format!("response.result.status was '{status}', not 'Success'"));
        return Err(failed(&why));
    }
    let converted = match response["convertedObjects"].take() {
        Value::Array(converted) => converted,
        _ => Vec::new(),
    };
    if converted.len() != objects.len() {
        let text = format!("{} objects, expected {}", converted.len(), objects.len());
        return Err(Status::unnamed(format!("conversion webhook for {first} returned {text}")));
    }
    let restored = objects.iter().zip(converted).map(|(original, converted)| {
        if let Some(problem) = no_object(&converted) {
            return Err(Status::unnamed(problem));
        }
        let restored = restore(original, converted, wanted);
        restored.map_err(|why| Status::unnamed(format!("conversion webhook for {first} returned {why}")))
    });
    restored.collect()
}

fn sent(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("resourceVersion");
    }
    object
}

/// What a decoder says of what is no object of any kind.
fn no_object(converted: &Value) -> Option<String> {
    match converted {
        Value::Null => Some("unexpected end of JSON input".into()),
        Value::Object(fields) if fields.get("kind").and_then(Value::as_str).is_some_and(|kind| !kind.is_empty()) => {
            None
        }
        Value::Object(_) => Some(format!("Object 'Kind' is missing in '{converted}'")),
        other => {
            let found = decode::type_of(other);
            Some(format!("json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"))
        }
    }
}

fn described(object: &Value) -> String {
    let text = |name: &str| object[name].as_str().unwrap_or_default();
    format!("{}, Kind={}", text("apiVersion"), text("kind"))
}

/// A webhook changes labels, annotations and content, but never what an object is.
fn restore(original: &Value, mut converted: Value, wanted: &str) -> Result<Value, String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let version = text(&converted["apiVersion"]);
    if version != wanted {
        return Err(format!("invalid object at index 0: invalid groupVersion (expected {wanted}, received {version})"));
    }
    let (before, after) = (text(&original["kind"]), text(&converted["kind"]));
    if before != after {
        return Err(format!("invalid object at index 0: invalid kind (expected {before}, received {after})"));
    }
    let given = converted["metadata"].take();
    for (name, shown) in [("name", "name"), ("namespace", "namespace"), ("uid", "UID")] {
        let (before, after) = (text(&original["metadata"][name]), text(&given[name]));
        if before != after {
            return Err(format!("invalid object: must have the same {shown}: {before} != {after}"));
        }
    }
    let invalid = |why: String| format!("invalid metadata: {why}");
    let Value::Object(given) = given else {
        return Err(invalid(format!("invalid metadata of type {} in converted object", go_type(&given))));
    };
    let mut metadata = original["metadata"].clone();
    if let Some(metadata) = metadata.as_object_mut() {
        for name in ["labels", "annotations"] {
            match given.get(name) {
                None | Some(Value::Null) => drop(metadata.remove(name)),
                Some(Value::Object(values)) => {
                    if let Some((key, value)) = values.iter().find(|(_, value)| !value.is_string()) {
                        let found = go_type(value);
                        let why =
                            format!("metadata.{name}[{key}] must be a string, but is {found} in converted object");
                        return Err(invalid(why));
                    }
                    let values = Value::Object(values.clone());
                    let is_changed = metadata.get(name).unwrap_or(&Value::Null) != &values;
                    let problems = match name {
                        _ if !is_changed => Vec::new(),
                        "labels" => validation::labels(&values, &Path::new("metadata").child("labels")),
                        _ => validation::annotations(&values, &Path::new("metadata").child("annotation")),
                    };
                    configuration::all(problems).map_err(|why| invalid(why.to_string()))?;
                    metadata.insert(name.to_owned(), values);
                }
                Some(other) => {
                    let found = go_type(other);
                    return Err(invalid(format!("invalid metadata.{name} of type {found} in converted object")));
                }
            }
        }
    }
    converted["metadata"] = metadata;
    Ok(converted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversions_may_change_labels_annotations_and_content_alone() {
        const INVALID: &str = "invalid metadata: metadata.labels: Invalid value: \"a b\": ";
        let cases = [
            (json!({"spec": 2}), Ok(json!({"labels": {"a": "b"}, "name": "x", "uid": "u"}))),
            (json!({"metadata": {"labels": {"c": "d"}}}), Ok(json!({"labels": {"c": "d"}, "name": "x", "uid": "u"}))),
            (json!({"metadata": {"labels": null, "generation": 5}}), Ok(json!({"name": "x", "uid": "u"}))),
            (json!({"metadata": {"labels": {"a b": "c"}}}), Err(INVALID)),
            (json!({"metadata": {"labels": {"a": 1}}}), Err("invalid metadata: metadata.labels[a] must be a string")),
            (
                json!({"metadata": {"annotations": []}}),
                Err("invalid metadata: invalid metadata.annotations of type []"),
            ),
            (json!({"metadata": {"name": "y"}}), Err("invalid object: must have the same name: x != y")),
            (json!({"metadata": {"uid": null}}), Err("invalid object: must have the same UID: u != ")),
            (json!({"kind": "Other"}), Err("invalid object at index 0: invalid kind (expected Cup, received Other)")),
            (json!({"apiVersion": "g/v1"}), Err("invalid object at index 0: invalid groupVersion (expected g/v2")),
        ];
        let original = json!({
            "apiVersion": "g/v1", "kind": "Cup", "metadata": {"name": "x", "uid": "u", "labels": {"a": "b"}}, "spec": 1,
        });
        for (change, expected) in cases {
            let mut converted = original.clone();
            converted["apiVersion"] = "g/v2".into();
            for (name, value) in change.as_object().into_iter().flatten() {
                if name == "metadata" {
                    for (name, value) in value.as_object().into_iter().flatten() {
                        converted["metadata"][name] = value.clone();
                    }
                } else {
                    converted[name] = value.clone();
                }
            }
            match (restore(&original, converted, "g/v2"), expected) {
                (Ok(restored), Ok(metadata)) => assert_eq!(restored["metadata"], metadata, "{change}"),
                (Err(why), Err(expected)) => assert!(why.starts_with(expected), "{change}: {why}"),
                (restored, _) => panic!("{change}: {restored:?}"),
            }
        }
    }

    #[test]
    fn what_is_no_object_is_told_as_a_decoder_tells_it() {
        let cases = [
            (json!({"kind": "Cup"}), None),
            (json!(null), Some("unexpected end of JSON input")),
            (json!([]), Some("json: cannot unmarshal array into Go value of type map[string]interface {}")),
            (json!({"kind": 5}), Some("Object 'Kind' is missing in '{\"kind\":5}'")),
        ];
        for (converted, expected) in cases {
            assert_eq!(no_object(&converted).as_deref(), expected, "{converted}");
        }
    }
}
