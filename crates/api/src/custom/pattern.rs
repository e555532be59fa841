//! What is wrong with a regular expression, in the words of Go's parser, which are those of the API.
//!
//! Go's expressions and those of the engine here are the same language but for corners: what Go does not know, such
//! as looking ahead, is refused here too.
//!
//! Syntax: <https://pkg.go.dev/regexp/syntax>

use regex::Regex;

/// Most repetitions, those of repetitions within repetitions multiplied.
const MOST: u64 = 1000;

const CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];

/// Compiles a pattern.
///
/// # Errors
/// It is none.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    if let Err(Wrong { what, place }) = check(pattern) {
        return Err(format!("error parsing regexp: {what}: `{place}`"));
    }
    Regex::new(pattern).map_err(|error| error.to_string())
}

struct Wrong<'p> {
    what: &'static str,
    place: &'p str,
}

type Checked<'p, T> = Result<T, Wrong<'p>>;

fn wrong<'p, T>(what: &'static str, place: &'p str) -> Checked<'p, T> {
    Err(Wrong { what, place })
}

/// What stands before `rest` in `text`.
fn before<'p>(text: &'p str, rest: &str) -> &'p str {
    &text[..text.len() - rest.len()]
}

/// The first character, and what comes after it.
fn first(text: &str) -> Option<(char, &str)> {
    let mut characters = text.chars();
    Some((characters.next()?, characters.as_str()))
}

/// What was read of a group.
#[derive(Default)]
struct Group {
    /// How often the last operand repeats what is in it; `None` if there is nothing to repeat.
    operand: Option<u64>,
    /// How often any operand does.
    most: u64,
}

impl Group {
    fn push(&mut self, repeats: u64) {
        self.operand = Some(repeats);
        self.most = self.most.max(repeats);
    }
}

fn check(pattern: &str) -> Checked<'_, ()> {
    let mut groups = vec![Group::default()];
    let mut rest = pattern;
    // The repetition right before, which may not be repeated itself.
    let mut last = "";
    while let Some((character, after)) = first(rest) {
        let group = groups.last_mut().expect("the outermost stays");
        let mut this = "";
        match character {
            '(' if after.starts_with('?') => {
                let (opens, behind) = flags(rest)?;
                if opens {
                    groups.push(Group::default());
                }
                rest = behind;
            }
            '(' => {
                groups.push(Group::default());
                rest = after;
            }
            '|' => {
                group.operand = None;
                rest = after;
            }
            ')' => {
                let inner = group.most;
                groups.pop();
                let Some(outer) = groups.last_mut() else { return wrong("unexpected )", pattern) };
                outer.push(inner.max(1));
                rest = after;
            }
            '[' => {
                rest = class(rest)?;
                group.push(1);
            }
            '*' | '+' | '?' => {
                this = rest;
                rest = repeat(group, rest, after, last)?;
            }
            '{' => match count(rest) {
                None => {
                    group.push(1);
                    rest = after;
                }
                Some((least, most, after)) => {
                    this = rest;
                    let is_wrong = least > MOST || most.is_some_and(|most| most > MOST || most < least);
                    if is_wrong {
                        return wrong("invalid repeat count", before(rest, after));
                    }
                    let end = repeat(group, rest, after, last)?;
                    let repeats = group.operand.unwrap_or(1).saturating_mul(most.unwrap_or(least).max(1));
                    if repeats > MOST {
                        return wrong("invalid repeat count", before(rest, end));
                    }
                    group.push(repeats);
                    rest = end;
                }
            },
            '\\' => {
                rest = match first(after) {
                    Some(('Q', quoted)) => match quoted.split_once("\\E") {
                        Some((text, behind)) => {
                            if !text.is_empty() {
                                group.push(1);
                            }
                            last = "";
                            rest = behind;
                            continue;
                        }
                        None => "",
                    },
                    Some(('A' | 'b' | 'B' | 'z', behind)) => behind,
                    Some(('C', behind)) => return wrong("invalid escape sequence", before(rest, behind)),
                    _ => escaped(rest)?.1,
                };
                group.push(1);
            }
            _ => {
                group.push(1);
                rest = after;
            }
        }
        last = this;
    }
    if groups.len() > 1 { wrong("missing closing )", pattern) } else { Ok(()) }
}

/// A repetition from `text` up to `after`; gives what comes behind it.
fn repeat<'p>(group: &Group, text: &'p str, after: &'p str, last: &'p str) -> Checked<'p, &'p str> {
    let after = after.strip_prefix('?').unwrap_or(after);
    if !last.is_empty() {
        return wrong("invalid nested repetition operator", before(last, after));
    }
    if group.operand.is_none() {
        return wrong("missing argument to repetition operator", before(text, after));
    }
    Ok(after)
}

/// `{2}`, `{2,}` or `{2,3}`: least, most, and what comes after it. Anything else in braces means itself.
fn count(text: &str) -> Option<(u64, Option<u64>, &str)> {
    let (inside, after) = text.strip_prefix('{')?.split_once('}')?;
    let number = |text: &str| {
        let is_number = !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && (text == "0" || !text.starts_with('0'));
        // Larger ones are too large whatever they are.
        is_number.then(|| text.parse().unwrap_or(u64::MAX))
    };
    match inside.split_once(',') {
        None => number(inside).map(|count| (count, Some(count), after)),
        Some((least, "")) => Some((number(least)?, None, after)),
        Some((least, most)) => Some((number(least)?, Some(number(most)?), after)),
    }
}

