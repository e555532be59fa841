//! Regular expressions as Go's package `regexp` reads them.
//!
//! The engine here speaks nearly the same language. An expression is read as Go reads it, refused in Go's words, and
//! written again so that the engine does what Go's would: classes such as `\d` are those of ASCII, a brace that begins
//! no count is one, and nothing in a class means anything that Go does not know.
//!
//! Syntax: <https://pkg.go.dev/regexp/syntax>

use std::fmt::Write as _;

use regex::{Regex, RegexBuilder};

mod class;
mod escape;
#[cfg(test)]
mod tests;
mod unicode;

/// Most repetitions, those of repetitions within repetitions multiplied.
const MOST: u64 = 1000;

/// Most groups within each other.
const MOST_DEPTH: usize = 999;

/// Most classes with a name of Unicode: the engine keeps a copy of all characters of each while it compiles.
const MOST_CLASSES: usize = 10_000;

/// Bytes that matching may remember at a time.
const CACHE: usize = 1 << 20;

/// Compiles an expression that takes at most so many bytes.
///
/// Its groups are not numbered or named: only whole matches can be asked for.
///
/// # Errors
/// It is none, in Go's words.
pub fn compile(pattern: &str, most_bytes: usize) -> Result<Regex, String> {
    built(pattern, most_bytes, "(?:")
}

/// The same whose groups can be asked for, by their numbers.
///
/// # Errors
/// It is none, in Go's words.
pub fn compile_with_groups(pattern: &str, most_bytes: usize) -> Result<Regex, String> {
    built(pattern, most_bytes, "(")
}

fn built(pattern: &str, most_bytes: usize, group: &'static str) -> Result<Regex, String> {
    let refused = |Wrong { what, place }: Wrong<'_>| format!("error parsing regexp: {what}: `{place}`");
    let translated = translated(pattern, group).map_err(refused)?;
    if [r"\p{", r"\P{"].iter().map(|class| translated.matches(class).count()).sum::<usize>() > MOST_CLASSES {
        return Err(refused(Wrong { what: "expression too large", place: pattern }));
    }
    let limit = u32::try_from(2 * MOST_DEPTH).unwrap_or(u32::MAX);
    let mut builder = RegexBuilder::new(&translated);
    let built = builder.size_limit(most_bytes).dfa_size_limit(CACHE).nest_limit(limit).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => refused(Wrong { what: "expression too large", place: pattern }),
        error => error.to_string(),
    })
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
    /// Where it begins in the output.
    start: usize,
}

impl Group {
    fn push(&mut self, repeats: u64) {
        self.operand = Some(repeats);
        self.most = self.most.max(repeats);
    }
}

/// An expression as it is written for the engine.
#[derive(Default)]
struct Output {
    text: String,
    /// Flags that hold from the next operand on: a repetition that comes before it is of the operand before them.
    flags: String,
    /// Where the last operand begins.
    operand: usize,
    /// Whether it has a repetition already.
    is_repeated: bool,
    /// How many operands were put into a group of their own.
    wrapped: usize,
    /// How a group begins that Go numbers.
    group: &'static str,
}

impl Output {
    fn add(&mut self, text: &str) {
        self.text.push_str(&std::mem::take(&mut self.flags));
        self.operand = self.text.len();
        self.is_repeated = false;
        self.text.push_str(text);
    }

    /// Characters that mean themselves.
    fn literal(&mut self, text: &str) {
        text.chars().for_each(|character| self.add(&regex::escape(character.encode_utf8(&mut [0; 4]))));
    }

    fn open(&mut self, head: &str) -> Group {
        self.add(head);
        Group { start: self.operand, ..Group::default() }
    }

    fn close(&mut self, group: &Group) {
        self.add(")");
        self.operand = group.start;
    }

    /// A repetition of the last operand. A second one, which something without a meaning keeps apart from the first,
    /// is of both: right behind it, it would mean something else.
    fn repetition(&mut self, text: &str) {
        if self.is_repeated {
            self.text.insert_str(self.operand, "(?:");
            self.text.push(')');
            self.wrapped += 1;
        }
        self.text.push_str(text);
        self.is_repeated = true;
    }
}

