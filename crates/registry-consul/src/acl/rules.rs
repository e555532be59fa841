//! The language of policies, in HCL and JSON. Pure.
//!
//! ```text
//! key_prefix "app/" { policy = "write" }
//! operator = "read"
//! ```

use serde_json::{Map, Value};

/// Blocks within blocks; rules need two levels.
const DEEPEST: usize = 16;

/// What a rule grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Grant {
    Read,
    /// Read, and list what is below.
    List,
    Write,
    /// Nothing. The strongest: between rules for the same thing it wins.
    Deny,
}

/// What a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Resource {
    Acl,
    Agent,
    Event,
    Key,
    Keyring,
    Mesh,
    Node,
    Operator,
    Peering,
    Query,
    Service,
    Session,
}

impl Resource {
    /// The word for it in rules.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Acl => "acl",
            Self::Agent => "agent",
            Self::Event => "event",
            Self::Key => "key",
            Self::Keyring => "keyring",
            Self::Mesh => "mesh",
            Self::Node => "node",
            Self::Operator => "operator",
            Self::Peering => "peering",
            Self::Query => "query",
            Self::Service => "service",
            Self::Session => "session",
        }
    }

    const NAMED: [Self; 7] =
        [Self::Agent, Self::Event, Self::Key, Self::Node, Self::Query, Self::Service, Self::Session];
    const WHOLE: [Self; 5] = [Self::Acl, Self::Keyring, Self::Mesh, Self::Operator, Self::Peering];
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) resource: Resource,
    pub(crate) matches: Matches,
    pub(crate) grant: Grant,
}

/// Which names a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Matches {
    /// The resource has no names.
    Whole,
    Exactly(String),
    Prefix(String),
}

impl Rule {
    pub(crate) fn exactly(resource: Resource, name: &str, grant: Grant) -> Self {
        Self { resource, matches: Matches::Exactly(name.to_owned()), grant }
    }

    pub(crate) fn prefix(resource: Resource, name: &str, grant: Grant) -> Self {
        Self { resource, matches: Matches::Prefix(name.to_owned()), grant }
    }
}

/// Reads rules; the error says what is wrong.
pub(crate) fn parse(text: &str) -> Result<Vec<Rule>, String> {
    let text = text.trim();
    let items = match text.as_bytes().first() {
        None => return Ok(vec![]),
        Some(b'{') => match serde_json::from_str(text).map_err(|error| error.to_string())? {
            Value::Object(object) => object.into_iter().map(|(name, value)| (vec![name], value)).collect(),
            _ => return Err("the rules are not an object".into()),
        },
        Some(_) => Reader { rest: text }.body(0)?,
    };
    let mut rules = Vec::new();
    for (path, value) in items {
        let (kind, labels) = path.split_first().ok_or("a rule has no name")?;
        rule(kind, labels, &value, &mut rules)?;
    }
    Ok(rules)
}

fn rule(kind: &str, labels: &[String], value: &Value, rules: &mut Vec<Rule>) -> Result<(), String> {
    if let Some(resource) = Resource::WHOLE.iter().find(|resource| resource.word() == kind) {
        let Some(word) = value.as_str().filter(|_| labels.is_empty()) else {
            return Err(format!("{kind} must be \"read\", \"write\" or \"deny\""));
        };
        let grant = grant(kind, word)?;
        rules.push(Rule { resource: *resource, matches: Matches::Whole, grant });
        return Ok(());
    }
    let (word, prefix) = match kind.strip_suffix("_prefix") {
        Some(word) => (word, true),
        None => (kind, false),
    };
    let Some(resource) = Resource::NAMED.iter().find(|resource| resource.word() == word) else {
        return Err(format!("unknown rule {kind:?}"));
    };
    match (labels, value) {
        ([name], Value::Object(attributes)) => {
            let grant = attributes_grant(kind, name, attributes)?;
            let name = name.clone();
            let matches = if prefix { Matches::Prefix(name) } else { Matches::Exactly(name) };
            rules.push(Rule { resource: *resource, matches, grant });
            Ok(())
        }
        ([], Value::Object(names)) => {
            names.iter().try_for_each(|(name, value)| rule(kind, std::slice::from_ref(name), value, rules))
        }
        // HCL's own translation to JSON makes lists of what can be repeated.
        (_, Value::Array(items)) if items.iter().all(Value::is_object) => {
            items.iter().try_for_each(|item| rule(kind, labels, item, rules))
        }
        _ => Err(format!("a rule is written {kind} \"name\" {{ policy = \"read\" }}")),
    }
}

