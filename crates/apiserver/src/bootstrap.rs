//! What every cluster has from the start. Runs at each start and only adds what is missing.

use futures::future::try_join_all;
use http::{HeaderMap, HeaderValue, header};
use portolan_api::description::{GroupVersionKind, Resource, builtin};
use portolan_api::time;
use portolan_identity::User;
use serde_json::{Value, json};

use crate::audit::Notes;
use crate::authorization::{bootstrap as policy, escalation};
use crate::body::full;
use crate::config::Error;
use crate::endpoint::{APPLY_PATCH, Call, Changed, Delivery};
use crate::request::{Info, Query, Target};
use crate::resources::json::items;
use crate::server::Server;
use crate::status::Status;
use crate::{aggregation, authentication, fairness, own_service, resources, service_addresses, storage};

mod local_services;

const NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// Who writes what is not said to be of somebody else.
pub(crate) const SERVER: &str = "kube-apiserver";

/// Who says of the range of every cluster how it is, as upstream names it.
const RANGE_CONTROLLER: &str = "kubernetes-service-cidr-controller";

const SECRETS: Target<'static> = Target { group: "", resource: "secrets" };

/// Writes what is missing.
pub(crate) async fn run(server: &Server) -> Result<(), Error> {
    match service_addresses::repair(server).await {
        Err(status) if status.is_unreadable() => {
            tracing::error!(error = %status, "the addresses of services could not be repaired");
        }
        outcome => outcome.map_err(|status| failed("repair the addresses of services", &status))?,
    }
    // All of one step at once: they share their syncs to the disk.
    let namespaces = NAMESPACES.map(|name| {
        let labels = json!({"kubernetes.io/metadata.name": name});
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels},
        });
        ensure(server, namespace, |_| None)
    });
    try_join_all(namespaces).await?;
    let policies = policy::objects().into_iter().map(|object| {
        let wanted = object.clone();
        ensure(server, object, move |old| reconciled(old, &wanted))
    });
    try_join_all(policies).await?;
    flows(server).await?;
    let services = local_services::objects().into_iter().map(|object| {
        let wanted = object.clone();
        ensure(server, object, move |old| local_services::revised(old, &wanted))
    });
    try_join_all(services).await?;
    for (name, value, description) in [
        (
            "system-cluster-critical",
            2_000_000_000,
            "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
        ),
        (
            "system-node-critical",
            2_000_001_000,
            "Used for system critical pods that must not be moved from their current node.",
        ),
    ] {
        let class = json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
            "value": value, "description": description,
        });
        ensure(server, class, |_| None).await?;
    }
    legacy_tokens(server).await?;
    published_authorities(server).await?;
    own_range(server).await?;
    own_service::write(server).await
}

/// Says since when it is noted that tokens in Secrets are used.
async fn legacy_tokens(server: &Server) -> Result<(), Error> {
    let today = authentication::day(server.config.clock.now());
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": {"since": today},
        "metadata": {"name": "kube-apiserver-legacy-service-account-token-tracking", "namespace": "kube-system"},
    });
    ensure(server, map, |old| {
        let since = old["data"]["since"].as_str().unwrap_or_default();
        if since.parse::<jiff::civil::Date>().is_ok() {
            return None;
        }
        let mut new = old.clone();
        new["data"]["since"] = today.clone().into();
        Some(new)
    })
    .await
}

/// Writes flows and levels that are missing or are not as they should be.
pub(crate) async fn flows(server: &Server) -> Result<(), Error> {
    let flows = fairness::objects().into_iter().map(|object| {
        let wanted = object.clone();
        let update = move |old: &Value| fairness::revised(old, &wanted);
        settle(server, fairness::PRODUCER, object, Missing::Created, update)
    });
    try_join_all(flows).await.map(drop)
}

