//! Webhooks: an HTTPS server that decides, and what the API makes of it.

mod answers;
mod records;
mod server;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use self::server::Hook;
use crate::support::{Cluster, cluster, own_address, pod};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const MUTATING: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
const VALIDATING: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";

fn patch(operations: &Value) -> Value {
    json!({"allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(operations.to_string())})
}

fn hook(name: &str, client: Value, resources: &[&str]) -> Value {
    json!({
        "name": format!("{name}.example.com"), "clientConfig": client, "sideEffects": "None",
        "admissionReviewVersions": ["v1"], "timeoutSeconds": 2,
        "rules": [{"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": resources}],
    })
}

async fn register(cluster: &Cluster, path: &str, name: &str, hooks: &[Value]) {
    let kind = if path == MUTATING { "MutatingWebhookConfiguration" } else { "ValidatingWebhookConfiguration" };
    let body = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "webhooks": hooks,
    });
    let made = cluster.create(path, body).await;
    assert_eq!(made.code, 201, "{made:?}");
}

fn map(name: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"a": "b"}})
}

#[tokio::test]
async fn a_validating_hook_refuses_warns_and_sees_who_asks_for_what() {
    let cluster = cluster().await;
    let hook_server = Hook::start(&cluster, |_, request| {
        if request["object"]["data"]["bad"].is_string() {
            return json!({"allowed": false, "status": {"message": "no", "code": 418, "reason": "Because"}, "warnings": ["w"]});
        }
        json!({"allowed": request["name"] != "silent", "warnings": ["careful"]})
    })
    .await;
    register(&cluster, VALIDATING, "a", &[hook("deny", hook_server.url("x"), &["configmaps"])]).await;
    let fine = cluster.create(CONFIG_MAPS, map("fine")).await;
    assert_eq!((fine.code.as_u16(), fine.headers["warning"].to_str().ok()), (201, Some("299 - \"careful\"")));
    let mut bad = map("bad");
    bad["data"]["bad"] = "x".into();
    let refused = cluster.create(CONFIG_MAPS, bad).await;
    assert_eq!(refused.text(), "418 admission webhook \"deny.example.com\" denied the request: no");
    assert_eq!(
        (&refused.body["reason"], refused.headers["warning"].to_str().ok()),
        (&json!("Because"), Some("299 - \"w\""))
    );
    let silent = cluster.create(CONFIG_MAPS, map("silent")).await;
    assert_eq!(silent.text(), "400 admission webhook \"deny.example.com\" denied the request without explanation");
    // An update sees both versions, a deletion only the old one, a dry run says that it is one.
    let fine = format!("{CONFIG_MAPS}/fine");
    let patched = cluster.ask("PATCH", &fine, "application/merge-patch+json", r#"{"data":{"a":"c"}}"#).await;
    assert_eq!(patched.code, 200, "{patched:?}");
    assert_eq!(cluster.delete(&format!("{fine}?dryRun=All"), json!({"gracePeriodSeconds": 3})).await.code, 200);
    let seen = hook_server.seen.lock().clone();
    let line = |request: &Value| {
        format!(
            "{} {} {} {} {} {} {}",
            request["operation"].as_str().unwrap_or_default(),
            request["name"].as_str().unwrap_or_default(),
            request["object"]["data"]["a"],
            request["oldObject"]["data"]["a"],
            request["dryRun"],
            request["options"]["kind"].as_str().unwrap_or_default(),
            request["userInfo"]["username"].as_str().unwrap_or_default(),
        )
    };
    let lines: Vec<String> = seen.iter().map(line).collect();
    assert_eq!(
        lines,
        [
            "CREATE fine \"b\" null false CreateOptions admin",
            "CREATE bad \"b\" null false CreateOptions admin",
            "CREATE silent \"b\" null false CreateOptions admin",
            "UPDATE fine \"c\" \"b\" false UpdateOptions admin",
            "DELETE fine null \"c\" true DeleteOptions admin",
        ]
    );
    assert!(seen[3]["object"]["metadata"]["resourceVersion"].is_string());
    // Who owns what is known before anybody is asked.
    for request in &seen[..4] {
        assert!(request["object"]["metadata"]["managedFields"][0]["fieldsV1"]["f:data"].is_object(), "{request}");
    }
    assert_eq!(cluster.get(&fine).await.body["metadata"]["managedFields"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn mutating_hooks_follow_each_other_and_what_they_make_is_checked() {
    let cluster = cluster().await;
    let server = Hook::start(&cluster, |path, request| match path {
        "first" => patch(&json!([{"op": "add", "path": "/data/first", "value": "1"}])),
        "second" if request["object"]["data"]["first"] == "1" => {
            patch(&json!([{"op": "add", "path": "/data/second", "value": "2"}, {"op": "add", "path": "/unheard", "value": 1}]))
        }
        "broken" => patch(&json!([{"op": "add", "path": "/data/number", "value": 5}])),
        _ => json!({"allowed": true}),
    })
    .await;
    let hooks = [hook("second", server.url("second"), &["configmaps"])];
    register(&cluster, MUTATING, "b", &hooks).await;
    let mut first = hook("first", server.url("first"), &["configmaps"]);
    first["reinvocationPolicy"] = "IfNeeded".into();
    register(&cluster, MUTATING, "a", &[first]).await;
    let made = cluster.create(CONFIG_MAPS, map("a")).await;
    assert_eq!(made.body["data"], json!({"a": "b", "first": "1", "second": "2"}));
    assert_eq!(made.body.get("unheard"), None);
    // The first one asked to look again if somebody behind it changed the object.
    assert_eq!(server.seen(), ["first", "second", "first"]);
    let mut broken = hook("broken", server.url("broken"), &["configmaps"]);
    broken["objectSelector"] = json!({"matchLabels": {"break": "yes"}});
    register(&cluster, MUTATING, "c", &[broken]).await;
    let mut object = map("broken");
    object["metadata"]["labels"] = json!({"break": "yes"});
    let refused = cluster.create(CONFIG_MAPS, object).await;
    assert_eq!(refused.code, 500, "{refused:?}");
    assert_eq!(cluster.create(CONFIG_MAPS, map("other")).await.code, 201);
}

#[tokio::test]
async fn defaults_are_filled_in_after_a_hook_and_a_hook_may_add_a_container() {
    let cluster = cluster().await;
    let server = Hook::start(&cluster, |_, _| {
        patch(&json!([{"op": "add", "path": "/spec/containers/-", "value": {"name": "side", "image": "side"}}]))
    })
    .await;
    register(&cluster, MUTATING, "a", &[hook("inject", server.url("x"), &["pods"])]).await;
    let made = cluster.create("/api/v1/namespaces/default/pods", pod("a")).await;
    let side = &made.body["spec"]["containers"][1];
    assert_eq!(
        (&side["imagePullPolicy"], &side["terminationMessagePath"]),
        (&json!("Always"), &json!("/dev/termination-log"))
    );
    // What is built in looked at the new container too.
    assert_eq!(side["volumeMounts"][0]["mountPath"], "/var/run/secrets/kubernetes.io/serviceaccount");
}

#[tokio::test]
async fn a_hook_that_does_not_answer_fails_or_is_passed_over_as_configured() {
    let cluster = cluster().await;
    let server = Hook::start(&cluster, |path, _| match path {
        "hang" => json!("hang"),
        "uid" => json!({"allowed": true, "uid": "other"}),
        "page" => json!("<html></html>"),
        _ => json!({"allowed": true}),
    })
    .await;
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address").port();
    let service = json!({"service": {"namespace": "default", "name": "none"}, "caBundle": server.bundle});
    let untrusted =
        json!({"url": format!("https://localhost:{}/x", server.port), "caBundle": STANDARD.encode(other_authority())});
    let cases = [
        (
            json!({"url": format!("https://127.0.0.1:{closed}/x"), "caBundle": server.bundle}),
            format!(
                "failed to call webhook: Post \"https://127.0.0.1:{closed}/x?timeout=1s\": dial tcp 127.0.0.1:{closed}: connect: connection refused"
            ),
        ),
        (
            service,
            "failed to call webhook: Post \"https://none.default.svc:443/?timeout=1s\": service \"none\" not found"
                .into(),
        ),
        (
            untrusted,
            format!(
                "failed to call webhook: Post \"https://localhost:{}/x?timeout=1s\": tls: failed to verify certificate: x509: certificate signed by unknown authority",
                server.port
            ),
        ),
        (
            server.url("hang"),
            format!(
                "failed to call webhook: Post \"https://localhost:{}/hang?timeout=1s\": context deadline exceeded",
                server.port
            ),
        ),
        (
            server.url("page"),
            "failed to call webhook: couldn't get version/kind; json parse error: json: cannot unmarshal string into \
             Go value of type struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; \
             Kind string \"json:\\\"kind,omitempty\\\"\" }"
                .into(),
        ),
    ];
    for (index, (client, why)) in cases.into_iter().enumerate() {
        for path in [VALIDATING, MUTATING] {
            let mut failing = hook("failing", client.clone(), &["configmaps"]);
            failing["timeoutSeconds"] = 1.into();
            register(&cluster, path, "failing", &[failing.clone()]).await;
            let answer = cluster.create(CONFIG_MAPS, map("a")).await;
            assert_eq!(
                answer.text(),
                format!("500 Internal error occurred: failed calling webhook \"failing.example.com\": {why}")
            );
            cluster.delete(&format!("{path}/failing"), json!({})).await;
            failing["failurePolicy"] = "Ignore".into();
            register(&cluster, path, "failing", &[failing]).await;
            let name = format!("ignored-{index}-{}", path.contains("mutating"));
            assert_eq!(cluster.create(CONFIG_MAPS, map(&name)).await.code, 201);
            cluster.delete(&format!("{path}/failing"), json!({})).await;
        }
    }
    register(&cluster, VALIDATING, "uid", &[hook("uid", server.url("uid"), &["configmaps"])]).await;
    let answer = cluster.create(CONFIG_MAPS, map("a")).await;
    let start = "500 Internal error occurred: failed calling webhook \"uid.example.com\": received invalid webhook response: expected response.uid=\"";
    assert!(answer.text().starts_with(start), "{}", answer.text());
}

#[tokio::test]
async fn a_hook_that_only_says_yes_or_no_may_not_send_a_patch() {
    let cluster = cluster().await;
    let server = Hook::start(&cluster, |path, _| match path {
        "patch" => patch(&json!([])),
        _ => json!({"allowed": true, "patchType": "JSONPatch"}),
    })
    .await;
    for (path, field) in [("patch", "patch"), ("type", "patchType")] {
        let mut changing = hook("changing", server.url(path), &["configmaps"]);
        register(&cluster, VALIDATING, "changing", &[changing.clone()]).await;
        let answer = cluster.create(CONFIG_MAPS, map("a")).await;
        assert_eq!(
            answer.text(),
            format!(
                "500 Internal error occurred: failed calling webhook \"changing.example.com\": received invalid webhook \
                 response: validating webhook may not return response.{field}"
            )
        );
        cluster.delete(&format!("{VALIDATING}/changing"), json!({})).await;
        changing["failurePolicy"] = "Ignore".into();
        register(&cluster, VALIDATING, "changing", &[changing.clone()]).await;
        assert_eq!(cluster.create(CONFIG_MAPS, map(&format!("{path}-ignored"))).await.code, 201);
        cluster.delete(&format!("{VALIDATING}/changing"), json!({})).await;
        // The first version of reviews did not look.
        changing["failurePolicy"] = "Fail".into();
        changing["admissionReviewVersions"] = json!(["v1beta1"]);
        register(&cluster, VALIDATING, "changing", &[changing]).await;
        assert_eq!(cluster.create(CONFIG_MAPS, map(&format!("{path}-before"))).await.code, 201);
        cluster.delete(&format!("{VALIDATING}/changing"), json!({})).await;
    }
}

#[tokio::test]
async fn a_patch_that_nobody_can_read_is_a_failure_of_the_hook() {
    let cluster = cluster().await;
    let server = Hook::start(&cluster, |path, _| {
        let text = match path {
            "half" | "refused" => "[{",
            "object" => "{}",
            "number" => "[1]",
            _ => "null",
        };
        json!({"allowed": path != "refused", "patchType": "JSONPatch", "patch": STANDARD.encode(text)})
    })
    .await;
    for (path, why) in [
        ("half", "unexpected end of JSON input"),
        ("object", "json: cannot unmarshal object into Go value of type jsonpatch.Patch"),
        ("number", "json: cannot unmarshal number into Go value of type jsonpatch.Operation"),
    ] {
        register(&cluster, MUTATING, "garbled", &[hook("garbled", server.url(path), &["configmaps"])]).await;
        let answer = cluster.create(CONFIG_MAPS, map("a")).await;
        assert_eq!(
            answer.text(),
            format!(
                "500 Internal error occurred: failed calling webhook \"garbled.example.com\": received undecodable patch \
                 in webhook response: {why}"
            )
        );
        cluster.delete(&format!("{MUTATING}/garbled"), json!({})).await;
    }
    // Whoever says no is not asked how to change the object, and null changes nothing.
    register(&cluster, MUTATING, "garbled", &[hook("garbled", server.url("refused"), &["configmaps"])]).await;
    let refused = "400 admission webhook \"garbled.example.com\" denied the request without explanation";
    assert_eq!(cluster.create(CONFIG_MAPS, map("a")).await.text(), refused);
    cluster.delete(&format!("{MUTATING}/garbled"), json!({})).await;
    register(&cluster, MUTATING, "garbled", &[hook("garbled", server.url("null"), &["configmaps"])]).await;
    assert_eq!(cluster.create(CONFIG_MAPS, map("a")).await.code, 201);
}

#[tokio::test]
async fn what_a_hook_says_instead_of_an_answer_is_told() {
    let cluster = cluster().await;
    let server = Hook::start(&cluster, |path, _| match path {
        "status" => {
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no, I say", "code": 403})
        }
        "success" => json!({"kind": "Status", "apiVersion": "v1", "status": "Success", "message": "yes", "code": 418}),
        "base64" => json!({"allowed": true, "patchType": "JSONPatch", "patch": "ab!d"}),
        _ => patch(&json!([{"op": "add", "path": "/data/number", "value": 5}])),
    })
    .await;
    let called = |why: &str| format!("failed calling webhook \"odd.example.com\": failed to call webhook: {why}");
    for (path, why) in [
        ("status", called("no, I say")),
        ("success", called("the server responded with the status code 418 but did not return more information")),
        ("base64", called("illegal base64 data at input byte 2")),
        ("number", "json: cannot unmarshal number into Go struct field ConfigMap.data of type string".into()),
    ] {
        register(&cluster, MUTATING, "odd", &[hook("odd", server.url(path), &["configmaps"])]).await;
        let answer = cluster.create(&format!("{CONFIG_MAPS}?fieldValidation=Strict"), map("a")).await;
        assert_eq!(answer.text(), format!("500 Internal error occurred: {why}"), "{path}");
        cluster.delete(&format!("{MUTATING}/odd"), json!({})).await;
    }
}

fn other_authority() -> String {
    let directory = tempfile::tempdir().expect("a folder");
    let other = portolan_identity::Authority::load_or_create(directory.path(), "other").expect("an authority");
    other.certificate_pem().to_owned()
}

#[tokio::test]
async fn a_hook_behind_a_service_is_reached_at_a_ready_endpoint() {
    let cluster = cluster().await;
    let server =
        Hook::start(&cluster, |_, _| json!({"allowed": false, "status": {"message": "from the service"}})).await;
    let service = json!({"metadata": {"name": "hook"}, "spec": {"ports": [{"port": 443, "targetPort": 8443}]}});
    assert_eq!(cluster.create("/api/v1/namespaces/default/services", service).await.code, 201);
    let client = json!({"service": {"namespace": "default", "name": "hook", "path": "/x"}, "caBundle": server.bundle});
    register(&cluster, VALIDATING, "a", &[hook("a", client, &["configmaps"])]).await;
    let nowhere = cluster.create(CONFIG_MAPS, map("a")).await;
    assert!(nowhere.text().ends_with("no endpoints available for service \"hook\""), "{}", nowhere.text());
    let slice = json!({
        "metadata": {"name": "hook-1", "labels": {"kubernetes.io/service-name": "hook"}}, "addressType": "IPv4",
        "endpoints": [{"addresses": ["127.0.0.1"]}], "ports": [{"port": server.port, "name": ""}],
    });
    let made = cluster.create("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", slice).await;
    // Slices may not hold loopback addresses, as upstream; the store may.
    if made.code != 201 {
        cluster.put_slice("default", "hook-1", "hook", server.port).await;
    }
    let answer = cluster.create(CONFIG_MAPS, map("a")).await;
    assert_eq!(answer.text(), "400 admission webhook \"a.example.com\" denied the request: from the service");
}

#[tokio::test]
async fn selectors_side_effects_connections_and_hooks_themselves() {
    let cluster = cluster().await;
    let server = Hook::start(&cluster, |_, _| json!({"allowed": false})).await;
    let mut all = hook("all", server.url("x"), &["*/*"]);
    all["rules"][0]["apiGroups"] = json!(["*"]);
    all["rules"][0]["apiVersions"] = json!(["*"]);
    all["namespaceSelector"] = json!({"matchLabels": {"guarded": "yes"}});
    all["sideEffects"] = "NoneOnDryRun".into();
    register(&cluster, VALIDATING, "all", &[all]).await;
    // Not this namespace; and nobody decides about who decides.
    assert_eq!(cluster.create(CONFIG_MAPS, map("a")).await.code, 201);
    assert_eq!(cluster.create("/api/v1/namespaces/default/pods", pod("a")).await.code, 201);
    let labels = json!({"metadata": {"labels": {"guarded": "yes"}}}).to_string();
    let denied = cluster.ask("PATCH", "/api/v1/namespaces/default", "application/merge-patch+json", &labels).await;
    assert_eq!(denied.code, 400, "a namespace is selected by the labels that it shall have");
    assert_eq!(cluster.delete(&format!("{VALIDATING}/all"), json!({})).await.code, 200);
    let exec = "/api/v1/namespaces/default/pods/a/exec?command=ls&stdout=true";
    let mut connect = hook("connect", server.url("x"), &["pods/exec", "pods/eviction", "deployments/scale"]);
    connect["rules"][0]["apiGroups"] = json!(["*"]);
    register(&cluster, VALIDATING, "connect", &[connect]).await;
    assert_eq!(
        cluster.ask("POST", exec, "", "").await.text(),
        "400 admission webhook \"connect.example.com\" denied the request without explanation"
    );
    let eviction = json!({"metadata": {"name": "a"}});
    assert_eq!(cluster.create("/api/v1/namespaces/default/pods/a/eviction", eviction).await.code, 400);
    let seen = server.seen.lock().clone();
    let options = &seen[1]["object"];
    assert_eq!(
        (&seen[1]["operation"], &options["kind"], &options["command"]),
        (&json!("CONNECT"), &json!("PodExecOptions"), &json!(["ls"]))
    );
    assert_eq!((&seen[2]["kind"]["kind"], &seen[2]["subResource"]), (&json!("Eviction"), &json!("eviction")));
}

#[tokio::test]
async fn match_conditions_decide_whether_a_hook_is_asked() {
    let cluster = cluster().await;
    let server = Hook::start(&cluster, |_, _| json!({"allowed": false})).await;
    let mut conditional = hook("conditional", server.url("x"), &["configmaps"]);
    conditional["matchConditions"] = json!([
        {"name": "not-admin", "expression": "request.userInfo.username == 'admin'"},
        {"name": "marked", "expression": "object.metadata.name.startsWith('x')"},
    ]);
    register(&cluster, VALIDATING, "a", &[conditional.clone()]).await;
    assert_eq!(cluster.create(CONFIG_MAPS, map("a")).await.code, 201);
    assert_eq!(cluster.create(CONFIG_MAPS, map("xa")).await.code, 400);
    cluster.delete(&format!("{VALIDATING}/a"), json!({})).await;
    conditional["matchConditions"] = json!([{"name": "fails", "expression": "object.data.missing == 'x'"}]);
    register(&cluster, VALIDATING, "a", &[conditional.clone()]).await;
    let unknown = cluster.create(CONFIG_MAPS, map("b")).await;
    assert_eq!(
        unknown.text(),
        "403 configmaps \"b\" is forbidden: expression 'object.data.missing == 'x'' resulted in error: no such key: missing"
    );
    conditional["matchConditions"] = json!([{"name": "bad", "expression": "object.metadata.name =="}]);
    let body = json!({"metadata": {"name": "b"}, "webhooks": [conditional]});
    let refused = cluster.create(VALIDATING, body).await;
    let start = "422 ValidatingWebhookConfiguration.admissionregistration.k8s.io \"b\" is invalid: webhooks[0].matchConditions[0].expression: Invalid value: \"object.metadata.name ==\": compilation failed: ERROR: <input>:1:24: Syntax error";
    assert!(refused.text().starts_with(start), "{}", refused.text());
    let twice = json!({"name": "a", "expression": "true"});
    conditional["matchConditions"] = json!([twice, twice]);
    let body = json!({"metadata": {"name": "b"}, "webhooks": [conditional]});
    let refused = cluster.create(VALIDATING, body).await;
    assert_eq!(
        refused.text(),
        "422 ValidatingWebhookConfiguration.admissionregistration.k8s.io \"b\" is invalid: \
         webhooks[0].matchConditions[1].name: Duplicate value: \"a\""
    );
}

#[tokio::test]
async fn configurations_are_completed_and_checked() {
    let cluster = cluster().await;
    let body = json!({"metadata": {"name": "a"}, "webhooks": [hook("a", json!({"service": {"namespace": "n", "name": "s"}}), &["pods"])]});
    let made = cluster.create(MUTATING, body).await;
    let it = &made.body["webhooks"][0];
    let filled = ["failurePolicy", "matchPolicy", "reinvocationPolicy", "namespaceSelector", "objectSelector"];
    assert_eq!(json!(filled.map(|field| &it[field])), json!(["Fail", "Equivalent", "Never", {}, {}]));
    assert_eq!((&it["clientConfig"]["service"]["port"], &it["rules"][0]["scope"]), (&json!(443), &json!("*")));
    let bad = json!({"metadata": {"name": "b"}, "webhooks": [
        {"name": "short", "clientConfig": {"url": "http://user@x/?a=b"}, "timeoutSeconds": 31, "admissionReviewVersions": ["v2"],
         "rules": [{"operations": ["*", "PATCH"], "apiGroups": [], "apiVersions": ["v1"], "resources": ["*/*", "pods"]}]},
    ]});
    let refused = cluster.create(MUTATING, bad).await;
    let causes = refused.body["details"]["causes"].as_array().expect("causes");
    let lines: Vec<String> = causes
        .iter()
        .map(|cause| {
            format!(
                "{}: {}",
                cause["field"].as_str().unwrap_or_default(),
                cause["message"].as_str().unwrap_or_default()
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            "webhooks[0].name: Invalid value: \"short\": should be a domain with at least three segments separated by dots",
            "webhooks[0].rules[0].operations: Invalid value: [\"*\",\"PATCH\"]: if '*' is present, must not specify other operations",
            "webhooks[0].rules[0].operations[1]: Unsupported value: \"PATCH\": supported values: \"*\", \"CONNECT\", \"CREATE\", \"DELETE\", \"UPDATE\"",
            "webhooks[0].rules[0].apiGroups: Required value",
            "webhooks[0].rules[0].resources: Invalid value: [\"*/*\",\"pods\"]: if '*/*' is present, must not specify other resources",
            "webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun",
            "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
            "webhooks[0].clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",
            "webhooks[0].clientConfig.url: Invalid value: \"user\": user information is not permitted in the URL",
            "webhooks[0].clientConfig.url: Invalid value: \"a=b\": query parameters are not permitted in the URL",
            "webhooks[0].admissionReviewVersions: Invalid value: [\"v2\"]: must include at least one of v1, v1beta1",
        ]
    );
}

#[tokio::test]
async fn a_pod_that_speaks_tls_is_reached_whatever_its_certificate() {
    let cluster = cluster().await;
    let server = Hook::start(&cluster, |path, _| json!({"allowed": true, "path": path})).await;
    assert_eq!(cluster.create("/api/v1/namespaces/default/pods", pod("a")).await.code, 201);
    let path = format!("/api/v1/namespaces/default/pods/https:a:{}/proxy/some/path", server.port);
    cluster.place_pod("a", "127.0.0.1").await;
    let refused = cluster.ask("POST", &path, "application/json", r#"{"request": {}}"#).await;
    assert_eq!(refused.text(), "400 address not allowed");
    cluster.place_pod("a", &own_address().to_string()).await;
    let answer = cluster.ask("POST", &path, "application/json", r#"{"request": {}}"#).await;
    assert_eq!(answer.body["response"]["path"], "some/path", "{answer:?}");
}

/// A hook for one version of a resource.
fn versioned(name: &str, client: Value, (group, version, resource): (&str, &str, &str)) -> Value {
    let mut hook = hook(name, client, &[resource]);
    hook["rules"][0]["apiGroups"] = json!([group]);
    hook["rules"][0]["apiVersions"] = json!([version]);
    hook
}

#[tokio::test]
async fn a_hook_hears_of_other_versions_in_its_own() {
    let cluster = cluster().await;
    let server = Hook::start(&cluster, |path, request| match path {
        "event" => patch(&json!([{"op": "add", "path": "/note", "value": format!("{}!", request["object"]["note"].as_str().unwrap_or("?"))}])),
        "scaler" => patch(&json!([{"op": "replace", "path": "/spec/targetCPUUtilizationPercentage", "value": 70}])),
        _ => patch(&json!([{"op": "add", "path": "/spec", "value": {"by": request["object"]["apiVersion"]}}])),
    })
    .await;
    let hooks = [
        versioned("event", server.url("event"), ("events.k8s.io", "v1", "events")),
        versioned("scaler", server.url("scaler"), ("autoscaling", "v1", "horizontalpodautoscalers")),
        versioned("own", server.url("own"), ("e.io", "v1", "things")),
    ];
    register(&cluster, MUTATING, "versions", &hooks).await;
    let event = json!({
        "metadata": {"name": "a"}, "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"},
        "reason": "R", "message": "m",
    });
    let made = cluster.create("/api/v1/namespaces/default/events", event).await;
    assert_eq!((made.text().as_str(), &made.body["message"]), ("201", &json!("m!")), "{made:?}");
    let scaler = json!({"metadata": {"name": "a"}, "spec": {
        "maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}}});
    let made = cluster.create("/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers", scaler).await;
    let target = made.body.pointer("/spec/metrics/0/resource/target/averageUtilization");
    assert_eq!((made.text().as_str(), target), ("201", Some(&json!(70))), "{made:?}");

    let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {
        "spec": {"type": "object", "properties": {"by": {"type": "string"}}}}}});
    let version =
        |name: &str, storage: bool| json!({"name": name, "served": true, "storage": storage, "schema": schema});
    let definition = json!({"metadata": {"name": "things.e.io"}, "spec": {
        "group": "e.io", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
        "versions": [version("v1", true), version("v2", false)]}});
    let made = cluster.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition).await;
    assert_eq!(made.text(), "201");
    let made = cluster
        .create(
            "/apis/e.io/v2/namespaces/default/things",
            json!({"metadata": {"name": "a"}, "apiVersion": "e.io/v2", "kind": "Thing"}),
        )
        .await;
    assert_eq!((made.text().as_str(), &made.body["spec"]["by"]), ("201", &json!("e.io/v1")), "{made:?}");
    assert_eq!(made.body["apiVersion"], "e.io/v2");
    let seen = server.seen.lock();
    let of = |index: usize| {
        let request = &seen[index];
        let place = |place: &Value| {
            let text = |field: &str| place[field].as_str().unwrap_or_default().to_owned();
            format!("{}/{} {}", text("group"), text("version"), text("kind") + &text("resource"))
        };
        [&request["kind"], &request["resource"], &request["requestKind"], &request["requestResource"]].map(place)
    };
    assert_eq!(of(0), ["events.k8s.io/v1 Event", "events.k8s.io/v1 events", "/v1 Event", "/v1 events"]);
    assert_eq!(of(2), ["e.io/v1 Thing", "e.io/v1 things", "e.io/v2 Thing", "e.io/v2 things"]);
}
