//! Keys and values of a Consul elsewhere, copied into the key space of this one and followed.
//!
//! Locks are not copied: whoever holds one lives by a session there.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use portolan_base::{Backoff, Shutdown};
use serde_json::Value;

use crate::http::{Error, Remote};

/// How long Consul holds a question that nothing answers.
const WAIT: Duration = Duration::from_secs(60);
/// Consul may take a sixteenth longer; the rest is the network's.
const PATIENCE: Duration = Duration::from_secs(75);
/// Waits after failures.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// What is copied from where to where.
pub struct KeyCopy {
    /// Consul's interface to read from.
    pub source: Remote,
    /// Consul's interface of this cluster.
    pub target: Remote,
    /// Only keys that begin so.
    pub prefix: String,
    /// Whether one copy is enough.
    pub once: bool,
}

/// How many keys a round touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Copied {
    /// Keys at the source.
    pub keys: usize,
    /// Keys written here.
    pub written: usize,
    /// Keys removed here.
    pub removed: usize,
}

/// A value in base 64 and its flags.
type Pair = (String, u64);

impl KeyCopy {
    /// Copies until shutdown is requested, or once. Keys that were never at the source are not touched.
    ///
    /// # Errors
    /// With `once` whatever stopped it; else only what no retry can heal.
    pub async fn run(
        self,
        shutdown: Shutdown,
        report: &mut (dyn FnMut(Result<Copied, &Error>) + Send),
    ) -> Result<(), Error> {
        let (mut index, mut copied) = (0, BTreeMap::new());
        let mut backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY);
        while !shutdown.is_requested() {
            let Some(round) = shutdown.run(self.round(&mut index, &mut copied)).await else { break };
            match round {
                Ok(done) => {
                    backoff.reset();
                    report(Ok(done));
                }
                Err(error) if self.once || matches!(error, Error::Setup(_)) => return Err(error),
                Err(error) => {
                    report(Err(&error));
                    // All is read again: what was written last is not known.
                    index = 0;
                    if shutdown.run(tokio::time::sleep(backoff.jittered())).await.is_none() {
                        break;
                    }
                }
            }
            if self.once {
                break;
            }
        }
        Ok(())
    }

    async fn round(&self, index: &mut u64, copied: &mut BTreeMap<String, Pair>) -> Result<Copied, Error> {
        let mut newest = *index;
        let (found, present) = loop {
            let (now, found) = self.pairs(&self.source, newest).await?;
            if now == newest && newest != 0 {
                continue;
            }
            newest = now;
            // What is here is read once; from then on it is known what was written.
            let present = if *index == 0 { self.pairs(&self.target, 0).await?.1 } else { copied.clone() };
            break (found, present);
        };
        let mut done = Copied { keys: found.len(), ..Copied::default() };
        for (key, (value, flags)) in &found {
            if present.get(key) != Some(&(value.clone(), *flags)) {
                let path = format!("{}?flags={flags}", path(key));
                let bytes = decoded(value).map_err(|reason| self.source.not_understood(&path, reason))?;
                self.target.write(Method::PUT, &path, bytes).await?;
                done.written += 1;
            }
        }
        for key in copied.keys().filter(|key| !found.contains_key(*key)) {
            self.target.write(Method::DELETE, &path(key), Vec::new()).await?;
            done.removed += 1;
        }
        (*index, *copied) = (newest, found);
        Ok(done)
    }

    /// All pairs below the prefix; with an index, as soon as it is another.
    async fn pairs(&self, remote: &Remote, index: u64) -> Result<(u64, BTreeMap<String, Pair>), Error> {
        let wait = if index > 0 { format!("&index={index}&wait={}s", WAIT.as_secs()) } else { String::new() };
        let path = format!("{}?recurse{wait}", path(&self.prefix));
        let (headers, value) = remote.find(&path, PATIENCE).await?;
        let number = headers.get("x-consul-index").and_then(|value| value.to_str().ok()?.parse().ok());
        let number = number.unwrap_or(1).max(1);
        // No key begins so.
        let Some(value) = value else { return Ok((number, BTreeMap::new())) };
        let list = value.as_array().ok_or_else(|| remote.not_understood(&path, "it is not a list of keys"))?;
        let pair = |entry: &Value| {
            let value = entry["Value"].as_str().unwrap_or_default().to_owned();
            (entry["Key"].as_str().unwrap_or_default().to_owned(), (value, entry["Flags"].as_u64().unwrap_or(0)))
        };
        Ok((number, list.iter().map(pair).collect()))
    }
}

fn path(key: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    /// Slashes stay; they are part of the path.
    const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.');
    format!("/v1/kv/{}", utf8_percent_encode(key, ESCAPED))
}

fn decoded(value: &str) -> Result<Vec<u8>, String> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(value).map_err(|problem| problem.to_string())
}
