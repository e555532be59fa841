//! The table without any service: sets, chains and their rules.

use super::element::{Family, Map, Role};
use super::picker::{AFFINITY, Picker};
use crate::Config;
use crate::nftables::{Base, Chain, Data, Element, Field, Request, Rule, Set, Type, Verdict};

/// The transport protocols that have ports.
pub(super) const PROTOCOLS: &str = "protocols";
/// The networks of services and load balancers.
pub(super) const SERVICE_NETWORKS: &str = "service_networks";
/// Pairs of an address with itself.
pub(super) const HAIRPIN: &str = "hairpin";
/// A larger pod network would make the static hairpin set too large.
const HAIRPIN_PREFIX: u8 = 20;
/// Clients that are remembered at most, and for how long if a rule does not say.
pub(super) const AFFINITY_SIZE: u32 = 1 << 20;
const AFFINITY_MILLISECONDS: u64 = 3 * 60 * 60 * 1000;

/// What a packet is looked up by.
pub(super) fn front(family: Family) -> &'static [Field] {
    match family {
        Family::Address | Family::LocalAddress => &[Field::DestinationAddress, Field::Protocol, Field::DestinationPort],
        Family::NodePort | Family::LocalNodePort => &[Field::Protocol, Field::DestinationPort],
    }
}

/// One step of making the table, with words for it.
pub(super) struct Step {
    pub(super) what: String,
    pub(super) request: Request,
}

/// Removes the table whatever it contains; one that does not exist is no error.
pub(super) fn removal(table: &str) -> [Step; 2] {
    let step = |what: &str, request| Step { what: format!("{what} table ip {table}"), request };
    [step("add", Request::add_table(table)), step("delete", Request::delete_table(table))]
}

/// Makes the table with everything that does not depend on services.
pub(super) fn creation(config: &Config) -> Vec<Step> {
    let table = config.table.as_str();
    let mut steps = vec![Step { what: format!("add table ip {table}"), request: Request::add_table(table) }];
    for (set, id) in sets().iter().zip(1..) {
        steps.push(Step { what: format!("add set {}", set.name), request: Request::add_set(table, set, id) });
    }
    for (set, elements) in fixed_elements(config) {
        for elements in elements.chunks(Request::MOST_ELEMENTS) {
            let request = Request::add_elements(table, set, elements.iter().cloned());
            steps.push(Step { what: format!("add elements to {set}"), request });
        }
    }
    // Rules may lead to any chain, so all chains come first.
    let chains = chains(config);
    for (chain, _) in &chains {
        steps.push(Step { what: format!("add chain {}", chain.name), request: Request::add_chain(table, chain) });
    }
    for (chain, rules) in chains {
        steps.extend(rule_steps(table, chain.name, rules));
    }
    steps
}

/// Adds the chain of a picker.
pub(super) fn picker(table: &str, picker: &Picker) -> Vec<Step> {
    let name = picker.name();
    let chain = Chain { name: &name, base: None };
    let mut steps = vec![Step { what: format!("add chain {name}"), request: Request::add_chain(table, &chain) }];
    steps.extend(rule_steps(table, &name, picker.rules()));
    steps
}

fn rule_steps<'a>(table: &'a str, chain: &'a str, rules: Vec<Rule>) -> impl Iterator<Item = Step> + use<'a> {
    rules.into_iter().zip(1..).map(move |(rule, number)| Step {
        what: format!("add rule {number} of chain {chain}"),
        request: Request::add_rule(table, chain, rule),
    })
}

