//! IP addresses and ranges as the older fields of the API take them, and what is said of odd ones.
//!
//! Source: `k8s.io/apimachinery/pkg/util/validation/ip.go` with strict validation, as from 1.36 on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::at::{At, Errors};

/// Upstream's text for a range that is none.
const NOT_A_CIDR: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

/// An address in the older way of reading, which passes over leading zeros in IPv4.
pub(crate) fn parse_sloppy(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let digits = part.trim_start_matches('0');
        *octet = match digits {
            _ if !is_number => return None,
            "" => 0,
            digits => digits.parse().ok()?,
        };
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets).into())
}

/// A range and its length, in the older way of reading.
pub(crate) fn parse_cidr_sloppy(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    let address = parse_sloppy(address)?;
    let is_number = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    let length: u32 = is_number.then(|| length.parse().ok()).flatten()?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    u8::try_from(length).ok().filter(|length| *length <= longest).map(|length| (address, length))
}

/// The first address of the range that an address lies in.
pub(crate) fn masked(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            Ipv4Addr::from(u32::from(v4) & u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0)).into()
        }
        IpAddr::V6(v6) => {
            Ipv6Addr::from(u128::from(v6) & u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)).into()
        }
    }
}

fn is_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some())
}

fn is_link_local_multicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets()[..3] == [224, 0, 0],
        IpAddr::V6(v6) => v6.segments()[0] & 0xff0f == 0xff02,
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// Whether packets to an address leave for one machine beyond this link: what upstream's proxies ask.
pub(crate) fn is_global_unicast(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !is_broadcast
        && !address.is_unspecified()
        && !address.is_loopback()
        && !address.is_multicast()
        && !is_link_local(address)
}

/// Whether endpoints may have an address.
pub(crate) fn is_endpoint(address: IpAddr) -> bool {
    let mut errors = Errors::default();
    errors.endpoint_ip(&At::root("ip"), &address.to_string());
    errors.0.is_empty()
}

