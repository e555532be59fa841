//! An IPv4 network in CIDR notation.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// A network: its first address and the length of its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    address: Ipv4Addr,
    prefix: u8,
}

/// A text that is no IPv4 network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an IPv4 network, expected for example 10.42.0.0/24")]
pub struct ParseCidrError(String);

impl Cidr {
    /// The network of `address` with `prefix` bits; longer prefixes count as 32.
    pub fn new(address: Ipv4Addr, prefix: u8) -> Self {
        let prefix = prefix.min(32);
        Self { address: Ipv4Addr::from_bits(address.to_bits() & mask(prefix)), prefix }
    }

    /// The first address, which names the network.
    pub fn network(self) -> Ipv4Addr {
        self.address
    }

    /// The last address, used for broadcast.
    pub fn broadcast(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.address.to_bits() | !mask(self.prefix))
    }

    /// Length of the prefix.
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// The mask: ones where addresses of the network agree.
    pub fn mask(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(mask(self.prefix))
    }

    /// Whether every address of `other` is inside.
    pub fn covers(self, other: Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.address)
    }

    /// Whether `address` is inside.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & mask(self.prefix) == self.address.to_bits()
    }

    /// The first address after the network's own: by convention the gateway.
    pub fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.address.to_bits().saturating_add(1))
    }

    /// Addresses that hosts may have: neither network, gateway nor broadcast.
    pub fn hosts(self) -> impl Iterator<Item = Ipv4Addr> + Clone {
        let first = u64::from(self.address.to_bits()) + 2;
        (first..u64::from(self.broadcast().to_bits())).map(|bits| Ipv4Addr::from_bits(bits as u32))
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

impl fmt::Display for Cidr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = ParseCidrError;

    fn from_str(text: &str) -> Result<Self, ParseCidrError> {
        let parse = || {
            let (address, prefix) = text.split_once('/')?;
            let prefix: u8 = prefix.parse().ok().filter(|prefix| *prefix <= 32)?;
            Some(Self::new(address.parse().ok()?, prefix))
        };
        parse().ok_or_else(|| ParseCidrError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_its_bounds() {
        for (text, gateway, broadcast, hosts) in [
            ("10.42.3.0/24", "10.42.3.1", "10.42.3.255", 253),
            ("10.42.3.77/30", "10.42.3.77", "10.42.3.79", 1),
            ("0.0.0.0/0", "0.0.0.1", "255.255.255.255", 0),
        ] {
            let cidr: Cidr = text.parse().expect(text);
            assert_eq!(cidr.gateway().to_string(), gateway);
            assert_eq!(cidr.broadcast().to_string(), broadcast);
            if hosts > 0 {
                assert_eq!(cidr.hosts().count(), hosts);
                assert!(cidr.hosts().all(|host| cidr.contains(host)));
            }
        }
        for bad in ["", "10.0.0.0", "10.0.0.0/33", "a/8", "10.0.0/8", "::/0"] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
    }
}
