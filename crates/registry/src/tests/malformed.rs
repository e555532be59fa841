//! What makes no sense is refused with a problem in JSON, and changes nothing.

use super::*;

#[tokio::test(start_paused = true)]
async fn malformed_requests_get_a_problem_and_change_nothing() {
    let world = World::start(fake()).await;
    let (get, put, post, delete, patch) = (Method::GET, Method::PUT, Method::POST, Method::DELETE, Method::PATCH);
    let (one, all, batch) = ("/registry/instances/default/a", "/registry/instances", "/registry/batch");
    let nested = format!(r#"{{"service": "a", "metadata": {}"#, "[".repeat(5_000));
    let large = format!(r#"{{"service": "{}"}}"#, "a".repeat(65 << 10));
    let register = |change: &str| format!(r#"{{"service": "a", "address": "192.0.2.1", {change}}}"#);
    let cases: Vec<(&Method, &str, String, u16, &str, &str)> = vec![
        (&post, all, String::new(), 400, "BadRequest", "EOF while parsing"),
        (&post, all, "{".into(), 400, "BadRequest", "EOF while parsing"),
        (&post, all, "[]".into(), 400, "BadRequest", "the body"),
        (&post, all, "null".into(), 400, "BadRequest", "the body"),
        (&post, all, "<a/>".into(), 400, "BadRequest", "expected value"),
        (&post, all, "{}".into(), 400, "BadRequest", "missing field `service`"),
        (&post, all, nested, 400, "BadRequest", ""),
        (&post, all, large, 413, "TooLarge", "larger than 65536 bytes"),
        (&post, all, r#"{"service": ""}"#.into(), 400, "BadRequest", "service"),
        (&post, all, r#"{"service": 1}"#.into(), 400, "BadRequest", "expected a string"),
        (&post, all, register(r#""port": 0"#), 400, "BadRequest", "port: must be between 1 and 65535"),
        (&post, all, register(r#""port": 65536"#), 400, "BadRequest", "65536"),
        (&post, all, register(r#""port": -1"#), 400, "BadRequest", "-1"),
        (&post, all, register(r#""port": "80""#), 400, "BadRequest", "expected u16"),
        (&post, all, register(r#""port": 1e99"#), 400, "BadRequest", ""),
        (&post, all, register(r#""ttlSeconds": 0"#), 400, "BadRequest", "ttlSeconds: 0 is not between"),
        (&post, all, register(r#""ttlSeconds": 99999999"#), 400, "BadRequest", "ttlSeconds"),
        (&post, all, register(r#""tags": "a""#), 400, "BadRequest", "expected a sequence"),
        (&post, all, register(r#""metadata": {"a": 1}"#), 400, "BadRequest", "expected a string"),
        (&post, all, register(r#""srevice": "a""#), 400, "BadRequest", "unknown field `srevice`"),
        (&post, all, register(r#""id": """#), 400, "BadRequest", "id"),
        (&post, batch, "[]".into(), 400, "BadRequest", ""),
        (&post, batch, r#"{"renew": {}}"#.into(), 400, "BadRequest", ""),
        (&post, batch, r#"{"remove": []}"#.into(), 400, "BadRequest", "unknown field `remove`"),
        (&get, "/registry/instances?index=x", String::new(), 400, "BadRequest", "index: \"x\" is not a whole number"),
        (&get, "/registry/instances?index=-1", String::new(), 400, "BadRequest", "not a whole number"),
        (
            &get,
            "/registry/instances?index=18446744073709551616",
            String::new(),
            400,
            "BadRequest",
            "not a whole number",
        ),
        (&get, "/registry/instances?wait=1y", String::new(), 400, "BadRequest", "is not a duration"),
        (&get, "/registry/instances?wait=-1s", String::new(), 400, "BadRequest", "is not a duration"),
        (&get, "/registry/instances?wait=", String::new(), 400, "BadRequest", "is not a duration"),
        (&get, "/registry/instances?health=ok", String::new(), 400, "BadRequest", "none of passing, warning, critical"),
        (&get, "/registry/instances?label=a", String::new(), 400, "BadRequest", "KEY=VALUE"),
        (&get, "/registry/instances?nope", String::new(), 400, "BadRequest", "unknown parameter \"nope\""),
        (&get, "/registry/services/a/pick?policy=best", String::new(), 400, "BadRequest", "policy"),
        (&get, "/registry/services/a/pick?policy=hash", String::new(), 400, "BadRequest", "key"),
        (&get, "/registry/services/none", String::new(), 404, "NotFound", "there is no service none"),
        (&get, "/registry/services/%zz", String::new(), 400, "BadRequest", "invalid escape"),
        (
            &get,
            "/registry/services/%ff",
            String::new(),
            400,
            "BadRequest",
            "invalid escape in \"%ff\": it is not UTF-8",
        ),
        (&get, one, String::new(), 404, "NotFound", "default/a is not registered"),
        (&put, "/registry/instances/default/a/renew", String::new(), 404, "NotFound", "default/a"),
        (&get, "/registry/nothing", String::new(), 404, "NotFound", "see GET /registry"),
        (&get, "/", String::new(), 404, "NotFound", "see GET /registry"),
        (&patch, one, String::new(), 405, "MethodNotAllowed", "PATCH is not possible here; allowed: GET, DELETE"),
        (&delete, all, String::new(), 405, "MethodNotAllowed", "allowed: GET, POST"),
        (&put, batch, "{}".into(), 405, "MethodNotAllowed", "allowed: POST"),
    ];
    let mut wrong = Vec::new();
    for (method, path, body, status, reason, words) in cases {
        let answer =
            world.send(method.clone(), path, &[("content-type", "application/x-www-form-urlencoded")], &body).await;
        let shown = format!("{method} {path} {body:.60}");
        let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let said = problem["message"].as_str().unwrap_or_default();
        if answer.status != status || problem["error"] != reason || !said.contains(words) || said.is_empty() {
            wrong.push(format!("{shown}: {} {problem}; not {status} {reason} {words}", answer.status));
        }
        if answer.header("content-type") != "application/json" {
            wrong.push(format!("{shown}: {}", answer.header("content-type")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!((world.registered(), world.api.writes()), (0, Vec::new()));
    world.stop().await;
}
