//! Users as the claims of a token describe them. All refusals are in the words of Kubernetes and of the library that it
//! verifies tokens with, as TokenReviews show them.
//!
//! Source: `apiserver/plugin/pkg/authenticator/token/oidc` and `github.com/coreos/go-oidc`.

use portolan_api::decode::type_of;
use portolan_base::{Timestamp, go};
use portolan_identity::User;
use serde_json::{Map, Value};

use super::oidc::{ClaimMapping, JwtIssuer};

/// How much earlier than it says a token may be used: clocks differ.
const LEEWAY_SECONDS: i64 = 60;

type Claims = Map<String, Value>;

/// The user that the claims of a token describe whose signature is the issuer's.
pub(super) fn user(settings: &JwtIssuer, claims: &Claims, now: Timestamp) -> Result<User, String> {
    check_token(settings, claims, now).map_err(|why| format!("oidc: verify token: oidc: {why}"))?;
    let expressions = &*settings.expressions;
    let seen = expressions.claims(claims);
    let name = match &expressions.username {
        Some(expression) => expression.text(&seen, "username")?,
        None => named(&settings.username, claims)?,
    };
    if name.is_empty() {
        return Err("oidc: empty username via CEL expression is not allowed".into());
    }
    let groups = match (&settings.groups, &expressions.groups) {
        (_, Some(expression)) => {
            expression.texts(&seen).map_err(|why| format!("oidc: error evaluating group claim expression: {why}"))?
        }
        (Some(mapping), None) => groups(mapping, claims)?,
        (None, None) => Vec::new(),
    };
    let uid = match (&settings.uid_claim, &expressions.uid) {
        (Some(claim), _) => {
            text(claims, claim).map_err(|why| format!("oidc: parse uid claim {}: {why}", go::quote(claim)))?.to_owned()
        }
        (None, Some(expression)) => expression.text(&seen, "uid")?,
        (None, None) => String::new(),
    };
    let mut extra = expressions.extra(&seen)?;
    if let Some(id) = claims.get("jti").and_then(Value::as_str) {
        extra.insert("authentication.kubernetes.io/credential-id".into(), vec![format!("JTI={id}")]);
    }
    for (name, wanted) in &settings.required_claims {
        if !claims.contains_key(name) {
            return Err(format!("oidc: required claim {name} not present in ID token"));
        }
        let found = text(claims, name).map_err(|why| format!("oidc: parse claim {name}: {why}"))?;
        if found != wanted {
            return Err(format!("oidc: required claim {name} value does not match. Got = {found}, want = {wanted}"));
        }
    }
    expressions.check_claims(&seen)?;
    expressions.check_user(&name, &uid, &groups, &extra)?;
    let mut user = User::new(name, groups.iter().map(String::as_str));
    (user.uid, user.extra) = (uid, extra);
    Ok(user)
}

/// Whether a token is one of this issuer, for us and for now.
fn check_token(settings: &JwtIssuer, claims: &Claims, now: Timestamp) -> Result<(), String> {
    let unreadable = |why: String| format!("failed to unmarshal claims: {why}");
    for field in ["iss", "sub", "nonce", "at_hash"] {
        if let Some(wrong) = claims.get(field).filter(|value| !value.is_string() && !value.is_null()) {
            let found = type_of(wrong);
            let why = format!("json: cannot unmarshal {found} into Go struct field idToken.{field} of type string");
            return Err(unreadable(why));
        }
    }
    let audiences = audiences(claims.get("aud")).map_err(unreadable)?;
    let end = moment(claims.get("exp")).map_err(unreadable)?;
    let start = moment(claims.get("nbf")).map_err(unreadable)?;
    let issuer = claims.get("iss").and_then(Value::as_str).unwrap_or_default();
    if issuer != settings.url {
        let (expected, found) = (go::quote(&settings.url), go::quote(issuer));
        return Err(format!("id token issued by a different provider, expected {expected} got {found}"));
    }
    let is_for_us = audiences.iter().any(|audience| settings.audiences.contains(audience));
    // One audience is what the library of upstream knows; it compares it before the time, and upstream several after it.
    if let ([only], false) = (&settings.audiences[..], is_for_us) {
        return Err(format!("expected audience {} got {}", go::quote(only), go::quote_all(&audiences)));
    }
    let has_ended =
        end.is_none_or(|end| end < now.as_second() || (end == now.as_second() && now.subsec_nanosecond() > 0));
    if has_ended {
        let end = end.map_or_else(|| "0001-01-01 00:00:00 +0000 UTC".into(), written);
        return Err(format!("token is expired (Token Expiry: {end})"));
    }
    if let Some(start) = start.filter(|start| now.as_second() + LEEWAY_SECONDS < *start) {
        let now = now.strftime("%Y-%m-%d %H:%M:%S%.f +0000 UTC");
        return Err(format!("current time {now} before the nbf (not before) time: {}", written(start)));
    }
    if is_for_us {
        return Ok(());
    }
    let mut expected = settings.audiences.clone();
    expected.sort_unstable();
    expected.dedup();
    Err(format!("expected audience in {} got {}", go::quote_all(&expected), go::quote_all(&audiences)))
}

