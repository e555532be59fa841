//! Tokens in a file: `token,user,uid,"group1,group2"` per line.

use std::collections::HashMap;

use portolan_identity::User;

/// The tokens of a file and whom they stand for.
#[derive(Clone, Default)]
pub struct StaticTokens(HashMap<String, User>);

impl std::fmt::Debug for StaticTokens {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("StaticTokens").field("count", &self.0.len()).finish()
    }
}

impl StaticTokens {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// Says which line is not a token with its user, without the token.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut tokens = HashMap::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let bad = |why: &str| format!("line {}: {why}", number + 1);
            let fields = fields(line).ok_or_else(|| bad("a quoted field has no end"))?;
            let [token, name, uid, groups @ ..] = fields.as_slice() else {
                return Err(bad("a token, a user name and a user's id are needed"));
            };
            if token.is_empty() {
                return Err(bad("the token is empty"));
            }
            let groups = groups.first().map(String::as_str).unwrap_or_default();
            let groups = groups.split(',').map(str::trim).filter(|group| !group.is_empty());
            let mut user = User::new(name.as_str(), groups);
            user.uid.clone_from(uid);
            tokens.insert(token.clone(), user);
        }
        Ok(Self(tokens))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn user(&self, token: &str) -> Option<&User> {
        self.0.get(token)
    }
}

/// The fields of a line of comma-separated values (RFC 4180).
fn fields(line: &str) -> Option<Vec<String>> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                field.push('"');
                letters.next();
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field).trim().to_owned()),
            _ => field.push(letter),
        }
    }
    fields.push(field.trim().to_owned());
    (!quoted).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_gives_a_token_its_user() {
        let tokens = StaticTokens::parse("t1,ann,1,\"dev,ops\"\n\nt2,bob,2\n").expect("reads");
        let ann = tokens.user("t1").expect("there");
        assert_eq!((&*ann.name, &*ann.uid), ("ann", "1"));
        assert_eq!(ann.groups, ["dev", "ops", "system:authenticated"]);
        assert_eq!(tokens.user("t2").expect("there").groups, ["system:authenticated"]);
        assert!(tokens.user("t3").is_none());
        for bad in ["t1,ann", ",ann,1", "t,\"ann,1"] {
            assert!(StaticTokens::parse(bad).is_err(), "{bad}");
        }
    }
}
