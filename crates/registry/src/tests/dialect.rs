//! What all answers have in common: tags, compression, limits, the description; and batches.

use std::collections::BTreeSet;
use std::io::Read;

use super::*;
use crate::paths::OPERATIONS;
use portolan_registrar::limits::Rate;

use crate::batch;

const BATCH: &str = "/registry/batch";

fn instance(service: &str, tag: &str) -> Value {
    json!({"spec": {"service": service, "address": "192.0.2.1", "ports": [{"port": 80}], "tags": [tag]},
        "status": {"health": "passing"}})
}

#[tokio::test(start_paused = true)]
async fn what_a_client_has_is_not_sent_again_until_it_changes() {
    let (world, mut catalog) = (World::start(fake()).await, Catalog::new());
    world.show(&mut catalog, &[("a", instance("web", "")), ("b", instance("shop", ""))]);
    world.show(&mut catalog, &[("c", instance("web", ""))]);
    // What is asked for, and whether a change of the service "shop" changes it.
    let cases = [
        ("/registry/instances", true),
        ("/registry/instances?namespace=default&service=web", false),
        ("/registry/instances?namespace=default&service=shop", true),
        ("/registry/services", true),
        ("/registry/services/web", false),
        ("/registry/services/shop", true),
        ("/registry/targets", true),
        ("/registry/targets?namespace=default&service=web", false),
    ];
    let mut had = Vec::new();
    for (path, _) in cases {
        let answer = world.send(Method::GET, path, &[], "").await;
        let tag = answer.header("etag").to_owned();
        assert!(tag.starts_with('"') && tag.len() > 2, "{path}: {tag}");
        let again = world.send(Method::GET, path, &[("if-none-match", &tag)], "").await;
        assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0), "{path}");
        assert_eq!(
            (again.header("etag"), again.header("x-portolan-index")),
            (&*tag, answer.header("x-portolan-index"))
        );
        had.push((tag, answer.body));
    }
    let tags: BTreeSet<&String> = had.iter().map(|(tag, _)| tag).collect();
    assert_eq!(tags.len(), cases.len(), "no two questions share a tag");
    world.show(&mut catalog, &[("b", instance("shop", "new"))]);
    for ((path, changes), (tag, body)) in cases.iter().zip(&had) {
        let answer = world.send(Method::GET, path, &[("if-none-match", tag)], "").await;
        assert_eq!(answer.status == StatusCode::OK, *changes, "{path}");
        let same = world.send(Method::GET, path, &[], "").await.body == *body;
        assert!(same || *changes, "{path}: an old tag stands for other bytes");
    }
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn large_answers_are_compressed_for_those_who_accept_it() {
    let world = World::start(fake()).await;
    world.show(&mut Catalog::new(), &["a", "b", "c", "d", "e", "f", "g", "h"].map(|name| (name, instance("web", ""))));
    let cases = [
        ("/registry/services/web", "gzip", true),
        ("/registry/services/web", "br", false),
        ("/registry/instances?service=none", "gzip", false),
        ("/registry/openapi.json", "gzip, br", true),
        ("/registry/instances", "gzip", true),
        ("/registry/services", "gzip", false),
        ("/registry/targets", "gzip", true),
    ];
    for (path, accepted, compressed) in cases {
        let plain = world.send(Method::GET, path, &[], "").await;
        let answer = world.send(Method::GET, path, &[("accept-encoding", accepted)], "").await;
        assert_eq!(answer.header("content-encoding"), if compressed { "gzip" } else { "" }, "{path}");
        assert_eq!(answer.header("vary"), "accept-encoding");
        let mut body = Vec::new();
        if compressed {
            flate2::read::GzDecoder::new(&answer.body[..]).read_to_end(&mut body).expect("gzip");
        } else {
            body.extend_from_slice(&answer.body);
        }
        assert_eq!(body, plain.body, "{path}");
        let tag = answer.header("etag");
        if !tag.is_empty() {
            assert_eq!(tag != plain.header("etag"), compressed, "strong tags name bytes");
            for tag in [tag, plain.header("etag")] {
                let again = world.send(Method::GET, path, &[("if-none-match", tag)], "").await;
                assert_eq!((again.status, again.header("etag")), (StatusCode::NOT_MODIFIED, tag));
            }
        }
    }
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn each_item_of_a_batch_has_its_own_outcome() {
    let world = World::start(fake()).await;
    world.ask(Method::POST, "/registry/instances", BILLING).await;
    let body = json!({
        "register": [
            {"service": "web", "id": "web-1", "port": 80, "ttlSeconds": 10},
            {"service": "web", "id": "web-2", "port": 0},
            {"srevice": "web"},
            {"service": "web", "id": "web-1", "port": 81},
            {"service": "web", "id": "web-3", "port": 80, "namespace": "default"},
        ],
        "deregister": [{"id": "billing-1"}, {"namespace": "default", "id": "none"}, {"name": "web-1"}],
        "renew": [{"id": "web-1"}, {"id": "web-3"}, {"id": "billing-1"}],
    });
    let (status, answer) = world.ask(Method::POST, BATCH, &body.to_string()).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let expected = [
        ("register", 0, 201, "created"),
        ("register", 1, 400, "port: must be between"),
        ("register", 2, 400, "unknown field `srevice`"),
        ("register", 3, 400, "an earlier item"),
        ("register", 4, 201, "created"),
        ("deregister", 0, 200, "deregistered"),
        ("deregister", 1, 404, "is not registered"),
        ("deregister", 2, 400, "names no instance"),
        ("renew", 0, 200, "\"ttlSeconds\":10"),
        ("renew", 1, 404, "has no lease"),
        ("renew", 2, 404, "has no lease"),
    ];
    for (kind, position, status, words) in expected {
        let item = &answer[kind][position];
        assert_eq!(item["status"], status, "{kind} {position}: {item}");
        assert!(item.to_string().contains(words), "{kind} {position}: {item}");
    }
    let outcomes = ["register", "deregister", "renew"].map(|kind| answer[kind].as_array().map_or(0, Vec::len));
    assert_eq!(outcomes, [5, 3, 3]);
    assert_eq!(world.registered(), 2);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_is_refused_as_a_whole() {
    let world = World::start(fake()).await;
    let renewals = |count: usize| json!({"renew": vec![json!({"id": "a"}); count]}).to_string();
    let long = json!({"service": "a", "metadata": {"a": "b".repeat(64 << 10)}}).to_string();
    let cases = [
        (BATCH, renewals(batch::MOST_ITEMS), 200, ""),
        (BATCH, renewals(batch::MOST_ITEMS + 1), 400, "at most 1000"),
        (BATCH, "[]".to_owned(), 400, "not a batch"),
        (BATCH, r#"{"registre": []}"#.to_owned(), 400, "unknown field"),
        ("/registry/instances", long, 413, "larger than 65536"),
    ];
    for (path, body, status, words) in cases {
        let (answered, answer) = world.ask(Method::POST, path, &body).await;
        assert_eq!(answered.as_u16(), status, "{words}: {answer}");
        assert!(answer.to_string().contains(words), "{answer}");
    }
    assert_eq!((Registry::BODY_LIMIT, world.registered()), (1 << 20, 0));
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_asks_too_often_is_told_when_to_come_back() {
    let limits = Limits {
        requests: Rate { per_second: 1, burst: 6 },
        registrations: Rate { per_second: 1, burst: 2 },
        ..Limits::default()
    };
    let world = World::start_with(fake(), limits).await;
    let three = json!({"register": [{"service": "a"}, {"service": "b"}, {"service": "c"}]}).to_string();
    // Method, path, body, status, seconds to wait.
    let cases = [
        (Method::POST, BATCH, &*three, 429, "1"),
        (Method::POST, "/registry/instances", BILLING, 201, ""),
        (Method::DELETE, "/registry/instances/default/billing-1", "", 200, ""),
        (Method::POST, "/registry/instances", BILLING, 429, "1"),
        (Method::GET, "/registry/instances", "", 200, ""),
        (Method::GET, "/registry/nothing", "", 404, ""),
        (Method::GET, "/registry/instances", "", 429, "1"),
    ];
    for (method, path, body, status, wait) in cases {
        let answer = world.send(method, path, &[], body).await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (status, wait), "{path}");
    }
    assert_eq!(world.registered(), 0);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(world.ask(Method::POST, "/registry/instances", BILLING).await.0, StatusCode::CREATED);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_description_is_of_exactly_the_paths_there_are() {
    let world = World::start(fake()).await;
    let (_, document) = world.ask(Method::GET, "/registry/openapi.json", "").await;
    let paths = document["paths"].as_object().expect("paths");
    let described: usize = paths.values().map(|path| path.as_object().map_or(0, serde_json::Map::len)).sum();
    assert_eq!(described, OPERATIONS.len());
    for (path, described) in paths {
        let filled = path.replace("{namespace}", "default").replace("{id}", "none").replace("{name}", "none");
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            let answer = world.send_head(method.clone(), &filled).await;
            let described = &described[method.as_str().to_lowercase()];
            assert_eq!(answer == StatusCode::METHOD_NOT_ALLOWED, described.is_null(), "{method} {path}: {answer}");
            let expected = &described["responses"][answer.as_str()];
            assert!(described.is_null() || expected.is_object(), "{method} {path}: {answer} is not described");
            for parameter in described["parameters"].as_array().into_iter().flatten() {
                let name = parameter["name"].as_str().expect("a name");
                let is_variable = path.contains(&format!("{{{name}}}"));
                assert_eq!(parameter["in"] == "path", is_variable, "{path}: {name}");
            }
        }
    }
    let text = document.to_string();
    for (reference, _) in text.match_indices("#/components/schemas/") {
        let name = text[reference..].trim_start_matches("#/components/schemas/").split('"').next().expect("a name");
        assert!(document["components"]["schemas"][name].is_object(), "{name} is not described");
    }
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_schemas_name_what_is_answered() {
    let world = World::start(fake()).await;
    world.show(&mut Catalog::new(), &[("a", instance("web", ""))]);
    let (_, document) = world.ask(Method::GET, "/registry/openapi.json", "").await;
    let names = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<BTreeSet<_>>();
    let schema = |name: &str| names(&document["components"]["schemas"][name]["properties"]);
    let (_, list) = world.ask(Method::GET, "/registry/instances", "").await;
    assert_eq!(names(&list[0]), schema("Instance"));
    let (_, services) = world.ask(Method::GET, "/registry/services", "").await;
    assert!(names(&services[0]).is_subset(&schema("Service")));
    let (_, created) = world.ask(Method::POST, "/registry/instances", BILLING).await;
    assert_eq!(names(&created), schema("Outcome"));
    let (_, renewed) = world.ask(Method::PUT, RENEW, "").await;
    assert_eq!(names(&renewed), schema("Renewal"));
    world.stop().await;
}
