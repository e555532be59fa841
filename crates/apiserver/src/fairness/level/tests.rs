use super::*;
use crate::fairness::flows::Asked;

fn level(limit: usize, queue_length_limit: usize) -> Arc<Level> {
    let level = Level::new();
    level.configure(Limit::Queue(limit, Queuing { queues: 16, hand_size: 4, queue_length_limit }));
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
fn who_gives_up_leaves_room_in_the_queue() {
    let level = Level::new();
    level.configure(Limit::Queue(1, Queuing { queues: 1, hand_size: 1, queue_length_limit: 3 }));
    let Admission::Now(seat) = admit(&level, "a") else { panic!("there is room") };
    let mut waiting: Vec<_> = (0..3)
        .map(|_| match admit(&level, "a") {
            Admission::Later(number, receiver) => (number, receiver),
            other => panic!("it waits: {other:?}"),
        })
        .collect();
    assert!(matches!(admit(&level, "a"), Admission::Full));
    let (second, _) = waiting.remove(1);
    level.ended(second, End::TimedOut, Timestamp::UNIX_EPOCH);
    let last = later(&level, "a");
    let places: Vec<_> = level.requests().into_iter().filter_map(|request| request.place).collect();
    assert_eq!(places, [0, 1, 2]);
    drop(seat);
    for (_, mut turn) in waiting {
        drop(turn.try_recv().expect("its turn"));
    }
    let mut last = last;
    assert!(last.try_recv().is_ok(), "the turn of the one who came last");
}

#[test]
fn any_number_of_waiters_may_be_gone_when_a_seat_comes_back() {
    let level = level(1, usize::MAX);
    let Admission::Now(seat) = admit(&level, "a") else { panic!("there is room") };
    // As if each had gone right now: nobody has said so yet.
    for _ in 0..100_000 {
        drop(later(&level, "a"));
    }
    let mut alive = later(&level, "a");
    drop(seat);
    let seat = alive.try_recv().expect("its turn");
    assert_eq!(level.figures().running, 1);
    drop(seat);
    let Figures { running, waiting, .. } = level.figures();
    assert_eq!((running, waiting), (0, 0));
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
    assert_eq!(level.figures().waiting, 1, "who gave up counts no more");
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

#[test]
fn levels_without_a_limit_let_all_in_and_tell_of_them() {
    let level = level(1, 50);
    let _running = [admit(&level, "a"), admit(&level, "a")];
    level.configure(Limit::None { nominal: 7 });
    let exempt: Vec<_> = (0..3).map(|_| admit(&level, "b")).collect();
    assert!(exempt.iter().all(|admission| matches!(admission, Admission::Now(_))));
    let past = Past { dispatched: 4, ..Past::default() };
    assert_eq!(level.figures(), Figures { limit: 7, running: 5, waiting: 0, active_queues: 0, past });
    assert_eq!(level.requests().iter().filter(|it| it.distinguisher == "b" && it.queue.is_none()).count(), 3);
    level.configure(Limit::Reject(5));
    assert!(matches!(admit(&level, "c"), Admission::Full));
    drop(exempt);
    assert!(matches!(admit(&level, "c"), Admission::Now(_)));
}
