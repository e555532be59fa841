//! Ways of Consul that no client asks for and some rely on.

use serde_json::json;

use super::*;

#[tokio::test]
async fn a_path_says_what_can_be_asked_of_it() {
    let world = World::start().await;
    let cases = [
        ("/v1/agent/services", "OPTIONS,GET"),
        ("/v1/agent/service/register", "OPTIONS,PUT"),
        ("/v1/agent/maintenance?enable=true", "OPTIONS,PUT"),
        ("/v1/catalog/register", "OPTIONS,PUT"),
        ("/v1/catalog/services", "OPTIONS,GET"),
        ("/v1/health/service/web", "OPTIONS,GET"),
        ("/v1/kv/a", "OPTIONS,GET,PUT,DELETE"),
        ("/v1/session/create", "OPTIONS,PUT"),
        ("/v1/session/list", "OPTIONS,GET"),
        ("/v1/txn", "OPTIONS,PUT"),
        ("/v1/status/leader", "OPTIONS,GET"),
        ("/v1/event/fire/a", "OPTIONS,PUT"),
        ("/v1/query", "OPTIONS,POST,GET"),
    ];
    let mut wrong = Vec::new();
    for (path, allowed) in cases {
        let answer = world.ask(Method::OPTIONS, path, "").await;
        let said = answer.headers.get("allow").map_or("", |allow| allow.to_str().expect("text"));
        let sorted = |list: &str| {
            let mut words: Vec<String> = list.split(',').map(str::to_owned).collect();
            words.sort();
            words
        };
        if (answer.status, sorted(said)) != (200, sorted(allowed)) || !answer.body.is_empty() {
            wrong.push(format!("{path}: {} {said:?} {}", answer.status, answer.text()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(world.ask(Method::OPTIONS, "/v1/nothing", "").await.status, 404);
    world.stop().await;
}

#[tokio::test]
async fn tags_that_others_changed_stay_until_the_agent_says_something_else() {
    let world = World::start().await;
    let register = |tags: Value, overridable: bool| {
        json!({"Name": "web", "Port": 80, "Tags": tags, "EnableTagOverride": overridable}).to_string()
    };
    let change = json!({"Node": "agent", "Address": "192.0.2.1", "SkipNodeUpdate": true,
        "Service": {"Service": "web", "ID": "web", "Port": 81, "Tags": ["theirs"]}})
    .to_string();
    let seen = async || {
        let list = world.get("/v1/catalog/service/web").await.json();
        (list[0]["ServiceTags"].clone(), list[0]["ServicePort"].clone())
    };
    world.put("/v1/agent/service/register", &register(json!(["own"]), true)).await;
    world.put("/v1/catalog/register", &change).await;
    // Of all that others say of it, the agent lets the tags stand.
    assert_eq!(seen().await, (json!(["theirs"]), json!(80)));
    world.put("/v1/agent/service/register", &register(json!(["own"]), true)).await;
    assert_eq!(seen().await, (json!(["theirs"]), json!(80)));
    assert_eq!(world.get("/v1/agent/service/web").await.json()["Tags"], json!(["theirs"]));
    world.put("/v1/agent/service/register", &register(json!(["new"]), true)).await;
    assert_eq!(seen().await.0, json!(["new"]));
    world.put("/v1/catalog/register", &change).await;
    world.put("/v1/agent/service/register", &register(json!(["own"]), false)).await;
    assert_eq!(seen().await.0, json!(["own"]));
    world.stop().await;
}

#[tokio::test]
async fn names_are_taken_as_consul_takes_them_and_requests_are_counted() {
    let world = World::start().await;
    let cases = [
        ("web_1.x", 200, ""),
        ("W\u{e4}b 2", 200, ""),
        ("a/b", 400, "Invalid service name \"a/b\""),
        ("a\nb", 400, "Invalid service name"),
        ("", 400, "Missing service name"),
    ];
    for (name, status, words) in cases {
        let answer = world.ask(Method::PUT, "/v1/agent/service/register", &json!({"Name": name}).to_string()).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
        assert!(answer.text().contains(words), "{name}: {}", answer.text());
    }
    let metrics = world.get("/v1/agent/metrics").await.json();
    let samples = metrics["Samples"].as_array().expect("samples");
    let puts = samples.iter().find(|sample| sample["Labels"] == json!({"method": "PUT", "path": "v1_agent"}));
    assert_eq!(puts.expect("counted")["Count"], 5);
    let text = world.get("/v1/agent/metrics?format=prometheus").await.text();
    assert!(text.contains("consul_api_http_count{method=\"PUT\",path=\"v1_agent\"} 5"), "{text}");
    assert!(text.contains("# TYPE consul_registry_leases_ended counter"), "{text}");
    world.stop().await;
}

#[tokio::test]
async fn the_log_is_streamed_from_a_level_on_to_those_who_may_read_it() {
    let world = World::start().await;
    let listen = async |path: &str, caller: Caller| {
        let request = Request {
            method: Method::GET,
            uri: path.parse().expect("a path"),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
            caller,
        };
        world.consul.answer(request).await
    };
    let say = |level: tracing::Level, message: &str| {
        let (time, target, message) = ("12:00".to_owned(), "agent".to_owned(), message.to_owned());
        drop(world.log.send(Arc::new(crate::LogLine { level, time, target, message })));
    };
    let mut streams = Vec::new();
    for path in ["/v1/agent/monitor", "/v1/agent/monitor?loglevel=ERR", "/v1/agent/monitor?loglevel=warn&logjson"] {
        let response = listen(path, Caller::Trusted).await;
        assert_eq!(response.status(), 200, "{path}");
        streams.push(response.into_body());
    }
    say(tracing::Level::DEBUG, "detail");
    say(tracing::Level::INFO, "news");
    say(tracing::Level::WARN, "doubt");
    say(tracing::Level::ERROR, "failure");
    let expected = [
        "12:00 [INFO] agent: news\n",
        "12:00 [ERROR] agent: failure\n",
        "{\"@level\":\"warn\",\"@message\":\"doubt\",\"@module\":\"agent\",\"@timestamp\":\"12:00\"}\n",
    ];
    for (stream, expected) in streams.iter_mut().zip(expected) {
        let frame = stream.frame().await.expect("goes on").expect("cannot fail").into_data().expect("data");
        assert_eq!(String::from_utf8_lossy(&frame), expected);
    }
    drop(streams);
    let stranger = Caller::Unknown("no token".into());
    assert_eq!(listen("/v1/agent/monitor", stranger).await.status(), 401);
    world.stop().await;
}
