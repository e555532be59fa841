//! The scanner of stored bytes, which rows of tables, selectors and lists read without decoding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portolan_api::encoded::{self, Header};
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
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
});
