use serde_json::json;

use super::environment;
use crate::{Environment, Schema, Type};

#[test]
fn problems_are_shown_with_their_place() {
    let cases = [
        ("x.y == 1", "ERROR: <input>:1:1: undeclared reference to 'x' (in container '')\n | x.y == 1\n | ^"),
        ("has(self.spec.foo)", "ERROR: <input>:1:4: undefined field 'foo'\n | has(self.spec.foo)\n | ...^"),
        ("self.spec.foo", "ERROR: <input>:1:10: undefined field 'foo'\n | self.spec.foo\n | .........^"),
        ("true &&\n  foo", "ERROR: <input>:2:3: undeclared reference to 'foo' (in container '')\n |   foo\n | ..^"),
        (
            "1 +",
            "ERROR: <input>:1:4: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}\n | 1 +\n | ...^",
        ),
        (
            "a + b",
            "ERROR: <input>:1:1: undeclared reference to 'a' (in container '')\n | a + b\n | ^\nERROR: <input>:1:5: undeclared reference to 'b' (in container '')\n | a + b\n | ....^",
        ),
        ("'é' + x", "ERROR: <input>:1:7: undeclared reference to 'x' (in container '')\n | 'é' + x\n | .．....^"),
        ("for", "ERROR: <input>:1:1: reserved identifier: for\n | for\n | ^"),
    ];
    for (text, expected) in cases {
        let error = environment().compile(text).expect_err(text);
        assert_eq!(error.to_string(), expected, "{text}");
    }
}

#[test]
fn types_follow() {
    let cases = [
        ("object.spec", "dyn"),
        ("self.spec.replicas", "int"),
        ("self.spec.tags", "list(string)"),
        ("self.spec.limits", "map(string, int)"),
        ("self.spec.tags.map(t, t.size())", "list(int)"),
        ("self.?spec.?name", "optional_type(string)"),
        ("self.?spec.name.orValue('')", "string"),
        ("[1].first()", "optional_type(int)"),
        ("{'a': [1]}", "map(string, list(int))"),
        ("[]", "list(dyn)"),
        ("true ? 1 : dyn('a')", "dyn"),
        ("self.spec.port", "dyn"),
        ("ip('::1')", "net.IP"),
        ("self.spec.rules", "list(object)"),
    ];
    for (text, expected) in cases {
        let program = environment().compile(text).map_err(|error| error.to_string()).expect(text);
        assert_eq!(program.ty().to_string(), expected, "{text}");
    }
}

#[test]
fn names_with_dots_are_variables() {
    let variables = Schema::object("variables", []);
    let environment = Environment::new()
        .with("variables", variables)
        .with_type("variables.count", Type::Int)
        .with_type("n", Type::Int);
    let compiled = |text: &str| {
        environment.compile(text).map(|program| program.ty().clone()).map_err(|error| error.issues[0].message.clone())
    };
    assert_eq!(compiled("variables.count + n"), Ok(Type::Int));
    assert_eq!(compiled("has(variables.count)"), Ok(Type::Bool));
    assert_eq!(compiled("variables.other"), Err("undefined field 'other'".into()));
}

#[test]
fn objects_are_built_only_for_mutations() {
    let texts = ["Object{spec: Object.spec{replicas: 1}}", "JSONPatch{op: 'add', path: '/a', value: 1}"];
    for text in texts {
        assert!(Environment::new().for_mutation().compile(text).is_ok(), "{text}");
        assert!(Environment::new().compile(text).is_err(), "{text}");
    }
    let error = Environment::new().for_mutation().compile("JSONPatch{op: 1}").expect_err("the type is wrong");
    assert_eq!(error.issues[0].message, "expected type of field 'op' is 'string' but provided type is 'int'");
}

