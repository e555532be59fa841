//! The file that tells `kubectl` where the server is.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde::Deserialize;

use crate::error::Error;
use crate::https::Endpoint;

/// Why a kubeconfig cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KubeconfigError {
    /// A file cannot be read.
    #[error("read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is not a kubeconfig.
    #[error("understand kubeconfig {path}")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_yaml_ng::Error,
    },
    /// A part that another part names is missing.
    #[error("kubeconfig {path} has no {what} named {name:?}")]
    Missing {
        /// Which file.
        path: PathBuf,
        /// Kind of part.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A field ending in `-data` is not base64 of text.
    #[error("field {field} of kubeconfig {path} is not valid base64")]
    Base64 {
        /// Which file.
        path: PathBuf,
        /// Which field.
        field: &'static str,
    },
    /// The file asks for something this client does not do.
    #[error("kubeconfig {path} uses {feature}, which is not supported")]
    Unsupported {
        /// Which file.
        path: PathBuf,
        /// What.
        feature: &'static str,
    },
    /// A certificate proves nothing without its key, nor a key without its certificate.
    #[error("kubeconfig {path} has a user with one of client certificate and client key; both are needed")]
    Half {
        /// Which file.
        path: PathBuf,
    },
    /// The credentials do not work.
    #[error("use kubeconfig {path}")]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<Error>,
    },
}

