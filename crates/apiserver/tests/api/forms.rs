//! Objects, lists, refusals and watches in JSON, YAML and protobuf; compressed answers.

use std::io::Read as _;

use http::Request;
use http_body_util::BodyExt;
use portolan_api::decode::{self, Limits};
use portolan_api::protobuf;
use portolan_apiserver::{empty, full};
use serde_json::{Value, json};

use crate::support::{Cluster, admin, cluster, pod};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const METADATA: &str = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/// The code, media type and bytes of an answer.
async fn fetch(cluster: &Cluster, uri: &str, accept: &str) -> (u16, String, Vec<u8>) {
    send(cluster, Request::builder().uri(uri).header("accept", accept), Vec::new()).await
}

async fn send(cluster: &Cluster, request: http::request::Builder, body: Vec<u8>) -> (u16, String, Vec<u8>) {
    let body = if body.is_empty() { empty() } else { full(body) };
    let response = cluster.raw(admin(), request.body(body).expect("a request")).await;
    let code = response.status().as_u16();
    let content_type = response.headers()["content-type"].to_str().expect("text").to_owned();
    (code, content_type, response.into_body().collect().await.expect("a body").to_bytes().to_vec())
}

/// A document in whatever form it has.
fn read(content_type: &str, bytes: &[u8]) -> Value {
    match content_type {
        PROTOBUF => protobuf::decode(bytes, None, &Limits::default()).expect("protobuf"),
        "application/yaml" => decode::yaml(bytes, &Limits::default()).expect("YAML").value,
        _ => serde_json::from_slice(bytes).expect("JSON"),
    }
}

#[tokio::test]
async fn every_document_is_the_same_in_every_form() {
    let cluster = cluster().await;
    cluster.config_map("a", json!({"app": "web"})).await;
    cluster.create("/api/v1/namespaces/default/pods", pod("p")).await;
    let paths = [
        "/api/v1/namespaces/default/configmaps/a",
        CONFIG_MAPS,
        "/api/v1/namespaces/default/configmaps?limit=1",
        "/api/v1/namespaces/default/pods/p",
        "/api/v1/pods",
        "/api/v1/namespaces",
        "/api/v1/namespaces/default/configmaps/none",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
        "/apis/apps/v1",
        "/apis",
        "/api",
    ];
    for path in paths {
        let (code, _, bytes) = fetch(&cluster, path, "application/json").await;
        let mut expected = read("application/json", &bytes);
        // Lists in lists that are empty are not there in protobuf.
        for accept in [PROTOBUF, "application/yaml", "application/vnd.kubernetes.protobuf,application/json"] {
            let (other, content_type, bytes) = fetch(&cluster, path, accept).await;
            assert_eq!((other, content_type.as_str()), (code, accept.split(',').next().unwrap_or_default()), "{path}");
            let mut found = read(&content_type, &bytes);
            for value in [&mut expected, &mut found] {
                without_nothing(value);
            }
            assert_eq!(found, expected, "{path} {accept}");
        }
    }
}

/// Drops what is absent in one form and empty in another, and the kind of the items of a list: it
/// goes without saying in protobuf.
fn without_nothing(value: &mut Value) {
    for item in value.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(item) = item.as_object_mut() {
            item.remove("kind");
            item.remove("apiVersion");
        }
    }
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(without_nothing);
            fields.retain(|_, value| match value {
                Value::Array(list) => !list.is_empty(),
                Value::Object(fields) => !fields.is_empty(),
                Value::String(text) => !text.is_empty(),
                Value::Null => false,
                _ => true,
            });
        }
        Value::Array(list) => list.iter_mut().for_each(without_nothing),
        _ => {}
    }
}

#[tokio::test]
async fn metadata_of_nothing_is_no_list() {
    let cluster = cluster().await;
    let form = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let (code, _, bytes) = fetch(&cluster, CONFIG_MAPS, form).await;
    let list: Value = serde_json::from_slice(&bytes).expect("JSON");
    assert_eq!((code, list.get("items")), (200, Some(&Value::Null)));
}

