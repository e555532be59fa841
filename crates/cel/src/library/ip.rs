//! Addresses.

use std::net::IpAddr;

use portolan_base::go;

use super::{fail, no_overload};
use crate::functions::{Outcome, Row, Style::Global, Style::Member};
use crate::value::Value;

const IP: &str = "net.IP";

pub(super) const ROWS: &[Row] = &[
    Row("ip", Global, &["string"], IP, |values| match values {
        [Value::String(text)] => match parse(text) {
            Ok(address) => Ok(Value::Ip(address)),
            Err(why) => fail(why),
        },
        _ => no_overload(),
    }),
    Row("isIP", Global, &["string"], "bool", |values| match values {
        [Value::String(text)] => Ok(parse(text).is_ok().into()),
        _ => no_overload(),
    }),
    Row("ip.isCanonical", Global, &["string"], "bool", |values| match values {
        [Value::String(text)] => match parse(text) {
            Ok(address) => Ok((address.to_string() == **text).into()),
            Err(why) => fail(why),
        },
        _ => no_overload(),
    }),
    Row("string", Global, &[IP], "string", |values| match values {
        [Value::Ip(address)] => Ok(address.to_string().into()),
        _ => no_overload(),
    }),
    Row("family", Member, &[IP], "int", |values| match values {
        [Value::Ip(address)] => Ok(Value::Int(if address.is_ipv4() { 4 } else { 6 })),
        _ => no_overload(),
    }),
    Row("isUnspecified", Member, &[IP], "bool", |values| ask(values, IpAddr::is_unspecified)),
    Row("isLoopback", Member, &[IP], "bool", |values| ask(values, IpAddr::is_loopback)),
    Row("isLinkLocalMulticast", Member, &[IP], "bool", |values| ask(values, is_link_local_multicast)),
    Row("isLinkLocalUnicast", Member, &[IP], "bool", |values| ask(values, is_link_local_unicast)),
    Row("isGlobalUnicast", Member, &[IP], "bool", |values| ask(values, is_global_unicast)),
];

fn ask<'a>(values: &[Value<'a>], question: fn(&IpAddr) -> bool) -> Outcome<'a> {
    match values {
        [Value::Ip(address)] => Ok(question(address).into()),
        _ => no_overload(),
    }
}

/// Reads an address: no zone, no IPv4 within IPv6.
pub(super) fn parse(text: &str) -> Result<IpAddr, String> {
    let (address, zone) = go::netip::parse_address(text)
        .map_err(|why| format!("IP Address {} parse error during conversion from string: {why}", go::quote(text)))?;
    if !zone.is_empty() {
        return Err(format!("IP address {} with zone value is not allowed", go::quote(text)));
    }
    match address {
        IpAddr::V6(inner) if inner.to_ipv4_mapped().is_some() => {
            Err(format!("IPv4-mapped IPv6 address {} is not allowed", go::quote(text)))
        }
        address => Ok(address),
    }
}

fn is_link_local_multicast(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets()[..3] == [224, 0, 0],
        IpAddr::V6(address) => address.segments()[0] & 0xff0f == 0xff02,
    }
}

fn is_link_local_unicast(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.segments()[0] & 0xffc0 == 0xfe80,
    }
}

fn is_global_unicast(address: &IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !is_broadcast
        && !address.is_unspecified()
        && !address.is_loopback()
        && !address.is_multicast()
        && !is_link_local_unicast(address)
}
