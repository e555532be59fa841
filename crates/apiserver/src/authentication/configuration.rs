//! The file of `--authentication-config`: `AuthenticationConfiguration` of `apiserver.config.k8s.io`.

use serde::Deserialize;

use super::{Anonymous, ClaimMapping, JwtIssuer};
use crate::configuration::{self, Invalid};

/// What the file says.
#[derive(Debug, Clone, Default)]
pub struct AuthenticationConfiguration {
    /// Issuers whose tokens are believed.
    pub issuers: Vec<JwtIssuer>,
    /// What is done without credentials, if the file says.
    pub anonymous: Option<Anonymous>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    #[serde(default)]
    jwt: Vec<Jwt>,
    anonymous: Option<AnonymousFile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Jwt {
    issuer: Issuer,
    #[serde(default)]
    claim_validation_rules: Vec<ClaimRule>,
    claim_mappings: Mappings,
    #[serde(default)]
    user_validation_rules: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Issuer {
    url: String,
    #[serde(rename = "discoveryURL")]
    discovery_url: Option<String>,
    certificate_authority: Option<String>,
    audiences: Vec<String>,
    audience_match_policy: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ClaimRule {
    #[serde(default)]
    claim: String,
    #[serde(default)]
    required_value: String,
    expression: Option<String>,
    #[serde(rename = "message")]
    _message: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Mappings {
    username: Mapping,
    groups: Option<Mapping>,
    uid: Option<Mapping>,
    #[serde(default)]
    extra: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Mapping {
    #[serde(default)]
    claim: String,
    prefix: Option<String>,
    expression: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AnonymousFile {
    enabled: bool,
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    path: String,
}

/// Signatures that are accepted from issuers of the file, as upstream.
const ALGORITHMS: [&str; 9] = ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512"];

impl AuthenticationConfiguration {
    /// Reads the text of a file, YAML or JSON.
    ///
    /// # Errors
    /// It is not such a file, or asks for something that is not supported: CEL expressions.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let versions =
            ["apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1beta1", "apiserver.config.k8s.io/v1alpha1"];
        let file: File = configuration::read(text, &versions, "AuthenticationConfiguration")?;
        let issuers = file
            .jwt
            .into_iter()
            .enumerate()
            .map(|(index, jwt)| issuer(jwt).map_err(|why| Invalid(format!("jwt[{index}].{why}"))));
        let issuers = issuers.collect::<Result<Vec<_>, _>>()?;
        for (index, issuer) in issuers.iter().enumerate() {
            if issuers[..index].iter().any(|other| other.url == issuer.url) {
                return Err(Invalid(format!("jwt[{index}].issuer.url: Duplicate value: \"{}\"", issuer.url)));
            }
        }
        let anonymous = file.anonymous.map(|anonymous| match anonymous.enabled {
            false => Anonymous::Refused,
            true if anonymous.conditions.is_empty() => Anonymous::Allowed,
            true => Anonymous::AllowedAt(anonymous.conditions.into_iter().map(|condition| condition.path).collect()),
        });
        Ok(Self { issuers, anonymous })
    }
}

fn issuer(jwt: Jwt) -> Result<JwtIssuer, String> {
    let no_expressions = |place: &str| format!("{place}: CEL expressions are not supported; name a claim instead");
    if !jwt.issuer.url.starts_with("https://") {
        return Err("issuer.url: Invalid value: URL scheme must be https".into());
    }
    if jwt.issuer.audiences.is_empty() {
        return Err("issuer.audiences: Required value: at least one issuer.audiences is required".into());
    }
    if jwt.issuer.audiences.len() > 1 && jwt.issuer.audience_match_policy.as_deref() != Some("MatchAny") {
        return Err("issuer.audienceMatchPolicy: Invalid value: must be MatchAny for multiple audiences".into());
    }
    if !jwt.user_validation_rules.is_empty() {
        return Err(no_expressions("userValidationRules"));
    }
    if !jwt.claim_mappings.extra.is_empty() {
        return Err(no_expressions("claimMappings.extra"));
    }
    let mapping = |place: &str, mapping: Mapping| {
        if mapping.expression.is_some() {
            return Err(no_expressions(place));
        }
        if mapping.claim.is_empty() {
            return Err(format!("{place}: Required value: claim or expression is required"));
        }
        Ok(mapping)
    };
    let with_prefix = |place: &str, given: Mapping| {
        let given = mapping(place, given)?;
        let prefix = given.prefix.ok_or_else(|| {
            format!("{place}.prefix: Required value: prefix is required when claim is set. It can be set to an empty string to disable prefixing")
        })?;
        Ok::<_, String>(ClaimMapping { claim: given.claim, prefix })
    };
    let mut required_claims = Vec::new();
    for rule in jwt.claim_validation_rules {
        if rule.expression.is_some() {
            return Err(no_expressions("claimValidationRules"));
        }
        required_claims.push((rule.claim, rule.required_value));
    }
    let uid = jwt.claim_mappings.uid.map(|uid| mapping("claimMappings.uid", uid)).transpose()?;
    Ok(JwtIssuer {
        url: jwt.issuer.url,
        discovery_url: jwt.issuer.discovery_url,
        authority_pem: jwt.issuer.certificate_authority,
        audiences: jwt.issuer.audiences,
        algorithms: ALGORITHMS.map(str::to_owned).into(),
        username: with_prefix("claimMappings.username", jwt.claim_mappings.username)?,
        groups: jwt.claim_mappings.groups.map(|groups| with_prefix("claimMappings.groups", groups)).transpose()?,
        uid_claim: uid.map(|uid| uid.claim),
        required_claims,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "
apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
jwt:
- issuer: {url: https://issuer.example, audiences: [a, b], audienceMatchPolicy: MatchAny}
  claimValidationRules: [{claim: hd, requiredValue: example.com}]
  claimMappings:
    username: {claim: sub, prefix: 'x:'}
    groups: {claim: groups, prefix: ''}
    uid: {claim: uid}
anonymous: {enabled: true, conditions: [{path: /livez}]}
";

    #[test]
    fn the_file_says_which_issuers_and_how_their_claims_are_read() {
        let file = AuthenticationConfiguration::parse(GOOD).expect("reads");
        let [issuer] = file.issuers.as_slice() else { panic!("one issuer") };
        assert_eq!((&*issuer.username.claim, &*issuer.username.prefix), ("sub", "x:"));
        assert_eq!(issuer.uid_claim.as_deref(), Some("uid"));
        assert!(matches!(file.anonymous, Some(Anonymous::AllowedAt(paths)) if paths == ["/livez"]));
        for (from, to, expected) in [
            ("https://issuer", "http://issuer", "URL scheme must be https"),
            (", audienceMatchPolicy: MatchAny", "", "must be MatchAny"),
            ("prefix: 'x:'", "expression: claims.sub", "not supported"),
            (", prefix: 'x:'", "", "prefix is required when claim is set"),
            ("jwt:", "jwts:", "unknown field"),
            ("k8s.io/v1", "k8s.io/v9", "apiserver.config.k8s.io/v9"),
        ] {
            let error = AuthenticationConfiguration::parse(&GOOD.replacen(from, to, 1)).expect_err(to);
            assert!(error.to_string().contains(expected), "{to}: {error}");
        }
    }
}
