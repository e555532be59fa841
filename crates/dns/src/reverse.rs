//! Names of addresses: of services, pods, instances that registered themselves, and machines.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portolan_catalog::{AddressOwner, Key, Node, Origin, Resident, Snapshot, published_name};

use crate::consul::ConsulZone;
use crate::place::Place;
use crate::wire::{Name, Question, Rcode, Section, Writer, name_of, record, write_name};
use crate::zone::endpoints::{LONGEST_ADDRESS, write_dashed};
use crate::zone::{NamesOf, Outcome, Zone};

/// What became of a question for the name of an address.
struct Told<'a, 'b> {
    question: &'a Question,
    writer: &'a mut Writer<'b>,
    any: bool,
}

impl Told<'_, '_> {
    fn tell(&mut self, name: Option<Name>, ttl: u32) {
        let Some(name) = name else { return };
        self.any = true;
        if matches!(self.question.kind, record::PTR | record::ANY) {
            self.writer.record(Section::Answer, None, record::PTR, ttl, |out| write_name(out, &name));
        }
    }
}

impl Zone {
    /// Answers a question whose name is in none of the zones.
    pub(crate) fn reverse_answer(&self, question: Question, snapshot: &Snapshot, mut writer: Writer<'_>) -> Outcome {
        let Some(address) = read(&question.name) else { return Outcome::Forward(question) };
        let mut told = Told { question: &question, writer: &mut writer, any: false };
        self.tell_owners(address, snapshot, &mut told);
        // What the orchestrator made has the orchestrator's names.
        if !told.any {
            match (self.names_of_addresses, &self.consul) {
                (NamesOf::Consul, Some(consul)) => consul.tell(address, snapshot, &mut told),
                // A pod's own machine, and nobody else's.
                (NamesOf::Cluster, _) if address.is_loopback() => {}
                (NamesOf::Cluster, _) | (_, None) => self.tell_residents(address, snapshot, &mut told),
            }
        }
        let (known, ours) = (told.any, self.is_ours(address));
        if !known && !ours {
            return Outcome::Forward(question);
        }
        if !known && snapshot.index() == 0 {
            // Nothing is known yet; "does not exist" would be remembered by clients.
            writer.finish(Rcode::ServFail, false);
            return Outcome::Answered;
        }
        self.finish(writer, known, &question, snapshot);
        Outcome::Answered
    }

    /// Whether nobody else can know the address.
    fn is_ours(&self, address: IpAddr) -> bool {
        let IpAddr::V4(address) = address else { return false };
        self.reverse.iter().any(|(network, prefix)| {
            let mask = u32::MAX.checked_shl(32 - u32::from((*prefix).min(32))).unwrap_or(0);
            address.to_bits() & mask == network.to_bits() & mask
        })
    }

    /// Names of services, of endpoints of headless ones, and of pods.
    fn tell_owners(&self, address: IpAddr, snapshot: &Snapshot, told: &mut Told<'_, '_>) {
        for owner in snapshot.owners_of(address) {
            let name = match owner {
                AddressOwner::Service(key) => snapshot
                    .service(&key.namespace, &key.name)
                    .and_then(|service| name_of(self.service_labels(service))),
                AddressOwner::Endpoint(key) => {
                    let service = snapshot.service(&key.namespace, &key.name).filter(|service| service.is_headless());
                    service.and_then(|service| {
                        let endpoint = service.endpoints.iter().find(|endpoint| endpoint.address == address);
                        self.endpoint_name(service, endpoint?)
                    })
                }
                AddressOwner::Pod(key) => {
                    let mut buffer = [0; LONGEST_ADDRESS];
                    let own = [write_dashed(address, &mut buffer), key.namespace.as_bytes(), b"pod"];
                    name_of(own.into_iter().chain(self.domain.labels()))
                }
            };
            told.tell(name, self.ttl);
        }
    }

    /// Names of what registered itself, as pods resolve them: of instances below their services, else of machines
    /// that registered. Nodes of the cluster have none here, as in any cluster.
    fn tell_residents(&self, address: IpAddr, snapshot: &Snapshot, told: &mut Told<'_, '_>) {
        for key in services(snapshot, address) {
            // Where there is a service of that name, names below it are those of its endpoints.
            if snapshot.service(&key.namespace, &key.name).is_none() {
                let instances = snapshot.instances_of(&key.namespace, &key.name).into_iter().flat_map(|all| all.iter());
                let here = instances.filter(|instance| Place::address_of(instance, snapshot) == Some(address));
                here.for_each(|instance| told.tell(self.instance_name(instance, address), self.ttl));
            }
            if told.writer.is_truncated() {
                return;
            }
        }
        let Some(consul) = self.consul.as_ref().filter(|_| !told.any) else { return };
        for machine in machines(snapshot, address).filter(|machine| machine.origin == Origin::Registry) {
            told.tell(consul.machine_name(machine), consul.node_ttl);
        }
        if !told.any {
            consul.tell_services(address, snapshot, told);
        }
    }
}

