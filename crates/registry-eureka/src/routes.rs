//! Paths and what they do.

use std::sync::{Arc, Weak};

use http::{HeaderValue, Method, Response, StatusCode, header};
use parking_lot::Mutex;
use portolan_base::{Clock, Shutdown};
use portolan_client::Key;
use portolan_registrar::access::{Caller, Resource, Verb};
use portolan_registrar::http::{Body, Handler, Refusal, Request, full};
use portolan_registrar::limits::Limiter as Clients;
use portolan_registrar::{Changes, Encoded, Registrar};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

#[cfg(feature = "fuzzing")]
pub(crate) use self::query::read_url;
use self::query::{Query, is_replication, segments, variant};
use crate::answer::{self, Cache, Variant};
use crate::overrides::Overrides;
use crate::rate::{Limiter, RateLimit};
use crate::track::{App, Entry, Tracker};
use crate::wire::{self, Format};
use crate::{Error, replication, translate};

mod query;
mod read;
mod write;

/// The first segments of paths, after the prefix that deployments choose.
const RESOURCES: [&str; 8] = ["apps", "asg", "instances", "peerreplication", "serverinfo", "status", "svips", "vips"];
/// The largest body after it was unpacked.
const LARGEST_UNPACKED: u64 = 4 << 20;

/// Equal to nothing but itself, as long as this is kept.
#[derive(Debug)]
struct Same<T>(Weak<T>);

impl<T> PartialEq for Same<T> {
    fn eq(&self, other: &Self) -> bool {
        Weak::ptr_eq(&self.0, &other.0)
    }
}

/// Answers requests.
pub(crate) struct Eureka {
    registrar: Arc<Registrar>,
    changes: Changes,
    clock: Arc<dyn Clock>,
    started: Instant,
    /// What each client may.
    clients: Arc<Clients>,
    /// What all of them may together.
    limiter: Option<Limiter>,
    tracker: Mutex<Tracker>,
    /// Told after each step of the tracker.
    followed: watch::Sender<()>,
    full: Cache,
    delta: Cache,
    /// Single applications.
    single: Encoded<(Arc<str>, Variant), Same<App>>,
    overrides: Overrides,
}

impl Eureka {
    pub(crate) fn new(
        registrar: Arc<Registrar>,
        changes: Changes,
        clock: Arc<dyn Clock>,
        clients: Arc<Clients>,
        limit: Option<RateLimit>,
    ) -> Self {
        let limiter = limit.map(|limit| Limiter::new(limit, Instant::now()));
        Self {
            registrar,
            changes,
            clock,
            started: Instant::now(),
            clients,
            limiter,
            tracker: Mutex::default(),
            followed: watch::Sender::default(),
            full: Cache::default(),
            delta: Cache::default(),
            single: Encoded::default(),
            overrides: Overrides::default(),
        }
    }

    /// Follows the catalog until shutdown is requested.
    pub(crate) async fn follow(&self, shutdown: &Shutdown) {
        let mut snapshots = self.changes.snapshots();
        loop {
            let newest = snapshots.borrow_and_update().clone();
            self.tracker.lock().follow(&newest, Instant::now());
            self.followed.send_replace(());
            if !matches!(shutdown.run(snapshots.changed()).await, Some(Ok(()))) {
                return;
            }
        }
    }

