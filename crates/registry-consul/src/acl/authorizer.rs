//! Who may do what. Pure.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use super::rules::{Grant, Matches, Resource, Rule};
use crate::Error;

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "every right that rules can grant has its name, whether a handler asks for it yet or not")]
pub(crate) enum Access {
    AclRead,
    AclWrite,
    AgentRead,
    AgentWrite,
    EventRead,
    EventWrite,
    KeyRead,
    KeyList,
    KeyWrite,
    /// Write everything with a prefix.
    KeyWritePrefix,
    NodeRead,
    NodeWrite,
    OperatorRead,
    OperatorWrite,
    QueryRead,
    QueryWrite,
    ServiceRead,
    ServiceWrite,
    SessionRead,
    SessionWrite,
}

impl Access {
    fn needs(self) -> (Resource, Grant) {
        match self {
            Self::AclRead => (Resource::Acl, Grant::Read),
            Self::AclWrite => (Resource::Acl, Grant::Write),
            Self::AgentRead => (Resource::Agent, Grant::Read),
            Self::AgentWrite => (Resource::Agent, Grant::Write),
            Self::EventRead => (Resource::Event, Grant::Read),
            Self::EventWrite => (Resource::Event, Grant::Write),
            Self::KeyRead => (Resource::Key, Grant::Read),
            Self::KeyList => (Resource::Key, Grant::List),
            Self::KeyWrite | Self::KeyWritePrefix => (Resource::Key, Grant::Write),
            Self::NodeRead => (Resource::Node, Grant::Read),
            Self::NodeWrite => (Resource::Node, Grant::Write),
            Self::OperatorRead => (Resource::Operator, Grant::Read),
            Self::OperatorWrite => (Resource::Operator, Grant::Write),
            Self::QueryRead => (Resource::Query, Grant::Read),
            Self::QueryWrite => (Resource::Query, Grant::Write),
            Self::ServiceRead => (Resource::Service, Grant::Read),
            Self::ServiceWrite => (Resource::Service, Grant::Write),
            Self::SessionRead => (Resource::Session, Grant::Read),
            Self::SessionWrite => (Resource::Session, Grant::Write),
        }
    }
}

/// What holds where no rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DefaultPolicy {
    /// Everything is allowed but what concerns tokens and policies.
    Allow,
    /// Nothing is allowed.
    #[default]
    Deny,
}

#[derive(Debug, Clone, Default)]
struct Names {
    exactly: BTreeMap<String, Grant>,
    prefixes: BTreeMap<String, Grant>,
}

/// What one token may do.
#[derive(Debug, Clone)]
pub(crate) struct Authorizer {
    accessor: String,
    everything: bool,
    default: DefaultPolicy,
    whole: HashMap<Resource, Grant>,
    names: HashMap<Resource, Names>,
}

impl Authorizer {
    /// Allows everything: nobody turned access control on.
    pub(crate) fn everything() -> Self {
        Self { everything: true, ..Self::new(String::new(), DefaultPolicy::Allow, []) }
    }

    /// Compiles rules. Between rules for the same name denial wins, then the stronger grant.
    pub(crate) fn new(accessor: String, default: DefaultPolicy, rules: impl IntoIterator<Item = Rule>) -> Self {
        let (mut whole, mut names) = (HashMap::new(), HashMap::<Resource, Names>::new());
        let strongest = |grant: &mut Grant, new: Grant| *grant = (*grant).max(new);
        for Rule { resource, matches, grant } in rules {
            let present = match matches {
                Matches::Whole => whole.entry(resource).or_insert(grant),
                Matches::Exactly(name) => names.entry(resource).or_default().exactly.entry(name).or_insert(grant),
                Matches::Prefix(name) => names.entry(resource).or_default().prefixes.entry(name).or_insert(grant),
            };
            strongest(present, grant);
        }
        Self { accessor, everything: false, default, whole, names }
    }

    /// Id of the token.
    pub(crate) fn accessor(&self) -> &str {
        &self.accessor
    }

