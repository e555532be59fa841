//! DefaultStorageClass and DefaultIngressClass: what names no class gets the default one.

use std::sync::Arc;

use portolan_api::encoded;
use portolan_store::{Entry, KeyRange, RangeRequest};
use serde_json::Value;

use crate::admission::{Attributes, Operation};
use crate::status::Status;
use crate::storage;

const STORAGE: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
const INGRESS: [&str; 1] = ["ingressclass.kubernetes.io/is-default-class"];
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const OLD_INGRESS_CLASS: &str = "kubernetes.io/ingress.class";

/// A claim of storage gets the default class.
pub(super) async fn admit_claim(attributes: &mut Attributes<'_>) -> Result<(), Status> {
    if attributes.operation == Operation::Create && attributes.is_main("", "persistentvolumeclaims") {
        let claim = &attributes.new;
        let has_class =
            claim["spec"]["storageClassName"].is_string() || claim["metadata"]["annotations"].get(BETA_CLASS).is_some();
        if !has_class && claim["spec"].is_object() {
            let defaults = defaults(attributes, "storage.k8s.io", "storageclasses", &STORAGE).await?;
            if let Some(class) = newest(&defaults)? {
                attributes.new["spec"]["storageClassName"] = class.into();
            }
        }
    }
    Ok(())
}

/// An ingress gets the default class.
pub(super) async fn admit_ingress(attributes: &mut Attributes<'_>) -> Result<(), Status> {
    if attributes.operation == Operation::Create && attributes.is_main("networking.k8s.io", "ingresses") {
        let ingress = &attributes.new;
        let has_class = ingress["spec"]["ingressClassName"].is_string()
            || ingress["metadata"]["annotations"].get(OLD_INGRESS_CLASS).is_some();
        if !has_class && ingress["spec"].is_object() {
            let defaults = defaults(attributes, "networking.k8s.io", "ingressclasses", &INGRESS).await?;
            if let Some(class) = newest(&defaults)? {
                attributes.new["spec"]["ingressClassName"] = class.into();
            }
        }
    }
    Ok(())
}

/// The classes that are marked as the default.
async fn defaults(
    attributes: &Attributes<'_>,
    group: &str,
    resource: &str,
    marks: &[&str],
) -> Result<Vec<Arc<Entry>>, Status> {
    let range = KeyRange::prefix(storage::prefix(group, resource, ""));
    let request = RangeRequest { range, revision: None, limit: 0 };
    let mut classes = attributes.call.server.store().range(request).await?.entries;
    classes.retain(|class| {
        marks
            .iter()
            .any(|mark| encoded::string_at(&class.value, &["metadata", "annotations", mark]).as_deref() == Some("true"))
    });
    Ok(classes)
}

/// Of several defaults the newest counts; of several as new, the first by name.
fn newest(classes: &[Arc<Entry>]) -> Result<Option<String>, Status> {
    let mut found: Vec<(String, String)> = Vec::new();
    for class in classes {
        let class: Value = storage::decode(class)?;
        let text = |field: &str| class["metadata"][field].as_str().unwrap_or_default().to_owned();
        found.push((text("creationTimestamp"), text("name")));
    }
    found.sort_by(|left, right| right.0.cmp(&left.0).then(left.1.cmp(&right.1)));
    Ok(found.into_iter().next().map(|(_, name)| name))
}
