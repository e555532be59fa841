//! Texts of expressions, and problems found in them.

use std::fmt;

use crate::lexer::Problem;

/// How many problems of a text are told, as upstream.
const MAX_ISSUES: usize = 100;

/// How long a line may be that is shown with a problem, in bytes, as upstream.
const MAX_EXCERPT: usize = 16_384;

/// What was found wrong with a text, in the order it was found. Texts can have a problem in each of their characters:
/// what is beyond the limit is only counted.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    told: Vec<Problem>,
    untold: usize,
}

impl Problems {
    pub(crate) fn push(&mut self, problem: Problem) {
        if self.told.len() < MAX_ISSUES { self.told.push(problem) } else { self.untold += 1 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// Upstream stops to read a text when there is one that it does not tell.
    pub(crate) fn are_too_many(&self) -> bool {
        self.untold > 0
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self { told: vec![problem], untold: 0 }
    }
}

/// One problem, and where in the text it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Line, from 1; -1 for the text as a whole, as upstream.
    pub line: isize,
    /// Column, from 1, in characters; 0 for the text as a whole and if it is empty, as upstream.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// The line, unless it is too long to be shown. The text as a whole is not.
    excerpt: Option<String>,
}

impl Issue {
    fn of(text: &str, Problem { at, message }: Problem) -> Self {
        match at {
            Some(offset) => Self::at(text, offset, message),
            None => Self { line: -1, column: 0, message, excerpt: None },
        }
    }

    /// A problem at a character of a text.
    fn at(text: &str, offset: u32, message: String) -> Self {
        let start = text.char_indices().nth(offset as usize).map_or(text.len(), |(start, _)| start);
        let (line, before) = text[..start].split('\n').enumerate().last().unwrap_or_default();
        let excerpt = text.split('\n').nth(line).unwrap_or_default();
        // Nothing stands nowhere, and there is nothing to show.
        let column = if text.is_empty() { 0 } else { before.chars().count() + 1 };
        let is_shown = !text.is_empty() && excerpt.len() <= MAX_EXCERPT;
        let excerpt = is_shown.then(|| excerpt.replace('\t', " "));
        Self { line: line as isize + 1, column, message, excerpt }
    }
}

impl fmt::Display for Issue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, message, excerpt } = self;
        write!(formatter, "ERROR: <input>:{line}:{column}: {message}")?;
        let Some(excerpt) = excerpt else { return Ok(()) };
        let dots: String = excerpt.chars().take(column - 1).map(|c| if is_wide(c) { '．' } else { '.' }).collect();
        let missing = (column - 1).saturating_sub(dots.chars().count());
        let caret = match excerpt.chars().nth(column - 1) {
            Some(character) if is_wide(character) => '＾',
            _ => '^',
        };
        write!(formatter, "\n | {excerpt}\n | {dots}{}{caret}", ".".repeat(missing))
    }
}

fn is_wide(character: char) -> bool {
    character.len_utf8() > 1
}

/// Why a text is no program: one or more problems, in the order of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileError {
    /// The problems; at least one.
    pub issues: Vec<Issue>,
    /// How many more there are.
    truncated: usize,
}

impl CompileError {
    pub(crate) fn of(text: &str, problems: Problems) -> Self {
        let Problems { mut told, untold } = problems;
        told.sort_by_key(|problem| problem.at);
        let issues = told.into_iter().map(|problem| Issue::of(text, problem)).collect();
        Self { issues, truncated: untold }
    }
}

impl std::error::Error for CompileError {}

impl fmt::Display for CompileError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, issue) in self.issues.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            write!(formatter, "{issue}")?;
        }
        match self.truncated {
            0 => Ok(()),
            truncated => write!(formatter, "\n{truncated} more errors were truncated"),
        }
    }
}