impl ConsulZone {
    /// The names that Consul gives: of machines, or else of services.
    fn tell(&self, address: IpAddr, snapshot: &Snapshot, told: &mut Told<'_, '_>) {
        machines(snapshot, address).for_each(|machine| told.tell(self.machine_name(machine), self.node_ttl));
        if !told.any {
            self.tell_services(address, snapshot, told);
        }
    }

    fn tell_services(&self, address: IpAddr, snapshot: &Snapshot, told: &mut Told<'_, '_>) {
        for key in services(snapshot, address) {
            let name = published_name(&key.namespace, &key.name);
            told.tell(self.name_in_datacenter([name.as_bytes(), b"service"].into_iter()), self.ttl);
            if told.writer.is_truncated() {
                return;
            }
        }
    }

    /// `node.node.datacenter.domain`.
    pub(crate) fn machine_name(&self, machine: &Node) -> Option<Name> {
        self.name_in_datacenter(machine.name.split('.').map(str::as_bytes).chain([&b"node"[..]]))
    }
}

fn services(snapshot: &Snapshot, address: IpAddr) -> impl Iterator<Item = &Key> {
    snapshot.residents_of(address).filter_map(|resident| match resident {
        Resident::Instances(key) => Some(key),
        Resident::Machine(_) => None,
    })
}

/// Machines of an address. What was registered about a node of the cluster is that node's.
fn machines(snapshot: &Snapshot, address: IpAddr) -> impl Iterator<Item = &Node> {
    snapshot.residents_of(address).filter_map(|resident| match resident {
        Resident::Instances(_) => None,
        Resident::Machine(name) => snapshot.machine(name).map(|node| &**node),
    })
}

/// The address in `2.0.42.10.in-addr.arpa` (RFC 1035, section 3.5), or in 32 digits below `ip6.arpa` (RFC 3596,
/// section 2.5).
fn read(name: &Name) -> Option<IpAddr> {
    let mut labels = name.labels();
    let count = labels.clone().count();
    if count == 6 {
        let mut octet = || {
            let label = std::str::from_utf8(labels.next()?).ok()?;
            let is_number =
                label.bytes().all(|byte| byte.is_ascii_digit()) && (label == "0" || !label.starts_with('0'));
            is_number.then(|| label.parse::<u8>().ok()).flatten()
        };
        let (d, c, b, a) = (octet()?, octet()?, octet()?, octet()?);
        return labels.eq([b"in-addr".as_slice(), b"arpa"]).then(|| Ipv4Addr::new(a, b, c, d).into());
    }
    if count != 34 {
        return None;
    }
    let mut bits = 0_u128;
    for place in 0..32 {
        let &[digit] = labels.next()? else { return None };
        bits |= u128::from(char::from(digit).to_digit(16)?) << (4 * place);
    }
    labels.eq([b"ip6".as_slice(), b"arpa"]).then(|| Ipv6Addr::from_bits(bits).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_from_its_reverse_name() {
        let six = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";
        let cases = [
            ("2.0.42.10.in-addr.arpa", Some("10.42.0.2")),
            ("2.0.42.10.IN-ADDR.ARPA", Some("10.42.0.2")),
            ("02.0.42.10.in-addr.arpa", None),
            ("+2.0.42.10.in-addr.arpa", None),
            ("256.0.42.10.in-addr.arpa", None),
            ("0.42.10.in-addr.arpa", None),
            ("1.2.0.42.10.in-addr.arpa", None),
            ("2.0.42.10.ip6.arpa", None),
            (six, Some("2001:db8::1")),
            (&six[2..], None),
            (&six.replace("b", "g"), None),
            (&six.replace("ip6", "in-addr"), None),
            ("example.org", None),
        ];
        for (name, expected) in cases {
            let expected = expected.map(|text| text.parse::<IpAddr>().expect("an address"));
            assert_eq!(read(&Name::parse(name).expect("a name")), expected, "{name}");
        }
    }
}
