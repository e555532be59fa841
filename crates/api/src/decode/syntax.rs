//! Why bytes are not JSON, in the words of the decoder that clients know from upstream.

/// What is being read inside an object or list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    Object,
    List,
}

/// How deep upstream reads.
const DEEPEST: usize = 10_000;

/// The first problem, in the words of Go's library; `None` if the bytes are one JSON value, of whatever size and as deep
/// as upstream reads.
pub fn problem(body: &[u8]) -> Option<String> {
    let mut scanner = Scanner { body, position: 0 };
    scanner.document().err().map(|problem| match problem {
        Problem::End => "unexpected end of JSON input".to_owned(),
        Problem::Byte(byte, context) => format!("invalid character {} {context}", quoted(byte)),
    })
}

enum Problem {
    End,
    Byte(u8, String),
}

struct Scanner<'a> {
    body: &'a [u8],
    position: usize,
}

impl Scanner<'_> {
    fn document(&mut self) -> Result<(), Problem> {
        let mut stack: Vec<Inside> = Vec::new();
        loop {
            // A value is due.
            let begin = self.visible()?;
            if matches!(begin, b'{' | b'[') && stack.len() >= DEEPEST {
                return Err(Problem::Byte(begin, "exceeded max depth".into()));
            }
            match begin {
                b'{' => {
                    self.position += 1;
                    if self.visible()? == b'}' {
                        self.position += 1;
                    } else {
                        stack.push(Inside::Object);
                        self.key()?;
                        continue;
                    }
                }
                b'[' => {
                    self.position += 1;
                    if self.visible()? == b']' {
                        self.position += 1;
                    } else {
                        stack.push(Inside::List);
                        continue;
                    }
                }
                _ => self.scalar()?,
            }
            // A value is complete: what surrounds it goes on or ends.
            loop {
                let Some(inside) = stack.last().copied() else {
                    return match self.visible() {
                        Err(_) => Ok(()),
                        Ok(byte) => Err(Problem::Byte(byte, "after top-level value".into())),
                    };
                };
                let byte = self.visible()?;
                match (inside, byte) {
                    (_, b',') => {
                        self.position += 1;
                        if inside == Inside::Object {
                            self.key()?;
                        }
                        break;
                    }
                    (Inside::Object, b'}') | (Inside::List, b']') => {
                        self.position += 1;
                        stack.pop();
                    }
                    (Inside::Object, _) => return Err(Problem::Byte(byte, "after object key:value pair".into())),
                    (Inside::List, _) => return Err(Problem::Byte(byte, "after array element".into())),
                }
            }
        }
    }

    fn key(&mut self) -> Result<(), Problem> {
        match self.visible()? {
            b'"' => self.string()?,
            byte => return Err(Problem::Byte(byte, "looking for beginning of object key string".into())),
        }
        match self.visible()? {
            b':' => self.position += 1,
            byte => return Err(Problem::Byte(byte, "after object key".into())),
        }
        Ok(())
    }

    fn scalar(&mut self) -> Result<(), Problem> {
        match self.visible()? {
            b'"' => self.string(),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            b'-' | b'0'..=b'9' => self.number(),
            byte => Err(Problem::Byte(byte, "looking for beginning of value".into())),
        }
    }

    fn literal(&mut self, word: &str) -> Result<(), Problem> {
        for expected in word.bytes() {
            match self.next()? {
                byte if byte == expected => {}
                byte => {
                    let expected = quoted(expected);
                    return Err(Problem::Byte(byte, format!("in literal {word} (expecting {expected})")));
                }
            }
        }
        Ok(())
    }

    fn string(&mut self) -> Result<(), Problem> {
        self.position += 1;
        loop {
            match self.next()? {
                b'"' => return Ok(()),
                b'\\' => match self.next()? {
                    b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => {}
                    b'u' => {
                        for _ in 0..4 {
                            let byte = self.next()?;
                            if !byte.is_ascii_hexdigit() {
                                return Err(Problem::Byte(byte, "in \\u hexadecimal character escape".into()));
                            }
                        }
                    }
                    byte => return Err(Problem::Byte(byte, "in string escape code".into())),
                },
                byte if byte < 0x20 => return Err(Problem::Byte(byte, "in string literal".into())),
                _ => {}
            }
        }
    }

    fn number(&mut self) -> Result<(), Problem> {
        let mut digit = self.next()?;
        if digit == b'-' {
            digit = self.next()?;
            if !digit.is_ascii_digit() {
                return Err(Problem::Byte(digit, "in numeric literal".into()));
            }
        }
        if digit != b'0' {
            self.digits();
        }
        if self.peek() == Some(b'.') {
            self.position += 1;
            self.digit("after decimal point in numeric literal")?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.position += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.position += 1;
            }
            self.digit("in exponent of numeric literal")?;
        }
        Ok(())
    }

    fn digit(&mut self, context: &str) -> Result<(), Problem> {
        let byte = self.next()?;
        if !byte.is_ascii_digit() {
            return Err(Problem::Byte(byte, context.into()));
        }
        self.digits();
        Ok(())
    }

    fn digits(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.position += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.body.get(self.position).copied()
    }

    fn next(&mut self) -> Result<u8, Problem> {
        let byte = self.peek().ok_or(Problem::End)?;
        self.position += 1;
        Ok(byte)
    }

    /// The next byte that is no space; it stays.
    fn visible(&mut self) -> Result<u8, Problem> {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
            self.position += 1;
        }
        self.peek().ok_or(Problem::End)
    }
}

