//! Priority and fairness: no client keeps the others waiting.
//!
//! Requests from parts of this process are not counted: they are the server's own work.

mod bootstrap;
mod dangling;
mod dump;
mod flows;
mod level;
mod requests;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderName, HeaderValue, Response, header};
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use portolan_base::Clock;
use portolan_identity::User;
use portolan_store::{Revision, Store};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub(crate) use bootstrap::{PRODUCER, mandatory, objects, revised};
pub(crate) use dump::{DETAILS, LEVELS_PATH, QUEUES_PATH, REQUESTS_PATH};

use crate::authorization::followed::Followed;
use crate::body::Body;
use crate::request::Info;
use crate::server::{self, Server};
use crate::{respond, rounds};
use flows::{Asked, Flows};
use level::{Admission, End, Level, Limit, Seat};
use requests::Request;

/// Group of both kinds.
pub(crate) const GROUP: &str = "flowcontrol.apiserver.k8s.io";

/// How long a request waits for its turn, as upstream: a quarter of the time it has.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// How often the flows and levels that every cluster has are looked after, as upstream.
const ROUND: Duration = Duration::from_secs(60);

/// How many requests run at a time in all levels together: upstream's two limits
/// (`--max-requests-inflight`, `--max-mutating-requests-inflight`) added up.
pub(crate) const REQUESTS: usize = 400 + 200;

/// What a request was counted as, for who looks into it.
static SCHEMA_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");
static LEVEL_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");

/// Decides whose request runs when.
pub(crate) struct Fairness {
    flows: Followed<Flows>,
    total: usize,
    levels: RwLock<Levels>,
    refused: AtomicU64,
    /// Called when a flow or level was written.
    changed: Notify,
}

/// A request that waits; what became of it is noted when it no longer does, which may be because it is gone.
struct Waiting<'a> {
    level: &'a Level,
    id: u64,
    end: End,
    clock: &'a dyn Clock,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.level.ended(self.id, self.end, self.clock.now());
    }
}

#[derive(Default)]
struct Levels {
    /// Of the objects from which `by_name` was made.
    generation: u64,
    by_name: HashMap<String, Arc<Level>>,
}

/// What a request was counted as.
#[derive(Debug)]
pub(crate) struct Turn {
    schema_uid: String,
    level_uid: String,
    /// Held while the request runs.
    _seat: Option<Seat>,
}

impl Turn {
    /// Tells the client what its request was counted as.
    pub(crate) fn mark(&self, response: &mut Response<Body>) {
        for (name, uid) in [(&SCHEMA_UID, &self.schema_uid), (&LEVEL_UID, &self.level_uid)] {
            if let Ok(value) = HeaderValue::from_str(uid) {
                response.headers_mut().insert(name, value);
            }
        }
    }
}

impl Turn {
    /// The text that upstream's filter gives; no object.
    fn refused(&self) -> Response<Body> {
        let mut response = server::text(429, "Too many requests, please try again later.\n");
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        self.mark(&mut response);
        response
    }
}

/// Brings back what is missing of the flows and levels that every cluster has, and tells of all flows whether their
/// levels are there, again and again until `stop`.
pub(crate) async fn keep(server: Arc<Server>, stop: CancellationToken) {
    let telling = async {
        let Some(fairness) = &server.fairness else { return };
        let next = async || {
            dangling::tell(&server, fairness).await;
            // What other servers write is noticed later.
            let _ = tokio::time::timeout(ROUND, fairness.changed.notified()).await;
        };
        while stop.run_until_cancelled(next()).await.is_some() {}
    };
    let keeping = rounds::every(&stop, ROUND, || async {
        if let Err(error) = crate::bootstrap::flows(&server).await {
            tracing::warn!(%error, "the flows of the cluster could not be kept");
        }
    });
    tokio::join!(keeping, telling);
}

impl Fairness {
    pub(crate) fn new(store: Arc<dyn Store>, total: usize) -> Self {
        let flows = Followed::new(store, flows::PREFIX);
        Self { flows, total, levels: RwLock::default(), refused: AtomicU64::new(0), changed: Notify::new() }
    }

    /// Says that a flow or level was written at `revision`.
    pub(crate) fn expect(&self, revision: Revision) {
        self.flows.expect(revision);
        self.changed.notify_one();
    }

