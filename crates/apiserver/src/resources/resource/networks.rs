//! What a driver tells of network devices.

use serde_json::Value;

use crate::resources::addresses::parse_cidr_sloppy;
use crate::resources::at::{At, Errors};
use crate::resources::json::text;

const NAME_LENGTH: usize = 256;
const HARDWARE_ADDRESS_LENGTH: usize = 128;
const MOST_ADDRESSES: usize = 16;

impl Errors {
    pub(super) fn network_data(&mut self, at: &At<'_>, data: &Value) {
        for (field, longest) in [("interfaceName", NAME_LENGTH), ("hardwareAddress", HARDWARE_ADDRESS_LENGTH)] {
            if text(&data[field]).len() > longest {
                self.too_long(&at.child(field), longest);
            }
        }
        let key = |address: &Value| text(address).to_owned();
        self.each_once(&at.child("ips"), &data["ips"], MOST_ADDRESSES, key, |address, at, errors| {
            errors.interface_address(at, text(address));
        });
    }

    /// An address of an interface, with the length of its network.
    ///
    /// Source: `IsValidInterfaceAddress` of `k8s.io/apimachinery/pkg/util/validation`.
    fn interface_address(&mut self, at: &At<'_>, value: &str) {
        let Some((address, length)) = parse_cidr_sloppy(value) else {
            let detail = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)";
            return self.invalid(at, value, detail);
        };
        let plain = address.to_canonical();
        let length = i16::from(length);
        // Of an IPv4 address in the form of the other family; as upstream, whatever comes of it.
        let length = if plain.is_ipv4() && length > 32 { length - 96 } else { length };
        let canonical = format!("{plain}/{length}");
        if value != canonical {
            self.invalid(at, value, format!("must be in canonical form (\"{canonical}\")"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_interfaces_have_one_form() {
        for (value, expected) in [
            ("10.9.8.7/24", ""),
            ("2001:db8::1/64", ""),
            ("10.9.8.07/24", "10.9.8.7/24"),
            ("2001:DB8::1/64", "2001:db8::1/64"),
            ("::ffff:192.168.0.1/120", "192.168.0.1/24"),
            ("::ffff:1.2.3.4/50", "1.2.3.4/-46"),
            ("::ffff:1.2.3.4/32", "1.2.3.4/32"),
        ] {
            let mut errors = Errors::default();
            errors.interface_address(&At::root("ips"), value);
            let found = errors.0.first().map_or("", |error| error.detail.as_str());
            let expected = match expected {
                "" => String::new(),
                canonical => format!("must be in canonical form (\"{canonical}\")"),
            };
            assert_eq!(found, expected, "{value}");
        }
    }
}
