//! Ordered key-value store: one 64-bit revision, transactions, watches, leases.
//!
//! The store knows bytes and revisions, never kinds. [`Store`] is the port; `embedded` is the
//! backend that lives in this process (own log, in-memory index).

pub mod embedded;
mod port;

pub use port::{
    Compare, Entry, Error, Event, EventKind, KeyRange, LeaseId, LeaseStatus, Operation, OperationResult, RangeRequest,
    RangeResponse, Revision, Status, Store, Txn, TxnResponse, Watch, WatchItem, WatchRequest,
};
