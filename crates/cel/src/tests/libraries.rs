use super::check;

#[test]
fn texts() {
    check(&[
        ("'tacocat'.charAt(3)", "\"o\""),
        ("'tacocat'.charAt(7)", "\"\""),
        ("'tacocat'.charAt(8)", "error: index out of range: 8"),
        ("'hello mellow'.indexOf('ello')", "1"),
        ("'hello mellow'.indexOf('ello', 2)", "7"),
        ("'hello mellow'.indexOf('ello', 20)", "-1"),
        ("'hello mellow'.indexOf('')", "0"),
        ("'hello mellow'.lastIndexOf('ello')", "7"),
        ("'hello mellow'.lastIndexOf('ello', 6)", "1"),
        ("'hello mellow'.lastIndexOf('')", "12"),
        ("['a', 'b'].join()", "\"ab\""),
        ("['a', 'b'].join('-')", "\"a-b\""),
        ("'TacoÉ'.lowerAscii()", "\"tacoÉ\""),
        ("'taco'.upperAscii()", "\"TACO\""),
        ("'hello hello'.replace('he', 'we')", "\"wello wello\""),
        ("'hello hello'.replace('he', 'we', 1)", "\"wello hello\""),
        ("'hello hello'.replace('he', 'we', 0)", "\"hello hello\""),
        ("'a,b,c'.split(',')", r#"["a","b","c"]"#),
        ("'a,b,c'.split(',', 2)", r#"["a","b,c"]"#),
        ("'a,b,c'.split(',', 0)", "[]"),
        ("'abc'.split('')", r#"["a","b","c"]"#),
        ("'abc'.split('', 2)", r#"["a","bc"]"#),
        ("'tacocat'.substring(4)", "\"cat\""),
        ("'tacocat'.substring(0, 4)", "\"taco\""),
        ("'tacocat'.substring(2, 1)", "error: invalid substring range. start: 2, end: 1"),
        ("'tacocat'.substring(-1)", "error: index out of range: -1"),
        ("'  a b '.trim()", "\"a b\""),
        ("'abc'.contains('b') && 'abc'.startsWith('a') && 'abc'.endsWith('c')", "true"),
        ("'abc'.matches('^a.c$')", "true"),
        ("matches('abc', 'b')", "true"),
        ("'abc'.matches('(')", "15:invalid matches argument"),
        ("object.spec.name.matches(object.spec.name)", "true"),
        ("'abc 123'.find('[0-9]+')", "\"123\""),
        ("'abc'.find('[0-9]+')", "\"\""),
        ("'1 2 3'.findAll('[0-9]')", r#"["1","2","3"]"#),
        ("'1 2 3'.findAll('[0-9]', 2)", r#"["1","2"]"#),
        (r#"strings.quote('a"b')"#, r#""\"a\\\"b\"""#),
        ("'abc'.foo()", "10:undeclared reference to 'foo' (in container '')"),
        ("'abc'.startsWith(1)", "17:found no matching overload for 'startsWith' applied to 'string.(int)'"),
        ("1 + 'a'", "3:found no matching overload for '_+_' applied to '(int, string)'"),
        ("'abc'.reverse()", "14:found no matching overload for 'reverse' applied to 'string.()'"),
        (
            "base64.encode(b'a')",
            "1:undeclared reference to 'base64' (in container ''); 14:undeclared reference to 'encode' (in container '')",
        ),
    ]);
}

#[test]
fn formatted_texts() {
    check(&[
        ("'%s has %d'.format(['a', dyn(5)])", "\"a has 5\""),
        ("'%s has %d'.format(['a', 5])", "\"a has 5\""),
        ("'%%'.format([])", "\"%\""),
        ("'%.2f'.format([3.14159])", "\"3.14\""),
        ("'%f'.format([1.5])", "\"1.500000\""),
        ("'%e'.format([1052.032911275])", "\"1.052033×10⁰³\""),
        ("'%b %o %x %X'.format([5, 8, 255, 255])", "\"101 10 ff FF\""),
        ("'%x'.format(['hi'])", "\"6869\""),
        ("'%b'.format([true])", "\"1\""),
        ("'%s'.format([[dyn(1), 'a', 2.5]])", "\"[1, \\\"a\\\", 2.500000]\""),
        ("'%s'.format([{'a': 1}])", "\"{\\\"a\\\":1}\""),
        ("'%s %s %s'.format([dyn(null), true, int])", "\"null true int\""),
        ("'%d'.format([])", "12:index 0 out of range"),
        ("'%s'.format([duration('1h')])", "\"3600s\""),
    ]);
}

#[test]
fn lists_and_sets() {
    check(&[
        ("[1, 2, 2].isSorted()", "true"),
        ("[2, 1].isSorted()", "false"),
        ("[1, 2, 3].sum()", "6"),
        ("[1.5, 2.5].sum()", "4.0"),
        ("[].sum()", "0"),
        ("[3, 1].min() + [3, 1].max()", "4"),
        ("[].min()", "error: min called on empty list"),
        ("[1, 2, 1].indexOf(1)", "0"),
        ("[1, 2, 1].lastIndexOf(1)", "2"),
        ("[1].indexOf(5)", "-1"),
        ("[1, 2, 3].slice(1, 3)", "[2,3]"),
        ("[1, 2, 3].slice(1, 5)", "error: cannot slice(1, 5), list is length 3"),
        (
            "[[1], [2, [3]]].flatten()",
            "7:expected type 'list(int)' but found 'list(dyn)'; 11:expected type 'int' but found 'list(int)'",
        ),
        ("[[1], [2]].flatten()", "[1,2]"),
        ("[[[1]], [[2]]].flatten(2)", "[1,2]"),
        ("lists.range(3)", "[0,1,2]"),
        ("lists.range(1000000000000)", "error: operation cancelled: actual cost limit exceeded"),
        ("[3, 1, 2].sort()", "[1,2,3]"),
        ("['b', 'a'].sortBy(x, x)", r#"["a","b"]"#),
        ("['bb', 'a'].sortBy(x, x.size())", r#"["a","bb"]"#),
        ("[1, 2].reverse()", "[2,1]"),
        ("[1, 2, 1].distinct()", "[1,2]"),
        ("sets.contains([1, 2, 3], [2, 3])", "true"),
        ("sets.contains([1], [2])", "false"),
        ("sets.equivalent([1, 2, 1], [2, 1])", "true"),
        ("sets.intersects([1, 2], [2, 3])", "true"),
        ("['a', 1].size()", "7:expected type 'string' but found 'int'"),
    ]);
}

#[test]
fn urls() {
    check(&[
        ("url('https://user:pw@example.com:80/a b?x=1&x=2#f').getHost()", "\"example.com:80\""),
        ("url('https://example.com:80/').getHostname()", "\"example.com\""),
        ("url('https://[::1]:80/').getHostname()", "\"::1\""),
        ("url('https://example.com:80/').getPort()", "\"80\""),
        ("url('https://example.com/a b/').getEscapedPath()", "\"/a%20b/\""),
        ("url('https://example.com/?k1=a&k2=b&k2=c').getQuery()", r#"{"k1":["a"],"k2":["b","c"]}"#),
        ("url('/path').getScheme()", "\"\""),
        ("isURL('https://example.com')", "true"),
        ("isURL('../relative')", "false"),
        ("isURL('http://a b/')", "false"),
        ("isURL('')", "false"),
        (
            "url('not a url')",
            "error: URL parse error during conversion from string: parse \"not a url\": invalid URI for request",
        ),
    ]);
}

#[test]
fn networks() {
    check(&[
        ("isIP('127.0.0.1')", "true"),
        ("isIP('::ffff:1.2.3.4')", "false"),
        ("isIP('fe80::1%eth0')", "false"),
        ("isIP('256.0.0.1')", "false"),
        ("ip('127.0.0.1').family()", "4"),
        ("ip('::1').isLoopback()", "true"),
        ("ip('0.0.0.0').isUnspecified()", "true"),
        ("ip('224.0.0.1').isLinkLocalMulticast()", "true"),
        ("ip('169.254.0.1').isLinkLocalUnicast()", "true"),
        ("ip('192.168.0.1').isGlobalUnicast()", "true"),
        ("ip('255.255.255.255').isGlobalUnicast()", "false"),
        ("ip.isCanonical('2001:db8::1')", "true"),
        ("ip.isCanonical('2001:DB8::1')", "false"),
        ("string(ip('10.0.0.1'))", "\"10.0.0.1\""),
        (
            "ip('a')",
            "error: IP Address \"a\" parse error during conversion from string: ParseAddr(\"a\"): unable to parse IP",
        ),
        (
            "ip('10.0.0')",
            "error: IP Address \"10.0.0\" parse error during conversion from string: ParseAddr(\"10.0.0\"): IPv4 address \
             too short",
        ),
        ("ip('10.0.0.1') == ip('10.0.0.1')", "true"),
        ("isCIDR('10.0.0.0/8')", "true"),
        ("isCIDR('10.0.0.0/33')", "false"),
        ("cidr('10.0.0.0/8').containsIP('10.1.2.3')", "true"),
        ("cidr('10.0.0.0/8').containsIP(ip('11.1.2.3'))", "false"),
        ("cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')", "true"),
        ("cidr('10.1.0.0/16').containsCIDR(cidr('10.0.0.0/8'))", "false"),
        ("cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8')", "true"),
        ("string(cidr('10.1.2.3/8').ip())", "\"10.1.2.3\""),
        ("cidr('::/0').prefixLength()", "0"),
        ("cidr('::/0').containsIP('2001:db8::1')", "true"),
    ]);
}

#[test]
fn quantities_and_versions() {
    check(&[
        ("quantity('1.5Gi').isGreaterThan(quantity('1Gi'))", "true"),
        ("quantity('100m').isLessThan(quantity('1'))", "true"),
        ("quantity('1').add(quantity('500m')).compareTo(quantity('1.5'))", "0"),
        ("quantity('1k').sub(100).asInteger()", "900"),
        ("quantity('100m').isInteger()", "false"),
        ("quantity('100m').asInteger()", "error: cannot convert value to integer"),
        ("quantity('100m').asApproximateFloat()", "0.1"),
        ("sign(quantity('-1'))", "-1"),
        ("isQuantity('1Zi')", "false"),
        (
            "quantity('x')",
            "error: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        ("quantity('1000m') == quantity('1')", "true"),
        ("semver('1.2.3').isLessThan(semver('1.10.0'))", "true"),
        ("semver('1.2.3-alpha').compareTo(semver('1.2.3'))", "-1"),
        ("semver('v1.2', true).patch()", "0"),
        ("isSemver('v1.2')", "false"),
        ("isSemver('v01.2', true)", "true"),
        ("semver('3.2.1').major() + semver('3.2.1').minor()", "5"),
    ]);
}

#[test]
fn named_formats() {
    check(&[
        ("format.dns1123Label().validate('my-label')", "none"),
        ("format.dns1123Label().validate('My').hasValue()", "true"),
        ("format.named('dns1123Label').value().validate('a')", "none"),
        ("format.named('nothing')", "none"),
        ("format.dns1123LabelPrefix().validate('my-')", "none"),
        ("format.uuid().validate('123e4567-e89b-12d3-a456-426614174000')", "none"),
        ("format.uuid().validate('x').value()", "[\"does not match the UUID format\"]"),
        ("format.byte().validate('aGk=')", "none"),
        ("format.date().validate('2024-13-01').value()", "[\"invalid date\"]"),
        ("format.datetime().validate('2024-01-01T00:00:00Z')", "none"),
        ("format.uri().validate('https://a/')", "none"),
        ("format.labelValue().validate('a')", "none"),
    ]);
}