/// A moment as Go prints it; seconds since 1970.
fn written(second: i64) -> String {
    let printed = |moment: Timestamp| moment.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string();
    Timestamp::from_second(second).map_or_else(|_| format!("{second} seconds after 1970"), printed)
}

/// The seconds since 1970 that a claim says, which may be a number in a text.
fn moment(claim: Option<&Value>) -> Result<Option<i64>, String> {
    let invalid = |text: &str| {
        let literal = go::quote(&Value::from(text).to_string());
        format!("json: invalid number literal, trying to unmarshal {literal} into Number")
    };
    let number = match claim {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number.clone(),
        Some(Value::String(text)) => serde_json::from_str(text).map_err(|_| invalid(text))?,
        Some(wrong) => return Err(unlike(wrong, "json.Number")),
    };
    #[allow(clippy::cast_possible_truncation, reason = "what is beyond all times is the first or last of them")]
    Ok(number.as_i64().or_else(|| number.as_f64().map(|seconds| seconds as i64)))
}

/// For whom a token is meant.
fn audiences(claim: Option<&Value>) -> Result<Vec<String>, String> {
    match claim {
        None => Ok(Vec::new()),
        Some(Value::String(audience)) => Ok(vec![audience.clone()]),
        Some(Value::Array(items)) => texts(items),
        Some(Value::Null) => Ok(vec![String::new()]),
        Some(wrong) => Err(unlike(wrong, "[]string")),
    }
}

/// The name that a claim says.
fn named(mapping: &ClaimMapping, claims: &Claims) -> Result<String, String> {
    let unnamed = |why: String| format!("oidc: parse username claims {}: {why}", go::quote(&mapping.claim));
    let name = text(claims, &mapping.claim).map_err(unnamed)?;
    // Upstream lets users without a name in. Nobody is meant by that, and rules for `""` would be surprising.
    if name.is_empty() {
        return Err(unnamed("claim is empty".into()));
    }
    // An address that the issuer has not checked is anybody's.
    if mapping.claim == "email" {
        match claims.get("email_verified") {
            None | Some(Value::Bool(true)) => {}
            Some(Value::Bool(false) | Value::Null) => return Err("oidc: email not verified".into()),
            Some(wrong) => return Err(format!("oidc: parse 'email_verified' claim: {}", unlike(wrong, "bool"))),
        }
    }
    Ok(format!("{}{name}", mapping.prefix))
}

/// The groups that a claim lists, or the one that it names.
fn groups(mapping: &ClaimMapping, claims: &Claims) -> Result<Vec<String>, String> {
    let groups = match claims.get(&mapping.claim) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(group)) => vec![group.clone()],
        Some(found) => found.as_array().and_then(|items| texts(items).ok()).ok_or_else(|| {
            format!("oidc: parse groups claim {}: {}", go::quote(&mapping.claim), unlike(found, "string"))
        })?,
    };
    Ok(groups.iter().map(|group| format!("{}{group}", mapping.prefix)).collect())
}

/// The text of a claim. As in Go, `null` is an empty one.
fn text<'a>(claims: &'a Claims, name: &str) -> Result<&'a str, String> {
    match claims.get(name) {
        None => Err("claim not present".into()),
        Some(Value::Null) => Ok(""),
        Some(Value::String(text)) => Ok(text),
        Some(wrong) => Err(unlike(wrong, "string")),
    }
}