fn sets() -> Vec<Set> {
    const FRONT: &[Type] = &[Type::Address, Type::Protocol, Type::Port];
    const FRONT_NUMBER: &[Type] = &[Type::Address, Type::Protocol, Type::Port, Type::Mark];
    const PORT: &[Type] = &[Type::Protocol, Type::Port];
    const PORT_NUMBER: &[Type] = &[Type::Protocol, Type::Port, Type::Mark];
    const ENDPOINT: Data = Data::Value(&[Type::Address, Type::Port]);
    const NUMBER: Data = Data::Value(&[Type::Mark]);
    let mut sets = Vec::new();
    for family in Family::ALL {
        let (key, with_number) = match family {
            Family::Address | Family::LocalAddress => (FRONT, FRONT_NUMBER),
            Family::NodePort | Family::LocalNodePort => (PORT, PORT_NUMBER),
        };
        let name = |role| Map { family, role }.name();
        sets.extend([
            Set::map(name(Role::Entry), key, Data::Verdict),
            Set::map(name(Role::Endpoints), with_number, ENDPOINT),
            Set::map(name(Role::Slots), with_number, NUMBER),
            Set::map(name(Role::Members), with_number, ENDPOINT),
            Set::new(name(Role::Refused), key),
        ]);
    }
    let client: &[Type] = &[Type::Address, Type::Address, Type::Protocol, Type::Port];
    let allowed: &[Type] = &[Type::Address, Type::Protocol, Type::Port, Type::Address];
    let guarded = Map { family: Family::Address, role: Role::Guarded }.name();
    sets.extend([
        Set { dynamic: Some((AFFINITY_SIZE, AFFINITY_MILLISECONDS)), ..Set::map(AFFINITY, client, NUMBER) },
        Set::new(guarded, FRONT),
        Set { ranges: true, ..Set::new(Map { family: Family::Address, role: Role::Allowed }.name(), allowed) },
        Set::new(PROTOCOLS, &[Type::Protocol]),
        Set { ranges: true, ..Set::new(SERVICE_NETWORKS, &[Type::Address]) },
        Set::new(HAIRPIN, &[Type::Address, Type::Address]),
    ]);
    sets
}

/// Addresses of pods, for the set of pairs.
pub(super) fn hairpin_hosts(config: &Config) -> impl Iterator<Item = std::net::Ipv4Addr> {
    config.pod_cidr.hosts().filter(|_| config.pod_cidr.prefix() >= HAIRPIN_PREFIX)
}

