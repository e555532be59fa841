//! Certificates in PEM as Go reads them, and what is said of those that cannot be used.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use portolan_base::go;

const CERTIFICATE: &str = "CERTIFICATE";

/// One block of a text in PEM.
struct Block<'a> {
    /// What it holds, for example `CERTIFICATE`.
    label: &'a str,
    has_headers: bool,
    bytes: Vec<u8>,
}

impl Block<'_> {
    fn is_readable(&self) -> bool {
        portolan_identity::validity_of_certificate(&self.bytes).is_some()
    }
}

/// The blocks of a text; what stands around them, and those that are damaged, are passed over.
fn blocks(text: &str) -> impl Iterator<Item = Block<'_>> {
    text.split("-----BEGIN ").skip(1).filter_map(|begun| {
        let (label, rest) = begun.split_once("-----")?;
        let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
        let (headers, data): (Vec<&str>, Vec<&str>) = body.lines().partition(|line| line.contains(':'));
        let bytes = BASE64_STANDARD.decode(data.concat().replace([' ', '\t'], "")).ok()?;
        Some(Block { label, has_headers: !headers.is_empty(), bytes })
    })
}

/// Why a text is not certificates and nothing else.
///
/// Source: `validateCertificate` of `k8s.io/kubernetes/pkg/apis/certificates/validation`.
pub(crate) fn why_not_certificates(pem: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(pem);
    let mut count = 0;
    for block in blocks(&text) {
        if block.label != CERTIFICATE {
            return Some(format!("only CERTIFICATE PEM blocks are allowed, found {}", go::quote(block.label)));
        }
        if block.has_headers {
            return Some("no PEM block headers are permitted".to_owned());
        }
        if !block.is_readable() {
            return Some("x509: malformed certificate".to_owned());
        }
        count += 1;
    }
    (count == 0).then(|| "must contain at least one CERTIFICATE PEM block".to_owned())
}

/// Why no server can be trusted by what a `caBundle` holds.
///
/// Source: `ValidateCABundle` of `k8s.io/apiserver/pkg/util/webhook`.
pub(crate) fn why_not_authorities(pem: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(pem);
    let (mut is_usable, mut is_damaged, mut count) = (false, false, 0);
    for block in blocks(&text) {
        count += 1;
        if block.label == CERTIFICATE && !block.has_headers {
            let is_readable = block.is_readable();
            is_usable |= is_readable;
            is_damaged |= !is_readable;
        }
    }
    let why = match (is_damaged, count) {
        _ if is_usable => return None,
        (true, _) => "failed to parse certificate: x509: malformed certificate",
        (false, 0) => "unable to parse bytes as PEM block",
        (false, _) => "no valid certificate authority data seen",
    };
    Some(format!("unable to load root certificates: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(label: &str, body: &str) -> String {
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    }

    #[test]
    fn certificates_are_told_from_what_looks_like_them() {
        let authority = portolan_identity::Authority::create("test").expect("keys can be made").certificate_pem;
        let twice = format!("an explanation\n{authority}{authority}");
        for (pem, certificates, authorities) in [
            (authority.as_str(), None, None),
            (twice.as_str(), None, None),
            (
                "x",
                Some("must contain at least one CERTIFICATE PEM block"),
                Some("unable to load root certificates: unable to parse bytes as PEM block"),
            ),
            (
                &block("SECRET", "YQ=="),
                Some("only CERTIFICATE PEM blocks are allowed, found \"SECRET\""),
                Some("unable to load root certificates: no valid certificate authority data seen"),
            ),
            (
                &block("CERTIFICATE", "a: b\n\nYQ=="),
                Some("no PEM block headers are permitted"),
                Some("unable to load root certificates: no valid certificate authority data seen"),
            ),
            (
                &block("CERTIFICATE", "YQ=="),
                Some("x509: malformed certificate"),
                Some("unable to load root certificates: failed to parse certificate: x509: malformed certificate"),
            ),
            (&format!("{}{authority}", block("CERTIFICATE", "YQ==")), Some("x509: malformed certificate"), None),
        ] {
            assert_eq!(why_not_certificates(pem.as_bytes()).as_deref(), certificates, "{pem}");
            assert_eq!(why_not_authorities(pem.as_bytes()).as_deref(), authorities, "{pem}");
        }
    }
}