    /// Whether `access` to `name` is allowed; resources without names ignore it.
    pub(crate) fn allows(&self, access: Access, name: &str) -> bool {
        if self.everything {
            return true;
        }
        let (resource, needed) = access.needs();
        let default = match resource {
            // Tokens and policies are never open to everybody.
            Resource::Acl => false,
            _ => self.default == DefaultPolicy::Allow,
        };
        let suffices = |grant: Grant| grant != Grant::Deny && grant >= needed;
        if let Some(grant) = self.whole.get(&resource) {
            return suffices(*grant);
        }
        // Without a rule of its own the keyring and such follow the operator's; nothing here asks for them.
        let Some(names) = self.names.get(&resource) else { return default };
        if access == Access::KeyWritePrefix {
            let below = |rules: &BTreeMap<String, Grant>| {
                let from = (Bound::Included(name.to_owned()), Bound::Unbounded);
                rules.range(from).take_while(|(rule, _)| rule.starts_with(name)).all(|(_, grant)| suffices(*grant))
            };
            return names.of_prefix(name).map_or(default, suffices) && below(&names.exactly) && below(&names.prefixes);
        }
        names.exactly.get(name).copied().or_else(|| names.of_prefix(name)).map_or(default, suffices)
    }

    /// Refuses what is not allowed, in Consul's words.
    pub(crate) fn require(&self, access: Access, name: &str) -> Result<(), Error> {
        if self.allows(access, name) {
            return Ok(());
        }
        let (resource, grant) = access.needs();
        let right = match grant {
            Grant::List => "list",
            Grant::Write => "write",
            Grant::Read | Grant::Deny => "read",
        };
        let on = if name.is_empty() { String::new() } else { format!(" on {name:?}") };
        let (accessor, resource) = (&self.accessor, resource.word());
        Err(Error::Forbidden(format!(
            "Permission denied: token with AccessorID '{accessor}' lacks permission '{resource}:{right}'{on}"
        )))
    }
}

impl Names {
    /// The grant of the longest prefix rule for a name.
    fn of_prefix(&self, name: &str) -> Option<Grant> {
        let ends = (0..=name.len()).rev().filter(|end| name.is_char_boundary(*end));
        ends.into_iter().find_map(|end| self.prefixes.get(&name[..end])).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules::parse;
    use super::*;

    fn authorizer(default: DefaultPolicy, policies: &[&str]) -> Authorizer {
        let rules = policies.iter().flat_map(|text| parse(text).expect("rules"));
        Authorizer::new("a".into(), default, rules)
    }

    #[test]
    fn the_longest_rule_decides_and_denial_wins_between_equals() {
        let policy = r#"key_prefix "" { policy = "read" } key_prefix "app/" { policy = "write" }
            key_prefix "app/secret/" { policy = "deny" } key "app/secret/open" { policy = "read" }
            key_prefix "l/" { policy = "list" } service "web" { policy = "write" } operator = "read""#;
        let both = authorizer(
            DefaultPolicy::Deny,
            &[
                policy,
                r#"key_prefix "app/shared" { policy = "deny" }"#,
                r#"key_prefix "app/shared" { policy = "write" }"#,
            ],
        );
        let cases = [
            (Access::KeyRead, "x", true),
            (Access::KeyWrite, "x", false),
            (Access::KeyWrite, "app/x", true),
            (Access::KeyRead, "app/secret/x", false),
            (Access::KeyRead, "app/secret/open", true),
            (Access::KeyWrite, "app/secret/open", false),
            (Access::KeyWrite, "app/shared/x", false),
            (Access::KeyRead, "app/shared/x", false),
            (Access::KeyList, "l/x", true),
            (Access::KeyList, "x", false),
            (Access::KeyWritePrefix, "app/x/", true),
            (Access::KeyWritePrefix, "app/", false),
            (Access::KeyWritePrefix, "", false),
            (Access::ServiceRead, "web", true),
            (Access::ServiceWrite, "web2", false),
            (Access::OperatorRead, "", true),
            (Access::OperatorWrite, "", false),
            (Access::NodeRead, "n", false),
            (Access::AclRead, "", false),
        ];
        for (access, name, expected) in cases {
            assert_eq!(both.allows(access, name), expected, "{access:?} {name}");
        }
    }

    #[test]
    fn the_default_holds_where_no_rule_does_but_never_for_tokens() {
        let open = authorizer(DefaultPolicy::Allow, &[r#"key_prefix "a/" { policy = "deny" }"#]);
        assert!(open.allows(Access::KeyWrite, "b") && open.allows(Access::NodeWrite, "n"));
        assert!(!open.allows(Access::KeyRead, "a/b") && !open.allows(Access::AclRead, ""));
        assert!(!open.allows(Access::KeyWritePrefix, "") && open.allows(Access::KeyWritePrefix, "b"));
        assert!(Authorizer::everything().allows(Access::AclWrite, ""));
        let text = open.require(Access::KeyWrite, "a/b").expect_err("denied").to_string();
        assert_eq!(text, "Permission denied: token with AccessorID 'a' lacks permission 'key:write' on \"a/b\"");
    }
}
