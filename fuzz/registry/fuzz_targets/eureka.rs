//! Bodies of Eureka's clients, in XML and JSON: what is understood can be read again once it was written.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| portolan_registry_eureka::fuzzing::body(body));
