//! Answers that are encoded once and given to all who ask the same, until what they tell of changes.
//!
//! An answer is told from another by the bytes of its query behind the id; it goes out with the id of whoever asks,
//! and its records in another order for each id, where the order is left to chance.

use std::collections::HashMap;
use std::net::IpAddr;

use portolan_catalog::{Key, Snapshot};

use crate::place::Made;
use crate::wire::{HEADER, Question, record};

/// Answers that are kept, and the largest of them: 10 MB at most.
const MOST: usize = 16 << 10;
const LARGEST: usize = 512;
/// No query that is remembered is longer.
const LONGEST_QUERY: usize = 128;
/// How many distances there are.
const DISTANCES: usize = 4;
/// What stands before the data of a record whose name is a pointer.
const HEAD: usize = 12;
/// What follows the question of a client that speaks EDNS and has no options.
const PLAIN_EDNS: usize = 11;

/// What an answer was made from: as long as this is the same, the answer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A service and its instances.
    Service {
        /// Namespace and name.
        key: Key,
        /// When it changed last.
        index: u64,
        /// When what else counts changed last: the set of services, nodes. 0 where that does not count.
        also: [u64; 2],
    },
}

/// What else an answer about a service depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Also {
    /// Which services there are: another one might have the name one day.
    pub(crate) services: bool,
    /// Nodes: their addresses, and where they are.
    pub(crate) nodes: bool,
}

impl Source {
    /// A service as a snapshot has it.
    pub(crate) fn service(key: Key, snapshot: &Snapshot, also: Also) -> Self {
        let services = if also.services { snapshot.services_index() } else { 0 };
        let nodes = if also.nodes { snapshot.nodes_index() } else { 0 };
        let index = snapshot.service_index(&key.namespace, &key.name);
        Self::Service { key, index, also: [services, nodes] }
    }

    fn holds(&self, snapshot: &Snapshot) -> bool {
        let Self::Service { key, index, also } = self;
        let same = |then: u64, now: u64| then == 0 || then == now;
        same(also[0], snapshot.services_index())
            && same(also[1], snapshot.nodes_index())
            && *index == snapshot.service_index(&key.namespace, &key.name)
    }
}

/// Answers by their queries.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    answers: HashMap<Box<[u8]>, Answer>,
}

#[derive(Debug)]
struct Answer {
    /// Index of the last snapshot that it was held against.
    index: u64,
    source: Source,
    bytes: Box<[u8]>,
    records: Option<Records>,
}

/// Records that may come in any order among those that are as near as each other.
#[derive(Debug, Clone, Copy)]
struct Records {
    /// Where they begin.
    start: usize,
    /// The length of each.
    length: usize,
    /// How many there are of the nearest, the next, and so on.
    counts: [u8; DISTANCES],
}

impl Records {
    fn end(&self) -> usize {
        self.start + self.length * self.counts.iter().map(|count| usize::from(*count)).sum::<usize>()
    }
}

impl Answers {
    /// Writes the answer to a query, if it is known and holds.
    pub(crate) fn find(&mut self, packet: &[u8], snapshot: &Snapshot, out: &mut Vec<u8>) -> bool {
        let Some(query) = packet.get(2..).filter(|query| query.len() <= LONGEST_QUERY) else { return false };
        let Some(answer) = self.answers.get_mut(query) else { return false };
        if answer.index != snapshot.index() {
            if !answer.source.holds(snapshot) {
                self.answers.remove(query);
                return false;
            }
            answer.index = snapshot.index();
        }
        out.extend_from_slice(&packet[..2]);
        match answer.records {
            None => out.extend_from_slice(&answer.bytes[2..]),
            Some(records) => {
                let seed = usize::from(u16::from_be_bytes([packet[0], packet[1]]));
                out.extend_from_slice(&answer.bytes[2..records.start]);
                let mut start = records.start;
                for count in records.counts.into_iter().map(usize::from).take_while(|count| *count > 0) {
                    let (at, end) = (start + seed % count * records.length, start + count * records.length);
                    out.extend_from_slice(&answer.bytes[at..end]);
                    out.extend_from_slice(&answer.bytes[start..at]);
                    start = end;
                }
                out.extend_from_slice(&answer.bytes[start..]);
            }
        }
        true
    }

    /// Remembers an answer, if it is one that others may get.
    pub(crate) fn keep(
        &mut self,
        packet: &[u8],
        question: &Question,
        answer: &[u8],
        made: impl FnOnce() -> Option<Made>,
        index: u64,
    ) {
        let Some(query) = packet.get(2..).filter(|query| query.len() <= LONGEST_QUERY) else { return };
        // Resolvers that mix upper and lower case to tell forgeries ask each question in a way of its own.
        let as_sent = &packet[HEADER..question.end];
        // So do clients with cookies and other options.
        let is_own = packet.len() > question.end + PLAIN_EDNS || as_sent.iter().any(u8::is_ascii_uppercase);
        if is_own || answer.len() > LARGEST || is_truncated(answer) {
            return;
        }
        let Ok(records) = records(answer, question.end) else { return };
        // Finding what it was made from takes longest.
        let Some(made) = made() else { return };
        let records = match records.map(|records| by_distance(records, answer, &made.distances)) {
            None => None,
            Some(Some(records)) => Some(records),
            // They are in no order that could be kept to.
            Some(None) => return,
        };
        if self.answers.len() >= MOST {
            // Which of them are asked for shows soon enough.
            self.answers.clear();
        }
        self.answers.insert(query.into(), Answer { index, source: made.from, bytes: answer.into(), records });
    }
}

