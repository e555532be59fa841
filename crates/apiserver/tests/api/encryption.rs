//! Objects that are encrypted where they are stored.

use http_body_util::BodyExt;
use portolan_apiserver::{Access, Encryption};
use portolan_store::{KeyRange, RangeRequest, Store};
use serde_json::{Value, json};

use crate::support::{Cluster, admin, again_with, cluster_with, request};
use crate::watches::Watch;

const SECRETS: &str = "/api/v1/namespaces/default/secrets";

/// 32 bytes each.
const ONE: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
const TWO: &str = "YWJjZGVmZ2hpamFiY2RlZmdoaWphYmNkZWZnaGlqYWI=";

fn access(providers: &str) -> Access {
    let text = format!(
        "{{apiVersion: apiserver.config.k8s.io/v1, kind: EncryptionConfiguration, \
         resources: [{{resources: [secrets], providers: [{providers}]}}]}}"
    );
    Access { encryption: Some(Encryption::parse(&text).expect("reads")), ..Access::default() }
}

fn keyed(kind: &str, name: &str, key: &str) -> String {
    format!("{{{kind}: {{keys: [{{name: {name}, secret: {key}}}]}}}}")
}

async fn stored(cluster: &Cluster, name: &str) -> String {
    let range = KeyRange::key(format!("/registry/core/secrets/default/{name}"));
    let answer = cluster.store.range(RangeRequest { range, revision: None, limit: 1 }).await.expect("reads");
    String::from_utf8_lossy(&answer.entries[0].value).into_owned()
}

fn secret(name: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"a": "b"}}, "stringData": {"password": "hunter2"}})
}

async fn password(cluster: &Cluster, name: &str) -> Value {
    cluster.get(&format!("{SECRETS}/{name}")).await.body["data"]["password"].clone()
}

#[tokio::test]
async fn every_provider_hides_a_secret_from_the_disk_and_from_nobody_else() {
    for kind in ["aesgcm", "aescbc", "secretbox"] {
        let cluster = cluster_with(access(&format!("{}, {{identity: {{}}}}", keyed(kind, "k1", ONE)))).await;
        let watch = cluster.raw(admin(), request("GET", &format!("{SECRETS}?watch=true"), "", "")).await;
        assert_eq!(cluster.create(SECRETS, secret("s")).await.code, 201);
        let bytes = stored(&cluster, "s").await;
        assert!(bytes.starts_with(&format!("k8s:enc:{kind}:v1:k1:")), "{bytes}");
        assert!(!bytes.contains("password") && !bytes.contains("aHVudGVyMg"), "{bytes}");
        assert_eq!(password(&cluster, "s").await, "aHVudGVyMg==");
        let list = cluster.get(&format!("{SECRETS}?labelSelector=a%3Db&fieldSelector=type%3DOpaque")).await;
        assert_eq!(list.body["items"][0]["data"]["password"], "aHVudGVyMg==");
        // An event comes in pieces.
        let (mut body, mut event) = (watch.into_body(), String::new());
        while !event.ends_with('\n') {
            let frame = body.frame().await.expect("one").expect("arrives").into_data().expect("data");
            event.push_str(&String::from_utf8_lossy(&frame));
        }
        assert!(event.contains("aHVudGVyMg=="), "{event}");
        let patch = json!({"data": {"more": "eA=="}}).to_string();
        let patched = cluster.ask("PATCH", &format!("{SECRETS}/s"), "application/merge-patch+json", &patch).await;
        assert_eq!(patched.body["data"]["more"], "eA==");
        // Other kinds are stored as they are.
        cluster.config_map("c", json!({})).await;
        assert_eq!(cluster.delete(&format!("{SECRETS}/s"), json!({})).await.code, 200);
    }
}

