//! Objects of one kind: the informer's copy, and what this process wrote that the copy does not have yet.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use portolan_api::typed::Object;
use portolan_client::{Client, Informer, Key};

use crate::Error;

/// What was done to an object a moment ago.
enum Recent<K> {
    Written(Arc<K>),
    /// The object of this UID.
    Deleted(String),
}

/// Reads what it wrote, at once.
pub(crate) struct Kept<K> {
    client: Client,
    informer: Informer<K>,
    recent: Mutex<HashMap<Key, Recent<K>>>,
}

impl<K: Object> Kept<K> {
    pub(crate) fn new(client: Client, informer: Informer<K>) -> Self {
        Self { client, informer, recent: Mutex::default() }
    }

    pub(crate) fn informer(&self) -> &Informer<K> {
        &self.informer
    }

    /// The newest version that is known here.
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<K>> {
        let recent = self.recent.lock();
        let copy = || self.informer.get(&key.namespace, &key.name);
        match recent.get(key) {
            None => copy(),
            Some(Recent::Deleted(uid)) => copy().filter(|copy| copy.uid() != uid),
            Some(Recent::Written(written)) => {
                Some(copy().filter(|copy| copy.revision() >= written.revision()).unwrap_or_else(|| written.clone()))
            }
        }
    }

    /// Notes that the informer's copy of an object moved on.
    pub(crate) fn heard_of(&self, key: &Key) {
        let mut recent = self.recent.lock();
        let copy = match recent.get(key) {
            None => return,
            Some(_) => self.informer.get(&key.namespace, &key.name),
        };
        let over = match (recent.get(key), copy) {
            (Some(Recent::Deleted(uid)), Some(copy)) => copy.uid() != uid,
            (Some(Recent::Deleted(_)), None) => true,
            (Some(Recent::Written(written)), Some(copy)) => copy.revision() >= written.revision(),
            // Either not arrived yet, or gone already; a removal always comes after an arrival.
            (Some(Recent::Written(_)), None) => true,
            (None, _) => false,
        };
        if over {
            recent.remove(key);
        }
    }

    fn written(&self, key: &Key, object: K) -> Arc<K> {
        let object = Arc::new(object);
        if object.metadata().managed_fields.is_none() {
            self.informer.foretell(key, object.revision(), object.clone());
        }
        let mut recent = self.recent.lock();
        let copy = self.informer.get(&key.namespace, &key.name);
        if copy.is_none_or(|copy| copy.revision() < object.revision()) {
            recent.insert(key.clone(), Recent::Written(object.clone()));
        }
        object
    }

    /// From memory, or from the API if nothing is known here.
    pub(crate) async fn present(&self, key: &Key) -> Result<Arc<K>, Error> {
        match self.get(key) {
            Some(present) => Ok(present),
            None => self.read(key).await,
        }
    }

    /// From the API.
    pub(crate) async fn read(&self, key: &Key) -> Result<Arc<K>, Error> {
        match self.client.get(&key.namespace, &key.name).await {
            Ok(present) => Ok(Arc::new(present)),
            Err(error) if error.is_not_found() => Err(Error::NotFound(format!("{key} is not registered"))),
            Err(error) => Err(Error::Api(error)),
        }
    }

    /// Creates an object; `None` if there is one of this name.
    pub(crate) async fn create(&self, key: &Key, object: &K) -> Result<Option<Arc<K>>, Error> {
        match self.client.create_known(object).await {
            Ok(created) => Ok(Some(self.written(key, created))),
            Err(error) if error.is_already_exists() => Ok(None),
            Err(error) => Err(Error::Api(error)),
        }
    }

    /// Changes an object, or its status, by `edit`, which says whether it changed anything; if not,
    /// nothing is written.
    pub(crate) async fn change(
        &self,
        key: &Key,
        part: Part,
        edit: impl Fn(&mut K) -> bool + Send + Sync,
    ) -> Result<Arc<K>, Error> {
        let mut present = self.present(key).await?;
        loop {
            let mut changed = (*present).clone();
            if !edit(&mut changed) {
                return Ok(present);
            }
            let written = match part {
                Part::Specification => self.client.update(&changed).await,
                Part::Status => self.client.update_status(&changed).await,
            };
            match written {
                Ok(written) => return Ok(self.written(key, written)),
                Err(error) if error.is_conflict() => present = self.read(key).await?,
                Err(error) if error.is_not_found() => {
                    return Err(Error::NotFound(format!("{key} is not registered")));
                }
                Err(error) => return Err(Error::Api(error)),
            }
        }
    }

    /// Deletes the object of a UID, or whichever has the name if it is empty. Returns whether there was one.
    pub(crate) async fn delete(&self, key: &Key, uid: &str) -> Result<bool, Error> {
        use portolan_client::DeleteOptions;
        let options = if uid.is_empty() { DeleteOptions::default() } else { DeleteOptions::uid(uid) };
        let known = self.get(key).map(|present| present.uid().to_owned()).unwrap_or_default();
        match self.client.delete::<K>(&key.namespace, &key.name, &options).await {
            Ok(()) => {
                self.gone(key, if uid.is_empty() { known } else { uid.to_owned() });
                Ok(true)
            }
            Err(error) if error.is_not_found() => {
                self.gone(key, known);
                Ok(false)
            }
            // The UID is another: somebody registered it anew.
            Err(error) if error.is_conflict() => Ok(false),
            Err(error) => Err(Error::Api(error)),
        }
    }

    fn gone(&self, key: &Key, uid: String) {
        let mut recent = self.recent.lock();
        recent.remove(key);
        if self.informer.get(&key.namespace, &key.name).is_some_and(|copy| copy.uid() == uid) {
            recent.insert(key.clone(), Recent::Deleted(uid));
        }
    }
}

/// What of an object changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Specification,
    Status,
}
