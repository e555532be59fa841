//! Answers that are encoded once and given to all who ask the same, until what they tell of changes.
//!
//! An answer is told from another by the bytes of its query behind the id; it goes out with the id of whoever asks,
//! and its records in another order for each id, where the order is left to chance.

use std::collections::HashMap;

use portolan_catalog::{Key, Snapshot};

use crate::wire::{HEADER, Question, record};

/// Answers that are kept, and the largest of them: 10 MB at most.
const MOST: usize = 16 << 10;
const LARGEST: usize = 512;
/// No query that is remembered is longer.
const LONGEST_QUERY: usize = 128;
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
        /// When the sets that also count changed last: of services, of nodes. 0 where they do not.
        sets: [u64; 2],
    },
}

impl Source {
    /// A service as a snapshot has it; if `by_search`, a name that others might have one day led there.
    pub(crate) fn service(key: Key, snapshot: &Snapshot, by_search: bool) -> Self {
        let sets = if by_search { [snapshot.services_index(), snapshot.nodes_index()] } else { [0; 2] };
        let index = snapshot.service_index(&key.namespace, &key.name);
        Self::Service { key, index, sets }
    }

    fn holds(&self, snapshot: &Snapshot) -> bool {
        let Self::Service { key, index, sets } = self;
        (*sets == [0; 2] || *sets == [snapshot.services_index(), snapshot.nodes_index()])
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
    /// Records that may come in any order: where they begin, the length of each, how many there are.
    records: Option<(usize, usize, usize)>,
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
            Some((start, length, count)) => {
                let first = usize::from(u16::from_be_bytes([packet[0], packet[1]])) % count;
                let (at, end) = (start + first * length, start + count * length);
                for part in [2..start, at..end, start..at, end..answer.bytes.len()] {
                    out.extend_from_slice(&answer.bytes[part]);
                }
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
        source: impl FnOnce() -> Option<Source>,
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
        let Some(source) = source() else { return };
        if self.answers.len() >= MOST {
            // Which of them are asked for shows soon enough.
            self.answers.clear();
        }
        self.answers.insert(query.into(), Answer { index, source, bytes: answer.into(), records });
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
fn records(answer: &[u8], start: usize) -> Result<Option<(usize, usize, usize)>, ()> {
    let count = usize::from(u16::from_be_bytes([answer[6], answer[7]]));
    if count < 2 {
        return Ok(None);
    }
    let kind = answer.get(start + 2..start + 4).ok_or(())?;
    let length = match u16::from_be_bytes([kind[0], kind[1]]) {
        record::A => 16,
        record::AAAA => 28,
        _ => return Err(()),
    };
    let head = answer.get(start..start + 12).ok_or(())?;
    let section = answer.get(start..start + count * length).ok_or(())?;
    // Name, type, class, time to live and length are the same of all.
    if section.chunks_exact(length).all(|record| record[..12] == *head) {
        Ok(Some((start, length, count)))
    } else {
        Err(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use portolan_api::typed::{Object as _, ServiceInstance};
    use portolan_catalog::{Catalog, Input};
    use serde_json::json;

    use super::*;
    use crate::tests::{query, shown};
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
        let (zone, mut out) = (Zone::new("cluster.local").expect("a domain"), Vec::new());
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
