//! The nft language.

use std::fmt::Write as _;
use std::time::Duration;

use super::frontend::{FrontendKey, Place};
use crate::Config;

/// Slots and members are numbered from here, far from the marks that administrators use.
pub(super) const FIRST_MEMBER: u32 = 0x7000_0000;
/// A larger pod network would make the static hairpin set too large.
const HAIRPIN_PREFIX: u8 = 20;

/// Where a frontend is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Family {
    Address,
    LocalAddress,
    NodePort,
    LocalNodePort,
}

impl Family {
    pub(super) const ALL: [Self; 4] = [Self::Address, Self::LocalAddress, Self::NodePort, Self::LocalNodePort];

    pub(super) fn of(place: Place) -> Self {
        match place {
            Place::Address(_) => Self::Address,
            Place::LocalAddress(_) => Self::LocalAddress,
            Place::NodePort => Self::NodePort,
            Place::LocalNodePort => Self::LocalNodePort,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::LocalAddress => "local_address",
            Self::NodePort => "node_port",
            Self::LocalNodePort => "local_node_port",
        }
    }

    /// The expression of a packet that is looked up.
    fn expression(self) -> &'static str {
        match self {
            Self::Address | Self::LocalAddress => "ip daddr . meta l4proto . th dport",
            Self::NodePort | Self::LocalNodePort => "meta l4proto . th dport",
        }
    }

    pub(super) fn map(self, role: Role) -> String {
        let name = self.name();
        match (role, self) {
            (Role::Entry, Self::Address) => "services".to_owned(),
            (Role::Entry, Self::LocalAddress) => "local_services".to_owned(),
            (Role::Entry, _) => format!("{name}s"),
            (Role::Endpoints, Self::Address) => "endpoints".to_owned(),
            (Role::Endpoints, Self::LocalAddress) => "local_endpoints".to_owned(),
            (Role::Endpoints, _) => format!("{name}_endpoints"),
            (Role::Slots, _) => format!("{name}_slots"),
            (Role::Members, _) => format!("{name}_members"),
            (Role::Refused, Self::Address) => "refused_addresses".to_owned(),
            (Role::Refused, _) => format!("refused_{name}s"),
        }
    }
}

/// What a map is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Role {
    Entry,
    Endpoints,
    Slots,
    Members,
    Refused,
}

/// A chain that picks one of a number of endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Picker {
    pub(super) family: Family,
    pub(super) count: usize,
    pub(super) affinity: Option<Duration>,
}

impl Picker {
    pub(super) fn name(&self) -> String {
        let (family, count) = (self.family.name(), self.count);
        match self.affinity {
            None => format!("pick_{family}_{count}"),
            Some(time) => format!("keep_{family}_{}_{count}", time.as_secs()),
        }
    }

    /// Its definition, to stand inside a table.
    pub(super) fn definition(&self) -> String {
        let (family, count, key) = (self.family, self.count, self.family.expression());
        let mut text = format!("  chain {} {{\n", self.name());
        let translate = "meta l4proto { tcp, udp, sctp } dnat ip to";
        match self.affinity {
            None => {
                let map = family.map(Role::Endpoints);
                let _ = writeln!(text, "    meta mark set numgen random mod {count} offset {FIRST_MEMBER:#x}");
                let _ = writeln!(text, "    {translate} {key} . meta mark map @{map}");
            }
            Some(time) => {
                let (slots, members, seconds) = (family.map(Role::Slots), family.map(Role::Members), time.as_secs());
                let client = "ip saddr . ip daddr . meta l4proto . th dport";
                let member = format!("{translate} {key} . meta mark map @{members}");
                // A known client: refresh, go there. A client whose member is gone falls through, forgets
                // it, and chooses again like a new one.
                let _ = writeln!(text, "    meta mark set {client} map @affinity");
                let _ = writeln!(
                    text,
                    "    {client} @affinity update @affinity {{ {client} timeout {seconds}s : meta mark }}"
                );
                let _ = writeln!(text, "    {member}");
                let _ = writeln!(text, "    delete @affinity {{ {client} : meta mark }}");
                let _ = writeln!(text, "    meta mark set {key} . numgen random mod {count} map @{slots}");
                let _ = writeln!(text, "    update @affinity {{ {client} timeout {seconds}s : meta mark }}");
                let _ = writeln!(text, "    {member}");
            }
        }
        text.push_str("  }\n");
        text
    }
}

/// The key of a frontend in its maps.
pub(super) fn element_key(key: &FrontendKey) -> String {
    let (protocol, port) = (key.protocol.as_str(), key.port);
    match key.place {
        Place::Address(address) | Place::LocalAddress(address) => format!("{address} . {protocol} . {port}"),
        Place::NodePort | Place::LocalNodePort => format!("{protocol} . {port}"),
    }
}

/// Rules that refuse what nobody answers.
fn refuse(condition: &str) -> String {
    format!(
        "    {condition} meta l4proto tcp reject with tcp reset\n    {condition} reject with icmp port-unreachable\n"
    )
}

/// The table without any service, replacing one of the same name.
pub fn empty_table(config: &Config) -> String {
    full_table(config, "", "")
}

/// Removes the table; one that does not exist is no error.
pub fn remove_table(config: &Config) -> String {
    let table = &config.table;
    format!("table ip {table}\ndelete table ip {table}\n")
}

