//! Tokens, policies and roles as they are stored. Pure.

use portolan_base::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::rules::{self, Grant, Resource, Rule};

/// Id of the policy that allows everything.
pub(crate) const GLOBAL_MANAGEMENT: &str = "00000000-0000-0000-0000-000000000001";
/// Id of the policy that allows to read everything.
pub(crate) const GLOBAL_READ_ONLY: &str = "00000000-0000-0000-0000-000000000002";
/// Accessor of the token of those who show none.
pub(crate) const ANONYMOUS: &str = "00000000-0000-0000-0000-000000000002";
/// Secret of that token.
pub(crate) const ANONYMOUS_SECRET: &str = "anonymous";

/// A reference to a policy or a role.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Link {
    #[serde(rename = "ID")]
    pub(crate) id: String,
    pub(crate) name: String,
}

/// The rights that an instance of a service needs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ServiceIdentity {
    pub(crate) service_name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) datacenters: Vec<String>,
}

/// The rights that an agent needs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct NodeIdentity {
    pub(crate) node_name: String,
    pub(crate) datacenter: String,
}

/// A use of a template.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct TemplatedPolicy {
    pub(crate) template_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) template_variables: Option<TemplateVariables>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) datacenters: Vec<String>,
}

/// What a template is about.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct TemplateVariables {
    #[serde(alias = "Name")]
    pub(crate) name: String,
}

/// What tokens and roles grant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Grants {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) policies: Vec<Link>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) service_identities: Vec<ServiceIdentity>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) node_identities: Vec<NodeIdentity>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) templated_policies: Vec<TemplatedPolicy>,
}

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Token {
    #[serde(rename = "AccessorID")]
    pub(crate) accessor_id: String,
    pub(crate) description: String,
    #[serde(flatten)]
    pub(crate) grants: Grants,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) roles: Vec<Link>,
    pub(crate) local: bool,
    /// Auth method by which it was made.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) auth_method: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expiration_time: Option<Timestamp>,
    pub(crate) create_time: Timestamp,
}

/// A token and the hash of its secret, as stored.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct StoredToken {
    pub(crate) token: Token,
    /// Hash of the secret; the secret itself is nowhere.
    pub(crate) secret_hash: String,
}

impl StoredToken {
    /// Whether its time is over.
    pub(crate) fn has_expired(&self, now: Timestamp) -> bool {
        self.token.expiration_time.is_some_and(|end| end <= now)
    }
}

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Policy {
    #[serde(rename = "ID")]
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) rules: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) datacenters: Vec<String>,
}

/// A role.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Role {
    #[serde(rename = "ID")]
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) description: String,
    #[serde(flatten)]
    pub(crate) grants: Grants,
}

/// The policies that are always there.
pub(crate) fn builtin_policies() -> [Policy; 2] {
    let rules = |grant: &str| {
        let whole = ["acl", "keyring", "mesh", "operator", "peering"];
        let named = ["agent", "event", "key", "node", "query", "service", "session"];
        let whole = whole.iter().map(|word| format!("{word} = \"{grant}\"\n"));
        let named = named.iter().map(|word| format!("{word}_prefix \"\" {{\n  policy = \"{grant}\"\n}}\n"));
        whole.chain(named).collect::<String>()
    };
    let policy = |id: &str, name: &str, description: &str, grant: &str| Policy {
        id: id.into(),
        name: name.into(),
        description: description.into(),
        rules: rules(grant),
        datacenters: vec![],
    };
    let write = "Builtin Policy that grants unlimited access";
    let read = "Builtin Policy that grants unlimited read-only access to all components";
    [
        policy(GLOBAL_MANAGEMENT, "global-management", write, "write"),
        policy(GLOBAL_READ_ONLY, "builtin/global-read-only", read, "read"),
    ]
}

