//! Requests for certificates: who asks, who may approve, who may sign.
//!
//! Source: the admission plugins `CertificateApproval`, `CertificateSigning` and
//! `CertificateSubjectRestriction` of Kubernetes.

use portolan_identity::CertificateRequest;
use serde_json::{Value, json};

use crate::authorization::{Action, decide};
use crate::endpoint::{Call, metadata};
use crate::request::Info;
use crate::status::Status;

const GROUP: &str = "certificates.k8s.io";

/// Group whose members may do everything: nobody gets a certificate of it.
const MASTERS: &str = "system:masters";

fn concerns(call: &Call<'_>) -> bool {
    call.resource.group == GROUP && call.resource.name == "certificatesigningrequests"
}

/// Writes down who asks, and refuses subjects that nobody gets.
pub(super) fn create(call: &Call<'_>, object: &mut Value) -> Result<(), Status> {
    if !concerns(call) {
        return Ok(());
    }
    if object["spec"]["signerName"] == "kubernetes.io/kube-apiserver-client" {
        use base64::Engine;
        let text = object["spec"]["request"].as_str().unwrap_or_default();
        let pem = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
        // What is no request is refused by validation, with the field's name.
        let wanted = CertificateRequest::from_pem(&pem).unwrap_or_default();
        if wanted.organizations.iter().any(|group| group == MASTERS) {
            let why = format!("use of kubernetes.io/kube-apiserver-client signer with {MASTERS} group is not allowed");
            return Err(Status::forbidden(&call.target(), metadata::text(object, "name"), &why));
        }
    }
    if let Some(spec) = object["spec"].as_object_mut() {
        for claim in ["uid", "extra"] {
            spec.remove(claim);
        }
        spec.insert("username".into(), call.user.name.as_str().into());
        spec.insert("groups".into(), json!(call.user.groups));
        if !call.user.uid.is_empty() {
            spec.insert("uid".into(), call.user.uid.as_str().into());
        }
        if !call.user.extra.is_empty() {
            spec.insert("extra".into(), json!(call.user.extra));
        }
    }
    Ok(())
}

/// Lets only those approve and sign who may for this signer.
pub(super) async fn update(call: &Call<'_>, new: &Value, old: &Value) -> Result<(), Status> {
    if !concerns(call) {
        return Ok(());
    }
    let verb = match call.info.subresource.as_str() {
        "approval" => "approve",
        "status" if new["status"]["certificate"] != old["status"]["certificate"] => "sign",
        "status" if has(new, "Failed") != has(old, "Failed") => "sign",
        _ => return Ok(()),
    };
    let signer = old["spec"]["signerName"].as_str().unwrap_or_default();
    // All signers of a domain may be allowed at once.
    let domain = format!("{}/*", signer.split('/').next().unwrap_or_default());
    for name in [signer, &domain] {
        let info = Info {
            verb: "update",
            other_verb: verb.into(),
            group: GROUP.into(),
            version: "*".into(),
            resource: "signers".into(),
            name: name.into(),
            ..Info::default()
        };
        if decide(call.server, call.user, Action::Resource(&info)).await.is_allowed() {
            return Ok(());
        }
    }
    let why = format!("user not permitted to {verb} requests with signerName \"{signer}\"");
    Err(Status::forbidden(&call.target(), metadata::text(old, "name"), &why))
}

fn has(object: &Value, condition: &str) -> bool {
    object["status"]["conditions"].as_array().into_iter().flatten().any(|item| item["type"] == condition)
}
