//! Outcomes that Kubernetes' API server of 1.36 told where policies and rules had these expressions.

use serde_json::json;

use super::{check, environment};
use crate::parser::OPERAND;
use crate::{Budget, Environment, OBJECT_LIMIT, Root, Schema, Value};

#[test]
fn what_is_constant_is_computed_before_there_is_a_program() {
    for (text, expected) in [
        ("int('x')", Some("type conversion error from 'string' to 'int'")),
        ("[1, int(9.3e18)]", Some("integer overflow")),
        ("int(dyn(dyn('x')))", Some("type conversion error from 'string' to 'int'")),
        ("true || string(dyn(null)) == ''", Some("no such overload: string(null_type)")),
        ("string(b'\\xff')", Some("invalid UTF-8 in bytes, cannot convert to string")),
        ("'a'.find('[')", Some("error parsing regexp: missing closing ]: `[`")),
        ("matches('a', '(')", Some("error parsing regexp: missing closing ): `(`")),
        ("int(object.spec.name)", None),
        ("1 / 0", None),
        ("ip('x')", None),
    ] {
        let program = environment().compile(text).expect(text);
        assert_eq!(program.instantiated().err().as_deref(), expected, "{text}");
    }
}

#[test]
fn outcomes_are_those_of_the_server() {
    check(&[
        ("duration(1000)", "10:invalid duration argument"),
        ("timestamp(1000000000000)", "11:invalid timestamp argument"),
        // Whose overloads are told.
        ("dyn([dyn(1), dyn('a')]).join('-')", "error: no such overload: join(list, string)"),
        ("dyn(['a']).sum()", "error: no such overload: sum(list)"),
        ("dyn(1).hasValue()", "error: no such overload: hasValue(int)"),
        ("dyn('a') + dyn(1)", "error: no such overload"),
        ("dyn(quantity('1')) == dyn('1')", "error: no such overload"),
        ("dyn('1') == dyn(quantity('1'))", "false"),
        ("dyn(self) == dyn(1)", "error: no such overload"),
        ("dyn(1).orValue(2)", "1"),
        ("dyn(1).?a.hasValue()", "false"),
        ("dyn('s')[0]", "error: no such key: 0"),
        ("dyn('s')[?0].hasValue()", "false"),
        ("dyn([dyn(1), dyn('a')]).isSorted()", "true"),
        ("{'a': 1, string(object.spec.name): 2, 'a': 3}.size()", "2"),
        (
            "[1].sortBy(x, [x])",
            "11:found no matching overload for '@sortByAssociatedKeys' applied to 'list(int).(list(list(int)))'",
        ),
        ("dyn(1).all(i, v, true)", "error: unsupported comprehension range type: types.Int"),
        ("dyn(duration('1s')).all(x, true)", "error: got 'types.Duration', expected iterable type"),
        ("[1].exists_one(i, v, v == 1)", "true"),
        (
            "[1].transformMap(i, v, 1, v)",
            "17:found no matching overload for '_?_:_' applied to '(int, map(int, int), map(int, int))'",
        ),
        ("['a'].transformMapEntry(i, v, dyn(1))", "error: no such overload: cel.@mapInsert(map, int)"),
        // Types
        ("1 && true", "1:expected type 'bool' but found 'int'"),
        ("type(1) == 'int'", "9:found no matching overload for '_==_' applied to '(type(int), string)'"),
        (
            "optional.of(1).foo == 1",
            "15:type 'int' does not support field selection; 20:found no matching overload for '_==_' applied to '(optional_type(dyn), int)'",
        ),
        (
            "self.spec.rules == self.spec.others",
            "17:found no matching overload for '_==_' applied to '(list(object), list(object))'",
        ),
        // Texts and numbers
        ("'%e'.format([-123456.789])", r#""-1.234568×10⁰⁵""#),
        ("'%.9e|%f|%f'.format([0.0/0.0, 1.0/0.0, -0.0])", r#""      NaN|∞|0.000000""#),
        ("'%.70000e'.format([1.0]).size()", "70000"),
        ("'%.70000f'.format([1.0]).size()", "70002"),
        (
            "'a'.find('[' + object.spec.name)",
            "error: Illegal regex: error parsing regexp: missing closing ]: `[widget`",
        ),
        ("'abc'.indexOf('', 99)", "99"),
        ("double('0x1p-2')", "0.25"),
        ("double('1_000.5')", "1000.5"),
        ("semver('1.2.3-01')", "error: Numeric PreRelease version must not contain leading zeroes \"01\""),
        ("semver('01.2.3')", "error: Major number must not contain leading zeroes \"01\""),
        ("semver('V1.2.3', true)", "error: Invalid character(s) found in major number \"0V1\""),
        ("semver('18446744073709551615.0.0').major()", "-1"),
        ("cidr('10.1.2.3/8').containsIP('x')", "error: no such overload"),
        // Times
        ("string(timestamp('2024-01-01T00:00:00.5+02:00'))", r#""2024-01-01T00:00:00.5+02:00""#),
        ("timestamp('9999-12-31T23:59:59Z').getFullYear()", "9999"),
        ("timestamp('2024-01-01T00:00:00+02:00') == timestamp('2023-12-31T22:00:00Z')", "true"),
        ("timestamp('2024-01-01T0:00:00Z').getHours('a:b')", "error: strconv.Atoi: parsing \"a\": invalid syntax"),
        ("duration('2562047h') + duration('2562047h')", "error: integer overflow"),
        // Addresses on the web
        ("url('http://u@[fe80::1%25en0]:80/a*b(c)[d]').getHostname()", r#""fe80::1%en0""#),
        ("url('http://h/a*b(c)[d]').getEscapedPath()", r#""/a*b(c)[d]""#),
        ("url('http://h/a%20b c').getEscapedPath()", r#""/a%20b%20c""#),
        (
            "url('http://a%zz')",
            r#"error: URL parse error during conversion from string: parse "http://a%zz": invalid URL escape "%zz""#,
        ),
        (
            "url('http://u:p w@h/')",
            r#"error: URL parse error during conversion from string: parse "http://u:p w@h/": net/url: invalid userinfo"#,
        ),
    ]);
}

#[test]
fn a_field_that_is_null_is_absent() {
    let nullable = json!({"type": "integer", "nullable": true});
    let schema = json!({"type": "object", "properties": {"a": nullable}});
    let schema = Schema::of_structural(&schema, Root::No).expect("a schema");
    let environment = Environment::new().with("self", schema.clone());
    let object = json!({"a": null});
    let bindings = [("self", Value::of(&object, &schema))];
    for (text, expected) in [
        ("has(self.a)", Ok(false)),
        ("self.?a.hasValue()", Ok(false)),
        ("self.a == 1", Err("no such key: a".to_owned())),
    ] {
        let program = environment.compile(text).expect(text);
        let outcome = program.evaluate(&bindings, &mut Budget::new(OBJECT_LIMIT));
        let outcome = outcome.map(|value| value.as_bool() == Some(true)).map_err(|error| error.to_string());
        assert_eq!(outcome, expected, "{text}");
    }
}

#[test]
fn what_is_no_word_is_told_as_upstream_does() {
    const STRANGE: &str = "Syntax error: token recognition error at:";
    let end = |at: u32| format!("{at}:Syntax error: mismatched input '<EOF>' expecting {OPERAND}");
    let cases = [
        ("true & true", format!("6:{STRANGE} '& '; 8:Syntax error: extraneous input 'true' expecting <EOF>")),
        ("'abc", format!("1:{STRANGE} ''abc'; {}", end(5))),
        ("\"\"\"abc", format!("3:{STRANGE} '\"abc'")),
        ("'\\q' == ''", format!("1:{STRANGE} ''\\q'; 10:{STRANGE} '''")),
        ("'\\ud800' == ''", "1:invalid unicode code point".to_owned()),
        ("b'\\u00e9' == b''", "1:unable to unescape string".to_owned()),
        ("1e999 == 1.0", "1:invalid double literal".to_owned()),
        ("rb'a' == b''", "3:Syntax error: mismatched input ''a'' expecting <EOF>".to_owned()),
        ("object.`a-b/c`", "8:unsupported syntax: '`'".to_owned()),
        ("object.null", "8:Syntax error: mismatched input 'null' expecting IDENTIFIER".to_owned()),
        ("!", format!("2:Syntax error: extraneous input '<EOF>' expecting {OPERAND}")),
        ("-", format!("2:Syntax error: no viable alternative at input '-'; {}", end(2))),
        ("-!true", "2:Syntax error: no viable alternative at input '-!'".to_owned()),
        ("!-1", "1:found no matching overload for '!_' applied to '(int)'".to_owned()),
        (
            "object.? == 1",
            "10:Syntax error: mismatched input '==' expecting {IDENTIFIER, ESC_IDENTIFIER}; 10:unsupported ident kind"
                .to_owned(),
        ),
    ];
    let cases: Vec<(&str, &str)> = cases.iter().map(|(text, expected)| (*text, expected.as_str())).collect();
    check(&cases);
}
