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

/// What keeps a signer from fulfilling a request, in upstream's words and order.
pub(super) fn check(signer: &str, request: &CertificateRequest, usages: &[String]) -> Result<(), String> {
    let allowed = |present: bool, what: &str| match present {
        true => Err(format!("{what} subjectAltNames are not allowed")),
        false => Ok(()),
    };
    match signer {
        CLIENT => usages_of_client(usages),
        KUBELET_CLIENT => {
            of_nodes(request)?;
            allowed(!request.dns_names.is_empty(), "DNS")?;
            allowed(!request.mail_addresses.is_empty(), "Email")?;
            allowed(!request.addresses.is_empty(), "IP")?;
            allowed(!request.uris.is_empty(), "URI")?;
            named_as_node(request)?;
            exactly(usages, "client auth")
        }
        KUBELET_SERVING => {
            of_nodes(request)?;
            if request.dns_names.is_empty() && request.addresses.is_empty() {
                return Err("DNS or IP subjectAltName is required".into());
            }
            allowed(!request.mail_addresses.is_empty(), "Email")?;
            allowed(!request.uris.is_empty(), "URI")?;
            exactly(usages, "server auth")?;
            named_as_node(request)
        }
        _ => Ok(()),
    }
}

fn usages_of_client(usages: &[String]) -> Result<(), String> {
    let known = ["digital signature", "key encipherment", "client auth"];
    if let Some(usage) = usages.iter().find(|usage| !known.contains(&usage.as_str())) {
        return Err(format!("invalid usage for client certificate: {usage}"));
    }
    if !has(usages, "client auth") {
        return Err("missing required usage for client certificate: client auth".into());
    }
    Ok(())
}

fn of_nodes(request: &CertificateRequest) -> Result<(), String> {
    let is_of_nodes = request.organizations == ["system:nodes"];
    is_of_nodes.then_some(()).ok_or_else(|| "subject organization is not system:nodes".into())
}

fn named_as_node(request: &CertificateRequest) -> Result<(), String> {
    let is_node = request.common_name.starts_with("system:node:");
    is_node.then_some(()).ok_or_else(|| "subject common name does not begin with system:node:".into())
}

fn has(usages: &[String], usage: &str) -> bool {
    usages.iter().any(|found| found == usage)
}

/// The purpose and what goes with it, and nothing else.
fn exactly(usages: &[String], purpose: &str) -> Result<(), String> {
    let mut known = ["digital signature", "key encipherment", purpose];
    let is_known = |usage: &String| known.contains(&usage.as_str());
    if has(usages, purpose) && has(usages, "digital signature") && usages.iter().all(is_known) {
        return Ok(());
    }
    known.sort_unstable();
    Err(format!("usages did not match [{}]", known.join(" ")))
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
        let mut written = node(&[]);
        written.mail_addresses = vec!["a@example.com".into()];
        let mut unnamed = node(&[]);
        unnamed.common_name = "n1".into();
        let cases = [
            (CLIENT, &anybody, "client auth", ""),
            (CLIENT, &anybody, "client auth,digital signature", ""),
            (CLIENT, &anybody, "server auth", "invalid usage for client certificate: server auth"),
            (CLIENT, &anybody, "client auth,any", "invalid usage for client certificate: any"),
            (CLIENT, &anybody, "digital signature", "missing required usage for client certificate: client auth"),
            (KUBELET_CLIENT, &node(&[]), "digital signature,client auth", ""),
            (KUBELET_CLIENT, &node(&[]), "key encipherment,digital signature,client auth", ""),
            (KUBELET_CLIENT, &node(&["n1"]), "digital signature,client auth", "DNS subjectAltNames are not allowed"),
            (KUBELET_CLIENT, &written, "digital signature,client auth", "Email subjectAltNames are not allowed"),
            (KUBELET_CLIENT, &anybody, "digital signature,client auth", "subject organization is not system:nodes"),
            (KUBELET_CLIENT, &unnamed, "any", "subject common name does not begin with system:node:"),
            (
                KUBELET_CLIENT,
                &node(&[]),
                "digital signature,server auth",
                "usages did not match [client auth digital signature key encipherment]",
            ),
            (KUBELET_SERVING, &node(&["n1"]), "digital signature,server auth", ""),
            (KUBELET_SERVING, &node(&[]), "digital signature,server auth", "DNS or IP subjectAltName is required"),
            (KUBELET_SERVING, &unnamed, "digital signature,server auth", "DNS or IP subjectAltName is required"),
            (KUBELET_SERVING, &written, "digital signature,server auth", "DNS or IP subjectAltName is required"),
            (
                KUBELET_SERVING,
                &node(&["n1"]),
                "server auth",
                "usages did not match [digital signature key encipherment server auth]",
            ),
        ];
        for (signer, request, usages, expected) in cases {
            let usages: Vec<String> = usages.split(',').map(str::to_owned).collect();
            match check(signer, request, &usages) {
                Ok(()) => assert_eq!(expected, "", "{signer} {usages:?}"),
                Err(why) => assert_eq!(expected, why, "{signer} {usages:?}"),
            }
        }
    }
}
