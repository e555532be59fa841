use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Filter, SERVICE_WITH_CHECKS};

fn entry() -> Value {
    json!({
        "Node": {"Node": "n1", "Address": "10.0.0.1", "Meta": {"rack": "r1", "a.b/c": "x"}, "TaggedAddresses": null},
        "Service": {"Service": "web", "ID": "web-1", "Port": 8080, "Tags": ["primary", "v2"], "EnableTagOverride": false,
            "Meta": {}, "Weights": {"Passing": 10, "Warning": 1},
            "TaggedAddresses": {"wan": {"Address": "192.0.2.1", "Port": 80}}},
        "Checks": [{"CheckID": "serfHealth", "Status": "passing"}, {"CheckID": "c", "Status": "warning", "Output": "slow"}],
    })
}

fn lets(text: &str) -> Result<bool, String> {
    Filter::parse(text, &SERVICE_WITH_CHECKS).map(|filter| filter.lets(&entry())).map_err(|error| error.to_string())
}

#[test]
fn expressions_hold_or_do_not() {
    let cases = [
        ("", true),
        ("Node.Node == n1", true),
        (r#"Node.Node == "n1""#, true),
        ("Node.Node == `n1`", true),
        ("Node.Node==n1", true),
        ("Node.Node != n1", false),
        ("Service.Port == 8080", true),
        ("Service.Port != 80", true),
        ("Service.EnableTagOverride == false", true),
        ("Service.Weights.Passing == 10", true),
        ("primary in Service.Tags", true),
        ("\"v2\" in Service.Tags", true),
        ("secondary not in Service.Tags", true),
        ("Service.Tags contains primary", true),
        ("Service.Tags not contains primary", false),
        ("Service.Tags is empty", false),
        ("Service.Tags is not empty", true),
        ("Service.Meta is empty", true),
        ("Service.Meta.env == prod", false),
        ("Service.Meta.env != prod", true),
        ("env not in Service.Meta", true),
        ("rack in Node.Meta", true),
        ("Node.Meta.rack == r1", true),
        ("Node.Meta[\"rack\"] == r1", true),
        ("Node.Meta[\"a.b/c\"] == x", true),
        ("\"/Node/Meta/rack\" == r1", true),
        ("\"/Node/Meta/a.b~1c\" == x", true),
        ("\"/x\" in Service.Tags", false),
        ("Node.Node matches \"^n[0-9]$\"", true),
        ("Node.Node not matches `^n`", false),
        ("eb in Service.Service", true),
        ("Node.TaggedAddresses is nil", true),
        ("Service.TaggedAddresses is not nil", true),
        ("Service.TaggedAddresses.wan.Port == 80", true),
        ("Checks.Status == warning", true),
        ("Checks.Status == critical", false),
        ("Checks.0.CheckID == serfHealth", true),
        ("any Checks as c { c.Status == warning and c.Output matches slow }", true),
        ("all Checks as c { c.Status == passing }", false),
        ("all Checks as i, c { c.Status == passing or i == 1 }", true),
        ("any Service.Tags as t { t == v2 }", true),
        ("any Service.TaggedAddresses as k, v { k == wan and v.Port == 80 }", true),
        ("any Node.Meta as k { k == rack }", true),
        ("any Checks as c { any Service.Tags as t { t == v2 and c.Status == warning } }", true),
        ("not Node.Node == n2", true),
        ("not not Node.Node == n1", true),
        ("not (Node.Node == n1 or Node.Node == n2)", false),
        ("Node.Node == n2 or Service.Port == 8080 and primary in Service.Tags", true),
        ("(Node.Node == n2 or Service.Port == 8080) and secondary in Service.Tags", false),
        ("  ( Node.Node == n1 )  ", true),
        ("Service.Kind == \"\"", true),
        (r#"Node.Node == "\u006e1""#, true),
        ("Service.Port == -1", false),
    ];
    for (text, verdict) in cases {
        assert_eq!(lets(text), Ok(verdict), "{text}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_in_words() {
    let cases = [
        ("Foo == 1", "Selector \"Foo\" is not valid"),
        ("Service.Nope == 1", "Selector \"Service.Nope\" is not valid"),
        ("Node.Node.x == 1", "Selector \"Node.Node.x\" is not valid"),
        ("Service.Tags == a", "Invalid match operator \"Equal\" for selector \"Service.Tags\""),
        ("Service.Port matches a", "Invalid match operator \"Matches\" for selector \"Service.Port\""),
        ("Node.Node is empty", "Invalid match operator \"Is Empty\" for selector \"Node.Node\""),
        ("Service.Port == abc", "strconv.ParseInt: parsing \"abc\": invalid syntax"),
        ("Service.EnableTagOverride == maybe", "strconv.ParseBool"),
        ("Node.Node matches \"(\"", "error parsing regexp: missing closing ): `(`"),
        ("Node.Node matches \"[a-z&&b]{2}{3}\"", "error parsing regexp: invalid nested repetition operator: `{2}{3}`"),
        ("not a valid expression((", "no match found, expected"),
        ("Node.Node ==", "1:13 (12): no match found, expected: a value"),
        ("Node.Node == \"open", "no match found"),
        ("(Node.Node == a", "expected: \")\""),
        ("Node.Node == a b", "expected: \"and\", \"or\" or the end"),
        ("any Service.Port as x { x == 1 }", "neither a list nor a map"),
        ("c.Status == passing", "Selector \"c.Status\" is not valid"),
    ];
    for (text, words) in cases {
        let error = lets(text).expect_err(text);
        assert!(error.starts_with("Failed to create boolean expression evaluator: "), "{text}: {error}");
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn deep_nesting_is_refused_and_long_chains_are_not() {
    let deep = |count: usize| format!("{}Node.Node == n1{}", "(".repeat(count), ")".repeat(count));
    assert_eq!(lets(&deep(60)), Ok(true));
    assert!(lets(&deep(100_000)).expect_err("too deep").contains("nested deeper"));
    assert!(lets(&"not ".repeat(100_000)).is_err());
    assert!(lets(&"any Checks as c { ".repeat(10_000)).is_err());
    let chain = vec!["Node.Node == n2"; 5000].join(" or ");
    assert_eq!(lets(&chain), Ok(false));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".*") {
        let _ = lets(&text);
    }

    #[test]
    fn texts_made_of_its_words_are_read_or_refused(
        words in proptest::collection::vec(proptest::sample::select(vec![
            "not", "and", "or", "(", ")", "any", "all", "as", "{", "}", "Checks", "Service.Tags", "c", "c.Status", "==",
            "!=", "in", "contains", "matches", "is", "empty", "nil", "\"", "`", "[", "]", "\"/Node/Node\"", "1", "-", ".",
            "\"a\"", "\\", "é", ",", "Node.Meta[\"k\"]",
        ]), 0..24),
        spaced in any::<bool>(),
    ) {
        let _ = lets(&words.join(if spaced { " " } else { "" }));
    }
}
