//! What all handlers share.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;
use portolan_api::typed::{CheckType, HealthCheck};
use portolan_base::{Clock, Shutdown};
use portolan_catalog::Snapshot;
use portolan_client::Client;
use portolan_registrar::access::Caller;
use portolan_registrar::http::Request;
use portolan_registrar::limits::Limiter;
use portolan_registrar::{Changes, Registrar};
use tokio::sync::Notify;

use crate::acl::{Acl, Authorizer};
use crate::coordinate::Coordinates;
use crate::event::Events;
use crate::machine::Machines;
use crate::monitor::Log;
use crate::parameters::Parameters;
use crate::requests::Requests;
use crate::session::keeper::Keeper;
use crate::space::Space;
use crate::view::Views;
use crate::{Error, ScriptChecks, txn};

/// Who this agent is.
pub(crate) struct Identity {
    /// Node that it stands for.
    pub(crate) node: Arc<str>,
    /// Datacenter.
    pub(crate) datacenter: Arc<str>,
    /// Version that it reports.
    pub(crate) version: String,
    /// Where it listens.
    pub(crate) addresses: Vec<SocketAddr>,
}

/// What all handlers share.
pub(crate) struct State {
    pub(crate) registrar: Arc<Registrar>,
    pub(crate) changes: Changes,
    pub(crate) client: Client,
    /// Keys, sessions, tokens and prepared queries.
    pub(crate) space: Space,
    pub(crate) sessions: Keeper,
    pub(crate) acl: Acl,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) identity: Identity,
    /// What each client may have.
    pub(crate) limiter: Arc<Limiter>,
    /// Long polls end with it.
    pub(crate) shutdown: Shutdown,
    /// Encoded answers.
    pub(crate) views: Views,
    /// Tells of changes of machines, which are part of the answers about all services.
    pub(crate) machines_changed: Notify,
    /// User events fired here.
    pub(crate) events: Events,
    /// Coordinates reported here.
    pub(crate) coordinates: Coordinates,
    /// Transactions that write objects.
    pub(crate) transactions: txn::Queue,
    /// What was asked for so far.
    pub(crate) requests: Requests,
    /// The log of this process.
    pub(crate) log: Option<Log>,
    scripts: ScriptChecks,
    machines: Mutex<Option<Arc<Machines>>>,
}

impl State {
    #[expect(clippy::too_many_arguments, reason = "made in one place; a struct of inputs would be this one again")]
    pub(crate) fn new(
        registrar: Arc<Registrar>,
        changes: Changes,
        client: Client,
        (space, acl): (Space, Acl),
        clock: Arc<dyn Clock>,
        identity: Identity,
        limiter: Arc<Limiter>,
        shutdown: Shutdown,
    ) -> Self {
        Self {
            registrar,
            changes,
            client,
            space,
            sessions: Keeper::default(),
            acl,
            clock,
            identity,
            limiter,
            shutdown,
            views: Views::default(),
            machines_changed: Notify::new(),
            events: Events::default(),
            coordinates: Coordinates::default(),
            transactions: txn::Queue::default(),
            requests: Requests::default(),
            log: None,
            scripts: ScriptChecks::Refused,
            machines: Mutex::default(),
        }
    }

    /// Shows this log.
    pub(crate) fn with_log(mut self, log: Option<Log>) -> Self {
        self.log = log;
        self
    }

    /// Takes checks that run commands, or not.
    pub(crate) fn with_scripts(mut self, scripts: ScriptChecks) -> Self {
        self.scripts = scripts;
        self
    }

