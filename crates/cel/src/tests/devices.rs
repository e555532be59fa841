//! Expressions that select devices: values of any type, amounts, and names for values.

use std::sync::Arc;

use crate::{Environment, Kind, Schema};

fn environment() -> Environment {
    let by_name = |of: Schema| {
        let map = |values, key| Schema::new(Kind::Map(Arc::new(values))).at_most(32).with_keys(key);
        Arc::new(map(map(of, 32), 63))
    };
    let device = Schema::object(
        "kubernetes.DRADevice",
        [
            ("driver", Arc::new(Schema::new(Kind::String).at_most(63))),
            ("allowMultipleAllocations", Arc::new(Schema::new(Kind::Bool).at_most(1))),
            ("attributes", by_name(Schema::new(Kind::Any).at_most(64))),
            ("capacity", by_name(Schema::new(Kind::Quantity))),
        ],
    );
    Environment::new().with("device", device).with_bindings()
}

/// What upstream's compiler says: the type and the most that it costs, the type alone where it is none that
/// selects, or what is wrong.
#[test]
fn devices_are_selected_as_upstream_does() {
    let cases = [
        ("true", "bool 0"),
        ("1", "int"),
        (r#""a""#, "string"),
        ("device", "kubernetes.DRADevice"),
        ("device.driver", "string"),
        (r#"device.driver == "a""#, "bool 3"),
        ("device.driver == 1", "1:15: found no matching overload for '_==_' applied to '(string, int)'"),
        ("device.foo", "1:7: undefined field 'foo'"),
        ("device.attributes", "map(string, map(string, google.protobuf.Any))"),
        (r#"device.attributes["a.b"]"#, "map(string, google.protobuf.Any)"),
        (r#"device.attributes["a.b"].c"#, "google.protobuf.Any 4"),
        (r#"device.attributes["a.b"]["c"]"#, "google.protobuf.Any 4"),
        (r#"device.attributes["a.b"].c == "x""#, "bool 5"),
        (r#"device.attributes["a.b"].c.d"#, "dyn"),
        (r#"device.attributes["a.b"].c == true"#, "bool 5"),
        (r#"device.attributes["a.b"].c > 5"#, "bool 5"),
        (r#"device.attributes["a.b"].c + 5"#, "int"),
        (r#"device.attributes["a.b"].c + 5 == 7"#, "bool 6"),
        (r#"device.attributes["a.b"].c.isGreaterThan(semver("1.2.3"))"#, "bool 6"),
        (r#"device.attributes["a.b"].c.compareTo(semver("1.2.3")) == 1"#, "bool 7"),
        (r#"device.attributes["a.b"].exists(k, k == "c")"#, "bool 196"),
        (r#"device.attributes["a.b"].exists(k, v, v == "c")"#, "bool 196"),
        (r#"device.attributes.exists(k, device.attributes[k].exists(j, j == "a"))"#, "bool 6435"),
        (
            "device.attributes.all(k, device.attributes.all(j, device.attributes.all(i, device.attributes.all(h, device.attributes.all(g, g + h == i)))))",
            "bool 878909635",
        ),
        (
            r#"device.attributes.all(k, device.attributes[k].all(j, device.attributes[k][j].matches("a+b+")))"#,
            "bool 16643",
        ),
        (
            "device.attributes.all(k, device.attributes[k].all(j, device.attributes.all(l, device.attributes[l].all(m, device.attributes[k][j].contains(device.attributes[l][m])))))",
            "bool 67377411",
        ),
        (
            r#"device.attributes["a.b"].c.exists(x, x == 1)"#,
            "1:25: expression of type 'any' cannot be range of a comprehension (must be list, map, or dynamic)",
        ),
        (
            r#"device.attributes["a.b"].c.all(x, true)"#,
            "1:25: expression of type 'any' cannot be range of a comprehension (must be list, map, or dynamic)",
        ),
        (r#"device.attributes["a.b"].c in ["a", "b"]"#, "bool 16"),
        (r#""c" in device.attributes["a.b"]"#, "bool 4"),
        (r#"device.attributes["a.b"].c.startsWith("abc")"#, "bool 5"),
        (r#"device.attributes["a.b"].c.matches("^a+b+c+$")"#, "bool 18"),
        (r#"device.attributes["a.b"].c.size() > 3"#, "bool 6"),
        (r#"size(device.attributes["a.b"].c) > 3"#, "bool 6"),
        (r#"device.attributes["a.b"].c.lowerAscii() == "x""#, "bool 12"),
        (r#"has(device.attributes["a.b"].c)"#, "bool 3"),
        (r#""a.b" in device.attributes && device.attributes["a.b"].c == 1"#, "bool 8"),
        (r#"device.capacity["a.b"].memory"#, "kubernetes.Quantity"),
        (r#"device.capacity["a.b"].memory.compareTo(quantity("1Gi")) >= 0"#, "bool 7"),
        (r#"device.capacity["a.b"].memory.isGreaterThan(quantity("1Gi"))"#, "bool 6"),
        (r#"device.capacity["a.b"].memory == quantity("1Gi")"#, "bool 6"),
        (
            r#"device.capacity["a.b"].memory > 5"#,
            "1:31: found no matching overload for '_>_' applied to '(kubernetes.Quantity, int)'",
        ),
        (r#"device.capacity["a.b"].x.asInteger() > 5"#, "bool 6"),
        (r#"device.capacity["a.b"].exists(k, k.startsWith("a"))"#, "bool 196"),
        ("device.allowMultipleAllocations", "bool 2"),
        ("device.allowMultipleAllocations == true", "bool 3"),
        ("device.allowMultipleAllocations && true", "bool 2"),
        (r#"cel.bind(a, device.attributes["a.b"], a.c && a.d)"#, "bool 17"),
        (r#"cel.bind(a, device.attributes["a.b"], a.c == "x" && a.d == 1)"#, "bool 19"),
        ("cel.bind(a, 1, a + 1)", "int"),
        ("cel.bind(a, 1, a == 1)", "bool 12"),
        ("cel.bind(a, [1, 2], a.exists(x, x == 1))", "bool 34"),
        (r#"cel.bind(a, "x", a.matches("y") && device.driver.contains(a))"#, "bool 22"),
        ("cel.bind(1, 2, true)", "1:10: cel.bind() variable names must be simple identifiers"),
        ("cel.bind(a.b, 2, true)", "1:11: cel.bind() variable names must be simple identifiers"),
        ("cel.bind(a, b, true)", "1:13: undeclared reference to 'b' (in container '')"),
        ("cel.bind(a, 1, cel.bind(b, a + 1, b == a))", "bool 25"),
        (r#"cel.bind(a, device.attributes, a.exists(k, a[k].exists(l, l == "x")))"#, "bool 6414"),
        (r#"cel.bind(a, device.driver, a.matches("x+y*z") && a.startsWith("a"))"#, "bool 29"),
        ("[1].exists(a, cel.bind(b, a, b == 1))", "bool 28"),
        (r#"cel.bind(a, [device.driver], a[0] == "x")"#, "bool 25"),
        (r#"cel.bind(a, device.driver + "x", a + a == "y")"#, "bool 35"),
        (
            "cel.bind(a, 1)",
            "1:1: undeclared reference to 'cel' (in container '')\n1:9: undeclared reference to 'bind' (in container '')\n1:10: undeclared reference to 'a' (in container '')",
        ),
        (
            "foo.bind(a, 1, true)",
            "1:1: undeclared reference to 'foo' (in container '')\n1:9: undeclared reference to 'bind' (in container '')\n1:10: undeclared reference to 'a' (in container '')",
        ),
        (
            "cel.foo(1)",
            "1:1: undeclared reference to 'cel' (in container '')\n1:8: undeclared reference to 'foo' (in container '')",
        ),
        ("cel", "1:1: undeclared reference to 'cel' (in container '')"),
        (r#"device.attributes["a.b"].c ? true : false"#, "bool 4"),
        (r#"device.attributes["a.b"].c || device.attributes["a.b"].d"#, "bool 8"),
        (
            r#"device.attributes["a.b"].c ? device.attributes["a.b"].d : device.attributes["a.b"].e"#,
            "google.protobuf.Any 8",
        ),
        (r#"device.attributes["a.b"].?c.orValue(true)"#, "google.protobuf.Any 5"),
        (r#"device.attributes[?"a.b"].c"#, "optional_type(google.protobuf.Any)"),
        (r#"device.attributes["a.b"].c + "x""#, "string"),
        (r#"[device.attributes["a.b"].c][0]"#, "google.protobuf.Any 15"),
        (r#"{"a": device.attributes["a.b"].c}["a"]"#, "google.protobuf.Any 35"),
        (r#"[device.attributes["a.b"].c, true][1]"#, "1:30: expected type 'any' but found 'bool'"),
        ("dyn(true)", "dyn"),
        ("null", "null_type"),
        (r#"device.attributes["a.b"].c.split(",").exists(x, x == "a")"#, "bool 402"),
        (r#"device.attributes["a.b"].c.includes("x")"#, "1:36: undeclared reference to 'includes' (in container '')"),
        ("lists.range(1000).all(x, lists.range(1000).all(y, x == y))", "bool 7016012"),
        ("device.driver.contains(device.driver)", "bool 53"),
        (r#"device.attributes["a.b"].c.contains(device.driver)"#, "bool 55"),
        (r#"-device.attributes["a.b"].c"#, "dyn"),
        (r#"!device.attributes["a.b"].c"#, "bool 5"),
        (r#"string(device.attributes["a.b"].c) == "a""#, "bool 12"),
        (r#"int(device.attributes["a.b"].c) == 1"#, "bool 6"),
        ("device == null", "bool 1"),
        (r#"device.attributes["a.b"].c == null"#, "bool 5"),
    ];
    let mut wrong = Vec::new();
    for (text, expected) in cases {
        let environment = environment();
        let found = match environment.compile(text) {
            Ok(program) => {
                let name = program.ty().full_name();
                match name.as_str() {
                    "bool" | "google.protobuf.Any" => format!("{name} {}", program.estimate(&environment).max),
                    _ => name,
                }
            }
            Err(why) => {
                let issues =
                    why.issues.iter().map(|issue| format!("{}:{}: {}", issue.line, issue.column, issue.message));
                issues.collect::<Vec<_>>().join("\n")
            }
        };
        if found != expected {
            wrong.push(format!("{text}: {found}, not {expected}"));
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn names_stand_for_values() {
    for (text, expected) in [
        ("cel.bind(a, 2, a * a == 4)", true),
        ("cel.bind(a, [1, 2], cel.bind(b, a.map(x, x + 1), b == [2, 3] && a[0] == 1))", true),
        ("[1, 2].all(a, cel.bind(b, a + 1, b > a))", true),
        ("cel.bind(a, 'x', a == 'y')", false),
        // Nobody asks for the value, or nobody needs it.
        ("cel.bind(a, 1 / 0, true)", true),
        ("cel.bind(a, 1 / 0, a == 1 || true)", true),
        ("[1, 2].all(x, cel.bind(a, [x].map(y, y + 1), [0, 3].exists(z, (z - x) in a || z == x + 1) || x == 1))", true),
        ("[5].all(x, cel.bind(a, [x].map(y, y + 1), [6].all(z, [z].all(y, y in a && x + 1 == y))))", true),
    ] {
        let program = environment().compile(text).expect(text);
        let bindings: [(&str, crate::Value<'_>); 0] = [];
        let value = program.evaluate(&bindings, &mut crate::Budget::new(10_000)).expect(text);
        assert_eq!(value.as_bool(), Some(expected), "{text}");
    }
}