impl Errors {
    /// An IP address.
    pub(crate) fn ip(&mut self, at: &At<'_>, value: &str) {
        match parse_sloppy(value) {
            None => self.invalid(at, value, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
            Some(_) if value.parse::<IpAddr>().is_err() => self.invalid(at, value, "must not have leading 0s"),
            Some(address) if is_mapped(address) => {
                self.invalid(at, value, "must not be an IPv4-mapped IPv6 address");
            }
            Some(_) => {}
        }
    }

    /// An IP address where no odd form was ever taken.
    pub(crate) fn strict_ip(&mut self, at: &At<'_>, value: &str) {
        let before = self.0.len();
        self.ip(at, value);
        if let Some(address) = value.parse::<IpAddr>().ok().filter(|_| self.0.len() == before)
            && address.to_string() != value
        {
            self.invalid(at, value, format!("must be in canonical form (\"{address}\")"));
        }
    }

    /// Where an endpoint may not be: on the machine itself, on its link or nowhere.
    pub(crate) fn endpoint_ip(&mut self, at: &At<'_>, value: &str) {
        let Some(address) = parse_sloppy(value) else {
            self.invalid(at, value, "must be a valid IP address");
            return;
        };
        let address = address.to_canonical();
        if address.is_unspecified() {
            self.invalid(at, value, format!("may not be unspecified ({value})"));
        }
        if address.is_loopback() {
            self.invalid(at, value, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
        }
        if is_link_local(address) {
            self.invalid(at, value, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
        }
        if is_link_local_multicast(address) {
            self.invalid(at, value, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
        }
    }

    /// A range of addresses.
    pub(crate) fn cidr(&mut self, at: &At<'_>, value: &str) {
        let Some((address, length)) = parse_cidr_sloppy(value) else {
            self.invalid(at, value, NOT_A_CIDR);
            return;
        };
        let has_zeros = value.split_once('/').is_none_or(|(address, length)| {
            address.parse::<IpAddr>().is_err() || (length.len() > 1 && length.starts_with('0'))
        });
        if has_zeros {
            self.invalid(at, value, "must not have leading 0s in IP or prefix length");
        } else if is_mapped(address) {
            self.invalid(at, value, "must not have an IPv4-mapped IPv6 address");
        } else if masked(address, length) != address {
            self.invalid(at, value, "must not have bits set beyond the prefix length");
        }
    }

    /// A range of addresses where no odd form was ever taken.
    pub(crate) fn strict_cidr(&mut self, at: &At<'_>, value: &str) {
        let before = self.0.len();
        self.cidr(at, value);
        if let Some((address, length)) = parse_cidr_sloppy(value).filter(|_| self.0.len() == before) {
            let usual = format!("{address}/{length}");
            if usual != value {
                self.invalid(at, value, format!("must be in canonical form (\"{usual}\")"));
            }
        }
    }
}

/// What is said of an address that is taken but not written as it should be.
pub(crate) fn ip_warning(path: &str, value: &str) -> Option<String> {
    let address = parse_sloppy(value)?;
    if value.parse::<IpAddr>().is_err() || is_mapped(address) {
        let usual = address.to_canonical();
        return Some(format!("{path}: non-standard IP address \"{value}\" is invalid: use \"{usual}\""));
    }
    (address.is_ipv6() && address.to_string() != value)
        .then(|| format!("{path}: IPv6 address \"{value}\" should be in RFC 5952 canonical format (\"{address}\")"))
}

/// What is said of a range that is taken but not written as it should be.
pub(crate) fn cidr_warning(path: &str, value: &str) -> Option<String> {
    let (address, length) = parse_cidr_sloppy(value)?;
    let range = format!("{}/{length}", masked(address, length));
    if masked(address, length) != address {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        return Some(format!(
            "{path}: CIDR value \"{value}\" is ambiguous in this context (should be \"{range}\" or \"{address}/{longest}\"?)"
        ));
    }
    (address.is_ipv6() && range != value)
        .then(|| format!("{path}: IPv6 CIDR value \"{value}\" should be in RFC 5952 canonical format (\"{range}\")"))
}

/// What is wrong with an address that is a name.
pub(crate) fn problems_of_name(name: &str) -> Vec<String> {
    let mut errors = Errors::default();
    errors.strict_ip(&At::root("metadata"), name);
    errors.0.into_iter().map(|error| error.detail).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(check: impl Fn(&mut Errors, &At<'_>)) -> String {
        let mut errors = Errors::default();
        check(&mut errors, &At::root("f"));
        errors.0.into_iter().map(|error| error.detail).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn addresses_and_ranges_are_judged_as_upstream_does() {
        for (value, expected) in [
            ("10.0.0.1", ""),
            ("fd00::1", ""),
            ("q", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
            ("1.2.3", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
            ("1.2.3.04", "must not have leading 0s"),
            ("::ffff:1.2.3.4", "must not be an IPv4-mapped IPv6 address"),
        ] {
            assert_eq!(said(|errors, at| errors.ip(at, value)), expected, "{value}");
        }
        assert_eq!(said(|errors, at| errors.strict_ip(at, "fd00:0::1")), "must be in canonical form (\"fd00::1\")");
        for (value, expected) in [
            ("10.0.0.1", ""),
            ("239.1.1.1", ""),
            ("127.0.0.1", "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
            ("::1", "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
            ("::ffff:127.0.0.1", "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
            ("127.0.0.010", "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
            ("0.0.0.0", "may not be unspecified (0.0.0.0)"),
            ("169.254.169.254", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
            ("fe80::1", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
            ("224.0.0.1", "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
            ("ff02::1", "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
        ] {
            assert_eq!(said(|errors, at| errors.endpoint_ip(at, value)), expected, "{value}");
        }
        for (value, expected) in [
            ("10.0.0.0/8", ""),
            ("0.0.0.0/0", ""),
            ("::/0", ""),
            ("1.2.3.4/32", ""),
            ("1.2.3.4/99", NOT_A_CIDR),
            ("10.0.0.0", NOT_A_CIDR),
            ("10.0.0.00/8", "must not have leading 0s in IP or prefix length"),
            ("10.0.0.0/08", "must not have leading 0s in IP or prefix length"),
            ("::ffff:10.0.0.0/104", "must not have an IPv4-mapped IPv6 address"),
            ("10.0.0.1/8", "must not have bits set beyond the prefix length"),
        ] {
            assert_eq!(said(|errors, at| errors.cidr(at, value)), expected, "{value}");
        }
        let said = said(|errors, at| errors.strict_cidr(at, "fd00:0::/64"));
        assert_eq!(said, "must be in canonical form (\"fd00::/64\")");
    }

    #[test]
    fn odd_forms_are_warned_of() {
        for (value, expected) in [
            ("10.0.0.1", None),
            ("1.2.3.04", Some("f: non-standard IP address \"1.2.3.04\" is invalid: use \"1.2.3.4\"")),
            ("fd00:0::1", Some("f: IPv6 address \"fd00:0::1\" should be in RFC 5952 canonical format (\"fd00::1\")")),
        ] {
            assert_eq!(ip_warning("f", value).as_deref(), expected);
        }
        for (value, expected) in [
            ("10.0.0.0/8", None),
            (
                "10.0.0.1/8",
                Some(
                    "f: CIDR value \"10.0.0.1/8\" is ambiguous in this context (should be \"10.0.0.0/8\" or \"10.0.0.1/32\"?)",
                ),
            ),
            (
                "fd00:0::/64",
                Some("f: IPv6 CIDR value \"fd00:0::/64\" should be in RFC 5952 canonical format (\"fd00::/64\")"),
            ),
        ] {
            assert_eq!(cidr_warning("f", value).as_deref(), expected);
        }
    }

    #[test]
    fn proxies_go_to_single_machines_only() {
        for (address, expected) in [
            ("10.42.0.5", true),
            ("192.168.1.1", true),
            ("fd00::1", true),
            ("127.0.0.1", false),
            ("127.8.8.8", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("0.0.0.0", false),
            ("::", false),
            ("169.254.169.254", false),
            ("fe80::1", false),
            ("224.0.0.1", false),
            ("239.1.1.1", false),
            ("255.255.255.255", false),
        ] {
            assert_eq!(is_global_unicast(address.parse().expect("an address")), expected, "{address}");
        }
    }
}
