//! Classes: `[a-z\d[:alpha:]]`.

use super::escape::{self, Escaped};
use super::{Checked, before, first, wrong};

const NAMES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];

/// What no character is in.
pub(super) const NOTHING: &str = r"[^\x00-\x{10FFFF}]";

/// What all characters are in.
pub(super) const ANYTHING: &str = r"[\x00-\x{10FFFF}]";

/// The end of a name within a class.
pub(super) const NAME_END: &str = ":]";

/// `[...]` for the engine; and what comes behind it. Behind `last_name` nothing is the end of a name any more: looking
/// for it again and again would take its time.
pub(super) fn translated<'p>(text: &'p str, last_name: &str) -> Checked<'p, (String, &'p str)> {
    let mut rest = &text[1..];
    let mut members = String::new();
    let is_negative = rest.starts_with('^');
    rest = rest.strip_prefix('^').unwrap_or(rest);
    let mut is_first = true;
    while is_first || !rest.starts_with(']') {
        is_first = false;
        let named = rest.strip_prefix("[:").filter(|inside| inside.len() > last_name.len());
        if let Some((name, after)) = named.and_then(|inside| inside.split_once(NAME_END)) {
            if !NAMES.contains(&name.strip_prefix('^').unwrap_or(name)) {
                return wrong("invalid character class range", before(rest, after));
            }
            members.push_str(before(rest, after));
            rest = after;
            continue;
        }
        let range = rest;
        let (low, after) = member(rest, text)?;
        rest = after;
        let Escaped::Character(low) = low else {
            members.push_str(&low.as_operand());
            continue;
        };
        let mut high = low;
        if let Some(after) = rest.strip_prefix('-').filter(|after| !after.is_empty() && !after.starts_with(']')) {
            let after = if after.starts_with('\\') {
                let (character, after) = escape::character(after)?;
                high = character;
                after
            } else {
                let Some((character, after)) = first(after) else { return wrong("missing closing ]", text) };
                high = u32::from(character);
                after
            };
            if high < low {
                return wrong("invalid character class range", before(range, after));
            }
            rest = after;
        }
        members.push_str(&escape::range(low, high));
    }
    if members.is_empty() {
        members.push_str(NOTHING);
    }
    let sign = if is_negative { "^" } else { "" };
    Ok((format!("[{sign}{members}]"), &rest[1..]))
}

/// A character of a class, or a class within it.
fn member<'p>(rest: &'p str, whole: &'p str) -> Checked<'p, (Escaped, &'p str)> {
    match first(rest) {
        None => wrong("missing closing ]", whole),
        Some(('\\', _)) => escape::read(rest),
        Some((character, after)) => Ok((Escaped::Character(character.into()), after)),
    }
}
