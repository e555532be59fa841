//! Ranges of addresses.

use std::fmt;
use std::net::IpAddr;

use portolan_base::go;

use super::{fail, ip, no_overload};
use crate::functions::{Outcome, Row, Style::Global, Style::Member};
use crate::value::Value;

const CIDR: &str = "net.CIDR";

/// An address and how many of its bits name the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    pub(crate) address: IpAddr,
    pub(crate) prefix: u8,
}

impl fmt::Display for Cidr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.prefix)
    }
}

pub(super) const ROWS: &[Row] = &[
    Row("cidr", Global, &["string"], CIDR, |values| match values {
        [Value::String(text)] => match parse(text) {
            Ok(cidr) => Ok(Value::Cidr(cidr)),
            Err(why) => fail(format!("network address parse error during conversion from string: {why}")),
        },
        _ => no_overload(),
    }),
    Row("isCIDR", Global, &["string"], "bool", |values| match values {
        [Value::String(text)] => Ok(parse(text).is_ok().into()),
        _ => no_overload(),
    }),
    Row("string", Global, &[CIDR], "string", |values| match values {
        [Value::Cidr(cidr)] => Ok(cidr.to_string().into()),
        _ => no_overload(),
    }),
    Row("containsIP", Member, &[CIDR, "string"], "bool", contains_ip),
    Row("containsIP", Member, &[CIDR, "net.IP"], "bool", contains_ip),
    Row("containsCIDR", Member, &[CIDR, "string"], "bool", contains_cidr),
    Row("containsCIDR", Member, &[CIDR, CIDR], "bool", contains_cidr),
    Row("ip", Member, &[CIDR], "net.IP", |values| match values {
        [Value::Cidr(cidr)] => Ok(Value::Ip(cidr.address)),
        _ => no_overload(),
    }),
    Row("prefixLength", Member, &[CIDR], "int", |values| match values {
        [Value::Cidr(cidr)] => Ok(Value::Int(cidr.prefix.into())),
        _ => no_overload(),
    }),
    Row("masked", Member, &[CIDR], CIDR, |values| match values {
        [Value::Cidr(cidr)] => Ok(Value::Cidr(cidr.masked())),
        _ => no_overload(),
    }),
];

impl Cidr {
    fn masked(self) -> Self {
        Self { address: mask(self.address, self.prefix), prefix: self.prefix }
    }

    fn contains(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4() && mask(address, self.prefix) == mask(self.address, self.prefix)
    }
}

fn mask(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    }
}

fn parse(text: &str) -> Result<Cidr, String> {
    let (address, prefix) = go::netip::parse_prefix(text)
        .map_err(|why| format!("network address parse error during conversion from string: {why}"))?;
    if matches!(address, IpAddr::V6(inner) if inner.to_ipv4_mapped().is_some()) {
        return Err(format!("IPv4-mapped IPv6 address {} is not allowed", go::quote(text)));
    }
    Ok(Cidr { address, prefix })
}

fn contains_ip<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    let (cidr, address) = match values {
        [Value::Cidr(cidr), Value::Ip(address)] => (cidr, *address),
        [Value::Cidr(cidr), Value::String(text)] => match ip::parse(text) {
            Ok(address) => (cidr, address),
            // Upstream takes why it is none for another argument.
            Err(_) => return no_overload(),
        },
        _ => return no_overload(),
    };
    Ok(cidr.contains(address).into())
}

fn contains_cidr<'a>(values: &[Value<'a>]) -> Outcome<'a> {
    let (cidr, other) = match values {
        [Value::Cidr(cidr), Value::Cidr(other)] => (cidr, *other),
        [Value::Cidr(cidr), Value::String(text)] => match parse(text) {
            Ok(other) => (cidr, other),
            Err(why) => return fail(format!("network address parse error during conversion from string: {why}")),
        },
        _ => return no_overload(),
    };
    Ok((cidr.prefix <= other.prefix && cidr.contains(other.address)).into())
}
