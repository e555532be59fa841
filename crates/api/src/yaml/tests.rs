//! What upstream's library writes, which was run for these.

use serde_json::{Value, json};

use super::*;
use crate::decode;

#[test]
fn what_is_written_reads_as_the_same() {
    let texts =
        ["<<", "1e999", "=", "0o8", "0b2", "0x", "1_0", "\u{feff}a", "a\u{85}", "\u{2028}\n", " a\n b", "12:30", "!a"];
    let object = json!({
        "a": ["1", 1, true, "true", null, "", "x: y", "a\nb\n"], "b": {"1": -0.5, "": {}}, "c": [], "d": texts,
        "e": {"k".repeat(130): [[]]}, "a\nb": {"c": "d"},
    });
    let decoded = decode::yaml(encode(&object).as_bytes(), &decode::Limits::default()).expect("reads");
    assert_eq!(decoded.value, object);
}

#[test]
fn lists_stand_below_their_field() {
    let pod = json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {
            "name": "web", "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {}, "finalizers": [],
            "annotations": {"a10": "1", "a2": "yes", "a": "it's: so", "A": "line\nbreak\n"},
            "managedFields": [{"fieldsV1": {"f:spec": {".": {}, "k:{\"name\":\"c\"}": {".": {}, "f:x": {}}}}}],
        },
        "spec": {
            "containers": [{"name": "c", "command": ["sh", "-c", "a\n  b\n\nc"], "ports": [{"containerPort": 80}]}],
            "nested": [[1, 2], [[]], [{}], [["a"]]], "none": null, "ratio": 0.5,
        },
    });
    expect_test::expect![[r#"
        apiVersion: v1
        kind: Pod
        metadata:
          annotations:
            A: |
              line
              break
            a: 'it''s: so'
            a2: "yes"
            a10: "1"
          creationTimestamp: "2026-01-01T00:00:00Z"
          finalizers: []
          labels: {}
          managedFields:
          - fieldsV1:
              f:spec:
                .: {}
                k:{"name":"c"}:
                  .: {}
                  f:x: {}
          name: web
        spec:
          containers:
          - command:
            - sh
            - -c
            - |-
              a
                b

              c
            name: c
            ports:
            - containerPort: 80
          nested:
          - - 1
            - 2
          - - []
          - - {}
          - - - a
          none: null
          ratio: 0.5
    "#]]
    .assert_eq(&encode(&pod));
}

#[test]
fn texts_that_could_be_something_else_are_quoted() {
    for (value, expected) in [
        (json!(""), r#""""#),
        (json!("a b"), "a b"),
        (json!("null"), r#""null""#),
        (json!("Off"), r#""Off""#),
        (json!("~"), r#""~""#),
        (json!("<<"), "<<"),
        (json!("1_0"), r#""1_0""#),
        (json!("0x1F"), r#""0x1F""#),
        (json!("0o8"), "0o8"),
        (json!("1e3"), r#""1e3""#),
        (json!("1e999"), "1e999"),
        (json!(".5"), r#"".5""#),
        (json!(".4_2"), r#"".4_2""#),
        (json!(".4__2"), ".4__2"),
        (json!("."), "."),
        (json!("1.2.3"), "1.2.3"),
        (json!("100m"), "100m"),
        (json!("8080:80"), r"8080:80"),
        (json!("12:30:45"), r#""12:30:45""#),
        (json!("2026-02-29"), "2026-02-29"),
        (json!("2024-2-29"), r#""2024-2-29""#),
        (json!("2026-01-01 1:2:3.5"), r#""2026-01-01 1:2:3.5""#),
        (json!("2026-01-01T00:00:00.5+01:00"), r#""2026-01-01T00:00:00.5+01:00""#),
        (json!("2026-01-01T00:00:00"), "2026-01-01T00:00:00"),
        (json!("- a"), "'- a'"),
        (json!("-a"), "-a"),
        (json!("a: b"), "'a: b'"),
        (json!("a:"), "'a:'"),
        (json!("a #b"), "'a #b'"),
        (json!("a#b"), "a#b"),
        (json!("{}"), "'{}'"),
        (json!("*"), "'*'"),
        (json!("--- a"), "'--- a'"),
        (json!(" a"), "' a'"),
        (json!("a\tb"), r#""a\tb""#),
        (json!("é \u{1f600}"), r#""é \U0001F600""#),
        (json!("a \nb"), r#""a \nb""#),
        (json!("a\n"), "|\n  a"),
        (json!("\n a"), "|2-\n\n   a"),
        (json!("a\n\n"), "|+\n  a\n"),
        (json!("\n"), "|2+\n"),
        (json!(1.0), "1"),
        (json!(1e21), "1e+21"),
        (json!(1_234_567.5), "1.2345675e+06"),
        (json!(0.00001), "1e-05"),
        (json!({"a": {"x".repeat(129): {"b": [1]}}}), &format!("a:\n  ? {}\n  : b:\n    - 1", "x".repeat(129))),
        (json!({"a\nb": ["c"]}), "? |-\n  a\n  b\n: - c"),
        (json!({"a": format!("{} b c  d", "x".repeat(78))}), &format!("a: {}\n  b c  d", "x".repeat(78))),
        (json!({"a": format!("{} b c  d", "x".repeat(76))}), &format!("a: {} b\n  c  d", "x".repeat(76))),
        (json!([format!("{} it's b", "x".repeat(81))]), &format!("- {}\n  it's b", "x".repeat(81))),
        (json!(format!("'{}' b: 'c'  d ", "x".repeat(80))), &format!("'''{}''\n  b: ''c''  d '", "x".repeat(80))),
        (json!(format!("\t{} b  c ", "x".repeat(80))), &format!("\"\\t{}\n  b  c \"", "x".repeat(80))),
        (json!(format!("{} b\nc", "x".repeat(90))), &format!("|-\n  {} b\n  c", "x".repeat(90))),
        (json!({format!("{} b", "x".repeat(90)): 1}), &format!("{} b: 1", "x".repeat(90))),
    ] {
        assert_eq!(encode(&value).strip_suffix('\n'), Some(expected), "{value}");
    }
}

#[test]
fn fields_are_in_their_natural_order() {
    for expected in [
        &["", "-", "1", "01", "2", "10", "A", "B", "a", "a-b", "a1", "a01", "a2", "a10", "aa", "é"][..],
        &["app", "app.kubernetes.io/name", "app1"],
    ] {
        let object: Map<String, Value> = expected.iter().map(|name| ((*name).to_owned(), json!(1))).collect();
        let names: Vec<&str> = keys::sorted(&object).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, expected);
    }
    let cycle: Map<String, Value> =
        (0..200).map(|it| (format!("{}{}", it % 23, if it % 2 == 0 { "x" } else { "0x" }), json!(it))).collect();
    assert_eq!(keys::sorted(&cycle).len(), cycle.len());
}

#[test]
fn long_texts_go_on_in_the_next_line() {
    let words = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen";
    let object = json!({
        "plain": words, "single": format!("{words}: x"), "double": format!("\u{1}{words}"), "list": [words],
        "unbroken": format!("{}  b c", "a".repeat(90)), "spaces": format!("\u{1}{}  b c", "a".repeat(90)),
        "inside": {"it": words}, "lines": format!("{words}\n{words}"), (words): 1,
    });
    expect_test::expect![[r#"
        double: "\x01one two three four five six seven eight nine ten eleven twelve thirteen
          fourteen fifteen sixteen"
        inside:
          it: one two three four five six seven eight nine ten eleven twelve thirteen fourteen
            fifteen sixteen
        lines: |-
          one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
          one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
        list:
        - one two three four five six seven eight nine ten eleven twelve thirteen fourteen
          fifteen sixteen
        one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen: 1
        plain: one two three four five six seven eight nine ten eleven twelve thirteen fourteen
          fifteen sixteen
        single: 'one two three four five six seven eight nine ten eleven twelve thirteen fourteen
          fifteen sixteen: x'
        spaces: "\x01aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
          \ b c"
        unbroken: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa  b
          c
    "#]]
    .assert_eq(&encode(&object));
    let decoded = decode::yaml(encode(&object).as_bytes(), &decode::Limits::default()).expect("reads");
    assert_eq!(decoded.value, object);
}
