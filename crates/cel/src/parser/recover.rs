//! Going on behind what cannot be understood, so that one look at a text finds all that is wrong with it.
//!
//! Kubernetes' parser is made by ANTLR, whose strategy this follows where an operand is missing: a word too many is
//! left out if the next one fits; else words are skipped until one that may stand behind an operand. What is wrong
//! before anything else was understood is not told again.

use super::Parser;
use crate::ast::{Expr, Kind, Literal};
use crate::lexer::{Problem, Token, Word};

/// What may begin an operand, as errors tell it.
pub(crate) const OPERAND: &str =
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";

/// What may stand behind an operand wherever it stands.
const OPERATORS: [&str; 15] = ["*", "/", "%", "+", "-", "==", "!=", "<", "<=", ">", ">=", "in", "&&", "||", "?"];

/// Stands where an operand is missing. It is never evaluated.
pub(super) fn missing(at: u32) -> Expr {
    Expr::new(at, Kind::Literal(Literal::Null))
}

fn begins_operand(word: &Word) -> bool {
    match word {
        Word::Name(_) | Word::Literal(_) | Word::Integer(_) => true,
        Word::Symbol(symbol) => matches!(*symbol, "[" | "{" | "(" | "." | "-" | "!"),
        Word::EscapedName | Word::End => false,
    }
}

impl Parser<'_> {
    /// Remembers what is wrong, unless it follows from the last that was.
    pub(super) fn report(&mut self, problem: Problem) {
        let follows = self.is_lost && problem.at.is_some();
        if !follows && !self.problems.are_too_many() {
            self.problems.push(problem);
        }
        self.is_lost = true;
    }

    /// Makes the next word one that an operand begins with, or says what stands in for the operand.
    pub(super) fn recover_operand(&mut self) -> Option<Expr> {
        if begins_operand(self.peek()) {
            return None;
        }
        let at = self.at();
        let expected = format!("expecting {OPERAND}");
        if self.tokens.get(self.position + 1).is_some_and(|next| begins_operand(&next.word)) {
            self.report(self.wrong("extraneous input", &expected));
            self.advance();
            return None;
        }
        self.report(self.wrong("mismatched input", &expected));
        self.skip();
        Some(missing(at))
    }

    /// The same behind signs, of which only some go together.
    pub(super) fn recover_signed(&mut self, sign: &str) -> Option<Expr> {
        let at = self.at();
        let expected = format!("expecting {OPERAND}");
        match (sign, self.peek()) {
            ("!", Word::End) => self.report(self.wrong("extraneous input", &expected)),
            ("-", Word::End) => {
                self.report(Problem::at(at, "Syntax error: no viable alternative at input '-'"));
                self.problems.push(self.wrong("mismatched input", &expected));
            }
            ("-", Word::Symbol("!")) => {
                self.report(Problem::at(at, "Syntax error: no viable alternative at input '-!'"));
                self.skip();
            }
            _ => return None,
        }
        Some(missing(at))
    }

    /// Goes past what closes something. One word too many before it is left out.
    pub(super) fn close(&mut self, symbol: &'static str) -> Result<u32, Problem> {
        let wanted = format!("expecting '{symbol}'");
        if self.is(symbol) || *self.peek() == Word::End {
            return self.expect(symbol);
        }
        if matches!(self.tokens.get(self.position + 1), Some(next) if next.word == Word::Symbol(symbol)) {
            self.report(self.wrong("extraneous input", &wanted));
            self.advance();
            return self.expect(symbol);
        }
        if self.is_behind_operand() { self.expect(symbol) } else { Err(self.wrong("mismatched input", &wanted)) }
    }

    /// Whether the next word may stand behind an operand here.
    fn is_behind_operand(&self) -> bool {
        let is_one_of = |symbols: &[&str]| matches!(self.peek(), Word::Symbol(next) if symbols.contains(next));
        is_one_of(&OPERATORS) || self.closers.iter().any(|closers| is_one_of(closers))
    }

    /// That a text ends with its expression.
    pub(super) fn expect_end(&mut self) {
        if *self.peek() == Word::End {
            return;
        }
        let is_last = self.tokens.get(self.position + 1).is_some_and(|next| next.word == Word::End);
        let what = if is_last { "extraneous input" } else { "mismatched input" };
        self.report(self.wrong(what, "expecting <EOF>"));
    }

    /// There is no name behind the dot that is next, but some other word.
    pub(super) fn report_no_name(&mut self, other: usize) {
        let message = match &self.tokens[other].word {
            // What looks like a name is taken for one.
            Word::Literal(Literal::Null | Literal::Bool(_)) => {
                let Token { at, end, .. } = self.tokens[other];
                let written: String = self.text[at as usize..end as usize].iter().collect();
                format!("Syntax error: mismatched input '{written}' expecting IDENTIFIER")
            }
            _ => format!("Syntax error: no viable alternative at input '{}'", self.shown_up_to(other)),
        };
        self.report(Problem::at(self.tokens[other].at, message));
    }

    /// Goes to what may stand behind the operand that is missing.
    pub(super) fn skip(&mut self) {
        while *self.peek() != Word::End && !self.is_behind_operand() {
            self.position += 1;
        }
    }
}
