//! What a node has, as the lists of its status. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::NodeStatus;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use portolan_api::quantity::{self, Format};

use crate::config::Capacity;
use crate::pod::quantity::HUGE_PAGES;

/// Amounts by the name of the resource.
pub(super) type List = BTreeMap<String, Quantity>;

/// What others say the node has: resources that only the scheduler counts. What there is of them pods may have.
///
/// Pools of huge pages are the agent's to name: one that is there no longer has gone with a restart of the machine.
pub(super) fn of_others(before: Option<&NodeStatus>) -> List {
    let known = before.and_then(|status| status.capacity.clone()).unwrap_or_default();
    known.into_iter().filter(|(name, _)| !name.starts_with(HUGE_PAGES)).collect()
}

/// What the agent itself says of the node, in the text that the API keeps: any other would differ from what is read
/// back.
pub(super) fn own(capacity: &Capacity, max_pods: u32) -> List {
    let cpu = quantity::Quantity::from_milli_value(capacity.cpu_milli.cast_signed(), Format::DecimalSi);
    let own = [
        ("cpu", cpu),
        ("memory", bytes(capacity.memory_bytes)),
        ("ephemeral-storage", bytes(capacity.ephemeral_storage_bytes)),
        ("pods", quantity::Quantity::from_value(i64::from(max_pods), Format::DecimalSi)),
    ];
    let own = own.into_iter().map(|(name, amount)| (name.to_owned(), amount));
    let huge_pages =
        capacity.huge_pages.iter().map(|(size, amount)| (format!("{HUGE_PAGES}{}", bytes(*size)), bytes(*amount)));
    own.chain(huge_pages).map(|(name, amount)| (name, Quantity(amount.to_string()))).collect()
}

fn bytes(bytes: u64) -> quantity::Quantity {
    quantity::Quantity::from_value(bytes.cast_signed(), Format::BinarySi)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_as_they_are_read_back() {
        let cases = [
            ((2000, 4 << 30, 20_961_280 << 10, 110), ["2", "20470Mi", "4Gi", "110"]),
            ((1500, 16_384_257 << 10, 19_317_915_649, 2000), ["1500m", "19317915649", "16384257Ki", "2k"]),
            ((250, 1_000_001, 0, 1), ["250m", "0", "1000001", "1"]),
        ];
        for ((cpu_milli, memory_bytes, ephemeral_storage_bytes, max_pods), expected) in cases {
            let huge_pages = [(2 << 20, 1 << 30), (1 << 30, 0)].into();
            let list = own(&Capacity { cpu_milli, memory_bytes, ephemeral_storage_bytes, huge_pages }, max_pods);
            let amounts = ["cpu", "ephemeral-storage", "memory", "pods", "hugepages-2Mi", "hugepages-1Gi"];
            let written = amounts.map(|name| list[name].0.as_str());
            assert_eq!((&written[..4], &written[4..]), (&expected[..], &["1Gi", "0"][..]));
            for (name, Quantity(text)) in &list {
                assert_eq!(quantity::Quantity::parse(text).map(|read| read.to_string()).as_ref(), Ok(text), "{name}");
            }
        }
    }
}
