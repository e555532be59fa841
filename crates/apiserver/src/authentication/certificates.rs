//! Users whom a certificate names, or a proxy that has proved itself by one.
//!
//! The handshake proves that a client holds the key of what it shows. Whether an authority vouches for it, and for how
//! long, is found out here and with each request: an answer can say no, and the client may have a token, too.
//!
//! Source: `k8s.io/apiserver/pkg/authentication/request/x509`.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use parking_lot::Mutex;
use portolan_base::Timestamp;
use portolan_identity::{Error, User, client_verifier, user_of_certificate, validity_of_certificate};
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::{CertificateDer, UnixTime};

use super::front_proxy::{FrontProxy, Recognizer};

/// Certificates that a client showed, the one whose key it holds first. Nobody vouches for them yet.
#[derive(Debug)]
pub struct Shown {
    chain: Vec<CertificateDer<'static>>,
    named: Result<Arc<User>, Error>,
    /// The last second in which the first one holds, counted from the epoch.
    end: Option<i64>,
    /// The seconds from which on another judgement may come of them, as one begins or no longer holds; in order.
    edges: Vec<i64>,
    /// Behind how many edges they were judged last, and how.
    judged: Mutex<Option<(usize, Arc<Judged>)>>,
}

/// What certificates are good for.
#[derive(Debug)]
struct Judged {
    /// Whether they speak for their holder.
    client: Result<(), String>,
    /// Whether they are a proxy's; nothing if there are no proxies.
    proxy: Option<Result<(), String>>,
}

impl Shown {
    /// The certificate is read once, here, for all requests of a connection.
    pub(crate) fn of(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let first = chain.first()?;
        let named = user_of_certificate(first).map(Arc::new);
        let end = validity_of_certificate(first).map(|(_, end)| end);
        let validities = chain.iter().filter_map(|certificate| validity_of_certificate(certificate));
        let mut edges: Vec<i64> = validities.flat_map(|(begin, end)| [begin, end.saturating_add(1)]).collect();
        edges.sort_unstable();
        let chain = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
        Some(Self { chain, named, end, edges, judged: Mutex::default() })
    }

    /// The last second in which the first one holds, counted from the epoch.
    pub(super) fn end(&self) -> Option<i64> {
        self.end
    }

    /// The common name that it claims.
    pub(super) fn name(&self) -> Option<&str> {
        self.named.as_ref().ok().map(|user| user.name.as_str())
    }
}

/// Judges certificates.
#[derive(Debug)]
pub(super) struct Certificates {
    clients: Arc<dyn ClientCertVerifier>,
    proxies: Option<Recognizer>,
}

impl Certificates {
    /// `client_ca_pem`: the authorities of clients that speak for themselves.
    pub(super) fn new(client_ca_pem: &str, proxies: Option<FrontProxy>) -> Result<Self, Error> {
        let proxies = proxies.map(Recognizer::new).transpose()?;
        Ok(Self { clients: client_verifier(client_ca_pem)?, proxies })
    }

    /// The user of a request on a connection with these certificates; nothing if they name nobody. The error says
    /// why they are refused.
    pub(super) fn user(&self, shown: &Shown, headers: &HeaderMap, now: Timestamp) -> Result<Option<Arc<User>>, String> {
        let judged = self.judge(shown, now);
        let recognized = self.proxies.as_ref().filter(|_| matches!(judged.proxy, Some(Ok(()))));
        if let Some(user) = recognized.and_then(|proxies| proxies.user(headers)) {
            return Ok(Some(Arc::new(user)));
        }
        match (&judged.client, &shown.named, &judged.proxy) {
            (Ok(()), Ok(user), _) => Ok(Some(user.clone())),
            (Ok(()), Err(_), Some(Err(why))) | (Err(why), _, _) => Err(why.clone()),
            (Ok(()), Err(_), _) => Ok(None),
        }
    }

    /// The answer stays the same until one of the certificates begins or ceases to hold.
    fn judge(&self, shown: &Shown, now: Timestamp) -> Arc<Judged> {
        let behind = shown.edges.partition_point(|edge| *edge <= now.as_second());
        let mut last = shown.judged.lock();
        if let Some((known, judged)) = &*last
            && *known == behind
        {
            return judged.clone();
        }
        let judged = Arc::new(Judged {
            client: verify(&*self.clients, shown, now),
            proxy: self.proxies.as_ref().map(|proxies| proxies.recognize(shown, now)),
        });
        *last = Some((behind, judged.clone()));
        judged
    }
}

/// Whether an authority vouches for certificates; the error says why not.
pub(super) fn verify(verifier: &dyn ClientCertVerifier, shown: &Shown, now: Timestamp) -> Result<(), String> {
    let (leaf, rest) = shown.chain.split_first().ok_or("there is no certificate")?;
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    verifier.verify_client_cert(leaf, rest, now).map(drop).map_err(|error| error.to_string())
}
