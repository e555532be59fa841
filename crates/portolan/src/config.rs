//! What can be configured.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use portolan_apiserver::Network;
use portolan_registrar::PartitionPolicy;
use portolan_registrar::limits::Limits;
use portolan_registry_consul::{AclConfig, DefaultPolicy};
use portolan_runtime::cri::CriRuntime;

use crate::access_options::{AccessOptions, absolute};
use crate::consul_options::ConsulOptions;
use crate::folders::Folders;
use crate::service_account_options::ServiceAccountOptions;

/// Settings of a node: what `portolan server` and `portolan agent` have in common.
#[derive(Debug, Clone, Args)]
pub(crate) struct NodeOptions {
    #[command(flatten)]
    pub(crate) folders: Folders,
    /// Address that others reach this machine by [default: that of the default route, or else the gateway of its pods].
    #[arg(long)]
    pub(crate) advertise: Option<IpAddr>,
    /// Port of the node agent's API.
    #[arg(long, default_value_t = 10250)]
    pub(crate) agent_port: u16,
    /// Name of this node [default: the host name].
    #[arg(long)]
    pub(crate) node_name: Option<String>,
    /// Addresses of this node's pods.
    #[arg(long, default_value = "10.42.0.0/24")]
    pub(crate) pod_cidr: String,
    /// Addresses of services.
    #[arg(long, default_value = "10.43.0.0/16")]
    pub(crate) service_cidr: String,
    /// Addresses of load balancers.
    #[arg(long, default_value = "10.44.0.0/24")]
    pub(crate) load_balancer_cidr: String,
    /// Address of the cluster's name service.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::new(10, 43, 0, 10)))]
    pub(crate) cluster_dns: IpAddr,
    /// Domain of the cluster.
    #[arg(long, default_value = "cluster.local")]
    pub(crate) cluster_domain: String,
    /// Where names are answered for programs outside of pods, over UDP and TCP, or `off`; opening it to other machines
    /// shows them all names.
    #[arg(long, default_value = "127.0.0.1:8600", value_name = "ADDRESS")]
    pub(crate) dns_listen: DialectAddress,
    /// Network, such as `192.0.2.0/24`, for whose machines names outside of the cluster are asked too; by default that is
    /// done for this machine and pods only, and others are refused.
    #[arg(long, value_name = "NETWORK")]
    pub(crate) dns_recursion_from: Vec<String>,
    #[command(flatten)]
    pub(crate) consul: ConsulOptions,
    /// Socket of an external container runtime instead of a private containerd.
    #[arg(long)]
    pub(crate) runtime_endpoint: Option<PathBuf>,
    /// Registries that are asked over plain HTTP, for example `localhost:5000`.
    #[arg(long)]
    pub(crate) insecure_registry: Vec<String>,
    /// What must be left on this node, or pods make room: for example `memory.available<100Mi,nodefs.available<5%`;
    /// empty for nothing [default: memory.available<100Mi, and of disks 10% (images 15%) but at most 10Gi].
    #[arg(long, value_name = "THRESHOLDS")]
    pub(crate) eviction_hard: Option<String>,
    /// Lets health checks of registered instances run commands on this node: whoever may register may then run them.
    #[arg(long)]
    pub(crate) enable_script_checks: bool,
}

/// Where a dialect of the registry is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DialectAddress {
    /// Nowhere.
    Off,
    /// At this address.
    At(SocketAddr),
}

impl DialectAddress {
    /// The address, if there is one.
    pub(crate) fn address(self) -> Option<SocketAddr> {
        match self {
            Self::Off => None,
            Self::At(address) => Some(address),
        }
    }
}

impl std::str::FromStr for DialectAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self::Off);
        }
        text.parse().map(Self::At).map_err(|_| "give ADDRESS:PORT, or `off`".to_owned())
    }
}

impl std::fmt::Display for DialectAddress {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Off => formatter.write_str("off"),
            Self::At(address) => address.fmt(formatter),
        }
    }
}

/// Settings of `portolan dataplane`: what of a node concerns names and packet rules.
#[derive(Debug, Clone, Args)]
pub(crate) struct DataplaneOptions {
    #[command(flatten)]
    pub(crate) folders: Folders,
    /// Name of this node.
    #[arg(long)]
    pub(crate) node_name: String,
    /// Addresses of this node's pods.
    #[arg(long, default_value = "10.42.0.0/24")]
    pub(crate) pod_cidr: String,
    /// Addresses of services.
    #[arg(long, default_value = "10.43.0.0/16")]
    pub(crate) service_cidr: String,
    /// Addresses of load balancers.
    #[arg(long, default_value = "10.44.0.0/24")]
    pub(crate) load_balancer_cidr: String,
    /// Address of the cluster's name service.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::new(10, 43, 0, 10)))]
    pub(crate) cluster_dns: IpAddr,
    /// Domain of the cluster.
    #[arg(long, default_value = "cluster.local")]
    pub(crate) cluster_domain: String,
    /// Network, such as `192.0.2.0/24`, for whose machines names outside of the cluster are asked too; by default that is
    /// done for this machine and pods only, and others are refused.
    #[arg(long, value_name = "NETWORK")]
    pub(crate) dns_recursion_from: Vec<String>,
    #[command(flatten)]
    pub(crate) consul: ConsulOptions,
}

