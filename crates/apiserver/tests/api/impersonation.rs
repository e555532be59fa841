//! Acting as somebody else for what one may do as somebody else, and no more.

use http::HeaderName;
use portolan_identity::User;
use serde_json::{Value, json};

use crate::support::{Cluster, cluster, request};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const GROUP: &str = "authentication.k8s.io";

async fn grant(cluster: &Cluster, name: &str, kind: &str, rules: Value) {
    let role = json!({"metadata": {"name": name}, "rules": rules});
    let subject = match kind {
        "ServiceAccount" => json!({"kind": kind, "name": name, "namespace": "default"}),
        _ => json!({"kind": kind, "name": name, "apiGroup": "rbac.authorization.k8s.io"}),
    };
    let binding = json!({
        "metadata": {"name": name}, "subjects": [subject],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
    });
    for (resource, object) in [("clusterroles", role), ("clusterrolebindings", binding)] {
        let made = cluster.create(&format!("{RBAC}/{resource}"), object).await;
        assert_eq!(made.code, 201, "{made:?}");
    }
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}

async fn ask(cluster: &Cluster, user: &User, uri: &str, headers: &[(&str, &str)]) -> String {
    let mut request = request("GET", uri, "", "");
    for (name, value) in headers {
        let name: HeaderName = name.parse().expect("a name");
        request.headers_mut().append(name, value.parse().expect("a value"));
    }
    cluster.send(user.clone(), request).await.text()
}

/// Names and values.
type Headers<'a> = &'a [(&'a str, &'a str)];

