//! From words to expressions.
//!
//! Grammar: <https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax>

mod macros;
mod operators;
mod recover;

#[cfg(test)]
pub(crate) use recover::OPERAND;

use crate::ast::{Access, Entry, Expr, Field, Item, Kind, Literal};
use crate::lexer::{Problem, Token, Word, Words, words};
use crate::source::Problems;

/// How deep expressions may be nested, as upstream: in brackets and choices, and then also by what stands in them.
pub(crate) const MAX_DEPTH: usize = 250;

pub(crate) const TOO_DEEP: &str = "max recursion depth exceeded";

/// How long a text may be, in characters, as upstream.
const MAX_LENGTH: usize = 100_000;

/// Words that are kept for programming languages and so are no names.
pub(crate) const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// Reads an expression, or tells what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Expr, Problems> {
    let characters: Vec<char> = text.chars().collect();
    let length = characters.len();
    if length > MAX_LENGTH {
        let message = format!("expression code point size exceeds limit: size: {length}, limit {MAX_LENGTH}");
        return Err(Problem::of_all(message).into());
    }
    let Words { tokens, strange } = words(text)?;
    let mut parser = Parser {
        text: &characters,
        tokens: &tokens,
        position: 0,
        depth: 0,
        operations: 0,
        problems: strange,
        is_lost: false,
        closers: Vec::new(),
    };
    match parser.expression() {
        Ok(expression) => {
            parser.expect_end();
            if parser.problems.is_empty() {
                return Ok(expression);
            }
        }
        Err(problem) => parser.report(problem),
    }
    Err(parser.problems)
}

struct Parser<'a> {
    text: &'a [char],
    tokens: &'a [Token],
    position: usize,
    /// How many expressions and operands are being read. Upstream bounds each, as operands on the right nest too.
    depth: usize,
    operations: usize,
    /// What is wrong but did not keep the rest from being read.
    problems: Problems,
    /// Whether nothing was understood since the last of them.
    is_lost: bool,
    /// What may come behind the expressions that are being read, besides operators.
    closers: Vec<&'static [&'static str]>,
}

type Parsed<T> = Result<T, Problem>;

