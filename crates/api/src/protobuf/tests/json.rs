//! What JSON may look like, and what it becomes.

use super::*;

/// A body with this text, and what the same object in its plain form becomes.
fn check(text: &str, plain: Value) {
    let found = encode(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(found, written(&plain).expect("writes"), "{text}");
    let read = decode(&found, None, &Limits::default()).expect("reads");
    for (name, value) in plain.as_object().expect("an object") {
        assert_eq!(read[name], *value, "{text}");
    }
}

#[test]
fn any_form_of_json_is_read() {
    let with_data = |text: &str| format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","data":{text}}}"#);
    let config = |data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}, "data": data});
    let data = [
        // White space, order, escapes.
        (" {\n\"b\" : \"2\" ,\t\"a\" : \"1\"\r}", json!({"a": "1", "b": "2"})),
        (r#"{"a":"\"\\\/\b\f\n\r\t\u0041\u00e9\u20ac\ud83d\ude00"}"#, json!({"a": "\"\\/\u{8}\u{c}\n\r\tAé€😀"})),
        (r#"{"a":"é€😀"}"#, json!({"a": "é€😀"})),
        (r#"{"\u0061":"x","\"":"y"}"#, json!({"\"": "y", "a": "x"})),
        (r#"{"":""}"#, json!({"": ""})),
        // By bytes, not by characters of 16 bits.
        (r#"{"\ud83d\ude00":"1","￿":"2"}"#, json!({"\u{ffff}": "2", "😀": "1"})),
        ("{\"a\":\"0123456789abcdef\\n\"}", json!({"a": "0123456789abcdef\n"})),
    ];
    for (text, expected) in data {
        check(&with_data(text), config(expected));
    }
    let whole = [
        // Nothing, null and unknown fields.
        (r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{},"data":null,"immutable":null}"#, json!({})),
        (r#"{"news":{"a":[1,{}]},"other":[ ],"kind":"ConfigMap","apiVersion":"v1","metadata":{}} "#, json!({})),
        (r#"{"data":{"kind":"x"},"metadata":{"apiVersion":"y"},"kind":"ConfigMap","apiVersion":"v1"}"#, {
            json!({"data": {"kind": "x"}})
        }),
        (r#"{"\u006bind":"ConfigMap","apiVersion":"\u0076\u0031","metadata":{"\u006eame":"a"}}"#, {
            json!({"metadata": {"name": "a"}})
        }),
    ];
    for (text, mut expected) in whole {
        expected["apiVersion"] = "v1".into();
        expected["kind"] = "ConfigMap".into();
        check(text, expected);
    }
}

#[test]
fn values_become_what_their_field_wants() {
    let cases = [
        // Messages without a name, whose fields are the object's own.
        (
            r#"{"kind":"Pod","apiVersion":"v1","metadata":{},"spec":{"containers":[{"name":"","resources":{},"livenessProbe":{"tcpSocket":{"port":"http"},"periodSeconds":3},"readinessProbe":{"httpGet":{"port":-1}}}]},"status":{}}"#,
            json!({"spec": {"containers": [{"name": "", "resources": {},
                "livenessProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 3},
                "readinessProbe": {"httpGet": {"port": -1}}}]}}),
        ),
        // Amounts as numbers.
        (
            r#"{"kind":"ResourceQuota","apiVersion":"v1","metadata":{},"spec":{"hard":{"a":5,"b":1.50,"c":"1Gi"}},"status":{}}"#,
            json!({"spec": {"hard": {"a": "5", "b": "1.5", "c": "1Gi"}}}),
        ),
        // Numbers at their limits; times in another zone and with fractions.
        (
            r#"{"kind":"Lease","apiVersion":"coordination.k8s.io/v1","metadata":{"generation":9223372036854775807,"creationTimestamp":"2026-01-02T05:04:05.9+02:00"},"spec":{"leaseTransitions":-2147483648,"renewTime":"1969-12-31T23:59:59.999999Z"}}"#,
            json!({"metadata": {"generation": i64::MAX, "creationTimestamp": "2026-01-02T03:04:05Z"},
                "spec": {"leaseTransitions": i32::MIN, "renewTime": "1969-12-31T23:59:59.999999Z"}}),
        ),
        // JSON inside is brought into its canonical form.
        (
            r#"{"kind":"ControllerRevision","apiVersion":"apps/v1","metadata":{},"data":{ "b":[1.0,1e2,-0,18446744073709551615,"\u0041\/"],"a":{},"b2":null },"revision":1}"#,
            json!({"data": {"a": {}, "b": [1.0, 100.0, -0.0, u64::MAX, "A/"], "b2": null}, "revision": 1}),
        ),
        (
            r#"{"kind":"ControllerRevision","apiVersion":"apps/v1","metadata":{},"data":"text","revision":0}"#,
            json!({"data": "text"}),
        ),
    ];
    for (text, mut expected) in cases {
        let given: Value = serde_json::from_str(text).expect("JSON");
        for name in ["kind", "apiVersion"] {
            expected[name] = given[name].clone();
        }
        let read = decode(&encode(text.as_bytes()).expect("writes"), None, &Limits::default()).expect("reads");
        for (name, expected) in expected.as_object().expect("an object") {
            assert_eq!(read[name], *expected, "{text}");
        }
        assert_eq!(written(&given), encode(text.as_bytes()).map_err(|error| error.to_string()), "{text}");
    }
}

#[test]
fn json_inside_is_copied_only_in_its_canonical_form() {
    let written_with = |json: &str| {
        let text = format!(r#"{{"kind":"ControllerRevision","apiVersion":"apps/v1","data":{json}}}"#);
        encode(text.as_bytes()).unwrap_or_else(|error| panic!("{json}: {error}"))
    };
    let cases = [
        "{}",
        "[]",
        "0",
        "-1",
        "12",
        "true",
        "false",
        "\"\"",
        r#"{"a":1,"b":[{},[],null,true,false,"x"]}"#,
        "1.5",
        "1.50",
        "1e3",
        "-0",
        "12345678901234567890e0",
        "123456789012345678",
        "1234567890123456789",
        "{ }",
        "[ 1 , 2 ]",
        r#"{"b":1,"a":2}"#,
        r#"{"a":1,"a":2}"#,
        r#"{"a":1,"ab":1,"b":1}"#,
        r#"{"ab":1,"a":1}"#,
        // The order of keys is that of what their escapes mean.
        r#"{"a\"":1,"a!":2}"#,
        r#"{"a!":1,"a\"":2,"a#":3}"#,
        r#"{"\\":1,"a":2}"#,
        r#"{"Z":1,"\\":2,"a":3}"#,
        r#"{"\"":1,"\\":2}"#,
        r#"{"\\":1,"\"":2}"#,
        r#"{"\\\\a":1,"\\\"":2}"#,
        r#"{"\n":1,"\t":2}"#,
        r#"{"\t":1,"\n":2}"#,
        r#"{"k:{\"p\":1}":{},"k:{\"p\":2}":{}}"#,
        r#"{"f:a":{},"f:b":{".":{}}}"#,
        r#"{"01234567":1,"012345678":2}"#,
        r#"{"012345678":1,"01234567":2}"#,
        r#""\u0000\u001f\u00e9""#,
        r#""\/""#,
        "\"\u{7f}é\"",
    ];
    for json in cases {
        let value: Value = serde_json::from_str(json).expect("JSON");
        let canonical = value.to_string();
        let bytes = written_with(json);
        let found = bytes.windows(canonical.len()).any(|window| window == canonical.as_bytes());
        assert!(found, "{json} is not written as {canonical}");
        assert_eq!(written_with(&canonical), bytes, "{json}");
    }
}

#[test]
fn what_cannot_be_written_is_refused() {
    let deep = |depth: usize| {
        let schema = "{\"not\":".repeat(depth) + "{}" + &"}".repeat(depth);
        format!(
            r#"{{"kind":"CustomResourceDefinition","apiVersion":"apiextensions.k8s.io/v1","spec":{{"versions":[{{"schema":{{"openAPIV3Schema":{schema}}}}}]}}}}"#
        )
    };
    assert!(encode(deep(100).as_bytes()).is_ok());
    let deep_json = format!(r#"{{"kind":"ControllerRevision","apiVersion":"apps/v1","data":{}"#, "[".repeat(100_000));
    let deep_unknown = format!(r#"{{"kind":"ConfigMap","apiVersion":"v1","news":{}"#, "[".repeat(100_000));
    let pod = |rest: &str| format!(r#"{{"kind":"Pod","apiVersion":"v1",{rest}"#);
    let cases = [
        ("".to_owned(), "unexpected end"),
        ("[]".to_owned(), "not an object"),
        ("{}".to_owned(), "kind \"\" of \"\""),
        (r#"{"kind":1,"apiVersion":"v1"}"#.to_owned(), "kind \"\" of \"v1\""),
        (r#"{"kind":"Unheard","apiVersion":"v1"}"#.to_owned(), "kind \"Unheard\" of \"v1\""),
        (deep(1000), "exceeded max depth"),
        (deep_json, "malformed or too deep"),
        (deep_unknown, "malformed or too deep"),
        (pod(r#""spec":{}"#), "unexpected end"),
        (pod(r#""spec":{}}x"#), "something follows"),
        (pod(r#""spec":{,}}"#), "a key is expected"),
        (pod(r#""spec":{"nodeName""a"}}"#), "a colon is expected"),
        (pod(r#""spec":{"nodeName":}}"#), "a value is expected"),
        (pod(r#""spec":{"nodeName":"a" "b"}}"#), "neither a comma"),
        (pod(r#""spec":{"nodeName":"a"]}"#), "neither a comma"),
        (pod(r#""spec":{"nodeName":"\x"}}"#), "illegal escape"),
        (pod(r#""spec":{"nodeName":"\ud83d"}}"#), "illegal escape"),
        (pod("\"spec\":{\"nodeName\":\"a\nb\"}}"), "control character"),
        (pod(r#""spec":{"nodeName":"a"#), "without an end"),
        (pod(r#""spec":{"nodeName":"a\"#), "without an end"),
        (pod(r#""spec":{"hostNetwork":trve}}"#), "a value is expected"),
        (pod(r#""spec":{"priority":01}}"#), "not a number"),
        (pod(r#""spec":{"priority":1e999}}"#), "not a number"),
        (pod(r#""spec":{"priority":-}}"#), "not a number"),
        (pod(r#""spec":{"priority":1.5}}"#), "io.k8s.api.core.v1.PodSpec.priority: not a whole number"),
        (pod(r#""spec":{"priority":9223372036854775808}}"#), "not a whole number"),
        (pod(r#""spec":{"priority":"1"}}"#), "PodSpec.priority: of another type"),
        (pod(r#""spec":{"nodeName":["a"]}}"#), "PodSpec.nodeName: of another type"),
        (pod(r#""spec":{"containers":{}}}"#), "PodSpec.containers: not a list"),
        (pod(r#""spec":{"containers":["a"]}}"#), "PodSpec.containers: of another type"),
        (pod(r#""spec":{"nodeSelector":[]}}"#), "PodSpec.nodeSelector: not an object"),
        (pod(r#""spec":{"nodeSelector":{"a":1}}}"#), "PodSpec.nodeSelector: of another type"),
        (pod(r#""spec":{"nodeName":"a","nodeName":"b"}}"#), "PodSpec.nodeName: duplicate"),
        (pod(r#""spec":{"nodeName":"a","priority":1,"nodeName":"b"}}"#), "PodSpec.nodeName: duplicate"),
        (pod(r#""spec":{"nodeSelector":{"a":"1","b":"2","a":"3"}}}"#), "duplicate keys"),
        (pod(r#""metadata":{"creationTimestamp":"yesterday"}}"#), "not a time"),
        (r#"{"kind":"Secret","apiVersion":"v1","data":{"a":"?"}}"#.to_owned(), "Secret.data: not base64"),
    ];
    for (text, expected) in cases {
        let error = encode(text.as_bytes()).expect_err(&text).to_string();
        assert!(error.contains(expected), "{}: {error}", &text[..text.len().min(100)]);
    }
    let error = encode(b"{\"kind\":\"\xff\"}").expect_err("not text").to_string();
    assert!(error.contains("not UTF-8 at offset 9"), "{error}");
}
