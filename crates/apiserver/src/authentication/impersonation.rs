//! Acting as somebody else (`kubectl --as`), as far as one may.
//!
//! Source: `k8s.io/apiserver/pkg/endpoints/filters/impersonation.go`.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderMap;
use portolan_identity::User;

use super::percent_decoded;
use crate::authorization;
use crate::request::Info;
use crate::server::Server;
use crate::status::Status;

const EXTRA: &str = "impersonate-extra-";
const ANONYMOUS: &str = "system:anonymous";
const AUTHENTICATED: &str = "system:authenticated";
const UNAUTHENTICATED: &str = "system:unauthenticated";

/// Whom the headers ask for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    name: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

impl Wanted {
    fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let groups = headers.get_all("impersonate-group").iter().filter_map(|value| value.to_str().ok());
        let mut extra = BTreeMap::<String, Vec<String>>::new();
        for (header, value) in headers {
            if let (Some(key), Ok(value)) = (header.as_str().strip_prefix(EXTRA), value.to_str()) {
                extra.entry(percent_decoded(key)).or_default().push(value.to_owned());
            }
        }
        Self {
            name: text("impersonate-user"),
            uid: text("impersonate-uid"),
            groups: groups.map(str::to_owned).collect(),
            extra,
        }
    }
}

/// The user that an authorized one asks to be; `None` if it does not ask.
pub(super) async fn asked(server: &Server, headers: &HeaderMap, user: &User) -> Result<Option<Arc<User>>, Status> {
    // Most requests have none of these headers.
    if !headers.keys().any(|name| name.as_str().starts_with("impersonate-")) {
        return Ok(None);
    }
    let wanted = Wanted::of(headers);
    if wanted.name.is_empty() {
        if wanted == Wanted::default() {
            return Ok(None);
        }
        return Err(Status::internal("requested groups, a uid or extra without impersonating a user"));
    }
    let check = async |group: &str, resource: &str, subresource: &str, namespace: &str, name: &str| {
        let info = Info {
            verb: "impersonate",
            group: group.into(),
            version: "v1".into(),
            resource: resource.into(),
            subresource: subresource.into(),
            namespace: namespace.into(),
            name: name.into(),
            ..Info::default()
        };
        authorization::authorize(server, user, &info).await
    };
    let mut groups = wanted.groups.clone();
    match wanted.name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':')) {
        Some((namespace, account)) => {
            check("", "serviceaccounts", "", namespace, account).await?;
            if groups.is_empty() {
                groups = vec!["system:serviceaccounts".into(), format!("system:serviceaccounts:{namespace}")];
            }
        }
        None => check("", "users", "", "", &wanted.name).await?,
    }
    for group in &wanted.groups {
        check("", "groups", "", "", group).await?;
    }
    for (key, values) in &wanted.extra {
        for value in values {
            check("authentication.k8s.io", "userextras", key, "", value).await?;
        }
    }
    if !wanted.uid.is_empty() {
        check("authentication.k8s.io", "uids", "", "", &wanted.uid).await?;
    }
    let has = |name: &str| groups.iter().any(|group| group == name);
    if wanted.name == ANONYMOUS {
        if !has(UNAUTHENTICATED) {
            groups.push(UNAUTHENTICATED.into());
        }
    } else if !has(AUTHENTICATED) && !has(UNAUTHENTICATED) {
        groups.push(AUTHENTICATED.into());
    }
    Ok(Some(Arc::new(User { name: wanted.name, uid: wanted.uid, groups, extra: wanted.extra })))
}
