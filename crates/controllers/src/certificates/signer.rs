//! Which requests the cluster's signers fulfil. Pure.
//!
//! Source: `pkg/apis/certificates` and `pkg/controller/certificates/signer` of Kubernetes.

use portolan_identity::CertificateRequest;

/// Certificates for clients of the API.
pub(super) const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
/// Certificates with which nodes are clients of the API.
pub(super) const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// Certificates with which nodes serve.
pub(super) const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";
/// Certificates without any rule.
pub(super) const LEGACY: &str = "kubernetes.io/legacy-unknown";

/// Whether a signer is one of the cluster's.
pub(super) fn is_ours(signer: &str) -> bool {
    [CLIENT, KUBELET_CLIENT, KUBELET_SERVING, LEGACY].contains(&signer)
}

/// What keeps a signer from fulfilling a request.
pub(super) fn check(signer: &str, request: &CertificateRequest, usages: &[String]) -> Result<(), String> {
    match signer {
        CLIENT => {
            let known = ["digital signature", "key encipherment", "client auth"];
            if !has(usages, "client auth") || usages.iter().any(|usage| !known.contains(&usage.as_str())) {
                return Err(format!("invalid usages for client certificate: {usages:?}"));
            }
            Ok(())
        }
        KUBELET_CLIENT => {
            of_node(request)?;
            if !request.dns_names.is_empty() {
                return Err("DNS subjectAltNames are not allowed".into());
            }
            if !request.addresses.is_empty() {
                return Err("IP subjectAltNames are not allowed".into());
            }
            exactly(usages, "client auth")
        }
        KUBELET_SERVING => {
            of_node(request)?;
            if request.dns_names.is_empty() && request.addresses.is_empty() {
                return Err("at least one DNS or IP subjectAltName is required".into());
            }
            exactly(usages, "server auth")
        }
        _ => Ok(()),
    }
}

fn of_node(request: &CertificateRequest) -> Result<(), String> {
    if request.organizations != ["system:nodes"] {
        return Err("subject organization is not system:nodes".into());
    }
    if !request.mail_addresses.is_empty() {
        return Err("email subjectAltNames are not allowed".into());
    }
    if !request.uris.is_empty() {
        return Err("URI subjectAltNames are not allowed".into());
    }
    if !request.common_name.starts_with("system:node:") {
        return Err("subject common name does not begin with system:node:".into());
    }
    Ok(())
}

fn has(usages: &[String], usage: &str) -> bool {
    usages.iter().any(|found| found == usage)
}

/// The purpose and what goes with it, and nothing else.
fn exactly(usages: &[String], purpose: &str) -> Result<(), String> {
    let rest =
        usages.iter().filter(|usage| !["digital signature", "key encipherment", purpose].contains(&usage.as_str()));
    if has(usages, purpose) && has(usages, "digital signature") && rest.count() == 0 {
        return Ok(());
    }
    Err(format!("usages did not match {:?}", ["key encipherment", "digital signature", purpose]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signer_fulfils_what_is_its_own() {
        let node = |dns: &[&str]| {
            let mut request = CertificateRequest::default();
            request.common_name = "system:node:n1".into();
            request.organizations = vec!["system:nodes".into()];
            request.dns_names = dns.iter().map(|name| (*name).to_owned()).collect();
            request
        };
        let mut anybody = CertificateRequest::default();
        anybody.common_name = "ann".into();
        let cases = [
            (CLIENT, &anybody, "client auth", ""),
            (CLIENT, &anybody, "client auth,digital signature", ""),
            (CLIENT, &anybody, "server auth", "invalid usages"),
            (KUBELET_CLIENT, &node(&[]), "digital signature,client auth", ""),
            (KUBELET_CLIENT, &node(&[]), "key encipherment,digital signature,client auth", ""),
            (KUBELET_CLIENT, &node(&["n1"]), "digital signature,client auth", "DNS subjectAltNames"),
            (KUBELET_CLIENT, &anybody, "digital signature,client auth", "not system:nodes"),
            (KUBELET_CLIENT, &node(&[]), "digital signature,server auth", "usages did not match"),
            (KUBELET_SERVING, &node(&["n1"]), "digital signature,server auth", ""),
            (KUBELET_SERVING, &node(&[]), "digital signature,server auth", "at least one"),
        ];
        for (signer, request, usages, expected) in cases {
            let usages: Vec<String> = usages.split(',').map(str::to_owned).collect();
            match check(signer, request, &usages) {
                Ok(()) => assert_eq!(expected, "", "{signer} {usages:?}"),
                Err(why) => assert!(!expected.is_empty() && why.contains(expected), "{signer} {usages:?}: {why}"),
            }
        }
    }
}
