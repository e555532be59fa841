//! Decides which service has which address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use portolan_api::typed::Object;
use portolan_api::typed::kinds::core::v1::Service;
use portolan_client::Key;

use crate::meta::is_deleting;

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pool {
    first: u32,
    last: u32,
}

impl Pool {
    /// Reads `10.44.0.0/24`. Network and broadcast address are left out of ranges that have room for it.
    pub(super) fn parse(cidr: &str) -> Option<Self> {
        let (address, bits) = cidr.split_once('/')?;
        let bits: u32 = bits.parse().ok().filter(|bits| *bits <= 32)?;
        let address: Ipv4Addr = address.parse().ok()?;
        let size = 1u64 << (32 - bits);
        let first = u32::from(address) & u32::try_from(u64::from(u32::MAX) - (size - 1)).ok()?;
        let last = u32::try_from(u64::from(first) + size - 1).ok()?;
        Some(if size >= 4 { Self { first: first + 1, last: last - 1 } } else { Self { first, last } })
    }

    fn contains(self, address: Ipv4Addr) -> bool {
        (self.first..=self.last).contains(&u32::from(address))
    }
}

/// What a service gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// This address.
    Assign(Ipv4Addr),
    /// Its address must be taken away: it is no load balancer any more.
    Release,
    /// Nothing, and why.
    Refuse(String),
}

/// Returns the services whose status must change, and how.
///
/// A service keeps its address as long as it may. A wished address (`spec.loadBalancerIP`) goes to the
/// oldest that wishes for it.
pub(super) fn plan(services: &[Arc<Service>], pool: Pool) -> BTreeMap<Key, Decision> {
    let mut decisions = BTreeMap::new();
    let mut taken: BTreeSet<Ipv4Addr> = BTreeSet::new();
    let mut waiting: Vec<&Arc<Service>> = Vec::new();
    let mut ordered: Vec<&Arc<Service>> = services.iter().filter(|service| !is_deleting(&***service)).collect();
    ordered.sort_by_key(|service| {
        let created = service.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (created, service.namespace().to_owned(), service.name().to_owned())
    });
    for service in ordered {
        let current = address(service);
        if !is_ours(service) {
            if current.is_some_and(|current| pool.contains(current)) {
                decisions.insert(Key::of(&**service), Decision::Release);
            }
            continue;
        }
        let fits = |current: &Ipv4Addr| match wish(service) {
            Some(wish) => wish.parse() == Ok(*current),
            None => pool.contains(*current),
        };
        match current.filter(fits) {
            Some(current) if taken.insert(current) => {}
            _ => waiting.push(service),
        }
    }
    // Wishes first, so that nobody is given an address that another one asked for by name.
    waiting.sort_by_key(|service| wish(service).is_none());
    let mut next = pool.first;
    for service in waiting {
        let decision = match wish(service) {
            Some(wish) => match wish.parse::<Ipv4Addr>() {
                Ok(wish) if !pool.contains(wish) => Decision::Refuse(format!("{wish} is outside the address pool")),
                Ok(wish) if taken.insert(wish) => Decision::Assign(wish),
                Ok(wish) => Decision::Refuse(format!("{wish} belongs to another service")),
                Err(_) => Decision::Refuse(format!("{wish:?} is not an IPv4 address")),
            },
            None => loop {
                if next > pool.last {
                    break Decision::Refuse("all addresses of the pool are in use".to_owned());
                }
                let candidate = Ipv4Addr::from(next);
                next += 1;
                if taken.insert(candidate) {
                    break Decision::Assign(candidate);
                }
            },
        };
        decisions.insert(Key::of(&**service), decision);
    }
    decisions
}

fn is_ours(service: &Service) -> bool {
    let spec = service.spec.as_ref();
    spec.is_some_and(|spec| spec.type_.as_deref() == Some("LoadBalancer") && spec.load_balancer_class.is_none())
}

fn wish(service: &Service) -> Option<&str> {
    service.spec.as_ref()?.load_balancer_ip.as_deref().filter(|wish| !wish.is_empty())
}

fn address(service: &Service) -> Option<Ipv4Addr> {
    let ingress = service.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref()?;
    ingress.first()?.ip.as_deref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;

    /// `name[=current][?wish]`, or `-name=current` for one that is no load balancer.
    fn service(index: usize, text: &str) -> Arc<Service> {
        let (text, kind) = text.strip_prefix('-').map_or((text, "LoadBalancer"), |text| (text, "ClusterIP"));
        let (text, wish) = text.split_once('?').map_or((text, None), |(text, wish)| (text, Some(wish)));
        let (name, current) = text.split_once('=').map_or((text, None), |(name, current)| (name, Some(current)));
        let ingress: Vec<_> = current.into_iter().map(|ip| json!({"ip": ip})).collect();
        Arc::new(
            serde_json::from_value(json!({
                "metadata": {"name": name, "namespace": "n", "creationTimestamp": format!("2030-01-01T00:00:{index:02}Z")},
                "spec": {"type": kind, "loadBalancerIP": wish}, "status": {"loadBalancer": {"ingress": ingress}},
            }))
            .expect("it is a service"),
        )
    }

    fn check(cidr: &str, services: &str, expected: Expect) {
        let services: Vec<_> =
            services.split_whitespace().enumerate().map(|(index, text)| service(index, text)).collect();
        let decisions = plan(&services, Pool::parse(cidr).expect("it is a range"));
        let lines: Vec<String> =
            decisions.iter().map(|(key, decision)| format!("{}: {decision:?}", key.name)).collect();
        expected.assert_eq(&lines.join("; "));
    }

    #[test]
    fn gives_the_first_free_address_and_keeps_what_was_given() {
        check("10.44.0.0/24", "a b=10.44.0.1 c", expect!["a: Assign(10.44.0.2); c: Assign(10.44.0.3)"]);
    }

    #[test]
    fn honours_wishes_before_giving_addresses_away() {
        check("10.44.0.0/24", "a b?10.44.0.1", expect!["a: Assign(10.44.0.2); b: Assign(10.44.0.1)"]);
        check(
            "10.44.0.0/24",
            "a=10.44.0.9 b?10.44.0.9 c?10.1.1.1",
            expect![[
                r#"b: Refuse("10.44.0.9 belongs to another service"); c: Refuse("10.1.1.1 is outside the address pool")"#
            ]],
        );
    }

    #[test]
    fn takes_the_address_back_when_the_type_changes() {
        check("10.44.0.0/24", "-a=10.44.0.1 b", expect!["a: Release; b: Assign(10.44.0.1)"]);
    }

    #[test]
    fn says_so_when_the_pool_is_exhausted() {
        check(
            "10.44.0.0/30",
            "a b c",
            expect![[
                r#"a: Assign(10.44.0.1); b: Assign(10.44.0.2); c: Refuse("all addresses of the pool are in use")"#
            ]],
        );
    }
}
