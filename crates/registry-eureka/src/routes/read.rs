//! Answers about applications and instances.

use std::sync::Arc;

use http::Response;
use portolan_registrar::http::{Body, Request};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::{Eureka, Same, encoded, json_answer, packed, text_answer};
use crate::answer::{self, Variant};
use crate::track::{Applications, Entry};
use crate::wire::{InstanceInfo, InstanceStatus, server_status};
use crate::{Error, translate};

/// The name by which a client identifies itself.
const CLIENT_NAME: &str = "discoveryidentity-name";

impl Eureka {
    pub(super) fn may_fetch(&self, request: &Request, full: bool) -> Result<(), Error> {
        let client = request.headers.get(CLIENT_NAME).and_then(|value| value.to_str().ok());
        match &self.limiter {
            Some(limiter) if !limiter.allows(full, client, Instant::now()) => Err(Error::TooMany),
            _ => Ok(()),
        }
    }

    pub(super) async fn all(&self, request: &Request, variant: Variant) -> Result<Response<Body>, Error> {
        self.may_fetch(request, true)?;
        let applications = self.tracker.lock().current().clone();
        let state = (applications.version, 0);
        let make = move || answer::all(&applications, variant);
        Ok(encoded(variant, self.full.get(state, variant, make).await))
    }

    pub(super) async fn changed(&self, request: &Request, variant: Variant) -> Result<Response<Body>, Error> {
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

    pub(super) fn application(&self, request: &Request, app: &str, variant: Variant) -> Result<Response<Body>, Error> {
        self.may_fetch(request, false)?;
        let app = app.to_uppercase();
        let applications = self.tracker.lock().current().clone();
        match applications.apps.get(app.as_str()) {
            Some(found) => {
                let make = || packed(variant, answer::application(found, variant));
                let state = Same(Arc::downgrade(found));
                Ok(encoded(variant, self.single.get((found.name.clone(), variant), state, make)))
            }
            None => Err(Error::NotFound(format!("there is no application {app}"))),
        }
    }

    pub(super) fn instance(&self, app: &str, id: &str, variant: Variant) -> Result<Response<Body>, Error> {
        match self.entry(app, id) {
            Some(entry) => Ok(text_answer(variant, answer::instance(&self.with_lease(&entry), variant))),
            None => Err(Error::NotFound(format!("there is no instance {id} of {app}"))),
        }
    }

    pub(super) fn instance_by_id(&self, id: &str, variant: Variant) -> Result<Response<Body>, Error> {
        let applications = self.tracker.lock().current().clone();
        match applications.sorted().into_iter().find_map(|app| app.instance(id)) {
            Some(entry) => Ok(text_answer(variant, answer::instance(&self.with_lease(entry), variant))),
            None => Err(Error::NotFound(format!("there is no instance {id}"))),
        }
    }

    pub(super) fn virtual_address(&self, address: &str, secure: bool, variant: Variant) -> Response<Body> {
        let applications = self.tracker.lock().current().clone();
        text_answer(variant, answer::virtual_address(&applications, address, secure, variant))
    }

    /// The instance with the time of its last heartbeat, which lists leave out: it changes all the time.
    pub(super) fn with_lease(&self, entry: &Entry) -> InstanceInfo {
        let mut info = entry.info();
        if let Some(remaining) = entry.registered_as().and_then(|key| self.registrar.lease_remaining(&key)) {
            let ago = i64::from(info.lease.duration_seconds) * 1000 - i64::try_from(remaining.as_millis()).unwrap_or(0);
            info.lease.renewed = self.clock.now().as_millisecond() - ago.max(0);
        }
        info
    }

    /// The server itself; XML unless JSON is asked for, like all answers.
    pub(super) fn status(&self, variant: Variant) -> Response<Body> {
        let applications = self.tracker.lock().current().clone();
        let minutes = self.started.elapsed().as_secs() / 60;
        let days = match minutes / (24 * 60) {
            0 => String::new(),
            1 => "1 day ".to_owned(),
            days => format!("{days} days "),
        };
        let general = [
            ("num-of-cpus", std::thread::available_parallelism().map_or(1, |cpus| cpus.get()).to_string()),
            ("server-uptime", format!("{days}{:02}:{:02}", minutes / 60 % 24, minutes % 60)),
            ("current-time", self.clock.now().to_string()),
            ("registered-applications", applications.apps.len().to_string()),
            ("hashcode", applications.hash.to_string()),
        ];
        // All servers answer from one store; there are no replicas that could be apart.
        let replicas = ["registered-replicas", "available-replicas", "unavailable-replicas"];
        let replicas = replicas.map(|name| (name, String::new()));
        text_answer(
            variant,
            server_status(&[("generalStats", &general), ("applicationStats", &replicas)], variant.format),
        )
    }

    pub(super) fn status_overrides(&self) -> Response<Body> {
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
