//! What `kubectl explain` says of the registry's kinds.

/// How the names of their definitions begin.
const REGISTRY: &str = "dev.portolan.registry.v1.";

/// Definition, field (none for the definition itself) and words, in order.
const ABOUT: &[(&str, &str, &str)] = &[
    ("ExternalNode", "", "ExternalNode is a machine outside the cluster that registered instances run on."),
    ("ExternalNode", "spec", "What was registered of the machine."),
    ("ExternalNode", "status", "How the machine is."),
    ("ExternalNodeSpec", "", "ExternalNodeSpec is what was registered of a machine."),
    ("ExternalNodeSpec", "address", "Its address, or a host name."),
    ("ExternalNodeSpec", "checks", "Checks of the machine, which count for each instance on it."),
    ("ExternalNodeSpec", "locality", "Where it stands."),
    ("ExternalNodeSpec", "metadata", "Whatever else was said about it."),
    ("ExternalNodeSpec", "node", "Its name, in the spelling of who registered it."),
    ("ExternalNodeSpec", "nodeId", "Its identity, often a UUID."),
    ("ExternalNodeSpec", "origin", "The dialect that registered it, for example consul."),
    ("ExternalNodeSpec", "taggedAddresses", "Further addresses by the kind of client they are for, for example wan."),
    ("ExternalNodeStatus", "", "ExternalNodeStatus is how a machine is."),
    ("ExternalNodeStatus", "checks", "What its checks found."),
    ("HealthCheck", "", "HealthCheck is one way to find out how an instance or a machine does."),
    ("HealthCheck", "address", "host:port of tcp, udp, grpc (host:port/service) and h2ping."),
    ("HealthCheck", "aliasNode", "Machine that an alias follows; the owner's if empty."),
    ("HealthCheck", "aliasService", "Id of the instance that an alias follows; the machine's own checks if empty."),
    ("HealthCheck", "body", "Body of the request of http."),
    ("HealthCheck", "command", "Command of script and its arguments; run only where the node allows it."),
    (
        "HealthCheck",
        "deregisterCriticalAfterSeconds",
        "Seconds of critical health after which the owner is deregistered.",
    ),
    ("HealthCheck", "disableRedirects", "Takes a redirect for the answer instead of following it."),
    ("HealthCheck", "failuresBeforeCritical", "Bad results in a row before it is critical; 0 and 1 mean at once."),
    (
        "HealthCheck",
        "failuresBeforeWarning",
        "Bad results in a row before it warns; as many as before it is critical if 0.",
    ),
    ("HealthCheck", "headers", "Headers of the request of http."),
    ("HealthCheck", "id", "Identity among the checks of its owner."),
    (
        "HealthCheck",
        "initialHealth",
        "Health before the first result: passing, warning or critical; critical if absent.",
    ),
    ("HealthCheck", "intervalMilliseconds", "Time between two tries."),
    ("HealthCheck", "method", "Method of the request of http, GET if empty."),
    ("HealthCheck", "name", "Name for people; the id if empty."),
    ("HealthCheck", "notes", "Words for people."),
    ("HealthCheck", "outputMaxBytes", "Bytes of output that are kept; 4096 if absent."),
    ("HealthCheck", "successBeforePassing", "Good results in a row before it passes again; 0 and 1 mean at once."),
    ("HealthCheck", "timeoutMilliseconds", "Time that a try may take."),
    ("HealthCheck", "tls", "Asks over TLS."),
    ("HealthCheck", "tlsServerName", "Name that the certificate must have, if not the host's."),
    ("HealthCheck", "tlsSkipVerify", "Takes any certificate."),
    ("HealthCheck", "ttlMilliseconds", "Time within which the instance must say how it is, for ttl."),
    (
        "HealthCheck",
        "type",
        "How it finds out: ttl (the instance says so in time), http (https by the URL), tcp, udp, grpc, h2ping, script, alias (whatever another instance or machine is) or external (somebody else writes the result).",
    ),
    ("HealthCheck", "url", "What http asks."),
    ("HealthCheckStatus", "", "HealthCheckStatus is what a check found last."),
    ("HealthCheckStatus", "health", "What it found: passing, warning or critical."),
    ("HealthCheckStatus", "id", "The check."),
    ("HealthCheckStatus", "output", "In words; may lag behind while the health stays the same."),
    ("HealthCheckStatus", "since", "Since when the health is this."),
    ("InstanceLease", "", "InstanceLease says what a registration lives by."),
    (
        "InstanceLease",
        "kind",
        "What ends the registration: ttl (no renewal for ttlSeconds), connection (the stream that registered it ended, and no other was opened for ttlSeconds), session (the session ended), orchestrator (the owner in metadata.ownerReferences is gone) or none.",
    ),
    ("InstanceLease", "session", "The session of Consul that it lives by, if kind is session."),
    ("InstanceLease", "ttlSeconds", "Seconds without renewal, or without a connection, after which it ends."),
    ("InstanceLocality", "", "InstanceLocality is where an instance or a machine is; the nearest are preferred."),
    ("InstanceLocality", "rack", "Rack."),
    ("InstanceLocality", "region", "Region."),
    ("InstanceLocality", "zone", "Zone."),
    (
        "InstanceOverride",
        "",
        "InstanceOverride is what an administrator decided about an instance, whatever its checks say.",
    ),
    (
        "InstanceOverride",
        "mode",
        "The decision: maintenance, outOfService or down take it out of service, up takes it in whatever its checks say.",
    ),
    ("InstanceOverride", "reason", "Why; may be empty."),
    ("InstanceOverride", "since", "Since when."),
    ("InstancePort", "", "InstancePort is a port of an instance."),
    ("InstancePort", "name", "Name by which SRV records and Services find it; may be empty."),
    ("InstancePort", "port", "Number."),
    ("InstancePort", "protocol", "TCP, UDP or SCTP; TCP if empty."),
    ("InstanceWeights", "", "InstanceWeights are shares of requests, by health."),
    ("InstanceWeights", "passing", "Share while it is passing."),
    ("InstanceWeights", "warning", "Share while it is warning."),
    (
        "PreparedQuery",
        "",
        "PreparedQuery is a question about instances that was prepared under a name, as every node answers it over DNS. Consul's clients write it below /v1/query; other changes are overwritten.",
    ),
    ("PreparedQuery", "spec", "The question."),
    ("PreparedQuerySpec", "", "PreparedQuerySpec is the question."),
    (
        "PreparedQuerySpec",
        "elsewhere",
        "Whether what is looked for is not of this cluster, or reached through a mesh: nobody answers then.",
    ),
    ("PreparedQuerySpec", "ignoreCheckIds", "Checks that do not count."),
    ("PreparedQuerySpec", "name", "Name to ask for; of a template the beginning of the names that it answers."),
    ("PreparedQuerySpec", "near", "Node near which answers are wanted first."),
    ("PreparedQuerySpec", "nodeMetadata", "Metadata that the instances' nodes must have."),
    ("PreparedQuerySpec", "onlyPassing", "Whether a warning keeps an instance out."),
    ("PreparedQuerySpec", "service", "Name of the service."),
    ("PreparedQuerySpec", "serviceMetadata", "Metadata that instances must have."),
    ("PreparedQuerySpec", "tags", "Tags that instances must have, or with ! must not."),
    ("PreparedQuerySpec", "template", "Makes it answer many names."),
    ("PreparedQuerySpec", "ttlSeconds", "Seconds that answers may be kept; as long as others if absent."),
    ("PreparedQueryTemplate", "", "PreparedQueryTemplate lets a query answer every name that begins with its own."),
    ("PreparedQueryTemplate", "regexp", "Takes the name apart."),
    ("PreparedQueryTemplate", "removeEmptyTags", "Whether tags that come out empty are left out."),
    (
        "ServiceInstance",
        "",
        "ServiceInstance is one running copy of a service, registered by itself or by an agent on its behalf.",
    ),
    ("ServiceInstance", "spec", "What was registered."),
    ("ServiceInstance", "status", "How the instance is."),
    ("ServiceInstanceSpec", "", "ServiceInstanceSpec is what was registered of an instance."),
    ("ServiceInstanceSpec", "address", "Address or host name where it is reached."),
    ("ServiceInstanceSpec", "checks", "How to find out how it does; the node nearest to it runs them."),
    ("ServiceInstanceSpec", "enableTagOverride", "Whether others than its agent may change the tags."),
    ("ServiceInstanceSpec", "extensions", "What only one dialect knows of, by the dialect's name."),
    ("ServiceInstanceSpec", "instanceId", "What the client calls the instance; the name of the object if empty."),
    ("ServiceInstanceSpec", "lease", "How long it stays registered."),
    ("ServiceInstanceSpec", "locality", "Where it runs."),
    ("ServiceInstanceSpec", "metadata", "Whatever else the client says about it."),
    ("ServiceInstanceSpec", "node", "Node it runs on, of the cluster or external; may be empty."),
    ("ServiceInstanceSpec", "origin", "The dialect that registered it: http, consul, eureka and so on."),
    ("ServiceInstanceSpec", "override", "What an administrator decided about it."),
    ("ServiceInstanceSpec", "ports", "Its ports; the first is the one of clients that know one only."),
    ("ServiceInstanceSpec", "service", "Name of the service."),
    (
        "ServiceInstanceSpec",
        "taggedAddresses",
        "Further addresses by the kind of client they are for, for example wan.",
    ),
    ("ServiceInstanceSpec", "tags", "Words to select it by."),
    ("ServiceInstanceSpec", "version", "Version of the software."),
    ("ServiceInstanceSpec", "weights", "Its share of requests."),
    ("ServiceInstanceStatus", "", "ServiceInstanceStatus is how an instance is."),
    ("ServiceInstanceStatus", "checks", "What its checks found."),
    ("ServiceInstanceStatus", "health", "What it says of itself: passing, warning or critical."),
    (
        "ServiceInstanceStatus",
        "leaseHeldSince",
        "Since when it stays although its lease has run out, because too many ran out at once.",
    ),
    ("ServiceInstanceStatus", "reason", "Why; may be empty."),
    ("ServiceInstanceStatus", "since", "Since when."),
    ("TaggedAddress", "", "TaggedAddress is a further address of an instance, for a certain kind of client."),
    ("TaggedAddress", "address", "Address or host name."),
    ("TaggedAddress", "port", "Port."),
];