/// The certificate of the authority that vouches for this server towards extension servers. Nothing if it cannot
/// be read, as when the keys of an encrypted store are not those it was written with: whoever is to repair that
/// needs a server.
async fn own_proxy(server: &Server) -> Result<Option<String>, Error> {
    let unusable = |source| Error::NodeTls { source };
    let key = ("kube-system", "front-proxy-ca");
    let failed = |status: Status| failed("read the authority of the front proxy", &status);
    let found = match storage::find(server, SECRETS.group, SECRETS.resource, key.0, key.1).await {
        Ok(found) => found,
        Err(status) => {
            tracing::error!(error = %status, "Secret kube-system/front-proxy-ca cannot be read: no extension server \
                            can be reached");
            return Ok(None);
        }
    };
    if found.is_none() {
        ensure(server, aggregation::authority().map_err(unusable)?, |_| None).await?;
    }
    // Another server may have been first.
    let entry = storage::entry(server, &SECRETS, key.0, key.1).await.map_err(failed)?;
    let secret = storage::decode(&entry).map_err(failed)?;
    aggregation::prepare(&server.aggregation, &secret).map(Some).map_err(unusable)
}

/// Where servers of API extensions learn whose certificates they can trust.
async fn published_authorities(server: &Server) -> Result<(), Error> {
    let own = server.config.authority.certificate_pem();
    let settings = &server.config.access.authentication;
    let proxy_authority = own_proxy(server).await?;
    let mut data = json!({
        "client-ca-file": format!("{own}{}", settings.client_ca_pem),
        "requestheader-allowed-names": "[]",
        "requestheader-username-headers": r#"["X-Remote-User"]"#,
        "requestheader-uid-headers": r#"["X-Remote-Uid"]"#,
        "requestheader-group-headers": r#"["X-Remote-Group"]"#,
        "requestheader-extra-headers-prefix": r#"["X-Remote-Extra-"]"#,
    });
    if let Some(own) = proxy_authority {
        let others = settings.front_proxy.as_ref().map_or("", |proxy| &proxy.authority_pem);
        data["requestheader-client-ca-file"] = format!("{others}{own}").into();
    }
    if let Some(proxy) = &settings.front_proxy {
        for (name, list) in [
            ("allowed-names", &proxy.allowed_names),
            ("username-headers", &proxy.username_headers),
            ("uid-headers", &proxy.uid_headers),
            ("group-headers", &proxy.group_headers),
            ("extra-headers-prefix", &proxy.extra_header_prefixes),
        ] {
            let own = match name {
                // No names: whoever has a certificate of the authorities.
                "allowed-names" if list.is_empty() => None,
                "allowed-names" => Some(aggregation::CLIENT_NAME),
                "username-headers" => Some("X-Remote-User"),
                "uid-headers" => Some("X-Remote-Uid"),
                "group-headers" => Some("X-Remote-Group"),
                _ => Some("X-Remote-Extra-"),
            };
            let own = own.filter(|own| !list.iter().any(|known| known.eq_ignore_ascii_case(own)));
            let all: Vec<&str> = list.iter().map(String::as_str).chain(own).collect();
            data[format!("requestheader-{name}")] = json!(all).to_string().into();
        }
    }
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": data,
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
    });
    ensure(server, map, |old| {
        let mut new = old.clone();
        let known = new["data"]["requestheader-client-ca-file"].take();
        new["data"].clone_from(&data);
        if data["requestheader-client-ca-file"].is_null() && known.is_string() {
            new["data"]["requestheader-client-ca-file"] = known;
        }
        (new != *old).then_some(new)
    })
    .await
}

fn failed(what: &str, status: &Status) -> Error {
    Error::BootstrapObject { what: what.to_owned(), message: status.message().to_owned() }
}

/// The range that addresses of Services come from in every cluster.
async fn own_range(server: &Server) -> Result<(), Error> {
    let cidrs = json!([server.config.networks.service_cidr.to_string()]);
    let range = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "kubernetes"},
        "spec": {"cidrs": cidrs},
    });
    ensure(server, range.clone(), |old| {
        if old["spec"]["cidrs"] != cidrs {
            tracing::warn!(stored = %old["spec"]["cidrs"], configured = %cidrs, "addresses of Services come from the \
                           ServiceCIDR kubernetes as it is stored, not from what is configured");
        }
        None
    })
    .await?;
    range_is_ready(server, range, &cidrs).await
}

