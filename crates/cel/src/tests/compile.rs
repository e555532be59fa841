use super::environment;
use crate::{Environment, Schema, Type};

#[test]
fn problems_are_shown_with_their_place() {
    let cases = [
        ("x.y == 1", "ERROR: <input>:1:1: undeclared reference to 'x' (in container '')\n | x.y == 1\n | ^"),
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

#[test]
fn what_is_too_deep_or_too_long_is_refused() {
    let nested = format!("{}1{}", "(".repeat(10_000), ")".repeat(10_000));
    let lists = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let sums = format!("1{}", " + 1".repeat(10_000));
    let fields = format!("object{}", ".a".repeat(10_000));
    let long = "1".repeat(200_000);
    for text in [nested, lists, sums, fields, long] {
        assert!(environment().compile(&text).is_err(), "{} characters", text.len());
    }
    let terms = format!("true{}", " && true".repeat(10_000));
    assert!(environment().compile(&terms).is_ok(), "a chain of conditions may be long");
}
