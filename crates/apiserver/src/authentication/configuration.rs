//! The file of `--authentication-config`: `AuthenticationConfiguration` of `apiserver.config.k8s.io`.

use std::sync::Arc;

use portolan_api::field::Path;
use portolan_api::validation;
use serde::Deserialize;

use super::expressions::{Expression, Expressions, Rule};
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
    user_validation_rules: Vec<UserRule>,
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
    egress_selector_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ClaimRule {
    #[serde(default)]
    claim: String,
    #[serde(default)]
    required_value: String,
    #[serde(default)]
    expression: String,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserRule {
    #[serde(default)]
    expression: String,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Extra {
    #[serde(default)]
    key: String,
    #[serde(default)]
    value_expression: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Mappings {
    username: Mapping,
    groups: Option<Mapping>,
    uid: Option<Mapping>,
    #[serde(default)]
    extra: Vec<Extra>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Mapping {
    #[serde(default)]
    claim: String,
    prefix: Option<String>,
    #[serde(default)]
    expression: String,
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

const MOST_ISSUERS: usize = 64;

/// Signatures that are accepted from issuers of the file, as upstream.
const ALGORITHMS: [&str; 9] = ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512"];

impl AuthenticationConfiguration {
    /// Reads the text of a file, YAML or JSON; no issuer may be one of the server's own.
    ///
    /// # Errors
    /// It is not such a file, or holds an expression that does not compile.
    pub fn parse(text: &str, own_issuers: &[String]) -> Result<Self, Invalid> {
        let versions =
            ["apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1beta1", "apiserver.config.k8s.io/v1alpha1"];
        let file: File = configuration::read(text, &versions.map(|version| (version, "AuthenticationConfiguration")))?;
        if file.jwt.len() > MOST_ISSUERS {
            return Err(Invalid(format!("jwt: Too many: {}: must have at most {MOST_ISSUERS} items", file.jwt.len())));
        }
        let issuers = file
            .jwt
            .into_iter()
            .enumerate()
            .map(|(index, jwt)| issuer(jwt, own_issuers).map_err(|why| Invalid(format!("jwt[{index}].{why}"))));
        let issuers = issuers.collect::<Result<Vec<_>, _>>()?;
        for (index, issuer) in issuers.iter().enumerate() {
            if issuers[..index].iter().any(|other| other.url == issuer.url) {
                return Err(Invalid(format!("jwt[{index}].issuer.url: Duplicate value: \"{}\"", issuer.url)));
            }
            if let Some(url) = &issuer.discovery_url
                && issuers[..index].iter().any(|other| other.discovery_url.as_ref() == Some(url))
            {
                return Err(Invalid(format!("jwt[{index}].issuer.discoveryURL: Duplicate value: {url:?}")));
            }
        }
        if file.anonymous.as_ref().is_some_and(|anonymous| !anonymous.enabled && !anonymous.conditions.is_empty()) {
            let why = "enabled should be set to true when conditions are defined";
            return Err(Invalid(format!("anonymous.conditions: Invalid value: {why}")));
        }
        let anonymous = file.anonymous.map(|anonymous| match anonymous.enabled {
            false => Anonymous::Refused,
            true if anonymous.conditions.is_empty() => Anonymous::Allowed,
            true => Anonymous::AllowedAt(anonymous.conditions.into_iter().map(|condition| condition.path).collect()),
        });
        Ok(Self { issuers, anonymous })
    }
}

impl JwtIssuer {
    /// Checks where an issuer is that no file names, and for whom its tokens are meant.
    ///
    /// # Errors
    /// Its URL is none of another server that speaks TLS, or no audience is named.
    pub fn check(&self, own_issuers: &[String]) -> Result<(), Invalid> {
        check_source(&self.url, self.discovery_url.as_deref(), &self.audiences, own_issuers).map_err(Invalid)
    }
}

fn issuer(jwt: Jwt, own_issuers: &[String]) -> Result<JwtIssuer, String> {
    check_issuer(&jwt.issuer, own_issuers)?;
    let mut expressions = Expressions::default();
    let required_claims = claim_rules(&jwt.claim_validation_rules, &mut expressions)?;
    let (username, expression) = prefixed("claimMappings.username", jwt.claim_mappings.username)?;
    let username = match (&username, &expression) {
        (None, None) => return Err("claimMappings.username: Required value: claim or expression is required".into()),
        _ => username.unwrap_or_default(),
    };
    expressions.username = expression;
    let groups = jwt.claim_mappings.groups.map(|groups| prefixed("claimMappings.groups", groups)).transpose()?;
    let (groups, expression) = groups.unwrap_or_default();
    expressions.groups = expression;
    let uid_claim = match jwt.claim_mappings.uid {
        None => None,
        Some(uid) => {
            let (claim, expression) = either("claimMappings.uid", &uid)?;
            expressions.uid = expression;
            claim
        }
    };
    for (index, extra) in jwt.claim_mappings.extra.into_iter().enumerate() {
        let place = format!("claimMappings.extra[{index}]");
        check_key(&format!("{place}.key"), &extra.key)?;
        if expressions.extra.iter().any(|(key, _)| *key == extra.key) {
            return Err(format!("{place}.key: Duplicate value: {:?}", extra.key));
        }
        let place = format!("{place}.valueExpression");
        if extra.value_expression.is_empty() {
            return Err(format!("{place}: Required value"));
        }
        let expression = Expression::of_claims(&extra.value_expression);
        let expression = expression.map_err(|why| invalid(&place, &extra.value_expression, &why))?;
        expressions.extra.push((extra.key, expression));
    }
    check_email(&expressions)?;
    user_rules(&jwt.user_validation_rules, &mut expressions)?;
    Ok(JwtIssuer {
        url: jwt.issuer.url,
        discovery_url: jwt.issuer.discovery_url.filter(|url| !url.is_empty()),
        authority_pem: jwt.issuer.certificate_authority,
        audiences: jwt.issuer.audiences,
        algorithms: ALGORITHMS.map(str::to_owned).into(),
        username,
        groups,
        uid_claim,
        required_claims,
        expressions: Arc::new(expressions),
    })
}

/// What holds of every issuer, whether a file or flags name it: where it is, and for whom its tokens are meant.
fn check_source(
    url: &str,
    discovery_url: Option<&str>,
    audiences: &[String],
    own_issuers: &[String],
) -> Result<(), String> {
    if url.is_empty() {
        return Err("issuer.url: Required value".into());
    }
    if own_issuers.iter().any(|own| own == url) {
        let why = format!("URL must not overlap with disallowed issuers: [{}]", own_issuers.join(" "));
        return Err(invalid("issuer.url", url, &why));
    }
    check_url("issuer.url", url)?;
    if let Some(discovery) = discovery_url.filter(|discovery| !discovery.is_empty()) {
        if discovery.trim_end_matches('/') == url.trim_end_matches('/') {
            return Err(invalid("issuer.discoveryURL", discovery, "discoveryURL must be different from URL"));
        }
        check_url("issuer.discoveryURL", discovery)?;
    }
    if audiences.is_empty() {
        return Err("issuer.audiences: Required value: at least one issuer.audiences is required".into());
    }
    for (index, audience) in audiences.iter().enumerate() {
        let place = format!("issuer.audiences[{index}]");
        if audience.is_empty() {
            return Err(format!("{place}: Required value"));
        }
        if audiences[..index].contains(audience) {
            return Err(format!("{place}: Duplicate value: {audience:?}"));
        }
    }
    Ok(())
}

fn check_issuer(issuer: &Issuer, own_issuers: &[String]) -> Result<(), String> {
    let Issuer { url, discovery_url, audiences, audience_match_policy, egress_selector_type, .. } = issuer;
    check_source(url, discovery_url.as_deref(), audiences, own_issuers)?;
    let policy = audience_match_policy.as_deref().unwrap_or_default();
    let place = "issuer.audienceMatchPolicy";
    if audiences.len() > 1 && policy != "MatchAny" {
        return Err(invalid(place, policy, "audienceMatchPolicy must be MatchAny for multiple audiences"));
    }
    if !matches!(policy, "" | "MatchAny") {
        return Err(invalid(place, policy, "audienceMatchPolicy must be empty or MatchAny for single audience"));
    }
    match egress_selector_type.as_deref() {
        None | Some("") => Ok(()),
        Some(kind @ ("controlplane" | "cluster")) => {
            let why = "this server has no egress selection: it asks issuers directly";
            Err(invalid("issuer.egressSelectorType", kind, why))
        }
        Some(kind) => {
            let why = "egress selector must be either controlplane or cluster";
            Err(invalid("issuer.egressSelectorType", kind, why))
        }
    }
}

fn check_url(place: &str, url: &str) -> Result<(), String> {
    let (rest, fragment) = url.split_once('#').map_or((url, ""), |(rest, fragment)| (rest, fragment));
    let parsed: http::Uri =
        rest.parse().map_err(|error: http::uri::InvalidUri| invalid(place, url, &error.to_string()))?;
    let why = if parsed.scheme_str() != Some("https") {
        "URL scheme must be https"
    } else if parsed.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        "URL must not contain a username or password"
    } else if parsed.query().is_some_and(|query| !query.is_empty()) {
        "URL must not contain a query"
    } else if !fragment.is_empty() {
        "URL must not contain a fragment"
    } else {
        return Ok(());
    };
    Err(invalid(place, url, why))
}

fn invalid(place: &str, value: &str, why: &str) -> String {
    format!("{place}: Invalid value: {value:?}: {why}")
}

/// The claims that must have a value; rules in CEL are added to the expressions.
fn claim_rules(rules: &[ClaimRule], expressions: &mut Expressions) -> Result<Vec<(String, String)>, String> {
    let mut required = Vec::<(String, String)>::new();
    for (index, rule) in rules.iter().enumerate() {
        let place = format!("claimValidationRules[{index}]");
        match (rule.claim.as_str(), rule.expression.as_str()) {
            ("", "") => return Err(format!("{place}: Required value: claim or expression is required")),
            (claim, "") => {
                if !rule.message.is_empty() {
                    let why = "may not be specified when claim is set";
                    return Err(invalid(&format!("{place}.message"), &rule.message, why));
                }
                if required.iter().any(|(known, _)| known == claim) {
                    return Err(format!("{place}.claim: Duplicate value: {claim:?}"));
                }
                required.push((claim.to_owned(), rule.required_value.clone()));
            }
            ("", expression) => {
                if !rule.required_value.is_empty() {
                    let why = "may not be specified when expression is set";
                    return Err(invalid(&format!("{place}.requiredValue"), &rule.required_value, why));
                }
                let place = format!("{place}.expression");
                if rules[..index].iter().any(|other| other.expression == expression) {
                    return Err(format!("{place}: Duplicate value: {expression:?}"));
                }
                let compiled = Rule::of_claims(expression, &rule.message);
                expressions.claim_rules.push(compiled.map_err(|why| invalid(&place, expression, &why))?);
            }
            (claim, _) => return Err(invalid(&place, claim, "claim and expression can't both be set")),
        }
    }
    Ok(required)
}

fn user_rules(rules: &[UserRule], expressions: &mut Expressions) -> Result<(), String> {
    for (index, rule) in rules.iter().enumerate() {
        let place = format!("userValidationRules[{index}].expression");
        if rule.expression.is_empty() {
            return Err(format!("{place}: Required value"));
        }
        if rules[..index].iter().any(|other| other.expression == rule.expression) {
            return Err(format!("{place}: Duplicate value: {:?}", rule.expression));
        }
        let compiled = Rule::of_user(&rule.expression, &rule.message);
        expressions.user_rules.push(compiled.map_err(|why| invalid(&place, &rule.expression, &why))?);
    }
    Ok(())
}

/// The claim that a mapping names, or its expression.
fn either(place: &str, mapping: &Mapping) -> Result<(Option<String>, Option<Expression>), String> {
    match (mapping.claim.as_str(), mapping.expression.as_str()) {
        ("", "") => Ok((None, None)),
        (claim, "") => Ok((Some(claim.to_owned()), None)),
        ("", text) => {
            let expression = Expression::of_claims(text);
            Ok((None, Some(expression.map_err(|why| invalid(&format!("{place}.expression"), text, &why))?)))
        }
        _ => Err(invalid(place, "", "claim and expression can't both be set")),
    }
}

/// The same where a claim has a prefix.
fn prefixed(place: &str, mapping: Mapping) -> Result<(Option<ClaimMapping>, Option<Expression>), String> {
    match (either(place, &mapping)?, mapping.prefix) {
        ((None, Some(_)), Some(prefix)) => {
            Err(invalid(&format!("{place}.prefix"), &prefix, "may not be specified when expression is set"))
        }
        ((Some(claim), _), Some(prefix)) => Ok((Some(ClaimMapping { claim, prefix }), None)),
        ((Some(_), _), None) => Err(format!(
            "{place}.prefix: Required value: prefix is required when claim is set. It can be set to an empty string \
             to disable prefixing"
        )),
        ((None, expression), _) => Ok((None, expression)),
    }
}

/// An address that the issuer has not checked is anybody's: whoever makes names of addresses looks at that.
fn check_email(expressions: &Expressions) -> Result<(), String> {
    let uses_email = expressions.username.as_ref().is_some_and(|expression| expression.reads("email"));
    let verified = "email_verified";
    let looks = expressions.username.iter().chain(expressions.extra.iter().map(|(_, value)| value));
    let looks = looks.map(|expression| expression.reads(verified));
    let mut looks = looks.chain(expressions.claim_rules.iter().map(|rule| rule.reads(verified)));
    if !uses_email || looks.any(|it| it) {
        return Ok(());
    }
    Err("claimMappings.username.expression: Invalid value: claims.email_verified must be used in \
         claimMappings.username.expression or claimMappings.extra[*].valueExpression or \
         claimValidationRules[*].expression when claims.email is used in claimMappings.username.expression"
        .into())
}

/// Keys of extra facts belong to somebody: `example.com/team`.
fn check_key(place: &str, key: &str) -> Result<(), String> {
    if let Some(wrong) = validation::is_domain_prefixed_path(&Path::new(place), key).first() {
        return Err(wrong.to_string());
    }
    let domain = key.split('/').next().unwrap_or_default();
    if key.chars().any(char::is_uppercase) {
        return Err(invalid(place, key, "must be lowercase"));
    }
    let is_kubernetes = |own: &str| domain == own || domain.ends_with(&format!(".{own}"));
    if ["kubernetes.io", "k8s.io"].into_iter().any(is_kubernetes) {
        let why = "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use";
        return Err(invalid(place, key, why));
    }
    Ok(())
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
        let file = AuthenticationConfiguration::parse(GOOD, &[]).expect("reads");
        let [issuer] = file.issuers.as_slice() else { panic!("one issuer") };
        assert_eq!((&*issuer.username.claim, &*issuer.username.prefix), ("sub", "x:"));
        assert_eq!(issuer.uid_claim.as_deref(), Some("uid"));
        assert!(matches!(file.anonymous, Some(Anonymous::AllowedAt(paths)) if paths == ["/livez"]));
        let own = ["https://own".to_owned()];
        let issuer = "url: https://issuer.example";
        for (from, to, expected) in [
            (issuer, "url: https://own", "URL must not overlap with disallowed issuers: [https://own]"),
            (issuer, "url: https://a@issuer.example", "must not contain a username"),
            (issuer, "url: https://issuer.example?a", "must not contain a query"),
            (issuer, "url: https://issuer.example, discoveryURL: https://issuer.example/", "must be different"),
            (issuer, "url: https://issuer.example, egressSelectorType: cluster", "no egress selection"),
            (issuer, "url: https://issuer.example, egressSelectorType: other", "either controlplane or cluster"),
            ("[a, b]", "[a, a]", "jwt[0].issuer.audiences[1]: Duplicate value: \"a\""),
            ("[a, b], audienceMatchPolicy: MatchAny", "[a], audienceMatchPolicy: All", "must be empty or MatchAny"),
            ("enabled: true", "enabled: false", "enabled should be set to true"),
            ("https://issuer", "http://issuer", "URL scheme must be https"),
            (", audienceMatchPolicy: MatchAny", "", "must be MatchAny"),
            ("prefix: 'x:'", "expression: claims.sub", "can't both be set"),
            ("claim: sub, ", "expression: claims.sub, ", "may not be specified when expression is set"),
            ("claim: sub, prefix: 'x:'", "expression: claims.", "jwt[0].claimMappings.username.expression: Invalid"),
            ("claim: sub, prefix: 'x:'", "expression: claims.email", "claims.email_verified must be used"),
            ("claim: sub, prefix: 'x:'", "prefix: ''", "claim or expression is required"),
            ("claim: hd, requiredValue: example.com", "expression: claims.hd", "must evaluate to bool"),
            ("claim: hd, requiredValue: example.com", "expression: user.name", "undeclared reference to 'user'"),
            ("    uid:", "    extra: [{key: team, valueExpression: claims.team}]\n    uid:", "domain-prefixed path"),
            ("    uid:", "    extra: [{key: x.k8s.io/a, valueExpression: claims.a}]\n    uid:", "are reserved"),
            (
                "  claimMappings:",
                "  userValidationRules: [{expression: user.nothing}]\n  claimMappings:",
                "undefined field",
            ),
            (", prefix: 'x:'", "", "prefix is required when claim is set"),
            ("jwt:", "jwts:", "unknown field"),
            ("k8s.io/v1", "k8s.io/v9", "apiserver.config.k8s.io/v9"),
        ] {
            let error = AuthenticationConfiguration::parse(&GOOD.replacen(from, to, 1), &own).expect_err(to);
            assert!(error.to_string().contains(expected), "{to}: {error}");
        }
    }
}