fn attributes_grant(kind: &str, name: &str, attributes: &Map<String, Value>) -> Result<Grant, String> {
    for (attribute, value) in attributes {
        match attribute.as_str() {
            "policy" => {}
            // Who may change who may talk to a service; there is no such thing here.
            "intentions" if value.is_string() && kind.starts_with("service") => {}
            other => return Err(format!("unknown attribute {other:?} of {kind} {name:?}")),
        }
    }
    match attributes.get("policy").and_then(Value::as_str) {
        Some(word) => grant(kind, word),
        None => Err(format!("{kind} {name:?} has no policy")),
    }
}

fn grant(kind: &str, word: &str) -> Result<Grant, String> {
    match word {
        "read" => Ok(Grant::Read),
        "write" => Ok(Grant::Write),
        "deny" => Ok(Grant::Deny),
        "list" if kind == "key" || kind == "key_prefix" => Ok(Grant::List),
        other => Err(format!("invalid policy {other:?} for {kind}")),
    }
}

/// Reads the part of HCL that rules need.
struct Reader<'a> {
    rest: &'a str,
}

type Items = Vec<(Vec<String>, Value)>;

impl Reader<'_> {
    fn body(&mut self, depth: usize) -> Result<Items, String> {
        let mut items = Vec::new();
        loop {
            self.skip()?;
            match self.rest.as_bytes().first() {
                None if depth == 0 => return Ok(items),
                None => return Err("a block is not closed".into()),
                Some(b'}') if depth > 0 => {
                    self.rest = &self.rest[1..];
                    return Ok(items);
                }
                Some(b',' | b';') => self.rest = &self.rest[1..],
                Some(_) => items.push(self.item(depth)?),
            }
        }
    }

    fn item(&mut self, depth: usize) -> Result<(Vec<String>, Value), String> {
        let mut path = vec![self.word()?];
        loop {
            self.skip()?;
            match self.rest.as_bytes().first() {
                Some(b'=' | b':') => {
                    self.rest = &self.rest[1..];
                    self.skip()?;
                    return Ok((path, self.value(depth)?));
                }
                Some(b'{') => return Ok((path, self.value(depth)?)),
                Some(_) if path.len() < 3 => path.push(self.word()?),
                _ => return Err(format!("{:?} has no value", path.join(" "))),
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth >= DEEPEST {
            return Err("blocks are nested too deeply".into());
        }
        if let Some(rest) = self.rest.strip_prefix('{') {
            self.rest = rest;
            let mut object = Map::new();
            for (path, value) in self.body(depth + 1)? {
                let value = path[1..]
                    .iter()
                    .rev()
                    .fold(value, |value, label| Value::Object(Map::from_iter([(label.clone(), value)])));
                object.insert(path[0].clone(), value);
            }
            return Ok(Value::Object(object));
        }
        self.word().map(Value::String)
    }

    /// A quoted string or an identifier.
    fn word(&mut self) -> Result<String, String> {
        let Some(quoted) = self.rest.strip_prefix('"') else {
            let end = self.rest.find(|c: char| !(c.is_alphanumeric() || "_-./".contains(c))).unwrap_or(self.rest.len());
            let (word, rest) = self.rest.split_at(end);
            self.rest = rest;
            let found = || self.rest.chars().next().map_or("the end".to_owned(), |c| format!("{c:?}"));
            return if word.is_empty() {
                Err(format!("expected a name, found {}", found()))
            } else {
                Ok(word.to_owned())
            };
        };
        let (mut word, mut characters) = (String::new(), quoted.char_indices());
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.rest = &quoted[at + 1..];
                    return Ok(word);
                }
                '\n' => return Err("a string goes over the end of its line".into()),
                '\\' => match characters.next().map(|(_, escaped)| escaped) {
                    Some(same @ ('"' | '\\')) => word.push(same),
                    Some('n') => word.push('\n'),
                    Some('t') => word.push('\t'),
                    other => return Err(format!("unknown escape \\{}", other.unwrap_or_default())),
                },
                other => word.push(other),
            }
        }
        Err("a string is not closed".into())
    }

    /// Skips spaces and comments.
    fn skip(&mut self) -> Result<(), String> {
        loop {
            self.rest = self.rest.trim_start();
            if self.rest.starts_with('#') || self.rest.starts_with("//") {
                self.rest = self.rest.find('\n').map_or("", |end| &self.rest[end..]);
            } else if self.rest.starts_with("/*") {
                let end = self.rest.find("*/").ok_or("a comment is not closed")?;
                self.rest = &self.rest[end + 2..];
            } else {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rules_are_read_from_hcl_and_json() {
        let key = |name: &str, grant| Rule::exactly(Resource::Key, name, grant);
        let keys = |name: &str, grant| Rule::prefix(Resource::Key, name, grant);
        let operator = Rule { resource: Resource::Operator, matches: Matches::Whole, grant: Grant::Read };
        let cases = [
            ("", vec![]),
            ("# nothing\n// here\n/* at all */", vec![]),
            (r#"key "a/b" { policy = "write" }"#, vec![key("a/b", Grant::Write)]),
            (
                "key_prefix \"\" {\n  policy = \"list\"\n}\noperator = \"read\"",
                vec![keys("", Grant::List), operator.clone()],
            ),
            (
                r#"key "a" { policy = "read", } key "b" { policy = "deny" }"#,
                vec![key("a", Grant::Read), key("b", Grant::Deny)],
            ),
            (r#""key" "q\"" { "policy" = "read" }"#, vec![key("q\"", Grant::Read)]),
            (
                r#"service "web" { policy = "read" intentions = "write" }"#,
                vec![Rule::exactly(Resource::Service, "web", Grant::Read)],
            ),
            (r#"{"key_prefix": {"": {"policy": "read"}}}"#, vec![keys("", Grant::Read)]),
            (
                r#"{"key": [{"a": {"policy": "read"}}, {"b": [{"policy": "deny"}]}], "operator": "read"}"#,
                vec![key("a", Grant::Read), key("b", Grant::Deny), operator],
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_rule_is_refused_with_the_reason() {
        let cases = [
            (r#"keys "a" { policy = "read" }"#, "unknown rule"),
            (r#"key "a" { policy = "rw" }"#, "invalid policy"),
            (r#"service "a" { policy = "list" }"#, "invalid policy"),
            (r#"key "a" { }"#, "has no policy"),
            (r#"key "a" { policy = "read" other = "x" }"#, "unknown attribute"),
            (r#"key "a" { policy = "read""#, "not closed"),
            (r#"key "a"#, "not closed"),
            ("operator { }", "operator must be"),
            ("key = \"read\"", "a rule is written"),
            ("{\"key\": 1}", "a rule is written"),
            ("{", "EOF"),
            ("}", "expected a name"),
        ];
        for (text, part) in cases {
            let error = parse(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_read_or_refused_without_a_panic(text in "\\PC{0,80}") {
            let _ = parse(&text);
        }

        #[test]
        fn text_like_rules_is_read_or_refused_without_a_panic(words in proptest::collection::vec("key|key_prefix|\"a\"|\\{|\\}|=|policy|\"read\"|#|\n|/\\*|\\*/|\"|\\\\|operator|,", 0..40)) {
            let _ = parse(&words.join(" "));
            let _ = parse(&words.concat());
        }

        #[test]
        fn written_rules_are_read_as_they_were(name in "[a-z/\"\\\\]{0,8}", prefix: bool) {
            let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
            let (kind, expected) = match prefix {
                true => ("key_prefix", Rule::prefix(Resource::Key, &name, Grant::Read)),
                false => ("key", Rule::exactly(Resource::Key, &name, Grant::Read)),
            };
            let text = format!("{kind} \"{quoted}\" {{ policy = \"read\" }}");
            prop_assert_eq!(parse(&text), Ok(vec![expected]));
        }
    }

    #[test]
    fn nesting_without_end_is_refused() {
        assert!(parse(&"a {".repeat(100_000)).is_err());
    }
}