/// The whole table in one atomic batch: `pickers` and `elements` are inserted where they belong.
pub(super) fn full_table(config: &Config, pickers: &str, elements: &str) -> String {
    let Config { table, bridge, cluster_cidr, service_cidr, load_balancer_cidr, pod_cidr, .. } = config;
    let mut text = remove_table(config);
    let _ = writeln!(text, "table ip {table} {{");
    for family in Family::ALL {
        text.push_str(&maps(family));
    }
    text.push_str(
        "  map affinity {\n    typeof ip saddr . ip daddr . meta l4proto . th dport : meta mark\n    \
         size 1048576\n    flags dynamic,timeout\n    timeout 3h\n  }\n\
         \x20 set guarded { type ipv4_addr . inet_proto . inet_service; }\n\
         \x20 set allowed { type ipv4_addr . inet_proto . inet_service . ipv4_addr; flags interval; }\n",
    );
    text.push_str("  set hairpin {\n    type ipv4_addr . ipv4_addr\n");
    if pod_cidr.prefix() >= HAIRPIN_PREFIX {
        let pairs: Vec<String> = pod_cidr.hosts().map(|host| format!("{host} . {host}")).collect();
        let _ = writeln!(text, "    elements = {{ {} }}", pairs.join(", "));
    }
    text.push_str("  }\n");
    text.push_str(pickers);

    let outside = format!("ip saddr != {cluster_cidr} fib saddr type != local");
    let ports = "meta l4proto { tcp, udp, sctp }";
    let front = "ip daddr . meta l4proto . th dport";
    let _ = write!(
        text,
        "  chain dispatch {{\n\
         \x20   {front} @guarded {front} . ip saddr != @allowed drop\n\
         \x20   {outside} {front} vmap @local_services\n\
         \x20   {front} vmap @services\n\
         \x20   fib daddr type local goto dispatch_node_ports\n\
         \x20 }}\n\
         \x20 chain dispatch_node_ports {{\n\
         \x20   {outside} meta l4proto . th dport vmap @local_node_ports\n\
         \x20   meta l4proto . th dport vmap @node_ports\n\
         \x20 }}\n\
         \x20 chain prerouting {{\n    type nat hook prerouting priority dstnat; policy accept;\n    {ports} jump dispatch\n  }}\n\
         \x20 chain output {{\n    type nat hook output priority -100; policy accept;\n    {ports} jump dispatch\n  }}\n"
    );
    let ours = format!("{{ {service_cidr}, {load_balancer_cidr} }}");
    let (low, high) = (config.node_ports.start(), config.node_ports.end());
    let remote =
        format!("fib saddr type != local ip saddr != {cluster_cidr} oifname != \"{bridge}\" oifname != \"lo\"");
    let _ = write!(
        text,
        "  chain postrouting {{\n    type nat hook postrouting priority srcnat; policy accept;\n\
         \x20   ct status dnat ip saddr . ip daddr @hairpin masquerade\n\
         \x20   ip saddr 127.0.0.0/8 oifname \"{bridge}\" masquerade\n\
         \x20   ip saddr {pod_cidr} ip daddr != {cluster_cidr} oifname != \"{bridge}\" oifname != \"lo\" masquerade fully-random\n\
         \x20   ct status dnat {remote} ct original ip daddr {ours} masquerade fully-random\n\
         \x20   ct status dnat {remote} meta l4proto tcp ct original proto-dst {low}-{high} masquerade fully-random\n\
         \x20   ct status dnat {remote} meta l4proto udp ct original proto-dst {low}-{high} masquerade fully-random\n\
         \x20 }}\n"
    );
    // The bridge accepts loopback addresses for the sake of the host (`setup`); pods must not use them.
    let _ = write!(
        text,
        "  chain raw {{\n    type filter hook prerouting priority raw; policy accept;\n\
         \x20   iifname \"{bridge}\" ip daddr 127.0.0.0/8 drop\n  }}\n"
    );
    let unanswered = format!("ct state new ip daddr {ours} fib daddr type != local");
    let refused = format!("{}{}", refuse(&format!("ct state new {front} @refused_addresses")), refuse(&unanswered));
    let refused_ports = refuse("ct state new fib daddr type local meta l4proto . th dport @refused_node_ports");
    let _ = write!(
        text,
        "  chain refuse_forwarded {{\n    type filter hook forward priority filter - 5; policy accept;\n{refused}  }}\n\
         \x20 chain refuse_own {{\n    type filter hook output priority filter - 5; policy accept;\n\
         {refused}  }}\n\
         \x20 chain refuse_incoming {{\n    type filter hook input priority filter - 5; policy accept;\n{refused}{refused_ports}  }}\n"
    );
    text.push_str("}\n");
    text.push_str(elements);
    text
}

fn maps(family: Family) -> String {
    let (types, key) = match family {
        Family::Address | Family::LocalAddress => ("ipv4_addr . inet_proto . inet_service", family.expression()),
        Family::NodePort | Family::LocalNodePort => ("inet_proto . inet_service", family.expression()),
    };
    let name = |role| family.map(role);
    let mut text = format!("  map {} {{ type {types} : verdict; }}\n", name(Role::Entry));
    // nft 1.0.6 cannot use a map whose ports were declared by `typeof` once it comes from the kernel
    // ("conflicting protocols specified"), so slots travel in the packet's mark.
    let _ = writeln!(text, "  map {} {{ type {types} . mark : ipv4_addr . inet_service; }}", name(Role::Endpoints));
    let _ = writeln!(text, "  map {} {{ typeof {key} . numgen random mod 2 : meta mark; }}", name(Role::Slots));
    let _ = writeln!(text, "  map {} {{ type {types} . mark : ipv4_addr . inet_service; }}", name(Role::Members));
    let _ = writeln!(text, "  set {} {{ type {types}; }}", name(Role::Refused));
    text
}
