//! Built-in objects that several groups or versions show: stored once, read and written from every side.

use serde_json::{Value, json};

use crate::support::{Answer, Cluster, admin, cluster, request};
use crate::watches::Watch;

const CORE: &str = "/api/v1/namespaces/default/events";
const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/default/events";
const FIRST: &str = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers";
const SECOND: &str = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
const ANNOTATION: &str = "autoscaling.alpha.kubernetes.io/metrics";

fn core_event(name: &str) -> Value {
    json!({
        "metadata": {"name": name}, "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p", "uid": "u"},
        "type": "Warning", "reason": "Failed", "message": "no luck", "source": {"component": "kubelet", "host": "n"},
        "firstTimestamp": "2026-01-02T03:00:00Z", "lastTimestamp": "2026-01-02T03:00:00Z", "count": 1,
    })
}

fn new_event(name: &str) -> Value {
    json!({
        "metadata": {"name": name}, "regarding": {"kind": "Pod", "namespace": "default", "name": "q"},
        "type": "Normal", "reason": "Started", "note": "it runs", "action": "Starting",
        "reportingController": "example.com/c", "reportingInstance": "c-0", "eventTime": "2026-01-02T03:00:00.000000Z",
    })
}

fn autoscaler(name: &str, spec: Value) -> Value {
    let mut object = json!({"metadata": {"name": name}, "spec": spec});
    object["spec"]["scaleTargetRef"] = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
    object["spec"]["maxReplicas"] = 5.into();
    object
}

/// What some fields of an answer hold, on one line.
fn shown(answer: &Answer, pointers: &[&str]) -> String {
    let value = |pointer: &&str| answer.body.pointer(pointer).cloned().unwrap_or_default().to_string();
    pointers.iter().map(value).collect::<Vec<_>>().join(" ").replace('"', "")
}

