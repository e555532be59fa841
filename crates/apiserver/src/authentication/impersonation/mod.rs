//! Acting as somebody else (`kubectl --as`), as far as one may.
//!
//! Source: <https://kep.k8s.io/5284>.

mod mode;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;
use portolan_base::go;
use portolan_identity::User;

use super::{header_text, percent_decoded};
use crate::authorization::Action;
use crate::server::Server;
use crate::status::Status;

pub(crate) use mode::{Mode, NODE_NAME, service_account};

const PREFIX: &str = "impersonate-";
const EXTRA: &str = "impersonate-extra-";

/// As whom somebody acts, and how far.
#[derive(Debug, Clone)]
pub(crate) struct Impersonated {
    /// Whose rights count.
    pub(crate) user: Arc<User>,
    /// What is allowed: anything, or this request alone.
    pub(crate) mode: Mode,
}

/// Whom the headers ask for; the name is empty if they name nobody.
fn wanted(headers: &HeaderMap) -> User {
    let text = |name: &str| headers.get(name).map(header_text).unwrap_or_default();
    let mut extra = BTreeMap::<String, Vec<String>>::new();
    for (header, value) in headers {
        if let Some(key) = header.as_str().strip_prefix(EXTRA) {
            extra.entry(percent_decoded(key)).or_default().push(header_text(value));
        }
    }
    User {
        name: text("impersonate-user"),
        uid: text("impersonate-uid"),
        groups: headers.get_all("impersonate-group").iter().map(header_text).collect(),
        extra,
    }
}

/// The user that an authorized one asks to be for this request; `None` if it does not ask.
pub(super) async fn asked(
    server: &Server,
    headers: &HeaderMap,
    user: &User,
    action: Action<'_>,
) -> Result<Option<Impersonated>, Status> {
    // Most requests have none of these headers.
    if !headers.keys().any(|name| name.as_str().starts_with(PREFIX)) {
        return Ok(None);
    }
    let wanted = wanted(headers);
    if wanted.name.is_empty() {
        if wanted == User::default() {
            return Ok(None);
        }
        let what = go_syntax(&wanted);
        return Err(Status::bad_request(format!("requested {what} without impersonating a user name")));
    }
    let began = Instant::now();
    let outcome = Box::pin(mode::first(server, wanted, user, action)).await;
    let (mode, decision) = match &outcome {
        Ok(impersonated) => (impersonated.mode.name(), "allowed"),
        Err(_) => ("", "denied"),
    };
    server.metrics.impersonations.attempted(mode, decision, began.elapsed());
    outcome.map(Some)
}

/// Takes the headers away: nobody behind this is to treat the request differently.
pub(crate) fn forget(headers: &mut HeaderMap) {
    let ours: Vec<_> = headers.keys().filter(|name| name.as_str().starts_with(PREFIX)).cloned().collect();
    for name in ours {
        headers.remove(name);
    }
}

/// The user as upstream's text has it: in the syntax of Go.
fn go_syntax(user: &User) -> String {
    let list = |values: &[String]| match values {
        [] => "[]string(nil)".to_owned(),
        values => {
            let values: Vec<String> = values.iter().map(|value| go::quote(value)).collect();
            format!("[]string{{{}}}", values.join(", "))
        }
    };
    let mut text = format!(
        "&user.DefaultInfo{{Name:{}, UID:{}, Groups:{}, Extra:map[string][]string",
        go::quote(&user.name),
        go::quote(&user.uid),
        list(&user.groups)
    );
    if user.extra.is_empty() {
        text.push_str("(nil)}");
        return text;
    }
    let pairs: Vec<String> =
        user.extra.iter().map(|(key, values)| format!("{}:{}", go::quote(key), list(values))).collect();
    // Writing to a `String` cannot fail.
    let _ = write!(text, "{{{}}}}}", pairs.join(", "));
    text
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn a_header_that_is_no_text_names_somebody_too() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("impersonate-user", &b"j\xfcrgen"[..]),
            ("impersonate-group", "Köche".as_bytes()),
            ("impersonate-extra-a", b"\xff"),
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value).expect("allowed"));
        }
        let user = wanted(&headers);
        assert_eq!((user.name.as_str(), user.groups), ("j\u{fffd}rgen", vec!["Köche".to_owned()]));
        assert_eq!(user.extra["a"], ["\u{fffd}"]);
    }
}
