//! What is neither an object nor about one: documents, refusals, and paths at which there is nothing.

use http::header;
use portolan_identity::User;
use serde_json::{Value, json};

use crate::support::{Answer, Cluster, admin, cluster, request};

const REVIEWS: &str = "/apis/authorization.k8s.io/v1";
const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1";

async fn get(cluster: &Cluster, user: User, uri: &str, accept: &str) -> Answer {
    let mut request = request("GET", uri, "", "");
    if !accept.is_empty() {
        request.headers_mut().insert(header::ACCEPT, accept.parse().expect("a header"));
    }
    cluster.send(user, request).await
}

fn text<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).map_or("", |value| value.to_str().expect("a text"))
}

#[tokio::test]
async fn documents_say_who_may_keep_them() {
    let cluster = cluster().await;
    let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let (own, all, hour) = ("no-cache, private", "public", "public, max-age=3600");
    let plain = "text/plain; charset=utf-8";
    let binary = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    let shown = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
    let json = "application/json";
    for (uri, accept, code, kind, kept, varies, is_tagged) in [
        ("/api", "", 200, json, own, "", false),
        ("/api", "application/yaml", 200, "application/yaml", own, "", false),
        ("/apis/apps", "", 200, json, own, "", false),
        ("/apis/apps/v1", "", 200, json, own, "", false),
        ("/api", aggregated, 200, aggregated, all, "Accept", true),
        ("/apis", aggregated, 200, aggregated, all, "Accept", true),
        ("/openid/v1/jwks", "", 200, "application/jwk-set+json", hour, "", false),
        ("/.well-known/openid-configuration", "", 200, json, hour, "", false),
        ("/openapi/v2", "", 200, json, own, "Accept", true),
        ("/openapi/v2", "text/html, */*", 200, json, own, "Accept", true),
        ("/openapi/v2", binary, 200, shown, own, "Accept", true),
        ("/openapi/v2", "application/xml", 406, "", own, "Accept", false),
        ("/openapi/v2", "application/vnd.kubernetes.protobuf", 406, "", own, "Accept", false),
        ("/openapi/v3", "application/xml", 200, plain, own, "", false),
        ("/openapi/v3/apis/apps/v1", "", 200, json, own, "Accept", true),
        ("/openapi/v3/apis/apps/v1", "application/xml", 406, "", own, "Accept", false),
        ("/openapi/v3/apis/none/v1", "", 404, "", own, "", false),
        ("/openapi/v3/", "", 404, "", own, "", false),
    ] {
        let answer = get(&cluster, admin(), uri, accept).await;
        let found = (answer.code.as_u16(), text(&answer, "content-type"), text(&answer, "cache-control"));
        assert_eq!(found, (code, kind, kept), "{uri} {accept}");
        let found = (text(&answer, "vary"), answer.headers.contains_key("etag"));
        assert_eq!(found, (varies, is_tagged), "{uri} {accept}");
    }
}

