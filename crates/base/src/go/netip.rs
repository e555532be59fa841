//! Addresses and networks as Go's package `net/netip` reads them, and what it says of those that are none.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::quote;

/// What is wrong with an address.
struct Problem<'t> {
    what: &'static str,
    /// What was not read when that was found; empty if it is about the whole.
    rest: &'t str,
}

impl Problem<'_> {
    fn in_text(&self, text: &str) -> String {
        let place = if self.rest.is_empty() { String::new() } else { format!(" (at {})", quote(self.rest)) };
        format!("ParseAddr({}): {}{place}", quote(text), self.what)
    }
}

fn whole<'t>(what: &'static str) -> Problem<'t> {
    Problem { what, rest: "" }
}

/// Reads an address and its zone, which is empty if it has none: `netip.ParseAddr`.
///
/// # Errors
/// It is none; in Go's words.
pub fn parse_address(text: &str) -> Result<(IpAddr, &str), String> {
    let parsed = match text.bytes().find(|byte| matches!(byte, b'.' | b':' | b'%')) {
        Some(b'.') => ipv4(text).map(|address| (address.into(), "")),
        Some(b':') => with_zone(text),
        // A zone of nothing.
        Some(_) => Err(whole("missing IPv6 address")),
        None => Err(whole("unable to parse IP")),
    };
    parsed.map_err(|problem| problem.in_text(text))
}

/// Reads the address and the length of the prefix of a network, which may have bits behind it: `netip.ParsePrefix`.
///
/// # Errors
/// It is none; in Go's words.
pub fn parse_prefix(text: &str) -> Result<(IpAddr, u8), String> {
    let refuse = |why: &str| format!("netip.ParsePrefix({}): {why}", quote(text));
    let (address, length) = text.rsplit_once('/').ok_or_else(|| refuse("no '/'"))?;
    let (address, zone) = parse_address(address).map_err(|why| refuse(&why))?;
    if !zone.is_empty() {
        return Err(refuse("IPv6 zones cannot be present in a prefix"));
    }
    let is_number = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    // What an `int` of Go does not hold is no number to it.
    let length: i64 = match length.parse() {
        Ok(number) if is_number && (length == "0" || !length.starts_with('0')) => number,
        _ => return Err(refuse(&format!("bad bits after slash: {}", quote(length)))),
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = u8::try_from(length).ok().filter(|length| *length <= most);
    Ok((address, length.ok_or_else(|| refuse("prefix length out of range"))?))
}

fn ipv4(text: &str) -> Result<Ipv4Addr, Problem<'_>> {
    let mut octets = [0; 4];
    let mut place = 0;
    let mut octet = 0_u8;
    let mut digits = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'0'..=b'9' => {
                if digits == 1 && octet == 0 {
                    return Err(whole("IPv4 field has octet with leading zero"));
                }
                let value = octet.checked_mul(10).and_then(|tens| tens.checked_add(byte - b'0'));
                octet = value.ok_or_else(|| whole("IPv4 field has value >255"))?;
                digits += 1;
            }
            b'.' if digits == 0 || at + 1 == text.len() => {
                return Err(Problem { what: "IPv4 field must have at least one digit", rest: &text[at..] });
            }
            b'.' if place == 3 => return Err(whole("IPv4 address too long")),
            b'.' => {
                octets[place] = octet;
                place += 1;
                (octet, digits) = (0, 0);
            }
            _ => return Err(Problem { what: "unexpected character", rest: &text[at..] }),
        }
    }
    if place < 3 {
        return Err(whole("IPv4 address too short"));
    }
    octets[3] = octet;
    Ok(octets.into())
}

fn with_zone(text: &str) -> Result<(IpAddr, &str), Problem<'_>> {
    let (address, zone) = match text.split_once('%') {
        Some((_, "")) => return Err(whole("zone must be a non-empty string")),
        Some(parts) => parts,
        None => (text, ""),
    };
    Ok((ipv6(address)?.into(), zone))
}