/// Hash under which a secret is stored. Secrets are random UUIDs, so nothing slower is needed.
pub(crate) fn hash(secret: &str) -> String {
    Sha256::digest(secret).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a text has the form of a UUID.
pub(crate) fn is_uuid(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()
}

/// Names of templates, with the text of the rules they make.
pub(crate) const TEMPLATES: [(&str, &str, bool); 3] = [
    (
        "builtin/dns",
        "\nnode_prefix \"\" {\n\tpolicy = \"read\"\n}\nservice_prefix \"\" {\n\tpolicy = \"read\"\n}\nquery_prefix \"\" {\n\tpolicy = \"read\"\n}",
        false,
    ),
    (
        "builtin/node",
        "\nnode \"{{.Name}}\" {\n\tpolicy = \"write\"\n}\nservice_prefix \"\" {\n\tpolicy = \"read\"\n}",
        true,
    ),
    (
        "builtin/service",
        "\nservice \"{{.Name}}\" {\n\tpolicy = \"write\"\n}\nservice \"{{.Name}}-sidecar-proxy\" {\n\tpolicy = \"write\"\n}\nservice_prefix \"\" {\n\tpolicy = \"read\"\n}\nnode_prefix \"\" {\n\tpolicy = \"read\"\n}",
        true,
    ),
];

impl TemplatedPolicy {
    /// The text of its rules; or why there are none.
    pub(crate) fn text(&self) -> Result<String, String> {
        let Some((_, text, named)) = TEMPLATES.iter().find(|(name, ..)| *name == self.template_name) else {
            return Err(format!("no such ACL templated policy with Name {:?}", self.template_name));
        };
        let name = self.template_variables.as_ref().map_or("", |variables| variables.name.as_str());
        if *named && !is_identity(name) {
            return Err(format!("the templated policy {:?} needs a valid variable \"name\"", self.template_name));
        }
        Ok(text.replace("{{.Name}}", name))
    }
}

/// Whether services and nodes can have this name; none of its characters mean something in rules.
pub(crate) fn is_identity(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    (1..=256).contains(&name.len()) && name.chars().all(inner) && !name.starts_with('-') && !name.ends_with('-')
}

impl Grants {
    /// The rules of everything but the policies. Identities for other datacenters grant nothing here.
    pub(crate) fn own_rules(&self, datacenter: &str) -> Vec<Rule> {
        let here = |datacenters: &[String]| datacenters.is_empty() || datacenters.iter().any(|name| name == datacenter);
        let mut rules = Vec::new();
        for identity in self.service_identities.iter().filter(|identity| here(&identity.datacenters)) {
            let name = &identity.service_name;
            rules.push(Rule::exactly(Resource::Service, name, Grant::Write));
            rules.push(Rule::exactly(Resource::Service, &format!("{name}-sidecar-proxy"), Grant::Write));
            rules.push(Rule::prefix(Resource::Service, "", Grant::Read));
            rules.push(Rule::prefix(Resource::Node, "", Grant::Read));
        }
        for identity in self.node_identities.iter().filter(|identity| identity.datacenter == datacenter) {
            rules.push(Rule::exactly(Resource::Node, &identity.node_name, Grant::Write));
            rules.push(Rule::prefix(Resource::Service, "", Grant::Read));
        }
        for templated in self.templated_policies.iter().filter(|templated| here(&templated.datacenters)) {
            // Checked when it was written.
            rules.extend(templated.text().and_then(|text| rules::parse(&text)).unwrap_or_default());
        }
        rules
    }

    /// Says what is wrong with it.
    pub(crate) fn check(&self) -> Result<(), String> {
        for ServiceIdentity { service_name, .. } in &self.service_identities {
            if !is_identity(service_name) {
                return Err(format!(
                    "Service identity {service_name:?} has an invalid name. Only lowercase alphanumeric characters, '-' and '_' are allowed"
                ));
            }
        }
        for NodeIdentity { node_name, datacenter } in &self.node_identities {
            if datacenter.is_empty() || !is_identity(node_name) {
                return Err(format!("Node identity {node_name:?} needs a valid name and a datacenter"));
            }
        }
        self.templated_policies.iter().try_for_each(|templated| templated.text().map(|_| ()))
    }
}
