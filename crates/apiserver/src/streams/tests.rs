use std::sync::atomic::AtomicUsize;
use std::task::ready;

use hyper::rt::Executor as _;
use tokio::sync::{mpsc, oneshot};

use super::*;

/// A connection whose client asks by sending futures; ends when the client is gone.
struct Asked {
    requests: mpsc::UnboundedReceiver<Stream>,
    streams: Streams,
}

impl Future for Asked {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        while let Some(request) = ready!(self.requests.poll_recv(context)) {
            self.streams.execute(request);
        }
        Poll::Ready(())
    }
}

fn connection() -> (mpsc::UnboundedSender<Stream>, Driven<Asked>) {
    let (client, requests) = mpsc::unbounded_channel();
    let streams = Streams::new(TaskTracker::new());
    (client, Driven::new(Asked { requests, streams: streams.clone() }, streams, None))
}

/// A stream that says in which task it runs and then waits until it is let go.
fn stream(seen: &mpsc::UnboundedSender<tokio::task::Id>) -> (oneshot::Sender<()>, Stream) {
    let (go, let_go) = oneshot::channel::<()>();
    let seen = seen.clone();
    let future = async move {
        seen.send(tokio::task::id()).expect("the test listens");
        let _ = let_go.await;
        seen.send(tokio::task::id()).expect("the test listens");
    };
    (go, Box::pin(future))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_stream_runs_in_the_task_of_the_connection_and_others_beside_it_do_not() {
    let (client, driven) = connection();
    let task = tokio::spawn(driven);
    let (seen, mut places) = mpsc::unbounded_channel();
    for _ in 0..100 {
        let (first_go, first) = stream(&seen);
        assert!(client.send(first).is_ok());
        assert_eq!(places.recv().await, Some(task.id()));
        let (second_go, second) = stream(&seen);
        assert!(client.send(second).is_ok());
        let other = places.recv().await.expect("the second runs too");
        assert_ne!(other, task.id());
        second_go.send(()).expect("it waits");
        assert_eq!(places.recv().await, Some(other));
        first_go.send(()).expect("it waits");
        assert_eq!(places.recv().await, Some(task.id()));
        // What the first one said last came before its end: only after that the place is free again.
        let (done, ended) = oneshot::channel::<()>();
        assert!(client.send(Box::pin(async move { drop(done) })).is_ok());
        assert!(ended.await.is_err());
    }
    drop(client);
    task.await.expect("the connection ends with its client");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_ring_from_another_thread_is_lost() {
    const ROUNDS: usize = 20_000;
    let (client, driven) = connection();
    let task = tokio::spawn(driven);
    let (ball, mut balls) = mpsc::unbounded_channel();
    let (back, mut returned) = mpsc::unbounded_channel();
    let player = async move {
        while let Some(number) = balls.recv().await {
            let _ = back.send(number);
        }
    };
    assert!(client.send(Box::pin(player)).is_ok());
    let thrower = std::thread::spawn(move || {
        for number in 0..ROUNDS {
            let _ = ball.send(number);
            if number % 7 == 0 {
                std::thread::yield_now();
            }
        }
    });
    for number in 0..ROUNDS {
        assert_eq!(returned.recv().await, Some(number));
    }
    thrower.join().expect("it throws and ends");
    drop(client);
    task.await.expect("the connection ends with its client");
}

#[tokio::test]
async fn a_stream_that_is_never_idle_lets_other_tasks_run() {
    let (client, driven) = connection();
    let looks = Arc::new(AtomicUsize::new(0));
    let counted = looks.clone();
    let busy = std::future::poll_fn(move |context| {
        counted.fetch_add(1, Ordering::Relaxed);
        context.waker().wake_by_ref();
        Poll::Pending
    });
    assert!(client.send(Box::pin(busy)).is_ok());
    let task = tokio::spawn(driven);
    while looks.load(Ordering::Relaxed) < 10 * TURNS {
        tokio::task::yield_now().await;
    }
    drop(client);
    task.await.expect("the connection ends with its client");
}
