//! Who may ask for devices as an administrator, allocate them, and speak for their drivers.
//!
//! Source: `pkg/registry/resource/utils.go` of Kubernetes.

use std::collections::BTreeSet;

use portolan_api::encoded;
use portolan_api::field::{Error, Path};
use portolan_api::validation::is_dns1123_subdomain;
use serde_json::Value;

use super::authorize;
use crate::authentication::impersonation::{NODE_NAME, service_account};
use crate::endpoint::Call;
use crate::request::Info;
use crate::resources::json::items;
use crate::resources::resource::allocation::Device;
use crate::status::Status;
use crate::storage;

const GROUP: &str = "resource.k8s.io";
/// A namespace in which devices may be had as an administrator says so.
const ADMIN_LABEL: &str = "resource.kubernetes.io/admin-access";

/// What the user may not do of what a new object asks for, or of what is changed about one.
///
/// Such refusals are told with what is wrong with the object itself.
pub(crate) async fn problems(call: &Call<'_>, new: &Value, old: Option<&Value>) -> Result<Vec<Error>, Status> {
    if call.resource.group != GROUP {
        return Ok(Vec::new());
    }
    match (&*call.resource.name, call.info.subresource.as_str(), old) {
        ("resourceclaims", "", None) => requests(call, &new["spec"]).await,
        ("resourceclaimtemplates", "", None) => requests(call, &new["spec"]["spec"]).await,
        ("resourceclaims", "status", Some(old)) => status(call, &new["status"], &old["status"]).await,
        _ => Ok(Vec::new()),
    }
}

/// Requests are there to stay: they are looked at once.
async fn requests(call: &Call<'_>, spec: &Value) -> Result<Vec<Error>, Status> {
    let requests = items(&spec["devices"]["requests"]);
    let Some(index) = requests.iter().position(|request| request["exactly"]["adminAccess"] == true) else {
        return Ok(Vec::new());
    };
    // The same in templates, as upstream.
    let list = Path::new("spec").child("devices").child("requests");
    administration(call, &list.index(index).child("adminAccess")).await
}

async fn status(call: &Call<'_>, new: &Value, old: &Value) -> Result<Vec<Error>, Status> {
    let granted = |status: &Value| {
        let results = items(&status["allocation"]["devices"]["results"]);
        results.iter().position(|result| result["adminAccess"] == true)
    };
    let (path, mut errors) = (Path::new("status"), Vec::new());
    if let (None, Some(index)) = (granted(old), granted(new)) {
        let list = path.child("allocation").child("devices").child("results");
        errors.extend(administration(call, &list.index(index).child("adminAccess")).await?);
    }
    let verb = call.info.verb;
    if new["allocation"] != old["allocation"] || items(&new["reservedFor"]) != items(&old["reservedFor"]) {
        let info = Info { subresource: "binding".into(), ..asked(call, "", "", "") };
        if let Err(why) = authorize(call.server, call.user, &info).await {
            let what = "changing status.allocation or status.reservedFor";
            let detail = format!(
                r#"{what} requires resource="resourceclaims/binding", verb="{verb}" permission: {}"#,
                why.message()
            );
            errors.push(Error::forbidden(&path.child("allocation"), detail));
        }
    }
    // What drivers say goes with the allocation.
    if new["allocation"].is_null() {
        return Ok(errors);
    }
    let mut verbs = vec![format!("arbitrary-node:{verb}")];
    if is_on_node(call, &new["allocation"]) {
        verbs.insert(0, format!("associated-node:{verb}"));
    }
    for driver in changed_drivers(new, old) {
        if let Err(why) = speaks_for(call, driver, &verbs).await {
            let detail = format!(
                r#"changing status.devices requires resource="resourceclaims/driver", verb="[{}]" permission: {}"#,
                verbs.join(" "),
                why.message()
            );
            errors.push(Error::forbidden(&path.child("devices"), detail));
        }
    }
    Ok(errors)
}

/// Whether devices may be had as an administrator in the namespace of the request.
async fn administration(call: &Call<'_>, path: &Path) -> Result<Vec<Error>, Status> {
    let Some(namespace) = storage::find(call.server, "", "namespaces", "", call.namespace()).await? else {
        let name = call.namespace();
        let why = format!("could not retrieve namespace to verify admin access: namespaces \"{name}\" not found");
        return Ok(vec![Error::internal(path, why)]);
    };
    let label = encoded::string_at(&namespace.value, &["metadata", "labels", ADMIN_LABEL]);
    if label.is_some_and(|label| label == "true") {
        return Ok(Vec::new());
    }
    let why = format!("admin access to devices requires the `{ADMIN_LABEL}: true` label on the containing namespace");
    Ok(vec![Error::forbidden(path, why)])
}

/// A question about claims.
fn asked(call: &Call<'_>, verb: &str, namespace: &str, name: &str) -> Info {
    Info {
        verb: call.info.verb,
        other_verb: verb.into(),
        group: GROUP.into(),
        version: call.info.version.clone(),
        resource: "resourceclaims".into(),
        namespace: namespace.into(),
        name: name.into(),
        ..Info::default()
    }
}

/// One of the verbs is enough. The refusal is that of the first.
async fn speaks_for(call: &Call<'_>, driver: &str, verbs: &[String]) -> Result<(), Status> {
    let mut refused = Ok(());
    for verb in verbs {
        let info = Info { subresource: "driver".into(), ..asked(call, verb, call.namespace(), driver) };
        match authorize(call.server, call.user, &info).await {
            Ok(()) => return Ok(()),
            why => refused = refused.and(why),
        }
    }
    refused
}

/// The drivers of devices of which something else is said than before.
fn changed_drivers<'a>(new: &'a Value, old: &'a Value) -> BTreeSet<&'a str> {
    let (new, old) = (items(&new["devices"]), items(&old["devices"]));
    let said = |list: &'a [Value], device: &'a Value| list.iter().find(|other| Device::of(other) == Device::of(device));
    let changed = new.iter().filter(|device| said(old, device) != Some(device));
    let gone = old.iter().filter(|device| said(new, device).is_none());
    changed.chain(gone).map(|device| device["driver"].as_str().unwrap_or_default()).collect()
}

/// Whether the user is a service account on the one node that an allocation is for.
fn is_on_node(call: &Call<'_>, allocation: &Value) -> bool {
    let [term] = items(&allocation["nodeSelector"]["nodeSelectorTerms"]) else { return false };
    let [field] = items(&term["matchFields"]) else { return false };
    let [node] = items(&field["values"]) else { return false };
    let is_name =
        items(&term["matchExpressions"]).is_empty() && field["key"] == "metadata.name" && field["operator"] == "In";
    let of_user = call.user.extra.get(NODE_NAME).map(Vec::as_slice);
    is_name
        && service_account(&call.user.name).is_some()
        && matches!(of_user, Some([name]) if *node == **name && is_dns1123_subdomain(name).is_empty())
}