async fn names(cluster: &Cluster, uri: &str) -> String {
    let list = cluster.get(uri).await;
    assert_eq!(list.code, 200, "{list:?}");
    let items = list.body["items"].as_array().cloned().unwrap_or_default();
    let name = |item: &Value| item["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    items.iter().map(name).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn an_event_is_one_object_in_both_groups() {
    let cluster = cluster().await;
    let made = cluster.create(CORE, core_event("a")).await;
    assert_eq!(made.code, 201, "{made:?}");
    let seen = cluster.get(&format!("{EVENTS}/a")).await;
    assert_eq!(
        shown(
            &seen,
            &[
                "/apiVersion",
                "/regarding/name",
                "/note",
                "/deprecatedCount",
                "/deprecatedSource/host",
                "/deprecatedFirstTimestamp",
                "/involvedObject",
                "/message",
            ]
        ),
        "events.k8s.io/v1 p no luck 1 n 2026-01-02T03:00:00Z null null"
    );
    assert_eq!((seen.revision(), &seen.body["metadata"]["uid"]), (made.revision(), &made.body["metadata"]["uid"]));

    let made = cluster.create(EVENTS, new_event("b")).await;
    assert_eq!(made.code, 201, "{made:?}");
    let seen = cluster.get(&format!("{CORE}/b")).await;
    let fields = ["/apiVersion", "/involvedObject/name", "/message", "/reportingComponent", "/regarding"];
    assert_eq!(shown(&seen, &fields), "v1 q it runs example.com/c null");
    assert_eq!(cluster.create(CORE, core_event("b")).await.text(), "409 events \"b\" already exists");
    assert_eq!(names(&cluster, CORE).await, "a b");
    assert_eq!(names(&cluster, EVENTS).await, "a b");

    // What client-go's recorder does when an event comes again.
    let more = json!({"count": 2, "lastTimestamp": "2026-01-02T03:04:00Z"}).to_string();
    assert_eq!(cluster.ask("PATCH", &format!("{CORE}/a"), STRATEGIC, &more).await.code, 200);
    assert_eq!(shown(&cluster.get(&format!("{EVENTS}/a")).await, &["/deprecatedCount"]), "2");
    let series = json!({"series": {"count": 2, "lastObservedTime": "2026-01-02T03:04:00.000000Z"}}).to_string();
    let patched = cluster.ask("PATCH", &format!("{EVENTS}/b"), STRATEGIC, &series).await;
    assert_eq!(patched.text(), "200");
    let mut whole = cluster.get(&format!("{CORE}/b")).await.body;
    assert_eq!(whole["series"]["count"], 2);
    whole["series"]["count"] = 3.into();
    assert_eq!(cluster.update(&format!("{CORE}/b"), &whole).await.text(), "200");
    let seen = cluster.get(&format!("{EVENTS}/b")).await;
    assert_eq!(shown(&seen, &["/series/count", "/note"]), "3 it runs");
    // Who owned fields by way of the other group is forgotten, and then the same again writes nothing.
    let forgotten = cluster.update(&format!("{EVENTS}/b"), &seen.body).await;
    let managers = forgotten.body["metadata"]["managedFields"].as_array().into_iter().flatten();
    assert_eq!(managers.filter(|manager| manager["apiVersion"] == "v1").count(), 0, "{forgotten:?}");
    let again = cluster.update(&format!("{EVENTS}/b"), &forgotten.body).await;
    assert_eq!(again.revision(), forgotten.revision());

    assert_eq!(cluster.delete(&format!("{EVENTS}/a"), Value::Null).await.code, 200);
    assert_eq!(cluster.get(&format!("{CORE}/a")).await.code, 404);
    let gone = cluster.ask("DELETE", EVENTS, "", "").await;
    assert_eq!(shown(&gone, &["/apiVersion", "/items/0/note"]), "events.k8s.io/v1 it runs");
    assert_eq!(names(&cluster, CORE).await, "");
}

#[tokio::test]
async fn events_are_selected_by_the_names_of_the_group_that_is_asked() {
    let cluster = cluster().await;
    assert_eq!(cluster.create(CORE, core_event("a")).await.code, 201);
    assert_eq!(cluster.create(EVENTS, new_event("b")).await.code, 201);
    for (uri, selector, expected) in [
        (CORE, "involvedObject.name=p", "a"),
        (EVENTS, "regarding.name=p", "a"),
        (EVENTS, "regarding.uid=u,type=Warning", "a"),
        (EVENTS, "reportingController=example.com/c", "b"),
        (CORE, "reportingComponent=example.com/c", "b"),
        (CORE, "source=kubelet", "a"),
        (CORE, "source=example.com/c", "b"),
        (CORE, "reason!=Failed", "b"),
        (EVENTS, "metadata.name=b", "b"),
    ] {
        assert_eq!(names(&cluster, &format!("{uri}?fieldSelector={selector}")).await, expected, "{uri} {selector}");
    }
    for (uri, selector) in [(CORE, "regarding.name=p"), (EVENTS, "involvedObject.name=p"), (EVENTS, "source=kubelet")] {
        let refused = cluster.get(&format!("{uri}?fieldSelector={selector}")).await;
        let (field, _) = selector.split_once('=').expect("a term");
        assert_eq!(refused.text(), format!("400 field label not supported: {field}"));
    }
    let as_table = |uri: &str| {
        http::Request::get(uri)
            .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
            .body(portolan_apiserver::empty())
    };
    let mut rows = Vec::new();
    for uri in [CORE, EVENTS] {
        let table = cluster.send(admin(), as_table(uri).expect("a request")).await;
        let cells = table.body["rows"].as_array().expect("rows").iter().map(|row| row["cells"].clone());
        rows.push(cells.collect::<Vec<_>>());
    }
    assert_eq!(rows[0], rows[1]);
    assert_eq!(rows[0].len(), 2);
}

#[tokio::test]
async fn events_of_the_newer_group_are_held_to_stricter_rules() {
    let cluster = cluster().await;
    let with = |field: &str, value: Value| {
        let mut event = new_event("x");
        event[field] = value;
        event
    };
    let refusal = |what: &str| format!("422 Event \"x\" is invalid: {what}");
    for (event, expected) in [
        (with("eventTime", Value::Null), refusal("eventTime: Required value")),
        (with("type", "Odd".into()), refusal("type: Invalid value: \"\": has invalid value: Odd")),
        (with("action", Value::Null), refusal("action: Required value")),
        (with("reportingController", Value::Null), {
            let qualified = "reportingController: Invalid value: \"\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
            refusal(&format!(
                "[reportingController: Required value, reportingController: Invalid value: \"\": name part must be non-empty, {qualified}]"
            ))
        }),
        (
            with("note", "n".repeat(1025).into()),
            refusal("message: Invalid value: \"\": can have at most 1024 characters"),
        ),
        (with("deprecatedCount", 2.into()), refusal("count: Invalid value: \"\": needs to be unset")),
        (
            with("series", json!({"count": 1})),
            refusal(
                "[series.count: Invalid value: \"\": should be at least 2, series.lastObservedTime: Required value]",
            ),
        ),
    ] {
        assert_eq!(cluster.create(EVENTS, event).await.text(), expected);
    }
    assert_eq!(cluster.create(EVENTS, new_event("x")).await.code, 201);
    let patch = json!({"note": "other"}).to_string();
    let refused = cluster.ask("PATCH", &format!("{EVENTS}/x"), MERGE, &patch).await;
    assert_eq!(refused.text(), refusal("message: Invalid value: \"other\": field is immutable"));
    let patch = json!({"message": "other"}).to_string();
    assert_eq!(cluster.ask("PATCH", &format!("{CORE}/x"), MERGE, &patch).await.text(), "200");
    let mut elsewhere = core_event("y");
    elsewhere["involvedObject"]["namespace"] = "other".into();
    let why = "involvedObject.namespace: Invalid value: \"other\": does not match event.namespace";
    assert_eq!(cluster.create(CORE, elsewhere).await.text(), format!("422 Event \"y\" is invalid: {why}"));
}

#[tokio::test]
async fn watchers_see_the_version_that_they_asked_for() {
    let cluster = cluster().await;
    let start = cluster.config_map("start", json!({})).await.revision();
    let follow = |uri: &str, query: &str| format!("{uri}?watch=true&resourceVersion={start}{query}");
    let mut core = Watch::of(&cluster, &follow(CORE, "")).await;
    let mut new = Watch::of(&cluster, &follow(EVENTS, "")).await;
    let mut selected = Watch::of(&cluster, &follow(EVENTS, "&fieldSelector=regarding.name%3Dq")).await;
    assert_eq!(cluster.create(CORE, core_event("a")).await.code, 201);
    assert_eq!(cluster.create(EVENTS, new_event("b")).await.code, 201);
    let patch = json!({"metadata": {"labels": {"x": "y"}}}).to_string();
    assert_eq!(cluster.ask("PATCH", &format!("{EVENTS}/b"), MERGE, &patch).await.text(), "200");
    assert_eq!(cluster.delete(&format!("{CORE}/b"), Value::Null).await.code, 200);
    let line = |event: Value, field: &str| {
        let part = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        format!("{} {} {}", part("/type"), part("/object/apiVersion"), part(&format!("/object/{field}")))
    };
    for (kind, message) in [("ADDED", "no luck"), ("ADDED", "it runs"), ("MODIFIED", "it runs"), ("DELETED", "it runs")]
    {
        let (seen, newer) = (core.next().await.expect("an event"), new.next().await.expect("an event"));
        assert_eq!(line(seen, "message"), format!("{kind} v1 {message}"));
        assert_eq!(line(newer, "note"), format!("{kind} events.k8s.io/v1 {message}"));
        if message == "it runs" {
            let event = selected.next().await.expect("an event");
            assert_eq!(line(event, "note"), format!("{kind} events.k8s.io/v1 {message}"));
        }
    }
    // State first.
    let mut state = Watch::of(&cluster, &format!("{EVENTS}?watch=true")).await;
    assert_eq!(line(state.next().await.expect("an event"), "note"), "ADDED events.k8s.io/v1 no luck");
    let mut scalers = Watch::of(&cluster, &format!("{FIRST}?watch=true&resourceVersion={start}")).await;
    assert_eq!(cluster.create(SECOND, autoscaler("h", json!({}))).await.text(), "201");
    let event = scalers.next().await.expect("an event");
    assert_eq!(event["object"]["spec"]["targetCPUUtilizationPercentage"], 80, "{event}");
}

#[tokio::test]
async fn owners_of_fields_are_known_across_versions() {
    let cluster = cluster().await;
    let apply = async |uri: &str, manager: &str, query: &str, object: Value| {
        let uri = format!("{uri}?fieldManager={manager}{query}");
        cluster.ask("PATCH", &uri, APPLY, &object.to_string()).await
    };
    let with = |mut object: Value, api_version: &str, kind: &str| {
        object["apiVersion"] = api_version.into();
        object["kind"] = kind.into();
        object
    };
    let (core, new) = (format!("{CORE}/e"), format!("{EVENTS}/e"));
    let mine = with(core_event("e"), "v1", "Event");
    let made = apply(&core, "me", "", mine.clone()).await;
    assert_eq!(made.text(), "201");
    assert_eq!(apply(&core, "me", "", mine).await.revision(), made.revision(), "nothing changed");
    // The groups do not know each other's owners: only what cannot change is in the way.
    let theirs = json!({"metadata": {"name": "e"}, "action": "a", "note": "other"});
    let refused = apply(&new, "them", "", with(theirs, "events.k8s.io/v1", "Event")).await;
    assert_eq!(
        refused.text(),
        "422 Event \"e\" is invalid: [message: Invalid value: \"other\": field is immutable, \
         action: Invalid value: \"a\": field is immutable]"
    );
    let theirs = json!({"metadata": {"name": "e", "labels": {"x": "y"}}});
    assert_eq!(apply(&new, "them", "", with(theirs, "events.k8s.io/v1", "Event")).await.text(), "200");
    // So what I no longer want stays: nobody knows that it was mine.
    let mut mine = with(core_event("e"), "v1", "Event");
    mine.as_object_mut().expect("an object").remove("message");
    let applied = apply(&core, "me", "", mine).await;
    assert_eq!(shown(&applied, &["/metadata/labels/x"]), "y");
    assert!(applied.body["message"].is_string(), "{applied:?}");

    let metrics = json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}}]);
    let path = format!("{SECOND}/h");
    let mine = with(autoscaler("h", json!({"metrics": metrics})), "autoscaling/v2", "HorizontalPodAutoscaler");
    assert_eq!(apply(&path, "me", "", mine).await.text(), "201");
    let path = format!("{FIRST}/h");
    let theirs = autoscaler("h", json!({"targetCPUUtilizationPercentage": 70}));
    let theirs = with(theirs, "autoscaling/v1", "HorizontalPodAutoscaler");
    let refused = apply(&path, "them", "", theirs.clone()).await;
    assert_eq!(refused.text(), "409 Apply failed with 1 conflict: conflict with \"me\": .spec.metrics");
    let taken = apply(&path, "them", "&force=true", theirs).await;
    assert_eq!(shown(&taken, &["/spec/targetCPUUtilizationPercentage"]), "70");
    let seen = cluster.get(&format!("{SECOND}/h")).await;
    assert_eq!(shown(&seen, &["/spec/metrics/0/resource/target/averageUtilization", "/spec/metrics/1"]), "70 null");
}