#[tokio::test]
async fn metadata_is_answered_in_protobuf_for_every_kind() {
    let cluster = cluster().await;
    cluster.config_map("a", json!({"app": "web"})).await;
    let instance = json!({"metadata": {"name": "i"}, "spec": {"service": "s", "address": "10.0.0.1", "port": 80}});
    cluster.create("/apis/registry.portolan.dev/v1/namespaces/default/serviceinstances", instance).await;
    let (code, content_type, bytes) = fetch(&cluster, &format!("{CONFIG_MAPS}/a"), METADATA).await;
    assert_eq!((code, content_type.as_str()), (200, PROTOBUF));
    let object = read(PROTOBUF, &bytes);
    assert_eq!((&object["kind"], &object["metadata"]["name"]), (&json!("PartialObjectMetadata"), &json!("a")));
    let list = "/apis/registry.portolan.dev/v1/namespaces/default/serviceinstances";
    let (_, content_type, bytes) = fetch(&cluster, list, &METADATA.replace("Metadata;", "MetadataList;")).await;
    assert_eq!(content_type, PROTOBUF);
    let list_of = read(PROTOBUF, &bytes);
    assert_eq!(list_of["kind"], "PartialObjectMetadataList");
    // The kind itself is not exchanged in protobuf: the next form that the client knows is taken, if there is one.
    // That there is none is told in protobuf.
    let (code, content_type, _) = fetch(&cluster, list, PROTOBUF).await;
    assert_eq!((code, content_type.as_str()), (406, PROTOBUF));
    let (code, content_type, _) = fetch(&cluster, list, &format!("{PROTOBUF}, application/yaml")).await;
    assert_eq!((code, content_type.as_str()), (200, "application/yaml"));
}

#[tokio::test]
async fn bodies_are_read_in_every_form() {
    let cluster = cluster().await;
    let object =
        |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}});
    let bodies = [
        ("application/json", object("a").to_string().into_bytes()),
        ("application/json; charset=utf-8", object("b").to_string().into_bytes()),
        ("application/yaml", b"metadata: {name: c}\ndata: {a: b}\n".to_vec()),
        (PROTOBUF, protobuf::encode(object("d").to_string().as_bytes()).expect("writes")),
    ];
    for (content_type, body) in bodies {
        let request = Request::builder().method("POST").uri(CONFIG_MAPS).header("content-type", content_type);
        let (code, answered, bytes) = send(&cluster, request.header("accept", PROTOBUF), body).await;
        assert_eq!((code, answered.as_str()), (201, PROTOBUF), "{content_type}");
        assert_eq!(read(PROTOBUF, &bytes)["data"], json!({"a": "b"}), "{content_type}");
    }
    let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": "other"}});
    for (content_type, body) in [
        (PROTOBUF, protobuf::encode(options.to_string().as_bytes()).expect("writes")),
        ("application/yaml", b"preconditions: {uid: other}".to_vec()),
    ] {
        let request = Request::builder().method("DELETE").uri(format!("{CONFIG_MAPS}/a"));
        let (code, answered, bytes) =
            send(&cluster, request.header("content-type", content_type).header("accept", PROTOBUF), body).await;
        assert_eq!((code, answered.as_str()), (409, PROTOBUF), "{content_type}");
        assert_eq!(read(PROTOBUF, &bytes)["reason"], "Conflict");
    }
}

