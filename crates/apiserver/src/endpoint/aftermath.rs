//! What a server remembers beside its store follows each write, whatever becomes of the request.
//!
//! A request may end at any moment: its time is up, its client goes away. What was handed to the store is written all
//! the same. So a transaction and what follows it are one piece of work that nobody but the store can end: a task of the
//! server goes on with it where its request does not.

use std::borrow::Cow;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use parking_lot::Mutex;
use portolan_store::{Revision, Txn};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::Call;
use super::write::Moved;
use crate::resources::core::service_allocation::{Grant, Moved as Addresses};
use crate::server::Server;
use crate::status::Status;
use crate::{aggregation, authorization, extensions, fairness, service_addresses};

/// Addresses and ports reserved for a Service: its own once its write is through, and given back if none will be.
pub(super) struct Reservation {
    server: Arc<Server>,
    grant: Mutex<Option<Grant>>,
}

impl Reservation {
    pub(super) fn new(server: Arc<Server>, grant: Grant) -> Self {
        Self { server, grant: Mutex::new(Some(grant)) }
    }

    /// The addresses that the write gives and takes.
    pub(super) fn addresses(&self) -> Addresses {
        self.grant.lock().as_ref().map(Grant::moved).unwrap_or_default()
    }

    /// Writes what is reserved into the Service.
    pub(super) fn apply(&self, service: &mut Value) {
        self.grant.lock().iter().for_each(|grant| grant.apply(service));
    }

    /// The object was written.
    fn keep(&self) {
        if let Some(grant) = self.grant.lock().take() {
            self.server.allocator.lock().commit(grant);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(grant) = self.grant.get_mut().take() {
            self.server.allocator.lock().abandon(grant);
        }
    }
}

/// What follows a transaction.
pub(super) enum Aftermath {
    /// What was reserved for the object is its own.
    Written(Option<Arc<Reservation>>),
    /// It is written which of its names a definition has got.
    Defined(String),
    /// What is remembered of the object under this key is forgotten.
    Removed(Bytes, Holder),
}

/// What the allocator knows of an object that goes.
pub(super) enum Holder {
    /// A Service, which has addresses and ports.
    Service(Value),
    /// The object that says who has an address.
    Address(Value, Ipv4Addr),
    /// Nothing.
    None,
}

impl Call<'_> {
    /// Writes a transaction about an object, and sees to what follows.
    pub(super) async fn write(&self, txn: Txn, aftermath: Aftermath) -> Result<Result<Revision, Moved>, Status> {
        let server = self.server.shared();
        let (group, resource) = (self.resource.group.clone(), self.resource.name.clone());
        let tasks = self.server.writes.clone();
        let work = async move {
            let answer = server.store().txn(txn).await?;
            if !answer.succeeded {
                return Ok(Err(Moved));
            }
            expect(&server, (group, resource), answer.revision);
            aftermath.follow(&server).await;
            Ok(Ok(answer.revision))
        };
        Finishing::new(work, tasks).await
    }
}

/// Work that goes on as a task where whoever waits for it gives up. As long as it is waited for it needs none.
struct Finishing<F: Future + Send + 'static> {
    work: Option<Pin<Box<F>>>,
    tasks: TaskTracker,
    runtime: Handle,
}

impl<F: Future + Send + 'static> Finishing<F> {
    fn new(work: F, tasks: TaskTracker) -> Self {
        Self { work: Some(Box::pin(work)), tasks, runtime: Handle::current() }
    }
}

impl<F: Future + Send + 'static> Future for Finishing<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // Taken out, so that it is not polled again should it panic.
        let mut work = self.work.take().expect("it is not polled after its end");
        let polled = work.as_mut().poll(context);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl<F: Future + Send + 'static> Drop for Finishing<F> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            self.tasks.spawn_on(async { drop(work.await) }, &self.runtime);
        }
    }
}

impl Aftermath {
    async fn follow(self, server: &Server) {
        match self {
            Self::Written(reservation) => reservation.iter().for_each(|reservation| reservation.keep()),
            Self::Defined(name) => extensions::settle(server, &name).await,
            Self::Removed(key, holder) => {
                server.heartbeats.forget(&key);
                holder.release(server).await;
            }
        }
    }
}

impl Holder {
    async fn release(self, server: &Server) {
        match self {
            Self::None => {}
            Self::Service(service) => server.allocator.lock().release(&service),
            Self::Address(object, address) => {
                server.allocator.lock().release_foreign(address);
                // The deletion is done, whatever becomes of this; the next comparison looks again.
                if let Err(status) = service_addresses::restore(server, &object, address).await {
                    tracing::warn!(%address, status = status.message(), "the address of a Service is not there again");
                }
            }
        }
    }
}

/// Tells whoever follows objects of this group and resource in memory that one was written at `revision`.
fn expect(server: &Server, (group, resource): (Cow<'_, str>, Cow<'_, str>), revision: Revision) {
    server.authorizer.expect_link(&group, &resource, revision);
    match &*group {
        extensions::GROUP => server.extensions.expect(revision),
        service_addresses::GROUP => server.service_ranges.expect_of(&resource, revision),
        aggregation::GROUP => server.aggregation.expect(revision),
        authorization::bootstrap::API => server.authorizer.expect(revision),
        fairness::GROUP => server.fairness.iter().for_each(|fairness| fairness.expect(revision)),
        "admissionregistration.k8s.io" => server.admission.expect(&resource, revision),
        _ => {}
    }
}
