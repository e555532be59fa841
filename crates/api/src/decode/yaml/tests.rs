//! What upstream's library makes of documents, which was asked for these.

use serde_json::json;

use super::*;

fn told(document: &str) -> String {
    match read(document.as_bytes(), &Limits::default()) {
        Ok(decoded) => format!("{} {:?}", decoded.value, decoded.duplicates),
        Err(error) => error.to_string(),
    }
}

#[test]
fn plain_scalars_mean_what_version_1_1_says() {
    let document = "[yes, off, 0644, 0x1f, 1_000, 2001-01-01, 1.5e3, .5, ~, null, \"yes\", !!str 5, !!int \"5\", \
                    !!float 3, 1e400, 0b101, 0o17, 12:30, +1, -.5, 1., y, n, <<, 18446744073709551615, 08, 0_7, '', _1, \
                    0x, -0b11, 1__0, 1e23, !!binary aGk=, !own [1]]";
    let expected = json!([
        true,
        false,
        420,
        31,
        1000,
        "2001-01-01",
        1500,
        0.5,
        null,
        null,
        "yes",
        "5",
        5,
        3,
        "1e400",
        5,
        15,
        "12:30",
        1,
        -0.5,
        1,
        true,
        false,
        "<<",
        u64::MAX,
        8,
        7,
        "",
        "_1",
        "0x",
        -3,
        10,
        1e23,
        "hi",
        [1],
    ]);
    assert_eq!(read(document.as_bytes(), &Limits::default()).expect("reads").value, expected);
}

#[test]
fn keys_become_text_and_maps_are_merged() {
    let cases = [
        ("{1: a, 1.5: b, true: c, 0x10: e}", r#"{"1":"a","1.5":"b","16":"e","true":"c"} []"#),
        ("c: &x {k: v, z: 1}\nd: {<<: *x, q: 2}", r#"{"c":{"k":"v","z":1},"d":{"k":"v","q":2,"z":1}} []"#),
        (
            "a: &x {k: 1}\nb: &y {k: 2, l: 3}\nc: {<<: [*x, *y]}",
            r#"{"a":{"k":1},"b":{"k":2,"l":3},"c":{"k":1,"l":3}} ["line 1: key \"k\" already set in map"]"#,
        ),
        (
            "a: 1\nb:\n  c: 1\n  c:\n    d: 2\n1: x\n1: z",
            r#"{"1":"z","a":1,"b":{"c":{"d":2}}} ["line 5: key \"c\" already set in map", "line 7: key 1 already set in map"]"#,
        ),
        ("--- 1\n--- [", "1 []"),
        ("", "null []"),
        ("# nothing", "null []"),
    ];
    for (document, expected) in cases {
        assert_eq!(told(document), expected, "{document}");
    }
}

#[test]
fn refusals_are_worded_as_upstream_words_them() {
    let deep = format!("{}1{}", "[".repeat(150), "]".repeat(150));
    let open = "[".repeat(200);
    let deepest = format!("\na: {}", "[".repeat(10_001));
    let cases = [
        ("a: [", "yaml: line 1: did not find expected node content"),
        ("a: b: c", "yaml: mapping values are not allowed in this context"),
        ("\ta: 1", "yaml: found character that cannot start any token"),
        ("a: *x", "yaml: unknown anchor 'x' referenced"),
        ("a: &x [*x]", "yaml: anchor 'x' value contains itself"),
        ("\"", "yaml: found unexpected end of stream"),
        ("metadata:\n  name: a\n name: b", "yaml: line 2: did not find expected key"),
        ("a: !!binary x", "yaml: !!binary value contains invalid base64 data"),
        ("a: !!int x", "yaml: cannot decode !!str `x` as a !!int"),
        ("a: !!bool 5", "yaml: cannot decode !!int `5` as a !!bool"),
        ("a: {<<: 5}", "yaml: map merge requires map or sequence of maps as the value"),
        ("%YAML 9.9\n---\na: 1", "yaml: found incompatible YAML document"),
        ("? [a]\n: b", "yaml: invalid map key: []interface {}{\"a\"}"),
        ("{1: 2}: c", "yaml: invalid map key: map[interface {}]interface {}{1:2}"),
        ("~: b", "unsupported map key of type: %!s(<nil>), key: <nil>, value: \"b\""),
        ("a: .nan", "json: unsupported value: NaN"),
        ("a: -.inf", "json: unsupported value: -Inf"),
        ("a: \"\u{1}\"", "yaml: control characters are not allowed"),
        (&deep, "exceeded max depth"),
        (&open, "yaml: line 1: did not find expected node content"),
        (&deepest, "yaml: line 2: exceeded max depth of 10000"),
    ];
    for (document, expected) in cases {
        assert_eq!(told(document), expected, "{document}");
    }
}

#[test]
fn a_document_that_grows_without_end_is_refused() {
    let mut document = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{},", level - 1).repeat(9);
        document.push_str(&format!("a{level}: &a{level} [{}]\n", before.trim_end_matches(',')));
    }
    assert_eq!(told(&document), "yaml: document contains excessive aliasing");
}