impl DataplaneOptions {
    /// Those of a node.
    pub(crate) fn of(node: &NodeOptions) -> anyhow::Result<Self> {
        Ok(Self {
            folders: node.folders.clone(),
            node_name: node.node_name()?,
            pod_cidr: node.pod_cidr.clone(),
            service_cidr: node.service_cidr.clone(),
            load_balancer_cidr: node.load_balancer_cidr.clone(),
            cluster_dns: node.cluster_dns,
            cluster_domain: node.cluster_domain.clone(),
            dns_recursion_from: node.dns_recursion_from.clone(),
            consul: node.consul.clone(),
        })
    }

    /// The options as arguments.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let pairs: [(&str, OsString); 9] = [
            ("--data-dir", self.folders.data_dir.clone().into()),
            ("--run-dir", self.folders.run_dir().into()),
            ("--bridge", self.folders.bridge().into()),
            ("--node-name", self.node_name.clone().into()),
            ("--pod-cidr", self.pod_cidr.clone().into()),
            ("--service-cidr", self.service_cidr.clone().into()),
            ("--load-balancer-cidr", self.load_balancer_cidr.clone().into()),
            ("--cluster-dns", self.cluster_dns.to_string().into()),
            ("--cluster-domain", self.cluster_domain.clone().into()),
        ];
        let networks = self.dns_recursion_from.iter().map(|network| ("--dns-recursion-from", network.into()));
        pairs
            .into_iter()
            .chain(self.consul.arguments())
            .chain(networks)
            .flat_map(|(flag, value)| [flag.into(), value])
            .collect()
    }

    /// What names are like.
    pub(crate) fn names(&self) -> anyhow::Result<portolan_dataplane::Names> {
        let networks = self.dns_recursion_from.iter().map(|network| network.parse().context("--dns-recursion-from"));
        Ok(portolan_dataplane::Names {
            recursion_from: networks.collect::<anyhow::Result<_>>()?,
            cluster_domain: self.cluster_domain.clone(),
            consul: self.consul.names(),
            advertised: None,
        })
    }

    /// Settings of the node's network.
    pub(crate) fn network(&self) -> anyhow::Result<portolan_network::Config> {
        let IpAddr::V4(dns) = self.cluster_dns else {
            anyhow::bail!("--cluster-dns {}: an IPv4 address is needed", self.cluster_dns)
        };
        let pod_cidr = self.pod_cidr.parse().context("--pod-cidr")?;
        Ok(portolan_network::Config {
            pod_cidr,
            // One node: its pods are all pods.
            cluster_cidr: pod_cidr,
            service_cidr: self.service_cidr.parse().context("--service-cidr")?,
            load_balancer_cidr: self.load_balancer_cidr.parse().context("--load-balancer-cidr")?,
            local_addresses: vec![dns],
            ..self.folders.network(&self.node_name)
        })
    }
}

