use super::check;

#[test]
fn literals_are_read() {
    check(&[
        ("1", "1"),
        ("-1", "-1"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("9223372036854775808", "1:invalid int literal"),
        ("0xff", "255"),
        ("7u", "7"),
        ("1.5e3", "1500.0"),
        (".5", "0.5"),
        ("'a' + \"b\"", "\"ab\""),
        (r"'\n\t\\\x41\u00e9'", r#""\n\t\\Aé""#),
        (r"r'\d+'", r#""\\d+""#),
        ("'''a\nb'''", r#""a\nb""#),
        (r"b'\xff\101'", "\"/0E=\""),
        ("[1, 2, 3,]", "[1,2,3]"),
        ("{'a': 1, 'b': 2}", r#"{"a":1,"b":2}"#),
        ("{1: 'a', 2u: 'b'}", "10:expected type 'int' but found 'uint'"),
        ("null", "null"),
        ("// nothing\ntrue", "true"),
        ("[]", "[]"),
        ("{}", "{}"),
    ]);
}

#[test]
fn operators_calculate_and_compare() {
    check(&[
        ("1 + 2 * 3 - 4 / 2 % 3", "5"),
        ("(1 + 2) * 3", "9"),
        ("-(1 + 2)", "-3"),
        ("7 / 2", "3"),
        ("-7 / 2", "-3"),
        ("-7 % 2", "-1"),
        ("7.0 / 2.0", "3.5"),
        ("1 / 0", "error: division by zero"),
        ("1 % 0", "error: modulus by zero"),
        ("9223372036854775807 + 1", "error: integer overflow"),
        ("1u - 2u", "error: unsigned integer overflow"),
        ("-9223372036854775808 * -1", "error: integer overflow"),
        ("1 == 1", "true"),
        ("1 != 2", "true"),
        ("dyn(1) == 1.0", "true"),
        ("dyn(1u) == 1", "true"),
        ("1 == 1.0", "3:found no matching overload for '_==_' applied to '(int, double)'"),
        ("1 < 1.5", "true"),
        ("2u > 1", "true"),
        ("9223372036854775807 < 9223372036854775808.0", "false"),
        ("'a' < 'b'", "true"),
        ("b'a' <= b'a'", "true"),
        ("false < true", "true"),
        ("[1, 2] == [1, 2]", "true"),
        ("[1, 2] == [2, 1]", "false"),
        ("{'a': [1]} == {'a': [1]}", "true"),
        ("[1] + [2]", "[1,2]"),
        ("2 in [1, 2]", "true"),
        ("'a' in {'a': 1}", "true"),
        ("!true", "false"),
        ("!!true", "true"),
        ("true ? 1 : 2", "1"),
        ("false ? 1 : true ? 2 : 3", "2"),
        ("dyn(1) ? 2 : 3", "error: no such overload"),
    ]);
}

#[test]
fn errors_are_outweighed_by_what_decides() {
    check(&[
        ("true || 1 / 0 == 1", "true"),
        ("1 / 0 == 1 || true", "true"),
        ("false && 1 / 0 == 1", "false"),
        ("1 / 0 == 1 && false", "false"),
        ("1 / 0 == 1 && true", "error: division by zero"),
        ("1 / 0 == 1 || false || true", "true"),
        ("[1, 0].exists(x, 1 / x == 1)", "true"),
        ("[0, 1].exists(x, 1 / x == 1)", "true"),
        ("[0, 2].exists(x, 1 / x == 1)", "error: division by zero"),
        ("[0, 2].all(x, 1 / x == 1)", "false"),
    ]);
}

#[test]
fn conversions_convert() {
    check(&[
        ("int('42')", "42"),
        ("int('x')", "error: type conversion error from 'string' to 'int'"),
        ("int(1.9)", "1"),
        ("int(1e20)", "error: integer overflow"),
        ("uint(5)", "5"),
        ("uint(-5)", "error: unsigned integer overflow"),
        ("double(3)", "3.0"),
        ("double('1.5')", "1.5"),
        ("string(1)", "\"1\""),
        ("string(1.5)", "\"1.5\""),
        ("string(1000000.0)", "\"1e+06\""),
        ("string(0.00001)", "\"1e-05\""),
        ("string(true)", "\"true\""),
        ("string(b'abc')", "\"abc\""),
        (r"string(b'\xff')", "error: invalid UTF-8 in bytes, cannot convert to string"),
        ("bytes('abc')", "\"YWJj\""),
        ("bool('true')", "true"),
        ("type(1) == int", "true"),
        ("type('a')", "string"),
        ("type([]) == list", "true"),
        ("type(1) == type(2)", "true"),
        ("type(null)", "null_type"),
        ("size('héllo')", "5"),
        ("'abc'.size() + [1].size() + {'a': 1}.size()", "5"),
    ]);
}

#[test]
fn times_are_calculated_with() {
    check(&[
        ("duration('1h30m')", "\"5400s\""),
        ("duration('1.5s')", "\"1.5s\""),
        ("duration('1x')", "10:invalid duration argument"),
        ("timestamp('2024-02-29T12:00:00Z')", "\"2024-02-29T12:00:00Z\""),
        ("timestamp('2024-02-30T12:00:00Z')", "11:invalid timestamp argument"),
        ("timestamp('2024-01-01T00:00:00Z') + duration('24h')", "\"2024-01-02T00:00:00Z\""),
        ("timestamp('2024-01-02T00:00:00Z') - timestamp('2024-01-01T00:00:00Z') == duration('24h')", "true"),
        ("timestamp('2024-01-02T00:00:00Z').getDayOfWeek()", "2"),
        ("timestamp('2024-01-02T03:04:05.006Z').getMilliseconds()", "6"),
        ("timestamp('2024-01-02T03:04:05Z').getHours('+02:00')", "5"),
        ("timestamp('2024-01-02T03:04:05Z').getHours('-03:30')", "23"),
        ("timestamp('2024-01-02T03:04:05Z').getMonth()", "0"),
        ("timestamp('2024-01-02T03:04:05Z').getDate()", "2"),
        ("timestamp('2024-01-02T03:04:05Z').getDayOfMonth()", "1"),
        ("timestamp('2024-02-01T03:04:05Z').getDayOfYear()", "31"),
        ("timestamp('2024-02-01T03:04:05Z').getFullYear()", "2024"),
        ("duration('90m').getHours()", "1"),
        ("duration('90m').getMinutes()", "90"),
        ("duration('1s') < duration('2s')", "true"),
        ("int(timestamp('1970-01-01T00:01:00Z'))", "60"),
        ("string(duration('1h'))", "\"3600s\""),
        ("timestamp('9999-12-31T23:59:59Z') + duration('1s')", "error: timestamp overflow"),
    ]);
}

#[test]
fn macros_go_through_lists_and_maps() {
    check(&[
        ("[1, 2, 3].all(x, x > 0)", "true"),
        ("[].all(x, x > 0)", "true"),
        ("[1, 2, 3].exists(x, x > 2)", "true"),
        ("[1, 2, 3].exists_one(x, x > 2)", "true"),
        ("[1, 2, 3].exists_one(x, x > 1)", "false"),
        ("[1, 2, 3].map(x, x * 2)", "[2,4,6]"),
        ("[1, 2, 3].map(x, x > 1, x * 2)", "[4,6]"),
        ("[1, 2, 3].filter(x, x > 1)", "[2,3]"),
        ("{'a': 1, 'b': 2}.map(k, k)", "[\"a\",\"b\"]"),
        ("{'a': 1, 'b': 2}.all(k, k != 'c')", "true"),
        ("[1, 2].map(x, [3, 4].map(y, x * y))", "[[3,4],[6,8]]"),
        ("[1, 2].map(x, [3].map(x, x))", "[[3],[3]]"),
        ("['a', 'b'].all(i, v, i < 2 && v != '')", "true"),
        ("{'a': 1}.exists(k, v, k == 'a' && v == 1)", "true"),
        ("[5, 6].existsOne(i, v, i == 0)", "true"),
        ("[5, 6].transformList(i, v, i + v)", "[5,7]"),
        ("[5, 6].transformList(i, v, i > 0, i + v)", "[7]"),
        ("{'a': 1, 'b': 2}.transformMap(k, v, v * 10)", r#"{"a":10,"b":20}"#),
        ("{'a': 1, 'b': 2}.transformMap(k, v, v > 1, v * 10)", r#"{"b":20}"#),
        ("['x', 'y'].transformMapEntry(i, v, {v: i})", r#"{"x":0,"y":1}"#),
        ("['x', 'x'].transformMapEntry(i, v, {v: i})", "error: insert failed: key x already exists"),
        (
            "(1).all(x, true)",
            "2:expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)",
        ),
        ("[1].all(x.y, true)", "10:argument must be a simple name"),
        ("[1].all(x, 1)", "12:expected type 'bool' but found 'int'"),
        ("[1].map(x, y)", "12:undeclared reference to 'y' (in container '')"),
    ]);
}

#[test]
fn optional_values_may_be_missing() {
    check(&[
        ("optional.of(1)", "1"),
        ("optional.none()", "none"),
        ("optional.ofNonZeroValue('')", "none"),
        ("optional.of(1).hasValue()", "true"),
        ("optional.none().hasValue()", "false"),
        ("optional.of(1).value()", "1"),
        ("optional.none().value()", "error: optional.none() dereference"),
        ("optional.none().orValue(5)", "5"),
        ("optional.of(1).orValue(5)", "1"),
        ("optional.of(1).orValue(1 / 0)", "1"),
        ("optional.none().or(optional.of(2)).value()", "2"),
        ("optional.of(2).optMap(x, x * 2)", "4"),
        ("optional.none().optMap(x, x)", "none"),
        ("optional.of(2).optFlatMap(x, optional.of(x))", "2"),
        ("{'a': {'b': 1}}.?a.?b", "1"),
        ("{'a': {'b': 1}}.?a.b.orValue(0)", "1"),
        ("{'a': {'b': 1}}.?x.?b.orValue(0)", "0"),
        ("[1, 2][?5].orValue(9)", "9"),
        ("{'a': 1}[?'a'].orValue(9)", "1"),
        ("object.?spec.?nothing.orValue('d')", "\"d\""),
        ("[?optional.of(1), ?optional.none(), 3]", "[1,3]"),
        ("{?'a': optional.none(), 'b': 2}", r#"{"b":2}"#),
        ("[1, 2].first().value()", "1"),
        ("[].last().hasValue()", "false"),
        ("optional.unwrap([optional.of(1), optional.none()])", "[1]"),
        ("self.?spec.?missing.orValue('none')", "\"none\""),
    ]);
}
