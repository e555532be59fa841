//! Templates of prepared queries: one definition for many names. Pure.

use portolan_base::go::regexp;
use regex::{Captures, Regex};

/// Size of a compiled expression of a client: a bound on what it can make us spend.
pub const MOST_REGEX_BYTES: usize = 1 << 20;

/// What takes a name apart and fills texts from it.
#[derive(Debug, Clone)]
pub struct Template {
    prefix: String,
    regexp: Option<Regex>,
}

/// A template and the name that was asked for.
#[derive(Debug)]
pub struct Asked<'a> {
    template: &'a Template,
    name: &'a str,
    captures: Option<Captures<'a>>,
}

/// A piece of a text.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Text(&'a str),
    Full,
    Prefix,
    Suffix,
    Match(usize),
}

impl Template {
    /// The template for names that begin with `prefix`; `regexp` may be empty.
    ///
    /// # Errors
    /// The expression cannot be read; the error says why.
    pub fn new(prefix: &str, regexp: &str) -> Result<Self, String> {
        let compile = |text: &str| {
            let regex = regexp::compile_with_groups(text, MOST_REGEX_BYTES);
            regex.map_err(|error| format!("Bad Regexp: {error}"))
        };
        let regexp = Some(regexp).filter(|text| !text.is_empty()).map(compile).transpose()?;
        Ok(Self { prefix: prefix.to_owned(), regexp })
    }

    /// Says what is wrong with a text that is to be filled.
    ///
    /// # Errors
    /// An interpolation is not closed, or of something that there is not.
    pub fn check(text: &str) -> Result<(), String> {
        pieces(text).map(|_| ()).map_err(|error| format!("Bad format '{text}': {error}"))
    }

    /// Takes a name apart.
    pub fn asked<'a>(&'a self, name: &'a str) -> Asked<'a> {
        Asked { template: self, name, captures: self.regexp.as_ref().and_then(|regexp| regexp.captures(name)) }
    }
}

impl Asked<'_> {
    /// Fills a text; one that cannot be read is empty.
    pub fn fill(&self, text: &str) -> String {
        let prefix = self.template.prefix.as_str();
        let pieces = pieces(text).unwrap_or_default();
        let filled = pieces.into_iter().map(|piece| match piece {
            Piece::Text(text) => text,
            Piece::Full => self.name,
            Piece::Prefix => prefix,
            Piece::Suffix => self.name.get(prefix.len()..).unwrap_or_default(),
            Piece::Match(number) => {
                self.captures.as_ref().and_then(|captures| captures.get(number)).map_or("", |found| found.as_str())
            }
        });
        filled.collect()
    }
}

/// Takes a text apart; `$${` stands for `${`.
fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            pieces.push(Piece::Text(&rest[..at - 1]));
            pieces.push(Piece::Text("${"));
            rest = &rest[at + 2..];
            continue;
        }
        pieces.push(Piece::Text(&rest[..at]));
        let inner = &rest[at + 2..];
        let end = inner.find('}').ok_or("an interpolation is not closed")?;
        pieces.push(variable(inner[..end].trim())?);
        rest = &inner[end + 1..];
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

fn variable(name: &str) -> Result<Piece<'_>, String> {
    match name {
        "name.full" => Ok(Piece::Full),
        "name.prefix" => Ok(Piece::Prefix),
        "name.suffix" => Ok(Piece::Suffix),
        // There are no network segments.
        "agent.segment" => Ok(Piece::Text("")),
        other => {
            let number = other.strip_prefix("match(").and_then(|rest| rest.strip_suffix(')'));
            let number = number.and_then(|number| number.trim().parse().ok());
            number.map(Piece::Match).ok_or_else(|| format!("unknown variable {other:?}"))
        }
    }
}
