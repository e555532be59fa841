//! Gives every namespace its `default` service account and the cluster's root certificates.

use async_trait::async_trait;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use portolan_api::typed::Object;
use portolan_api::typed::kinds::core::v1::{ConfigMap, Namespace, ServiceAccount};
use portolan_base::Shutdown;
use portolan_client::{Error, Informer, Key, WorkQueue};

use crate::context::Context;
use crate::driver::{Next, Reconciler, drive};
use crate::meta::is_deleting;

const ACCOUNT: &str = "default";
const BUNDLE: &str = "kube-root-ca.crt";
const BUNDLE_KEY: &str = "ca.crt";
const BUNDLE_NOTE: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the \
     internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes \
     clusters.";

struct Controller {
    context: Context,
    namespaces: Informer<Namespace>,
    accounts: Informer<ServiceAccount>,
    bundles: Informer<ConfigMap>,
}

pub(crate) async fn run(context: Context, shutdown: Shutdown) {
    let controller = Controller {
        namespaces: context.informers.informer(),
        accounts: context.informers.selected(&format!("metadata.name={ACCOUNT}")),
        bundles: context.informers.selected(&format!("metadata.name={BUNDLE}")),
        context,
    };
    let ready = async {
        tokio::join!(controller.namespaces.synced(), controller.accounts.synced(), controller.bundles.synced())
    };
    if shutdown.run(ready).await.is_none() {
        return;
    }
    let queue = WorkQueue::new();
    controller.namespaces.feed(&queue, |namespace| vec![Key::of(namespace)]);
    controller.accounts.feed(&queue, |account| vec![Key::new("", account.namespace())]);
    controller.bundles.feed(&queue, |bundle| vec![Key::new("", bundle.namespace())]);
    drive(&controller, &queue, &controller.context.clock, &shutdown).await;
}

#[async_trait]
impl Reconciler for Controller {
    fn name(&self) -> &'static str {
        "serviceaccount"
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let namespace = self.namespaces.get("", &key.name).filter(|namespace| !is_deleting(&**namespace));
        if namespace.is_none() {
            return Ok(Next::OnChange);
        }
        if self.accounts.get(&key.name, ACCOUNT).is_none() {
            let account = ServiceAccount { metadata: metadata(&key.name, ACCOUNT), ..ServiceAccount::default() };
            created(self.context.client.create(&account).await)?;
        }
        let wanted = Some([(BUNDLE_KEY.to_owned(), self.context.root_ca_pem.clone())].into());
        match self.bundles.get(&key.name, BUNDLE) {
            None => {
                let mut bundle =
                    ConfigMap { metadata: metadata(&key.name, BUNDLE), data: wanted, ..ConfigMap::default() };
                let note = [("kubernetes.io/description".to_owned(), BUNDLE_NOTE.to_owned())];
                bundle.metadata.annotations = Some(note.into());
                created(self.context.client.create(&bundle).await)?;
            }
            Some(bundle) if bundle.data != wanted => {
                let bundle = ConfigMap { data: wanted, ..ConfigMap::clone(&bundle) };
                self.context.client.update(&bundle).await?;
            }
            Some(_) => {}
        }
        Ok(Next::OnChange)
    }
}

fn metadata(namespace: &str, name: &str) -> ObjectMeta {
    ObjectMeta { namespace: Some(namespace.to_owned()), name: Some(name.to_owned()), ..ObjectMeta::default() }
}

/// Fine if it exists: our copy was behind. Fine if the namespace is going away: the change wakes us.
fn created<K: Object>(outcome: Result<K, Error>) -> Result<(), Error> {
    match outcome {
        Err(error) if error.is_already_exists() || error.is_not_found() => Ok(()),
        outcome => outcome.map(drop),
    }
}
