//! Paths and queries of all dialects.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    portolan_registry::fuzzing::url(path, query);
    portolan_registry_consul::fuzzing::url(path, query);
    portolan_registry_eureka::fuzzing::url(path, query);
});
