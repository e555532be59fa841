//! Paths and what they do.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, Response, StatusCode, header};
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use portolan_api::typed::ServiceInstance;
use portolan_base::{Clock, Shutdown};
use portolan_catalog::Registration;
use portolan_client::Key;
use portolan_registrar::access::{Caller, Resource, Verb};
use portolan_registrar::http::{Body, Handler, Refusal, Request, full};
use portolan_registrar::limits::{Client, Limiter as Clients};
use portolan_registrar::{Changes, Outcome, Registrar};
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::answer::{self, Cache, Variant};
use crate::overrides::Overrides;
use crate::rate::{Limiter, RateLimit};
use crate::track::{Applications, Entry, Tracker};
use crate::translate::{self, Known};
use crate::wire::{self, Format, InstanceInfo, InstanceStatus, View};
use crate::{Error, replication};

/// Marks what another registry server passes on.
const REPLICATION: &str = "x-netflix-discovery-replication";
/// Asks for less of each instance.
const EUREKA_ACCEPT: &str = "x-eureka-accept";
/// The name by which a client identifies itself.
const CLIENT_NAME: &str = "discoveryidentity-name";
/// The first segments of paths, after the prefix that deployments choose.
const RESOURCES: [&str; 8] = ["apps", "asg", "instances", "peerreplication", "serverinfo", "status", "svips", "vips"];
/// How long a write waits to be seen; ordinarily that takes a millisecond.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// The largest body after it was unpacked.
const LARGEST_UNPACKED: u64 = 4 << 20;

/// Answers requests.
pub(crate) struct Eureka {
    registrar: Arc<Registrar>,
    changes: Changes,
    clock: Arc<dyn Clock>,
    /// What each client may.
    clients: Arc<Clients>,
    /// What all of them may together.
    limiter: Option<Limiter>,
    tracker: Mutex<Tracker>,
    /// Told after each step of the tracker.
    followed: watch::Sender<()>,
    full: Cache,
    delta: Cache,
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
            clients,
            limiter,
            tracker: Mutex::default(),
            followed: watch::Sender::default(),
            full: Cache::default(),
            delta: Cache::default(),
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
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
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
            ("GET", ["status"]) => Ok(self.status()),
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

    fn may_fetch(&self, request: &Request, full: bool) -> Result<(), Error> {
        let client = request.headers.get(CLIENT_NAME).and_then(|value| value.to_str().ok());
        match &self.limiter {
            Some(limiter) if !limiter.allows(full, client, Instant::now()) => Err(Error::TooMany),
            _ => Ok(()),
        }
    }

    async fn all(&self, request: &Request, variant: Variant) -> Result<Response<Body>, Error> {
        self.may_fetch(request, true)?;
        let applications = self.tracker.lock().current().clone();
        let state = (applications.version, 0);
        let make = move || answer::all(&applications, variant);
        Ok(encoded(variant, self.full.get(state, variant, make).await))
    }

    async fn changed(&self, request: &Request, variant: Variant) -> Result<Response<Body>, Error> {
        self.may_fetch(request, false)?;
        // State, changes and hash code of one moment: else clients would find them to disagree.
        let (applications, (oldest, changes)) = {
            let mut tracker = self.tracker.lock();
            (tracker.current().clone(), tracker.delta(Instant::now()))
        };
        let state = (applications.version, oldest);
        let make = move || answer::delta(&applications, &changes, variant);
        Ok(encoded(variant, self.delta.get(state, variant, make).await))
    }

    fn application(&self, request: &Request, app: &str, variant: Variant) -> Result<Response<Body>, Error> {
        self.may_fetch(request, false)?;
        let app = app.to_uppercase();
        let applications = self.tracker.lock().current().clone();
        match applications.apps.get(app.as_str()) {
            Some(found) => Ok(text_answer(variant, answer::application(found, variant))),
            None => Err(Error::NotFound(format!("there is no application {app}"))),
        }
    }

    fn instance(&self, app: &str, id: &str, variant: Variant) -> Result<Response<Body>, Error> {
        match self.entry(app, id) {
            Some(entry) => Ok(text_answer(variant, answer::instance(&self.with_lease(&entry), variant))),
            None => Err(Error::NotFound(format!("there is no instance {id} of {app}"))),
        }
    }