fn texts(items: &[Value]) -> Result<Vec<String>, String> {
    let text = |item: &Value| match item {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text.clone()),
        wrong => Err(unlike(wrong, "string")),
    };
    items.iter().map(text).collect()
}

/// What Go's decoder says of a value that is not of this type.
fn unlike(value: &Value, expected: &str) -> String {
    format!("json: cannot unmarshal {} into Go value of type {expected}", type_of(value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::AuthenticationConfiguration;
    use super::*;

    #[test]
    fn expressions_make_a_user() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        let text = "
apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
jwt:
- issuer: {url: https://issuer, audiences: [us]}
  claimValidationRules:
  - {expression: 'claims.?email_verified.orValue(true) == true', message: the address must be verified}
  - {expression: 'claims.exp - claims.nbf <= 86400', message: must live for a day at most}
  claimMappings:
    username: {expression: '\"x:\" + claims.email'}
    groups: {expression: 'claims.roles.map(role, \"r:\" + role)'}
    uid: {expression: claims.id}
    extra:
    - {key: example.com/team, valueExpression: 'claims.team'}
    - {key: example.com/none, valueExpression: '[\"\"]'}
  userValidationRules:
  - {expression: '!user.username.startsWith(\"x:system:\")', message: that name is taken}
  - {expression: 'user.groups.all(group, group != \"r:root\")', message: nobody is root}
";
        let file = AuthenticationConfiguration::parse(text, &[]).expect("reads");
        let good = json!({
            "iss": "https://issuer", "aud": "us", "exp": now.as_second() + 60, "nbf": now.as_second(), "email": "ann@a",
            "id": "7", "roles": ["dev", "ops"], "team": ["blue", ""],
        });
        let cases = [
            (json!({}), "x:ann@a [r:dev r:ops system:authenticated] 7 {\"example.com/team\":[\"blue\"]}"),
            (json!({"team": "red"}), "{\"example.com/team\":[\"red\"]}"),
            (
                json!({"team": 1}),
                "oidc: error evaluating extra claim expression: claims.team: expression must return a string",
            ),
            (json!({"roles": []}), "x:ann@a [system:authenticated]"),
            (
                json!({"email_verified": false}),
                "oidc: error evaluating claim validation expression: validation expression \
                 'claims.?email_verified.orValue(true) == true' failed: the address must be verified",
            ),
            (json!({"exp": now.as_second() + 86_401}), "must live for a day at most"),
            (json!({"email": "system:ann"}), "failed: that name is taken"),
            (json!({"roles": ["root"]}), "failed: nobody is root"),
            (
                json!({"id": 7}),
                "oidc: error evaluating uid claim expression: uid claim expression must return a string",
            ),
            (json!({"email": null}), "oidc: error evaluating username claim expression: expression"),
        ];
        for (changes, expected) in cases {
            let mut claims = good.as_object().expect("an object").clone();
            claims.extend(changes.as_object().expect("an object").clone());
            let text = match user(&file.issuers[0], &claims, now) {
                Ok(user) => format!("{} [{}] {} {}", user.name, user.groups.join(" "), user.uid, json!(user.extra)),
                Err(why) => why,
            };
            assert!(text.contains(expected), "{changes}: {text}");
        }
    }

    #[test]
    fn claims_make_a_user() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        let settings = JwtIssuer {
            url: "https://issuer".into(),
            audiences: vec!["us".into()],
            username: ClaimMapping { claim: "email".into(), prefix: "oidc:".into() },
            groups: Some(ClaimMapping { claim: "groups".into(), prefix: "g:".into() }),
            required_claims: vec![("hd".into(), "example.com".into())],
            ..JwtIssuer::default()
        };
        let good = json!({
            "iss": "https://issuer", "aud": ["them", "us"], "exp": now.as_second() + 1, "email": "ann@example.com",
            "groups": ["dev", "ops"], "hd": "example.com",
        });
        let cases = [
            (json!({}), "oidc:ann@example.com [g:dev g:ops system:authenticated]"),
            (json!({"groups": "dev"}), "oidc:ann@example.com [g:dev system:authenticated]"),
            (
                json!({"groups": [1]}),
                "oidc: parse groups claim \"groups\": json: cannot unmarshal array into Go value of type string",
            ),
            (
                json!({"groups": 1}),
                "oidc: parse groups claim \"groups\": json: cannot unmarshal number into Go value of type string",
            ),
            (json!({"email_verified": false}), "oidc: email not verified"),
            (
                json!({"email_verified": "true"}),
                "oidc: parse 'email_verified' claim: json: cannot unmarshal string into Go value of type bool",
            ),
            (json!({"email_verified": true}), "oidc:ann@example.com"),
            (
                json!({"iss": "https://other"}),
                "oidc: verify token: oidc: id token issued by a different provider, expected \"https://issuer\" got \
                 \"https://other\"",
            ),
            (json!({"aud": "them"}), "oidc: verify token: oidc: expected audience \"us\" got [\"them\"]"),
            (
                json!({"aud": {}}),
                "oidc: verify token: oidc: failed to unmarshal claims: json: cannot unmarshal object into Go value of type \
                 []string",
            ),
            (json!({"exp": now.as_second()}), "oidc:ann@example.com"),
            (
                json!({"exp": now.as_second() - 1}),
                "oidc: verify token: oidc: token is expired (Token Expiry: 2025-12-31 23:59:59 +0000 UTC)",
            ),
            (json!({"exp": null}), "token is expired (Token Expiry: 0001-01-01 00:00:00 +0000 UTC)"),
            (
                json!({"exp": "soon"}),
                "failed to unmarshal claims: json: invalid number literal, trying to unmarshal \"\\\"soon\\\"\" into Number",
            ),
            (json!({"nbf": now.as_second() + 60}), "oidc:ann@example.com"),
            (
                json!({"nbf": now.as_second() + 61}),
                "oidc: verify token: oidc: current time 2026-01-01 00:00:00 +0000 UTC before the nbf (not before) time: \
                 2026-01-01 00:01:01 +0000 UTC",
            ),
            (
                json!({"sub": 7}),
                "failed to unmarshal claims: json: cannot unmarshal number into Go struct field idToken.sub of type string",
            ),
            (json!({"hd": "other"}), "oidc: required claim hd value does not match. Got = other, want = example.com"),
            (json!({"hd": 1}), "oidc: parse claim hd: json: cannot unmarshal number into Go value of type string"),
            (json!({"email": ""}), "oidc: parse username claims \"email\": claim is empty"),
            (
                json!({"email": 1}),
                "oidc: parse username claims \"email\": json: cannot unmarshal number into Go value of type string",
            ),
        ];
        for (changes, expected) in cases {
            let mut claims = good.as_object().expect("an object").clone();
            claims.extend(changes.as_object().expect("an object").clone());
            let text = match user(&settings, &claims, now) {
                Ok(user) => format!("{} [{}]", user.name, user.groups.join(" ")),
                Err(why) => why,
            };
            assert!(text.contains(expected), "{changes}: {text}");
        }
    }

    #[test]
    fn claims_that_are_not_there_are_told() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        let settings = JwtIssuer {
            url: "https://issuer".into(),
            audiences: vec!["us".into(), "all".into()],
            username: ClaimMapping { claim: "sub".into(), prefix: String::new() },
            uid_claim: Some("id".into()),
            required_claims: vec![("hd".into(), "example.com".into())],
            ..JwtIssuer::default()
        };
        let mut claims = json!({"iss": "https://issuer", "aud": ["them"], "exp": now.as_second() - 1});
        for (claim, value, expected) in [
            ("exp", json!(now.as_second() + 1), "oidc: verify token: oidc: token is expired"),
            ("aud", json!("all"), "oidc: verify token: oidc: expected audience in [\"all\" \"us\"] got [\"them\"]"),
            ("sub", json!("ann"), "oidc: parse username claims \"sub\": claim not present"),
            ("id", json!("7"), "oidc: parse uid claim \"id\": claim not present"),
            ("hd", json!("example.com"), "oidc: required claim hd not present in ID token"),
        ] {
            let why = user(&settings, claims.as_object().expect("an object"), now).expect_err("refused");
            assert!(why.starts_with(expected), "{why}");
            claims[claim] = value;
        }
        let ann = user(&settings, claims.as_object().expect("an object"), now).expect("a user");
        assert_eq!((ann.name.as_str(), ann.uid.as_str()), ("ann", "7"));
    }
}
