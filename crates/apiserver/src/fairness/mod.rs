//! Priority and fairness: no client keeps the others waiting.
//!
//! Requests from parts of this process are not counted: they are the server's own work.

mod bootstrap;
mod flows;
mod level;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderValue, Response};
use parking_lot::Mutex;
use portolan_identity::User;
use portolan_store::{Revision, Store};

pub(crate) use bootstrap::objects;

use crate::authorization::followed::Followed;
use crate::body::Body;
use crate::request::Info;
use crate::status::Status;
use flows::{Asked, Flows};
use level::{Admission, Level, Seat};

/// Group of both kinds.
pub(crate) const GROUP: &str = "flowcontrol.apiserver.k8s.io";

/// How long a request waits for its turn, as upstream: a quarter of the time it has.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// How many requests run at a time in all levels together: upstream's two limits
/// (`--max-requests-inflight`, `--max-mutating-requests-inflight`) added up.
pub(crate) const REQUESTS: usize = 400 + 200;

/// Decides whose request runs when.
pub(crate) struct Fairness {
    flows: Followed<Flows>,
    total: usize,
    levels: Mutex<Levels>,
    refused: AtomicU64,
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
        for (name, uid) in [
            ("x-kubernetes-pf-flowschema-uid", &self.schema_uid),
            ("x-kubernetes-pf-prioritylevel-uid", &self.level_uid),
        ] {
            if let Ok(value) = HeaderValue::from_str(uid) {
                response.headers_mut().insert(name, value);
            }
        }
    }
}

impl Fairness {
    pub(crate) fn new(store: Arc<dyn Store>, total: usize) -> Self {
        let flows = Followed::new(store, flows::PREFIX);
        Self { flows, total, levels: Mutex::default(), refused: AtomicU64::new(0) }
    }

    /// Says that a flow or level was written at `revision`.
    pub(crate) fn expect(&self, revision: Revision) {
        self.flows.expect(revision);
    }

    /// Waits until it is a request's turn.
    pub(crate) async fn turn(
        &self,
        user: &User,
        verb: &str,
        path: &str,
        info: Option<&Info>,
    ) -> Result<Option<Turn>, Status> {
        self.flows.refresh().await?;
        let (mut turn, admission) = {
            let flows = self.flows.view();
            let asked = Asked { user, verb, path, info };
            let Some((schema, level)) = flows.classify(asked) else { return Ok(None) };
            let turn =
                Turn { schema_uid: schema.metadata.uid.clone(), level_uid: level.metadata.uid.clone(), _seat: None };
            if level.spec.r#type == "Exempt" {
                return Ok(Some(turn));
            }
            let Some(level) = self.level(&flows, &level.metadata.name) else { return Ok(Some(turn)) };
            (turn, level.admit(&(&schema.metadata.name, schema.distinguisher(asked))))
        };
        let seat = match admission {
            Admission::Now(seat) => Some(seat),
            Admission::Later(seat) => tokio::time::timeout(LONGEST_WAIT, seat).await.ok().and_then(Result::ok),
            Admission::Full => None,
        };
        let Some(seat) = seat else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(Status::too_many_requests("Too many requests, please try again later.", 1));
        };
        turn._seat = Some(seat);
        Ok(Some(turn))
    }

    /// A level at work, set up as the objects say now.
    fn level(&self, flows: &Flows, name: &str) -> Option<Arc<Level>> {
        let mut levels = self.levels.lock();
        if levels.generation != flows.generation || levels.by_name.is_empty() {
            levels.generation = flows.generation;
            self.configure(flows, &mut levels.by_name);
        }
        levels.by_name.get(name).cloned()
    }

    /// Shares the seats out in proportion.
    fn configure(&self, flows: &Flows, by_name: &mut HashMap<String, Arc<Level>>) {
        let limited = || flows.levels.values().filter(|level| level.spec.r#type == "Limited");
        let shares = |level: &flows::LevelObject| {
            usize::try_from(level.spec.limited.nominal_concurrency_shares.unwrap_or(30)).unwrap_or(usize::MAX)
        };
        let sum: usize = limited().map(shares).sum::<usize>().max(1);
        by_name.retain(|name, _| flows.levels.contains_key(name));
        for level in limited() {
            let seats = (self.total * shares(level)).div_ceil(sum);
            let response = &level.spec.limited.limit_response;
            let queuing = (response.r#type == "Queue").then_some(response.queuing);
            let at_work = by_name.entry(level.metadata.name.clone()).or_insert_with(Level::new);
            at_work.configure(seats, queuing);
        }
    }

    /// Figures as Prometheus text.
    pub(crate) fn metrics(&self, text: &mut String) {
        let levels = self.levels.lock();
        let mut names: Vec<_> = levels.by_name.iter().map(|(name, level)| (name, level.figures())).collect();
        names.sort_by_key(|(name, _)| (*name).clone());
        for (metric, help, value) in [
            (
                "apiserver_flowcontrol_nominal_limit_seats",
                "Seats of a priority level.",
                (|figures| figures.limit) as fn(&level::Figures) -> usize,
            ),
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
