//! Bodies of Consul's clients and of native ones: registrations, checks, transactions, queries, batches.

pub(crate) fn run(body: &[u8]) {
    portolan_registry_consul::fuzzing::body(body);
    portolan_registry::fuzzing::body(body);
}
