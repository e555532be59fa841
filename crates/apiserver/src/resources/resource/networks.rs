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
        let length = if plain.is_ipv4() && length > 32 { length - 96 } else { length };
        let canonical = format!("{plain}/{length}");
        if value != canonical {
            self.invalid(at, value, format!("must be in canonical form (\"{canonical}\")"));
        }
    }
}
