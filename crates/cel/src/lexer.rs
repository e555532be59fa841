//! From characters to words.

mod quoted;

use quoted::{Of, unescaped};

use crate::ast::Literal;
use crate::source::Problems;

/// A word and where it begins and ends, in characters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub(crate) at: u32,
    pub(crate) end: u32,
    pub(crate) word: Word,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Word {
    Name(String),
    Literal(Literal),
    /// The digits of an integer, whose sign is not known yet.
    Integer(u64),
    Symbol(&'static str),
    /// A name in backquotes
    EscapedName,
    End,
}

/// Why there is no next word.
enum Strange {
    /// From here to the character at `end` nothing is a word.
    Characters { end: usize },
    /// There is one, but no value is what it says.
    Value(&'static str),
}

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// At which character; none if it is the text as a whole.
    pub(crate) at: Option<u32>,
    pub(crate) message: String,
}

impl Problem {
    pub(crate) fn at(at: u32, message: impl Into<String>) -> Self {
        Self { at: Some(at), message: message.into() }
    }

    pub(crate) fn of_all(message: impl Into<String>) -> Self {
        Self { at: None, message: message.into() }
    }
}

const SYMBOLS: [&str; 24] = [
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "(", ")", "[", "]", "{", "}", ".", ",", "?", ":", "+", "-", "*", "/",
    "%", "!",
];

/// What a text is made of.
pub(crate) struct Words {
    /// The last one is [`Word::End`].
    pub(crate) tokens: Vec<Token>,
    /// Characters that belong to no word.
    pub(crate) strange: Problems,
}

/// Splits a text into words.
pub(crate) fn words(text: &str) -> Result<Words, Problems> {
    let characters: Vec<char> = text.chars().collect();
    let mut lexer = Lexer { characters: &characters, position: 0 };
    let mut words = Words { tokens: Vec::new(), strange: Problems::default() };
    loop {
        lexer.skip_blank();
        let at = lexer.position as u32;
        let word = match lexer.word() {
            Ok(word) => word,
            Err(Strange::Characters { end }) => {
                // What was looked at is left out, the character that did not fit as well.
                let end = (end + 1).min(characters.len());
                let shown: String = characters[lexer.position..end].iter().collect();
                let shown = shown.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t");
                let message = format!("Syntax error: token recognition error at: '{shown}'");
                words.strange.push(Problem::at(at, message));
                if words.strange.are_too_many() {
                    return Err(words.strange);
                }
                lexer.position = end;
                continue;
            }
            // It is of the right form, so that reading goes on.
            Err(Strange::Value(what)) => {
                words.strange.push(Problem::at(at, what));
                Word::Literal(Literal::Null)
            }
        };
        let is_end = word == Word::End;
        words.tokens.push(Token { at, end: lexer.position as u32, word });
        if is_end {
            return Ok(words);
        }
    }
}

struct Lexer<'a> {
    characters: &'a [char],
    position: usize,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.characters.get(self.position + ahead).copied()
    }

    fn skip_blank(&mut self) {
        while let Some(character) = self.peek(0) {
            if matches!(character, ' ' | '\t' | '\n' | '\r' | '\u{c}') {
                self.position += 1;
            } else if character == '/' && self.peek(1) == Some('/') {
                while self.peek(0).is_some_and(|character| character != '\n') {
                    self.position += 1;
                }
            } else {
                return;
            }
        }
    }

    /// The next word.
    fn word(&mut self) -> Result<Word, Strange> {
        let Some(first) = self.peek(0) else { return Ok(Word::End) };
        if let Some(word) = self.quoted()? {
            return Ok(word);
        }
        if first.is_ascii_alphabetic() || first == '_' {
            let start = self.position;
            while self.peek(0).is_some_and(|character| character.is_ascii_alphanumeric() || character == '_') {
                self.position += 1;
            }
            let name: String = self.characters[start..self.position].iter().collect();
            return Ok(match name.as_str() {
                "true" => Word::Literal(Literal::Bool(true)),
                "false" => Word::Literal(Literal::Bool(false)),
                "null" => Word::Literal(Literal::Null),
                "in" => Word::Symbol("in"),
                _ => Word::Name(name),
            });
        }
        if first.is_ascii_digit() || (first == '.' && self.peek(1).is_some_and(|next| next.is_ascii_digit())) {
            return self.number();
        }
        for symbol in SYMBOLS {
            if symbol.chars().enumerate().all(|(index, character)| self.peek(index) == Some(character)) {
                self.position += symbol.len();
                return Ok(Word::Symbol(symbol));
            }
        }
        if first == '`' {
            return self.escaped_name();
        }
        // Half of an operator takes the character behind it along.
        let end = self.position + usize::from(matches!(first, '&' | '|' | '='));
        Err(Strange::Characters { end })
    }

    /// A name in backquotes, which upstream reads but does not take.
    fn escaped_name(&mut self) -> Result<Word, Strange> {
        let start = self.position;
        let is_part = |character: &char| character.is_ascii_alphanumeric() || "_.-/ ".contains(*character);
        let length = self.characters[start + 1..].iter().take_while(|character| is_part(character)).count();
        let end = start + 1 + length;
        if length == 0 || self.characters.get(end) != Some(&'`') {
            return Err(Strange::Characters { end });
        }
        self.position = end + 1;
        Ok(Word::EscapedName)
    }

    fn number(&mut self) -> Result<Word, Strange> {
        let start = self.position;
        if self.peek(0) == Some('0') && self.peek(1) == Some('x') && self.peek(2).is_some_and(|c| c.is_ascii_hexdigit())
        {
            self.position += 2;
            while self.peek(0).is_some_and(|character| character.is_ascii_hexdigit()) {
                self.position += 1;
            }
            let digits: String = self.characters[start + 2..self.position].iter().collect();
            return self.integer(u64::from_str_radix(&digits, 16).ok());
        }
        let mut is_double = false;
        self.digits();
        if self.peek(0) == Some('.') && self.peek(1).is_some_and(|next| next.is_ascii_digit()) {
            is_double = true;
            self.position += 1;
            self.digits();
        }
        if matches!(self.peek(0), Some('e' | 'E')) {
            let signed = usize::from(matches!(self.peek(1), Some('+' | '-')));
            if self.peek(1 + signed).is_some_and(|next| next.is_ascii_digit()) {
                is_double = true;
                self.position += 1 + signed;
                self.digits();
            }
        }
        let digits: String = self.characters[start..self.position].iter().collect();
        if is_double {
            let value: Option<f64> = digits.parse().ok().filter(|value: &f64| value.is_finite());
            let value = value.ok_or(Strange::Value("invalid double literal"))?;
            return Ok(Word::Literal(Literal::Double(value)));
        }
        self.integer(digits.parse().ok())
    }

    fn digits(&mut self) {
        while self.peek(0).is_some_and(|character| character.is_ascii_digit()) {
            self.position += 1;
        }
    }

    fn integer(&mut self, value: Option<u64>) -> Result<Word, Strange> {
        let unsigned = matches!(self.peek(0), Some('u' | 'U'));
        if unsigned {
            self.position += 1;
        }
        match value {
            Some(value) if unsigned => Ok(Word::Literal(Literal::Uint(value))),
            Some(value) => Ok(Word::Integer(value)),
            None if unsigned => Err(Strange::Value("invalid uint literal")),
            None => Err(Strange::Value("invalid int literal")),
        }
    }

    /// A string or bytes, if one begins here.
    fn quoted(&mut self) -> Result<Option<Word>, Strange> {
        let bytes = matches!(self.peek(0), Some('b' | 'B'));
        let raw = matches!(self.peek(usize::from(bytes)), Some('r' | 'R'));
        let prefix = usize::from(bytes) + usize::from(raw);
        let Some(quote @ ('"' | '\'')) = self.peek(prefix) else { return Ok(None) };
        let start = self.position + prefix;
        let triple = (1..3).all(|ahead| self.peek(prefix + ahead) == Some(quote));
        let (end, length) = match self.closing(start, quote, triple, raw) {
            Ok(end) => (end, if triple { 3 } else { 1 }),
            // The first two are an empty string.
            Err(_) if triple => (start + 1, 1),
            // The letters before it are a name.
            Err(_) if prefix > 0 => return Ok(None),
            Err(end) => return Err(Strange::Characters { end }),
        };
        self.position = end + length;
        let content = &self.characters[start + length..end];
        if bytes {
            let content = unescaped(content, raw, Of::Bytes).map_err(Strange::Value)?;
            return Ok(Some(Word::Literal(Literal::Bytes(content))));
        }
        let content = unescaped(content, raw, Of::Text).map_err(Strange::Value)?;
        let text = String::from_utf8(content).map_err(|_| Strange::Value("unable to unescape string"))?;
        Ok(Some(Word::Literal(Literal::String(text))))
    }

    /// Where the quotes are that close a string; the error is where it is seen that it is none.
    fn closing(&self, start: usize, quote: char, triple: bool, raw: bool) -> Result<usize, usize> {
        let length = if triple { 3 } else { 1 };
        let mut at = start + length;
        loop {
            let Some(character) = self.characters.get(at).copied() else { return Err(at) };
            if self.characters[at..].iter().take(length).filter(|next| **next == quote).count() == length {
                return Ok(at);
            }
            match character {
                '\n' | '\r' if !triple => return Err(at),
                '\\' if !raw => at = self.behind_escape(at)?,
                _ => at += 1,
            }
        }
    }

    /// What comes behind an escape sequence; the error is where it is seen that it is none.
    fn behind_escape(&self, backslash: usize) -> Result<usize, usize> {
        let kind = backslash + 1;
        let (count, radix) = match self.characters.get(kind) {
            Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '"' | '\'' | '\\' | '?' | '`') => (0, 16),
            Some('x' | 'X') => (2, 16),
            Some('u') => (4, 16),
            Some('U') => (8, 16),
            Some('0'..='3') => (2, 8),
            _ => return Err(kind),
        };
        let is_digit = |at: &usize| self.characters.get(*at).is_some_and(|character| character.is_digit(radix));
        match (kind + 1..=kind + count).find(|at| !is_digit(at)) {
            Some(other) => Err(other),
            None => Ok(kind + 1 + count),
        }
    }
}