/// The expression as the engine reads it; `group` is how its groups begin.
fn translated<'p>(pattern: &'p str, group: &'static str) -> Checked<'p, String> {
    let mut groups = vec![Group::default()];
    let mut output = Output { group, ..Output::default() };
    let mut rest = pattern;
    let last_name = pattern.rfind(class::NAME_END).map_or(pattern, |at| &pattern[at + class::NAME_END.len()..]);
    // The repetition right before, which may not be repeated itself.
    let mut last = "";
    while let Some((character, after)) = first(rest) {
        let group = groups.last_mut().expect("the outermost stays");
        let mut this = "";
        match character {
            '(' if after.starts_with('?') => {
                let (opened, behind) = flags(rest, &mut output)?;
                groups.extend(opened);
                rest = behind;
            }
            '(' => {
                groups.push(output.open(output.group));
                rest = after;
            }
            '|' => {
                group.operand = None;
                output.add("|");
                rest = after;
            }
            ')' => {
                let inner = groups.pop().expect("there is one");
                let Some(outer) = groups.last_mut() else { return wrong("unexpected )", pattern) };
                outer.push(inner.most.max(1));
                output.close(&inner);
                rest = after;
            }
            '[' => {
                let (translated, behind) = class::translated(rest, last_name)?;
                output.add(&translated);
                group.push(1);
                rest = behind;
            }
            '*' | '+' | '?' => {
                this = rest;
                rest = repeat(group, rest, after, last)?;
                output.repetition(before(this, rest));
            }
            '{' => match count(rest) {
                None => {
                    group.push(1);
                    output.literal("{");
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
                    output.repetition(before(this, rest));
                }
            },
            '\\' => {
                rest = match first(after) {
                    Some(('Q', quoted)) => {
                        let (text, behind) = quoted.split_once("\\E").unwrap_or((quoted, ""));
                        if !text.is_empty() {
                            output.literal(text);
                            group.push(1);
                        }
                        behind
                    }
                    Some((anchor @ ('A' | 'b' | 'B' | 'z'), behind)) => {
                        group.push(1);
                        match anchor {
                            'b' | 'B' => output.add(&format!("(?-u:\\{anchor})")),
                            _ => output.add(&format!("\\{anchor}")),
                        }
                        behind
                    }
                    Some(('C', behind)) => return wrong("invalid escape sequence", before(rest, behind)),
                    _ => {
                        let (escaped, behind) = escape::read(rest)?;
                        group.push(1);
                        output.add(&escaped.as_operand());
                        behind
                    }
                };
            }
            '.' | '^' | '$' => {
                group.push(1);
                output.add(before(rest, after));
                rest = after;
            }
            _ => {
                group.push(1);
                output.literal(before(rest, after));
                rest = after;
            }
        }
        if groups.len() + output.wrapped > MOST_DEPTH {
            return wrong("expression nests too deeply", pattern);
        }
        last = this;
    }
    if groups.len() > 1 { wrong("missing closing )", pattern) } else { Ok(output.text) }
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
    let (least, after) = number(text.strip_prefix('{')?)?;
    if let Some(after) = after.strip_prefix('}') {
        return Some((least, Some(least), after));
    }
    let after = after.strip_prefix(',')?;
    if let Some(after) = after.strip_prefix('}') {
        return Some((least, None, after));
    }
    let (most, after) = number(after)?;
    Some((least, Some(most), after.strip_prefix('}')?))
}

/// A number as counts have them, and what comes after it.
fn number(text: &str) -> Option<(u64, &str)> {
    let after = text.trim_start_matches(|digit: char| digit.is_ascii_digit());
    let digits = before(text, after);
    let is_number = digits == "0" || !digits.is_empty() && !digits.starts_with('0');
    // Larger ones are too large whatever they are.
    is_number.then(|| (digits.parse().unwrap_or(u64::MAX), after))
}

/// `(?` and what it begins: a group, if it is one, and what comes behind its head.
fn flags<'p>(text: &'p str, output: &mut Output) -> Checked<'p, (Option<Group>, &'p str)> {
    let name = text.strip_prefix("(?P<").or_else(|| text.strip_prefix("(?<")).filter(|name| !name.is_empty());
    if let Some(name) = name {
        let Some((name, after)) = name.split_once('>') else { return wrong("invalid named capture", text) };
        let is_name = !name.is_empty() && name.chars().all(|letter| letter == '_' || letter.is_ascii_alphanumeric());
        if !is_name {
            return wrong("invalid named capture", before(text, after));
        }
        return Ok((Some(output.open(output.group)), after));
    }
    let (mut rest, mut is_negative, mut is_empty) = (&text[2..], false, true);
    let (mut set, mut cleared) = (String::new(), String::new());
    while let Some((character, after)) = first(rest) {
        rest = after;
        match character {
            'i' | 'm' | 's' | 'U' => {
                // What is said last holds.
                set.retain(|flag| flag != character);
                cleared.retain(|flag| flag != character);
                if is_negative { &mut cleared } else { &mut set }.push(character);
                is_empty = false;
            }
            '-' if !is_negative => (is_negative, is_empty) = (true, true),
            ':' | ')' if !(is_negative && is_empty) => {
                let minus = if cleared.is_empty() { "" } else { "-" };
                if character == ':' {
                    return Ok((Some(output.open(&format!("(?{set}{minus}{cleared}:"))), rest));
                }
                if !(set.is_empty() && cleared.is_empty()) {
                    // Writing to a `String` cannot fail.
                    let _ = write!(output.flags, "(?{set}{minus}{cleared})");
                }
                return Ok((None, rest));
            }
            _ => break,
        }
    }
    wrong("invalid or unsupported Perl syntax", before(text, rest))
}
