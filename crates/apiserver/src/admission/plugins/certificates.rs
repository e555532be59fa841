//! CertificateApproval, CertificateSigning and CertificateSubjectRestriction: who may let a certificate come true.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::admission::{Attributes, Operation};
use crate::authorization::{Action, decide};
use crate::request::Info;
use crate::status::Status;

const GROUP: &str = "certificates.k8s.io";
const RESOURCE: &str = "certificatesigningrequests";
const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";
const MASTERS: &str = "system:masters";

/// Whether it is about a request for a certificate, or this part of it.
fn is_of(attributes: &Attributes<'_>, operation: Operation, subresource: &str) -> bool {
    attributes.is(GROUP, RESOURCE) && attributes.operation == operation && attributes.subresource() == subresource
}

/// CertificateApproval
pub(super) async fn validate_approval(attributes: &Attributes<'_>) -> Result<(), Status> {
    if is_of(attributes, Operation::Update, "approval") { must_be_allowed(attributes, "approve").await } else { Ok(()) }
}

/// CertificateSigning
pub(super) async fn validate_signing(attributes: &Attributes<'_>) -> Result<(), Status> {
    if !is_of(attributes, Operation::Update, "status") {
        return Ok(());
    }
    let (new, old) = (&attributes.new, attributes.old);
    let signs = new["status"]["certificate"] != old["status"]["certificate"];
    let fails = |object: &serde_json::Value| {
        let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
        conditions.filter(|condition| condition["type"] == "Failed").count()
    };
    if signs || fails(new) != fails(old) { must_be_allowed(attributes, "sign").await } else { Ok(()) }
}

/// CertificateSubjectRestriction
pub(super) fn validate_subject(attributes: &Attributes<'_>) -> Result<(), Status> {
    if is_of(attributes, Operation::Create, "") { no_masters(attributes) } else { Ok(()) }
}

/// Nobody becomes a master by a certificate.
fn no_masters(attributes: &Attributes<'_>) -> Result<(), Status> {
    if attributes.new["spec"]["signerName"] != CLIENT_SIGNER {
        return Ok(());
    }
    let request = attributes.new["spec"]["request"].as_str().unwrap_or_default();
    let Ok(pem) = STANDARD.decode(request) else { return Ok(()) };
    match portolan_identity::organizations_of_request(&pem) {
        Ok(organizations) if organizations.iter().any(|name| name == MASTERS) => {
            let why = format!("use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed");
            Err(attributes.forbidden(&why))
        }
        _ => Ok(()),
    }
}

/// Whoever approves or signs needs the right to do that for the signer, by its name or its domain.
async fn must_be_allowed(attributes: &Attributes<'_>, verb: &'static str) -> Result<(), Status> {
    let signer = attributes.old["spec"]["signerName"].as_str().unwrap_or_default();
    let domain = signer.split('/').next().unwrap_or_default();
    for name in [signer.to_owned(), format!("{domain}/*")] {
        let info = Info {
            verb: "update",
            other_verb: verb.into(),
            group: GROUP.into(),
            version: "*".into(),
            resource: "signers".into(),
            name,
            ..Info::default()
        };
        if decide(attributes.call.server, attributes.call.user, Action::Resource(&info)).await.is_allowed() {
            return Ok(());
        }
    }
    Err(attributes.forbidden(&format!("user not permitted to {verb} requests with signerName \"{signer}\"")))
}
