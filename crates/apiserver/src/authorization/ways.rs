//! Those who decide, as they are set up now.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::RwLock;
use portolan_base::Timestamp;
use portolan_identity::User;

use super::webhook::AccessReviewer;
use super::{Action, Authorization, Authorizer, Decision, Mode, NamedMode, Rule, configuration, node};
use crate::configuration::{Invalid, aggregate};
use crate::followed_file::{FollowedFile, Kubeconfigs};
use crate::metrics::{Authorizations, Decided};
use crate::outgoing::Unusable;
use crate::server::Server;

/// A way to decide, set up.
#[derive(Debug)]
pub(super) struct Way {
    name: String,
    kind: Kind,
    decided: Arc<Decided>,
}

#[derive(Debug)]
enum Kind {
    AlwaysAllow,
    AlwaysDeny,
    Node,
    Rbac,
    Webhook(Box<AccessReviewer>),
}

/// All ways, in order.
#[derive(Debug)]
pub(crate) struct Ways {
    current: RwLock<Arc<[Way]>>,
    source: Option<Source>,
}

/// What somebody is allowed.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    pub(crate) rules: Vec<Rule>,
    /// Who decides and cannot list what he allows.
    pub(crate) unlisted: Vec<String>,
    /// What could not be found.
    pub(crate) lost: Vec<String>,
}

/// The file that says which ways there are.
#[derive(Debug)]
struct Source {
    file: FollowedFile,
    kubeconfigs: Kubeconfigs,
    /// What is built in stays: it is set up with the server.
    built_in: Vec<&'static str>,
}

impl Ways {
    pub(crate) fn new(settings: Authorization, metrics: &Authorizations) -> Result<Self, Unusable> {
        let source = settings.file.map(|(file, kubeconfigs)| Source {
            file: FollowedFile::new(file, "authorization"),
            kubeconfigs,
            built_in: built_in(&settings.modes),
        });
        Ok(Self { current: RwLock::new(set_up(settings.modes, metrics)?), source })
    }

    /// The ways there are now.
    pub(super) fn current(&self) -> Arc<[Way]> {
        self.current.read().clone()
    }

    /// What all together allow a user in a namespace, as far as each can list it.
    pub(crate) fn rules(&self, authorizer: &Authorizer, user: &User, namespace: &str) -> Listed {
        let mut listed = Listed::default();
        for way in self.current().iter() {
            match way.kind {
                Kind::AlwaysAllow => listed.rules.extend(Rule::everything()),
                Kind::AlwaysDeny => {}
                Kind::Node if node::name(user).is_none() => {}
                Kind::Node => listed.unlisted.push("node authorizer does not support user rule resolution".into()),
                Kind::Rbac => {
                    let (rules, lost) = authorizer.rules(user, namespace);
                    listed.rules.extend(rules);
                    listed.lost.extend(aggregate(lost).err().map(|lost| lost.to_string()));
                }
                Kind::Webhook(_) => {
                    listed.unlisted.push("webhook authorizer does not support user rule resolution".into());
                }
            }
        }
        listed
    }

    /// The file that they were read from.
    pub(crate) fn file(&self) -> Option<&FollowedFile> {
        self.source.as_ref().map(|source| &source.file)
    }

    /// Takes over what the file says now. One that cannot be used changes nothing.
    pub(crate) async fn reload(&self, metrics: &Authorizations, now: Timestamp) {
        let Some(source) = &self.source else { return };
        let text = match source.file.changed().await {
            Ok(Some(text)) => text,
            Ok(None) => return,
            Err(error) => return source.file.refused(now, &error.to_string()),
        };
        let ways = source.read(&text).map_err(|error| error.to_string());
        match ways.and_then(|modes| set_up(modes, metrics).map_err(|error| error.to_string())) {
            Ok(ways) => {
                *self.current.write() = ways;
                source.file.taken_over(now);
            }
            Err(why) => source.file.refused(now, &why),
        }
    }
}

impl Source {
    fn read(&self, text: &str) -> Result<Vec<NamedMode>, Invalid> {
        let modes = configuration::parse(text, &self.kubeconfigs)?;
        let found = built_in(&modes);
        let missing: Vec<&str> = self.built_in.iter().filter(|kind| !found.contains(kind)).copied().collect();
        if !missing.is_empty() {
            return Err(Invalid(format!("missing required types: [{}]", missing.join(" "))));
        }
        let is_new = |kind: &&&str| matches!(**kind, "Node" | "RBAC") && !self.built_in.contains(*kind);
        match found.iter().find(is_new) {
            Some(kind) => Err(Invalid(format!(
                "authorizer type {kind} is not allowed if it was not enabled at initial server startup"
            ))),
            None => Ok(modes),
        }
    }
}

fn built_in(modes: &[NamedMode]) -> Vec<&'static str> {
    let mut kinds: Vec<&'static str> =
        modes.iter().map(|named| named.mode.kind()).filter(|kind| *kind != "Webhook").collect();
    kinds.sort_unstable();
    kinds
}

fn set_up(modes: Vec<NamedMode>, metrics: &Authorizations) -> Result<Arc<[Way]>, Unusable> {
    let ways = modes.into_iter().map(|NamedMode { name, mode }| {
        let decided = metrics.of(mode.kind(), &name);
        let kind = match mode {
            Mode::AlwaysAllow => Kind::AlwaysAllow,
            Mode::AlwaysDeny => Kind::AlwaysDeny,
            Mode::Node => Kind::Node,
            Mode::Rbac => Kind::Rbac,
            Mode::Webhook(settings) => Kind::Webhook(Box::new(AccessReviewer::new(*settings)?)),
        };
        Ok(Way { name, kind, decided })
    });
    ways.collect()
}

impl Way {
    /// What it decides; nothing if it would have to be asked over the network.
    pub(super) fn decide_now(&self, server: &Server, user: &User, action: Action<'_>) -> Option<Decision> {
        let decision = match (&self.kind, action) {
            (Kind::Webhook(_), _) => return None,
            (Kind::Node, Action::Resource(info)) => node::decide(&server.authorizer, user, info),
            (Kind::Node, Action::Path { .. }) => Decision::NoOpinion(String::new()),
            (Kind::Rbac, _) => server.authorizer.decide(user, action),
            (Kind::AlwaysAllow, _) => Decision::Allowed(String::new()),
            (Kind::AlwaysDeny, _) => Decision::NoOpinion("Everything is forbidden.".into()),
        };
        Some(self.counted(decision))
    }

    /// What it decides, however long that takes.
    pub(super) async fn decide(&self, server: &Server, user: &User, action: Action<'_>) -> Decision {
        if let Kind::Webhook(webhook) = &self.kind {
            let (metrics, now) = (&server.metrics.authorizations, server.config.clock.now());
            return self.counted(Box::pin(webhook.decide(&self.name, metrics, user, action, now)).await);
        }
        self.decide_now(server, user, action).unwrap_or_else(|| Decision::NoOpinion(String::new()))
    }

    fn counted(&self, decision: Decision) -> Decision {
        match &decision {
            Decision::Allowed(_) => drop(self.decided.allowed.fetch_add(1, Ordering::Relaxed)),
            decision if decision.is_denied() => drop(self.decided.denied.fetch_add(1, Ordering::Relaxed)),
            _ => {}
        }
        decision
    }
}