/// Says that the range of every cluster is ready, unless it is said how it is.
async fn range_is_ready(server: &Server, mut range: Value, cidrs: &Value) -> Result<(), Error> {
    let what = name_of(&range);
    let query = Query::parse(&format!("fieldManager={RANGE_CONTROLLER}&force=true"));
    let own = Own::about(&range, "patch", SERVER, query)?.of_status().applying();
    let call = own.call(server);
    let stored = match call.entry(&own.info.name).await {
        Ok(entry) => storage::decode(&entry).map_err(|status| failed(&what, &status))?,
        // It was told above why it is not there.
        Err(_) => return Ok(()),
    };
    let is_told = items(&stored["status"]["conditions"]).iter().any(|condition| condition["type"] == "Ready");
    if is_told || stored["spec"]["cidrs"] != *cidrs || !stored["metadata"]["deletionTimestamp"].is_null() {
        return Ok(());
    }
    let condition = json!({
        "type": "Ready", "status": "True", "message": "Kubernetes default Service CIDR is ready",
        "lastTransitionTime": time::format(call.now),
    });
    if let Some(fields) = range.as_object_mut() {
        fields.remove("spec");
    }
    range["status"] = json!({"conditions": [condition]});
    call.patch(full(range.to_string())).await.map(drop).map_err(|status| failed(&what, &status))
}

/// Rules or subjects that a stored bootstrap object lacks, unless its owner keeps it as it is.
fn reconciled(old: &Value, wanted: &Value) -> Option<Value> {
    if old["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"] != "true" {
        return None;
    }
    let mut new = old.clone();
    for list in ["rules", "subjects"] {
        let Some(items) = wanted[list].as_array() else { continue };
        if !new[list].is_array() {
            new[list] = json!([]);
        }
        if let Some(present) = new[list].as_array_mut() {
            for item in items {
                let is_allowed = || list == "rules" && escalation::allow(&Value::from(present.clone()), item);
                if !present.contains(item) && !is_allowed() {
                    present.push(item.clone());
                }
            }
        }
    }
    (new != *old).then_some(new)
}

/// Creates an object, or changes the one that is there if `update` wants that.
pub(crate) async fn ensure(
    server: &Server,
    object: Value,
    update: impl Fn(&Value) -> Option<Value>,
) -> Result<(), Error> {
    settle(server, SERVER, object, Missing::Created, update).await
}

/// Changes an object if it is there and `update` wants that.
pub(crate) async fn revise(
    server: &Server,
    object: Value,
    update: impl Fn(&Value) -> Option<Value>,
) -> Result<(), Error> {
    settle(server, SERVER, object, Missing::Left, update).await
}

/// What becomes of an object that is not there.
#[derive(Clone, Copy)]
enum Missing {
    Created,
    Left,
}

async fn settle(
    server: &Server,
    manager: &'static str,
    object: Value,
    missing: Missing,
    update: impl Fn(&Value) -> Option<Value>,
) -> Result<(), Error> {
    let what = name_of(&object);
    let own = Own::about(&object, "create", manager, Query::default())?;
    let call = own.call(server);
    let mut warnings = Vec::new();
    let outcome = match call.find(&own.info.name).await {
        Err(status) => Err(status),
        Ok(None) if matches!(missing, Missing::Left) => return Ok(()),
        Ok(None) => call.create_object(object, false, &mut warnings).await.map(drop),
        Ok(Some(entry)) => {
            let is_stale = storage::decode(&entry).is_ok_and(|old| update(&old).is_some());
            if !is_stale {
                return Ok(());
            }
            let change =
                |old: &Value, _: &mut Vec<String>| Ok(Changed::from(update(old).unwrap_or_else(|| old.clone())));
            call.change(false, &mut warnings, change).await.map(drop)
        }
    };
    match outcome {
        // Another server of the same cluster starts at the same time.
        Err(status) if status.reason() == "AlreadyExists" => Ok(()),
        // Whoever is to repair the keys of an encrypted store needs a server.
        Err(status) if status.is_unreadable() => {
            tracing::error!(object = what, error = %status, "an object that every cluster has cannot be read");
            Ok(())
        }
        Err(status) => Err(failed(&what, &status)),
        Ok(()) => Ok(()),
    }
}