fn ipv6(text: &str) -> Result<Ipv6Addr, Problem<'_>> {
    const GROUPS: usize = 8;
    let mut groups = [0_u16; GROUPS];
    let mut filled = 0;
    // Where `::` stands among them.
    let mut gap = text.starts_with("::").then_some(0);
    let mut rest = text.strip_prefix("::").unwrap_or(text);
    let mut is_at_end = gap.is_some() && rest.is_empty();
    while !is_at_end && filled < GROUPS {
        let problem = |what| Problem { what, rest };
        let (digits, behind) = rest.split_at(rest.bytes().take_while(u8::is_ascii_hexdigit).count());
        match digits.len() {
            0 => return Err(problem("each colon-separated field must have at least one digit")),
            5.. => return Err(problem("each group must have 4 or less digits")),
            _ => {}
        }
        if behind.starts_with('.') {
            if gap.is_none() && filled != GROUPS - 2 {
                return Err(problem("embedded IPv4 address must replace the final 2 fields of the address"));
            }
            if filled > GROUPS - 2 {
                return Err(problem("too many hex fields to fit an embedded IPv4 at the end of the address"));
            }
            let [a, b, c, d] = ipv4(rest)?.octets();
            groups[filled..filled + 2].copy_from_slice(&[u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]);
            filled += 2;
            rest = "";
            break;
        }
        groups[filled] = u16::from_str_radix(digits, 16).expect("four digits at most");
        filled += 1;
        rest = behind;
        if rest.is_empty() {
            break;
        }
        let problem = |what| Problem { what, rest };
        let next = rest.strip_prefix(':').ok_or_else(|| problem("unexpected character, want colon"))?;
        if next.is_empty() {
            return Err(problem("colon must be followed by more characters"));
        }
        rest = next;
        if let Some(next) = rest.strip_prefix(':') {
            if gap.is_some() {
                return Err(Problem { what: "multiple :: in address", rest });
            }
            gap = Some(filled);
            rest = next;
            is_at_end = rest.is_empty();
        }
    }
    if !rest.is_empty() {
        return Err(Problem { what: "trailing garbage after address", rest });
    }
    match gap {
        None if filled < GROUPS => return Err(whole("address string too short")),
        Some(_) if filled == GROUPS => return Err(whole("the :: must expand to at least one field of zeros")),
        Some(gap) => {
            let zeros = GROUPS - filled;
            groups.copy_within(gap..filled, gap + zeros);
            groups[gap..gap + zeros].fill(0);
        }
        None => {}
    }
    Ok(groups.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What Go 1.26 says, with the zone behind a blank.
    #[test]
    fn addresses_and_what_is_none() {
        let cases = [
            ("", r#"ParseAddr(""): unable to parse IP"#),
            ("a", r#"ParseAddr("a"): unable to parse IP"#),
            ("%eth0", r#"ParseAddr("%eth0"): missing IPv6 address"#),
            ("1.2.3.4", "1.2.3.4"),
            ("0.0.0.0", "0.0.0.0"),
            ("01.2.3.4", r#"ParseAddr("01.2.3.4"): IPv4 field has octet with leading zero"#),
            ("1.2.3.256", r#"ParseAddr("1.2.3.256"): IPv4 field has value >255"#),
            ("1.2.3", r#"ParseAddr("1.2.3"): IPv4 address too short"#),
            (".1.2.3", r#"ParseAddr(".1.2.3"): IPv4 field must have at least one digit (at ".1.2.3")"#),
            ("1.2.3.", r#"ParseAddr("1.2.3."): IPv4 field must have at least one digit (at ".")"#),
            ("1..2.3", r#"ParseAddr("1..2.3"): IPv4 field must have at least one digit (at ".2.3")"#),
            ("1.2.3.4.5", r#"ParseAddr("1.2.3.4.5"): IPv4 address too long"#),
            ("1.2.3.4 ", r#"ParseAddr("1.2.3.4 "): unexpected character (at " ")"#),
            ("1.2.3.é", r#"ParseAddr("1.2.3.é"): unexpected character (at "é")"#),
            ("1.2.3.4%eth0", r#"ParseAddr("1.2.3.4%eth0"): unexpected character (at "%eth0")"#),
            ("::", "::"),
            ("::1", "::1"),
            ("1::", "1::"),
            ("::%eth0", ":: eth0"),
            ("fe80::1%eth0", "fe80::1 eth0"),
            ("fe80::1%", r#"ParseAddr("fe80::1%"): zone must be a non-empty string"#),
            ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
            ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
            ("1:2:3:4::5:6:7:8", r#"ParseAddr("1:2:3:4::5:6:7:8"): the :: must expand to at least one field of zeros"#),
            (
                "::1:2:3:4:5:6:7:8",
                r#"ParseAddr("::1:2:3:4:5:6:7:8"): the :: must expand to at least one field of zeros"#,
            ),
            ("1:2:3:4:5:6:7:8:9", r#"ParseAddr("1:2:3:4:5:6:7:8:9"): trailing garbage after address (at "9")"#),
            ("1:2:3", r#"ParseAddr("1:2:3"): address string too short"#),
            ("1:2:3:4:5:6:7:", r#"ParseAddr("1:2:3:4:5:6:7:"): colon must be followed by more characters (at ":")"#),
            ("12345::", r#"ParseAddr("12345::"): each group must have 4 or less digits (at "12345::")"#),
            ("::g", r#"ParseAddr("::g"): each colon-separated field must have at least one digit (at "g")"#),
            ("::1::2", r#"ParseAddr("::1::2"): multiple :: in address (at ":2")"#),
            ("1:::2", r#"ParseAddr("1:::2"): each colon-separated field must have at least one digit (at ":2")"#),
            (":1", r#"ParseAddr(":1"): each colon-separated field must have at least one digit (at ":1")"#),
            ("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"),
            ("::1.2.3.4", "::102:304"),
            ("::ffff:1.2.3.4", "::ffff:1.2.3.4"),
            (
                "1:2:3:4:5:6:7:1.2.3.4",
                r#"ParseAddr("1:2:3:4:5:6:7:1.2.3.4"): embedded IPv4 address must replace the final 2 fields of the address (at "1.2.3.4")"#,
            ),
            (
                "1:1.2.3.4",
                r#"ParseAddr("1:1.2.3.4"): embedded IPv4 address must replace the final 2 fields of the address (at "1.2.3.4")"#,
            ),
            (
                "::1:2:3:4:5:6:1.2.3.4",
                r#"ParseAddr("::1:2:3:4:5:6:1.2.3.4"): the :: must expand to at least one field of zeros"#,
            ),
            (
                "::1:2:3:4:5:6:7:1.2.3.4",
                r#"ParseAddr("::1:2:3:4:5:6:7:1.2.3.4"): too many hex fields to fit an embedded IPv4 at the end of the address (at "1.2.3.4")"#,
            ),
            ("::1.2.3", r#"ParseAddr("::1.2.3"): IPv4 address too short"#),
            ("::1.2.3.4:5", r#"ParseAddr("::1.2.3.4:5"): unexpected character (at ":5")"#),
            ("::1.2.3.é", r#"ParseAddr("::1.2.3.é"): unexpected character (at "é")"#),
            ("ABCD::", "abcd::"),
            ("1:2 ", r#"ParseAddr("1:2 "): unexpected character, want colon (at " ")"#),
            ("é::", r#"ParseAddr("é::"): each colon-separated field must have at least one digit (at "é::")"#),
        ];
        for (text, expected) in cases {
            let said = match parse_address(text) {
                Ok((address, "")) => address.to_string(),
                Ok((address, zone)) => format!("{address} {zone}"),
                Err(why) => why,
            };
            assert_eq!(said, expected);
        }
    }

    /// The same of networks.
    #[test]
    fn networks_and_what_is_none() {
        let cases = [
            ("", r#"netip.ParsePrefix(""): no '/'"#),
            ("1.2.3.4", r#"netip.ParsePrefix("1.2.3.4"): no '/'"#),
            ("1.2.3.4/", r#"netip.ParsePrefix("1.2.3.4/"): bad bits after slash: """#),
            ("1.2.3.4/0", "1.2.3.4/0"),
            ("1.2.3.4/32", "1.2.3.4/32"),
            ("1.2.3.4/33", r#"netip.ParsePrefix("1.2.3.4/33"): prefix length out of range"#),
            ("1.2.3.4/01", r#"netip.ParsePrefix("1.2.3.4/01"): bad bits after slash: "01""#),
            ("1.2.3.4/+1", r#"netip.ParsePrefix("1.2.3.4/+1"): bad bits after slash: "+1""#),
            ("1.2.3.4/-1", r#"netip.ParsePrefix("1.2.3.4/-1"): bad bits after slash: "-1""#),
            ("1.2.3.4/00", r#"netip.ParsePrefix("1.2.3.4/00"): bad bits after slash: "00""#),
            (
                "1.2.3.4/9999999999999999999",
                r#"netip.ParsePrefix("1.2.3.4/9999999999999999999"): bad bits after slash: "9999999999999999999""#,
            ),
            ("1.2.3.4/999999", r#"netip.ParsePrefix("1.2.3.4/999999"): prefix length out of range"#),
            ("::/128", "::/128"),
            ("::/129", r#"netip.ParsePrefix("::/129"): prefix length out of range"#),
            ("fe80::1%eth0/64", r#"netip.ParsePrefix("fe80::1%eth0/64"): IPv6 zones cannot be present in a prefix"#),
            ("a/1", r#"netip.ParsePrefix("a/1"): ParseAddr("a"): unable to parse IP"#),
            ("1.2.3/8", r#"netip.ParsePrefix("1.2.3/8"): ParseAddr("1.2.3"): IPv4 address too short"#),
            (
                "1.2.3.4/1/2",
                r#"netip.ParsePrefix("1.2.3.4/1/2"): ParseAddr("1.2.3.4/1"): unexpected character (at "/1")"#,
            ),
            ("1.2.3.4/é", r#"netip.ParsePrefix("1.2.3.4/é"): bad bits after slash: "é""#),
            ("1.2.3.4/-", r#"netip.ParsePrefix("1.2.3.4/-"): bad bits after slash: "-""#),
        ];
        for (text, expected) in cases {
            let said = match parse_prefix(text) {
                Ok((address, length)) => format!("{address}/{length}"),
                Err(why) => why,
            };
            assert_eq!(said, expected);
        }
    }

    proptest! {
        #[test]
        fn what_is_an_address_is_one_to_the_standard_library_too(text in "([0-9a-fA-F]{0,5}:{0,3}){1,9}|([0-9]{0,3}[.:]){0,5}[0-9]{0,3}") {
            prop_assert_eq!(parse_address(&text).ok().map(|(address, _)| address), text.parse().ok());
        }
    }
}
