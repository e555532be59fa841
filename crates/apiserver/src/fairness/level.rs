//! One priority level: so many requests at a time, and queues for the rest.
//!
//! Each flow is dealt a small hand of the queues and waits in the shortest of them (shuffle
//! sharding), so that a flow with many requests fills its own hand and leaves others a queue.
//! Queues are served by how much they were served before (start-time fair queueing).

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use parking_lot::Mutex;
use portolan_base::Timestamp;
use tokio::sync::oneshot;

use super::flows::Queuing;
use super::requests::{Request, Shown};

/// A level at work.
#[derive(Debug)]
pub(super) struct Level {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    limit: usize,
    running: usize,
    queuing: Option<Queuing>,
    queues: Vec<Queue>,
    /// The start tag of the request that was let in last.
    virtual_time: u64,
    past: Past,
    /// Those that wait and those that run with the queue they came through, by number: in the order in which they came.
    requests: BTreeMap<u64, (Option<usize>, Request)>,
    next_number: u64,
}

#[derive(Debug, Default)]
struct Queue {
    /// Each with its number.
    waiting: VecDeque<(u64, oneshot::Sender<Seat>)>,
    /// Requests that waited here and run now.
    running: usize,
    /// How much service it had, counted from the level's virtual time when it was last empty.
    start: u64,
}

/// The right to run; given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    level: Arc<Level>,
    /// The queue from which the request came; none if it did not wait.
    queue: Option<usize>,
    number: u64,
}

/// Whether a request may run.
#[derive(Debug)]
pub(super) enum Admission {
    /// At once.
    Now(Seat),
    /// When its turn comes. Has a number till then.
    Later(u64, oneshot::Receiver<Seat>),
    /// Not: too many wait already.
    Full,
}

/// How waiting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Dispatched,
    TimedOut,
    Cancelled,
}

/// What became of the requests of a level since the server started.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Past {
    /// They ran.
    pub(super) dispatched: u64,
    /// Too many waited already.
    pub(super) rejected: u64,
    /// They waited for too long.
    pub(super) timed_out: u64,
    /// Their clients went away while they waited.
    pub(super) cancelled: u64,
}

/// Figures of a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) limit: usize,
    pub(super) running: usize,
    pub(super) waiting: usize,
    /// Queues in which somebody waits.
    pub(super) active_queues: usize,
    pub(super) past: Past,
}

/// Figures of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QueueFigures {
    pub(super) waiting: usize,
    /// Of those who waited here.
    pub(super) running: usize,
    /// When the next of it starts, in the level's virtual time: in requests.
    pub(super) start: u64,
}

