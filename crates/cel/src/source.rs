//! Texts of expressions, and problems found in them.

use std::fmt;

/// One problem, and where in the text it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    excerpt: String,
}

impl Issue {
    /// A problem at a character of a text.
    pub(crate) fn at(text: &str, offset: u32, message: String) -> Self {
        let offset = offset as usize;
        let before: Vec<char> = text.chars().take(offset).collect();
        let line = before.iter().filter(|character| **character == '\n').count();
        let column = before.iter().rev().take_while(|character| **character != '\n').count();
        let excerpt = text.split('\n').nth(line).unwrap_or_default().replace('\t', " ");
        Self { line: line + 1, column: column + 1, message, excerpt }
    }
}

impl fmt::Display for Issue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dots: String =
            self.excerpt.chars().take(self.column - 1).map(|c| if is_wide(c) { '．' } else { '.' }).collect();
        let missing = (self.column - 1).saturating_sub(dots.chars().count());
        let caret = match self.excerpt.chars().nth(self.column - 1) {
            Some(character) if is_wide(character) => '＾',
            _ => '^',
        };
        let Self { line, column, message, excerpt, .. } = self;
        write!(
            formatter,
            "ERROR: <input>:{line}:{column}: {message}\n | {excerpt}\n | {dots}{}{caret}",
            ".".repeat(missing)
        )
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
        Ok(())
    }
}
