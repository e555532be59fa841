//! What is told of a request while it waits or runs.

use portolan_base::Timestamp;

use super::flows::Asked;

/// Behind each word; none has it.
const END: char = '\0';

/// A request of a level.
///
/// Every request makes one, and hardly anybody ever looks at it: its words are in one piece of memory.
#[derive(Debug)]
pub(super) struct Request {
    words: String,
    arrived: Timestamp,
    /// Nothing as long as it waits.
    started: Option<Timestamp>,
}

/// A request as it is shown: where it is, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    /// The queue that it is in or came from; none if it did not wait.
    pub(super) queue: Option<usize>,
    /// How many wait before it in the queue; nothing if it runs.
    pub(super) place: Option<usize>,
    pub(super) schema: String,
    pub(super) distinguisher: String,
    pub(super) arrived: Timestamp,
    pub(super) started: Option<Timestamp>,
    /// User, verb, path, namespace, name, version with group, resource and subresource.
    pub(super) details: [String; 8],
}

impl Request {
    /// `flow`: the schema and what tells flows of it apart.
    pub(super) fn new(flow: &(&str, &str), asked: Asked<'_>, arrived: Timestamp) -> Self {
        let mut words = String::with_capacity(160);
        let mut add = |parts: &[&str]| {
            // Without it, should one have it after all.
            words.extend(parts.iter().flat_map(|part| part.split(END)));
            words.push(END);
        };
        add(&[flow.0]);
        add(&[flow.1]);
        add(&[&asked.user.name]);
        add(&[asked.verb]);
        add(&[asked.path]);
        if let Some(info) = asked.info {
            add(&[&info.namespace]);
            add(&[&info.name]);
            let separator = if info.group.is_empty() { "" } else { "/" };
            add(&[&info.group, separator, &info.version]);
            add(&[&info.resource]);
            add(&[&info.subresource]);
        }
        Self { words, arrived, started: None }
    }

    /// It runs from now on.
    pub(super) fn start(&mut self, now: Timestamp) {
        self.started = Some(now);
    }

    /// It runs, and did not wait.
    pub(super) fn started_at_once(mut self) -> Self {
        self.started = Some(self.arrived);
        self
    }

    pub(super) fn shown(&self, queue: Option<usize>, place: Option<usize>) -> Shown {
        let mut words = self.words.split_terminator(END).map(str::to_owned);
        let mut next = || words.next().unwrap_or_default();
        Shown {
            queue,
            place,
            schema: next(),
            distinguisher: next(),
            arrived: self.arrived,
            // Its turn has come, and it is about to notice.
            started: self.started.or_else(|| place.is_none().then_some(self.arrived)),
            details: std::array::from_fn(|_| next()),
        }
    }
}