#[tokio::test]
async fn watches_in_protobuf_bring_frames_with_their_length() {
    let cluster = cluster().await;
    cluster.config_map("a", json!({"app": "web"})).await;
    for accept in [format!("{PROTOBUF};stream=watch"), format!("{METADATA};stream=watch"), PROTOBUF.into()] {
        let uri = format!(
            "{CONFIG_MAPS}?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1"
        );
        let request = Request::builder().uri(uri).header("accept", &accept).body(empty()).expect("a request");
        let response = cluster.raw(admin(), request).await;
        assert_eq!(response.headers()["content-type"], format!("{PROTOBUF};stream=watch"));
        let name = format!("b{}", accept.len());
        cluster.config_map(&name, json!({})).await;
        let bytes = response.into_body().collect().await.expect("a body").to_bytes();
        let events = events(&bytes);
        let kind = if accept.contains("Partial") { "PartialObjectMetadata" } else { "ConfigMap" };
        assert!(events.iter().all(|(_, object)| object["kind"] == kind), "{events:?}");
        let names = |event: &str| -> Vec<&str> {
            let of = events.iter().filter(|(kind, _)| kind == event);
            of.filter_map(|(_, object)| object["metadata"]["name"].as_str()).collect()
        };
        assert!(names("ADDED").contains(&"a") && names("ADDED").contains(&name.as_str()), "{events:?}");
        let end = events.iter().find(|(kind, _)| kind == "BOOKMARK").expect("a bookmark");
        assert_eq!(end.1["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    }
    cluster.compact().await;
    let uri = format!("{CONFIG_MAPS}?watch=true&resourceVersion=1&timeoutSeconds=1");
    let (code, _, bytes) = fetch(&cluster, &uri, PROTOBUF).await;
    let events = events(&bytes);
    assert_eq!((code, events[0].0.as_str(), &events[0].1["code"]), (200, "ERROR", &json!(410)));
}

/// Type and object of each event.
fn events(mut bytes: &[u8]) -> Vec<(String, Value)> {
    let mut events = Vec::new();
    while let Some((size, rest)) = bytes.split_first_chunk::<4>() {
        let (event, behind) = rest.split_at(u32::from_be_bytes(*size) as usize);
        bytes = behind;
        // The type is short: its length is one byte.
        let (name, object) = event[2..].split_at(event[1] as usize);
        let start = object.windows(4).position(|window| window == b"k8s\0").expect("an envelope");
        let object = protobuf::decode(&object[start..], None, &Limits::default()).expect("reads");
        events.push((String::from_utf8_lossy(name).into_owned(), object));
    }
    events
}

#[tokio::test]
async fn large_answers_are_compressed_for_those_who_ask() {
    let cluster = cluster().await;
    for index in 0..40 {
        let body = json!({"metadata": {"name": format!("large-{index}")}, "data": {"k": "v".repeat(5000)}});
        cluster.create(CONFIG_MAPS, body).await;
    }
    let cases = [
        (CONFIG_MAPS, "application/json", "gzip", true),
        (CONFIG_MAPS, PROTOBUF, "deflate, gzip", true),
        (CONFIG_MAPS, "application/yaml", "gzip", true),
        (CONFIG_MAPS, "application/json", "deflate", false),
        ("/api/v1/namespaces/default/configmaps/large-1", "application/json", "gzip", false),
        ("/api/v1/namespaces/default/configmaps?limit=5", "application/json", "gzip", false),
    ];
    for (uri, accept, encoding, expected) in cases {
        let plain = fetch(&cluster, uri, accept).await.2;
        let request = Request::builder().uri(uri).header("accept", accept).header("accept-encoding", encoding);
        let response = cluster.raw(admin(), request.body(empty()).expect("a request")).await;
        let is_compressed = response.headers().get("content-encoding").is_some_and(|value| value == "gzip");
        assert_eq!(is_compressed, expected, "{uri} {accept} {encoding}");
        let bytes = response.into_body().collect().await.expect("a body").to_bytes();
        let mut read = Vec::new();
        if is_compressed {
            assert!(bytes.len() < plain.len() / 10);
            flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut read).expect("gzip");
        } else {
            read = bytes.to_vec();
        }
        assert_eq!(read, plain, "{uri} {accept} {encoding}");
    }
}
