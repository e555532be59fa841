//! Where the streams of an HTTP/2 connection run.
//!
//! hyper hands every stream to an executor. In a task of its own a request costs an allocation and two wake-ups from
//! task to task, and each event of a watch two as well, often from one core to another. Most connections have
//! one request, or one watch, at a time: that one runs within the task of its connection. Those beside it get tasks
//! of their own, so that they do not wait for each other.
//!
//! Whatever both of them wrote in their turns leaves in one piece at the end ([`cork`]).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

use crate::cork;

/// How often connection and stream take turns before other tasks of the thread have theirs. A stream that finds
/// something each time (a long list to a fast reader) would go on for ever.
const TURNS: usize = 16;

type Stream = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The executor of one connection.
#[derive(Clone)]
pub(crate) struct Streams {
    tasks: TaskTracker,
    own: Arc<Mutex<Own>>,
    bell: Arc<Bell>,
}

/// The stream that runs within the connection's task.
enum Own {
    None,
    New(Stream),
    Running,
}

impl Streams {
    /// Streams that need tasks of their own get them from `tasks`.
    pub(crate) fn new(tasks: TaskTracker) -> Self {
        Self { tasks, own: Arc::new(Mutex::new(Own::None)), bell: Bell::new(Arc::default()) }
    }

    fn take_new(&self) -> Option<Stream> {
        let mut own = self.own.lock();
        match std::mem::replace(&mut *own, Own::Running) {
            Own::New(stream) => Some(stream),
            other => {
                *own = other;
                None
            }
        }
    }
}

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        let mut own = self.own.lock();
        if matches!(*own, Own::None) {
            *own = Own::New(Box::pin(future));
            drop(own);
            self.bell.wake_by_ref();
        } else {
            drop(own);
            self.tasks.spawn(future);
        }
    }
}

/// The task of the connection.
#[derive(Default)]
struct Task {
    waker: AtomicWaker,
    /// While it looks at both anyway nobody needs to wake it.
    is_polling: AtomicBool,
}

/// Rung when the connection, or its stream, has something to do.
struct Bell {
    rung: AtomicBool,
    task: Arc<Task>,
}

impl Bell {
    /// The first look is due.
    fn new(task: Arc<Task>) -> Arc<Self> {
        Arc::new(Self { rung: AtomicBool::new(true), task })
    }

    fn is_rung(&self) -> bool {
        self.rung.load(Ordering::SeqCst)
    }

    fn take(&self) -> bool {
        self.is_rung() && self.rung.swap(false, Ordering::SeqCst)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Sequentially consistent with the end of `Driven::poll`: either that sees the bell rung, or this sees that
        // nobody is polling any more.
        if !self.rung.swap(true, Ordering::SeqCst) && !self.task.is_polling.load(Ordering::SeqCst) {
            self.task.waker.wake();
        }
    }
}

/// A connection together with the stream that runs in its task.
pub(crate) struct Driven<C> {
    connection: Pin<Box<C>>,
    stream: Option<Stream>,
    streams: Streams,
    socket: Option<cork::Handle<TcpStream>>,
    bell: Arc<Bell>,
    connection_waker: Waker,
    stream_waker: Waker,
}

impl<C> Driven<C> {
    /// `connection` hands its streams to `streams`, and writes to `socket` if that is to be corked.
    pub(crate) fn new(connection: C, streams: Streams, socket: Option<cork::Handle<TcpStream>>) -> Self {
        socket.iter().for_each(cork::Handle::close);
        let bell = Bell::new(streams.bell.task.clone());
        Self {
            connection: Box::pin(connection),
            stream: None,
            connection_waker: bell.clone().into(),
            stream_waker: streams.bell.clone().into(),
            bell,
            streams,
            socket,
        }
    }

    /// The connection, to tell it something. It is looked at again after that.
    pub(crate) fn connection(&mut self) -> Pin<&mut C> {
        self.bell.rung.store(true, Ordering::SeqCst);
        self.connection.as_mut()
    }
}

impl<C: Future> Driven<C> {
    /// One look at each that has something to do. `None`: neither had.
    fn turn(&mut self) -> Option<Poll<C::Output>> {
        let mut worked = false;
        if self.bell.take() {
            worked = true;
            let mut context = Context::from_waker(&self.connection_waker);
            if let Poll::Ready(outcome) = self.connection.as_mut().poll(&mut context) {
                return Some(Poll::Ready(outcome));
            }
        }
        if self.streams.bell.take() {
            worked = true;
            if self.stream.is_none() {
                self.stream = self.streams.take_new();
            }
            let mut context = Context::from_waker(&self.stream_waker);
            if self.stream.as_mut().is_some_and(|stream| stream.as_mut().poll(&mut context).is_ready()) {
                self.stream = None;
                *self.streams.own.lock() = Own::None;
            }
        }
        worked.then_some(Poll::Pending)
    }

    /// Sends what was written. When the socket has room again the connection is looked at.
    fn drain(&self) {
        let mut context = Context::from_waker(&self.connection_waker);
        self.socket.iter().for_each(|socket| socket.drain(&mut context));
    }
}

impl<C: Future> Future for Driven<C> {
    type Output = C::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<C::Output> {
        let this = self.get_mut();
        let task = this.bell.task.clone();
        task.waker.register(context.waker());
        task.is_polling.store(true, Ordering::SeqCst);
        for _ in 0..TURNS {
            match this.turn() {
                Some(Poll::Ready(outcome)) => {
                    this.drain();
                    return Poll::Ready(outcome);
                }
                Some(Poll::Pending) => continue,
                None => this.drain(),
            }
            task.is_polling.store(false, Ordering::SeqCst);
            if !this.bell.is_rung() && !this.streams.bell.is_rung() {
                return Poll::Pending;
            }
            task.is_polling.store(true, Ordering::SeqCst);
        }
        this.drain();
        task.is_polling.store(false, Ordering::SeqCst);
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
