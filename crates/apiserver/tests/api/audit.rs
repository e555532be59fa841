//! The record of who did what.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portolan_apiserver::audit::{Audit, Batch, Delivery, LogFile, Policy, Throttle, WebhookSettings};
use portolan_apiserver::{Access, AdmissionSettings, Endpoint, Peer};
use portolan_identity::User;
use serde_json::{Value, json};

use crate::support::{Cluster, cluster_with, request, web_server};

const POLICY: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- {level: None, users: [system:apiserver]}
- {level: Metadata, resources: [{group: '', resources: [secrets]}]}
- {level: RequestResponse, resources: [{group: '', resources: [configmaps]}]}
- {level: Metadata, verbs: [watch, get, impersonate]}
- {level: None}
";

/// Once for each request, without what it says.
const METADATA: &str =
    "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: Metadata, omitStages: [RequestReceived]}]}";

fn to_file(policy: &str, path: &std::path::Path) -> Access {
    let log = LogFile { path: path.to_owned(), ..LogFile::default() };
    let audit = Audit::to_file(Policy::parse(policy).expect("reads"), log);
    Access { audit: Some(audit), ..Access::default() }
}

async fn audited(policy: &str, path: &std::path::Path) -> Cluster {
    cluster_with(to_file(policy, path)).await
}

fn events(path: &std::path::Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("written");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON lines")).collect()
}

#[tokio::test]
async fn a_record_says_as_much_as_its_level() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.log");
    let cluster = audited(POLICY, &path).await;
    let config = json!({"metadata": {"name": "a"}, "data": {"k": "v"}});
    assert_eq!(cluster.create("/api/v1/namespaces/default/configmaps", config).await.code, 201);
    let secret = json!({"metadata": {"name": "s"}, "stringData": {"password": "hunter2"}});
    let made = cluster.create("/api/v1/namespaces/default/secrets", secret).await;
    cluster.create("/api/v1/namespaces/default/services", json!({"metadata": {"name": "x"}})).await;
    let mut refused = request("GET", "/api/v1/nodes/n1", "", "");
    refused.headers_mut().insert("impersonate-user", http::HeaderValue::from_static("ann"));
    refused.headers_mut().insert("user-agent", http::HeaderValue::from_static("kubectl/v1.36"));
    cluster.send(crate::support::admin(), refused).await;
    let text = std::fs::read_to_string(&path).expect("written");
    assert!(!text.contains("hunter2") && !text.contains("aHVudGVyMg") && !text.contains("managedFields"), "{text}");
    let events = events(&path);
    let [config, secret, refused] = events.as_slice() else { panic!("three records: {text}") };
    assert_eq!(config["apiVersion"], "audit.k8s.io/v1");
    assert_eq!((&config["level"], &config["stage"]), (&json!("RequestResponse"), &json!("ResponseComplete")));
    assert_eq!(config["requestObject"]["data"]["k"], "v");
    assert_eq!(config["responseObject"]["metadata"]["name"], "a");
    assert_eq!(config["responseStatus"]["code"], 201);
    assert_eq!(config["annotations"]["authorization.k8s.io/decision"], "allow");
    // The name stands in the body only.
    let reference = json!({"resource": "secrets", "namespace": "default", "name": "s", "apiVersion": "v1"});
    assert_eq!(secret["objectRef"], reference);
    assert!(secret.get("requestObject").is_none());
    assert_eq!(made.headers["audit-id"].to_str().ok(), secret["auditID"].as_str());
    assert_eq!(
        (&refused["user"]["username"], &refused["impersonatedUser"]["username"]),
        (&json!("admin"), &json!("ann"))
    );
    assert_eq!(refused["authenticationMetadata"]["impersonationConstraint"], "impersonate:user-info");
    assert_eq!((&refused["verb"], &refused["userAgent"]), (&json!("get"), &json!("kubectl/v1.36")));
    assert_eq!(refused["annotations"]["authorization.k8s.io/decision"], "forbid");
    assert_eq!(refused["responseStatus"]["reason"], "Forbidden");
}