impl Level {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default() })
    }

    /// Sets how many may run at a time and how the rest waits; nothing: it does not.
    pub(super) fn configure(self: &Arc<Self>, limit: usize, queuing: Option<Queuing>) {
        let mut state = self.state.lock();
        state.limit = limit.max(1);
        state.queuing = queuing;
        let count = queuing.map_or(0, |queuing| queuing.queues.max(1));
        // Those who wait in a queue that is no more keep their place until it is empty.
        while state.queues.len() > count && state.queues.last().is_some_and(|queue| queue.waiting.is_empty()) {
            state.queues.pop();
        }
        let count = count.max(state.queues.len());
        state.queues.resize_with(count, Queue::default);
        drop(state);
        self.dispatch();
    }

    /// Lets a request of a flow in, or makes it wait.
    pub(super) fn admit(self: &Arc<Self>, flow: &(&str, &str), request: Request) -> Admission {
        let mut state = self.state.lock();
        if state.running < state.limit && state.queues.iter().all(|queue| queue.waiting.is_empty()) {
            state.running += 1;
            state.past.dispatched += 1;
            let number = state.add(None, request.started_at_once());
            return Admission::Now(Seat { level: self.clone(), queue: None, number });
        }
        let Some(queuing) = state.queuing else {
            state.past.rejected += 1;
            return Admission::Full;
        };
        let hand = deal(flow, state.queues.len(), queuing.hand_size);
        let Some(index) = hand.into_iter().min_by_key(|index| state.queues[*index].waiting.len()) else {
            state.past.rejected += 1;
            return Admission::Full;
        };
        let now = state.virtual_time;
        let queue = &mut state.queues[index];
        if queue.waiting.len() >= queuing.queue_length_limit.max(1) {
            // Those who went away no longer count.
            queue.waiting.retain(|(_, waiting)| !waiting.is_closed());
            if queue.waiting.len() >= queuing.queue_length_limit.max(1) {
                state.past.rejected += 1;
                return Admission::Full;
            }
        }
        if queue.waiting.is_empty() {
            queue.start = queue.start.max(now);
        }
        let (sender, receiver) = oneshot::channel();
        let number = state.add(Some(index), request);
        state.queues[index].waiting.push_back((number, sender));
        Admission::Later(number, receiver)
    }

    pub(super) fn figures(&self) -> Figures {
        let state = self.state.lock();
        let waiting = state.queues.iter().map(|queue| queue.waiting.len()).sum();
        let active_queues = state.queues.iter().filter(|queue| !queue.waiting.is_empty()).count();
        Figures { limit: state.limit, running: state.running, waiting, active_queues, past: state.past }
    }

    /// Figures of its queues.
    pub(super) fn queues(&self) -> Vec<QueueFigures> {
        let figures =
            |queue: &Queue| QueueFigures { waiting: queue.waiting.len(), running: queue.running, start: queue.start };
        self.state.lock().queues.iter().map(figures).collect()
    }

    /// All that waits or runs, by queue: those that wait in their order first.
    pub(super) fn requests(&self) -> Vec<Shown> {
        let state = self.state.lock();
        let mut places = BTreeMap::new();
        for (index, queue) in state.queues.iter().enumerate() {
            places.extend(queue.waiting.iter().enumerate().map(|(place, (number, _))| (*number, (index, place))));
        }
        let mut requests = Vec::with_capacity(state.requests.len());
        for (number, (queue, request)) in &state.requests {
            let place = places.get(number).map(|(_, place)| *place);
            requests.push(request.shown(*queue, place));
        }
        let order = |index: Option<usize>| index.unwrap_or(usize::MAX);
        requests.sort_by_key(|request| (order(request.queue), order(request.place)));
        requests
    }

    /// Notes how the waiting of a request ended.
    pub(super) fn ended(&self, number: u64, end: End, now: Timestamp) {
        let mut state = self.state.lock();
        if end == End::Dispatched {
            state.requests.entry(number).and_modify(|(_, request)| request.start(now));
        } else {
            state.requests.remove(&number);
        }
        let count = match end {
            End::Dispatched => &mut state.past.dispatched,
            End::TimedOut => &mut state.past.timed_out,
            End::Cancelled => &mut state.past.cancelled,
        };
        *count += 1;
    }

    /// Lets in who is next, as long as there is room.
    fn dispatch(self: &Arc<Self>) {
        loop {
            let next = self.state.lock().next();
            let Some((queue, number, next)) = next else { return };
            // One who has gone gives the seat back at once.
            drop(next.send(Seat { level: self.clone(), queue: Some(queue), number }));
        }
    }
}

impl State {
    /// Follows a request from now on.
    fn add(&mut self, queue: Option<usize>, request: Request) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        self.requests.insert(number, (queue, request));
        number
    }

    /// The queue whose turn it is, and the number and the ear of who waits there first.
    fn next(&mut self) -> Option<(usize, u64, oneshot::Sender<Seat>)> {
        if self.running >= self.limit {
            return None;
        }
        let waiting = self.queues.iter().enumerate().filter(|(_, queue)| !queue.waiting.is_empty());
        let (index, _) = waiting.min_by_key(|(_, queue)| queue.start)?;
        let queue = &mut self.queues[index];
        let (number, next) = queue.waiting.pop_front()?;
        self.virtual_time = self.virtual_time.max(queue.start);
        queue.start += 1;
        queue.running += 1;
        self.running += 1;
        Some((index, number, next))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.level.state.lock();
        state.running -= 1;
        state.requests.remove(&self.number);
        // There may be fewer queues by now.
        if let Some(queue) = self.queue.and_then(|queue| state.queues.get_mut(queue)) {
            queue.running = queue.running.saturating_sub(1);
        }
        drop(state);
        self.level.dispatch();
    }
}

