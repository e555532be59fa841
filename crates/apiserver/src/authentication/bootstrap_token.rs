//! Tokens with which new nodes introduce themselves: Secrets of the type
//! `bootstrap.kubernetes.io/token` in `kube-system`.
//!
//! Source: `plugin/pkg/auth/authenticator/token/bootstrap` of Kubernetes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portolan_api::time;
use portolan_base::Timestamp;
use portolan_identity::User;
use serde_json::Value;

use crate::server::Server;
use crate::storage;

const NAMESPACE: &str = "kube-system";
const GROUP: &str = "system:bootstrappers";

/// The two halves of a token of this form: `abcdef.0123456789abcdef`.
pub(super) fn split(token: &str) -> Option<(&str, &str)> {
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    token.split_once('.').filter(|(id, secret)| id.len() == 6 && secret.len() == 16 && plain(id) && plain(secret))
}

/// The user of a token.
pub(super) async fn user(server: &Server, id: &str, secret: &str, now: Timestamp) -> Result<User, String> {
    let name = format!("bootstrap-token-{id}");
    let found = storage::find(server, "", "secrets", NAMESPACE, &name).await.map_err(|status| status.to_string())?;
    let entry = found.ok_or("there is no such bootstrap token")?;
    let object = storage::decode(&entry).map_err(|status| status.to_string())?;
    described(&object, id, secret, now)
}

fn described(object: &Value, id: &str, secret: &str, now: Timestamp) -> Result<User, String> {
    let data = |field: &str| {
        let text = object["data"][field].as_str().unwrap_or_default();
        STANDARD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
    };
    if object["type"] != "bootstrap.kubernetes.io/token" || !object["metadata"]["deletionTimestamp"].is_null() {
        return Err("its secret is none of a bootstrap token".into());
    }
    if !equal(data("token-secret").as_bytes(), secret.as_bytes()) || data("token-id") != id {
        return Err("the bootstrap token is wrong".into());
    }
    let expiration = data("expiration");
    if !expiration.is_empty() && time::parse(&expiration).is_none_or(|end| end <= now) {
        return Err("the bootstrap token has expired".into());
    }
    if data("usage-bootstrap-authentication") != "true" {
        return Err("the bootstrap token is not meant for authentication".into());
    }
    let listed = data("auth-extra-groups");
    let extra: Vec<&str> = listed.split(',').map(str::trim).filter(|group| !group.is_empty()).collect();
    if let Some(bad) = extra.iter().find(|group| !is_group(group)) {
        return Err(format!("the bootstrap token names the group \"{bad}\", which is none of system:bootstrappers:"));
    }
    Ok(User::new(format!("system:bootstrap:{id}"), std::iter::once(GROUP).chain(extra)))
}

fn is_group(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("system:bootstrappers:") else { return false };
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b':' | b'-');
    rest.len() <= 256 && rest.bytes().all(inner) && rest.bytes().last().is_some_and(|last| !matches!(last, b':' | b'-'))
}

/// Compares without telling by its time where the difference is.
fn equal(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).fold(0, |sum, (left, right)| sum | (left ^ right)) == 0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_has_two_halves() {
        for (token, whole) in [
            ("abcdef.0123456789abcdef", true),
            ("abcdef.0123456789abcde", false),
            ("ABCDEF.0123456789abcdef", false),
            ("abcdef0123456789abcdef", false),
        ] {
            assert_eq!(split(token).is_some(), whole, "{token}");
        }
    }

    #[test]
    fn the_secret_says_who_a_token_is_and_until_when() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        let good =
            [("token-id", "abcdef"), ("token-secret", "0123456789abcdef"), ("usage-bootstrap-authentication", "true")];
        let cases: [(&[(&str, &str)], &str); 7] = [
            (&[], "system:bootstrap:abcdef [system:bootstrappers system:authenticated]"),
            (
                &[("auth-extra-groups", "system:bootstrappers:a, system:bootstrappers:b:c")],
                "system:bootstrap:abcdef [system:bootstrappers system:bootstrappers:a system:bootstrappers:b:c system:authenticated]",
            ),
            (&[("auth-extra-groups", "system:masters")], "none of system:bootstrappers:"),
            (&[("expiration", "2025-12-31T00:00:00Z")], "expired"),
            (&[("expiration", "soon")], "expired"),
            (&[("usage-bootstrap-authentication", "false")], "not meant"),
            (&[("token-secret", "x")], "wrong"),
        ];
        for (changes, expected) in cases {
            let mut object = json!({"type": "bootstrap.kubernetes.io/token", "metadata": {}, "data": {}});
            for (name, value) in good.iter().chain(changes) {
                object["data"][*name] = STANDARD.encode(value).into();
            }
            let text = match described(&object, "abcdef", "0123456789abcdef", now) {
                Ok(user) => format!("{} [{}]", user.name, user.groups.join(" ")),
                Err(why) => why,
            };
            assert!(text.contains(expected), "{changes:?}: {text}");
        }
    }
}
