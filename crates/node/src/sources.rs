//! ConfigMaps and Secrets that pods refer to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use parking_lot::Mutex;
use portolan_api::typed::Object;
use portolan_client::{Client, Error};
use tokio::time::Instant;

/// How long an answer is used again. Bounds both the age of volumes' content and the load that many
/// pods with the same ConfigMap make.
pub(crate) const FRESH_FOR: Duration = Duration::from_secs(60);
/// Answers remembered before old ones are dropped.
const REMEMBERED: usize = 1024;

type Remembered<K> = Mutex<BTreeMap<(String, String), (Instant, Option<Arc<K>>)>>;

/// Fetches ConfigMaps and Secrets, and remembers them for a while.
#[derive(Debug)]
pub(crate) struct Sources {
    client: Client,
    config_maps: Remembered<ConfigMap>,
    secrets: Remembered<Secret>,
}

/// How fresh an answer must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// At most [`FRESH_FOR`] old.
    Recent,
    /// Asked for now: a pod that starts sees what was written before it.
    Now,
}

impl Sources {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, config_maps: Mutex::default(), secrets: Mutex::default() }
    }

    /// A ConfigMap; `None` if it does not exist.
    pub(crate) async fn config_map(
        &self,
        namespace: &str,
        name: &str,
        freshness: Freshness,
    ) -> Result<Option<Arc<ConfigMap>>, Error> {
        self.fetch(&self.config_maps, namespace, name, freshness).await
    }

    /// A Secret; `None` if it does not exist.
    pub(crate) async fn secret(
        &self,
        namespace: &str,
        name: &str,
        freshness: Freshness,
    ) -> Result<Option<Arc<Secret>>, Error> {
        self.fetch(&self.secrets, namespace, name, freshness).await
    }

    async fn fetch<K: Object>(
        &self,
        remembered: &Remembered<K>,
        namespace: &str,
        name: &str,
        freshness: Freshness,
    ) -> Result<Option<Arc<K>>, Error> {
        let key = (namespace.to_owned(), name.to_owned());
        if freshness == Freshness::Recent
            && let Some((at, object)) = remembered.lock().get(&key)
            && at.elapsed() < FRESH_FOR
        {
            return Ok(object.clone());
        }
        let object = match self.client.get::<K>(namespace, name).await {
            Ok(object) => Some(Arc::new(object)),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error),
        };
        let mut remembered = remembered.lock();
        if remembered.len() >= REMEMBERED {
            remembered.retain(|_, (at, _)| at.elapsed() < FRESH_FOR);
        }
        remembered.insert(key, (Instant::now(), object.clone()));
        Ok(object)
    }
}
