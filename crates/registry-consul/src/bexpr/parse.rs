//! From text to expression: recursive descent over the reference grammar.

use super::{DEEPEST, Expression, Operator};

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    too_deep: bool,
    /// The furthest place that was reached, and what was expected there.
    furthest: (usize, &'static str),
}

type Parsed<T> = Result<T, ()>;

/// Reads an expression; the error says where it stopped to make sense.
pub(super) fn parse(text: &str) -> Result<Expression, String> {
    let mut parser = Parser { text, at: 0, depth: 0, too_deep: false, furthest: (0, "an expression") };
    parser.space();
    let parsed = parser.or().and_then(|expression| {
        parser.space();
        if parser.at == text.len() { Ok(expression) } else { parser.expected("\"and\", \"or\" or the end") }
    });
    parsed.map_err(|()| {
        let (at, what) = parser.furthest;
        if parser.too_deep {
            return format!("nested deeper than {DEEPEST} levels");
        }
        let before = &text[..at];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!("{line}:{column} ({at}): no match found, expected: {what}")
    })
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn expected<T>(&mut self, what: &'static str) -> Parsed<T> {
        if self.at >= self.furthest.0 {
            self.furthest = (self.at, what);
        }
        Err(())
    }

    /// Skips white space; whether there was any.
    fn space(&mut self) -> bool {
        let rest = self.rest();
        let skipped = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
        self.at += skipped;
        skipped > 0
    }

    fn symbol(&mut self, symbol: &str) -> bool {
        let found = self.rest().starts_with(symbol);
        if found {
            self.at += symbol.len();
        }
        found
    }

    /// A word that ends where it ends.
    fn word(&mut self, word: &str) -> bool {
        let ends = |rest: &str| !rest.starts_with(|next: char| next.is_ascii_alphanumeric() || "_./[".contains(next));
        let found = self.rest().strip_prefix(word).is_some_and(ends);
        if found {
            self.at += word.len();
        }
        found
    }

    /// Several words with white space between; stays where it is if they are not all there.
    fn words(&mut self, words: &[&str]) -> bool {
        let start = self.at;
        for (number, word) in words.iter().enumerate() {
            if (number > 0 && !self.space()) || !self.word(word) {
                self.at = start;
                return false;
            }
        }
        true
    }

    /// Something one level deeper.
    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth == DEEPEST {
            self.too_deep = true;
            return Err(());
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn or(&mut self) -> Parsed<Expression> {
        self.joined("or", Self::and, Expression::Or)
    }

    fn and(&mut self) -> Parsed<Expression> {
        self.joined("and", Self::not, Expression::And)
    }

    fn joined(
        &mut self,
        word: &'static str,
        part: fn(&mut Self) -> Parsed<Expression>,
        join: fn(Vec<Expression>) -> Expression,
    ) -> Parsed<Expression> {
        let mut parts = vec![part(self)?];
        loop {
            let start = self.at;
            self.space();
            if !self.word(word) {
                self.at = start;
                break;
            }
            self.space();
            parts.push(part(self)?);
        }
        Ok(if parts.len() == 1 { parts.swap_remove(0) } else { join(parts) })
    }

    fn not(&mut self) -> Parsed<Expression> {
        let start = self.at;
        if self.word("not") {
            self.space();
            // `not in X` cannot begin an expression, but a selector may be called `not`.
            match self.deeper(Self::not) {
                Ok(Expression::Not(inner)) => return Ok(*inner),
                Ok(inner) => return Ok(Expression::Not(Box::new(inner))),
                Err(()) if self.too_deep => return Err(()),
                Err(()) => self.at = start,
            }
        }
        self.parenthesis()
    }

    fn parenthesis(&mut self) -> Parsed<Expression> {
        if self.symbol("(") {
            self.space();
            let inner = self.deeper(Self::or)?;
            self.space();
            return if self.symbol(")") { Ok(inner) } else { self.expected("\")\"") };
        }
        for (word, all) in [("any", false), ("all", true)] {
            let start = self.at;
            if self.words(&[word]) {
                if self.space()
                    && let Ok(collection) = self.collection(all)
                {
                    return Ok(collection);
                }
                if self.too_deep {
                    return Err(());
                }
                self.at = start;
            }
        }
        self.comparison()
    }

    fn collection(&mut self, all: bool) -> Parsed<Expression> {
        let selector = self.selector()?;
        if !(self.space() && self.words(&["as"]) && self.space()) {
            return self.expected("\"as\"");
        }
        let mut bindings = vec![self.identifier()?];
        self.space();
        if self.symbol(",") {
            self.space();
            bindings.push(self.identifier()?);
            self.space();
        }
        if !self.symbol("{") {
            return self.expected("\"{\"");
        }
        self.space();
        let body = self.deeper(Self::or)?;
        self.space();
        if !self.symbol("}") {
            return self.expected("\"}\"");
        }
        Ok(Expression::Collection { all, selector, bindings, body: Box::new(body) })
    }

    fn comparison(&mut self) -> Parsed<Expression> {
        let start = self.at;
        if let Ok(selector) = self.selector()
            && let Ok(found) = self.after_selector(selector)
        {
            return Ok(found);
        }
        self.at = start;
        let value = self.value()?;
        self.space();
        let operator = if self.words(&["in"]) {
            Operator::In
        } else if self.words(&["not", "in"]) {
            Operator::NotIn
        } else {
            return self.expected("\"!=\", \"==\", \"contains\", \"in\", \"is\", \"matches\" or \"not\"");
        };
        self.space();
        Ok(Expression::Match { selector: self.selector()?, operator, value })
    }

    fn after_selector(&mut self, selector: Vec<String>) -> Parsed<Expression> {
        let spaced = self.space();
        let unary: [(&[&str], Operator); 4] = [
            (&["is", "empty"], Operator::IsEmpty),
            (&["is", "not", "empty"], Operator::IsNotEmpty),
            (&["is", "nil"], Operator::IsNil),
            (&["is", "not", "nil"], Operator::IsNotNil),
        ];
        for (words, operator) in unary {
            if spaced && self.words(words) {
                return Ok(Expression::Match { selector, operator, value: String::new() });
            }
        }
        let binary: [(&[&str], Operator); 4] = [
            (&["contains"], Operator::In),
            (&["not", "contains"], Operator::NotIn),
            (&["matches"], Operator::Matches),
            (&["not", "matches"], Operator::NotMatches),
        ];
        let operator = if self.symbol("==") {
            Some(Operator::Equal)
        } else if self.symbol("!=") {
            Some(Operator::NotEqual)
        } else {
            binary.into_iter().find(|(words, _)| spaced && self.words(words)).map(|(_, operator)| operator)
        };
        let Some(operator) = operator else {
            return self.expected("\"!=\", \"==\", \"contains\", \"in\", \"is\", \"matches\" or \"not\"");
        };
        self.space();
        Ok(Expression::Match { selector, operator, value: self.value()? })
    }

    fn identifier(&mut self) -> Parsed<String> {
        let rest = self.rest();
        if !rest.starts_with(|first: char| first.is_ascii_alphabetic()) {
            return self.expected("a name");
        }
        let end = rest.find(|next: char| !next.is_ascii_alphanumeric() && next != '_' && next != '/');
        let name = &rest[..end.unwrap_or(rest.len())];
        self.at += name.len();
        Ok(name.to_owned())
    }

    fn selector(&mut self) -> Parsed<Vec<String>> {
        if self.rest().starts_with("\"/") {
            return self.pointer();
        }
        let mut path = vec![self.identifier()?];
        loop {
            if self.symbol(".") {
                let digits =
                    self.rest().len() - self.rest().trim_start_matches(|next: char| next.is_ascii_digit()).len();
                if digits > 0 {
                    path.push(self.rest()[..digits].to_owned());
                    self.at += digits;
                } else {
                    path.push(self.identifier()?);
                }
            } else if self.symbol("[") {
                self.space();
                path.push(self.quoted()?);
                self.space();
                if !self.symbol("]") {
                    return self.expected("\"]\"");
                }
            } else {
                return Ok(path);
            }
        }
    }

    /// A JSON pointer in quotes (RFC 6901).
    fn pointer(&mut self) -> Parsed<Vec<String>> {
        let start = self.at;
        let text = self.quoted()?;
        let fits = |next: char| next.is_alphanumeric() || "-_.~:|/".contains(next);
        if !text.chars().all(fits) {
            self.at = start;
            return self.expected("a JSON pointer");
        }
        Ok(text.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~")).collect())
    }

    fn value(&mut self) -> Parsed<String> {
        let rest = self.rest();
        if rest.starts_with(['"', '`']) {
            return self.quoted();
        }
        let number = rest.strip_prefix('-').unwrap_or(rest);
        if number.starts_with(|first: char| first.is_ascii_digit()) {
            let end = rest.find(|next: char| !next.is_ascii_digit() && !"-+.eE".contains(next)).unwrap_or(rest.len());
            let number = &rest[..end];
            if number.parse::<f64>().is_err() {
                return self.expected("a number");
            }
            self.at += number.len();
            return Ok(number.to_owned());
        }
        // An unquoted value has the form of a selector.
        let start = self.at;
        if self.selector().is_err() {
            self.at = start;
            return self.expected("a value");
        }
        Ok(self.text[start..self.at].to_owned())
    }

    /// A string as Go writes it: raw in backquotes, or with escapes in double quotes.
    fn quoted(&mut self) -> Parsed<String> {
        let rest = self.rest();
        if let Some(raw) = rest.strip_prefix('`') {
            let Some(end) = raw.find('`') else { return self.expected("\"`\"") };
            self.at += end + 2;
            return Ok(raw[..end].to_owned());
        }
        let Some(inner) = rest.strip_prefix('"') else { return self.expected("a string") };
        let (mut value, mut characters) = (String::new(), inner.char_indices());
        while let Some((offset, character)) = characters.next() {
            match character {
                '"' => {
                    self.at += offset + 2;
                    return Ok(value);
                }
                '\n' => break,
                '\\' => match characters.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, 't')) => value.push('\t'),
                    Some((_, 'r')) => value.push('\r'),
                    Some((_, escaped @ ('"' | '\\' | '\''))) => value.push(escaped),
                    Some((_, kind @ ('x' | 'u' | 'U'))) => {
                        let count = match kind {
                            'x' => 2,
                            'u' => 4,
                            _ => 8,
                        };
                        let digits: String = characters.by_ref().take(count).map(|(_, digit)| digit).collect();
                        let code = u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == count);
                        match code.and_then(char::from_u32) {
                            Some(decoded) => value.push(decoded),
                            None => break,
                        }
                    }
                    _ => break,
                },
                other => value.push(other),
            }
        }
        self.expected("a string that ends in \"\\\"\"")
    }
}