/// Settings of `portolan up` and `portolan server`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerOptions {
    #[command(flatten)]
    pub(crate) node: NodeOptions,
    /// Address of the Kubernetes API.
    #[arg(long, default_value = "0.0.0.0:6443")]
    pub(crate) listen: SocketAddr,
    /// Address of the registry over plain HTTP; loopback only, pods are served on the bridge.
    #[arg(long, default_value = "127.0.0.1:7878")]
    pub(crate) registry_listen: SocketAddr,
    /// Address for Consul clients over plain HTTP, or `off`; loopback only, pods are served on the bridge.
    #[arg(long, default_value = "127.0.0.1:8500", value_name = "ADDRESS")]
    pub(crate) consul_listen: DialectAddress,
    /// Address for Eureka clients over plain HTTP, or `off`; loopback only, pods are served on the bridge.
    #[arg(long, default_value = "127.0.0.1:8761", value_name = "ADDRESS")]
    pub(crate) eureka_listen: DialectAddress,
    /// Address of the registry over TLS for other machines, with tokens or client certificates of the cluster.
    #[arg(long, default_value = "off", value_name = "ADDRESS")]
    pub(crate) registry_tls_listen: DialectAddress,
    /// Address for Consul clients over TLS, for other machines; the usual one is `0.0.0.0:8501`.
    #[arg(long, default_value = "off", value_name = "ADDRESS")]
    pub(crate) consul_tls_listen: DialectAddress,
    /// Address for Eureka clients over TLS, for other machines; basic authentication takes a token as its password.
    #[arg(long, default_value = "off", value_name = "ADDRESS")]
    pub(crate) eureka_tls_listen: DialectAddress,
    /// Turns Consul's own tokens and policies on: what holds where no rule of a token does, `allow` or `deny`.
    #[arg(long, value_name = "POLICY")]
    pub(crate) consul_acl_default_policy: Option<AclPolicy>,
    /// File with the secret of a Consul token that may do everything (a UUID); needs --consul-acl-default-policy.
    #[arg(long, value_name = "FILE", requires = "consul_acl_default_policy")]
    pub(crate) consul_acl_initial_management_token_file: Option<PathBuf>,
    /// What each client of the registry may have: `off`, or of `requests=1000,registrations=200,waiting=4096,instances=20000`
    /// (the first two per second) what is to be different.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "LIMITS")]
    pub(crate) registry_limits: String,
    /// When leases that run out at once are taken for a fault of the network, and kept: `off`, or of
    /// `share=0.15,service=2,registry=5,hold=15m` (more than this share of the leases, and this many at least, of a
    /// service or of the registry; kept for so long at most) what is to be different.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "POLICY")]
    pub(crate) registry_partition_policy: String,
    /// Run the control plane and the registry only, no containers on this machine; names are answered at --dns-listen.
    #[arg(long)]
    pub(crate) no_agent: bool,
    #[command(flatten)]
    pub(crate) access: AccessOptions,
    #[command(flatten)]
    pub(crate) service_accounts: ServiceAccountOptions,
}

/// What holds for Consul's clients where no rule of a token does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum AclPolicy {
    /// Everything is allowed but what concerns tokens.
    Allow,
    /// Nothing is allowed.
    Deny,
}

impl AclPolicy {
    fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// Settings of `portolan agent`.
#[derive(Debug, Clone, Args)]
pub(crate) struct AgentOptions {
    #[command(flatten)]
    pub(crate) node: NodeOptions,
    /// Kubeconfig of this node, made by `portolan invite` on the machine of the API server.
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: PathBuf,
    /// URL of the API server [default: the one in the kubeconfig].
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
}

impl ServerOptions {
    /// The options as arguments for a child process.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = Vec::new();
        let mut add = |flag: &str, value: OsString| {
            arguments.push(flag.into());
            arguments.push(value);
        };
        add("--data-dir", self.node.folders.data_dir.clone().into());
        add("--run-dir", self.node.folders.run_dir().into());
        add("--bridge", self.node.folders.bridge().into());
        add("--listen", self.listen.to_string().into());
        add("--registry-listen", self.registry_listen.to_string().into());
        add("--consul-listen", self.consul_listen.to_string().into());
        add("--eureka-listen", self.eureka_listen.to_string().into());
        add("--registry-tls-listen", self.registry_tls_listen.to_string().into());
        add("--consul-tls-listen", self.consul_tls_listen.to_string().into());
        add("--eureka-tls-listen", self.eureka_tls_listen.to_string().into());
        add("--registry-limits", self.registry_limits.clone().into());
        add("--registry-partition-policy", self.registry_partition_policy.clone().into());
        if let Some(policy) = self.consul_acl_default_policy {
            add("--consul-acl-default-policy", policy.word().into());
        }
        if let Some(file) = &self.consul_acl_initial_management_token_file {
            add("--consul-acl-initial-management-token-file", absolute(file));
        }
        add("--agent-port", self.node.agent_port.to_string().into());
        add("--pod-cidr", self.node.pod_cidr.clone().into());
        add("--service-cidr", self.node.service_cidr.clone().into());
        add("--load-balancer-cidr", self.node.load_balancer_cidr.clone().into());
        add("--cluster-dns", self.node.cluster_dns.to_string().into());
        add("--cluster-domain", self.node.cluster_domain.clone().into());
        add("--dns-listen", self.node.dns_listen.to_string().into());
        for network in &self.node.dns_recursion_from {
            add("--dns-recursion-from", network.into());
        }
        self.node.consul.arguments().into_iter().for_each(|(flag, value)| add(flag, value));
        self.access.arguments(&mut add);
        self.service_accounts.arguments(&mut add);
        if let Some(address) = self.node.advertise {
            add("--advertise", address.to_string().into());
        }
        if let Some(name) = &self.node.node_name {
            add("--node-name", name.into());
        }
        if let Some(socket) = &self.node.runtime_endpoint {
            add("--runtime-endpoint", absolute(socket));
        }
        for registry in &self.node.insecure_registry {
            add("--insecure-registry", registry.into());
        }
        if let Some(thresholds) = &self.node.eviction_hard {
            add("--eviction-hard", thresholds.into());
        }
        if self.node.enable_script_checks {
            arguments.push("--enable-script-checks".into());
        }
        if self.no_agent {
            arguments.push("--no-agent".into());
        }
        arguments
    }