#[tokio::test]
async fn each_way_needs_its_own_two_rights() {
    let cluster = cluster().await;
    let reads = json!([rule("", &["pods", "nodes", "configmaps"], &["get", "list"])]);
    for (name, kind) in [("bob", "User"), ("system:node:n1", "User"), ("system:serviceaccount:default:default", "User")]
    {
        grant(&cluster, name, kind, reads.clone()).await;
    }
    let (list, config) = ("/api/v1/pods", "/api/v1/namespaces/default/configmaps");
    let on = |mode: &str| format!("impersonate-on:{mode}:list");
    grant(
        &cluster,
        "ann",
        "User",
        json!([
            rule(GROUP, &["users", "groups", "userextras/a.io/b"], &["impersonate:user-info"]),
            rule("", &["pods"], &[&on("user-info"), &on("serviceaccount"), &on("arbitrary-node")]),
            rule(GROUP, &["serviceaccounts"], &["impersonate:serviceaccount"]),
            rule(GROUP, &["nodes"], &["impersonate:arbitrary-node"]),
            json!({"nonResourceURLs": ["/version"], "verbs": ["impersonate-on:user-info:get"]}),
        ]),
    )
    .await;
    let ann = User::new("ann", []);
    let account = "system:serviceaccount:default:default";
    let refused = |verb: &str, what: &str, group: &str, place: &str| {
        format!("is forbidden: User \"ann\" cannot {verb} resource \"{what}\" in API group \"{group}\" {place}")
    };
    let cluster_scope = "at the cluster scope";
    let cases: [(&str, Headers<'_>, String); 14] = [
        (list, &[("impersonate-user", "bob")], "200".into()),
        (list, &[("impersonate-user", account)], "200".into()),
        (list, &[("impersonate-user", "system:node:n1")], "200".into()),
        ("/version", &[("impersonate-user", "bob")], "200".into()),
        (
            "/metrics",
            &[("impersonate-user", "bob")],
            "403 forbidden: User \"ann\" cannot impersonate-on:user-info:get path \"/metrics\"".into(),
        ),
        // The right to list pods as bob says nothing of config maps.
        (
            config,
            &[("impersonate-user", "bob")],
            format!(
                "403 configmaps {}",
                refused("impersonate-on:user-info:list", "configmaps", "", "in the namespace \"default\"")
            ),
        ),
        (
            "/api/v1/pods?fieldSelector=metadata.name%3Da",
            &[("impersonate-user", "bob"), ("impersonate-uid", "7")],
            format!(
                "403 uids.authentication.k8s.io \"7\" {}",
                refused("impersonate:user-info", "uids", GROUP, cluster_scope)
            ),
        ),
        (list, &[("impersonate-user", "bob"), ("impersonate-extra-a.io%2fb", "c")], "200".into()),
        (
            list,
            &[("impersonate-user", "bob"), ("impersonate-extra-b", "c")],
            format!(
                "403 userextras.authentication.k8s.io {}: impersonating an invalid key in extra is not allowed: \
                 extra.key: Invalid value: \"b\": must be a domain-prefixed path (such as \"acme.io/foo\")",
                refused("impersonate:user-info", "userextras", GROUP, cluster_scope)
            ),
        ),
        (list, &[("impersonate-user", "bob"), ("impersonate-group", "dev")], "200".into()),
        (
            list,
            &[("impersonate-user", "bob"), ("impersonate-group", "system:masters")],
            format!(
                "403 groups.authentication.k8s.io \"system:masters\" {}: impersonating the system:masters group is not \
                 allowed",
                refused("impersonate:user-info", "groups", GROUP, cluster_scope)
            ),
        ),
        // A service account's groups are its own: with others, it is for those who may be anybody.
        (
            list,
            &[("impersonate-user", account), ("impersonate-group", "dev")],
            format!(
                "403 serviceaccounts \"default\" {}",
                refused("impersonate", "serviceaccounts", "", "in the namespace \"default\"")
            ),
        ),
        (
            list,
            &[("impersonate-group", "dev"), ("impersonate-extra-k", "v")],
            "400 requested &user.DefaultInfo{Name:\"\", UID:\"\", Groups:[]string{\"dev\"}, \
             Extra:map[string][]string{\"k\":[]string{\"v\"}}} without impersonating a user name"
                .into(),
        ),
        (list, &[("impersonate-user", "")], format!("403 pods {}", refused("list", "pods", "", cluster_scope))),
    ];
    for (uri, headers, expected) in cases {
        cluster.clock.advance(std::time::Duration::from_secs(2 * 24 * 3600));
        assert_eq!(ask(&cluster, &ann, uri, headers).await, expected, "{uri} {headers:?}");
    }
}

#[tokio::test]
async fn a_pod_acts_as_its_own_node_alone() {
    let cluster = cluster().await;
    grant(&cluster, "system:node:n1", "User", json!([rule("", &["pods"], &["list"])])).await;
    let rules = json!([
        rule("", &["pods"], &["impersonate-on:associated-node:list"]),
        rule(GROUP, &["nodes"], &["impersonate:associated-node"]),
    ]);
    grant(&cluster, "default", "ServiceAccount", rules).await;
    let node = "authentication.kubernetes.io/node-name".to_owned();
    let mut agent = User::new("system:serviceaccount:default:default", []);
    agent.extra.insert(node.clone(), vec!["n1".into()]);
    let own: &[_] = &[("impersonate-user", "system:node:n1")];
    assert_eq!(ask(&cluster, &agent, "/api/v1/pods", own).await, "200");
    let other = ask(&cluster, &agent, "/api/v1/pods", &[("impersonate-user", "system:node:n2")]).await;
    assert!(other.contains("cannot impersonate-on:arbitrary-node:list resource \"pods\""), "{other}");
    agent.extra.insert(node, vec!["n2".into()]);
    assert!(ask(&cluster, &agent, "/api/v1/pods", own).await.starts_with("403 "));
    let metrics = cluster.get("/metrics").await;
    let text = metrics.body.as_str().expect("text");
    for line in [
        "apiserver_impersonation_attempts_total{decision=\"allowed\",mode=\"associated-node\"} 1",
        "apiserver_impersonation_attempts_total{decision=\"denied\",mode=\"\"} 2",
        "apiserver_impersonation_authorization_attempts_total{decision=\"allowed\",mode=\"associated-node\"} 2",
    ] {
        assert!(text.contains(line), "{line}");
    }
}

#[tokio::test]
async fn who_may_be_anybody_still_may() {
    let cluster = cluster().await;
    grant(&cluster, "bob", "User", json!([rule("", &["pods"], &["list"])])).await;
    let rules = json!([rule("", &["users"], &["impersonate"])]);
    grant(&cluster, "ann", "User", rules).await;
    let ann = User::new("ann", []);
    let bob: &[_] = &[("impersonate-user", "bob")];
    assert_eq!(ask(&cluster, &ann, "/api/v1/pods", bob).await, "200");
    // What was the last way is tried first, and its refusal is the one that is told.
    let group = ask(&cluster, &ann, "/api/v1/pods", &[("impersonate-user", "bob"), ("impersonate-group", "g")]).await;
    assert!(group.contains("cannot impersonate resource \"groups\" in API group \"\""), "{group}");
    cluster.delete(&format!("{RBAC}/clusterrolebindings/ann"), json!({})).await;
    assert!(ask(&cluster, &ann, "/api/v1/pods", bob).await.contains("cannot impersonate resource \"users\""));
}