    /// Waits until it is a request's turn.
    pub(crate) async fn turn(
        &self,
        user: &User,
        verb: &str,
        path: &str,
        info: Option<&Info>,
        clock: &dyn Clock,
    ) -> Result<Option<Turn>, Box<Response<Body>>> {
        self.flows.refresh().await.map_err(|status| Box::new(respond::status(&status)))?;
        let (mut turn, admission, level) = {
            let flows = self.flows.view();
            let asked = Asked { user, verb, path, info };
            let Some((schema, level)) = flows.classify(asked) else { return Ok(None) };
            let turn =
                Turn { schema_uid: schema.metadata.uid.clone(), level_uid: level.metadata.uid.clone(), _seat: None };
            let Some(level) = self.levels(&flows).by_name.get(&level.metadata.name).cloned() else {
                return Ok(Some(turn));
            };
            let flow = (&*schema.metadata.name, schema.distinguisher(asked));
            let request = Request::new(&flow, asked, clock.now());
            (turn, level.admit(&flow, request), level)
        };
        let seat = match admission {
            Admission::Now(seat) => Some(seat),
            Admission::Later(id, seat) => {
                let mut waiting = Waiting { level: &level, id, end: End::Cancelled, clock };
                let seat = tokio::time::timeout(LONGEST_WAIT, seat).await.ok().and_then(Result::ok);
                waiting.end = if seat.is_some() { End::Dispatched } else { End::TimedOut };
                seat
            }
            Admission::Full => None,
        };
        let Some(seat) = seat else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(Box::new(turn.refused()));
        };
        turn._seat = Some(seat);
        Ok(Some(turn))
    }

    /// The levels at work, set up as the objects say now.
    ///
    /// Every request asks for them, so that nobody may keep the others waiting here.
    fn levels(&self, flows: &Flows) -> RwLockReadGuard<'_, Levels> {
        let is_current = |levels: &Levels| levels.generation == flows.generation && !levels.by_name.is_empty();
        let levels = self.levels.read();
        if is_current(&levels) {
            return levels;
        }
        drop(levels);
        let mut levels = self.levels.write();
        if !is_current(&levels) {
            levels.generation = flows.generation;
            self.configure(flows, &mut levels.by_name);
        }
        RwLockWriteGuard::downgrade(levels)
    }

    /// Shares the seats out in proportion. Levels that limit nothing may have a share as well, which others then lack.
    fn configure(&self, flows: &Flows, by_name: &mut HashMap<String, Arc<Level>>) {
        let is_exempt = |level: &flows::LevelObject| level.spec.r#type == "Exempt";
        let shares = |level: &flows::LevelObject| {
            let shares = if is_exempt(level) {
                level.spec.exempt.nominal_concurrency_shares.unwrap_or(0)
            } else {
                level.spec.limited.nominal_concurrency_shares.unwrap_or(30)
            };
            usize::try_from(shares).unwrap_or(usize::MAX)
        };
        let sum: usize = flows.levels.values().map(shares).sum::<usize>().max(1);
        by_name.retain(|name, _| flows.levels.contains_key(name));
        for level in flows.levels.values() {
            let seats = (self.total * shares(level)).div_ceil(sum);
            let response = &level.spec.limited.limit_response;
            let limit = match (is_exempt(level), &*response.r#type) {
                (true, _) => Limit::None { nominal: seats },
                (false, "Queue") => Limit::Queue(seats, response.queuing),
                (false, _) => Limit::Reject(seats),
            };
            let at_work = by_name.entry(level.metadata.name.clone()).or_insert_with(Level::new);
            at_work.configure(limit);
        }
    }

    /// Figures as Prometheus text.
    pub(crate) fn metrics(&self, text: &mut String) {
        let levels = self.levels.read();
        let mut names: Vec<_> = levels.by_name.iter().map(|(name, level)| (name, level.figures())).collect();
        names.sort_by_key(|(name, _)| (*name).clone());
        for (metric, help, value) in [
            (
                "apiserver_flowcontrol_nominal_limit_seats",
                "Seats of a priority level.",
                (|figures| figures.limit) as fn(&level::Figures) -> usize,
            ),
            // Nobody borrows seats of others.
            ("apiserver_flowcontrol_current_limit_seats", "Seats that a priority level may use now.", |figures| {
                figures.limit
            }),
            ("apiserver_flowcontrol_current_executing_requests", "Requests that run.", |figures| figures.running),
            ("apiserver_flowcontrol_current_inqueue_requests", "Requests that wait.", |figures| figures.waiting),
        ] {
            // Writing to a `String` cannot fail.
            let _ = writeln!(text, "# HELP {metric} {help}\n# TYPE {metric} gauge");
            for (name, figures) in &names {
                let _ = writeln!(text, "{metric}{{priority_level=\"{name}\"}} {}", value(figures));
            }
        }
        let metric = "apiserver_flowcontrol_rejected_requests_total";
        let refused = self.refused.load(Ordering::Relaxed);
        let _ =
            writeln!(text, "# HELP {metric} Requests that were refused.\n# TYPE {metric} counter\n{metric} {refused}");
    }
}