    /// Refuses checks that the node of this agent would not run.
    pub(crate) fn refuse_scripts<'a>(&self, checks: impl IntoIterator<Item = &'a HealthCheck>) -> Result<(), Error> {
        let runs = |check: &HealthCheck| check.r#type == CheckType::Script;
        if self.scripts == ScriptChecks::Refused && checks.into_iter().any(runs) {
            let words = "Scripts are disabled on this agent from remote calls; to enable, configure \
                'enable_script_checks' to true";
            return Err(Error::Internal(words.into()));
        }
        Ok(())
    }

    /// The machines of a snapshot; made anew only when one of them changed.
    pub(crate) fn machines(&self, snapshot: &Snapshot) -> Arc<Machines> {
        let mut machines = self.machines.lock();
        match &*machines {
            Some(known) if known.index() == snapshot.nodes_index() => known.clone(),
            _ => {
                let made = Arc::new(Machines::of(snapshot, &self.identity));
                *machines = Some(made.clone());
                made
            }
        }
    }

    /// Tells those who wait of changes of machines, until shutdown is requested.
    pub(crate) async fn follow_machines(&self) {
        let mut snapshots = self.changes.snapshots();
        let mut seen = snapshots.borrow_and_update().nodes_index();
        while matches!(self.shutdown.run(snapshots.changed()).await, Some(Ok(()))) {
            let newest = snapshots.borrow_and_update().nodes_index();
            if newest != seen {
                seen = newest;
                self.machines_changed.notify_waiters();
            }
        }
    }

    /// The newest snapshot of the catalog.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.changes.current()
    }
}

/// Port of Consul's servers among themselves. Nothing listens there; clients show it to people.
pub(crate) const SERVER_PORT: u16 = 8300;

impl State {
    /// What the bearer of a request may do: the one question to ask before answering.
    pub(crate) async fn authorizer(
        &self,
        request: &Request,
        parameters: &Parameters,
    ) -> Result<Arc<Authorizer>, Error> {
        if let Caller::Known(_) = request.caller {
            // The cluster said what they may, before anything else was asked.
            return Ok(self.acl.everything());
        }
        self.acl.authorizer(&self.space, request, parameters).await
    }

    /// Refuses namespaces and partitions other than the one that everything is in.
    pub(crate) fn refuse_tenancy(&self, request: &Request, parameters: &Parameters) -> Result<(), Error> {
        let tenancy = [("ns", "X-Consul-Namespace", "Namespaces"), ("partition", "X-Consul-Partition", "Partitions")];
        for (parameter, header, what) in tenancy {
            let said = request.headers.get(header).and_then(|value| value.to_str().ok());
            let place = match (parameters.text(parameter), said) {
                (None | Some("default"), None | Some("" | "default")) => continue,
                (None | Some("default"), Some(_)) => format!("header: {header:?}"),
                (Some(_), _) => format!("query parameter: {parameter:?}"),
            };
            return Err(Error::BadRequest(format!("Invalid {place} - {what} are a Consul Enterprise feature")));
        }
        Ok(())
    }

    /// Refuses what is meant for another datacenter.
    pub(crate) fn check_datacenter(&self, parameters: &Parameters) -> Result<(), Error> {
        match parameters.text("dc") {
            Some(name) if name != &*self.identity.datacenter => {
                Err(Error::Internal("No path to datacenter".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Whether a machine is a node of the cluster, or the agent's own: what is said of it in a registration is not
    /// taken, since the cluster says it.
    pub(crate) fn is_of_cluster(&self, node: &str) -> bool {
        node == &*self.identity.node || self.snapshot().node(node).is_some()
    }

    /// The name of a machine as it is written there, whose case does not count.
    pub(crate) fn node_name(&self, name: &str) -> String {
        self.machines(&self.snapshot()).get(name).map_or_else(|| name.to_owned(), |machine| machine.name.to_string())
    }

    /// Address of this machine as other machines reach it: that of its node, else where it listens.
    pub(crate) fn address(&self) -> String {
        let node = self.snapshot().node(&self.identity.node).and_then(|node| node.addresses.first().copied());
        let listens = || self.identity.addresses.first().map(|address| address.ip());
        node.or_else(listens).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)).to_string()
    }

    /// Where Consul's servers would talk to each other.
    pub(crate) fn server_address(&self) -> String {
        format!("{}:{SERVER_PORT}", self.address())
    }
}
