//! Conversion by a webhook: `ConversionReview`.
//!
//! Source: `apiextensions-apiserver/pkg/apiserver/conversion/webhook_converter.go`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use portolan_api::custom::WebhookClient;
use serde_json::{Value, json};

use crate::server::Server;
use crate::status::Status;
use crate::webhook_client::Endpoint;

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
    let failed = |why: &str| Status::internal(format!("conversion webhook for {first} failed: {why}"));
    let review = webhook.review_versions.iter().find(|version| matches!(version.as_str(), "v1" | "v1beta1"));
    let api_version = format!("apiextensions.k8s.io/{}", review.map_or("v1", String::as_str));
    let uid = uuid::Uuid::new_v4().to_string();
    let body = json!({
        "kind": "ConversionReview", "apiVersion": api_version,
        "request": {"uid": uid, "desiredAPIVersion": wanted, "objects": objects},
    });
    let group = wanted.split_once('/').map_or("", |(group, _)| group);
    let kind = objects.first().and_then(|object| object["kind"].as_str()).unwrap_or_default();
    let endpoint = server.converters.endpoint(format!("{group}/{kind}"), &webhook.config);
    let answer = endpoint.post(server, Bytes::from(body.to_string()), TIMEOUT).await.map_err(|why| failed(&why))?;
    let mut answer: Value = serde_json::from_slice(&answer).map_err(|error| failed(&error.to_string()))?;
    let mut response = answer["response"].take();
    if answer["kind"] != "ConversionReview" || answer["apiVersion"] != api_version.as_str() {
        let found = described(&answer);
        let wanted = format!("{api_version}, Kind=ConversionReview");
        return Err(failed(&format!("invalid response: expected {wanted}, got {found}")));
    }
    if response["uid"] != uid.as_str() {
        return Err(failed(&format!("expected response.uid=\"{uid}\", got {}", response["uid"])));
    }
    if response["result"]["status"] != "Success" {
        let why = response["result"]["message"].as_str().filter(|why| !why.is_empty());
        return Err(failed(why.unwrap_or("response.result.status was not Success")));
    }
    let Value::Array(converted) = response["convertedObjects"].take() else {
        return Err(failed("response has no convertedObjects"));
    };
    if converted.len() != objects.len() {
        let text = format!("expected {} converted objects, got {}", objects.len(), converted.len());
        return Err(Status::internal(format!("conversion webhook for {first} returned {text}")));
    }
    let restored = objects.iter().zip(converted).map(|(original, converted)| restore(original, converted, wanted));
    restored.collect::<Result<_, _>>().map_err(|why| {
        Status::internal(format!("conversion webhook for {first} returned invalid converted object: {why}"))
    })
}

fn described(object: &Value) -> String {
    let text = |name: &str| object[name].as_str().unwrap_or_default();
    format!("{}, Kind={}", text("apiVersion"), text("kind"))
}

/// A webhook changes labels, annotations and content, but never what an object is.
fn restore(original: &Value, mut converted: Value, wanted: &str) -> Result<Value, String> {
    if converted["apiVersion"] != wanted {
        return Err(format!("invalid groupVersion (expected {wanted}, received {})", converted["apiVersion"]));
    }
    if converted["kind"] != original["kind"] {
        return Err(format!("invalid kind (expected {}, received {})", original["kind"], converted["kind"]));
    }
    let given = converted["metadata"].take();
    if !given.is_object() {
        return Err("invalid metadata of type null in input object".to_owned());
    }
    for name in ["name", "namespace", "uid"] {
        let (before, after) = (&original["metadata"][name], &given[name]);
        if before != after {
            return Err(format!("expected the same {name} ({before}), got {after}"));
        }
    }
    let mut metadata = original["metadata"].clone();
    if let Some(metadata) = metadata.as_object_mut() {
        for name in ["labels", "annotations"] {
            match given.get(name).filter(|value| !value.is_null()) {
                Some(value) => metadata.insert(name.to_owned(), value.clone()),
                None => metadata.remove(name),
            };
        }
    }
    converted["metadata"] = metadata;
    Ok(converted)
}