/// The queues that a flow may wait in: always the same for one flow.
fn deal(flow: &(&str, &str), queues: usize, hand_size: usize) -> Vec<usize> {
    let mut hasher = DefaultHasher::new();
    flow.hash(&mut hasher);
    let mut number = hasher.finish();
    let mut deck: Vec<usize> = (0..queues).collect();
    let mut hand = Vec::new();
    while hand.len() < hand_size.max(1) && !deck.is_empty() {
        let size = deck.len() as u64;
        hand.push(deck.swap_remove((number % size) as usize));
        // A number is used up after some cards; stir it.
        number = (number / size).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31) ^ hasher.finish();
    }
    hand
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fairness::flows::Asked;

    fn level(limit: usize, queue_length_limit: usize) -> Arc<Level> {
        let level = Level::new();
        level.configure(limit, Some(Queuing { queues: 16, hand_size: 4, queue_length_limit }));
        level
    }

    fn request(flow: &(&str, &str)) -> Request {
        let user = portolan_identity::User::new(flow.1, []);
        let asked = Asked { user: &user, verb: "get", path: "/version", info: None };
        Request::new(flow, asked, Timestamp::UNIX_EPOCH)
    }

    fn admit(level: &Arc<Level>, flow: &str) -> Admission {
        let flow = ("schema", flow);
        level.admit(&flow, request(&flow))
    }

    fn later(level: &Arc<Level>, flow: &str) -> oneshot::Receiver<Seat> {
        match admit(level, flow) {
            Admission::Later(_, receiver) => receiver,
            other => panic!("{flow} should wait: {other:?}"),
        }
    }

    #[test]
    fn a_flow_with_many_requests_does_not_keep_another_waiting() {
        let level = level(1, 50);
        let Admission::Now(seat) = admit(&level, "greedy") else { panic!("there is room") };
        let mut greedy: Vec<_> = (0..100).map(|_| later(&level, "greedy")).collect();
        let mut polite = later(&level, "polite");
        let mut seat = Some(seat);
        let mut before = 0;
        loop {
            drop(seat.take());
            if let Ok(mine) = polite.try_recv() {
                drop(mine);
                break;
            }
            seat = greedy.iter_mut().find_map(|waiting| waiting.try_recv().ok());
            assert!(seat.is_some(), "somebody is let in");
            before += 1;
        }
        // The greedy flow has a hand of four queues; each is served once at most before.
        assert!(before <= 4, "{before} requests of the greedy flow came before the polite one");
    }

    #[test]
    fn seats_come_back_and_full_queues_refuse() {
        let level = level(2, 1);
        let first = admit(&level, "a");
        let second = admit(&level, "a");
        assert!(matches!((&first, &second), (Admission::Now(_), Admission::Now(_))));
        let waiting: Vec<_> = (0..4).map(|_| later(&level, "a")).collect();
        assert!(matches!(admit(&level, "a"), Admission::Full));
        let past = Past { dispatched: 2, rejected: 1, ..Past::default() };
        assert_eq!(level.figures(), Figures { limit: 2, running: 2, waiting: 4, active_queues: 4, past });
        let hand = |figures: fn(&QueueFigures) -> usize| level.queues().iter().map(figures).sum::<usize>();
        assert_eq!((hand(|queue| queue.waiting), hand(|queue| queue.running)), (4, 0));
        // Who waited counts for its queue while it runs.
        drop(first);
        let mut waiting = waiting;
        let third = waiting.iter_mut().find_map(|waiting| waiting.try_recv().ok()).expect("one is let in");
        assert_eq!((hand(|queue| queue.waiting), hand(|queue| queue.running)), (3, 1));
        drop(third);
        assert_eq!((hand(|queue| queue.waiting), hand(|queue| queue.running)), (2, 1));
        // Those who no longer wait give way.
        drop(waiting);
        drop(second);
        assert_eq!(hand(|queue| queue.running), 0);
        assert_eq!(level.figures(), Figures { limit: 2, running: 0, waiting: 0, active_queues: 0, past });
        assert!(matches!(admit(&level, "a"), Admission::Now(_)));
    }

    #[test]
    fn what_waits_and_runs_is_shown_until_it_ends() {
        let level = level(1, 50);
        let shown = || {
            let line = |it: Shown| {
                format!("{} {:?} {:?} {}", it.distinguisher, it.queue.is_some(), it.place, it.started.is_some())
            };
            level.requests().into_iter().map(line).collect::<Vec<_>>().join(", ")
        };
        let Admission::Now(seat) = admit(&level, "a") else { panic!("there is room") };
        let Admission::Later(first, mut turn) = admit(&level, "b") else { panic!("it waits") };
        let Admission::Later(second, gone) = admit(&level, "b") else { panic!("it waits") };
        level.ended(second, End::Cancelled, Timestamp::UNIX_EPOCH);
        drop(gone);
        assert_eq!(shown(), "b true Some(0) false, a false None true");
        drop(seat);
        let seat = turn.try_recv().expect("its turn");
        level.ended(first, End::Dispatched, Timestamp::UNIX_EPOCH);
        assert_eq!(shown(), "b true None true");
        drop(seat);
        assert_eq!(shown(), "");
    }

    #[test]
    fn a_hand_has_different_queues_and_is_always_the_same() {
        for flow in ["a", "b", "c"] {
            let mut hand = deal(&("s", flow), 64, 6);
            assert_eq!(hand, deal(&("s", flow), 64, 6));
            hand.sort_unstable();
            hand.dedup();
            assert_eq!(hand.len(), 6);
        }
    }
}