#[tokio::test]
async fn a_deletion_is_recorded_with_its_options_and_its_outcome() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.log");
    let cluster = audited(POLICY, &path).await;
    for name in ["configmaps", "secrets"] {
        let uri = format!("/api/v1/namespaces/default/{name}");
        assert_eq!(cluster.create(&uri, json!({"metadata": {"name": "a"}})).await.code, 201);
        let deleted = cluster.delete(&format!("{uri}/a"), json!({"propagationPolicy": "Background"})).await;
        assert_eq!(deleted.code, 200, "{deleted:?}");
        let event = events(&path).pop().expect("a record");
        let details = &deleted.body["details"];
        assert!(details["uid"].is_string(), "{deleted:?}");
        let status = json!({"metadata": {}, "status": "Success", "details": details, "code": 200});
        assert_eq!(event["responseStatus"], status, "{name}");
        // Of secrets it is recorded that something was done.
        let options = json!({
            "kind": "DeleteOptions", "apiVersion": "meta.k8s.io/__internal", "propagationPolicy": "Background"});
        let expected = (name == "configmaps").then_some(options);
        assert_eq!(event.get("requestObject"), expected.as_ref(), "{name}");
    }
}

#[tokio::test]
async fn who_is_refused_is_recorded_as_far_as_known() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.log");
    let policy = "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: RequestResponse, users: [bob]}, \
                  {level: None, users: ['system:apiserver']}, {level: None, userGroups: ['system:masters']}, \
                  {level: Request}]}";
    let cluster = audited(policy, &path).await;
    let start = events(&path).len();
    let body = r#"{"metadata": {"name": "a"}}"#;
    let mut wrong = request("POST", "/api/v1/namespaces/default/configmaps", "application/json", body);
    wrong.headers_mut().insert("authorization", http::HeaderValue::from_static("Bearer nonsense"));
    let answer = cluster.server.handle(wrong, Peer::tls(&[], ([127, 0, 0, 1], 50000).into())).await;
    assert_eq!(answer.status(), 401);
    let mut acting = request("GET", "/api/v1/pods", "", "");
    acting.headers_mut().insert("impersonate-user", http::HeaderValue::from_static("ann"));
    assert_eq!(cluster.send(User::new("bob", []), acting).await.code, 403);
    let events = events(&path).split_off(start);
    let [unknown, received, refused] = events.as_slice() else { panic!("three records: {events:?}") };
    assert_eq!((&unknown["stage"], &unknown["user"]), (&json!("ResponseStarted"), &json!({})));
    let status = json!({"metadata": {}, "message": "Authentication failed, attempted: bearer", "code": 401});
    assert_eq!(unknown["responseStatus"], status);
    assert!(unknown.get("requestObject").is_none(), "{unknown}");
    assert_eq!(received["stage"], "RequestReceived");
    assert_eq!((&refused["stage"], &refused["user"]["username"]), (&json!("ResponseComplete"), &json!("bob")));
    assert_eq!(refused["responseStatus"]["code"], 403);
}

#[tokio::test]
async fn a_watch_is_recorded_when_it_starts_and_when_it_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.log");
    let cluster = audited(POLICY, &path).await;
    let user = User::new("ann", ["system:masters"]);
    let answer = cluster.raw(user, request("GET", "/api/v1/pods?watch=true", "", "")).await;
    let stages = || events(&path).iter().map(|event| event["stage"].clone()).collect::<Vec<_>>();
    assert_eq!(stages(), ["ResponseStarted"]);
    drop(answer);
    assert_eq!(stages(), ["ResponseStarted", "ResponseComplete"]);
}

