use proptest::prelude::*;
use serde_json::{Value, json};

use super::parse;
use crate::acl::AclConfig;
use crate::space::testing::{ask, state};

fn kv(verb: &str, key: &str) -> Value {
    json!({"KV": {"Verb": verb, "Key": key, "Value": "MQ=="}})
}

#[tokio::test(start_paused = true)]
async fn transactions_are_all_or_nothing_and_say_which_step_failed() {
    let state = state(AclConfig::default()).await;
    let cases = [
        (json!([kv("set", "a"), kv("set", "dir/b"), kv("get", "a")]), 200, ""),
        (json!([kv("set", "c"), kv("check-not-exists", "a"), kv("get", "x")]), 409, "key \\\"x\\\" doesn't exist"),
        (json!([kv("get", "c")]), 409, "doesn't exist"),
        (json!([kv("get-or-empty", "c"), kv("get-tree", "dir/")]), 200, "\"Key\":\"dir/b\""),
        (json!([kv("cas", "a")]), 409, "failed to set key \\\"a\\\", index is stale"),
        (json!([kv("delete-cas", "a")]), 409, "failed to delete key \\\"a\\\", index is stale"),
        (json!([kv("lock", "a")]), 409, "missing session"),
        (json!([kv("check-index", "a")]), 409, "current modify index"),
        (json!([kv("delete-tree", ""), kv("check-not-exists", "a"), kv("set", "dir/n")]), 200, ""),
        (json!([kv("get", "dir/n"), kv("check-not-exists", "dir/b")]), 200, ""),
        (json!([kv("fly", "a")]), 400, "unknown KV verb \"fly\""),
        (json!([{"KV": {"Verb": "set", "Key": "a", "Value": "?"}}]), 400, "not base 64"),
        (json!([{"Node": {"Verb": "get"}}]), 400, "names no Node"),
        (json!([{"Node": {"Verb": "fly", "Node": {"Node": "a"}}}]), 400, "unknown Node verb \"fly\""),
        (json!([{"Service": {"Verb": "get", "Node": "a"}}]), 400, "names no ID"),
        (json!([{"Check": {"Verb": "get", "Check": {"Node": "a"}}}]), 400, "names no CheckID"),
        (json!([{}]), 400, "names no KV"),
        (json!({}), 400, "Failed to parse body"),
        (Value::Array(vec![kv("get", "a"); 129]), 413, "too many operations (129 > 128)"),
    ];
    for (body, status, part) in cases {
        let answer = ask(&state, "PUT", "/v1/txn", "", body.to_string()).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text);
        assert!(answer.text.contains(part), "{body}: {}", answer.text);
    }
    let body = json!([kv("get", "x"), kv("get", "dir/n"), kv("get", "y")]).to_string();
    let errors = ask(&state, "PUT", "/v1/txn", "", body).await.json();
    assert_eq!((&errors["Results"], &errors["Errors"][1]["OpIndex"]), (&Value::Null, &json!(2)));
    let large = ask(&state, "PUT", "/v1/txn", "", " ".repeat((512 << 10) + 1)).await;
    assert_eq!(large.status, 413);
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-zA-Z=/]{0,6}".prop_map(Value::from),
        Just(Value::from("set")),
        Just(Value::from("MQ==")),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let name =
            prop_oneof![Just("KV"), Just("kv"), Just("Verb"), Just("Key"), Just("Value"), Just("Flags"), Just("Node")];
        let object = proptest::collection::vec((name, inner.clone()), 0..6);
        let object =
            object.prop_map(|fields| fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
        prop_oneof![proptest::collection::vec(inner, 0..4).prop_map(Value::from), object.prop_map(Value::Object)]
    })
}

proptest! {
    #[test]
    fn bodies_are_read_or_refused_without_a_panic(body in value()) {
        let _ = parse(body.to_string().as_bytes(), |_| String::new());
    }

    #[test]
    fn bytes_are_read_or_refused_without_a_panic(body: Vec<u8>) {
        let _ = parse(&body, |_| String::new());
    }
}