/// `(?` and what it begins: whether that is a group, and what comes behind its head.
fn flags(text: &str) -> Checked<'_, (bool, &str)> {
    let name = text.strip_prefix("(?P<").or_else(|| text.strip_prefix("(?<")).filter(|name| !name.is_empty());
    if let Some(name) = name {
        let Some((name, after)) = name.split_once('>') else { return wrong("invalid named capture", text) };
        let is_name = !name.is_empty() && name.chars().all(|letter| letter == '_' || letter.is_ascii_alphanumeric());
        return if is_name { Ok((true, after)) } else { wrong("invalid named capture", before(text, after)) };
    }
    let (mut rest, mut is_negative, mut is_empty) = (&text[2..], false, true);
    while let Some((character, after)) = first(rest) {
        rest = after;
        match character {
            'i' | 'm' | 's' | 'U' => is_empty = false,
            '-' if !is_negative => (is_negative, is_empty) = (true, true),
            ':' | ')' if !(is_negative && is_empty) => return Ok((character == ':', rest)),
            _ => break,
        }
    }
    wrong("invalid or unsupported Perl syntax", before(text, rest))
}

/// `[...]`; gives what comes behind it.
fn class(text: &str) -> Checked<'_, &str> {
    let mut rest = &text[1..];
    rest = rest.strip_prefix('^').unwrap_or(rest);
    let mut is_first = true;
    while is_first || !rest.starts_with(']') {
        is_first = false;
        if let Some((name, after)) = rest.strip_prefix("[:").and_then(|inside| inside.split_once(":]")) {
            if !CLASSES.contains(&name.strip_prefix('^').unwrap_or(name)) {
                return wrong("invalid character class range", before(rest, after));
            }
            rest = after;
            continue;
        }
        let range = rest;
        let (low, after) = member(rest, text)?;
        rest = after;
        let Some(low) = low else { continue };
        if let Some(after) = rest.strip_prefix('-').filter(|after| !after.is_empty() && !after.starts_with(']')) {
            let (high, after) = if after.starts_with('\\') { character(after)? } else { member(after, text)? };
            if high.is_some_and(|high| high < low) {
                return wrong("invalid character class range", before(range, after));
            }
            rest = after;
        }
    }
    Ok(&rest[1..])
}

/// A character of a class, or a class within it.
fn member<'p>(rest: &'p str, whole: &'p str) -> Checked<'p, (Option<char>, &'p str)> {
    match first(rest) {
        None => wrong("missing closing ]", whole),
        Some(('\\', _)) => escaped(rest),
        Some((character, after)) => Ok((Some(character), after)),
    }
}

/// A class or a character behind a backslash.
fn escaped(text: &str) -> Checked<'_, (Option<char>, &str)> {
    match first(&text[1..]) {
        Some(('d' | 'D' | 's' | 'S' | 'w' | 'W', after)) => Ok((None, after)),
        Some(('p' | 'P', after)) => {
            let (Some((name, _)), false) = (first(after), after.is_empty()) else {
                return wrong("invalid escape sequence", text);
            };
            let end = if name == '{' { after.find('}').map(|end| end + 1) } else { Some(name.len_utf8()) };
            let Some(end) = end else { return wrong("invalid character class range", text) };
            let after = &after[end..];
            let class = before(text, after);
            if Regex::new(class).is_ok() { Ok((None, after)) } else { wrong("invalid character class range", class) }
        }
        _ => character(text),
    }
}

/// A character behind a backslash.
fn character(text: &str) -> Checked<'_, (Option<char>, &str)> {
    let Some((kind, mut rest)) = first(&text[1..]) else {
        return wrong("trailing backslash at end of expression", "");
    };
    let octal = |text: &str| text.starts_with(|digit: char| digit.is_digit(8));
    match kind {
        '0'..='7' if kind == '0' || octal(rest) => {
            let mut value = kind.to_digit(8).unwrap_or_default();
            for _ in 0..2 {
                let Some((digit, after)) = first(rest) else { break };
                let Some(digit) = digit.to_digit(8) else { break };
                (value, rest) = (value * 8 + digit, after);
            }
            return Ok((char::from_u32(value), rest));
        }
        'x' => {
            let mut value = 0;
            let in_braces = rest.starts_with('{');
            if in_braces {
                rest = &rest[1..];
            }
            for digits in 0.. {
                let Some((digit, after)) = first(rest) else { break };
                rest = after;
                if in_braces && digit == '}' && digits > 0 {
                    return Ok((char::from_u32(value), rest));
                }
                let Some(digit) = digit.to_digit(16) else { break };
                value = value * 16 + digit;
                if !in_braces && digits == 1 {
                    return Ok((char::from_u32(value), rest));
                }
                if value > u32::from(char::MAX) {
                    break;
                }
            }
        }
        'a' | 'f' | 'n' | 'r' | 't' | 'v' => return Ok((Some(kind), rest)),
        kind if kind.is_ascii() && !kind.is_ascii_alphanumeric() => return Ok((Some(kind), rest)),
        _ => {}
    }
    wrong("invalid escape sequence", before(text, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        ];
        for (pattern, expected) in cases {
            let error = compile(pattern).expect_err(pattern);
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
            assert!(compile(pattern).is_ok(), "{pattern}: {:?}", compile(pattern));
        }
    }
}
