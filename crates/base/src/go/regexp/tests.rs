use super::*;

/// Where matches begin and end.
type Places = &'static [(usize, usize)];

/// Where Go found each of these in a text.
#[test]
fn what_matches_is_what_matches_in_go() {
    let cases: &[(&str, &str, Places)] = &[
        // Classes are those of ASCII.
        (r"^\d+$", "١٢٣", &[]),
        (r"\w+", "naïve", &[(0, 2), (4, 6)]),
        (r"\W", "aß", &[(1, 3)]),
        (r"\s", " \u{b}\u{a0}", &[(0, 1)]),
        (r"[\S]", "\u{b} ", &[(0, 1)]),
        (r"[^\D]", "a1٣", &[(1, 2)]),
        (r"\bb", "éb ab", &[(2, 3)]),
        (r"b\B", "bé bb", &[(4, 5)]),
        (r"(?i)\w", "ſ", &[(0, 2)]),
        // What begins no count.
        ("a{", "a{", &[(0, 2)]),
        ("a{,2}", "aa a{,2}", &[(3, 8)]),
        ("a{02}", "aa a{02}", &[(3, 8)]),
        ("{}", "{}", &[(0, 2)]),
        ("a{2}?", "aaaa", &[(0, 2), (2, 4)]),
        // Characters of a class.
        ("[[]", "[", &[(0, 1)]),
        ("[^[]", "[a", &[(1, 2)]),
        ("[[a]+", "[a", &[(0, 2)]),
        ("[a&&b]+", "&ab", &[(0, 3)]),
        ("[&--z]+", "-&a", &[(0, 2)]),
        ("[--a]", "Z", &[(0, 1)]),
        ("[a~~b]+", "~ab", &[(0, 3)]),
        (r"[\n-\r]", "\u{b}", &[(0, 1)]),
        (r"[\d-a]+", "1-a", &[(0, 3)]),
        ("[[:word:]-]+", "a-é", &[(0, 2)]),
        (r"[\x{D800}-\x{DFFF}]", "a", &[]),
        (r"[^\x{D800}]", "a", &[(0, 1)]),
        // What is escaped.
        (r"\Qa.b\E+", "a.bb axb", &[(0, 4)]),
        (r"\Q[(", "[(", &[(0, 2)]),
        (r"\101\x42\0", "AB\0", &[(0, 3)]),
        (r"\<a\>", "<a> a", &[(0, 3)]),
        (r"\p{^Greek}", "αa", &[(2, 3)]),
        (r"\pN", "٣", &[(0, 2)]),
        // Names of classes, whatever they are written like.
        (r"\p{greek}+", "αa", &[(0, 2)]),
        (r"\p{l c}+", "aA1", &[(0, 2)]),
        (r"\p{Currency_Symbol}", "a$", &[(1, 2)]),
        (r"\p{Any}", "\u{378}", &[(0, 2)]),
        (r"\p{ASCII}", "éa", &[(2, 3)]),
        (r"\P{Assigned}", "a\u{378}", &[(1, 3)]),
        (r"\p{Cs}|[\p{Surrogate}b]", "ab", &[(1, 2)]),
        (r"\P{Cs}", "a", &[(0, 1)]),
        (r"[[:]+", ":[", &[(0, 2)]),
        // Flags, also where they come between an operand and its repetition.
        ("a(?i)*b", "aaB", &[(0, 3)]),
        ("^{2,}(?i)?", ".", &[(0, 0), (1, 1)]),
        (r"(?:ba+\Q\E?)+", "baab", &[(0, 4)]),
        ("(?ii-i)a|(?)b", "Ab", &[(1, 2)]),
        ("(?i:a)b", "Ab AB", &[(0, 2)]),
        ("(?U)a+", "aa", &[(0, 1), (1, 2)]),
        // Names.
        ("(?P<n>a)(?<m>b)", "ab", &[(0, 2)]),
    ];
    for (pattern, text, expected) in cases {
        let compiled = compile(pattern, 1 << 20).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        let found: Vec<_> = compiled.find_iter(text).map(|found| (found.start(), found.end())).collect();
        assert_eq!(&found, expected, "{pattern} {text}");
    }
}

#[test]
fn groups_have_gos_numbers() {
    for (pattern, text, expected) in [
        (r"^(\d+)-(.*)$", "17-b", &["17-b", "17", "b"][..]),
        ("(?P<n>a)(?<n>b)", "ab", &["ab", "a", "b"]),
        (r"(a)+\Q\E?(b)", "aab", &["aab", "a", "b"]),
        ("(?:a)(b)", "ab", &["ab", "b"]),
    ] {
        let compiled = compile_with_groups(pattern, 1 << 20).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        let captures = compiled.captures(text).expect("matches");
        let found: Vec<&str> = captures.iter().map(|found| found.map_or("", |found| found.as_str())).collect();
        assert_eq!(found, expected, "{pattern} {text}");
    }
}

