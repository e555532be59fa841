//! The OpenAPI document against what is really taken: every operation and parameter of it is driven.

use super::*;

const INSTANCE: &str = "/registry/instances/default/billing-1";

/// Values of a query parameter that make sense, by its schema or its name; with what has to come along.
fn samples(name: &str, schema: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let fitting = |value: String| match &*value {
        "hash" => "hash&key=a".to_owned(),
        "nearest" => "nearest&zone=z".to_owned(),
        _ => value,
    };
    match (schema["enum"].as_array(), name) {
        (Some(values), _) => values.iter().map(text).map(fitting).collect(),
        (None, "index") => vec!["0".into()],
        (None, "wait") => vec!["1ms".into()],
        (None, "label") => vec!["a=b".into(), "a=b&label=c=d".into()],
        (None, _) if schema["type"] == "array" => vec!["a".into(), "a&tag=b".into()],
        (None, _) => vec!["default".into()],
    }
}

/// A body that an operation takes.
fn body(path: &str) -> &'static str {
    match path {
        "/registry/instances" => BILLING,
        "/registry/batch" => r#"{"renew": [{"id": "billing-1"}]}"#,
        _ => "",
    }
}

#[tokio::test(start_paused = true)]
async fn every_operation_and_every_parameter_is_taken_as_described() {
    let world = World::start(fake()).await;
    let instance = json!({"spec": {"service": "default", "address": "192.0.2.1"}, "status": {"health": "passing"}});
    world.show(&mut Catalog::new(), &[("a", instance)]);
    let (_, document) = world.ask(Method::GET, "/registry/openapi.json", "").await;
    for (template, described) in document["paths"].as_object().expect("paths") {
        let path = match template.contains("{id}") {
            true => template.replace("/registry/instances/{namespace}/{id}", INSTANCE),
            false => template.replace("{name}", "default"),
        };
        for (method, operation) in described.as_object().expect("operations") {
            let method: Method = method.to_uppercase().parse().expect("a method");
            let ask = async |query: &str| {
                // Whatever was asked before, what the path names is there.
                world.ask(Method::POST, "/registry/instances", BILLING).await;
                world.until_known("billing-1").await;
                let asked = if query.is_empty() { path.clone() } else { format!("{path}?{query}") };
                let answer = world.registry.answer(request(method.clone(), &asked, &[], body(template))).await;
                let (status, media) = (answer.status(), answer.headers().get("content-type"));
                let media = media.and_then(|media| media.to_str().ok()).unwrap_or_default();
                let content = &operation["responses"][status.as_str()]["content"];
                let known = media.split(';').next().unwrap_or_default();
                assert!(content[known].is_object(), "{method} {asked}: {status} {media} is not described");
                status
            };
            let status = ask("").await;
            // The catalog of this world shows only what it was told.
            assert!(status.is_success() || (template.contains("{id}") && status == 404), "{method} {path}: {status}");
            let parameters = operation["parameters"].as_array().expect("parameters");
            let of_query: Vec<&Value> = parameters.iter().filter(|parameter| parameter["in"] == "query").collect();
            for parameter in &of_query {
                let name = parameter["name"].as_str().expect("a name");
                for value in samples(name, &parameter["schema"]) {
                    let status = ask(&format!("{name}={value}")).await;
                    assert!(status.is_success() || status == 404, "{method} {path}?{name}={value}: {status}");
                }
                if parameter["schema"]["enum"].is_array() {
                    assert_eq!(ask(&format!("{name}=nonsense")).await, 400, "{method} {path}: {name}");
                }
            }
            if !of_query.is_empty() {
                assert_eq!(ask("surprise=1").await, 400, "{method} {path}: what is not described is refused");
            }
        }
    }
    world.stop().await;
}

/// The fields that a refusal of another field names are all that are taken.
#[tokio::test(start_paused = true)]
async fn bodies_have_the_fields_that_are_described_and_no_others() {
    let world = World::start(fake()).await;
    let (_, document) = world.ask(Method::GET, "/registry/openapi.json", "").await;
    let surprise = r#"{"surprise": 1}"#;
    let in_list = |field: &str| format!(r#"{{"{field}": [{surprise}]}}"#);
    let in_instance = |field: &str, value: &str| format!(r#"{{"service": "a", "{field}": {value}}}"#);
    let cases = [
        ("Registration", "/registry/instances", surprise.to_owned()),
        ("Port", "/registry/instances", in_instance("ports", &format!("[{surprise}]"))),
        ("Check", "/registry/instances", in_instance("checks", &format!("[{surprise}]"))),
        ("Weights", "/registry/instances", in_instance("weights", surprise)),
        ("Locality", "/registry/instances", in_instance("locality", surprise)),
        ("Batch", "/registry/batch", surprise.to_owned()),
        ("Registration", "/registry/batch", in_list("register")),
        ("Reference", "/registry/batch", in_list("deregister")),
        ("Reference", "/registry/batch", in_list("renew")),
    ];
    for (schema, path, body) in cases {
        let (_, answer) = world.ask(Method::POST, path, &body).await;
        let text = answer.to_string();
        let (_, named) = text.split_once("unknown field `surprise`, expected ").unwrap_or_else(|| panic!("{text}"));
        // Serde ends its own list so, and the sentence goes on behind it.
        let named = named.split([';', '"']).next().unwrap_or_default();
        let mut named: Vec<&str> = named.split('`').skip(1).step_by(2).collect();
        let described = document["components"]["schemas"][schema]["properties"].as_object().expect("properties");
        let mut described: Vec<&str> = described.keys().map(String::as_str).collect();
        named.sort_unstable();
        described.sort_unstable();
        assert_eq!(named, described, "{schema} at {path}");
        assert_eq!(document["components"]["schemas"][schema]["additionalProperties"], false, "{schema}");
    }
    world.stop().await;
}
