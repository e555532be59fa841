//! Ranges of addresses of services.

use std::net::IpAddr;

use portolan_api::field;
use portolan_base::Timestamp;
use serde_json::Value;

use crate::resources::addresses::NOT_A_CIDR;
use crate::resources::at::{At, Errors};
use crate::resources::json::{items, text};
use crate::resources::print;
use crate::strategy::{AGE, Column, Context, NAME, Strategy};

/// The strategy of service CIDRs.
pub(crate) struct ServiceCidr;

const COLUMNS: &[Column] = &[NAME, Column::string("CIDRs"), AGE];

/// The address and length of a prefix, whose address has no bits behind it.
pub(super) fn parse_cidr(text: &str) -> Option<(IpAddr, u32)> {
    let (address, length) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let length: u32 = length.parse().ok().filter(|_| length.bytes().all(|byte| byte.is_ascii_digit()))?;
    let fits = match address {
        IpAddr::V4(address) => length <= 32 && u32::from(address).checked_shl(length).unwrap_or(0) == 0,
        IpAddr::V6(address) => length <= 128 && u128::from(address).checked_shl(length).unwrap_or(0) == 0,
    };
    fits.then_some((address, length))
}

impl Strategy for ServiceCidr {
    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        let spec = At::root("spec");
        let at = spec.child("cidrs");
        let cidrs = items(&object["spec"]["cidrs"]);
        if cidrs.is_empty() {
            errors.required(&at, "at least one CIDR required");
        }
        if cidrs.len() > 2 {
            errors.invalid(&at, object["spec"].clone(), "may only hold up to 2 values");
            return errors.0;
        }
        let parsed: Vec<Option<(IpAddr, u32)>> = cidrs.iter().map(|cidr| parse_cidr(text(cidr))).collect();
        for (index, cidr) in cidrs.iter().enumerate() {
            if parsed[index].is_none() {
                errors.invalid(&at.index(index), cidr.clone(), NOT_A_CIDR);
            }
        }
        if let [Some((first, _)), Some((second, _))] = parsed[..]
            && first.is_ipv4() == second.is_ipv4()
        {
            let detail = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
            errors.invalid(&at, object["spec"].clone(), detail);
        }
        errors.0
    }

    fn validate_update(&self, new: &Value, old: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        let spec = At::root("spec");
        let at = spec.child("cidrs");
        let (after, before) = (items(&new["spec"]["cidrs"]), items(&old["spec"]["cidrs"]));
        // One family may become two.
        match (before, after) {
            ([first], [same, _]) if first != same => {
                errors.invalid(&at.index(0), same.clone(), "the primary CIDR can not be changed");
            }
            ([_], [_, _]) => {}
            _ => errors.immutable(&at, &new["spec"]["cidrs"], &old["spec"]["cidrs"]),
        }
        errors.0
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let cidrs: Vec<&str> = items(&object["spec"]["cidrs"]).iter().map(text).collect();
        vec![print::name(object), cidrs.join(",").into(), print::age(object, now)]
    }
}