#[test]
fn groups_within_each_other_have_an_end() {
    let nested = |depth: usize| [&*"(".repeat(depth), "a", &*")".repeat(depth)].concat();
    assert!(compile(&nested(900), 1 << 20).is_ok());
    let error = compile(&nested(100_000), 1 << 20).expect_err("too deep");
    assert!(error.starts_with("error parsing regexp: expression nests too deeply: `((("));
}

/// What is looked for behind each character of these is not there.
#[test]
fn long_expressions_are_read_once() {
    let long = |text: &str| text.repeat(600_000);
    let cases = [
        (long("{"), "expression too large"),
        (format!("[{}a]", long("[:")), ""),
        (format!("[{}", long("[:")), "missing closing ]"),
        (long(r"\pL"), "expression too large"),
        (long(r"[\p{Greek}]"), "expression too large"),
        (long("{1,"), "expression too large"),
    ];
    for (pattern, expected) in cases {
        let started = std::time::Instant::now();
        let error = compile(&pattern, 1 << 20).err().unwrap_or_default();
        assert_eq!(error.is_empty(), expected.is_empty(), "{}", &pattern[..20]);
        assert!(error.contains(expected), "{}", &pattern[..20]);
        // Reading the rest for each of them takes a minute.
        assert!(started.elapsed() < std::time::Duration::from_secs(10), "{}", &pattern[..20]);
    }
}

/// Outcomes that Go printed.
#[test]
fn what_is_wrong_is_told_as_by_go() {
    let cases = [
        ("*", "missing argument to repetition operator: `*`"),
        ("|*", "missing argument to repetition operator: `*`"),
        ("(|*)", "missing argument to repetition operator: `*`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("a*+", "invalid nested repetition operator: `*+`"),
        ("a???", "invalid nested repetition operator: `???`"),
        ("a{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
        ("a{2}*", "invalid nested repetition operator: `{2}*`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("a{2,1}", "invalid repeat count: `{2,1}`"),
        ("((a{100}){100}){100}", "invalid repeat count: `{100}`"),
        ("(a", "missing closing ): `(a`"),
        ("(?P<n>a", "missing closing ): `(?P<n>a`"),
        ("a)", "unexpected ): `a)`"),
        ("[a", "missing closing ]: `[a`"),
        ("[]a", "missing closing ]: `[]a`"),
        ("[^]", "missing closing ]: `[^]`"),
        ("[a-", "missing closing ]: `[a-`"),
        ("[b-a]", "invalid character class range: `b-a`"),
        ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
        ("\\p{Foo}", "invalid character class range: `\\p{Foo}`"),
        ("\\pX", "invalid character class range: `\\pX`"),
        ("[a-\\d]", "invalid escape sequence: `\\d`"),
        ("a\\", "trailing backslash at end of expression: ``"),
        ("\\8", "invalid escape sequence: `\\8`"),
        ("\\1", "invalid escape sequence: `\\1`"),
        ("\\q", "invalid escape sequence: `\\q`"),
        ("\\C", "invalid escape sequence: `\\C`"),
        ("[\\u0041]", "invalid escape sequence: `\\u`"),
        ("\\x{zz}", "invalid escape sequence: `\\x{z`"),
        ("\\xz", "invalid escape sequence: `\\xz`"),
        ("(?!a)", "invalid or unsupported Perl syntax: `(?!`"),
        ("(?P=n)", "invalid or unsupported Perl syntax: `(?P`"),
        ("(?i", "invalid or unsupported Perl syntax: `(?i`"),
        ("(?i-)", "invalid or unsupported Perl syntax: `(?i-)`"),
        ("(?<=a)", "invalid named capture: `(?<=a)`"),
        ("(?P<>a)", "invalid named capture: `(?P<>`"),
        ("\\p{Alphabetic}", "invalid character class range: `\\p{Alphabetic}`"),
        ("\\p{White_Space}", "invalid character class range: `\\p{White_Space}`"),
        ("\\p{Old_Italic}", "invalid character class range: `\\p{Old_Italic}`"),
        ("\\p{Grek}", "invalid character class range: `\\p{Grek}`"),
        ("\\p{}", "invalid character class range: `\\p{}`"),
        ("\\pé", "invalid character class range: `\\pé`"),
        ("\\p{Greek", "invalid character class range: `\\p{Greek`"),
        ("\\p{sc=Greek}", "invalid character class range: `\\p{sc=Greek}`"),
        ("\\pL{1000}[^a]{1000}", "expression too large: `\\pL{1000}[^a]{1000}`"),
    ];
    for (pattern, expected) in cases {
        let error = compile(pattern, 1 << 20).expect_err(pattern);
        assert_eq!(error, format!("error parsing regexp: {expected}"), "{pattern}");
    }
    let fine = [
        "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        "a??",
        "\\b+",
        "\\d-[a]",
        "(?<n>a)|(?i:b)",
        "\\pN\\p{Greek}",
        "(a|b){2,3}",
        "[\\w.-]+@[^@]+\\.[[:alpha:]]{2,}",
        "\\x41\\x{1F600}\\.",
        "[]a]",
        "^$",
        "",
    ];
    for pattern in fine {
        assert!(compile(pattern, 1 << 20).is_ok(), "{pattern}: {:?}", compile(pattern, 1 << 20));
    }
}