/// The words about a definition, or about a field of one.
pub(super) fn about(definition: &str, field: &str) -> Option<&'static str> {
    let kind = definition.strip_prefix(REGISTRY)?;
    let at = ABOUT.binary_search_by(|(name, of, _)| (*name, *of).cmp(&(kind, field))).ok()?;
    Some(ABOUT[at].2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::builtin;

    #[test]
    fn every_field_of_the_registrys_kinds_is_described() {
        assert!(ABOUT.is_sorted_by_key(|(kind, field, _)| (*kind, *field)), "they are searched for");
        // What all kinds and lists have says what it is.
        let common = ["apiVersion", "kind", "metadata", "items"];
        let mut described = 0;
        for definition in builtin().definitions().iter().filter(|it| it.name.starts_with(REGISTRY)) {
            let is_list = definition.fields.iter().any(|field| &*field.name == "items");
            let own = definition.fields.iter().filter(|_| !is_list).map(|field| &*field.name);
            let is_kind = definition.kind.is_some();
            let wanted: Vec<&str> = own.filter(|name| !(is_kind && common.contains(name))).collect();
            for field in wanted.iter().copied().chain((!is_list).then_some("")) {
                assert!(about(&definition.name, field).is_some(), "{} {field:?}", definition.name);
                described += 1;
            }
        }
        assert_eq!(described, ABOUT.len(), "words about what there is not");
    }
}
