//! The scanner of stored bytes, which rows of tables, selectors and lists read without decoding.

use portolan_api::encoded::{self, Header};
use serde_json::Value;

pub(crate) fn run(bytes: &[u8]) {
    let header = Header::scan(bytes);
    let name = encoded::string_at(bytes, &["metadata", "name"]);
    let _ = encoded::items(bytes).count();
    let _ = encoded::controller(bytes);
    // Where the bytes are an object, the scanner sees what a decoder sees.
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
    if header.is_some()
        && let Some(name) = name
    {
        assert_eq!(value["metadata"]["name"].as_str(), Some(&*name));
    }
}
