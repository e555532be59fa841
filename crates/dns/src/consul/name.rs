//! What a name in Consul's zone asks for. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// Names stand below this one; it has no data of its own.
    Inner,
    /// `[tag.]service.service` or `_service._tag`.
    Service {
        name: String,
        /// Tag that instances must have.
        tag: Option<String>,
    },
    /// `service.virtual`: the address in front of all instances.
    Virtual(String),
    /// `name.query`: what was prepared under that name.
    Query(String),
    /// `node.node`.
    Node(String),
    /// `c0000207.addr`: the address says itself.
    Address(IpAddr),
    /// No such name can be.
    Nothing,
}

/// Reads the labels before the domain, in lower case. Names of another datacenter than `datacenter` are
/// unknown: there is none that could be asked.
pub(super) fn read(labels: &[&str], datacenter: &str) -> Asked {
    // The last one that tells a kind does: labels before it may be anything.
    let kind = labels.iter().rposition(|label| matches!(*label, "service" | "node" | "addr" | "virtual" | "query"));
    // RFC 2782 names need none.
    let bare = labels.iter().rposition(|label| label.starts_with('_')).filter(|at| kind.is_none_or(|kind| kind < *at));
    let (parts, kind, place) = match (bare, kind) {
        (Some(at), _) => (&labels[..=at], "_", &labels[at + 1..]),
        (None, Some(at)) => (&labels[..at], labels[at], &labels[at + 1..]),
        (None, None) => (&labels[..0], "", labels),
    };
    let here = match place {
        [] => true,
        [only] | [only, "dc"] => *only == datacenter || (kind.is_empty() && *only == "dc"),
        _ => false,
    };
    if !here {
        return Asked::Nothing;
    }
    match (kind, parts) {
        ("_", [service, tag]) => by_rfc_2782(service, tag).unwrap_or(Asked::Nothing),
        ("_", _) => Asked::Nothing,
        (_, []) => Asked::Inner,
        ("service", [service, tag]) if service.starts_with('_') && tag.starts_with('_') => {
            by_rfc_2782(service, tag).unwrap_or(Asked::Nothing)
        }
        // A tag may have dots.
        ("service", [tag @ .., service]) => {
            Asked::Service { name: (*service).to_owned(), tag: (!tag.is_empty()).then(|| tag.join(".")) }
        }
        // Of a prepared query there is one set of instances, whatever the protocol.
        ("query", [query, "_tcp" | "_udp"]) if query.starts_with('_') => Asked::Query(query[1..].to_owned()),
        // Its name may have dots.
        ("query", parts) => Asked::Query(parts.join(".")),
        // So may a node.
        ("node", parts) => Asked::Node(parts.join(".")),
        ("virtual", [service]) => Asked::Virtual((*service).to_owned()),
        ("addr", [hex]) => read_hex(hex).map_or(Asked::Nothing, Asked::Address),
        _ => Asked::Nothing,
    }
}

/// `_service._tag`; the tag `tcp` means any.
fn by_rfc_2782(service: &str, tag: &str) -> Option<Asked> {
    let (name, tag) = (service.strip_prefix('_')?.to_owned(), tag.strip_prefix('_')?);
    Some(Asked::Service { name, tag: (tag != "tcp").then(|| tag.to_owned()) })
}

/// An address as the label that [`read`] understands.
pub(super) fn hex(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("{:08x}", address.to_bits()),
        IpAddr::V6(address) => format!("{:032x}", address.to_bits()),
    }
}

fn read_hex(text: &str) -> Option<IpAddr> {
    // A sign would be read as part of a number.
    if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    match text.len() {
        8 => Some(Ipv4Addr::from_bits(u32::from_str_radix(text, 16).ok()?).into()),
        32 => Some(Ipv6Addr::from_bits(u128::from_str_radix(text, 16).ok()?).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_they_ask_for() {
        let service =
            |name: &str, tag: Option<&str>| Asked::Service { name: name.to_owned(), tag: tag.map(str::to_owned) };
        let cases = [
            ("web.service", service("web", None)),
            ("web.service.dc1", service("web", None)),
            ("web.service.dc1.dc", service("web", None)),
            ("web.service.dc2", Asked::Nothing),
            ("web.service.dc1.peer", Asked::Nothing),
            ("web.service.east.dc1.dc", Asked::Nothing),
            ("v1.2.web.service", service("web", Some("v1.2"))),
            ("service.service", service("service", None)),
            ("_web._tcp.service", service("web", None)),
            ("_web._blue.service.dc1", service("web", Some("blue"))),
            ("_blue.web.service", service("web", Some("_blue"))),
            ("_web._tcp", service("web", None)),
            ("_web._blue.dc1.dc", service("web", Some("blue"))),
            ("_web._blue.dc2.dc", Asked::Nothing),
            ("_web", Asked::Nothing),
            ("a._web._tcp", Asked::Nothing),
            ("rack.one.node", Asked::Node("rack.one".to_owned())),
            ("_a._b.node.dc1", Asked::Node("_a._b".to_owned())),
            ("c0000207.addr.dc1", Asked::Address([192, 0, 2, 7].into())),
            ("20010db8000000000000000000000001.addr", Asked::Address("2001:db8::1".parse().expect("an address"))),
            ("+0000207.addr", Asked::Nothing),
            ("c00002.addr", Asked::Nothing),
            ("a.c0000207.addr", Asked::Nothing),
            ("web.virtual", Asked::Virtual("web".to_owned())),
            ("a.web.virtual", Asked::Nothing),
            ("virtual", Asked::Inner),
            ("web.query", Asked::Query("web".to_owned())),
            ("geo.db.query.dc1", Asked::Query("geo.db".to_owned())),
            ("_geo._tcp.query", Asked::Query("geo".to_owned())),
            ("web.query.dc2", Asked::Nothing),
            ("query", Asked::Inner),
            ("web", Asked::Nothing),
            ("service", Asked::Inner),
            ("node.dc1.dc", Asked::Inner),
            ("dc1", Asked::Inner),
            ("dc1.dc", Asked::Inner),
            ("dc", Asked::Inner),
            ("", Asked::Inner),
        ];
        for (text, expected) in cases {
            let labels: Vec<&str> = text.split('.').filter(|label| !label.is_empty()).collect();
            assert_eq!(read(&labels, "dc1"), expected, "{text}");
        }
    }

    #[test]
    fn addresses_and_their_labels_are_the_same() {
        for text in ["0.0.0.1", "192.0.2.7", "255.255.255.255", "::1", "2001:db8::ff"] {
            let address: IpAddr = text.parse().expect("an address");
            assert_eq!(read_hex(&hex(address)), Some(address));
        }
    }
}
