//! The certificates of this cluster's parts, and the administrator's kubeconfig.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portolan_apiserver::authorization::bootstrap;
use portolan_base::Timestamp;
use portolan_identity::{Authority, CertificateRequest, KeyPairPem, LegacyClaims, Request, TokenIssuer, Usage, User};

use crate::config::{DialectAddress, ServerOptions};

/// Certificates are made anew at every start; they only have to outlive one run.
const PROCESS_LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);

/// Everything that proves who is who.
pub(crate) struct Credentials {
    pub(crate) authority: Arc<Authority>,
    pub(crate) tokens: Arc<TokenIssuer>,
    pub(crate) api_server: KeyPairPem,
    pub(crate) node_client: KeyPairPem,
    /// What the registry proves itself by to other machines.
    pub(crate) registry: KeyPairPem,
}

impl Credentials {
    /// Loads or makes the keys that last, and issues certificates for this run.
    pub(crate) fn prepare(options: &ServerOptions) -> anyhow::Result<Self> {
        let folder = options.node.folders.identity();
        let authority = Authority::load_or_create(&folder, "portolan-ca")?;
        let tokens = TokenIssuer::load(&folder, options.service_accounts.tokens()?)?;
        let domain = &options.node.cluster_domain;
        let mut dns_names = vec!["localhost".to_owned(), "kubernetes".into(), "kubernetes.default".into()];
        dns_names.extend(["kubernetes.default.svc".to_owned(), format!("kubernetes.default.svc.{domain}")]);
        let mut addresses =
            vec![IpAddr::V4(Ipv4Addr::LOCALHOST), options.advertised()?, options.node.kubernetes_service()?];
        if !options.listen.ip().is_unspecified() {
            addresses.push(options.listen.ip());
        }
        let api_server = authority.issue(&Request {
            common_name: "kube-apiserver".into(),
            organizations: [None, None],
            dns_names,
            addresses,
            usage: Usage::Server,
            valid_for: PROCESS_LIFETIME,
        })?;
        let node_client = authority.issue(&client("kube-apiserver-kubelet-client", Some(bootstrap::MASTERS)))?;
        let registry = authority.issue(&registry_server(options)?)?;
        Ok(Self { authority: Arc::new(authority), tokens: Arc::new(tokens), api_server, node_client, registry })
    }

    /// The keys with which controllers sign.
    pub(crate) fn keys(&self) -> ClusterKeys {
        ClusterKeys { authority: self.authority.clone(), tokens: self.tokens.clone() }
    }

    /// Writes the administrator's kubeconfig, unless the present one still leads here.
    pub(crate) fn write_kubeconfig(&self, options: &ServerOptions, address: SocketAddr) -> anyhow::Result<()> {
        let path = options.node.folders.kubeconfig();
        let server = format!("server: https://{address}\n");
        let authority = STANDARD.encode(self.authority.certificate_pem());
        if std::fs::read_to_string(&path).is_ok_and(|text| text.contains(&server) && text.contains(&authority)) {
            return Ok(());
        }
        let admin = self.authority.issue(&client("kubernetes-admin", Some(bootstrap::MASTERS)))?;
        let text = kubeconfig(&format!("https://{address}"), self.authority.certificate_pem(), "admin", &admin);
        portolan_identity::write_private(&path, &text).context("write the administrator's kubeconfig")
    }
}

/// The cluster's keys, as far as controllers need them.
#[derive(Debug)]
pub(crate) struct ClusterKeys {
    authority: Arc<Authority>,
    tokens: Arc<TokenIssuer>,
}

impl portolan_controllers::Keys for ClusterKeys {
    fn sign(
        &self,
        request: &CertificateRequest,
        usages: &[String],
        from: Timestamp,
        until: Timestamp,
    ) -> Result<String, String> {
        self.authority.sign(request, usages, from, until).map_err(|error| error.to_string())
    }

    fn sign_token(&self, claims: &LegacyClaims) -> Result<String, String> {
        self.tokens.sign_legacy(claims).map_err(|error| error.to_string())
    }
}

/// A kubeconfig with a client certificate.
pub(crate) fn kubeconfig(server: &str, authority_pem: &str, user: &str, identity: &KeyPairPem) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: portolan\n\
         clusters:\n- name: portolan\n  cluster:\n    certificate-authority-data: {}\n    server: {server}\n\
         contexts:\n- name: portolan\n  context: {{cluster: portolan, user: {user}}}\n\
         users:\n- name: {user}\n  user:\n    client-certificate-data: {}\n    client-key-data: {}\n",
        STANDARD.encode(authority_pem),
        STANDARD.encode(&identity.certificate_pem),
        STANDARD.encode(&identity.key_pem),
    )
}

/// The certificate of a node: its agent is a client of the API server, and a server to it.
pub(crate) fn node_certificate(authority: &Authority, node: &str, address: IpAddr) -> anyhow::Result<KeyPairPem> {
    Ok(authority.issue(&Request {
        common_name: format!("system:node:{node}"),
        organizations: [Some(bootstrap::NODES.into()), Some(bootstrap::AGENTS.into())],
        dns_names: vec![node.to_owned()],
        addresses: vec![address],
        usage: Usage::ServerAndClient,
        valid_for: PROCESS_LIFETIME,
    })?)
}

/// The names by which clients of all dialects reach the registry.
fn registry_server(options: &ServerOptions) -> anyhow::Result<Request> {
    let mut dns_names = vec!["localhost".to_owned(), "consul.service.consul".into()];
    dns_names.push(format!("server.{}.consul", options.node.consul.consul_datacenter));
    let node = options.node.node_name()?;
    if node != "localhost" {
        dns_names.push(node);
    }
    let mut addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    let tls = [options.registry_tls_listen, options.consul_tls_listen, options.eureka_tls_listen];
    let listening = tls.into_iter().filter_map(DialectAddress::address).map(|address| address.ip());
    for address in listening.filter(|address| !address.is_unspecified()).chain([options.advertised()?]) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(Request {
        common_name: "portolan-registry".into(),
        organizations: [None, None],
        dns_names,
        addresses,
        usage: Usage::Server,
        valid_for: PROCESS_LIFETIME,
    })
}

fn client(common_name: &str, organization: Option<&str>) -> Request {
    Request {
        common_name: common_name.into(),
        organizations: [organization.map(str::to_owned), None],
        dns_names: Vec::new(),
        addresses: Vec::new(),
        usage: Usage::Client,
        valid_for: PROCESS_LIFETIME,
    }
}

/// The identity of the controllers.
pub(crate) fn controllers() -> User {
    User::new(bootstrap::CONTROLLERS, [])
}

/// The identity of the scheduler.
pub(crate) fn scheduler() -> User {
    User::new(bootstrap::SCHEDULER, [])
}

/// The identity of the registry, which writes what others register.
pub(crate) fn registry() -> User {
    User::new(bootstrap::REGISTRY, [])
}

/// The identity of a node's agent.
pub(crate) fn node(name: &str) -> User {
    User::new(format!("system:node:{name}"), [bootstrap::NODES, bootstrap::AGENTS])
}
