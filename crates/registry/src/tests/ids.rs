//! Instances whose ids are not the names of their objects: those of Eureka's and Consul's clients.

use portolan_api::typed::kinds::core::v1 as core;
use portolan_client::Key;

use super::*;

/// Objects by their names, with the ids, services and machines of their instances.
const OBJECTS: [(&str, &str, &str, &str); 4] = [
    ("eu1-e0975f00b0", "eu1", "eus", ""),
    ("orders-8080-1", "orders:8080", "orders", "n1"),
    ("orders-8080-2", "orders:8080", "orders", "n2"),
    // Its id is the name of another object.
    ("other-1", "eu1-e0975f00b0", "other", ""),
];

fn objects() -> Vec<ServiceInstance> {
    let object = |(name, id, service, node): (&str, &str, &str, &str)| {
        let object = json!({
            "metadata": {"namespace": "default", "name": name},
            "spec": {"service": service, "instanceId": id, "node": node, "address": format!("192.0.2.{}", name.len() + usize::from(name.ends_with('2'))),
                "lease": {"kind": "ttl", "ttlSeconds": 30}},
        });
        serde_json::from_value(object).expect("an instance")
    };
    OBJECTS.map(object).into()
}

/// A registry that others have written to.
async fn world() -> World {
    let api = fake();
    for object in objects() {
        api.client().create(&object).await.expect("a new name");
    }
    let world = World::start(api).await;
    let mut catalog = Catalog::new();
    for object in objects() {
        catalog.put(Input::Registration(Arc::new(object)));
    }
    let pod = json!({"metadata": {"namespace": "default", "name": "cart-1"}, "status": {"podIP": "10.42.0.7"}});
    let pod = serde_json::from_value::<core::Pod>(pod).expect("a pod");
    catalog.put(Input::Pod(Arc::new(pod)));
    world.snapshots.send_replace(catalog.snapshot());
    let last = format!("/registry/instances/default/{}", OBJECTS[1].0);
    while world.ask(Method::GET, &last, "").await.0 != StatusCode::OK {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    world
}

#[tokio::test(start_paused = true)]
async fn an_instance_is_found_by_its_id_and_by_the_name_of_its_object() {
    let world = world().await;
    // Method, what is named, and what the answer says.
    let cases = [
        ("GET", "eu1", 200, r#""service":"eus""#),
        ("GET", "eu1-e0975f00b0", 200, r#""service":"eus""#),
        ("GET", "other-1", 200, r#""service":"other""#),
        ("GET", "orders:8080", 409, "orders-8080-1 (of orders on n1), orders-8080-2 (of orders on n2)"),
        ("GET", "orders%3A8080", 409, "2 instances have the id default/orders:8080"),
        ("GET", "orders-8080-2", 200, r#""node":"n2""#),
        ("GET", "cart-1", 404, "is a pod"),
        ("GET", "none", 404, "is not registered"),
        ("PUT", "eu1/renew", 200, r#""ttlSeconds":30"#),
        ("PUT", "orders-8080-1/renew", 200, r#""ttlSeconds":30"#),
        ("PUT", "orders:8080/renew", 409, "name one of their objects"),
        ("PUT", "none/renew", 404, "has no lease"),
        ("DELETE", "orders:8080", 409, "name one of their objects"),
        ("DELETE", "none", 404, "is not registered"),
        ("DELETE", "orders-8080-1", 200, "deregistered"),
        // Now it is the only one.
        ("PUT", "orders:8080/renew", 200, r#""ttlSeconds":30"#),
        ("DELETE", "orders:8080", 200, "deregistered"),
        ("DELETE", "orders:8080", 404, "is not registered"),
    ];
    for (method, named, status, words) in cases {
        let path = format!("/registry/instances/default/{named}");
        let (answered, answer) = world.ask(method.parse().expect("a method"), &path, "").await;
        assert_eq!(answered.as_u16(), status, "{method} {named}: {answer}");
        assert!(answer.to_string().contains(words), "{method} {named}: {answer}");
    }
    let shown = world.ask(Method::GET, "/registry/instances/default/eu1", "").await.1;
    assert!(shown["leaseSecondsLeft"].as_f64().is_some() && shown["explanation"].is_array(), "{shown}");
    let body = r#"{"renew": [{"id": "eu1"}, {"id": "orders:8080"}], "deregister": [{"id": "eu1"}]}"#;
    let (_, answer) = world.ask(Method::POST, "/registry/batch", body).await;
    assert_eq!(answer["deregister"][0]["status"], 200, "{answer}");
    assert_eq!((&answer["renew"][0]["status"], &answer["renew"][1]["status"]), (&json!(404), &json!(404)), "{answer}");
    let left: Vec<_> = world.api.objects::<ServiceInstance>().iter().map(Key::of).map(|key| key.name).collect();
    assert_eq!(left, ["other-1"]);
    world.stop().await;
}
