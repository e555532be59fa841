//! `.dockerignore`. Pure.

use super::glob::matches_path;

/// Patterns in order; the last one that fits decides.
#[derive(Debug, Default)]
pub(super) struct Ignore(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    parts: Vec<String>,
    keeps: bool,
}

impl Ignore {
    pub(super) fn parse(text: &str) -> Self {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let rules = lines.map(|line| {
            let (keeps, pattern) = line.strip_prefix('!').map_or((false, line), |pattern| (true, pattern.trim()));
            let parts = pattern.split('/').filter(|part| !matches!(*part, "" | ".")).map(str::to_owned).collect();
            Rule { parts, keeps }
        });
        Self(rules.filter(|rule| !rule.parts.is_empty()).collect())
    }

    /// Whether a path, relative to the context, is left out; a folder leaves out all that is in it.
    pub(super) fn excludes(&self, path: &[&str]) -> bool {
        let fits = |rule: &Rule| {
            let parts: Vec<&str> = rule.parts.iter().map(String::as_str).collect();
            (1..=path.len()).any(|length| matches_path(&parts, &path[..length]))
        };
        self.0.iter().rev().find(|rule| fits(rule)).is_some_and(|rule| !rule.keeps)
    }
}
