//! Texts and numbers in YAML.

use serde_json::Number;

use crate::go_text;

mod plain;

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    SingleQuoted,
    DoubleQuoted,
    /// In lines of its own.
    Literal,
}

impl Style {
    pub(super) fn of(text: &str) -> Self {
        let shape = Shape::of(text);
        if text.contains('\n') {
            return if shape.is_literal { Self::Literal } else { Self::DoubleQuoted };
        }
        if !plain::is_text(text) || !shape.is_single_quoted {
            return Self::DoubleQuoted;
        }
        if shape.is_plain { Self::Plain } else { Self::SingleQuoted }
    }
}

/// Which styles keep a text as it is.
struct Shape {
    is_plain: bool,
    is_single_quoted: bool,
    is_literal: bool,
}

impl Shape {
    fn of(text: &str) -> Self {
        let special = text.chars().any(|letter| !is_printable(letter));
        let pairs = || text.chars().zip(text.chars().skip(1));
        let space_before_break = pairs().any(|(one, next)| one == ' ' && is_break(next));
        let space_behind_break = pairs().any(|(one, next)| is_break(one) && next == ' ');
        let at_edge = |matches: fn(char) -> bool| text.starts_with(matches) || text.ends_with(matches);
        let is_kept = !special && !space_before_break;
        let is_single_quoted = is_kept && !space_behind_break;
        let is_plain = is_single_quoted
            && !at_edge(|letter| letter == ' ' || is_break(letter))
            && !has_breaks(text)
            && !has_indicators(text);
        Self { is_plain, is_single_quoted, is_literal: is_kept && !text.ends_with(' ') }
    }
}

/// Whether a part of a text means something to those who read YAML.
fn has_indicators(text: &str) -> bool {
    if text.starts_with("---") || text.starts_with("...") {
        return true;
    }
    let mut previous = ' ';
    let mut letters = text.chars().peekable();
    let mut is_first = true;
    while let Some(letter) = letters.next() {
        let ends_word = letters.peek().is_none_or(|next| matches!(next, ' ' | '\t'));
        let found = match letter {
            '?' | '-' => is_first && ends_word,
            ':' => ends_word,
            '#' => matches!(previous, ' ' | '\t' | '\0') || is_break(previous),
            ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' => is_first,
            _ => false,
        };
        if found {
            return true;
        }
        (previous, is_first) = (letter, false);
    }
    false
}

fn is_break(letter: char) -> bool {
    matches!(letter, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

pub(super) fn has_breaks(text: &str) -> bool {
    text.contains(is_break)
}

/// What may stand without an escape. Upstream's library counts nothing beyond the first plane to it.
fn is_printable(letter: char) -> bool {
    matches!(letter, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

/// Appends a text; what needs lines of its own has them at this indentation.
pub(super) fn write(into: &mut String, text: &str, style: Style, indent: usize) {
    match style {
        Style::Plain => into.push_str(text),
        Style::SingleQuoted => {
            into.push('\'');
            lines(into, &text.replace('\'', "''"), indent, false);
            into.push('\'');
        }
        Style::DoubleQuoted => double_quoted(into, text),
        Style::Literal => {
            into.push('|');
            if text.starts_with(|letter| letter == ' ' || is_break(letter)) {
                into.push_str(&super::INDENT.to_string());
            }
            // How many line breaks at the end belong to the text: none, one, or all that there are.
            let ending = text.chars().rev().take_while(|letter| is_break(*letter)).count();
            match ending {
                0 => into.push('-'),
                1 if text.chars().count() > 1 => {}
                _ => into.push('+'),
            }
            into.push('\n');
            lines(into, text, indent, true);
        }
    }
}

/// Appends lines, of which those that are not empty are indented.
fn lines(into: &mut String, text: &str, indent: usize, mut begins_line: bool) {
    for letter in text.chars() {
        if !is_break(letter) && begins_line {
            into.extend(std::iter::repeat_n(' ', indent));
        }
        begins_line = is_break(letter);
        into.push(letter);
    }
}

fn double_quoted(into: &mut String, text: &str) {
    into.push('"');
    for letter in text.chars() {
        let short = match letter {
            '\0' => '0',
            '\x07' => 'a',
            '\x08' => 'b',
            '\t' => 't',
            '\n' => 'n',
            '\x0b' => 'v',
            '\x0c' => 'f',
            '\r' => 'r',
            '\x1b' => 'e',
            '"' => '"',
            '\\' => '\\',
            '\u{85}' => 'N',
            '\u{2028}' => 'L',
            '\u{2029}' => 'P',
            letter if is_printable(letter) => {
                into.push(letter);
                continue;
            }
            letter => {
                let code = u32::from(letter);
                into.push_str(&match code {
                    0..=0xff => format!("\\x{code:02X}"),
                    0x100..=0xffff => format!("\\u{code:04X}"),
                    _ => format!("\\U{code:08X}"),
                });
                continue;
            }
        };
        into.extend(['\\', short]);
    }
    into.push('"');
}

/// A number as Go writes it: without a fraction if it has none, with an exponent if that is far from zero.
pub(super) fn number(number: &Number) -> String {
    let Some(float) = number.as_f64().filter(|_| number.is_f64()) else { return number.to_string() };
    // Numbers pass through JSON first, where those without a fraction are written as whole ones.
    if float.fract() == 0.0 && float > i64::MIN as f64 && float < u64::MAX as f64 {
        return (float as i128).to_string();
    }
    go_text::float(float)
}