/// A byte as upstream shows it.
fn quoted(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".into(),
        b'"' => "'\"'".into(),
        b'\\' => r"'\\'".into(),
        b'\n' => r"'\n'".into(),
        b'\r' => r"'\r'".into(),
        b'\t' => r"'\t'".into(),
        0x07 => r"'\a'".into(),
        0x08 => r"'\b'".into(),
        0x0b => r"'\v'".into(),
        0x0c => r"'\f'".into(),
        0x20..=0x7e => format!("'{}'", byte as char),
        0..=0x1f | 0x7f => format!("'\\x{byte:02x}'"),
        0x80..=0xa0 | 0xad => format!("'\\u00{byte:02x}'"),
        _ => format!("'{}'", byte as char),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_told_as_upstream_tells_them() {
        let cases: [(&str, Option<&str>); 28] = [
            ("{\"a\": [1, -0.5e+3, true, null, \"\\u00e4\\n\"], \"b\": {}} ", None),
            ("", Some("unexpected end of JSON input")),
            ("{\"data\":", Some("unexpected end of JSON input")),
            ("[", Some("unexpected end of JSON input")),
            ("\"", Some("unexpected end of JSON input")),
            ("-", Some("unexpected end of JSON input")),
            ("tru", Some("unexpected end of JSON input")),
            ("<a/>", Some("invalid character '<' looking for beginning of value")),
            ("\u{1f}", Some("invalid character '\\x1f' looking for beginning of value")),
            ("{a", Some("invalid character 'a' looking for beginning of object key string")),
            ("{\"a\":1,}", Some("invalid character '}' looking for beginning of object key string")),
            ("{\"a\" 1", Some("invalid character '1' after object key")),
            ("{\"a\":1 2", Some("invalid character '2' after object key:value pair")),
            ("{\"a\":1]", Some("invalid character ']' after object key:value pair")),
            ("[1 2", Some("invalid character '2' after array element")),
            ("[1,]", Some("invalid character ']' looking for beginning of value")),
            ("{} x", Some("invalid character 'x' after top-level value")),
            ("01", Some("invalid character '1' after top-level value")),
            ("trux", Some("invalid character 'x' in literal true (expecting 'e')")),
            ("\"\n\"", Some("invalid character '\\n' in string literal")),
            ("\"\\x\"", Some("invalid character 'x' in string escape code")),
            ("\"\\u12g\"", Some("invalid character 'g' in \\u hexadecimal character escape")),
            ("-a", Some("invalid character 'a' in numeric literal")),
            ("1.x", Some("invalid character 'x' after decimal point in numeric literal")),
            ("1e+x", Some("invalid character 'x' in exponent of numeric literal")),
            ("{'a':1}", Some("invalid character '\\'' looking for beginning of object key string")),
            ("[\"a\"\"b\"]", Some("invalid character '\"' after array element")),
            ("kind: Pod", Some("invalid character 'k' looking for beginning of value")),
        ];
        for (body, expected) in cases {
            assert_eq!(problem(body.as_bytes()).as_deref(), expected, "{body}");
        }
    }
}
