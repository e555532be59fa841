//! Instances that live by the stream that registered them.

use super::*;

const CONNECTED: &str = "/registry/instances?lease=connection";
const HELD: &str = r#"{"service": "billing", "id": "billing-1", "port": 8080, "ttlSeconds": 3}"#;

/// The next event of a stream; comments do not count.
async fn event(body: &mut portolan_registrar::http::Body) -> Value {
    loop {
        let frame = body.frame().await.expect("the stream goes on").expect("the body cannot fail");
        let text = String::from_utf8(frame.into_data().expect("data").to_vec()).expect("text");
        if let Some(data) = text.strip_prefix("data: ") {
            return serde_json::from_str(data.trim()).expect("JSON");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_stays_while_its_stream_is_read_and_a_grace() {
    let world = World::start(fake()).await;
    let connect = || world.registry.answer(request(Method::POST, CONNECTED, &[], HELD));
    let response = connect().await;
    assert_eq!(
        (response.status(), response.headers()["content-type"].as_bytes()),
        (StatusCode::CREATED, &b"text/event-stream"[..])
    );
    let mut first = response.into_body();
    let registered = json!({"type": "REGISTERED", "namespace": "default", "id": "billing-1", "outcome": "created", "graceSeconds": 3});
    assert_eq!(event(&mut first).await, registered);
    let mut catalog = Catalog::new();
    let object = || serde_json::from_slice(&world.api.objects::<ServiceInstance>()[0].encode()).expect("JSON");
    world.show(&mut catalog, &[("billing-1", object())]);
    let path = "/registry/instances/default/billing-1";
    let (_, shown) = world.ask(Method::GET, path, "").await;
    assert_eq!(shown["lease"], "connection");
    assert!(shown["explanation"].to_string().contains("its lease is a connection, which is open"), "{shown}");
    // A comment after a while, and still there after a long one.
    let comment = first.frame().await.expect("goes on").expect("cannot fail").into_data().expect("data");
    assert!(comment.starts_with(b":"));
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(world.registered(), 1);
    let mut second = connect().await.into_body();
    assert_eq!(event(&mut second).await["outcome"], "unchanged");
    assert_eq!(event(&mut first).await["reason"], "another connection registered the instance");
    assert!(first.frame().await.is_none(), "the end");
    drop(second);
    tokio::time::sleep(Duration::from_secs(4)).await;
    while world.registered() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_nothing_could_hold_is_refused() {
    let world = World::start(fake()).await;
    let by_session = r#"{"service": "a", "session": "0b0f"}"#;
    let both = r#"{"service": "a", "session": "0b0f", "ttlSeconds": 5}"#;
    let cases = [
        ("/registry/instances?lease=ttl", HELD, 400, "lease: \"ttl\" is not known"),
        ("/registry/instances?leese=connection", HELD, 400, "known is lease"),
        (CONNECTED, by_session, 400, "neither ttlSeconds nor a connection"),
        ("/registry/instances", both, 400, "neither ttlSeconds nor a connection"),
        ("/registry/instances", by_session, 400, "session \"0b0f\" is not known"),
    ];
    for (path, body, status, words) in cases {
        let (answered, answer) = world.ask(Method::POST, path, body).await;
        assert_eq!(answered.as_u16(), status, "{path} {body}: {answer}");
        assert!(answer["message"].as_str().expect("a text").contains(words), "{path} {body}: {answer}");
    }
    assert_eq!(world.registered(), 0);
    world.stop().await;
}