/// As the library that upstream uses told it.
#[test]
fn what_is_too_deep_or_too_long_is_refused_as_upstream_does() {
    let nested = |open: &str, inner: &str, close: &str, times: usize| {
        format!("{}{inner}{}", open.repeat(times), close.repeat(times))
    };
    let chained = |first: &str, next: &str, times: usize| format!("{first}{}", next.repeat(times));
    let leaning =
        |levels: usize| (1..=levels).fold("1".to_owned(), |inner, sums| format!("({inner}{})", "+1".repeat(sums)));
    let environment = environment().with_bindings();
    let object = json!({"a": 1});
    let bindings = [("object", crate::Value::any(&object))];
    let check = |text: &str, expected: &[&str]| {
        let start: String = text.chars().take(40).collect();
        let told: Vec<String> = match environment.compile(text) {
            Ok(program) => {
                // What may be written can be estimated and evaluated on the stack of a worker thread.
                program.estimate(&environment);
                let _ = program.evaluate(&bindings, &mut crate::Budget::new(u64::MAX));
                Vec::new()
            }
            Err(error) => {
                error.to_string().lines().filter(|line| line.starts_with("ERROR")).map(str::to_owned).collect()
            }
        };
        let same = told.len() == expected.len() && told.iter().zip(expected).all(|(told, it)| told.starts_with(it));
        assert!(same, "{start}: {told:?}");
    };
    let limit = "ERROR: <input>:-1:0: expression recursion limit exceeded: 250";
    for (open, inner, close, most) in [
        ("(", "1", ")", 249),
        ("[", "1", "]", 249),
        ("{1:", "1", "}", 249),
        ("int(", "1", ")", 249),
        ("[0].map(x, ", "1", ")", 249),
        ("true?1:", "1", "", 249),
        ("!(", "true", ")", 249),
        ("(true&&", "true", ")", 249),
        ("1+(", "1", ")", 124),
        ("true==(", "true", ")", 124),
    ] {
        check(&nested(open, inner, close, most), &[]);
        check(&nested(open, inner, close, most + 1), &[limit]);
        check(&nested(open, inner, close, 8_000), &[limit]);
    }
    let limit = "ERROR: <input>:-1:0: max recursion depth exceeded";
    for (first, next) in [
        ("1", "+1"),
        ("1", "*1"),
        ("object", ".a"),
        ("object", "[0]"),
        ("'a'", ".replace('a', 'a')"),
        ("object", ".filter(x, true)"),
    ] {
        check(&chained(first, next, 250), &[]);
        check(&chained(first, next, 251), &[limit]);
        check(&chained(first, next, 5_000), &[limit]);
    }
    let summed = |fields: usize, sums: usize| chained(&chained("object", ".a", fields), "+1", sums);
    check(&summed(125, 125), &[]);
    check(&summed(125, 126), &[limit]);
    check(&leaning(21), &[]);
    check(&leaning(22), &[limit]);
    check(&leaning(97), &[limit]);
    // Each kind of operator that leans leans within all others.
    check(
        &nested("(", "object", &format!("{})", [".a", "*1", "+1", "==1"].map(|it| it.repeat(100)).concat()), 100),
        &[limit],
    );
    check(&chained("1 + / 2", "+1", 260), &[limit, "ERROR: <input>:1:5: Syntax error: extraneous input '/'"]);
    check(&chained("true", " && true", 10_000), &[]);
    let size = "ERROR: <input>:-1:0: expression code point size exceeds limit: size: 100001, limit 100000";
    check(&format!("{}1", " ".repeat(99_999)), &[]);
    check(&"1".repeat(100_001), &[size]);
    check(&"é".repeat(100_001), &[size]);
}

#[test]
fn evaluation_is_no_deeper_than_a_stack() {
    // Each value is computed where the next one first needs it.
    let bound = |names: usize, terms: usize| {
        let mut text = "0".to_owned();
        let more = "+1".repeat(terms);
        for name in (0..names).rev() {
            let before = if name == 0 { "1".to_owned() } else { format!("v{}", name - 1) };
            let body = if name + 1 == names { format!("v{name}") } else { text };
            text = format!("cel.bind(v{name}, {before}{more}, {body})");
        }
        text
    };
    let looped = |levels: usize| (0..levels).fold("1".to_owned(), |inner, _| format!("-[0].map(x, {inner})[0]"));
    let environment = Environment::new().with_bindings();
    for (text, fits) in
        [(bound(30, 4), true), (bound(90, 4), false), (bound(5, 90), false), (looped(83), true), (looped(84), false)]
    {
        match environment.compile(&text) {
            Ok(program) => {
                assert!(fits, "{text}");
                let none: [(&str, crate::Value<'_>); 0] = [];
                program.evaluate(&none, &mut crate::Budget::new(100_000)).expect(&text);
            }
            Err(error) => {
                assert!(!fits, "{text}: {error}");
                let told: Vec<&str> = error.issues.iter().map(|issue| issue.message.as_str()).collect();
                assert_eq!(told, ["max recursion depth exceeded"], "{text}");
            }
        }
    }
}

#[test]
fn of_many_problems_the_first_hundred_are_told() {
    let strange = |count: usize| "$".repeat(count);
    let listed = |element: &str, count: usize| format!("[{}]", format!("{element},").repeat(count));
    let cases = [
        (strange(99), 100, None),
        (strange(100), 100, Some(1)),
        (strange(100_000), 100, Some(1)),
        (format!("{}1", strange(100)), 100, None),
        (format!("{}1 1", strange(99)), 100, None),
        (format!("{}1 1", strange(100)), 100, Some(1)),
        (format!("{}'abc", strange(100)), 100, Some(1)),
        (listed("a", 100), 100, None),
        (listed("a", 101), 100, Some(1)),
        (listed("a", 40_000), 100, Some(39_900)),
    ];
    for (text, told, truncated) in cases {
        let start: String = text.chars().take(120).collect();
        let error = environment().compile(&text).expect_err(&start);
        assert_eq!(error.issues.len(), told, "{start}");
        let last = truncated.map(|truncated: usize| format!("{truncated} more errors were truncated"));
        let shown = error.to_string();
        assert_eq!(shown.lines().last().filter(|line| line.ends_with("truncated")), last.as_deref(), "{start}");
    }
}

#[test]
fn lines_that_are_too_long_are_not_shown() {
    let undeclared = "undeclared reference to 'a' (in container '')";
    let blank = |length: usize| " ".repeat(length);
    let wide = format!("'{}' + a", "é".repeat(8192));
    let cases = [
        (
            format!("{}a", blank(16_383)),
            format!("ERROR: <input>:1:16384: {undeclared}\n | {}a\n | {}^", blank(16_383), ".".repeat(16_383)),
        ),
        (format!("{}a", blank(16_384)), format!("ERROR: <input>:1:16385: {undeclared}")),
        (wide, format!("ERROR: <input>:1:8198: {undeclared}")),
        (
            format!("{}a\n+a", blank(16_384)),
            format!("ERROR: <input>:1:16385: {undeclared}\nERROR: <input>:2:2: {undeclared}\n | +a\n | .^"),
        ),
    ];
    for (text, expected) in cases {
        let error = environment().compile(&text).expect_err("nothing is declared");
        assert_eq!(error.to_string(), expected);
    }
}