fn is_truncated(answer: &[u8]) -> bool {
    answer[2] & 0x02 != 0
}

/// The records of the answer section if there are several: addresses of the question's name, which are all of one
/// length.
///
/// # Errors
/// There are several that are something else.
fn records(answer: &[u8], start: usize) -> Result<Option<Records>, ()> {
    let count = u16::from_be_bytes([answer[6], answer[7]]);
    if count < 2 {
        return Ok(None);
    }
    let kind = answer.get(start + 2..start + 4).ok_or(())?;
    let length = match u16::from_be_bytes([kind[0], kind[1]]) {
        record::A => HEAD + 4,
        record::AAAA => HEAD + 16,
        _ => return Err(()),
    };
    let head = answer.get(start..start + HEAD).ok_or(())?;
    let section = answer.get(start..start + usize::from(count) * length).ok_or(())?;
    // Name, type, class, time to live and length are the same of all.
    if !section.chunks_exact(length).all(|record| record[..HEAD] == *head) {
        return Err(());
    }
    let mut counts = [0; DISTANCES];
    counts[0] = u8::try_from(count).map_err(drop)?;
    Ok(Some(Records { start, length, counts }))
}

/// Tells records apart that are nearer than others, which stand behind them.
fn by_distance(records: Records, answer: &[u8], distances: &HashMap<IpAddr, u8>) -> Option<Records> {
    if distances.is_empty() {
        return Some(records);
    }
    let far = |record: &[u8]| {
        let data = &record[HEAD..];
        let address = match <[u8; 4]>::try_from(data) {
            Ok(octets) => Some(IpAddr::from(octets)),
            Err(_) => <[u8; 16]>::try_from(data).ok().map(IpAddr::from),
        };
        address.and_then(|address| distances.get(&address)).copied()
    };
    let mut counts = [0; DISTANCES];
    let section = answer[records.start..records.end()].chunks_exact(records.length);
    let kinds: Vec<_> = section.map(far).collect();
    let runs: Vec<&[Option<u8>]> = kinds.chunk_by(|left, right| left == right).collect();
    if runs.len() > DISTANCES {
        return None;
    }
    for (count, run) in counts.iter_mut().zip(runs) {
        *count = run.len() as u8;
    }
    Some(Records { counts, ..records })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use portolan_api::typed::{Object as _, ServiceInstance};
    use portolan_catalog::{Catalog, Input};
    use serde_json::json;

    use super::*;
    use crate::tests::{decode, query, shown};
    use crate::{Outcome, Zone};

    fn put(catalog: &mut Catalog, service: &str, last: u8, version: u64) {
        let object = json!({
            "metadata": {"namespace": "shop", "name": format!("{service}-{last}"), "resourceVersion": version.to_string()},
            "spec": {"service": service, "address": format!("192.0.2.{last}")}
        });
        let object = ServiceInstance::decode(object.to_string().as_bytes()).expect("an instance");
        catalog.put(Input::Registration(Arc::new(object)));
    }

    /// Asks as the server does; whether the answer was remembered, and what it was.
    fn ask(answers: &mut Answers, snapshot: &Snapshot, packet: &[u8]) -> (bool, String) {
        ask_of(&Zone::new("cluster.local").expect("a domain"), answers, snapshot, packet)
    }

    fn ask_of(zone: &Zone, answers: &mut Answers, snapshot: &Snapshot, packet: &[u8]) -> (bool, String) {
        let mut out = Vec::new();
        if answers.find(packet, snapshot, &mut out) {
            assert_eq!(out[..2], packet[..2]);
            return (true, shown(&out));
        }
        assert!(matches!(zone.answer(packet, snapshot, None, &mut out), Outcome::Answered));
        let question = Question::read(packet).expect("a question");
        answers.keep(packet, &question, &out, || zone.source(&question, snapshot), snapshot.index());
        (false, shown(&out))
    }

    #[test]
    fn an_answer_is_given_again_until_its_service_changes() {
        let (mut catalog, mut answers) = (Catalog::new(), Answers::default());
        put(&mut catalog, "cart", 1, 1);
        let packet = query("cart.shop.svc.cluster.local", record::A, None);
        let one = "NOERROR; A 192.0.2.1".to_owned();
        assert_eq!(ask(&mut answers, &catalog.snapshot(), &packet), (false, one.clone()));
        assert_eq!(ask(&mut answers, &catalog.snapshot(), &packet), (true, one.clone()));
        put(&mut catalog, "other", 9, 2);
        assert_eq!(ask(&mut answers, &catalog.snapshot(), &packet), (true, one));
        put(&mut catalog, "cart", 2, 3);
        let (again, answer) = ask(&mut answers, &catalog.snapshot(), &packet);
        assert!(!again && answer.contains("192.0.2.2"), "{answer}");
    }

    #[test]
    fn each_of_several_addresses_is_first_for_somebody() {
        let (mut catalog, mut answers) = (Catalog::new(), Answers::default());
        (1..=4).for_each(|last| put(&mut catalog, "cart", last, last.into()));
        let snapshot = catalog.snapshot();
        for edns in [None, Some(1232)] {
            let mut packet = query("cart.shop.svc.cluster.local", record::A, edns);
            let mut firsts = std::collections::BTreeSet::new();
            for id in 0..12_u16 {
                packet[..2].copy_from_slice(&id.to_be_bytes());
                let (again, answer) = ask(&mut answers, &snapshot, &packet);
                assert_eq!(again, id > 0);
                assert!((1..=4).all(|last| answer.contains(&format!("192.0.2.{last}"))), "{answer}");
                firsts.insert(answer.split("; ").nth(1).expect("a record").to_owned());
            }
            assert_eq!(firsts.len(), 4);
        }
    }

    #[test]
    fn what_is_near_stays_first_in_answers_that_are_given_again() {
        let (mut catalog, mut answers) = (Catalog::new(), Answers::default());
        let node = |catalog: &mut Catalog, zone: &str| {
            let node = json!({"metadata": {"name": "here", "labels": {"topology.kubernetes.io/zone": zone}}});
            catalog.put(Input::Node(decode(&node)));
        };
        for last in 1..=6_u8 {
            let zone = ["z1", "z2"][usize::from(last % 2)];
            let object = json!({
                "metadata": {"namespace": "default", "name": format!("cart-{last}")},
                "spec": {"service": "cart", "address": format!("192.0.2.{last}"), "locality": {"zone": zone}}
            });
            catalog.put(Input::Registration(decode(&object)));
        }
        let mut zone = Zone { node: "here".into(), ..Zone::new("cluster.local").expect("a domain") };
        zone.consul = crate::ConsulZone::new("consul", "dc1", "here".into());
        for (at, near) in [("z1", 0), ("z2", 1)] {
            node(&mut catalog, at);
            let snapshot = catalog.snapshot();
            for name in ["cart.default.svc.cluster.local", "CART.default.svc.cluster.local", "cart.service.consul"] {
                let mut packet = query(&name.to_lowercase(), record::A, None);
                let (mut firsts, mut lasts) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
                for id in 0..12_u16 {
                    packet[..2].copy_from_slice(&id.to_be_bytes());
                    let (_, answer) = ask_of(&zone, &mut answers, &snapshot, &packet);
                    let order: Vec<u8> = answer
                        .bytes()
                        .enumerate()
                        .filter(|(at, _)| answer[..*at].ends_with("192.0.2."))
                        .map(|(_, digit)| digit - b'0')
                        .collect();
                    assert_eq!(order.len(), 6, "{answer}");
                    assert!(order[..3].iter().all(|last| last % 2 == near), "{at} {name}: {answer}");
                    firsts.insert(order[0]);
                    lasts.insert(order[5]);
                }
                assert_eq!((firsts.len(), lasts.len()), (3, 3), "{at} {name}");
                assert!(ask_of(&zone, &mut answers, &snapshot, &packet).0, "remembered");
            }
        }
    }

    #[test]
    fn a_name_in_another_case_leads_to_whoever_has_it_now() {
        let (mut catalog, mut answers) = (Catalog::new(), Answers::default());
        let packet = query("cart.shop.svc.cluster.local", record::A, None);
        put(&mut catalog, "Cart", 1, 1);
        for again in [false, true] {
            assert_eq!(ask(&mut answers, &catalog.snapshot(), &packet), (again, "NOERROR; A 192.0.2.1".to_owned()));
        }
        put(&mut catalog, "cart", 2, 2);
        for again in [false, true] {
            assert_eq!(ask(&mut answers, &catalog.snapshot(), &packet), (again, "NOERROR; A 192.0.2.2".to_owned()));
        }
    }

    #[test]
    fn questions_that_nobody_else_asks_are_not_remembered() {
        let (mut catalog, mut answers) = (Catalog::new(), Answers::default());
        (1..=40).for_each(|last| put(&mut catalog, "many", last, last.into()));
        put(&mut catalog, "cart", 1, 50);
        let snapshot = catalog.snapshot();
        let mixed = query("caRT.shop.svc.cluster.local", record::A, None);
        let truncated = query("many.shop.svc.cluster.local", record::A, None);
        let mut with_option = query("cart.shop.svc.cluster.local", record::A, Some(1232));
        let end = with_option.len();
        with_option[end - 1] = 4;
        with_option.extend_from_slice(&[0, 10, 0, 0]);
        for packet in [mixed, truncated, with_option] {
            for _ in 0..2 {
                assert!(!ask(&mut answers, &snapshot, &packet).0);
            }
        }
    }
}