impl<'a> Parser<'a> {
    fn peek(&self) -> &'a Word {
        &self.tokens[self.position].word
    }

    fn at(&self) -> u32 {
        self.tokens[self.position].at
    }

    fn is(&self, symbol: &str) -> bool {
        matches!(self.peek(), Word::Symbol(found) if *found == symbol)
    }

    /// Goes past a symbol if it is next, and says where it was.
    fn take(&mut self, symbol: &str) -> Option<u32> {
        let at = self.at();
        self.is(symbol).then(|| {
            self.advance();
            at
        })
    }

    /// Goes past a word that is understood.
    fn advance(&mut self) {
        self.position += 1;
        self.is_lost = false;
    }

    fn expect(&mut self, symbol: &'static str) -> Parsed<u32> {
        self.take(symbol).ok_or_else(|| self.missing(symbol))
    }

    /// One symbol is missing.
    fn missing(&self, symbol: &str) -> Problem {
        match symbol {
            ":" if *self.peek() == Word::End => self.unexpected("':'"),
            _ => Problem::at(self.at(), format!("Syntax error: missing '{symbol}' at '{}'", self.shown())),
        }
    }

    fn unexpected(&self, wanted: &str) -> Problem {
        self.wrong("mismatched input", &format!("expecting {wanted}"))
    }

    fn wrong(&self, what: &str, wanted: &str) -> Problem {
        Problem::at(self.at(), format!("Syntax error: {what} '{}' {wanted}", self.shown()))
    }

    /// The next word, as it is written.
    fn shown(&self) -> String {
        self.shown_up_to(self.position)
    }

    /// What is written from the next word to the end of another one.
    fn shown_up_to(&self, last: usize) -> String {
        let (first, last) = (&self.tokens[self.position], &self.tokens[last]);
        if first.word == Word::End {
            return "<EOF>".to_owned();
        }
        let written: String = self.text[first.at as usize..last.end as usize].iter().collect();
        written.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t")
    }

    /// An expression with one of these behind it.
    fn expression_before(&mut self, closers: &'static [&'static str]) -> Parsed<Expr> {
        self.closers.push(closers);
        let expression = self.expression();
        self.closers.pop();
        expression
    }

    fn expression(&mut self) -> Parsed<Expr> {
        self.depth += 1;
        bounded(self.depth)?;
        let condition = self.or()?;
        let result = match self.take("?") {
            None => condition,
            Some(at) => {
                self.closers.push(&[":"]);
                let then = self.or();
                self.closers.pop();
                let then = then?;
                self.expect(":")?;
                let otherwise = self.expression()?;
                deeper(call(at, "_?_:_", vec![condition, then, otherwise]))?
            }
        };
        self.depth -= 1;
        Ok(result)
    }

    fn unary(&mut self) -> Parsed<Expr> {
        if let Some(missing) = self.recover_operand() {
            return Ok(missing);
        }
        for (symbol, function) in [("!", "!_"), ("-", "-_")] {
            let Some(at) = self.take(symbol) else { continue };
            let mut count = 1;
            while self.take(symbol).is_some() {
                count += 1;
            }
            if symbol == "-"
                && count == 1
                && let Some(number) = self.negative(at)?
            {
                return self.postfix(number);
            }
            if let Some(missing) = self.recover_signed(symbol) {
                return Ok(missing);
            }
            let minus = self.at();
            let operand = match symbol == "!" && self.take("-").is_some() {
                true => match self.negative(minus)? {
                    Some(number) => self.postfix(number)?,
                    None => {
                        self.position -= 1;
                        self.member()?
                    }
                },
                false => self.member()?,
            };
            return Ok(if count % 2 == 1 { call(at, function, vec![operand]) } else { operand });
        }
        self.member()
    }

    fn negative(&mut self, at: u32) -> Parsed<Option<Expr>> {
        let literal = match self.peek() {
            Word::Integer(value) => {
                let value = 0i64.checked_sub_unsigned(*value);
                Literal::Int(value.ok_or_else(|| Problem::at(at, "invalid int literal"))?)
            }
            Word::Literal(Literal::Double(value)) => Literal::Double(-value),
            _ => return Ok(None),
        };
        self.advance();
        Ok(Some(Expr::new(at, Kind::Literal(literal))))
    }

    fn member(&mut self) -> Parsed<Expr> {
        let primary = self.primary()?;
        self.postfix(primary)
    }

    fn postfix(&mut self, mut operand: Expr) -> Parsed<Expr> {
        loop {
            if self.is(".") {
                let dot = self.at();
                let Some((field, optional)) = self.field() else {
                    self.skip();
                    return Ok(operand);
                };
                let made = match self.take("(") {
                    Some(open) if !optional => {
                        let arguments = self.arguments(")")?;
                        macros::expand(open, Some(operand), field, arguments)?
                    }
                    Some(open) => {
                        return Err(Problem::at(open, "Syntax error: mismatched input '(' expecting <EOF>"));
                    }
                    None => {
                        let access = if optional { Access::Optional } else { Access::Value };
                        Expr::new(dot, Kind::Select { operand: Box::new(operand), field, access })
                    }
                };
                operand = deeper(made)?;
            } else if let Some(open) = self.take("[") {
                let function = if self.take("?").is_some() { "_[?_]" } else { "_[_]" };
                let index = self.expression_before(&["]"])?;
                self.expect("]")?;
                operand = deeper(call(open, function, vec![operand, index]))?;
            } else {
                return Ok(operand);
            }
        }
    }

    fn name(&mut self, wanted: &str) -> Parsed<String> {
        match self.peek() {
            Word::Name(name) => {
                self.advance();
                Ok(name.clone())
            }
            _ => Err(self.unexpected(wanted)),
        }
    }

    /// Goes past a dot and the name behind it, and says whether a `?` is between them; `None` if there is no name,
    /// which is reported.
    fn field(&mut self) -> Option<(String, bool)> {
        let optional = matches!(self.tokens.get(self.position + 1)?.word, Word::Symbol("?"));
        let next = self.position + 1 + usize::from(optional);
        match &self.tokens.get(next)?.word {
            Word::Name(name) => {
                self.position = next;
                self.advance();
                Some((name.clone(), optional))
            }
            Word::EscapedName => {
                self.report(Problem::at(self.tokens[next].at, "unsupported syntax: '`'"));
                self.position = next;
                self.advance();
                Some((String::new(), optional))
            }
            _ if optional => {
                self.position = next;
                self.report(self.unexpected("{IDENTIFIER, ESC_IDENTIFIER}"));
                self.problems.push(Problem::at(self.at(), "unsupported ident kind"));
                None
            }
            _ => {
                self.report_no_name(next);
                None
            }
        }
    }

    fn primary(&mut self) -> Parsed<Expr> {
        let at = self.at();
        let literal = |kind| Ok(Expr::new(at, Kind::Literal(kind)));
        match self.peek() {
            Word::Literal(value) => {
                self.advance();
                literal(value.clone())
            }
            Word::Integer(value) => {
                let value = i64::try_from(*value).map_err(|_| Problem::at(at, "invalid int literal"))?;
                self.advance();
                literal(Literal::Int(value))
            }
            Word::Symbol("(") => {
                self.advance();
                let inner = self.expression_before(&[")"])?;
                self.close(")")?;
                Ok(inner)
            }
            Word::Symbol("[") => {
                self.advance();
                let items = self.items()?;
                Ok(Expr::new(at, Kind::List(items)))
            }
            Word::Symbol("{") => {
                self.advance();
                let entries = self.entries()?;
                Ok(Expr::new(at, Kind::Map(entries)))
            }
            Word::Symbol(".") => {
                let next = self.position + 1;
                if !matches!(self.tokens.get(next).map(|token| &token.word), Some(Word::Name(_))) {
                    self.report_no_name(next);
                    return Ok(recover::missing(at));
                }
                // From the root of all names, where everything is.
                self.advance();
                self.named(at)
            }
            Word::Name(_) => self.named(at),
            Word::Symbol("-" | "!") => Err(self.wrong("extraneous input", &format!("expecting {}", recover::OPERAND))),
            _ => match self.recover_operand() {
                Some(missing) => Ok(missing),
                None => self.primary(),
            },
        }
    }

    fn named(&mut self, at: u32) -> Parsed<Expr> {
        if let Some((name, words)) = self.struct_name() {
            self.position += words;
            self.is_lost = false;
            let open = self.expect("{")?;
            let fields = self.fields()?;
            return Ok(Expr::new(open, Kind::Struct { name, fields }));
        }
        let name = self.name(recover::OPERAND)?;
        if RESERVED.contains(&name.as_str()) {
            return Err(Problem::at(at, format!("reserved identifier: {name}")));
        }
        match self.take("(") {
            Some(open) => {
                let arguments = self.arguments(")")?;
                macros::expand(open, None, name, arguments)
            }
            None => Ok(Expr::new(at, Kind::Name(name))),
        }
    }

    /// `a.b.C` if a `{` comes after it, and how many words it takes.
    fn struct_name(&self) -> Option<(String, usize)> {
        let mut name = String::new();
        let mut words = 0;
        loop {
            let Word::Name(part) = &self.tokens.get(self.position + words)?.word else { return None };
            name.push_str(part);
            words += 1;
            match self.tokens.get(self.position + words)?.word {
                Word::Symbol(".") => name.push('.'),
                Word::Symbol("{") => return Some((name, words)),
                _ => return None,
            }
            words += 1;
        }
    }

    fn arguments(&mut self, close: &'static str) -> Parsed<Vec<Expr>> {
        let mut arguments = Vec::new();
        if self.take(close).is_some() {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.expression_before(&[")", ","])?);
            if self.take(",").is_none() {
                self.close(close)?;
                return Ok(arguments);
            }
        }
    }

    fn items(&mut self) -> Parsed<Vec<Item>> {
        let mut items = Vec::new();
        while self.take("]").is_none() {
            let optional = self.take("?").is_some();
            items.push(Item { value: self.expression_before(&["]", ","])?, optional });
            if self.take(",").is_none() {
                self.take("]").ok_or_else(|| self.unexpected("{']', ','}"))?;
                break;
            }
        }
        Ok(items)
    }

    fn entries(&mut self) -> Parsed<Vec<Entry>> {
        let mut entries = Vec::new();
        while self.take("}").is_none() {
            let optional = self.take("?").is_some();
            let key = self.expression_before(&[":"])?;
            self.expect(":")?;
            entries.push(Entry { key, value: self.expression_before(&["}", ","])?, optional });
            if self.take(",").is_none() {
                self.take("}").ok_or_else(|| self.unexpected("{'}', ','}"))?;
                break;
            }
        }
        Ok(entries)
    }

    fn fields(&mut self) -> Parsed<Vec<Field>> {
        let mut fields = Vec::new();
        while self.take("}").is_none() {
            let optional = self.take("?").is_some();
            let name = self.name(if optional {
                "{IDENTIFIER, ESC_IDENTIFIER}"
            } else {
                "{'}', ',', '?', IDENTIFIER, ESC_IDENTIFIER}"
            })?;
            let at = self.expect(":")?;
            fields.push(Field { at, name, value: self.expression_before(&["}", ","])?, optional });
            if self.take(",").is_none() {
                self.take("}").ok_or_else(|| self.unexpected("{'}', ','}"))?;
                break;
            }
        }
        Ok(fields)
    }
}

fn call(at: u32, function: &str, arguments: Vec<Expr>) -> Expr {
    Expr::new(at, Kind::Call { target: None, function: function.to_owned(), arguments })
}

/// That no more of something is being read than upstream allows.
fn bounded(depth: usize) -> Parsed<()> {
    if depth <= MAX_DEPTH {
        return Ok(());
    }
    Err(Problem::of_all(format!("expression recursion limit exceeded: {MAX_DEPTH}")))
}

/// Counts an expression as one more around its parts. Chains lean to the left: they are as deep as they are long.
fn deeper(expression: Expr) -> Parsed<Expr> {
    let depth = expression.depth + 1;
    if depth > MAX_DEPTH { Err(Problem::of_all(TOO_DEEP)) } else { Ok(Expr { depth, ..expression }) }
}