#[tokio::test]
async fn an_autoscaler_has_in_annotations_what_its_first_version_lacks() {
    let cluster = cluster().await;
    let made = cluster.create(FIRST, autoscaler("a", json!({}))).await;
    assert_eq!(shown(&made, &["/spec/minReplicas", "/spec/targetCPUUtilizationPercentage"]), "1 80");
    let seen = cluster.get(&format!("{SECOND}/a")).await;
    let target = "/spec/metrics/0/resource/target";
    assert_eq!(shown(&seen, &["/apiVersion", target]), "autoscaling/v2 {averageUtilization:80,type:Utilization}");

    let metrics = json!([{"type": "Pods", "pods": {
        "metric": {"name": "m"}, "target": {"type": "AverageValue", "averageValue": "10"}}}]);
    let behavior = json!({"scaleDown": {"stabilizationWindowSeconds": 60}});
    let made = cluster.create(SECOND, autoscaler("b", json!({"metrics": metrics, "behavior": behavior}))).await;
    assert_eq!(made.text(), "201");
    let status = json!({"status": {"currentReplicas": 1, "desiredReplicas": 2, "conditions": [{
        "type": "AbleToScale", "status": "True", "reason": "R", "message": "m"}]}});
    let patched = cluster.ask("PATCH", &format!("{SECOND}/b/status"), MERGE, &status.to_string()).await;
    assert_eq!(patched.text(), "200");
    let first = cluster.get(&format!("{FIRST}/b")).await;
    let annotation = |name: &str| {
        let text = first.body["metadata"]["annotations"][format!("autoscaling.alpha.kubernetes.io/{name}")].as_str();
        serde_json::from_str::<Value>(text.expect("is there")).expect("is JSON")
    };
    let flat = json!([{"type": "Pods", "pods": {"metricName": "m", "targetAverageValue": "10"}}]);
    assert_eq!(annotation("metrics"), flat);
    assert_eq!(annotation("behavior")["ScaleDown"]["StabilizationWindowSeconds"], 60);
    assert_eq!(annotation("conditions")[0]["type"], "AbleToScale");
    assert_eq!(shown(&first, &["/spec/metrics", "/spec/behavior", "/status/desiredReplicas"]), "null null 2");

    // A client of the first version that changes something else keeps all of it.
    let before = cluster.get(&format!("{SECOND}/b")).await;
    let mut object = first.body.clone();
    assert_eq!(cluster.update(&format!("{FIRST}/b"), &object).await.revision(), first.revision(), "unchanged");
    object["spec"]["maxReplicas"] = 9.into();
    assert_eq!(cluster.update(&format!("{FIRST}/b"), &object).await.text(), "200");
    let after = cluster.get(&format!("{SECOND}/b")).await;
    let mut expected = before.body.clone();
    expected["spec"]["maxReplicas"] = 9.into();
    assert_eq!((&after.body["spec"], &after.body["status"]), (&expected["spec"], &expected["status"]));
    assert_eq!(after.body["metadata"].get("annotations"), None);

    // What is wrong in an annotation is told of the field that it stands for.
    let mut odd = autoscaler("c", json!({}));
    odd["metadata"]["annotations"] = json!({ANNOTATION: json!([{"type": "Odd"}]).to_string()});
    let refused = cluster.create(FIRST, odd).await;
    assert!(refused.text().contains("spec.metrics[0].type: Unsupported value: \"Odd\""), "{refused:?}");
    assert_eq!(cluster.delete(&format!("{FIRST}/b"), Value::Null).await.code, 200);
    assert_eq!(cluster.get(&format!("{SECOND}/b")).await.code, 404);
    let listed = cluster.send(admin(), request("GET", FIRST, "", "")).await;
    assert_eq!(shown(&listed, &["/kind", "/apiVersion"]), "HorizontalPodAutoscalerList autoscaling/v1");
}
