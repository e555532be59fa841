//! What is decided about resizes, as tables.

use std::time::Duration;

use expect_test::expect;
use serde_json::{Value, json};

use super::{Case, at, case, check, exited};
use crate::lifecycle::*;

#[test]
fn a_container_that_does_not_run_has_what_it_may_have_and_not_what_it_asks_for() {
    let spec = json!({"containers": [{
        "name": "app", "image": "app:1", "resources": {"requests": {"cpu": "9"}},
        "volumeMounts": [{"name": "a", "mountPath": "/a"}, {"name": "b", "mountPath": "/b", "readOnly": true}],
    }]});
    let own = json!({"requests": {"cpu": "1"}});
    let allocated = |local: &mut Local| {
        local.allocation.containers.insert("app".into(), serde_json::from_value(own.clone()).expect("valid"));
    };
    let case = case(spec).sandbox(0, true).exited("app", 1).local(allocated).at(6);
    let status = &case.status().container_statuses.expect("one container")[0];
    assert_eq!(json!(status.resources), own);
    assert_eq!(json!(status.allocated_resources), json!({"cpu": "1"}));
    let mounts = json!([
        {"name": "a", "mountPath": "/a"},
        {"name": "b", "mountPath": "/b", "readOnly": true, "recursiveReadOnly": "Disabled"},
    ]);
    assert_eq!(json!(status.volume_mounts), mounts);
}

#[test]
fn the_group_of_a_pod_follows_its_containers_and_goes_before_new_ones() {
    let spec = |limit: &str| {
        let requirements = json!({"requests": {"cpu": "1"}, "limits": {"cpu": limit}});
        json!({"containers": [{"name": "app", "image": "app:1"}], "resources": requirements})
    };
    let with = |limit: &str| case(spec(limit)).sandbox(0, true);
    let group = |limit: &str| {
        let group = crate::container::resources::of_pod(&case(spec(limit)).pod);
        move |local: &mut Local| local.group = Some(group.clone())
    };
    check(with("2").running("app").local(group("2")), expect![""]);
    let unknown = |local: &mut Local| local.group = None;
    check(with("2").running("app").local(unknown), expect!["limit the pod"]);
    check(with("2").local(unknown), expect!["limit the pod"]);
    check(with("2").running("app").local(group("1")), expect!["limit the pod"]);
    check(with("2").local(group("1")), expect!["limit the pod"]);
    check(with("2").local(group("2")), expect!["start app 0 (then 0 s)"]);
    let busy = |local: &mut Local| local.in_flight = [Work::Resize("app".into())].into();
    check(with("2").running("app").local(group("1")).local(busy), expect![""]);
    let failed = |local: &mut Local| {
        let retry = (Duration::from_secs(5), Duration::from_secs(60));
        local.group_failure = Some(Failure::after(None, "Error", "busy", at(0), retry));
    };
    check(with("2").running("app").local(group("1")).local(failed), expect!["wake after 5 s"]);
    check(with("2").local(group("1")).local(failed), expect!["start app 0 (then 0 s); wake after 5 s"]);
}

#[test]
fn the_group_of_a_pod_does_not_wait_for_a_restart_that_waits_itself() {
    let side = |name: &str, policy: Value| json!({"name": name, "image": "i", "restartPolicy": "Always", "resizePolicy": policy});
    let policy = json!([{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]);
    let spec = |limit: &str| {
        json!({"initContainers": [side("s1", json!([])), side("s2", policy.clone()), {"name": "init", "image": "i"}],
               "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": limit}}})
    };
    // It crashed after the others had begun; the second is to be restarted for what the pod has now.
    let resized = |now| {
        let mut case = case(spec("1")).sandbox(0, true);
        case = case.container("s1", 1, exited(1, 0, 5), 10).running("s2").running("init").at(now);
        case.pod.spec = self::case(spec("2")).pod.spec;
        case
    };
    check(resized(6), expect!["limit the pod; wake after 9 s"]);
    check(resized(20), expect!["limit the pod"]);
    let limited = |case: &Case| Some(crate::container::resources::of_pod(&case.pod));
    let mut done = resized(20);
    done.local.group = limited(&done);
    check(done, expect!["start s1 2 (then 20 s)"]);
    // Once it is its turn, the group follows its stop.
    let mut up = case(spec("1")).sandbox(0, true).running("s1").running("s2").running("init");
    up.pod.spec = case(spec("2")).pod.spec;
    check(up, expect!["resize s1-0; stop s2-0 within 30 s; resize init-0"]);
}

#[test]
fn a_container_is_not_restarted_for_what_it_was_started_with() {
    let policy = json!([{"resourceName": "memory", "restartPolicy": "RestartContainer"}]);
    let spec = |limit: &str| {
        json!({"containers": [{"name": "app", "image": "app:1", "resizePolicy": policy}],
               "resources": {"limits": {"memory": limit}}})
    };
    // What the API was told of the pod is what its group still has.
    let told = |limit: &str| {
        let mut case = case(spec("512Mi")).sandbox(0, true).running("app");
        let status = json!({
            "resources": {"limits": {"memory": limit}},
            "containerStatuses": [{"name": "app", "image": "app:1", "imageID": "", "ready": true, "restartCount": 1,
                                   "containerID": "containerd://app-0", "resources": {}}],
        });
        case.pod.status = Some(serde_json::from_value(status).expect("a status"));
        case
    };
    check(told("512Mi"), expect![""]);
    check(told("1Gi"), expect!["resize app-0"]);
    let mut again = told("512Mi");
    again.pod.spec = case(spec("256Mi")).pod.spec;
    check(again, expect!["stop app-0 within 30 s"]);
}

#[test]
fn the_group_of_a_pod_does_not_get_less_while_a_container_keeps_more() {
    let spec = |limit: &str| {
        json!({"containers": [{"name": "app", "image": "app:1", "resources": {"limits": {"memory": limit}}},
                              {"name": "other", "image": "app:1", "resources": {"limits": {"memory": "1Gi"}}}]})
    };
    let resized = |to: &str, now| {
        let mut case = case(spec("1Gi")).sandbox(0, true).running("app").at(now);
        case.pod.spec = self::case(spec(to)).pod.spec;
        let failure = Failure::after(None, "Error", "busy", at(0), (Duration::from_secs(60), Duration::from_secs(60)));
        case.local.containers.get_mut("app").expect("known").resize_failure = Some(failure);
        case
    };
    // Others start meanwhile: the group has enough for them.
    check(resized("64Mi", 10), expect!["start other 0 (then 0 s); wake after 50 s"]);
    check(resized("64Mi", 60), expect!["resize app-0; start other 0 (then 0 s)"]);
    check(resized("2Gi", 10), expect!["limit the pod; wake after 50 s"]);
}
