//! A batch in the language of nft: what the kernel must hold afterwards, told independently.
//!
//! For tests, which compare both, and for benches, which measure nft as the peer.

use std::fmt::Write as _;

use super::element::{FIRST_MEMBER, Family, Map, Role};
use super::picker::Picker;
use super::planner::{Batch, Scope};
use super::table::{AFFINITY_SIZE, hairpin_hosts};
use crate::Config;

/// The batch as input for `nft -f -`.
pub fn of(batch: &Batch, config: &Config) -> String {
    let table = &config.table;
    let removal = format!("table ip {table}\ndelete table ip {table}\n");
    let pickers: String = batch.pickers.iter().map(Picker::definition).collect();
    let mut text = match batch.scope {
        Scope::Removal => removal,
        Scope::Whole => removal + &full_table(config, &pickers),
        Scope::Changes if pickers.is_empty() => String::new(),
        Scope::Changes => format!("table ip {table} {{\n{pickers}}}\n"),
    };
    for (verb, maps) in [("delete", &batch.deleted), ("add", &batch.added)] {
        for (map, elements) in maps {
            let elements: Vec<String> = elements.iter().map(ToString::to_string).collect();
            let _ = writeln!(text, "{verb} element ip {table} {} {{ {} }}", map.name(), elements.join(", "));
        }
    }
    text
}

/// The expression of a packet that is looked up.
fn expression(family: Family) -> &'static str {
    match family {
        Family::Address | Family::LocalAddress => "ip daddr . meta l4proto . th dport",
        Family::NodePort | Family::LocalNodePort => "meta l4proto . th dport",
    }
}

impl Picker {
    /// Its definition, to stand inside a table.
    fn definition(&self) -> String {
        let (count, key) = (self.count, expression(self.family));
        let map = |role| Map { family: self.family, role }.name();
        let mut text = format!("  chain {} {{\n", self.name());
        let choose = format!("    meta mark set numgen random mod {count} offset {FIRST_MEMBER:#x}\n");
        let go = |map: &str| format!("    meta l4proto @protocols dnat ip to {key} . meta mark map @{map}\n");
        match self.affinity {
            None => text.extend([choose, go(map(Role::Endpoints))]),
            Some(time) => {
                let (seconds, client) = (time.as_secs(), "ip saddr . ip daddr . meta l4proto . th dport");
                let update = format!("update @affinity {{ {client} timeout {seconds}s : meta mark }}\n");
                let _ = writeln!(text, "    meta mark set {client} map @affinity");
                let _ = write!(text, "    {client} @affinity {update}");
                text += &go(map(Role::Members));
                let _ = writeln!(text, "    delete @affinity {{ {client} : meta mark }}");
                text += &choose;
                let _ = writeln!(text, "    meta mark set {key} . meta mark map @{}", map(Role::Slots));
                let _ = write!(text, "    {update}");
                text += &go(map(Role::Members));
            }
        }
        text.push_str("  }\n");
        text
    }
}

/// Rules that refuse what nobody answers.
fn refuse(condition: &str) -> String {
    format!(
        "    {condition} meta l4proto tcp reject with tcp reset\n    {condition} reject with icmp port-unreachable\n"
    )
}

fn full_table(config: &Config, pickers: &str) -> String {
    let Config { table, bridge, cluster_cidr, pod_cidr, .. } = config;
    let mut text = format!("table ip {table} {{\n");
    for family in Family::ALL {
        text.push_str(&maps(family));
    }
    let networks: Vec<String> = config.service_networks().iter().map(ToString::to_string).collect();
    let pairs: Vec<String> = hairpin_hosts(config).map(|host| format!("{host} . {host}")).collect();
    let pairs = if pairs.is_empty() { String::new() } else { format!("elements = {{ {} }}", pairs.join(", ")) };
    let _ = write!(
        text,
        "  map affinity {{\n    type ipv4_addr . ipv4_addr . inet_proto . inet_service : mark\n    \
         size {AFFINITY_SIZE}\n    flags dynamic,timeout\n    timeout 3h\n  }}\n\
         \x20 set guarded {{ type ipv4_addr . inet_proto . inet_service; }}\n\
         \x20 set allowed {{ type ipv4_addr . inet_proto . inet_service . ipv4_addr; flags interval; }}\n\
         \x20 set protocols {{ type inet_proto; elements = {{ tcp, udp, sctp }}; }}\n\
         \x20 set service_networks {{ type ipv4_addr; flags interval; elements = {{ {} }}; }}\n\
         \x20 set hairpin {{\n    type ipv4_addr . ipv4_addr\n    {pairs}\n  }}\n",
        networks.join(", ")
    );
    text.push_str(pickers);

    let outside = format!("ip saddr != {cluster_cidr} fib saddr type != local");
    let ports = "meta l4proto @protocols";
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
    let ours = "@service_networks";
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
    text
}

fn maps(family: Family) -> String {
    let types = match family {
        Family::Address | Family::LocalAddress => "ipv4_addr . inet_proto . inet_service",
        Family::NodePort | Family::LocalNodePort => "inet_proto . inet_service",
    };
    let name = |role| Map { family, role }.name();
    let mut text = format!("  map {} {{ type {types} : verdict; }}\n", name(Role::Entry));
    let _ = writeln!(text, "  map {} {{ type {types} . mark : ipv4_addr . inet_service; }}", name(Role::Endpoints));
    let _ = writeln!(text, "  map {} {{ type {types} . mark : mark; }}", name(Role::Slots));
    let _ = writeln!(text, "  map {} {{ type {types} . mark : ipv4_addr . inet_service; }}", name(Role::Members));
    let _ = writeln!(text, "  set {} {{ type {types}; }}", name(Role::Refused));
    text
}