#[tokio::test]
async fn what_cannot_be_decrypted_is_refused_and_keeps_nothing_else_from_working() {
    for (kind, why) in [
        ("aescbc", "invalid padding on input"),
        ("aesgcm", "cipher: message authentication failed"),
        ("secretbox", "output array was not large enough for encryption"),
    ] {
        // Everything that the cluster made at its start is unreadable after it.
        let all = |key: &str, more: &str| {
            let text = format!(
                "{{apiVersion: apiserver.config.k8s.io/v1, kind: EncryptionConfiguration, resources: [{{resources: \
                 ['*.*'], providers: [{}{more}]}}]}}",
                keyed(kind, "k", key)
            );
            Access { encryption: Some(Encryption::parse(&text).expect("reads")), ..Access::default() }
        };
        let before = cluster_with(all(ONE, "")).await;
        assert_eq!(before.create(SECRETS, secret("s")).await.code, 201);
        let after = again_with(before, all(TWO, ", {identity: {}}")).await;
        let one = after.get(&format!("{SECRETS}/s")).await.text();
        assert_eq!(one, format!("500 Internal error occurred: {why}"));
        let list = after.get(SECRETS).await.text();
        let key = "/registry/secrets/default/s";
        assert_eq!(list, format!("500 Internal error occurred: unable to transform key \"{key}\": {why}"));
        assert_eq!(after.delete(&format!("{SECRETS}/s"), json!({})).await.code, 500);
        let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
        let role = json!({"metadata": {"name": "new"}, "rules": []});
        assert_eq!(after.create(roles, role).await.code, 201);
        assert_eq!(after.get(&format!("{roles}/new")).await.code, 200);
        let other = again_with(after, all(ONE, "")).await;
        assert_eq!(password(&other, "s").await, "aHVudGVyMg==", "with its key it is there again");
    }
    let mut cluster = cluster_with(access(&keyed("aesgcm", "one", ONE))).await;
    assert_eq!(cluster.create(SECRETS, secret("s")).await.code, 201);
    for (providers, why) in [
        (keyed("aesgcm", "two", ONE), "no matching key was found for the provided AES transformer"),
        (keyed("secretbox", "one", ONE), "no matching prefix found"),
    ] {
        cluster = again_with(cluster, access(&providers)).await;
        let told = cluster.get(&format!("{SECRETS}/s")).await.text();
        assert_eq!(told, format!("500 Internal error occurred: {why}"));
    }
}

#[tokio::test]
async fn keys_are_rotated_by_writing_everything_again() {
    let plain = cluster_with(Access::default()).await;
    plain.create(SECRETS, secret("s")).await;
    assert!(stored(&plain, "s").await.contains("password"));
    let (one, two) = (keyed("aesgcm", "one", ONE), keyed("secretbox", "two", TWO));
    let rewrite = async |cluster: &Cluster| {
        let same = cluster.get(&format!("{SECRETS}/s")).await.body;
        assert_eq!(cluster.update(&format!("{SECRETS}/s"), &same).await.code, 200);
        let again = cluster.get(&format!("{SECRETS}/s")).await.body;
        let revision = again["metadata"]["resourceVersion"].clone();
        assert_eq!(cluster.update(&format!("{SECRETS}/s"), &again).await.body["metadata"]["resourceVersion"], revision);
    };
    // From nothing to a key, to another key, and to the other alone.
    let first = again_with(plain, access(&format!("{one}, {{identity: {{}}}}"))).await;
    assert_eq!(password(&first, "s").await, "aHVudGVyMg==");
    rewrite(&first).await;
    assert!(stored(&first, "s").await.starts_with("k8s:enc:aesgcm:v1:one:"));
    let second = again_with(first, access(&format!("{two}, {one}"))).await;
    rewrite(&second).await;
    assert!(stored(&second, "s").await.starts_with("k8s:enc:secretbox:v1:two:"));
    let third = again_with(second, access(&two)).await;
    assert_eq!(password(&third, "s").await, "aHVudGVyMg==");
    // Without its key a secret is not read, and not lost.
    let fourth = again_with(third, access(&one)).await;
    assert_eq!(fourth.get(&format!("{SECRETS}/s")).await.code, 500);
    let fifth = again_with(fourth, access(&format!("{{identity: {{}}}}, {two}"))).await;
    rewrite(&fifth).await;
    assert!(stored(&fifth, "s").await.contains("password"));
}

