//! Patterns of file names. Pure.

/// Whether a name fits a pattern with `*`, `?`, `[...]` and `\`; none of them matches a slash.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    matches_letters(&pattern, &name)
}

/// Whether a path fits a pattern, part by part; `**` stands for any number of parts.
pub(super) fn matches_path(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((&"**", rest)), _) => (0..=path.len()).any(|skipped| matches_path(rest, &path[skipped..])),
        (Some((first, rest)), Some((name, parts))) => matches(first, name) && matches_path(rest, parts),
        _ => false,
    }
}

fn matches_letters(pattern: &[char], name: &[char]) -> bool {
    let Some((first, rest)) = pattern.split_first() else { return name.is_empty() };
    match first {
        '*' => (0..=name.len()).any(|skipped| matches_letters(rest, &name[skipped..])),
        '?' => !name.is_empty() && matches_letters(rest, &name[1..]),
        '\\' if !rest.is_empty() => name.first() == Some(&rest[0]) && matches_letters(&rest[1..], &name[1..]),
        '[' => match (rest.iter().position(|letter| *letter == ']'), name.first()) {
            (Some(end), Some(letter)) => {
                in_class(&rest[..end], *letter) && matches_letters(&rest[end + 1..], &name[1..])
            }
            _ => false,
        },
        literal => name.first() == Some(literal) && matches_letters(rest, &name[1..]),
    }
}

fn in_class(class: &[char], letter: char) -> bool {
    let (negated, class) = match class.split_first() {
        Some(('^' | '!', rest)) => (true, rest),
        _ => (false, class),
    };
    let mut found = false;
    let mut index = 0;
    while index < class.len() {
        if index + 2 < class.len() && class[index + 1] == '-' {
            found |= (class[index]..=class[index + 2]).contains(&letter);
            index += 3;
        } else {
            found |= class[index] == letter;
            index += 1;
        }
    }
    found != negated
}
