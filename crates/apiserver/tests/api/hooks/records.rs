//! What the audit log says of hooks that change objects.

use portolan_apiserver::Access;
use portolan_apiserver::audit::{Audit, LogFile, Policy};
use serde_json::{Value, json};

use super::server::Hook;
use super::{MUTATING, hook, map, patch, register};
use crate::support::cluster_with;

const POLICY: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, users: [system:apiserver]}
- {level: Metadata, namespaces: [kube-public]}
- {level: Request, resources: [{group: '', resources: [configmaps]}]}
- {level: None}
";

#[tokio::test]
async fn records_tell_who_changed_an_object_and_how_if_they_hold_objects() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = LogFile { path: folder.path().join("audit.log"), ..LogFile::default() };
    let path = log.path.clone();
    let audit = Some(Audit::to_file(Policy::parse(POLICY).expect("reads"), log));
    let cluster = cluster_with(Access { audit, ..Access::default() }).await;
    let server = Hook::start(&cluster, |path, _| match path {
        "change" => patch(&json!([{"op": "add", "path": "/data/new", "value": "<1>"}])),
        "same" => patch(&json!([{"op": "replace", "path": "/data/a", "value": "b"}])),
        _ => json!({"allowed": false}),
    })
    .await;
    let hooks = ["change", "same", "refuse"].map(|name| hook(name, server.url(name), &["configmaps"]));
    register(&cluster, MUTATING, "m", &hooks).await;
    for namespace in ["default", "kube-public"] {
        let refused = cluster.create(&format!("/api/v1/namespaces/{namespace}/configmaps"), map("x")).await;
        assert_eq!(refused.code, 400, "{refused:?}");
    }
    let text = std::fs::read_to_string(path).expect("written");
    let told: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON lines")["annotations"].clone())
        .filter(|annotations| annotations.to_string().contains("webhook.admission"))
        .collect();
    let mutation = |hook: &str, mutated: bool| {
        format!(r#"{{"configuration":"m","webhook":"{hook}.example.com","mutated":{mutated}}}"#)
    };
    for (index, (hook, mutated)) in [("change", true), ("same", false), ("refuse", false)].into_iter().enumerate() {
        for annotations in &told {
            let key = format!("mutation.webhook.admission.k8s.io/round_0_index_{index}");
            assert_eq!(annotations[key], mutation(hook, mutated));
        }
    }
    let patches = |annotations: &Value| {
        let of_index = |index: usize| {
            annotations[format!("patch.webhook.admission.k8s.io/round_0_index_{index}")].as_str().map(str::to_owned)
        };
        [0, 1, 2].map(of_index)
    };
    let patch = |hook: &str, operation: &str| {
        let webhook = format!("{hook}.example.com");
        Some(format!(r#"{{"configuration":"m","webhook":"{webhook}","patch":[{operation}],"patchType":"JSONPatch"}}"#))
    };
    let expected = [
        patch("change", r#"{"op":"add","path":"/data/new","value":"\u003c1\u003e"}"#),
        patch("same", r#"{"op":"replace","path":"/data/a","value":"b"}"#),
        None,
    ];
    assert_eq!(told.len(), 2);
    assert_eq!(patches(&told[0]), expected);
    assert_eq!(patches(&told[1]), [None, None, None], "no objects");
}