    /// Answers a request.
    pub(crate) async fn route(&self, request: &Request) -> Result<Response<Body>, Error> {
        self.clients.take(&request.client(), 1, 0, Instant::now())?;
        let segments = segments(request.path())?;
        let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
        // The prefix is what the client was configured with: none, one or two segments.
        let start = [1, 2, 0].into_iter().find(|at| segments.get(*at).is_some_and(|name| RESOURCES.contains(name)));
        let Some(start) = start else { return self.outside(request, &segments) };
        let method = if request.method == Method::HEAD { &Method::GET } else { &request.method };
        let (query, variant) = (Query::of(request.query()), variant(request));
        self.permit(request, method, &segments[start..]).await?;
        match (method.as_str(), &segments[start..]) {
            ("GET", ["apps"]) => self.all(request, variant).await,
            ("GET", ["apps", "delta"]) => self.changed(request, variant).await,
            ("GET", ["apps", app]) => self.application(request, app, variant),
            ("POST", ["apps", app]) => {
                let body = self.body(request)?;
                let instance = body.get("instance").unwrap_or(&body);
                let info = wire::instance(instance).map_err(Error::BadRequest)?;
                self.hold(request, app, &info.instance_id).await?;
                self.register(&request.client(), app, info).await?;
                Ok(empty(StatusCode::NO_CONTENT))
            }
            ("GET", ["apps", app, id]) => self.instance(app, id, variant),
            ("PUT", ["apps", app, id]) => {
                self.renew(app, id, query.dirty()?, is_replication(request))?;
                Ok(empty(StatusCode::OK))
            }
            ("DELETE", ["apps", app, id]) => {
                self.cancel(app, id).await?;
                Ok(empty(StatusCode::OK))
            }
            ("PUT", ["apps", app, id, "status"]) => {
                let word = query.status()?.ok_or_else(|| Error::BadRequest("value: a status is missing".into()))?;
                self.put_status(app, id, word, query.dirty()?).await?;
                Ok(empty(StatusCode::OK))
            }
            ("DELETE", ["apps", app, id, "status"]) => {
                self.delete_status(app, id, query.status()?, query.dirty()?).await?;
                Ok(empty(StatusCode::OK))
            }
            ("PUT", ["apps", app, id, "metadata"]) => {
                self.put_metadata(app, id, &query).await?;
                Ok(empty(StatusCode::OK))
            }
            ("GET", ["instances", id]) => self.instance_by_id(id, variant),
            ("GET", ["vips", address]) => Ok(self.virtual_address(address, false, variant)),
            ("GET", ["svips", address]) => Ok(self.virtual_address(address, true, variant)),
            ("POST", ["peerreplication", "batch"]) => {
                Ok(json_answer(&replication::answer(self, request, &self.body(request)?).await?))
            }
            // Only servers in Amazon's cloud know auto-scaling groups; others answer this, as Netflix's does.
            ("PUT", ["asg", _, "status"]) => Err(Error::BadRequest("there are no auto-scaling groups here".into())),
            ("GET", ["status"]) => Ok(self.status(variant)),
            ("GET", ["serverinfo", "statusoverrides"]) => Ok(self.status_overrides()),
            (_, ["apps"] | ["apps", "delta"] | ["instances" | "vips" | "svips", _] | ["status"])
            | (_, ["apps", _] | ["apps", _, _] | ["apps", _, _, "status" | "metadata"])
            | (_, ["peerreplication", "batch"] | ["asg", _, "status"] | ["serverinfo", "statusoverrides"]) => {
                Err(Error::MethodNotAllowed(format!("{} is not possible here", request.method)))
            }
            _ => Err(Error::NotFound(format!("there is nothing at {}", request.path()))),
        }
    }

    /// Refuses what the caller may not do, but for registering, which [`Self::hold`] asks about.
    async fn permit(&self, request: &Request, method: &Method, path: &[&str]) -> Result<(), Error> {
        let (reads, renews) = (method == Method::GET, method == Method::PUT && path.len() == 3);
        if matches!((method.as_str(), path), ("POST", ["apps", _]) | (_, ["peerreplication", ..])) {
            return Ok(());
        }
        if !reads && !renews {
            self.clients.take(&request.client(), 0, 1, Instant::now())?;
        }
        if matches!(request.caller, Caller::Trusted) {
            return Ok(());
        }
        let (verb, namespace) = match (method.as_str(), path) {
            // Applications of other namespaces bear their names; whoever may see one may ask for it.
            ("GET", ["apps", app]) if *app != "delta" => (Verb::List, self.namespace(app, None)),
            ("GET", ["apps", app, id]) => (Verb::Get, self.namespace(app, Some(id))),
            ("GET", _) => (Verb::List, String::new()),
            ("DELETE", ["apps", app, id]) => (Verb::Delete, self.namespace(app, Some(id))),
            (_, ["apps", app, id, ..]) => (Verb::Update, self.namespace(app, Some(id))),
            _ => (Verb::Update, translate::NAMESPACE.to_owned()),
        };
        Ok(request.caller.require(verb, Resource::Instances, &namespace).await?)
    }

    /// The namespace of an application's instances: that of the one that is meant, or all if they are in several.
    pub(crate) fn namespace(&self, app: &str, id: Option<&str>) -> String {
        let applications = self.tracker.lock().current().clone();
        let Some(found) = applications.apps.get(app.to_uppercase().as_str()) else {
            return translate::NAMESPACE.to_owned();
        };
        let meant = found.instances.iter().filter(|entry| id.is_none_or(|id| *entry.source.id == *id));
        let mut namespaces: Vec<&str> = meant.map(|entry| &*entry.source.namespace).collect();
        namespaces.sort_unstable();
        namespaces.dedup();
        match namespaces[..] {
            [] => translate::NAMESPACE.to_owned(),
            [one] => one.to_owned(),
            _ => String::new(),
        }
    }

