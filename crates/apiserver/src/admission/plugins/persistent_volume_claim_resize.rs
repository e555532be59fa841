//! A claim grows only if its class lets it.

use portolan_api::quantity::Quantity;
use serde_json::Value;

use crate::admission::{Attributes, Operation};
use crate::status::Status;
use crate::storage;

pub(super) async fn validate(attributes: &Attributes<'_>) -> Result<(), Status> {
    if attributes.operation != Operation::Update || !attributes.is_main("", "persistentvolumeclaims") {
        return Ok(());
    }
    let size = |claim: &Value| {
        let text = claim["spec"]["resources"]["requests"]["storage"].as_str();
        text.and_then(|text| Quantity::parse(text).ok()).unwrap_or(Quantity::ZERO)
    };
    if size(&attributes.new) <= size(attributes.old) {
        return Ok(());
    }
    if attributes.old["status"]["phase"] != "Bound" {
        return Err(attributes.forbidden("Only bound persistent volume claims can be expanded"));
    }
    let class = attributes.old["spec"]["storageClassName"].as_str().unwrap_or_default();
    let found = match class {
        "" => None,
        class => storage::find(attributes.call.server, "storage.k8s.io", "storageclasses", "", class).await?,
    };
    let allows = found.map(|entry| storage::decode(&entry)).transpose()?;
    if allows.is_some_and(|class| class["allowVolumeExpansion"] == true) {
        return Ok(());
    }
    let why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
    Err(attributes.forbidden(why))
}
