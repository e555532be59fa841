//! What stands behind a backslash.

use super::class::NOTHING;
use super::{Checked, before, first, unicode, wrong};

/// What it means.
pub(super) enum Escaped {
    /// A class, as the engine writes it.
    Class(String),
    /// A character by its number; Go counts surrogates too, which no text has.
    Character(u32),
}

impl Escaped {
    /// For the engine, alone or within a class.
    pub(super) fn as_operand(&self) -> String {
        match self {
            Self::Class(class) => class.clone(),
            Self::Character(character) => match char::from_u32(*character) {
                Some(character) => regex::escape(character.encode_utf8(&mut [0; 4])),
                None => NOTHING.to_owned(),
            },
        }
    }
}

/// Characters from one to another as a class of the engine has them.
pub(super) fn range(low: u32, high: u32) -> String {
    const SURROGATES: std::ops::RangeInclusive<u32> = 0xD800..=0xDFFF;
    let low = if SURROGATES.contains(&low) { SURROGATES.end() + 1 } else { low };
    let high = if SURROGATES.contains(&high) { SURROGATES.start() - 1 } else { high };
    if low > high { String::new() } else { format!(r"\x{{{low:X}}}-\x{{{high:X}}}") }
}

/// A class or a character behind a backslash; and what comes behind it.
pub(super) fn read(text: &str) -> Checked<'_, (Escaped, &str)> {
    let class = |class: &str| Escaped::Class(class.to_owned());
    match first(&text[1..]) {
        Some(('d', after)) => Ok((class("[0-9]"), after)),
        Some(('D', after)) => Ok((class("[^0-9]"), after)),
        Some(('s', after)) => Ok((class(r"[\t\n\f\r ]"), after)),
        Some(('S', after)) => Ok((class(r"[^\t\n\f\r ]"), after)),
        Some(('w', after)) => Ok((class("[0-9A-Za-z_]"), after)),
        Some(('W', after)) => Ok((class("[^0-9A-Za-z_]"), after)),
        Some((sign @ ('p' | 'P'), after)) => unicode_class(text, sign, after),
        _ => character(text).map(|(character, after)| (Escaped::Character(character), after)),
    }
}

/// `\pL`, `\p{Greek}` or `\p{^Greek}`.
fn unicode_class<'p>(text: &'p str, sign: char, after: &'p str) -> Checked<'p, (Escaped, &'p str)> {
    let Some((begin, behind)) = first(after) else { return wrong("invalid escape sequence", text) };
    let (name, after) = match begin {
        '{' => match behind.split_once('}') {
            Some(found) => found,
            None => return wrong("invalid character class range", text),
        },
        _ => (before(after, behind), behind),
    };
    let (is_negative, name) = match name.strip_prefix('^') {
        Some(name) => (sign == 'p', name),
        None => (sign == 'P', name),
    };
    match unicode::class(name, is_negative) {
        Some(class) => Ok((Escaped::Class(class), after)),
        None => wrong("invalid character class range", before(text, after)),
    }
}

/// A character behind a backslash; and what comes behind it.
pub(super) fn character(text: &str) -> Checked<'_, (u32, &str)> {
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
            return Ok((value, rest));
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
                    return Ok((value, rest));
                }
                let Some(digit) = digit.to_digit(16) else { break };
                value = value * 16 + digit;
                if !in_braces && digits == 1 {
                    return Ok((value, rest));
                }
                if value > u32::from(char::MAX) {
                    break;
                }
            }
        }
        'a' => return Ok((0x07, rest)),
        'f' => return Ok((0x0C, rest)),
        'n' => return Ok((0x0A, rest)),
        'r' => return Ok((0x0D, rest)),
        't' => return Ok((0x09, rest)),
        'v' => return Ok((0x0B, rest)),
        kind if kind.is_ascii() && !kind.is_ascii_alphanumeric() => return Ok((kind.into(), rest)),
        _ => {}
    }
    wrong("invalid escape sequence", before(text, rest))
}
