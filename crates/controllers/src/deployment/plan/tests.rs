use expect_test::{Expect, expect};
use serde_json::json;

use super::*;

fn template(image: &str) -> serde_json::Value {
    json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": image}]}})
}

/// `image=replicas[/available][~desired]`; the image is the name, the position the age and revision.
fn set(index: usize, text: &str, max_surge: i32) -> Arc<ReplicaSet> {
    let (image, rest) = text.split_once('=').expect("a set has an image");
    let (rest, desired) = rest.split_once('~').unwrap_or((rest, "10"));
    let (replicas, available) = rest.split_once('/').unwrap_or((rest, rest));
    let number = |text: &str| text.parse::<i32>().expect("it is a number");
    let max = number(desired) + max_surge;
    Arc::new(
        serde_json::from_value(json!({
            "metadata": {
                "name": image, "uid": image, "generation": 1, "creationTimestamp": format!("2030-01-01T00:00:{index:02}Z"),
                "annotations": {REVISION: (index + 1).to_string(), DESIRED_REPLICAS: desired, MAX_REPLICAS: max.to_string()},
            },
            "spec": {"replicas": number(replicas), "selector": {}, "template": template(image)},
            "status": {"replicas": number(replicas), "availableReplicas": number(available), "readyReplicas": number(available), "observedGeneration": 1},
        }))
        .expect("it is a set"),
    )
}

/// Deployment of the image `new` with these replicas; surge 3 and unavailable 2 unless changed.
fn check(replicas: i32, patch: serde_json::Value, sets: &str, expected: Expect) {
    let mut value = json!({
        "metadata": {"name": "d", "uid": "d", "generation": 2, "annotations": {REVISION: "1"}},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "a"}}, "template": template("new"),
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}},
        },
    });
    for (key, field) in patch.as_object().into_iter().flatten() {
        value["spec"][key] = field.clone();
    }
    let deployment: Deployment = serde_json::from_value(value).expect("it is a deployment");
    let sets: Vec<_> = sets.split_whitespace().enumerate().map(|(index, text)| set(index, text, 3)).collect();
    let view = View { deployment: &deployment, sets: &sets, old_pods: OldPods::Gone };
    let plan = plan(&view, "2030-01-01T01:00:00Z".parse().expect("it is a time"));
    let lines: Vec<String> = plan
        .actions
        .iter()
        .map(|action| match action {
            Action::Create(set) => {
                format!("create {}", set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or_default())
            }
            Action::Change { name, replicas, .. } => format!("{name} to {replicas}"),
            Action::Delete(name) => format!("delete {name}"),
            Action::SetRevision(revision) => format!("revision {revision}"),
        })
        .collect();
    expected.assert_eq(&lines.join("; "));
}

#[test]
fn the_first_set_is_created_full() {
    check(10, json!({}), "", expect!["create 10"]);
}

#[test]
fn a_rollout_begins_with_surge_and_allowed_loss() {
    check(10, json!({}), "old=10", expect!["create 3; old to 8; revision 2"]);
}

#[test]
fn pods_that_are_not_available_go_first() {
    check(10, json!({}), "older=2/0 old=8 new=3/0", expect!["older to 0; revision 3"]);
}

#[test]
fn nothing_more_goes_while_new_pods_are_not_available() {
    check(10, json!({}), "old=8 new=5/0", expect!["revision 2"]);
}

#[test]
fn available_new_pods_replace_old_ones() {
    check(10, json!({}), "old=8 new=5", expect!["old to 3; revision 2"]);
}

#[test]
fn scaling_in_the_middle_of_a_rollout_keeps_the_proportion() {
    check(20, json!({}), "old=8 new=5", expect!["new to 9; old to 14"]);
    check(5, json!({}), "old=8 new=5", expect!["new to 3; old to 5"]);
}

#[test]
fn a_paused_deployment_scales_but_does_not_roll() {
    check(12, json!({"paused": true}), "old=10", expect!["old to 12"]);
    check(10, json!({"paused": true}), "old=10", expect![""]);
}

#[test]
fn recreate_stops_the_old_before_it_starts_the_new() {
    check(10, json!({"strategy": {"type": "Recreate"}}), "old=10", expect!["old to 0"]);
    check(10, json!({"strategy": {"type": "Recreate"}}), "old=0", expect!["create 10; revision 2"]);
}

#[test]
fn a_template_that_served_before_gets_its_set_back_with_a_new_revision() {
    check(10, json!({}), "new=0 old=10", expect!["new to 3; old to 8; revision 3"]);
}

#[test]
fn history_beyond_the_limit_is_deleted_once_the_rollout_is_complete() {
    check(10, json!({"revisionHistoryLimit": 1}), "a=0 b=0 new=10", expect!["delete a; revision 3"]);
    check(10, json!({"revisionHistoryLimit": 0}), "a=0 b=3 new=7", expect!["new to 10; b to 1; revision 3"]);
}
