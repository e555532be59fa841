//! Where the next page of a list begins, as clients carry it from page to page.
//!
//! Source: `k8s.io/apiserver/pkg/storage/continue.go`.

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use portolan_api::decode::{self, Limits};
use portolan_store::{KeyRange, Revision};
use serde_json::{Value, json};

use crate::status::Status;

const VERSION: &str = "meta.k8s.io/v1";

/// As Go reads it: without padding, whatever the last bits are.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// Where a page begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PageToken {
    /// Revision of the list; `None` once it was lost: then pages no longer belong together.
    pub(super) revision: Option<Revision>,
    /// First key of the page.
    pub(super) start: Bytes,
}

impl PageToken {
    /// For the page behind a key of a list.
    pub(super) fn behind(key: &[u8], range: &KeyRange, revision: Option<Revision>) -> String {
        let mut start = String::from_utf8_lossy(key.strip_prefix(prefix(range)).unwrap_or(key)).into_owned();
        start.push('\0');
        let revision = revision.map_or_else(|| json!(-1), |revision| json!(revision.0));
        BASE64.encode(json!({"v": VERSION, "rv": revision, "start": start}).to_string())
    }

    /// Reads one that belongs to a list.
    pub(super) fn decode(text: &str, range: &KeyRange) -> Result<Self, Status> {
        let refused =
            |why: String| Status::bad_request(format!("invalid continue token: continue key is not valid{why}"));
        let bytes = BASE64.decode(text).map_err(|error| {
            let offset = match error {
                base64::DecodeError::InvalidByte(offset, _) => offset,
                _ => text.len() - text.len() % 4,
            };
            refused(format!(": illegal base64 data at input byte {offset}"))
        })?;
        let token = decode::json(&bytes, &Limits::default()).map_err(|error| refused(format!(": {error}")))?.value;
        let text = |name: &str| token[name].as_str().unwrap_or_default();
        if text("v") != VERSION {
            return Err(refused(format!(": server does not recognize this encoded version {}", text("v"))));
        }
        let revision = match &token["rv"] {
            Value::Number(number) if number.as_i64() != Some(0) => number.as_u64().map(Revision),
            _ => return Err(refused(format!(": incorrect encoded start resourceVersion (version {VERSION})"))),
        };
        let start = text("start");
        if start.is_empty() {
            return Err(refused(format!(": encoded start key empty (version {VERSION})")));
        }
        let path = start.strip_prefix('/').unwrap_or(start);
        if path.is_empty() || path.ends_with('/') || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(refused(format!(": {start}")));
        }
        let key: Bytes = [prefix(range), path.as_bytes()].concat().into();
        // That of another list, or of one object, names nothing here.
        if range.contains(&key) { Ok(Self { revision, start: key }) } else { Err(refused(format!(": {start}"))) }
    }
}

/// What all keys of a list begin with.
fn prefix(range: &KeyRange) -> &[u8] {
    let end = range.start.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    &range.start[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_and_others_are_refused() {
        let range = KeyRange::prefix(Bytes::from_static(b"/registry/core/configmaps/default/"));
        for revision in [Some(Revision(7)), None] {
            let text = PageToken::behind(b"/registry/core/configmaps/default/a", &range, revision);
            let start = Bytes::from_static(b"/registry/core/configmaps/default/a\0");
            assert_eq!(PageToken::decode(&text, &range).expect("is one"), PageToken { revision, start });
        }
        for (text, expected) in [
            ("x".to_owned(), "illegal base64 data at input byte 0"),
            ("ab!d".to_owned(), "illegal base64 data at input byte 2"),
            ("abc".to_owned(), "invalid character 'i' looking for beginning of value"),
            (BASE64.encode("{}"), "server does not recognize this encoded version "),
            (BASE64.encode(r#"{"v":"v9"}"#), "server does not recognize this encoded version v9"),
            (
                BASE64.encode(r#"{"v":"meta.k8s.io/v1","start":"a"}"#),
                "incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
            ),
            (BASE64.encode(r#"{"v":"meta.k8s.io/v1","rv":1}"#), "encoded start key empty (version meta.k8s.io/v1)"),
            (BASE64.encode(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"../a"}"#), "../a"),
            (BASE64.encode(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"a//b"}"#), "a//b"),
        ] {
            let refused = PageToken::decode(&text, &range).expect_err(&text).message().to_owned();
            assert_eq!(refused, format!("invalid continue token: continue key is not valid: {expected}"));
        }
    }
}
