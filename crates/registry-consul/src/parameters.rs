//! Query parameters.

use std::time::Duration;

use portolan_base::go::parse_bool;
use portolan_registrar::http::Request;

use crate::Error;
use crate::state::State;

/// A long poll that names no time waits this long.
const DEFAULT_WAIT: Duration = Duration::from_secs(5 * 60);
/// No long poll waits longer, but for the spread.
const LONGEST_WAIT: Duration = Duration::from_secs(10 * 60);

/// The query of a request, decoded.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Decodes the query of a request.
    pub(crate) fn of(request: &Request) -> Self {
        Self::parse(request.query())
    }

    pub(crate) fn parse(query: &str) -> Self {
        Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// The first value of a parameter; `""` counts.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The first value of a parameter, if it is not empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// All values of a parameter.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All parameters in the order of the query.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether a parameter is there, whatever its value.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// A switch: there without a value means on.
    pub(crate) fn switch(&self, name: &str) -> Result<bool, Error> {
        match self.get(name) {
            None => Ok(false),
            Some("") => Ok(true),
            Some(value) => {
                parse_bool(value).ok_or_else(|| Error::BadRequest(format!("Invalid value for ?{name}: {value}")))
            }
        }
    }
}

/// How fresh an answer must be. Here every answer comes from the one copy in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Consistency {
    /// What the leader knows.
    #[default]
    Leader,
    /// What any server knows.
    Stale,
    /// What the leader knows after it made sure that it is one.
    Consistent,
}

impl Consistency {
    /// The word in the header of the answer.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Stale => "stale",
            Self::Consistent => "consistent",
        }
    }
}

/// What most requests that read have in common.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReadOptions {
    /// Index that the client has seen; 0 means it does not wait.
    pub(crate) index: u64,
    /// How long it waits, spread included.
    pub(crate) wait: Duration,
    /// Hash of the content that the client has seen.
    pub(crate) hash: Option<String>,
    /// How fresh the answer must be.
    pub(crate) consistency: Consistency,
    /// Filter expression; empty means all.
    pub(crate) filter: String,
    /// Whether the answer is indented.
    pub(crate) pretty: bool,
    /// Whether a cached answer is welcome.
    pub(crate) cached: bool,
    /// Node near which answers are wanted first.
    pub(crate) near: Option<String>,
}

impl ReadOptions {
    /// Reads them off a request; the datacenter must be this one.
    pub(crate) fn of(state: &State, request: &Request, parameters: &Parameters) -> Result<Self, Error> {
        state.check_datacenter(parameters)?;
        Self::parse(request, parameters)
    }

    fn parse(request: &Request, parameters: &Parameters) -> Result<Self, Error> {
        let index = match parameters.text("index") {
            None => 0,
            Some(text) => text.parse().map_err(|_| Error::BadRequest("Invalid index".into()))?,
        };
        let wait = match parameters.text("wait") {
            None => DEFAULT_WAIT,
            Some(text) => {
                match crate::duration::parse(text).map_err(|_| Error::BadRequest("Invalid wait time".into()))? {
                    Duration::ZERO => DEFAULT_WAIT,
                    wait => wait.min(LONGEST_WAIT),
                }
            }
        };
        let consistency = match (parameters.has("stale"), parameters.has("consistent")) {
            (true, true) => {
                let text = "Cannot specify ?stale with ?consistent, conflicting semantics.";
                return Err(Error::BadRequest(text.into()));
            }
            (true, false) => Consistency::Stale,
            (false, true) => Consistency::Consistent,
            (false, false) => Consistency::Leader,
        };
        let cached = parameters.has("cached");
        if cached && consistency == Consistency::Consistent {
            let text = "Cannot specify ?cached with ?consistent, conflicting semantics.";
            return Err(Error::BadRequest(text.into()));
        }
        if let Some(text) = parameters.text("max_stale") {
            crate::duration::parse(text)
                .map_err(|error| Error::BadRequest(format!("Invalid max_stale value {text:?}: {error}")))?;
        }
        let near = parameters.text("near").map(|near| match near {
            // The address that asks; its place is not known, so the agent's node stands for it.
            "_ip" => request.peer.to_string(),
            near => near.to_owned(),
        });
        Ok(Self {
            index,
            wait: spread(wait),
            hash: parameters.text("hash").map(str::to_owned),
            consistency,
            filter: parameters.get("filter").unwrap_or_default().to_owned(),
            pretty: parameters.has("pretty"),
            cached,
            near,
        })
    }
}

/// Adds up to a sixteenth, so that polls that began together do not all end together.
fn spread(wait: Duration) -> Duration {
    wait + wait.mul_f64(rand::random::<f64>() / 16.0)
}