/// A parsed kubeconfig file.
#[derive(Debug)]
pub struct Kubeconfig {
    path: PathBuf,
    file: File,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct File {
    current_context: String,
    clusters: Vec<NamedCluster>,
    contexts: Vec<NamedContext>,
    users: Vec<NamedUser>,
}

#[derive(Debug, Deserialize)]
struct NamedCluster {
    name: String,
    #[serde(default)]
    cluster: Cluster,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    tls_server_name: Option<String>,
    insecure_skip_tls_verify: bool,
}

#[derive(Debug, Deserialize)]
struct NamedContext {
    name: String,
    #[serde(default)]
    context: Context,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Context {
    cluster: String,
    user: String,
    namespace: Option<String>,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    #[serde(default)]
    user: User,
}

impl std::fmt::Debug for NamedUser {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Keys and tokens stay out of logs.
        formatter.debug_struct("NamedUser").field("name", &self.name).finish_non_exhaustive()
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct User {
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    token: Option<String>,
    username: Option<String>,
    password: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
    exec: Option<serde::de::IgnoredAny>,
    auth_provider: Option<serde::de::IgnoredAny>,
    #[serde(rename = "as")]
    impersonated: Option<String>,
    #[serde(rename = "as-uid")]
    impersonated_uid: Option<String>,
    #[serde(rename = "as-groups")]
    impersonated_groups: Vec<String>,
    #[serde(rename = "as-user-extra")]
    impersonated_extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// Whether requests are to be made in the name of somebody else.
    fn impersonates(&self) -> bool {
        let Self { impersonated, impersonated_uid, impersonated_groups, impersonated_extra, .. } = self;
        [impersonated, impersonated_uid].into_iter().flatten().any(|text| !text.is_empty())
            || !impersonated_groups.is_empty()
            || !impersonated_extra.is_empty()
    }
}

/// What a user of a kubeconfig shows to a server.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct UserCredentials {
    /// Certificate, PEM.
    pub client_certificate: Option<String>,
    /// Its key, PEM.
    pub client_key: Option<String>,
    /// Bearer token.
    pub token: Option<String>,
    /// Name and password.
    pub password: Option<(String, String)>,
}

impl Kubeconfig {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read or is not a kubeconfig.
    pub fn load(path: &Path) -> Result<Self, KubeconfigError> {
        let text = read(path)?;
        let file = serde_yaml_ng::from_str(&text)
            .map_err(|source| KubeconfigError::Parse { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// The namespace of the current context; `default` if it names none.
    pub fn namespace(&self) -> &str {
        let context = self.file.contexts.iter().find(|context| context.name == self.file.current_context);
        context.and_then(|context| context.context.namespace.as_deref()).unwrap_or("default")
    }

    /// Server and credentials of the current context.
    ///
    /// # Errors
    /// A part is missing, malformed, unreadable or not supported.
    pub fn endpoint(&self) -> Result<Endpoint, KubeconfigError> {
        let missing =
            |what, name: &str| KubeconfigError::Missing { path: self.path.clone(), what, name: name.to_owned() };
        let unsupported = |feature| KubeconfigError::Unsupported { path: self.path.clone(), feature };
        let File { current_context, clusters, contexts, users } = &self.file;
        let context = contexts.iter().find(|context| &context.name == current_context);
        let context = &context.ok_or_else(|| missing("context", current_context))?.context;
        let cluster = clusters.iter().find(|cluster| cluster.name == context.cluster);
        let cluster = &cluster.ok_or_else(|| missing("cluster", &context.cluster))?.cluster;
        let user = users.iter().find(|user| user.name == context.user);
        let user = &user.ok_or_else(|| missing("user", &context.user))?.user;
        if cluster.insecure_skip_tls_verify {
            return Err(unsupported("insecure-skip-tls-verify"));
        }
        let credentials = self.credentials(user)?;
        let authority = self.text(
            "certificate-authority-data",
            cluster.certificate_authority_data.as_ref(),
            cluster.certificate_authority.as_ref(),
        )?;
        Ok(Endpoint {
            server: cluster.server.clone(),
            certificate_authority: authority.unwrap_or_default(),
            client_certificate: credentials.client_certificate,
            client_key: credentials.client_key,
            token: credentials.token,
            tls_server_name: cluster.tls_server_name.clone(),
        })
    }

    /// All users by their names.
    ///
    /// # Errors
    /// A part is malformed, unreadable or not supported.
    pub fn users(&self) -> Result<Vec<(String, UserCredentials)>, KubeconfigError> {
        self.file.users.iter().map(|user| Ok((user.name.clone(), self.credentials(&user.user)?))).collect()
    }

    /// The user of the current context, if it names one.
    pub fn current_user(&self) -> Option<&str> {
        let context = self.file.contexts.iter().find(|context| context.name == self.file.current_context)?;
        Some(&*context.context.user).filter(|name| !name.is_empty())
    }

    fn credentials(&self, user: &User) -> Result<UserCredentials, KubeconfigError> {
        if user.exec.is_some() || user.auth_provider.is_some() {
            return Err(KubeconfigError::Unsupported { path: self.path.clone(), feature: "a credential plugin" });
        }
        // To go on as the user itself would be to do something else than was asked for.
        if user.impersonates() {
            return Err(KubeconfigError::Unsupported { path: self.path.clone(), feature: "impersonation (as)" });
        }
        let token = match (&user.token, &user.token_file) {
            (Some(token), _) => Some(token.clone()),
            (None, Some(file)) => Some(read(&self.beside(file))?.trim().to_owned()),
            (None, None) => None,
        };
        let password = match (&user.username, &user.password) {
            (None, None) => None,
            (name, password) => Some((name.clone().unwrap_or_default(), password.clone().unwrap_or_default())),
        };
        let certificate = user.client_certificate_data.as_ref();
        let client_certificate = self.text("client-certificate-data", certificate, user.client_certificate.as_ref())?;
        let client_key = self.text("client-key-data", user.client_key_data.as_ref(), user.client_key.as_ref())?;
        if client_certificate.is_some() != client_key.is_some() {
            return Err(KubeconfigError::Half { path: self.path.clone() });
        }
        Ok(UserCredentials { client_certificate, client_key, token, password })
    }

    /// Inline data if there is any, else the content of the file.
    fn text(
        &self,
        field: &'static str,
        data: Option<&String>,
        file: Option<&PathBuf>,
    ) -> Result<Option<String>, KubeconfigError> {
        if let Some(data) = data {
            let bytes = base64::engine::general_purpose::STANDARD.decode(data.trim()).ok();
            let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            return text.map(Some).ok_or_else(|| KubeconfigError::Base64 { path: self.path.clone(), field });
        }
        file.map(|file| read(&self.beside(file))).transpose()
    }

    /// Relative paths in a kubeconfig are relative to it.
    fn beside(&self, file: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(file)
    }
}

fn read(path: &Path) -> Result<String, KubeconfigError> {
    std::fs::read_to_string(path).map_err(|source| KubeconfigError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> Result<Endpoint, KubeconfigError> {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        std::fs::write(folder.path().join("ca.pem"), "AUTHORITY").expect("it is writable");
        let path = folder.path().join("config");
        std::fs::write(&path, text).expect("it is writable");
        Kubeconfig::load(&path)?.endpoint()
    }

    #[test]
    fn inline_data_and_relative_files_are_read() {
        let endpoint = endpoint(
            "{current-context: c, contexts: [{name: c, context: {cluster: k, user: u}}],
              clusters: [{name: k, cluster: {server: 'https://h:6443', certificate-authority: ca.pem}}],
              users: [{name: u, user: {client-certificate-data: Q0VSVA==, client-key-data: S0VZ}}]}",
        )
        .expect("it is complete");
        assert_eq!(endpoint.server, "https://h:6443");
        assert_eq!(endpoint.certificate_authority, "AUTHORITY");
        assert_eq!(endpoint.client_certificate.as_deref(), Some("CERT"));
        assert_eq!(endpoint.client_key.as_deref(), Some("KEY"));
    }

    #[test]
    fn a_dangling_context_is_named() {
        let error = endpoint("{current-context: gone}").expect_err("there is no such context");
        assert!(error.to_string().ends_with("has no context named \"gone\""), "{error}");
    }

    #[test]
    fn what_would_not_be_done_is_refused() {
        for (user, expected) in [
            ("client-certificate-data: Q0VSVA==", "both are needed"),
            ("client-key-data: S0VZ", "both are needed"),
            ("token: t, as: ann", "uses impersonation (as), which is not supported"),
            ("token: t, as-uid: '1'", "uses impersonation (as), which is not supported"),
            ("token: t, as-groups: [g]", "uses impersonation (as), which is not supported"),
            ("token: t, as-user-extra: {a: [b]}", "uses impersonation (as), which is not supported"),
            ("exec: {command: x}", "uses a credential plugin, which is not supported"),
        ] {
            let refused = endpoint(&format!(
                "{{current-context: c, contexts: [{{name: c, context: {{cluster: k, user: u}}}}],
                  clusters: [{{name: k, cluster: {{server: 'https://h:6443', certificate-authority: ca.pem}}}}],
                  users: [{{name: u, user: {{{user}}}}}]}}"
            ));
            let refused = refused.expect_err(user).to_string();
            assert!(refused.ends_with(expected), "{user}: {refused}");
        }
    }

    #[test]
    fn all_users_are_told_with_what_they_show() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        std::fs::write(folder.path().join("token"), "secret\n").expect("it is writable");
        let path = folder.path().join("config");
        let text = "{current-context: c, contexts: [{name: c, context: {user: '*'}}], users: [
            {name: 'a.b.svc', user: {tokenFile: token}}, {name: '*', user: {username: ann, password: x}}]}";
        std::fs::write(&path, text).expect("it is writable");
        let config = Kubeconfig::load(&path).expect("it is one");
        assert_eq!(config.current_user(), Some("*"));
        let users = config.users().expect("they are complete");
        let told: Vec<_> =
            users.iter().map(|(name, user)| (&**name, user.token.as_deref(), user.password.is_some())).collect();
        assert_eq!(told, [("a.b.svc", Some("secret"), false), ("*", None, true)]);
    }
}
