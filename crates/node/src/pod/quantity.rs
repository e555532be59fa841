//! Resource lists as numbers.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use portolan_api::quantity;

/// What the names of resources that are huge pages begin with; the size of a page follows.
pub(crate) const HUGE_PAGES: &str = "hugepages-";

/// The size of a page in bytes, if a resource is huge pages.
pub(crate) fn page_size(resource: &str) -> Option<u64> {
    u64::try_from(whole(resource.strip_prefix(HUGE_PAGES)?)?).ok()
}

/// A quantity as a whole number, rounded up; `None` if it is not one.
pub(crate) fn whole(text: &str) -> Option<i64> {
    quantity::Quantity::parse(text).ok().map(quantity::Quantity::value)
}

/// Thousandths of `name` in a resource list.
pub(crate) fn milli(list: Option<&BTreeMap<String, Quantity>>, name: &str) -> Option<i64> {
    let quantity = list?.get(name)?;
    quantity::Quantity::parse(&quantity.0).ok().map(quantity::Quantity::milli_value)
}

/// Units of `name` in a resource list.
pub(crate) fn units(list: Option<&BTreeMap<String, Quantity>>, name: &str) -> Option<i64> {
    whole(&list?.get(name)?.0)
}

/// Millicores of `cpu` in a resource list.
pub(crate) fn cpu_milli(list: Option<&BTreeMap<String, Quantity>>) -> Option<i64> {
    milli(list, "cpu")
}

/// Bytes of `memory` in a resource list.
pub(crate) fn memory_bytes(list: Option<&BTreeMap<String, Quantity>>) -> Option<i64> {
    units(list, "memory")
}
