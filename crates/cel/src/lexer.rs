//! From characters to words.

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
    End,
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
            Ok(Some(word)) => word,
            Ok(None) => {
                let message = format!("Syntax error: token recognition error at: '{}'", characters[lexer.position]);
                words.strange.push(Problem::at(at, message));
                if words.strange.are_too_many() {
                    return Err(words.strange);
                }
                lexer.position += 1;
                continue;
            }
            Err(problem) => {
                words.strange.push(problem);
                return Err(words.strange);
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

    fn problem(&self, at: usize, message: impl Into<String>) -> Problem {
        Problem::at(at as u32, message)
    }

    /// The next word; `None` if there is a character that begins none.
    fn word(&mut self) -> Result<Option<Word>, Problem> {
        let Some(first) = self.peek(0) else { return Ok(Some(Word::End)) };
        if let Some(word) = self.quoted()? {
            return Ok(Some(word));
        }
        if first.is_ascii_alphabetic() || first == '_' {
            let start = self.position;
            while self.peek(0).is_some_and(|character| character.is_ascii_alphanumeric() || character == '_') {
                self.position += 1;
            }
            let name: String = self.characters[start..self.position].iter().collect();
            return Ok(Some(match name.as_str() {
                "true" => Word::Literal(Literal::Bool(true)),
                "false" => Word::Literal(Literal::Bool(false)),
                "null" => Word::Literal(Literal::Null),
                "in" => Word::Symbol("in"),
                _ => Word::Name(name),
            }));
        }
        if first.is_ascii_digit() || (first == '.' && self.peek(1).is_some_and(|next| next.is_ascii_digit())) {
            return self.number().map(Some);
        }
        for symbol in SYMBOLS {
            if symbol.chars().enumerate().all(|(index, character)| self.peek(index) == Some(character)) {
                self.position += symbol.len();
                return Ok(Some(Word::Symbol(symbol)));
            }
        }
        Ok(None)
    }

    fn number(&mut self) -> Result<Word, Problem> {
        let start = self.position;
        if self.peek(0) == Some('0') && self.peek(1) == Some('x') && self.peek(2).is_some_and(|c| c.is_ascii_hexdigit())
        {
            self.position += 2;
            while self.peek(0).is_some_and(|character| character.is_ascii_hexdigit()) {
                self.position += 1;
            }
            let digits: String = self.characters[start + 2..self.position].iter().collect();
            return self.integer(start, u64::from_str_radix(&digits, 16).ok());
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
            let value: Option<f64> = digits.parse().ok();
            let value = value.ok_or_else(|| self.problem(start, "invalid double literal"))?;
            return Ok(Word::Literal(Literal::Double(value)));
        }
        self.integer(start, digits.parse().ok())
    }

    fn digits(&mut self) {
        while self.peek(0).is_some_and(|character| character.is_ascii_digit()) {
            self.position += 1;
        }
    }

    fn integer(&mut self, start: usize, value: Option<u64>) -> Result<Word, Problem> {
        let unsigned = matches!(self.peek(0), Some('u' | 'U'));
        if unsigned {
            self.position += 1;
        }
        match value {
            Some(value) if unsigned => Ok(Word::Literal(Literal::Uint(value))),
            Some(value) => Ok(Word::Integer(value)),
            None if unsigned => Err(self.problem(start, "invalid uint literal")),
            None => Err(self.problem(start, "invalid int literal")),
        }
    }

    /// A string or bytes, if one begins here.
    fn quoted(&mut self) -> Result<Option<Word>, Problem> {
        let (mut raw, mut bytes, mut prefix) = (false, false, 0);
        while let Some(character) = self.peek(prefix) {
            match character {
                'r' | 'R' if !raw => raw = true,
                'b' | 'B' if !bytes => bytes = true,
                '"' | '\'' => break,
                _ => return Ok(None),
            }
            prefix += 1;
        }
        let Some(quote) = self.peek(prefix) else { return Ok(None) };
        let start = self.position;
        self.position += prefix;
        let triple = self.peek(1) == Some(quote) && self.peek(2) == Some(quote);
        let length = if triple { 3 } else { 1 };
        self.position += length;
        let mut content: Vec<u8> = Vec::new();
        loop {
            let Some(character) = self.peek(0) else { return Err(self.unclosed(start)) };
            if !triple && matches!(character, '\n' | '\r') {
                return Err(self.unclosed(start));
            }
            if (0..length).all(|ahead| self.peek(ahead) == Some(quote)) {
                self.position += length;
                break;
            }
            self.position += 1;
            if character == '\\' && !raw {
                self.escape(bytes, &mut content)?;
                continue;
            }
            if character == '\r' && self.peek(0) == Some('\n') {
                continue;
            }
            push(&mut content, character);
            if character == '\\'
                && let Some(next) = self.peek(0)
            {
                // In a raw string a backslash keeps the quote after it from ending the string.
                push(&mut content, next);
                self.position += 1;
            }
        }
        if bytes {
            return Ok(Some(Word::Literal(Literal::Bytes(content))));
        }
        let text = String::from_utf8(content).map_err(|_| self.problem(start, "invalid string literal"))?;
        Ok(Some(Word::Literal(Literal::String(text))))
    }

    fn unclosed(&self, start: usize) -> Problem {
        let rest: String = self.characters[start..].iter().take_while(|c| **c != '\n').collect();
        self.problem(start, format!("Syntax error: token recognition error at: '{rest}'"))
    }

    fn escape(&mut self, bytes: bool, content: &mut Vec<u8>) -> Result<(), Problem> {
        let at = self.position;
        let invalid = |lexer: &Self| lexer.problem(at.saturating_sub(1), "Syntax error: invalid escape sequence");
        let kind = self.peek(0).ok_or_else(|| invalid(self))?;
        self.position += 1;
        let simple = match kind {
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'v' => 11,
            '\\' | '\'' | '"' | '`' | '?' => kind as u8,
            _ => 0,
        };
        if simple != 0 {
            content.push(simple);
            return Ok(());
        }
        let (digits, radix) = match kind {
            'x' | 'X' => (2, 16),
            'u' if !bytes => (4, 16),
            'U' if !bytes => (8, 16),
            '0'..='3' => {
                self.position -= 1;
                (3, 8)
            }
            _ => return Err(invalid(self)),
        };
        let mut value = 0;
        for _ in 0..digits {
            let digit = self.peek(0).and_then(|character| character.to_digit(radix)).ok_or_else(|| invalid(self))?;
            value = value * radix + digit;
            self.position += 1;
        }
        if bytes {
            content.push(u8::try_from(value).map_err(|_| invalid(self))?);
        } else {
            push(content, char::from_u32(value).ok_or_else(|| invalid(self))?);
        }
        Ok(())
    }
}

fn push(content: &mut Vec<u8>, character: char) {
    content.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}