#[tokio::test]
async fn a_file_that_is_followed_is_taken_over_unless_it_is_broken() {
    let text = |providers: &str| {
        format!(
            "{{apiVersion: apiserver.config.k8s.io/v1, kind: EncryptionConfiguration, \
             resources: [{{resources: [secrets], providers: [{providers}]}}]}}"
        )
    };
    let (one, two) = (keyed("aesgcm", "one", ONE), keyed("secretbox", "two", TWO));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keys.yaml");
    let say = |text: &str| std::fs::write(&file, text).expect("is written");
    let first = text(&one);
    say(&first);
    let encryption = Encryption::parse(&first).expect("reads").followed(file.clone(), &first, None);
    let cluster = cluster_with(Access { encryption: Some(encryption), ..Access::default() }).await;
    let mut watch = Watch::of(&cluster, &format!("{SECRETS}?watch=true")).await;
    let counts = async || {
        let metrics = cluster.get("/metrics").await.body;
        let lines = metrics.as_str().unwrap_or_default().lines().map(str::to_owned);
        let lines = lines.filter(|line| line.starts_with("apiserver_encryption_config_controller_automatic_reloads"));
        let short = |line: String| line.split("status=").nth(1).unwrap_or_default().to_owned();
        lines.map(short).collect::<Vec<_>>().join(", ")
    };
    let made = async |name: &str, expected: &str| {
        assert_eq!(cluster.create(SECRETS, secret(name)).await.code, 201);
        let bytes = stored(&cluster, name).await;
        assert!(bytes.starts_with(expected), "{bytes}");
    };
    made("a", "k8s:enc:aesgcm:v1:one:").await;
    // What did not change is left alone; what is broken changes nothing.
    cluster.server.reload_encryption().await;
    assert_eq!(counts().await, "");
    for broken in ["", "{", &text("{aesgcm: {keys: []}}")] {
        say(broken);
        cluster.server.reload_encryption().await;
    }
    std::fs::remove_file(&file).expect("was there");
    cluster.server.reload_encryption().await;
    assert_eq!(counts().await, "\"failure\"} 4");
    made("b", "k8s:enc:aesgcm:v1:one:").await;
    // New keys are used at once, also by a watch that began before.
    say(&text(&format!("{two}, {one}")));
    cluster.server.reload_encryption().await;
    cluster.server.reload_encryption().await;
    assert_eq!(counts().await, "\"failure\"} 4, \"success\"} 1");
    made("c", "k8s:enc:secretbox:v1:two:").await;
    for name in ["a", "b", "c"] {
        assert_eq!(password(&cluster, name).await, "aHVudGVyMg==");
        let event = watch.next().await.expect("an event");
        assert_eq!(event["object"]["data"]["password"], "aHVudGVyMg==", "{event}");
    }
}

#[test]
fn a_file_that_cannot_work_is_refused() {
    let parse = |providers: &str| {
        let text = format!(
            "{{apiVersion: apiserver.config.k8s.io/v1, kind: EncryptionConfiguration, \
             resources: [{{resources: [secrets], providers: [{providers}]}}]}}"
        );
        Encryption::parse(&text).expect_err("refused").to_string()
    };
    for (providers, expected) in [
        ("", "at least one provider"),
        ("{aesgcm: {keys: []}}", "at least one key"),
        ("{aesgcm: {keys: [{name: a, secret: c2hvcnQ=}]}}", "not of the expected length"),
        ("{kms: {name: a}}", "not supported"),
        ("{rot13: {}}", "unknown field"),
        (
            "{identity: {}, aesgcm: {keys: [{name: a, secret: MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=}]}}",
            "exactly one",
        ),
    ] {
        let refused = parse(providers);
        assert!(refused.contains(expected), "{providers}: {refused}");
    }
}
