//! Whether a range may go. Pure.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use portolan_api::typed::Object;
use portolan_api::typed::kinds::networking::v1::{IPAddress, ServiceCIDR};
use portolan_base::Timestamp;

/// The finalizer that holds a range.
pub(super) const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";

/// So long every server may take to learn that it must not give addresses of a range any more.
const GRACE: Duration = Duration::from_secs(2);

/// How often a range that is in use is looked at again.
const AGAIN: Duration = Duration::from_secs(5);

/// Something to do for a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Give it the finalizer.
    Hold,
    /// Take the finalizer away.
    Release,
    /// Say how it is.
    Tell(Standing),
}

/// The condition `Ready`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) status: &'static str,
    pub(super) reason: &'static str,
    pub(super) message: &'static str,
}

const READY: Standing = Standing { status: "True", reason: "", message: "Kubernetes Service CIDR is ready" };
const IN_USE: Standing = Standing {
    status: "False",
    reason: "Terminating",
    message: "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR",
};

/// What to do for `range` beside `others`, and when to look again if nothing changes.
pub(super) fn plan(
    range: &ServiceCIDR,
    others: &[Arc<ServiceCIDR>],
    addresses: &[IPAddress],
    now: Timestamp,
) -> (Vec<Action>, Option<Timestamp>) {
    let is_held = range.metadata.finalizers.iter().flatten().any(|name| name == FINALIZER);
    let mut actions = Vec::new();
    let tell = |standing: Standing| (!says(range, &standing)).then_some(Action::Tell(standing));
    let Some(deleted) = range.metadata.deletion_timestamp.as_ref() else {
        if !is_held {
            actions.push(Action::Hold);
        }
        actions.extend(tell(READY));
        return (actions, None);
    };
    if !is_held {
        return (actions, None);
    }
    if is_needed(range, others, addresses) {
        actions.extend(tell(IN_USE));
        return (actions, Some(now + AGAIN));
    }
    let end = deleted.0 + GRACE;
    if now < end {
        return (actions, Some(end));
    }
    (vec![Action::Release], None)
}

fn says(range: &ServiceCIDR, standing: &Standing) -> bool {
    let conditions = range.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| {
        condition.type_ == "Ready"
            && (&*condition.status, &*condition.reason, &*condition.message)
                == (standing.status, standing.reason, standing.message)
    })
}

/// Whether an address would be in no range without this one.
fn is_needed(range: &ServiceCIDR, others: &[Arc<ServiceCIDR>], addresses: &[IPAddress]) -> bool {
    let own = networks(range);
    let kept: Vec<(u32, u32)> = others.iter().flat_map(|other| networks(other)).collect();
    let mut addresses = addresses.iter().filter_map(|address| address.name().parse::<Ipv4Addr>().ok());
    addresses.any(|address| {
        let within = |networks: &[(u32, u32)]| networks.iter().any(|(first, mask)| u32::from(address) & mask == *first);
        within(&own) && !within(&kept)
    })
}

/// First address and mask of each network of a range.
fn networks(range: &ServiceCIDR) -> Vec<(u32, u32)> {
    let cidrs = range.spec.as_ref().and_then(|spec| spec.cidrs.as_deref()).unwrap_or_default();
    let network = |cidr: &String| {
        let (address, prefix) = cidr.split_once('/')?;
        let (address, prefix): (Ipv4Addr, u32) = (address.parse().ok()?, prefix.parse().ok()?);
        let mask = u32::MAX.checked_shl(32_u32.checked_sub(prefix)?).unwrap_or_default();
        Some((u32::from(address) & mask, mask))
    };
    cidrs.iter().filter_map(network).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn range(cidr: &str, more: Value) -> ServiceCIDR {
        let mut object = json!({"metadata": {"name": cidr}, "spec": {"cidrs": [cidr]}});
        for (name, value) in more.as_object().into_iter().flatten() {
            object["metadata"][name] = value.clone();
        }
        serde_json::from_value(object).expect("a range")
    }

    #[test]
    fn a_range_stays_while_an_address_is_only_in_it() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().expect("a time");
        let held = json!([FINALIZER]);
        let going = |since: &str| json!({"finalizers": held, "deletionTimestamp": since});
        let (long, just) = (going("2026-01-01T00:00:00Z"), going("2026-01-01T00:00:59Z"));
        let tell = |standing: &Standing| Action::Tell(standing.clone());
        type Case<'a> = (Value, &'a [&'a str], &'a [&'a str], Vec<Action>, Option<&'a str>);
        let cases: Vec<Case<'_>> = vec![
            (json!({}), &[], &[], vec![Action::Hold, tell(&READY)], None),
            (json!({"finalizers": held}), &[], &["10.0.0.1"], vec![tell(&READY)], None),
            (long.clone(), &[], &["10.0.0.1"], vec![tell(&IN_USE)], Some("2026-01-01T00:01:05Z")),
            (long.clone(), &["10.0.0.0/16"], &["10.0.0.1"], vec![Action::Release], None),
            (
                long.clone(),
                &["10.0.0.0/30"],
                &["10.0.0.1", "10.0.0.4"],
                vec![tell(&IN_USE)],
                Some("2026-01-01T00:01:05Z"),
            ),
            (long.clone(), &[], &["10.0.1.1"], vec![Action::Release], None),
            (just, &[], &[], vec![], Some("2026-01-01T00:01:01Z")),
            (json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}), &[], &[], vec![], None),
        ];
        for (index, (metadata, others, addresses, actions, again)) in cases.into_iter().enumerate() {
            let others: Vec<_> = others.iter().map(|cidr| Arc::new(range(cidr, json!({})))).collect();
            let address = |name: &&str| -> IPAddress {
                serde_json::from_value(json!({"metadata": {"name": name}})).expect("an address")
            };
            let addresses: Vec<_> = addresses.iter().map(address).collect();
            let again = again.map(|time| time.parse().expect("a time"));
            let planned = plan(&range("10.0.0.0/24", metadata), &others, &addresses, now);
            assert_eq!(planned, (actions, again), "case {index}");
        }
    }
}