/// A request of the server's own.
pub(crate) struct Own {
    resource: &'static Resource,
    pub(crate) info: Info,
    query: Query,
    pub(crate) headers: HeaderMap,
    user: User,
    notes: Notes,
}

impl Own {
    pub(crate) fn about(
        object: &Value,
        verb: &'static str,
        manager: &'static str,
        query: Query,
    ) -> Result<Self, Error> {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let kind = GroupVersionKind::from_api_version(
            object["apiVersion"].as_str().unwrap_or_default(),
            object["kind"].as_str().unwrap_or_default(),
        );
        let resource = builtin().resource_of_kind(kind);
        let resource = resource.ok_or_else(|| failed(&name_of(object), &Status::no_such_path()))?;
        let info = Info {
            verb,
            group: resource.group.clone().into_owned(),
            version: resource.version.clone().into_owned(),
            resource: resource.name.clone().into_owned(),
            namespace: text("namespace"),
            name: text("name"),
            ..Info::default()
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(manager));
        let user = User::new("system:apiserver", [policy::MASTERS]);
        Ok(Self { resource, info, query, headers, user, notes: Notes::default() })
    }

    /// About its status alone.
    pub(crate) fn of_status(mut self) -> Self {
        self.info.subresource = "status".to_owned();
        self
    }

    /// With a body that is to be applied.
    pub(crate) fn applying(mut self) -> Self {
        self.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(APPLY_PATCH));
        self
    }

    pub(crate) fn call<'a>(&'a self, server: &'a Server) -> Call<'a> {
        Call {
            server,
            description: builtin(),
            resource: self.resource,
            strategy: resources::strategy(&self.resource.group, &self.resource.name),
            info: &self.info,
            query: &self.query,
            headers: &self.headers,
            user: &self.user,
            now: server.config.clock.now(),
            delivery: Delivery::Copied,
            notes: &self.notes,
        }
    }
}

/// How failures name an object.
fn name_of(object: &Value) -> String {
    let [kind, name] = [&object["kind"], &object["metadata"]["name"]].map(|text| text.as_str().unwrap_or_default());
    format!("{kind} {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_gets_what_it_does_not_allow_yet() {
        let rule = |resources: Value, verbs: Value| json!({"apiGroups": [""], "resources": resources, "verbs": verbs});
        let role = |rules: Value, update: &str| {
            let annotations = json!({"rbac.authorization.kubernetes.io/autoupdate": update});
            json!({"metadata": {"annotations": annotations}, "rules": rules})
        };
        let (pods, nodes) = (rule(json!(["pods"]), json!(["get", "list"])), rule(json!(["nodes"]), json!(["get"])));
        let both = rule(json!(["nodes", "pods"]), json!(["get", "list"]));
        let wanted = role(json!([pods, nodes]), "true");
        for (old, update, expected) in [
            (json!([pods]), "true", Some(json!([pods, nodes]))),
            (json!([pods, nodes]), "true", None),
            // The same in other words, as an older release wrote it.
            (json!([both]), "true", None),
            (Value::Null, "true", Some(json!([pods, nodes]))),
            (json!([pods]), "false", None),
        ] {
            let changed = reconciled(&role(old.clone(), update), &wanted);
            assert_eq!(changed.map(|role| role["rules"].clone()), expected, "{old}");
        }
        // Those that are put together of others are a controller's matter.
        assert_eq!(reconciled(&role(json!([pods]), "true"), &role(Value::Null, "true")), None);
    }
}
