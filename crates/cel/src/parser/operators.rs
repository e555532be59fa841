//! Operators with an operand on each side.

use super::{Parsed, Parser, bounded, call, deeper};
use crate::ast::Expr;
use crate::lexer::Word;

/// Operators with two operands, their functions, and how tightly they bind.
const OPERATORS: [(&str, &str, u8); 12] = [
    ("==", "_==_", 0),
    ("!=", "_!=_", 0),
    ("<=", "_<=_", 0),
    (">=", "_>=_", 0),
    ("<", "_<_", 0),
    (">", "_>_", 0),
    ("in", "@in", 0),
    ("+", "_+_", 1),
    ("-", "_-_", 1),
    ("*", "_*_", 2),
    ("/", "_/_", 2),
    ("%", "_%_", 2),
];

impl Parser<'_> {
    pub(super) fn or(&mut self) -> Parsed<Expr> {
        self.logical("||", "_||_", Self::and)
    }

    fn and(&mut self) -> Parsed<Expr> {
        self.logical("&&", "_&&_", |parser| parser.operation(0))
    }

    /// A chain of one logical operator. It becomes one call with all terms: no deep trees for long chains.
    fn logical(&mut self, symbol: &str, function: &str, term: fn(&mut Self) -> Parsed<Expr>) -> Parsed<Expr> {
        let first = term(self)?;
        let Some(at) = self.take(symbol) else { return Ok(first) };
        let mut terms = vec![first, term(self)?];
        while self.take(symbol).is_some() {
            terms.push(term(self)?);
        }
        Ok(call(at, function, terms))
    }

    /// Operands with operators between them, of which none binds less than this.
    fn operation(&mut self, least: u8) -> Parsed<Expr> {
        self.operations += 1;
        bounded(self.operations)?;
        let mut left = self.unary()?;
        while let Some((_, function, binding)) = self.operator().filter(|(.., binding)| *binding >= least) {
            let at = self.at();
            self.advance();
            let right = self.operation(binding + 1)?;
            left = deeper(call(at, function, vec![left, right]))?;
        }
        self.operations -= 1;
        Ok(left)
    }

    fn operator(&self) -> Option<(&'static str, &'static str, u8)> {
        let Word::Symbol(next) = self.peek() else { return None };
        OPERATORS.into_iter().find(|(symbol, ..)| symbol == next)
    }
}
