//! Whether a `Content-Type` can be read, as Go's `mime.ParseMediaType` tells it.

/// What is wrong with it.
pub(super) fn problem(given: &str) -> Option<&'static str> {
    let (media, parameters) = given.split_once(';').unwrap_or((given, ""));
    let (first, rest) = token(media.trim());
    if first.is_empty() {
        return Some("no media type");
    }
    if !rest.is_empty() {
        let Some(rest) = rest.strip_prefix('/') else { return Some("expected slash after first token") };
        let (second, rest) = token(rest);
        if second.is_empty() {
            return Some("expected token after slash");
        }
        if !rest.is_empty() {
            return Some("unexpected content after media subtype");
        }
    }
    let mut names: Vec<String> = Vec::new();
    let mut rest = parameters.trim();
    while !rest.is_empty() {
        let Some((name, behind)) = parameter(rest) else {
            // A semicolon at the end is passed over.
            return (rest != ";").then_some("invalid media parameter");
        };
        let name = name.to_ascii_lowercase();
        if names.contains(&name) {
            return Some("duplicate parameter name");
        }
        names.push(name);
        rest = match behind.trim_start() {
            "" => "",
            behind => match behind.strip_prefix(';') {
                Some(behind) => behind.trim_start(),
                None => return Some("invalid media parameter"),
            },
        };
    }
    None
}

/// The name of a parameter, and what comes behind its value.
fn parameter(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = token(text);
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let behind = match rest.strip_prefix('"') {
        Some(quoted) => {
            let mut is_escaped = false;
            let end = quoted.find(|character| match character {
                '"' if !is_escaped => true,
                character => {
                    is_escaped = character == '\\' && !is_escaped;
                    false
                }
            })?;
            &quoted[end + 1..]
        }
        None => {
            let (value, behind) = token(rest);
            if value.is_empty() {
                return None;
            }
            behind
        }
    };
    (!name.is_empty()).then_some((name, behind))
}

/// The token that a text begins with, and the rest.
fn token(text: &str) -> (&str, &str) {
    let is_token = |character: char| character.is_ascii_graphic() && !"()<>@,;:\\\"/[]?=".contains(character);
    text.split_at(text.find(|character| !is_token(character)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_as_in_go() {
        let cases = [
            ("application/json", None),
            ("application/json; charset=utf-8", None),
            ("text/plain;charset=\"a;\\\"b\";x=y;", None),
            ("x", None),
            ("", Some("no media type")),
            (";", Some("no media type")),
            ("/", Some("no media type")),
            ("a b", Some("expected slash after first token")),
            ("a/", Some("expected token after slash")),
            ("a/b/c", Some("unexpected content after media subtype")),
            ("a/b; c", Some("invalid media parameter")),
            ("a/b; c=d e=f", Some("invalid media parameter")),
            ("a/b; c=d; C=e", Some("duplicate parameter name")),
        ];
        for (given, expected) in cases {
            assert_eq!(problem(given), expected, "{given}");
        }
    }
}