    fn instance_by_id(&self, id: &str, variant: Variant) -> Result<Response<Body>, Error> {
        let applications = self.tracker.lock().current().clone();
        match applications.sorted().into_iter().find_map(|app| app.instance(id)) {
            Some(entry) => Ok(text_answer(variant, answer::instance(&self.with_lease(entry), variant))),
            None => Err(Error::NotFound(format!("there is no instance {id}"))),
        }
    }

    fn virtual_address(&self, address: &str, secure: bool, variant: Variant) -> Response<Body> {
        let applications = self.tracker.lock().current().clone();
        text_answer(variant, answer::virtual_address(&applications, address, secure, variant))
    }

    fn entry(&self, app: &str, id: &str) -> Option<Arc<Entry>> {
        let app = app.to_uppercase();
        self.tracker.lock().current().apps.get(app.as_str())?.instance(id).cloned()
    }

    /// Waits until answers show a write, so that a client that asks next reads what it wrote.
    ///
    /// A view that stays behind (the API's watch is interrupted) does not hold a request up for long:
    /// the write itself is done.
    async fn shown(&self, app: &str, id: &str, holds: impl Fn(Option<&Registration>) -> bool) {
        let mut followed = self.followed.subscribe();
        let wait = async {
            loop {
                followed.borrow_and_update();
                let entry = self.entry(app, id);
                if holds(entry.as_ref().and_then(|entry| entry.source.registration.as_deref())) {
                    return;
                }
                if followed.changed().await.is_err() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(LONGEST_WAIT, wait).await;
    }

    /// Waits until answers show an object as it was written, or later.
    async fn shown_as(&self, app: &str, id: &str, written: &ServiceInstance) {
        self.shown(app, id, |seen| seen.is_some_and(|seen| seen.revision() >= revision(written))).await;
    }

    /// The instance with the time of its last heartbeat, which lists leave out: it changes all the time.
    fn with_lease(&self, entry: &Entry) -> InstanceInfo {
        let mut info = entry.info();
        if let Some(remaining) = entry.registered_as().and_then(|key| self.registrar.lease_remaining(&key)) {
            let ago = i64::from(info.lease.duration_seconds) * 1000 - i64::try_from(remaining.as_millis()).unwrap_or(0);
            info.lease.renewed = self.clock.now().as_millisecond() - ago.max(0);
        }
        info
    }

    /// Registers an instance, or does as much of it as changes something.
    pub(crate) async fn register(&self, client: &Client, app: &str, info: InstanceInfo) -> Result<(), Error> {
        let mut info = check(app, info)?;
        let key = Key::new(translate::NAMESPACE, translate::name(&info.app, &info.instance_id));
        let present = self.registrar.instance(&key);
        let known = present.as_deref().and_then(|object| Known::of(&object.spec));
        if let Some(known) = &known
            && known.last_dirty > info.last_dirty
            && self.registrar.renew(&key).is_ok()
        {
            // What is there is newer than what the client says; it only shows that it lives.
            return Ok(());
        }
        let before = known.map(|known| known.overridden_status);
        let word = before.or_else(|| self.overrides.get(&key, Instant::now()));
        info.overridden_status = word.unwrap_or(info.overridden_status);
        let mut object = translate::object(&info, present.as_deref(), self.clock.now());
        client.note_on(&mut object);
        let (outcome, mut written) = self.registrar.register(object).await?;
        if outcome != Outcome::Created {
            written = self.say(&key, info.status).await?;
        }
        self.shown_as(&info.app, &info.instance_id, &written).await;
        Ok(())
    }

    /// Writes what an instance says of itself, if that is news.
    async fn say(&self, key: &Key, status: InstanceStatus) -> Result<Arc<ServiceInstance>, Error> {
        let said = translate::status_of(status, self.clock.now());
        let written = self
            .registrar
            .change_status(key, |_, present| {
                if (present.health, present.reason.as_str()) != (said.health, said.reason.as_str()) {
                    (present.health, present.reason, present.since) =
                        (said.health, said.reason.clone(), said.since.clone());
                }
            })
            .await?;
        Ok(written)
    }

    /// Renews a lease. A client whose own copy is newer is told that it is unknown: it registers again.
    pub(crate) fn renew(&self, app: &str, id: &str, dirty: Option<i64>, replication: bool) -> Result<(), Error> {
        let key = own_key(app, id);
        self.registrar.renew(&key)?;
        let Some(dirty) = dirty else { return Ok(()) };
        let Some(known) = self.registrar.instance(&key).and_then(|object| Known::of(&object.spec)) else {
            return Ok(());
        };
        if dirty > known.last_dirty {
            return Err(Error::NotFound(format!("{id} of {app} changed since it registered; register again")));
        }
        match self.entry(app, id) {
            Some(entry) if replication && dirty < known.last_dirty => Err(Error::Conflict(Box::new(entry.info()))),
            _ => Ok(()),
        }
    }

    /// Ends a registration.
    pub(crate) async fn cancel(&self, app: &str, id: &str) -> Result<(), Error> {
        self.registrar.deregister(&own_key(app, id)).await?;
        self.shown(app, id, |seen| seen.is_none()).await;
        Ok(())
    }

    /// Sets an administrator's override.
    pub(crate) async fn put_status(
        &self,
        app: &str,
        id: &str,
        word: InstanceStatus,
        dirty: Option<i64>,
    ) -> Result<(), Error> {
        let (key, now) = (self.registered(app, id)?, self.clock.now());
        let edit = |spec: &mut _| {
            translate::set_override(spec, word, now);
            translate::set_dirty(spec, dirty.unwrap_or(0));
        };
        let written = self.registrar.change_spec(&key, edit).await?;
        self.overrides.set(&key, id, word, Instant::now());
        // As a heartbeat; an instance of another dialect may have no lease.
        let _ = self.registrar.renew(&key);
        self.shown_as(app, id, &written).await;
        Ok(())
    }

    /// Takes an override back; the instance is then what it says of itself, or what the client says that it is.
    pub(crate) async fn delete_status(
        &self,
        app: &str,
        id: &str,
        status: Option<InstanceStatus>,
        dirty: Option<i64>,
    ) -> Result<(), Error> {
        let (key, now) = (self.registered(app, id)?, self.clock.now());
        let status = status.filter(|status| *status != InstanceStatus::Unknown);
        let edit = |spec: &mut _| {
            if let Some(status) = status {
                translate::set_reported(spec, status);
            }
            translate::set_override(spec, InstanceStatus::Unknown, now);
            translate::set_dirty(spec, dirty.unwrap_or(0));
        };
        let mut written = self.registrar.change_spec(&key, edit).await?;
        self.overrides.set(&key, id, InstanceStatus::Unknown, Instant::now());
        if let (Some(status), Some(_)) = (status, Known::of(&written.spec)) {
            written = self.say(&key, status).await?;
        }
        self.shown_as(app, id, &written).await;
        Ok(())
    }

    async fn put_metadata(&self, app: &str, id: &str, query: &Query) -> Result<(), Error> {
        let key = self.registered(app, id)?;
        let edit = |spec: &mut portolan_api::typed::ServiceInstanceSpec| {
            spec.metadata.extend(query.0.iter().cloned());
        };
        let written = self.registrar.change_spec(&key, edit).await?;
        self.shown_as(app, id, &written).await;
        Ok(())
    }

    /// The object of an instance, whichever dialect registered it.
    fn registered(&self, app: &str, id: &str) -> Result<Key, Error> {
        let own = own_key(app, id);
        if self.registrar.instance(&own).is_some() {
            return Ok(own);
        }
        match self.entry(app, id) {
            Some(entry) => entry.registered_as().ok_or_else(|| {
                Error::Forbidden(format!("{id} of {app} is a pod: its workload decides about it, nobody else"))
            }),
            // Registered a moment ago, perhaps; the API knows.
            None => Ok(own),
        }
    }

    fn status(&self) -> Response<Body> {
        let applications = self.tracker.lock().current().clone();
        json_answer(&json!({
            "generalStats": {
                "current-time": self.clock.now().to_string(),
                "registered-applications": applications.apps.len().to_string(),
                "hashcode": &*applications.hash,
            },
            // All servers answer from one store; there are no replicas that could be apart.
            "applicationStats": {"registered-replicas": "", "available-replicas": "", "unavailable-replicas": ""},
        }))
    }

    fn status_overrides(&self) -> Response<Body> {
        let mut words: Map<String, Value> = Map::new();
        for (id, word) in self.overrides.all(Instant::now()) {
            words.insert(id, word.as_str().into());
        }
        let applications: Applications = self.tracker.lock().current().clone();
        for entry in applications.sorted().into_iter().flat_map(|app| &app.instances) {
            let word = translate::overridden_status(&entry.source);
            if word != InstanceStatus::Unknown {
                words.insert(entry.source.id.to_string(), word.as_str().into());
            }
        }
        json_answer(&Value::Object(words))
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

/// The API's number of a version of an object.
fn revision(object: &ServiceInstance) -> u64 {
    object.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
}

/// What must be there, in the order and the words of Netflix's server.
fn check(app: &str, info: InstanceInfo) -> Result<InstanceInfo, Error> {
    let app = app.to_uppercase();
    let complaint = if info.instance_id.is_empty() {
        "Missing instanceId".to_owned()
    } else if info.host_name.is_empty() {
        "Missing hostname".to_owned()
    } else if info.ip_address.is_empty() {
        "Missing ip address".to_owned()
    } else if info.app.is_empty() {
        "Missing appName".to_owned()
    } else if info.app != app {
        format!("Mismatched appName, expecting {app} but was {}", info.app)
    } else {
        match &info.data_center {
            None => "Missing dataCenterInfo".to_owned(),
            Some(center) if center.name.is_empty() => "Missing dataCenterInfo Name".to_owned(),
            Some(_) => return Ok(info),
        }
    };
    Err(Error::BadRequest(complaint))
}

fn own_key(app: &str, id: &str) -> Key {
    Key::new(translate::NAMESPACE, translate::name(&app.to_uppercase(), id))
}

fn is_replication(request: &Request) -> bool {
    request.headers.get(REPLICATION).is_some_and(|value| value == "true")
}

/// The segments of a path, decoded; empty ones do not count.
fn segments(path: &str) -> Result<Vec<String>, Error> {
    let parts = path.split('/').filter(|part| !part.is_empty());
    parts
        .map(|part| percent_decode_str(part).decode_utf8().map(std::borrow::Cow::into_owned))
        .collect::<Result<_, _>>()
        .map_err(|_| Error::BadRequest("the path is not UTF-8".into()))
}

/// Reads a path and a query as a request would.
#[cfg(feature = "fuzzing")]
pub(crate) fn read_url(path: &str, query: &str) {
    let _ = segments(path);
    let query = Query::of(query);
    let _ = (query.dirty(), query.status());
}

/// What the headers ask for. XML is the default; anything that mentions JSON means it.
fn variant(request: &Request) -> Variant {
    let says = |name: header::HeaderName, word: &str| {
        let values = request.headers.get_all(name);
        values.iter().filter_map(|value| value.to_str().ok()).any(|value| value.to_ascii_lowercase().contains(word))
    };
    Variant {
        format: if says(header::ACCEPT, "json") { Format::Json } else { Format::Xml },
        view: if says(header::HeaderName::from_static(EUREKA_ACCEPT), "compact") { View::Compact } else { View::Full },
        gzip: says(header::ACCEPT_ENCODING, "gzip"),
    }
}

/// The parameters of a request.
struct Query(Vec<(String, String)>);

impl Query {
    fn of(query: &str) -> Self {
        Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    fn dirty(&self) -> Result<Option<i64>, Error> {
        match self.get("lastDirtyTimestamp") {
            // What Java writes for none.
            None | Some("null") => Ok(None),
            Some(value) => value
                .parse()
                .map(Some)
                .map_err(|_| Error::BadRequest(format!("lastDirtyTimestamp: {value} is not a number"))),
        }
    }

    fn status(&self) -> Result<Option<InstanceStatus>, Error> {
        let Some(value) = self.get("value") else { return Ok(None) };
        let status = InstanceStatus::parse(value);
        status.map(Some).ok_or_else(|| {
            Error::BadRequest(format!("value: {value} is not one of UP, DOWN, STARTING, OUT_OF_SERVICE, UNKNOWN"))
        })
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
    encoded(variant, if variant.gzip { answer::gzip(text.as_bytes()) } else { text.into() })
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

impl Entry {
    /// The object that it is, if it registered.
    fn registered_as(&self) -> Option<Key> {
        let registration = self.source.registration.as_ref()?;
        Some(Key::new(&*self.source.namespace, registration.name()))
    }
}
