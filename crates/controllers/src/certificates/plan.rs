//! What is to be done about a request for a certificate. Pure.

use std::time::Duration;

use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition};
use portolan_base::Timestamp;
use portolan_base::clock::later;
use portolan_identity::CertificateRequest;

use super::signer;

/// How long a certificate lives if the request says nothing, and at most.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
/// How long a certificate lives at least.
const SHORTEST: Duration = Duration::from_secs(600);
/// Certificates begin a little before now, for clients whose clock is behind.
const BACKDATE: Duration = Duration::from_secs(300);
/// Certificates with a shorter life do not end earlier because they begin earlier.
const SHORT: Duration = Duration::from_secs(8 * 3600);
/// How long a request is kept that was decided.
const KEPT_DECIDED: Duration = Duration::from_secs(3600);
/// How long a request is kept that nobody decided.
const KEPT_PENDING: Duration = Duration::from_secs(24 * 3600);

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing before this time.
    Wait(Option<Timestamp>),
    /// Approve it, if whoever asked may have such certificates.
    Approve {
        /// Subresource of requests that he must be allowed to create.
        right: &'static str,
        /// Said in the condition.
        message: &'static str,
    },
    /// Sign it.
    Sign {
        /// When the certificate begins.
        from: Timestamp,
        /// When it ends.
        until: Timestamp,
    },
    /// Say that it cannot be fulfilled.
    Fail(String),
    /// Remove it: it is long done.
    Delete,
}

/// Decides about a request. `parsed`: what its PEM says.
pub(super) fn plan(
    object: &CertificateSigningRequest,
    parsed: Result<&CertificateRequest, String>,
    now: Timestamp,
) -> Action {
    let status = object.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let find = |kind: &str| conditions.iter().find(|condition| condition.type_ == kind);
    let created = object.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0);
    let is_issued = status.is_some_and(|status| status.certificate.is_some());
    for kind in ["Denied", "Failed", "Approved"] {
        let Some(condition) = find(kind) else { continue };
        if kind == "Approved" && !is_issued {
            break;
        }
        let end = later(since(condition).unwrap_or(created), KEPT_DECIDED);
        return if end <= now { Action::Delete } else { Action::Wait(Some(end)) };
    }
    let spec = &object.spec;
    let approved = find("Approved").is_some();
    let end = later(created, KEPT_PENDING);
    if !approved && end <= now {
        return Action::Delete;
    }
    if !signer::is_ours(&spec.signer_name) {
        return if approved { Action::Wait(None) } else { Action::Wait(Some(end)) };
    }
    let usages = spec.usages.as_deref().unwrap_or_default();
    let checked = parsed.and_then(|request| signer::check(&spec.signer_name, request, usages).map(|()| request));
    if !approved {
        return match checked {
            Ok(request) if spec.signer_name == signer::KUBELET_CLIENT => automatic(object, request),
            _ => Action::Wait(Some(end)),
        };
    }
    match checked {
        Err(why) => Action::Fail(why),
        Ok(_) => {
            let seconds = spec.expiration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
            let life = seconds.map_or(LONGEST, |seconds| Duration::from_secs(seconds).clamp(SHORTEST, LONGEST));
            // The end goes with the beginning, except of certificates that would lose much by that.
            let moved = if life < SHORT { Duration::ZERO } else { BACKDATE };
            Action::Sign { from: now - BACKDATE, until: now + life - moved }
        }
    }
}

/// Nodes get their client certificates without anybody's doing, if they may.
fn automatic(object: &CertificateSigningRequest, request: &CertificateRequest) -> Action {
    if object.spec.username.as_deref() == Some(&request.common_name) {
        return Action::Approve {
            right: "selfnodeclient",
            message: "Auto approving self kubelet client certificate after SubjectAccessReview.",
        };
    }
    Action::Approve {
        right: "nodeclient",
        message: "Auto approving kubelet client certificate after SubjectAccessReview.",
    }
}

fn since(condition: &CertificateSigningRequestCondition) -> Option<Timestamp> {
    condition.last_update_time.as_ref().or(condition.last_transition_time.as_ref()).map(|time| time.0)
}

#[cfg(test)]
mod tests {
    use portolan_api::typed::Object;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_request_is_approved_signed_failed_or_removed() {
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().expect("a time");
        let mut node = CertificateRequest::default();
        node.common_name = "system:node:n1".into();
        node.organizations = vec!["system:nodes".into()];
        let condition = |kind: &str, time: &str| json!([{"type": kind, "status": "True", "lastUpdateTime": time}]);
        let (recent, old) = ("2026-01-01T23:30:00Z", "2026-01-01T22:00:00Z");
        let life = |object: &CertificateSigningRequest| match object.spec.expiration_seconds {
            None => 365 * 24 * 3600 - 300,
            Some(28_800) => 28_500,
            Some(seconds) => i64::from(seconds),
        };
        let cases: [(&str, Value, Value, &str); 11] = [
            ("kube-apiserver-client", json!({}), json!({}), "Wait(Some(2026-01-02T22:00:00Z))"),
            ("kube-apiserver-client", json!({}), json!({"conditions": condition("Approved", recent)}), "Sign"),
            (
                "kube-apiserver-client",
                json!({"expirationSeconds": 28_799}),
                json!({"conditions": condition("Approved", recent)}),
                "Sign",
            ),
            (
                "kube-apiserver-client",
                json!({"expirationSeconds": 28_800}),
                json!({"conditions": condition("Approved", recent)}),
                "Sign",
            ),
            (
                "kube-apiserver-client",
                json!({}),
                json!({"conditions": condition("Denied", recent)}),
                "Wait(Some(2026-01-02T00:30:00Z))",
            ),
            ("kube-apiserver-client", json!({}), json!({"conditions": condition("Denied", old)}), "Delete"),
            (
                "kube-apiserver-client",
                json!({}),
                json!({"conditions": condition("Approved", old), "certificate": "eA=="}),
                "Delete",
            ),
            (
                "kube-apiserver-client",
                json!({"usages": ["cert sign"]}),
                json!({"conditions": condition("Approved", recent)}),
                "Fail",
            ),
            ("kube-apiserver-client-kubelet", json!({"username": "system:node:n1"}), json!({}), "selfnodeclient"),
            ("kube-apiserver-client-kubelet", json!({"username": "system:bootstrap:a"}), json!({}), "\"nodeclient\""),
            ("kubelet-serving", json!({}), json!({}), "Wait"),
        ];
        for (signer, changes, status, expected) in cases {
            let mut spec = json!({
                "signerName": format!("kubernetes.io/{signer}"), "request": "", "usages": ["digital signature", "client auth"],
            });
            for (name, value) in changes.as_object().into_iter().flatten() {
                spec[name.as_str()] = value.clone();
            }
            let metadata = json!({"name": "r", "creationTimestamp": old});
            let object = json!({"metadata": metadata, "spec": spec, "status": status});
            let object = CertificateSigningRequest::decode(object.to_string().as_bytes()).expect("decodes");
            let action = plan(&object, Ok(&node), now);
            assert!(format!("{action:?}").contains(expected), "{signer} {changes} {status}: {action:?}");
            if let Action::Sign { from, until } = action {
                assert_eq!(now.as_second() - from.as_second(), 300);
                assert_eq!(until.as_second() - now.as_second(), life(&object));
            }
        }
    }
}
