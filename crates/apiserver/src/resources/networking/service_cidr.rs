//! Ranges of addresses of services.

use portolan_api::field::{self, Shown};
use portolan_base::Timestamp;
use serde_json::Value;

use crate::resources::addresses::parse_cidr_sloppy;
use crate::resources::at::{At, Errors};
use crate::resources::checks::IMMUTABLE;
use crate::resources::json::{items, text};
use crate::resources::{print, shown};
use crate::strategy::{AGE, Column, Context, NAME, Strategy};

/// The strategy of service CIDRs.
pub(crate) struct ServiceCidr;

const COLUMNS: &[Column] = &[NAME, Column::string("CIDRs").of("networking.ServiceCIDRSpec", "cidrs"), AGE];

impl Strategy for ServiceCidr {
    fn validate(&self, object: &Value, _context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        validate_spec(&object["spec"], &mut errors);
        errors.0
    }

    fn revalidates(&self) -> bool {
        false
    }

    fn validate_update(&self, new: &Value, old: &Value, context: &Context) -> Vec<field::Error> {
        let mut errors = Errors::default();
        if context.subresource == "status" {
            return errors.0;
        }
        let spec = At::root("spec");
        let at = spec.child("cidrs");
        let (after, before) = (items(&new["spec"]["cidrs"]), items(&old["spec"]["cidrs"]));
        let adds_family = before.len() == 1 && after.len() == 2;
        if before.len() != after.len() && !adds_family {
            errors.invalid(&at, new["spec"]["cidrs"].clone(), IMMUTABLE);
            return errors.0;
        }
        for (index, (after, before)) in after.iter().zip(before).enumerate() {
            errors.immutable_text(&at.index(index), after, before);
        }
        if adds_family {
            validate_spec(&new["spec"], &mut errors);
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

fn validate_spec(spec: &Value, errors: &mut Errors) {
    let root = At::root("spec");
    let at = root.child("cidrs");
    let cidrs = items(&spec["cidrs"]);
    if cidrs.is_empty() {
        errors.required(&at, "at least one CIDR required");
        return;
    }
    if cidrs.len() > 2 {
        let shown = shown::compact("ServiceCIDRSpec", spec);
        errors.invalid(&at, Shown::Text(shown), "may only hold up to 2 values");
        return;
    }
    for (index, cidr) in cidrs.iter().enumerate() {
        errors.strict_cidr(&at.index(index), text(cidr));
    }
    let is_ipv4 = |cidr: &Value| parse_cidr_sloppy(text(cidr)).map(|(address, _)| address.is_ipv4());
    if let [first, second] = cidrs
        && is_ipv4(first).is_some()
        && is_ipv4(first) == is_ipv4(second)
    {
        let detail = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        errors.invalid(&at, spec["cidrs"].clone(), detail);
    }
}