fn fixed_elements(config: &Config) -> [(&'static str, Vec<Element>); 3] {
    let protocols = [libc::IPPROTO_TCP, libc::IPPROTO_UDP, libc::IPPROTO_SCTP];
    let protocols = protocols.iter().map(|protocol| Element::new(&[*protocol as u8])).collect();
    let mut networks = Vec::new();
    for network in config.service_networks() {
        networks.push(Element::new(&network.network().octets()));
        // A network that reaches the last address has no end.
        if let Some(end) = network.broadcast().to_bits().checked_add(1) {
            networks.push(Element::end_of_range(&end.to_be_bytes()));
        }
    }
    let pairs = hairpin_hosts(config).map(|host| Element::new(&[host.octets(), host.octets()].concat())).collect();
    [(PROTOCOLS, protocols), (SERVICE_NETWORKS, networks), (HAIRPIN, pairs)]
}

fn chains(config: &Config) -> Vec<(Chain<'static>, Vec<Rule>)> {
    let chain = |name, kind, hook, priority| Chain { name, base: Some(Base { kind, hook, priority }) };
    let plain = |name| Chain { name, base: None };
    let balance = || Rule::default().if_in(&[Field::Protocol], PROTOCOLS).then_go(&Verdict::Jump("dispatch".into()));
    let mut refused = Vec::new();
    let new = || Rule::default().if_has(Field::ConnectionState, Field::STATE_NEW);
    let nobody = Map { family: Family::Address, role: Role::Refused }.name();
    refuse(&mut refused, &new().if_in(front(Family::Address), nobody));
    let unanswered = new().if_in(&[Field::DestinationAddress], SERVICE_NETWORKS);
    refuse(&mut refused, &unanswered.if_not_equal(Field::DestinationKind, &Field::LOCAL.to_ne_bytes()));
    let mut refused_incoming = refused.clone();
    let here = new().if_equal(Field::DestinationKind, &Field::LOCAL.to_ne_bytes());
    let nobody = Map { family: Family::NodePort, role: Role::Refused }.name();
    refuse(&mut refused_incoming, &here.if_in(front(Family::NodePort), nobody));
    // The bridge accepts loopback addresses for the sake of the host (`setup`); pods must not use them.
    let loopback = crate::Cidr::new(std::net::Ipv4Addr::LOCALHOST, 8);
    let guard = Rule::default().if_link(Field::Input, &config.bridge).if_of(Field::DestinationAddress, loopback);

    let (filter, before_filters) = ("filter", libc::NF_IP_PRI_FILTER - 5);
    vec![
        (plain("dispatch"), dispatch(config)),
        (plain("dispatch_node_ports"), dispatch_node_ports(config)),
        (chain("prerouting", "nat", libc::NF_INET_PRE_ROUTING, libc::NF_IP_PRI_NAT_DST), vec![balance()]),
        (chain("output", "nat", libc::NF_INET_LOCAL_OUT, libc::NF_IP_PRI_NAT_DST), vec![balance()]),
        (chain("postrouting", "nat", libc::NF_INET_POST_ROUTING, libc::NF_IP_PRI_NAT_SRC), translate_sources(config)),
        (chain("raw", filter, libc::NF_INET_PRE_ROUTING, libc::NF_IP_PRI_RAW), vec![guard.then_go(&Verdict::Drop)]),
        (chain("refuse_forwarded", filter, libc::NF_INET_FORWARD, before_filters), refused.clone()),
        (chain("refuse_own", filter, libc::NF_INET_LOCAL_OUT, before_filters), refused),
        (chain("refuse_incoming", filter, libc::NF_INET_LOCAL_IN, before_filters), refused_incoming),
    ]
}

/// Refuses what nobody answers.
fn refuse(rules: &mut Vec<Rule>, condition: &Rule) {
    rules.push(condition.clone().if_equal(Field::Protocol, &[libc::IPPROTO_TCP as u8]).reset());
    rules.push(condition.clone().unreachable());
}

/// Only packets of clients that are not of this cluster.
fn from_outside(config: &Config) -> Rule {
    let rule = Rule::default().if_not_of(Field::SourceAddress, config.cluster_cidr);
    rule.if_not_equal(Field::SourceKind, &Field::LOCAL.to_ne_bytes())
}

fn dispatch(config: &Config) -> Vec<Rule> {
    let map = |family, role| Map { family, role }.name();
    let key = front(Family::Address);
    let client: Vec<Field> = key.iter().copied().chain([Field::SourceAddress]).collect();
    let guarded = Rule::default().if_in(key, map(Family::Address, Role::Guarded));
    vec![
        guarded.if_not_in(&client, map(Family::Address, Role::Allowed)).then_go(&Verdict::Drop),
        from_outside(config).goes_by(key, map(Family::LocalAddress, Role::Entry)),
        Rule::default().goes_by(key, map(Family::Address, Role::Entry)),
        Rule::default()
            .if_equal(Field::DestinationKind, &Field::LOCAL.to_ne_bytes())
            .then_go(&Verdict::Goto("dispatch_node_ports".into())),
    ]
}

fn dispatch_node_ports(config: &Config) -> Vec<Rule> {
    let map = |family| Map { family, role: Role::Entry }.name();
    let key = front(Family::NodePort);
    vec![
        from_outside(config).goes_by(key, map(Family::LocalNodePort)),
        Rule::default().goes_by(key, map(Family::NodePort)),
    ]
}

/// A source is translated only where the answer would not find back.
fn translate_sources(config: &Config) -> Vec<Rule> {
    let translated = || Rule::default().if_has(Field::ConnectionStatus, Field::STATUS_TRANSLATED);
    let leaves = |rule: Rule| rule.if_not_link(Field::Output, &config.bridge).if_not_link(Field::Output, "lo");
    let remote = || {
        let rule = translated().if_not_equal(Field::SourceKind, &Field::LOCAL.to_ne_bytes());
        leaves(rule.if_not_of(Field::SourceAddress, config.cluster_cidr))
    };
    let loopback = crate::Cidr::new(std::net::Ipv4Addr::LOCALHOST, 8);
    let mut rules = vec![
        translated().if_in(&[Field::SourceAddress, Field::DestinationAddress], HAIRPIN).masquerade(),
        Rule::default().if_of(Field::SourceAddress, loopback).if_link(Field::Output, &config.bridge).masquerade(),
        leaves(
            Rule::default()
                .if_of(Field::SourceAddress, config.pod_cidr)
                .if_not_of(Field::DestinationAddress, config.cluster_cidr),
        )
        .masquerade_randomly(),
        remote().if_in(&[Field::OriginalAddress], SERVICE_NETWORKS).masquerade_randomly(),
    ];
    let (first, last) = (*config.node_ports.start(), *config.node_ports.end());
    for protocol in [libc::IPPROTO_TCP, libc::IPPROTO_UDP] {
        let rule = remote().if_equal(Field::Protocol, &[protocol as u8]);
        rules.push(rule.if_between(Field::OriginalPort, first, last).masquerade_randomly());
    }
    rules
}