    /// What each client of the registry may have.
    pub(crate) fn limits(&self) -> anyhow::Result<Limits> {
        self.registry_limits.parse().map_err(|form: String| anyhow::anyhow!("--registry-limits {form}"))
    }

    /// When leases that run out at once are kept.
    pub(crate) fn partition_policy(&self) -> anyhow::Result<PartitionPolicy> {
        let policy = self.registry_partition_policy.parse();
        policy.map_err(|form: String| anyhow::anyhow!("--registry-partition-policy {form}"))
    }

    /// How Consul's clients are asked for tokens.
    pub(crate) fn consul_acl(&self) -> anyhow::Result<AclConfig> {
        let Some(policy) = self.consul_acl_default_policy else { return Ok(AclConfig::default()) };
        let initial_management = match &self.consul_acl_initial_management_token_file {
            None => None,
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("read --consul-acl-initial-management-token-file {}", path.display()))?;
                let secret = text.trim().to_owned();
                anyhow::ensure!(!secret.is_empty(), "{} holds no token", path.display());
                Some(secret)
            }
        };
        let default_policy = match policy {
            AclPolicy::Allow => DefaultPolicy::Allow,
            AclPolicy::Deny => DefaultPolicy::Deny,
        };
        Ok(AclConfig { enabled: true, default_policy, initial_management })
    }

    /// The options as text, to be compared with those of another start.
    pub(crate) fn printable_arguments(&self) -> Vec<String> {
        self.arguments().iter().map(|argument| argument.to_string_lossy().into_owned()).collect()
    }

    /// The address that others reach the API by. Without a route, and without pods, the machine is all that reaches it.
    pub(crate) fn advertised(&self) -> anyhow::Result<IpAddr> {
        if self.no_agent {
            let address = self.node.advertise.or_else(default_route_address);
            return Ok(address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        }
        self.node.advertised()
    }

    /// Settings of the store.
    pub(crate) fn store(&self) -> portolan_store::embedded::Options {
        portolan_store::embedded::Options::new(self.node.folders.store())
    }
}

impl NodeOptions {
    /// Settings of the private containerd.
    pub(crate) fn containerd(&self) -> portolan_runtime::containerd::Options {
        portolan_runtime::containerd::Options {
            plain_http_registries: self.insecure_registry.clone(),
            ..self.folders.containerd()
        }
    }

    /// Socket of the container runtime, private or external.
    pub(crate) fn runtime_socket(&self) -> PathBuf {
        self.runtime_endpoint.clone().unwrap_or_else(|| self.folders.containerd().socket())
    }

    /// Parent of the control groups of this cluster's pods.
    pub(crate) fn cgroup_parent(&self) -> String {
        self.folders.cgroup_parent()
    }

    /// The address of the Service `kubernetes`: the first one of the services.
    pub(crate) fn kubernetes_service(&self) -> anyhow::Result<IpAddr> {
        let services: Network = self.service_cidr.parse()?;
        Ok(services.nth(1).context("the service network has more than one address")?.into())
    }

    /// Name of this node.
    pub(crate) fn node_name(&self) -> anyhow::Result<String> {
        match &self.node_name {
            Some(name) => Ok(name.clone()),
            None => Ok(host_name()?.to_lowercase()),
        }
    }

    /// The address that others reach this machine by. Without a route it is alone, and its pods reach it by their gateway.
    pub(crate) fn advertised(&self) -> anyhow::Result<IpAddr> {
        if let Some(address) = self.advertise.or_else(default_route_address) {
            return Ok(address);
        }
        let pods: portolan_network::Cidr = self.pod_cidr.parse().context("--pod-cidr")?;
        Ok(pods.gateway().into())
    }
}

/// Name of this machine.
pub(crate) fn host_name() -> anyhow::Result<String> {
    Ok(nix::unistd::gethostname().context("read the host name")?.to_string_lossy().into_owned())
}

/// The runtime of a cluster on this machine, as a command beside its server reaches it.
pub(crate) async fn local_runtime(data_dir: &Path, socket: &Path) -> anyhow::Result<CriRuntime> {
    let data = data_dir.join("containerd");
    let run = socket.parent().unwrap_or(Path::new("/")).to_owned();
    let options = portolan_runtime::containerd::Options::new(data, run, PathBuf::new(), PathBuf::new());
    if options.socket() == socket {
        return Ok(portolan_runtime::containerd::connect(&options).await?);
    }
    Ok(CriRuntime::connect(portolan_runtime::cri::Options::external(socket.to_owned())).await?)
}

/// The source address towards the outside. Connecting a datagram socket sends nothing, it only
/// asks the routing table. `None` without a route.
fn default_route_address() -> Option<IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip())
}
