use serde_json::json;

use super::*;

#[test]
fn reads_every_operator() {
    let cases = [
        ("", Ok("")),
        ("app=web", Ok("app=web")),
        ("app==web , tier!=db", Ok("app=web,tier!=db")),
        ("a in (y, x),b notin (z),c,!d,e>1,f<2", Ok("a in (x,y),b!=z,c,!d,e>1,f<2")),
        ("a=", Ok("a=")),
        ("a=,b", Ok("a=,b")),
        ("in in (in)", Ok("in=in")),
        ("a in ()", Ok("a=")),
        ("a,", Err("found '', expected: identifier after ','")),
        ("a b", Err("unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt")),
        ("=a", Err("found '=', expected: !, identifier, or 'end of string'")),
        ("!", Err("unable to parse requirement: found '', expected: identifier")),
        ("a in b", Err("unable to parse requirement: found 'b' expected: '('")),
        (
            "a>x",
            Err(
                "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
            ),
        ),
    ];
    for (text, expected) in cases {
        let found = LabelSelector::parse(text).map(|it| it.to_string()).map_err(|error| error.to_string());
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{text}");
    }
}

#[test]
fn matches_labels() {
    let labels = |key: &str| match key {
        "app" => Some("web"),
        "n" => Some("5"),
        _ => None,
    };
    let cases = [
        ("app=web", true),
        ("app in (db,web)", true),
        ("app!=web", false),
        ("tier!=x", true),
        ("tier notin (x)", true),
        ("tier", false),
        ("!tier", true),
        ("n>4,n<6", true),
        ("n>5", false),
        ("app>1", false),
    ];
    for (text, expected) in cases {
        assert_eq!(LabelSelector::parse(text).expect("valid").matches(labels), expected, "{text}");
    }
}

#[test]
fn reads_the_object_form() {
    let selector = LabelSelector::from_value(&json!({
        "matchLabels": {"app": "web"},
        "matchExpressions": [
            {"key": "tier", "operator": "NotIn", "values": ["a", "b"]},
            {"key": "x", "operator": "Exists"}]
    }));
    assert_eq!(selector.map(|it| it.to_string()).as_deref(), Ok("app=web,tier notin (a,b),x"));
    assert_eq!(LabelSelector::from_value(&Value::Null), Ok(LabelSelector::Nothing));
    assert!(LabelSelector::from_value(&json!({})).expect("valid").is_everything());
    let wrong = LabelSelector::from_value(&json!({"matchExpressions": [{"key": "a", "operator": "Like"}]}));
    assert_eq!(wrong.map_err(|error| error.to_string()), Err("\"Like\" is not a valid label selector operator".into()));
}
