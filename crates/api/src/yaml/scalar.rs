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

/// Where a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Before a colon: on one line, however long that gets.
    Name,
    /// With further lines at this indentation.
    Block(usize),
}

/// Behind so many letters a line ends at the next space.
const WIDTH: usize = 80;

/// Appends a text.
pub(super) fn write(into: &mut String, text: &str, style: Style, place: Place) {
    let mut lines = Lines::behind(into, place);
    match style {
        Style::Plain => lines.plain(text, Quotes::None),
        Style::SingleQuoted => {
            lines.push('\'');
            lines.plain(text, Quotes::Single);
            lines.push('\'');
        }
        Style::DoubleQuoted => lines.double_quoted(text),
        Style::Literal => lines.literal(text),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quotes {
    None,
    Single,
}

/// The lines of a text as they grow.
struct Lines<'a> {
    into: &'a mut String,
    place: Place,
    /// How many letters the last line has.
    column: usize,
}

impl<'a> Lines<'a> {
    fn behind(into: &'a mut String, place: Place) -> Self {
        let column = into.rsplit(is_break).next().map_or(0, |line| line.chars().count());
        Self { into, place, column }
    }

    fn push(&mut self, letter: char) {
        self.into.push(letter);
        self.column = if is_break(letter) { 0 } else { self.column + 1 };
    }

    fn indent(&mut self) {
        if let Place::Block(indent) = self.place {
            (0..indent).for_each(|_| self.push(' '));
        }
    }

    /// Begins a new line if this one is long. It stands for a space.
    fn fold(&mut self) -> bool {
        let is_long = self.place != Place::Name && self.column > WIDTH;
        if is_long {
            self.push('\n');
            self.indent();
        }
        is_long
    }

    fn plain(&mut self, text: &str, quotes: Quotes) {
        let is_quoted = quotes == Quotes::Single;
        let (mut follows_space, mut begins_line) = (false, false);
        let mut letters = text.char_indices().peekable();
        while let Some((at, letter)) = letters.next() {
            let next = letters.peek().map(|(_, next)| *next);
            let is_inside = at > 0 && next.is_some() || !is_quoted;
            let is_lone_space = letter == ' ' && !follows_space && next != Some(' ');
            follows_space = letter == ' ';
            if is_lone_space && is_inside && self.fold() {
                continue;
            }
            if begins_line && !is_break(letter) {
                self.indent();
            }
            begins_line = is_break(letter);
            if is_quoted && letter == '\'' {
                self.push('\'');
            }
            self.push(letter);
        }
    }

    fn literal(&mut self, text: &str) {
        self.push('|');
        if text.starts_with(|letter| letter == ' ' || is_break(letter)) {
            super::INDENT.to_string().chars().for_each(|digit| self.push(digit));
        }
        // How many line breaks at the end belong to the text: none, one, or all that there are.
        let ending = text.chars().rev().take_while(|letter| is_break(*letter)).count();
        match ending {
            0 => self.push('-'),
            1 if text.chars().count() > 1 => {}
            _ => self.push('+'),
        }
        self.push('\n');
        let mut begins_line = true;
        for letter in text.chars() {
            if begins_line && !is_break(letter) {
                self.indent();
            }
            begins_line = is_break(letter);
            self.push(letter);
        }
    }

    fn double_quoted(&mut self, text: &str) {
        self.push('"');
        let mut follows_space = false;
        let mut letters = text.char_indices().peekable();
        while let Some((at, letter)) = letters.next() {
            let next = letters.peek().map(|(_, next)| *next);
            let may_fold = letter == ' ' && !follows_space && at > 0 && next.is_some();
            follows_space = letter == ' ';
            if may_fold && self.fold() {
                if next == Some(' ') {
                    self.push('\\');
                }
                continue;
            }
            match escape(letter) {
                Some(escape) => escape.chars().for_each(|letter| self.push(letter)),
                None => self.push(letter),
            }
        }
        self.push('"');
    }
}

/// How a letter is written that cannot stand between double quotes.
fn escape(letter: char) -> Option<String> {
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
        letter if is_printable(letter) => return None,
        letter => {
            let code = u32::from(letter);
            return Some(match code {
                0..=0xff => format!("\\x{code:02X}"),
                0x100..=0xffff => format!("\\u{code:04X}"),
                _ => format!("\\U{code:08X}"),
            });
        }
    };
    Some(format!("\\{short}"))
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
