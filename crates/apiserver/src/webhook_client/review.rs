//! Reads the reviews that webhooks answer with.
//!
//! Source of the behaviour and of the texts: `k8s.io/apimachinery/pkg/runtime/serializer`.

use portolan_api::decode::{self, Limits};
use portolan_api::description::{GroupVersionKind, builtin};
use portolan_api::schema;
use portolan_base::go;
use serde_json::Value;

use crate::endpoint::kinds;

/// Where upstream's source makes the scheme of the clients of webhooks, which has no other name.
const SCHEME: &str = "\"pkg/runtime/scheme.go:111\"";

/// The review of this kind that a webhook answered with: of an object that it may not name, all fields are of the right
/// types.
///
/// # Errors
/// It is none, in the words of upstream's decoders.
pub(crate) fn read(body: &[u8], kind: GroupVersionKind<'_>) -> Result<Value, String> {
    let review = document(body)?;
    if let Some(problem) = kinds::unreadable(&review) {
        return Err(problem);
    }
    let text = |name: &str| review.get(name).and_then(Value::as_str).unwrap_or_default();
    let api_version = text("apiVersion");
    if let Some(problem) = kinds::version_problem(api_version) {
        return Err(problem);
    }
    let found = GroupVersionKind::from_api_version(api_version, text("kind")).or(kind);
    if !is_registered(found, kind) {
        let version = go::quote(&found.api_version());
        return Err(format!(
            "no kind {} is registered for version {version} in scheme {SCHEME}",
            go::quote(found.kind)
        ));
    }
    if let Some(problem) = schema::check(&review, found).wrong_type {
        // A number is told as it was written, if it was in JSON.
        let told = builtin().schema(found).and_then(|schema| schema::first_misfit(body, schema));
        return Err(told.unwrap_or(problem));
    }
    if found != kind {
        let of = |it: GroupVersionKind<'_>| format!("({}.{})", it.version, it.kind);
        return Err(format!("converting {} to {}: unknown conversion", of(found), of(kind)));
    }
    Ok(review)
}

/// What a review says that it is.
pub(crate) fn kind_of(review: &Value) -> String {
    let text = |name: &str| review.get(name).and_then(Value::as_str).unwrap_or_default();
    // Nothing is told as two empty halves.
    let version = Some(text("apiVersion")).filter(|version| !version.is_empty()).unwrap_or("/");
    format!("{version}, Kind={}", text("kind"))
}

/// A body as what it looks like: JSON, or else YAML.
pub(super) fn document(body: &[u8]) -> Result<Value, String> {
    let limits = Limits::of_any_size();
    if body.trim_ascii_start().starts_with(b"{") {
        let decoded = decode::json(body, &limits).map(|decoded| decoded.value);
        return decoded.map_err(|error| format!("couldn't get version/kind; json parse error: {error}"));
    }
    decode::yaml(body, &limits).map(|decoded| decoded.value).map_err(|error| error.to_string())
}

trait Defaults: Sized {
    fn or(self, default: Self) -> Self;
}

impl Defaults for GroupVersionKind<'_> {
    /// What says nothing of itself is what it should be.
    fn or(mut self, default: Self) -> Self {
        if self.kind.is_empty() {
            self.kind = default.kind;
        }
        if self.version.is_empty() && (self.group.is_empty() || self.group == default.group) {
            (self.group, self.version) = (default.group, default.version);
        }
        self
    }
}

/// Whether clients of webhooks that answer with reviews of one kind know another.
fn is_registered(found: GroupVersionKind<'_>, kind: GroupVersionKind<'_>) -> bool {
    let is_core =
        || (found.group, found.version) == ("", "v1") && kinds::CORE.contains(&found.kind) && found.kind != "List";
    let is_group = || {
        found.group == kind.group
            && matches!(found.version, "v1" | "v1beta1")
            && (builtin().schema(found).is_some() || kinds::EVERYWHERE.contains(&found.kind))
    };
    is_core() || is_group()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reviews_are_read_as_upstream_reads_them() {
        const STRUCT: &str = r#"Go value of type struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;
        let parse = |why: &str| format!("couldn't get version/kind; json parse error: {why}");
        let cases = [
            ("{}", Ok("{}")),
            ("null", Ok("null")),
            ("response: {allowed: true}", Ok(r#"{"response":{"allowed":true}}"#)),
            ("[]", Err(parse(&format!("json: cannot unmarshal array into {STRUCT}")))),
            ("<html>", Err(parse(&format!("json: cannot unmarshal string into {STRUCT}")))),
            ("{", Err(parse("unexpected end of JSON input"))),
            (r#"{"apiVersion":"a/b/c"}"#, Err("unexpected GroupVersion string: a/b/c".into())),
            (
                r#"{"apiVersion":"v2","kind":"X"}"#,
                Err(r#"no kind "X" is registered for version "v2" in scheme "pkg/runtime/scheme.go:111""#.into()),
            ),
            (
                r#"{"apiVersion":"admission.k8s.io/v1beta1"}"#,
                Err("converting (v1beta1.AdmissionReview) to (v1.AdmissionReview): unknown conversion".into()),
            ),
            (
                r#"{"apiVersion":"v1","kind":"Status"}"#,
                Err("converting (v1.Status) to (v1.AdmissionReview): unknown conversion".into()),
            ),
            (
                r#"{"response":{"allowed":"yes"}}"#,
                Err("json: cannot unmarshal string into Go struct field AdmissionResponse.response.allowed of type bool".into()),
            ),
            (
                r#"{"response":{"uid":5}}"#,
                Err("json: cannot unmarshal number into Go struct field AdmissionResponse.response.uid of type types.UID".into()),
            ),
            (r#"{"response":{"patch":"***"}}"#, Err("illegal base64 data at input byte 0".into())),
        ];
        for (body, expected) in cases {
            let kind = GroupVersionKind { group: "admission.k8s.io", version: "v1", kind: "AdmissionReview" };
            let read = read(body.as_bytes(), kind).map(|review| review.to_string());
            assert_eq!(read, expected.map(str::to_owned), "{body}");
        }
    }

    #[test]
    fn what_is_converted_is_a_list_of_anything() {
        let kind = GroupVersionKind { group: "apiextensions.k8s.io", version: "v1", kind: "ConversionReview" };
        let why = read(br#"{"response":{"convertedObjects":{}}}"#, kind).expect_err("no list");
        let expected = "json: cannot unmarshal object into Go struct field ConversionResponse.response.convertedObjects of type []runtime.RawExtension";
        assert_eq!(why, expected);
    }
}
