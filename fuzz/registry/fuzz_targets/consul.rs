//! Bodies of Consul's clients and of native ones: registrations, checks, transactions, queries, batches.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    portolan_registry_consul::fuzzing::body(body);
    portolan_registry::fuzzing::body(body);
});