#[tokio::test]
async fn a_record_has_what_admission_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.log");
    let cluster = audited(METADATA, &path).await;
    // Of the newest create.
    let notes = || {
        let events = events(&path);
        let created = events.iter().rfind(|event| event["verb"] == "create");
        created.map(|event| event["annotations"].clone()).unwrap_or_default()
    };
    let labels = json!({
        "pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/enforce-version": "v1.30",
        "pod-security.kubernetes.io/audit": "restricted",
    });
    let made = cluster.create("/api/v1/namespaces", json!({"metadata": {"name": "strict", "labels": labels}})).await;
    assert_eq!(made.code, 201, "{made:?}");
    let account = json!({"metadata": {"name": "default"}});
    assert_eq!(cluster.create("/api/v1/namespaces/strict/serviceaccounts", account).await.code, 201);
    let mut bold = crate::support::pod("bold");
    bold["spec"]["hostNetwork"] = true.into();
    assert_eq!(cluster.create("/api/v1/namespaces/strict/pods", bold).await.code, 403);
    let found = notes();
    let of_security = |name: &str| found[format!("pod-security.kubernetes.io/{name}")].as_str().unwrap_or_default();
    assert_eq!(of_security("enforce-policy"), "baseline:v1.30", "{found}");
    assert!(
        of_security("audit-violations").starts_with("would violate PodSecurity \"restricted:latest\": host"),
        "{found}"
    );
    assert_eq!(found["authorization.k8s.io/decision"], "allow");
    assert_eq!(cluster.create("/api/v1/namespaces/default/pods", crate::support::pod("plain")).await.code, 201);
    assert_eq!(notes()["pod-security.kubernetes.io/enforce-policy"], "privileged:latest");

    let policies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
    let rules =
        json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}]);
    let rule = json!({"metadata": {"name": "audited"}, "spec": {
        "matchConstraints": {"resourceRules": rules}, "validations": [{"expression": "false", "message": "never"}],
        "auditAnnotations": [{"key": "who", "valueExpression": "'it is ' + object.metadata.name"}],
    }});
    let made = cluster.create(policies, rule).await;
    assert_eq!(made.code, 201, "{made:?}");
    let binding = json!({"metadata": {"name": "b"}, "spec": {"policyName": "audited", "validationActions": ["Audit"]}});
    let made = cluster.create("/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings", binding).await;
    assert_eq!(made.code, 201, "{made:?}");
    cluster.config_map("seen", json!({})).await;
    let found = notes();
    assert_eq!(found["audited/who"], "it is seen", "{found}");
    let failures = found["validation.policy.admission.k8s.io/validation_failure"].as_str().unwrap_or_default();
    let failures: Value = serde_json::from_str(failures).expect("JSON");
    assert_eq!((&failures[0]["message"], &failures[0]["policy"]), (&json!("never"), &json!("audited")));
}

#[tokio::test]
async fn a_record_says_the_same_of_an_apply_whichever_way_that_goes() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.log");
    let settings = "
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: PodSecurity
  configuration:
    apiVersion: pod-security.admission.config.k8s.io/v1
    kind: PodSecurityConfiguration
    exemptions: {namespaces: [exempt]}
";
    let file = Some((std::path::Path::new("/etc/admission.yaml"), settings));
    let admission = AdmissionSettings::read(&[], &[], file, &|_| Err("none".to_owned())).expect("reads");
    let cluster = cluster_with(Access { admission, ..to_file(METADATA, &path) }).await;
    let levels = json!({
        "pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/warn": "restricted",
        "pod-security.kubernetes.io/audit": "restricted",
    });
    for (namespace, labels, of_security) in [
        ("plain", json!({}), json!({"pod-security.kubernetes.io/enforce-policy": "privileged:latest"})),
        ("strict", levels, json!({})),
        ("exempt", json!({}), json!({"pod-security.kubernetes.io/exempt": "namespace"})),
    ] {
        let made = cluster.create("/api/v1/namespaces", json!({"metadata": {"name": namespace, "labels": labels}}));
        assert_eq!(made.await.code, 201, "{namespace}");
        let accounts = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        cluster.create(&accounts, json!({"metadata": {"name": "default"}})).await;
        let pods = format!("/api/v1/namespaces/{namespace}/pods");
        let mut pod = crate::support::pod("a");
        pod["apiVersion"] = "v1".into();
        pod["kind"] = "Pod".into();
        assert_eq!(cluster.create(&pods, pod.clone()).await.code, 201, "{namespace}");
        // The first of its manager, again, and with another label.
        for label in [None, None, Some("x")] {
            if let Some(label) = label {
                pod["metadata"]["labels"]["more"] = label.into();
            }
            let mut found = Vec::new();
            for tried in ["&dryRun=All", ""] {
                let uri = format!("{pods}/a?fieldManager=me{tried}");
                let applied = cluster.ask("PATCH", &uri, "application/apply-patch+yaml", &pod.to_string()).await;
                assert_eq!(applied.code, 200, "{applied:?}");
                let mut notes = events(&path).last().expect("a record")["annotations"].clone();
                let fields = notes.as_object_mut().expect("annotations");
                fields.retain(|key, _| !key.starts_with("authorization.k8s.io/"));
                found.push((notes, applied.headers.get("warning").cloned()));
            }
            assert_eq!(found[0], found[1], "{namespace} {label:?}");
            assert_eq!(found[1].0, of_security, "{namespace} {label:?}");
        }
    }
}

