//! Words of an instruction: quotes, escapes and variables. Pure.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

/// Variables that a line may use.
pub(super) type Variables = BTreeMap<String, String>;

/// Splits at blanks outside of quotes and replaces variables, as the Dockerfile reference tells.
pub(super) fn split(text: &str, variables: &Variables) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter.is_whitespace() {
            words.extend(word.take());
            continue;
        }
        let current = word.get_or_insert_default();
        match letter {
            '\'' => loop {
                match letters.next() {
                    Some('\'') => break,
                    Some(quoted) => current.push(quoted),
                    None => return Err("a single quote is not closed".to_owned()),
                }
            },
            '"' => double_quoted(&mut letters, current, variables)?,
            '\\' => current.extend(letters.next()),
            '$' => variable(&mut letters, current, variables)?,
            other => current.push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Replaces variables in a text that is one word.
pub(super) fn expand(text: &str, variables: &Variables) -> Result<String, String> {
    Ok(split(text, variables)?.join(" "))
}

fn double_quoted(letters: &mut Peekable<Chars<'_>>, word: &mut String, variables: &Variables) -> Result<(), String> {
    loop {
        match letters.next() {
            Some('"') => return Ok(()),
            Some('\\') => match letters.next() {
                Some(escaped @ ('"' | '\\' | '$')) => word.push(escaped),
                Some(other) => word.extend(['\\', other]),
                None => {}
            },
            Some('$') => variable(letters, word, variables)?,
            Some(other) => word.push(other),
            None => return Err("a double quote is not closed".to_owned()),
        }
    }
}

/// `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME:+replacement}`.
fn variable(letters: &mut Peekable<Chars<'_>>, word: &mut String, variables: &Variables) -> Result<(), String> {
    let braces = letters.next_if_eq(&'{').is_some();
    let mut name = String::new();
    while let Some(letter) = letters.next_if(|letter| letter.is_ascii_alphanumeric() || *letter == '_') {
        name.push(letter);
    }
    if name.is_empty() {
        if braces {
            return Err("a variable has no name".to_owned());
        }
        word.push('$');
        return Ok(());
    }
    let value = variables.get(&name).map(String::as_str).unwrap_or_default();
    if !braces {
        word.push_str(value);
        return Ok(());
    }
    let rest: String = letters.by_ref().take_while(|letter| *letter != '}').collect();
    match rest.split_at_checked(2) {
        None if rest.is_empty() => word.push_str(value),
        Some((":-", default)) => word.push_str(if value.is_empty() { default } else { value }),
        Some((":+", replacement)) => word.push_str(if value.is_empty() { "" } else { replacement }),
        _ => return Err(format!("${{{name}{rest}}} is not supported: only ${{NAME}}, :- and :+ are")),
    }
    Ok(())
}

/// Replaces variables in a word that may have blanks and quotes of its own (the list form).
pub(super) fn expand_whole(word: &str, variables: &Variables) -> Result<String, String> {
    let mut out = String::new();
    let mut letters = word.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '$' => variable(&mut letters, &mut out, variables)?,
            other => out.push(other),
        }
    }
    Ok(out)
}