#[tokio::test]
async fn documents_of_versions_are_found_by_their_hashes() {
    let cluster = cluster().await;
    let index = get(&cluster, admin(), "/openapi/v3", "").await;
    let uri = index.body["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().expect("a path");
    let hash = uri.split_once("?hash=").expect("a hash").1;
    let moved = get(&cluster, admin(), "/openapi/v3/apis/apps/v1?hash=old", "").await;
    assert_eq!((moved.code.as_u16(), text(&moved, "location"), &moved.body), (301, uri, &json!("")));
    let found = get(&cluster, admin(), uri, "").await;
    assert_eq!((found.code.as_u16(), text(&found, "cache-control")), (200, "public, immutable"));
    assert_eq!(text(&found, "etag"), format!("\"{hash}\""));
    assert_eq!(text(&found, "expires"), "Sat, 02 Jan 2027 03:04:05 UTC");
}

#[tokio::test]
async fn what_filters_answer_is_not_to_be_guessed_at() {
    let cluster = cluster().await;
    let jane = || User::new("jane", ["system:authenticated"]);
    let mark = |answer: &Answer| text(answer, "x-content-type-options").to_owned();
    for (user, uri, code, marked) in [
        (jane(), "/api/v1/pods", 403, "nosniff"),
        (jane(), "/nope", 403, "nosniff"),
        (jane(), "/api", 200, ""),
        (jane(), "/healthz", 200, "nosniff"),
        (admin(), "/readyz?verbose", 200, "nosniff"),
        (admin(), "/livez/ping", 200, ""),
        (admin(), "/nope", 404, "nosniff"),
        (admin(), "/api/v1/nope", 404, ""),
    ] {
        let answer = get(&cluster, user, uri, "").await;
        assert_eq!((answer.code.as_u16(), &*mark(&answer)), (code, marked), "{uri}");
    }
    let mut nobody = request("GET", "/api", "", "");
    nobody.headers_mut().insert("impersonate-group", "x".parse().expect("a header"));
    let refused = cluster.send(admin(), nobody).await;
    assert_eq!((refused.code.as_u16(), &*mark(&refused)), (400, "nosniff"));
}

#[tokio::test]
async fn there_is_nothing_where_nobody_can_do_anything() {
    let cluster = cluster().await;
    for (method, uri, code) in [
        ("DELETE", "/api/v1/bindings", 404),
        ("POST", "/api/v1/pods", 405),
        ("GET", "/api/v1/namespaces/default/bindings", 405),
        ("DELETE", "/api/v1/namespaces/default/bindings/x", 404),
        ("GET", "/apis/authorization.k8s.io/v1/subjectaccessreviews", 405),
        ("DELETE", "/apis/authorization.k8s.io/v1/subjectaccessreviews/x", 404),
        ("POST", "/apis/authentication.k8s.io/v1/tokenreviews/x", 404),
        ("POST", "/api/v1/namespaces/default/pods/x", 405),
    ] {
        assert_eq!(cluster.ask(method, uri, "", "").await.code, code, "{method} {uri}");
    }
    let unclear = cluster.get("/api/v1/watch?x=%3C").await;
    assert_eq!((unclear.code.as_u16(), text(&unclear, "cache-control")), (500, ""));
    let unclear = unclear.body.as_str().unwrap_or_default();
    let why = "failed to create RequestInfo: unable to determine kind and namespace from url, /api/v1/watch";
    assert_eq!(unclear, format!("Internal Server Error: \"/api/v1/watch?x=%3C\": {why}\n"));
    let below = cluster.get("/apis/batch/v1/namespaces/default/jobs/x/status/y").await.text();
    assert_eq!(below, "404 the server could not find the requested resource");
    let unknown = cluster.ask("DELETE", "/api/v1/componentstatuses", "", "").await;
    assert_eq!((unknown.code.as_u16(), text(&unknown, "warning")), (405, ""));
}

#[tokio::test]
async fn reasons_say_to_whom_a_role_is_bound() {
    let cluster = cluster().await;
    let group = "rbac.authorization.k8s.io";
    let role =
        json!({"metadata": {"name": "r"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]});
    assert_eq!(cluster.create(&format!("{ROLES}/namespaces/default/roles"), role).await.code, 201);
    let subjects = json!([
        {"kind": "User", "apiGroup": group, "name": "jane"},
        {"kind": "Group", "apiGroup": group, "name": "dev"},
        {"kind": "ServiceAccount", "name": "s", "namespace": "other"},
    ]);
    for (place, name, kind, role) in [
        ("/namespaces/default/rolebindings", "b", "Role", "r"),
        ("/clusterrolebindings", "lost", "ClusterRole", "none"),
    ] {
        let binding = json!({
            "metadata": {"name": name}, "roleRef": {"apiGroup": group, "kind": kind, "name": role}, "subjects": subjects,
        });
        assert_eq!(cluster.create(&format!("{ROLES}{place}"), binding).await.code, 201);
    }
    let by = "RBAC: allowed by RoleBinding \"b/default\" of Role \"r\" to";
    let lost = "RBAC: clusterrole.rbac.authorization.k8s.io \"none\" not found";
    for (user, groups, verb, reason) in [
        ("jane", json!([]), "get", format!("{by} User \"jane\"")),
        ("bob", json!(["dev"]), "get", format!("{by} Group \"dev\"")),
        ("system:serviceaccount:other:s", json!([]), "get", format!("{by} ServiceAccount \"s/other\"")),
        ("jane", json!([]), "list", lost.to_owned()),
    ] {
        let review = json!({"spec": {"user": user, "groups": groups, "resourceAttributes": {
            "namespace": "default", "verb": verb, "resource": "pods",
        }}});
        let answer = cluster.create(&format!("{REVIEWS}/subjectaccessreviews"), review).await;
        assert_eq!(answer.body["status"]["reason"], json!(reason), "{user} {verb}");
    }
    let both = json!({"spec": {"user": "jane", "resourceAttributes": {}, "nonResourceAttributes": {"verb": "get"}}});
    let refused = cluster.create(&format!("{REVIEWS}/subjectaccessreviews"), both).await.text();
    assert!(refused.contains("Invalid value: {\"Path\":\"\",\"Verb\":\"get\"}: cannot be specified"), "{refused}");
    let refused = get(&cluster, User::new("jane", []), "/api/v1/namespaces/default/pods", "").await.text();
    assert!(refused.ends_with(&format!("in the namespace \"default\": {lost}")), "{refused}");
    let rules = |user: User| {
        let review = json!({"spec": {"namespace": "default"}}).to_string();
        cluster.send(user, request("POST", &format!("{REVIEWS}/selfsubjectrulesreviews"), "application/json", &review))
    };
    let reader = User::new("jane", ["system:authenticated"]);
    let status = rules(reader).await.body["status"].take();
    let told = (&status["incomplete"], status["evaluationError"].as_str());
    assert_eq!(told, (&json!(false), Some("clusterrole.rbac.authorization.k8s.io \"none\" not found")));
    let listed = status["resourceRules"].as_array().expect("a list");
    let resources: Vec<&Value> = listed.iter().map(|rule| &rule["resources"]).collect();
    // Those of all namespaces come first.
    assert_eq!(resources.last(), Some(&&json!(["pods"])));
    let node = rules(User::new("system:node:n1", ["system:nodes", "system:authenticated"])).await.body["status"].take();
    let told = (&node["incomplete"], node["evaluationError"].as_str());
    assert_eq!(told, (&json!(true), Some("node authorizer does not support user rule resolution")));
}

#[tokio::test]
async fn settings_are_told_under_the_names_of_flags() {
    let cluster = cluster().await;
    let page = get(&cluster, admin(), "/flagz", "").await;
    let page = page.body.as_str().expect("a text");
    assert!(
        page.starts_with("\napiserver flagz\nWarning: This endpoint is not meant to be machine parseable"),
        "{page}"
    );
    assert!(page.contains("\nadvertise-address: 192.0.2.10\n") && page.contains("\nauthorization-mode: [Node,RBAC]\n"));
    let object = get(&cluster, admin(), "/flagz", "application/json;as=Flagz;g=config.k8s.io;v=v1beta1").await;
    assert_eq!(text(&object, "content-type"), "application/json;g=config.k8s.io;v=v1beta1;as=Flagz");
    assert_eq!((&object.body["kind"], &object.body["flags"]["request-timeout"]), (&json!("Flagz"), &json!("1m0s")));
    let stranger = get(&cluster, User::new("jane", ["system:authenticated"]), "/flagz", "").await;
    let watcher = get(&cluster, User::new("jane", ["system:monitoring"]), "/flagz", "").await;
    assert_eq!((stranger.code.as_u16(), watcher.code.as_u16()), (403, 200));
}