#[tokio::test]
async fn the_head_of_a_path_is_asked_for_by_a_verb_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.log");
    let cluster = audited("{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: Metadata}]}", &path).await;
    for (uri, code, verb) in
        [("/healthz", 200, "head"), ("/version", 405, "head"), ("/api/v1/namespaces/default", 405, "get")]
    {
        let answer = cluster.raw(crate::support::admin(), request("HEAD", uri, "", "")).await;
        assert_eq!(answer.status(), code, "{uri}");
        assert_eq!(events(&path).last().expect("a record")["verb"], verb, "{uri}");
    }
}

const ALL: &str = "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: None, users: ['system:apiserver']}, \
                   {level: Metadata, omitStages: [RequestReceived], verbs: [get]}, {level: Metadata}]}";

fn to_service(url: &str, delivery: Delivery) -> Access {
    let webhook = WebhookSettings {
        endpoint: Endpoint { url: url.to_owned(), ..Endpoint::default() },
        initial_backoff: Duration::from_millis(1),
        delivery,
        truncate: None,
    };
    let audit = Audit { policy: Policy::parse(ALL).expect("reads"), log: None, webhook: Some(webhook) };
    Access { audit: Some(audit), ..Access::default() }
}

#[tokio::test]
async fn a_service_gets_records_in_batches_and_the_last_ones_at_the_end() {
    let lists = Arc::new(Mutex::new(Vec::<Value>::new()));
    let (taken, is_first) = (lists.clone(), AtomicBool::new(true));
    let web = web_server(move |_, body| {
        if is_first.swap(false, Ordering::SeqCst) {
            return (503, String::new());
        }
        taken.lock().expect("no panic").push(serde_json::from_str(body).expect("JSON"));
        (200, String::new())
    })
    .await;
    let batch = Batch {
        buffer: 100,
        most: 50,
        wait: Duration::from_secs(3600),
        throttle: Some(Throttle { per_second: 10.0, burst: 15 }),
    };
    let cluster = cluster_with(to_service(&web.url, Delivery::Batch(batch))).await;
    let serving = cluster.serve().await;
    for name in ["a", "b", "c"] {
        cluster.get(&format!("/api/v1/namespaces/{name}")).await;
    }
    assert!(lists.lock().expect("no panic").is_empty(), "they wait for others");
    serving.end().await;
    let lists = lists.lock().expect("no panic").clone();
    let [list] = lists.as_slice() else { panic!("one list: {lists:?}") };
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("EventList"), &json!("audit.k8s.io/v1")));
    let items = list["items"].as_array().expect("items");
    let named = |item: &&Value| item["verb"] == "get" && item["objectRef"]["resource"] == "namespaces";
    let names: Vec<&str> = items.iter().filter(named).filter_map(|item| item["objectRef"]["name"].as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert!(items.iter().all(|item| item.get("kind").is_none() && item["auditID"].is_string()), "{items:?}");
}

#[tokio::test]
async fn who_must_be_recorded_and_cannot_be_is_refused() {
    let is_down = Arc::new(AtomicBool::new(false));
    let down = is_down.clone();
    let web = web_server(move |_, _| (if down.load(Ordering::SeqCst) { 500 } else { 200 }, String::new())).await;
    for (delivery, refusal) in [
        (Delivery::Blocking, "200"),
        (
            Delivery::BlockingStrict,
            "500 Internal Server Error: \"/api/v1/pods?limit=1\": failed to store audit event\n",
        ),
    ] {
        is_down.store(false, Ordering::SeqCst);
        let cluster = cluster_with(to_service(&web.url, delivery)).await;
        let list = async || {
            let answer = cluster.get("/api/v1/pods?limit=1").await;
            match answer.body.as_str() {
                Some(text) => format!("{} {text}", answer.code.as_u16()),
                None => answer.text(),
            }
        };
        assert_eq!(list().await, "200");
        is_down.store(true, Ordering::SeqCst);
        assert_eq!(list().await, refusal);
        is_down.store(false, Ordering::SeqCst);
        let metrics = cluster.get("/metrics").await;
        let text = metrics.body.as_str().expect("text");
        let (lost, rejected) = if delivery == Delivery::Blocking { (2, 0) } else { (1, 1) };
        assert!(text.contains(&format!("apiserver_audit_error_total{{plugin=\"webhook\"}} {lost}\n")), "{delivery:?}");
        assert!(text.contains(&format!("apiserver_audit_requests_rejected_total {rejected}\n")), "{delivery:?}");
    }
}
