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

#[cfg(test)]
mod tests;

/// A level at work.
#[derive(Debug)]
pub(super) struct Level {
    state: Mutex<State>,
}

/// How many may run at a time, and what becomes of the rest.
#[derive(Debug, Clone, Copy)]
pub(super) enum Limit {
    /// All run; the level counts as one of so many seats.
    None { nominal: usize },
    /// It is refused.
    Reject(usize),
    /// It waits.
    Queue(usize, Queuing),
}

impl Default for Limit {
    fn default() -> Self {
        Self::None { nominal: 0 }
    }
}

impl Limit {
    fn queuing(&self) -> Option<Queuing> {
        match self {
            Self::Queue(_, queuing) => Some(*queuing),
            Self::None { .. } | Self::Reject(_) => None,
        }
    }

    /// How many seats there are.
    fn seats(&self) -> usize {
        match self {
            Self::None { nominal } => *nominal,
            Self::Reject(seats) | Self::Queue(seats, _) => (*seats).max(1),
        }
    }

    /// Whether one more may run.
    fn has_room(&self, running: usize) -> bool {
        matches!(self, Self::None { .. }) || running < self.seats()
    }
}

#[derive(Debug, Default)]
struct State {
    limit: Limit,
    running: usize,
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
    /// Nothing once it was given back.
    holder: Option<Holder>,
}

/// Who has a seat.
#[derive(Debug, Clone, Copy)]
struct Holder {
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

    /// Sets how many may run at a time, and what becomes of the rest.
    pub(super) fn configure(self: &Arc<Self>, limit: Limit) {
        let mut state = self.state.lock();
        state.limit = limit;
        let count = limit.queuing().map_or(0, |queuing| queuing.queues.max(1));
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
        if state.limit.has_room(state.running) && state.queues.iter().all(|queue| queue.waiting.is_empty()) {
            state.running += 1;
            state.past.dispatched += 1;
            let number = state.add(None, request.started_at_once());
            return Admission::Now(self.seat(Holder { queue: None, number }));
        }
        let Some(queuing) = state.limit.queuing() else {
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
            state.past.rejected += 1;
            return Admission::Full;
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
        Figures { limit: state.limit.seats(), running: state.running, waiting, active_queues, past: state.past }
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

    /// Notes how the waiting of a request ended. One that did not get its turn leaves its queue.
    pub(super) fn ended(&self, number: u64, end: End, now: Timestamp) {
        let mut state = self.state.lock();
        if end == End::Dispatched {
            state.requests.entry(number).and_modify(|(_, request)| request.start(now));
        } else if let Some((Some(queue), _)) = state.requests.remove(&number)
            && let Some(queue) = state.queues.get_mut(queue)
            // Numbers rise.
            && let Ok(place) = queue.waiting.binary_search_by_key(&number, |(number, _)| *number)
        {
            queue.waiting.remove(place);
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
            let Some((holder, next)) = next else { return };
            // One who has gone right now gives the seat back: to be given away here, not by who drops it.
            if let Err(mut seat) = next.send(self.seat(holder)) {
                seat.give_back();
            }
        }
    }

    fn seat(self: &Arc<Self>, holder: Holder) -> Seat {
        Seat { level: self.clone(), holder: Some(holder) }
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

    /// Who waits first in the queue whose turn it is, with his ear. Those who have gone are passed over.
    fn next(&mut self) -> Option<(Holder, oneshot::Sender<Seat>)> {
        if !self.limit.has_room(self.running) {
            return None;
        }
        loop {
            let waiting = self.queues.iter().enumerate().filter(|(_, queue)| !queue.waiting.is_empty());
            let (index, _) = waiting.min_by_key(|(_, queue)| queue.start)?;
            let queue = &mut self.queues[index];
            let (number, next) = queue.waiting.pop_front()?;
            if next.is_closed() {
                continue;
            }
            self.virtual_time = self.virtual_time.max(queue.start);
            queue.start += 1;
            queue.running += 1;
            self.running += 1;
            return Some((Holder { queue: Some(index), number }, next));
        }
    }
}

impl Seat {
    /// Says that nobody has it any more. Who is next is not called.
    fn give_back(&mut self) {
        let Some(Holder { queue, number }) = self.holder.take() else { return };
        let mut state = self.level.state.lock();
        state.running -= 1;
        state.requests.remove(&number);
        // There may be fewer queues by now.
        if let Some(queue) = queue.and_then(|queue| state.queues.get_mut(queue)) {
            queue.running = queue.running.saturating_sub(1);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.holder.is_some() {
            self.give_back();
            self.level.dispatch();
        }
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
