//! Handing batches to the kernel, one at a time, and noticing what others do to the rules.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::Config;
use crate::nftables::{Author, Events, Failure, Socket, Transaction};
use crate::plan::{Batch, Origin};

#[cfg(test)]
mod tests;

/// How often a batch is sent again because others changed other rules of the machine meanwhile.
const MOST_ATTEMPTS: usize = 64;

/// Why a batch of rules was not applied. Nothing of a failed batch is, unless it says so.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The kernel gave no socket.
    #[error("open a netfilter socket (this needs root and the NET_ADMIN capability)")]
    Open(#[source] io::Error),
    /// The kernel refused a part of the batch.
    #[error("the kernel refused to {request}")]
    Refused {
        /// Which part, in the words of nft.
        request: String,
        /// Its answer.
        #[source]
        source: io::Error,
    },
    /// The table is not as the batch before left it.
    #[error("the rules were changed by {0}")]
    Changed(Author),
    /// Others change rules faster than ours can be sent.
    #[error("the rules of this machine are changed without pause")]
    Busy,
    /// No answer came, so the batch may have been applied.
    #[error("talk to the kernel about rules; it is not known whether they were applied")]
    Unknown(#[source] io::Error),
}

/// The rules of one table in the network namespace of the thread that opened them.
#[derive(Debug)]
pub struct Rules {
    config: Config,
    socket: Socket,
    events: Events,
    generation: u32,
    /// Who changed the table since the last batch.
    changed: Option<Author>,
}

impl Rules {
    /// Opens the rules and begins to notice changes by others.
    ///
    /// # Errors
    /// The kernel gives no sockets.
    pub fn open(config: Config) -> Result<Self, ApplyError> {
        let mut socket = Socket::open().map_err(ApplyError::Open)?;
        let events = Events::open(&config.table, socket.port()).map_err(ApplyError::Open)?;
        let generation = socket.generation().map_err(ApplyError::Open)?;
        Ok(Self { config, socket, events, generation, changed: None })
    }

    /// Readable once somebody, this process included, has changed rules: time for [`Self::changed`].
    pub fn events(&self) -> Arc<OwnedFd> {
        self.events.descriptor()
    }

    /// Who changed the table since the last batch, as far as the kernel has told. Does not wait.
    ///
    /// # Errors
    /// The socket is broken.
    pub fn changed(&mut self) -> Result<Option<&Author>, ApplyError> {
        let news = self.events.read().map_err(ApplyError::Unknown)?;
        self.generation = news.generation.unwrap_or(self.generation);
        self.changed = news.author.or_else(|| self.changed.take());
        Ok(self.changed.as_ref())
    }

    /// Whether the table exists.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn exist(&mut self) -> Result<bool, ApplyError> {
        self.socket.has_table(&self.config.table).map_err(ApplyError::Unknown)
    }

    /// Applies a batch: all of it or nothing. May block for as long as the kernel works.
    ///
    /// A batch of changes is applied only to the table that the batch before left; one that replaces
    /// or removes the table, whatever is there.
    ///
    /// # Errors
    /// The kernel refuses the batch, or somebody else changed the table.
    pub fn apply(&mut self, batch: &Batch) -> Result<(), ApplyError> {
        if batch.is_empty() {
            return Ok(());
        }
        let transaction = batch.transaction(&self.config);
        for _ in 0..MOST_ATTEMPTS {
            if let Some(author) = self.changed()?.filter(|_| !batch.is_unconditional()) {
                return Err(ApplyError::Changed(author.clone()));
            }
            match self.socket.send(&transaction, self.generation) {
                Ok(()) => {
                    // What others did came before, because the generation was the one we knew.
                    self.changed = None;
                    return Ok(());
                }
                Err(Failure::Generation) => self.catch_up()?,
                Err(Failure::Unknown(source)) => return Err(ApplyError::Unknown(source)),
                Err(Failure::Refused { request, offset, source }) => {
                    let request = describe(&transaction, request, offset);
                    return Err(ApplyError::Refused { request, source });
                }
            }
        }
        Err(ApplyError::Busy)
    }

    /// After somebody changed rules, ours or not.
    fn catch_up(&mut self) -> Result<(), ApplyError> {
        let sent = self.generation;
        self.changed()?;
        if self.generation == sent {
            // No news of that change: it is not known whose rules it was about.
            self.generation = self.socket.generation().map_err(ApplyError::Unknown)?;
            self.changed = Some(Author::Unknown);
        }
        Ok(())
    }
}

fn describe(transaction: &Transaction<Origin<'_>>, request: Option<usize>, offset: Option<usize>) -> String {
    let found = request.and_then(|request| transaction.origin(request, offset));
    found.map_or_else(|| "apply the batch".to_owned(), |(origin, element)| origin.describe(element))
}
