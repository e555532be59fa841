//! What makes no sense is refused with Eureka's statuses and a line of text, and changes nothing.

use super::*;

const GOOD: &str = r#"{"instance": {"instanceId": "b1", "hostName": "h1", "app": "BILLING", "ipAddr": "10.0.0.7",
    "dataCenterInfo": {"name": "MyOwn"}}}"#;

#[tokio::test(start_paused = true)]
async fn malformed_requests_are_refused_and_change_nothing() {
    let world = World::start().await;
    let (get, put, post, delete, patch) = (Method::GET, Method::PUT, Method::POST, Method::DELETE, Method::PATCH);
    let (app, batch) = ("apps/BILLING", "peerreplication/batch");
    let instance = |change: &str| GOOD.replace("\"hostName\"", &format!("{change}, \"hostName\""));
    let brackets = format!(r#"{{"instance": {}"#, "[".repeat(5_000));
    let elements = "<a>".repeat(5_000);
    let large = format!("<instance><app>{}</app></instance>", "x".repeat(100));
    let cases: Vec<(&Method, &str, String, u16, &str)> = vec![
        (&post, app, String::new(), 400, "the body is empty"),
        (&post, app, " \n".into(), 400, "the body is empty"),
        (&post, app, "{".into(), 400, "the body is not JSON: EOF"),
        (&post, app, GOOD[..GOOD.len() - 2].into(), 400, "the body is not JSON: EOF"),
        (&post, app, "[1, 2]".into(), 400, "instance: must be an object"),
        (&post, app, r#"{"instance": 7}"#.into(), 400, "instance: must be an object"),
        (&post, app, r#"{"instance": null}"#.into(), 400, "instance: must be an object"),
        (&post, app, r#"{"instance": {}}"#.into(), 400, "Missing instanceId"),
        (&post, app, brackets, 400, "recursion limit exceeded"),
        (&post, app, elements, 400, "nested deeper than 16"),
        (&post, app, "<instance>".into(), 400, "the body is not well-formed XML"),
        (&post, app, "<instance></other>".into(), 400, "the body is not well-formed XML"),
        (&post, app, "<instance><app>&unknown;</app></instance>".into(), 400, "unknown entity unknown"),
        (&post, app, "<instance><app>&#x110000;</app></instance>".into(), 400, "the body is not well-formed XML"),
        (&post, app, "<".into(), 400, "the body is not well-formed XML"),
        (
            &post,
            app,
            "<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><instance><app>&b;</app></instance>".into(),
            400,
            "entity b",
        ),
        (&post, app, large, 400, "Missing instanceId"),
        (&post, app, instance(r#""port": {"$": "many"}"#), 400, "port: \"many\" is not a port number"),
        (&post, app, instance(r#""port": {"$": 65536}"#), 400, "port: 65536 is not a port number"),
        (&post, app, instance(r#""securePort": {"$": 99999999999999999999}"#), 400, "is not a port number"),
        (&post, app, GOOD.replace("BILLING", "OTHER"), 400, "Mismatched appName, expecting BILLING but was OTHER"),
        (&post, app, GOOD.replace(r#""name": "MyOwn""#, ""), 400, "Missing dataCenterInfo Name"),
        (&post, batch, "{".into(), 400, "the body is not JSON"),
        (&post, batch, "[]".into(), 400, ""),
        (&post, batch, r#"{"replicationList": {}}"#.into(), 400, ""),
        (&put, "apps/BILLING/none", String::new(), 404, ""),
        (&put, "apps/BILLING/none?lastDirtyTimestamp=x", String::new(), 400, "lastDirtyTimestamp: x is not a number"),
        (&put, "apps/CART-SHOP/none?lastDirtyTimestamp=99999999999999999999", String::new(), 400, "is not a number"),
        (&put, "apps/BILLING/none/status", String::new(), 400, "value: a status is missing"),
        (&put, "apps/BILLING/none/status?value=FINE", String::new(), 400, "value: FINE is not one of UP"),
        (&put, "apps/BILLING/none/status?value=UP", String::new(), 404, ""),
        (&delete, "apps/BILLING/none/status?value=FINE", String::new(), 400, "value: FINE is not one of UP"),
        (&put, "apps/BILLING/none/metadata?a=b", String::new(), 404, ""),
        (&delete, "apps/BILLING/none", String::new(), 404, ""),
        (&get, "apps/NONE", String::new(), 404, "there is no application NONE"),
        (&get, "apps/NONE/none", String::new(), 404, ""),
        (&get, "instances/none", String::new(), 404, "there is no instance none"),
        (&get, "apps/%ff", String::new(), 400, "the path cannot be read: it is not UTF-8"),
        (&get, "apps/%zz", String::new(), 400, "two hexadecimal digits must follow a %"),
        (&get, "apps/a/b/c/d", String::new(), 404, "there is nothing at"),
        (&get, "nothing/here", String::new(), 404, "there is nothing at"),
        (&patch, "apps/BILLING", String::new(), 405, "PATCH is not possible here"),
        (&delete, "apps", String::new(), 405, "DELETE is not possible here"),
        (&post, "apps/delta/x", String::new(), 405, "POST is not possible here"),
        (&put, "asg/a/status?value=ENABLED", String::new(), 400, "auto-scaling"),
    ];
    let before = world.get("apps").await;
    let mut wrong = Vec::new();
    for (method, path, body, status, words) in cases {
        // What a body is, its bytes say: clients get its type wrong.
        for kind in ["application/json", "application/xml", "text/plain"] {
            let headers = [("accept", "application/json"), ("content-type", kind)];
            let (found, text) = world.send(method.clone(), path, &headers, &body).await;
            let text = String::from_utf8_lossy(&text);
            if found != status || !text.contains(words) || text.is_empty() {
                wrong.push(format!("{method} {path} {body:.60}: {found} {text:.200}; not {status} {words}"));
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let packed = [("content-encoding", "gzip")];
    assert_eq!(world.send(post, app, &packed, "not packed").await.0, 400);
    assert_eq!(world.get("apps").await, before);
    assert!(world.api.objects::<ServiceInstance>().is_empty());
    world.stop().await;
}
