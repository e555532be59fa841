//! Users, and how a certificate names one.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::Error;

/// Group of pods that the registry knows by their addresses. Holders of a service account's token are not in it: those work
/// from other machines too.
pub const PODS_GROUP: &str = "portolan:pods";

/// Who makes a request, as Kubernetes' `UserInfo`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// Name, for example `system:node:north`.
    pub name: String,
    /// UID, where the source has one (service accounts).
    pub uid: String,
    /// Groups, for example `system:masters`.
    pub groups: Vec<String>,
    /// Further facts from the source.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// A user by name and groups, plus the group of everyone who is authenticated.
    pub fn new<'a>(name: impl Into<String>, groups: impl IntoIterator<Item = &'a str>) -> Self {
        let mut groups: Vec<String> = groups.into_iter().map(str::to_owned).collect();
        groups.push("system:authenticated".into());
        Self { name: name.into(), groups, ..Self::default() }
    }

    /// The user of requests without credentials.
    pub fn anonymous() -> Self {
        Self { name: "system:anonymous".into(), groups: vec!["system:unauthenticated".into()], ..Self::default() }
    }

    /// Whether the user is in a group.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|name| name == group)
    }
}

/// The first and the last second in which a certificate holds, counted from the epoch; `None` if it cannot be read.
pub fn validity_of_certificate(der: &[u8]) -> Option<(i64, i64)> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let validity = certificate.validity();
    Some((validity.not_before.timestamp(), validity.not_after.timestamp()))
}

/// The user that a verified client certificate names: `CN` is the name, each `O` a group.
///
/// # Errors
/// The certificate cannot be read or has no common name.
pub fn user_of_certificate(der: &[u8]) -> Result<User, Error> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|error| Error::PeerCertificate(error.to_string()))?;
    let subject = certificate.subject();
    let name = subject
        .iter_common_name()
        .next()
        .and_then(|name| name.as_str().ok())
        .filter(|name| !name.is_empty())
        .ok_or_else(|| Error::PeerCertificate("it has no common name".into()))?;
    let mut user = User::new(name, subject.iter_organization().filter_map(|group| group.as_str().ok()));
    let digest = digest::digest(&digest::SHA256, der);
    let hexadecimal: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    user.extra.insert("authentication.kubernetes.io/credential-id".into(), vec![format!("X509SHA256={hexadecimal}")]);
    Ok(user)
}