    /// Asks whether the caller may register an instance, and counts it.
    pub(crate) async fn hold(&self, request: &Request, app: &str, id: &str) -> Result<(), Error> {
        let (key, now) = (own_key(app, id), Instant::now());
        let verb = if self.registrar.instance(&key).is_some() { Verb::Update } else { Verb::Create };
        request.caller.require(verb, Resource::Instances, &key.namespace).await?;
        let client = request.client();
        self.clients.take(&client, 0, 1, now)?;
        Ok(self.clients.hold(&client, &key, now, |key| self.registrar.instance(key).is_some())?)
    }

    fn outside(&self, request: &Request, segments: &[&str]) -> Result<Response<Body>, Error> {
        if request.method == Method::GET && segments.len() < 2 {
            let applications = self.tracker.lock().current().clone();
            let text = format!(
                "Portolan speaks Eureka here: GET {}/apps\n{} applications, {}\n",
                request.path().trim_end_matches('/'),
                applications.apps.len(),
                applications.hash,
            );
            return Ok(answer(StatusCode::OK, "text/plain; charset=utf-8", text));
        }
        Err(Error::NotFound(format!("there is nothing at {}; see /eureka/apps", request.path())))
    }

    fn body(&self, request: &Request) -> Result<Value, Error> {
        let encoding = request.headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok());
        let parsed = match encoding {
            Some("gzip") => {
                let mut plain = Vec::new();
                let decoder = flate2::read::GzDecoder::new(&request.body[..]);
                std::io::Read::read_to_end(&mut std::io::Read::take(decoder, LARGEST_UNPACKED + 1), &mut plain)
                    .map_err(|error| Error::BadRequest(format!("the body is not gzip: {error}")))?;
                if plain.len() as u64 > LARGEST_UNPACKED {
                    return Err(Error::TooLarge(format!("the unpacked body is larger than {LARGEST_UNPACKED} bytes")));
                }
                wire::body(&plain)
            }
            _ => wire::body(&request.body),
        };
        parsed.map_err(Error::BadRequest)
    }

    fn entry(&self, app: &str, id: &str) -> Option<Arc<Entry>> {
        let app = app.to_uppercase();
        self.tracker.lock().current().apps.get(app.as_str())?.instance(id).cloned()
    }
}

impl Handler for Eureka {
    /// Room for a batch of a few hundred instances.
    const BODY_LIMIT: usize = 1 << 20;

    async fn answer(&self, request: Request) -> Response<Body> {
        match self.route(&request).await {
            Ok(answer) => answer,
            Err(Error::Conflict(info)) => {
                let variant = Variant { gzip: false, ..variant(&request) };
                let text = replication::instance(&info, variant.format);
                answer(StatusCode::CONFLICT, variant.format.content_type(), text)
            }
            Err(error) => refused(&error),
        }
    }

    fn refuse(&self, refusal: Refusal) -> Response<Body> {
        refused(&Error::from(refusal))
    }
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(full(""));
    *response.status_mut() = status;
    response
}

fn answer(status: StatusCode, content_type: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn encoded(variant: Variant, bytes: bytes::Bytes) -> Response<Body> {
    let mut response = Response::new(full(bytes));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(variant.format.content_type()));
    if variant.gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// An answer about few instances: not worth keeping, worth packing.
fn text_answer(variant: Variant, text: String) -> Response<Body> {
    encoded(variant, packed(variant, text))
}

fn packed(variant: Variant, text: String) -> bytes::Bytes {
    if variant.gzip { answer::gzip(text.as_bytes()) } else { text.into() }
}

fn json_answer(value: &Value) -> Response<Body> {
    answer(StatusCode::OK, Format::Json.content_type(), value.to_string())
}

fn refused(error: &Error) -> Response<Body> {
    let mut response = answer(error.status(), "text/plain; charset=utf-8", error.text());
    let headers = response.headers_mut();
    match error {
        Error::Unauthorized(_) => {
            let schemes = HeaderValue::from_static("Basic realm=\"portolan\", Bearer");
            headers.insert(header::WWW_AUTHENTICATE, schemes);
        }
        Error::Excess(excess) => {
            headers.insert(header::RETRY_AFTER, excess.wait().as_secs().max(1).into());
        }
        _ => {}
    }
    response
}

fn own_key(app: &str, id: &str) -> Key {
    Key::new(translate::NAMESPACE, translate::name(&app.to_uppercase(), id))
}

impl Entry {
    /// The object that it is, if it registered.
    fn registered_as(&self) -> Option<Key> {
        let registration = self.source.registration.as_ref()?;
        Some(Key::new(&*self.source.namespace, registration.name()))
    }
}
