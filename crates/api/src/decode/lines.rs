//! On which lines of a YAML document keys stand a second time.
//!
//! The parser tells that a key is there twice, not where. This reads the structure again from the
//! indentation, as far as it is written in block style.

use std::collections::HashSet;

use portolan_base::go;

/// A mapping that is open: the column of its keys, and the keys so far.
struct Mapping<'a> {
    column: usize,
    keys: HashSet<&'a str>,
}

/// `line 10: key "paused" already set in map` for each key that its mapping has already. The line is
/// that of the value, as upstream counts.
pub(super) fn duplicates(document: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Vec<Mapping<'_>> = Vec::new();
    // A key whose value is still to come, and the column that text of several lines is indented beyond.
    let mut waiting: Option<&str> = None;
    let mut text_beyond: Option<usize> = None;
    for (index, line) in document.lines().enumerate() {
        let mut content = line.trim_start_matches(' ');
        let mut column = line.len() - content.len();
        if content.trim_end().is_empty() || text_beyond.is_some_and(|beyond| column > beyond) {
            continue;
        }
        text_beyond = None;
        if content.starts_with('#') || matches!(content.trim_end(), "---" | "...") {
            continue;
        }
        if let Some(key) = waiting.take() {
            found.push(duplicate(index, key));
        }
        while let Some(item) = content.strip_prefix('-').filter(|rest| rest.is_empty() || rest.starts_with(' ')) {
            // The mapping of the item before ends here.
            open.retain(|mapping| mapping.column <= column);
            column += content.len() - item.trim_start_matches(' ').len();
            content = item.trim_start_matches(' ');
        }
        let Some((key, value)) = key_of(content) else { continue };
        open.retain(|mapping| mapping.column <= column);
        if open.last().is_none_or(|mapping| mapping.column < column) {
            open.push(Mapping { column, keys: HashSet::new() });
        }
        let is_new = open.last_mut().is_none_or(|mapping| mapping.keys.insert(key));
        let has_value = !value.is_empty() && !value.starts_with('#');
        match (is_new, has_value) {
            (true, _) => {}
            (false, true) => found.push(duplicate(index, key)),
            (false, false) => waiting = Some(key),
        }
        if value.starts_with(['|', '>']) {
            text_beyond = Some(column);
        }
    }
    found
}

fn duplicate(index: usize, key: &str) -> String {
    format!("line {}: key {} already set in map", index + 1, go::quote(key))
}

/// The key at the beginning of a line, and what follows its colon.
fn key_of(content: &str) -> Option<(&str, &str)> {
    let (key, rest) = match content.chars().next()? {
        quote @ ('"' | '\'') => {
            let end = content[1..].find(quote)? + 1;
            (&content[1..end], content[end + 1..].trim_start())
        }
        _ => {
            let end = content.match_indices(':').map(|(end, _)| end).find(|end| {
                let behind = &content[end + 1..];
                behind.is_empty() || behind.starts_with([' ', '\t'])
            })?;
            (content[..end].trim_end(), &content[end..])
        }
    };
    let value = rest.strip_prefix(':')?;
    (!key.contains(['{', '['])).then(|| (key, value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_there_twice_are_found_on_their_lines() {
        let document = "\
apiVersion: apps/v1 # once
spec:
  paused: true
  # again
  paused: false
  list:
  - name: a
    \"name\": b
    text: |
      paused: 1
      paused: 2
  - name: c
    nested:
      x: 1
    nested:

      x: 2
  other:
    - - a: 1
        a: 2
      - a: 1
url: http://a:b
url: x";
        let expected = [
            "line 5: key \"paused\" already set in map",
            "line 8: key \"name\" already set in map",
            "line 17: key \"nested\" already set in map",
            "line 20: key \"a\" already set in map",
            "line 23: key \"url\" already set in map",
        ];
        assert_eq!(duplicates(document), expected);
    }
}
