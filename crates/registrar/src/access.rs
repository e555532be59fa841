//! Who asks, and whether they may: the cluster's own answers, remembered for seconds.
//!
//! Credentials of every dialect come down to the same two questions of the API: whose token is this
//! (`TokenReview`), and may they do that to registrations of this namespace (`SubjectAccessReview`).

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, header};
use parking_lot::Mutex;
use portolan_client::Client;
use portolan_identity::{PODS_GROUP, User};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

/// How long an answer of the API counts: what was granted or taken away holds after that.
const KEPT: Duration = Duration::from_secs(5);
/// Answers that are remembered, of each kind.
const MOST_KEPT: usize = 8 << 10;
/// No token of the cluster is longer.
const LONGEST_TOKEN: usize = 16 << 10;
/// Group of what registrations are.
const GROUP: &str = "registry.portolan.dev";
const TOKEN_REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const ACCESS_REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Read one.
    Get,
    /// Read many.
    List,
    /// Follow changes.
    Watch,
    /// Add one.
    Create,
    /// Change one, or say that it lives.
    Update,
    /// Remove one.
    Delete,
}

impl Verb {
    /// The word in rules.
    pub fn word(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// What somebody wants to do it to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resource {
    /// Registered instances; in a namespace, or in all if that is empty.
    Instances,
    /// Machines outside the cluster, which are in no namespace.
    Machines,
    /// What dialects keep in key spaces of their own: keys, sessions, prepared queries. No objects are behind the name.
    Keys,
    /// Tokens, policies and roles of a dialect. No objects are behind the name.
    Tokens,
}

impl Resource {
    /// The word in rules.
    pub fn word(self) -> &'static str {
        match self {
            Self::Instances => "serviceinstances",
            Self::Machines => "externalnodes",
            Self::Keys => "keys",
            Self::Tokens => "acls",
        }
    }
}

/// Why somebody may not.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// Nobody is known by these credentials.
    #[error("who asks is not known: {0}; show a token of the cluster or a client certificate")]
    Unauthenticated(String),
    /// Somebody is, but may not do this.
    #[error(
        "{user} may not {} {} {}: the verb {:?} on {GROUP}/{} is what a Role has to allow",
        .verb.word(), .resource.word(), in_namespace(.namespace), .verb.word(), .resource.word()
    )]
    Forbidden {
        /// Who.
        user: String,
        /// What.
        verb: Verb,
        /// To what.
        resource: Resource,
        /// Where; empty for everywhere.
        namespace: String,
    },
    /// The API could not be asked.
    #[error("the API server could not be asked who may do this")]
    Unavailable(#[source] Arc<portolan_client::Error>),
}

fn in_namespace(namespace: &str) -> String {
    if namespace.is_empty() { "in all namespaces".to_owned() } else { format!("in the namespace {namespace:?}") }
}

/// Who sent a request.
#[derive(Clone)]
pub enum Caller {
    /// A process of this machine, over plain HTTP: it may do everything.
    Trusted,
    /// A pod, over plain HTTP: it may read everything, change what is registered in its own namespace, and beyond
    /// that do what its service account is allowed.
    Pod(Pod),
    /// Somebody that the cluster knows.
    Known(Known),
    /// Somebody over TLS that the cluster does not know, and why; only dialects with credentials of their own see it.
    Unknown(String),
}

/// Somebody that the cluster knows, and whom to ask what they may.
#[derive(Clone)]
pub struct Known {
    /// Who.
    pub user: Arc<User>,
    gate: Arc<Gate>,
}

impl Known {
    /// A user, and whom to ask what they may.
    pub fn new(user: Arc<User>, gate: Arc<Gate>) -> Self {
        Self { user, gate }
    }

    async fn require(&self, verb: Verb, resource: Resource, namespace: &str) -> Result<(), Denied> {
        if self.gate.allows(&self.user, verb, resource, namespace).await? {
            return Ok(());
        }
        let (user, namespace) = (self.user.name.clone(), namespace.to_owned());
        Err(Denied::Forbidden { user, verb, resource, namespace })
    }
}

/// A pod that talks plain HTTP, known by its address.
#[derive(Clone)]
pub struct Pod {
    /// Its namespace; empty if nobody knows its address (yet).
    pub namespace: Arc<str>,
    /// Its service account.
    pub account: Known,
}

impl Pod {
    /// A pod of a namespace whose service account is `name`.
    pub fn new(namespace: &str, name: &str, gate: Arc<Gate>) -> Self {
        let mut user = User {
            name: format!("system:serviceaccount:{namespace}:{name}"),
            groups: vec![format!("system:serviceaccounts:{namespace}")],
            ..User::default()
        };
        if namespace.is_empty() {
            user = User { name: "system:unknown-pod".to_owned(), ..User::default() };
        }
        user.groups.extend([PODS_GROUP, "system:serviceaccounts", "system:authenticated"].map(str::to_owned));
        Self { namespace: namespace.into(), account: Known::new(Arc::new(user), gate) }
    }

    async fn require(&self, verb: Verb, resource: Resource, namespace: &str) -> Result<(), Denied> {
        let reads = matches!(verb, Verb::Get | Verb::List | Verb::Watch) && resource != Resource::Tokens;
        let own = resource == Resource::Instances && !namespace.is_empty() && *namespace == *self.namespace;
        if reads || own { Ok(()) } else { self.account.require(verb, resource, namespace).await }
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trusted => formatter.write_str("Trusted"),
            Self::Pod(pod) => formatter.debug_tuple("Pod").field(&pod.account.user.name).finish(),
            Self::Known(known) => formatter.debug_tuple("Known").field(&known.user.name).finish(),
            Self::Unknown(why) => formatter.debug_tuple("Unknown").field(why).finish(),
        }
    }
}

impl Caller {
    /// Refuses what the caller may not do to registrations of a namespace; all namespaces if it is empty.
    ///
    /// # Errors
    /// They may not, are not known, or nobody can tell.
    pub async fn require(&self, verb: Verb, resource: Resource, namespace: &str) -> Result<(), Denied> {
        match self {
            Self::Trusted => Ok(()),
            Self::Unknown(why) => Err(Denied::Unauthenticated(why.clone())),
            Self::Pod(pod) => pod.require(verb, resource, namespace).await,
            Self::Known(known) => known.require(verb, resource, namespace).await,
        }
    }

    /// Whether the caller may do that; what nobody can tell is an error.
    ///
    /// # Errors
    /// The caller is not known, or nobody can tell.
    pub async fn may(&self, verb: Verb, resource: Resource, namespace: &str) -> Result<bool, Denied> {
        match self.require(verb, resource, namespace).await {
            Ok(()) => Ok(true),
            Err(Denied::Forbidden { .. }) => Ok(false),
            Err(denied) => Err(denied),
        }
    }
}

/// Whose token it is, or why it is nobody's.
type Found = Result<Arc<User>, String>;

/// Asks the API who somebody is and what they may do.
pub struct Gate {
    client: Client,
    people: Mutex<Memory<[u8; 32], Found>>,
    rights: Mutex<Memory<Question, bool>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Question {
    user: String,
    uid: String,
    groups: Vec<String>,
    verb: Verb,
    resource: Resource,
    namespace: String,
}

impl Gate {
    /// Asks through a client that may create both kinds of reviews.
    pub fn new(client: Client) -> Self {
        Self { client, people: Mutex::default(), rights: Mutex::default() }
    }

    /// Who sent a request: by the certificate of the connection, else by the token.
    pub(crate) async fn caller(
        self: &Arc<Self>,
        certified: Option<&Arc<User>>,
        token: Option<&str>,
    ) -> Result<Caller, Denied> {
        let known = |user: Arc<User>| Caller::Known(Known::new(user, self.clone()));
        if let Some(user) = certified {
            return Ok(known(user.clone()));
        }
        let Some(token) = token else { return Ok(Caller::Unknown("no credentials were shown".into())) };
        if token.len() > LONGEST_TOKEN {
            return Ok(Caller::Unknown("the token is longer than any of the cluster".into()));
        }
        Ok(self.bearer(token).await?.map_or_else(Caller::Unknown, known))
    }

    /// Whose token that is, or why it is nobody's.
    async fn bearer(&self, token: &str) -> Result<Found, Denied> {
        // Secrets are not kept.
        let hashed: [u8; 32] = Sha256::digest(token).into();
        if let Some(found) = self.people.lock().get(&hashed, Instant::now()) {
            return Ok(found);
        }
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token},
        });
        let answer = self.ask(TOKEN_REVIEWS, review).await?;
        let found = if answer["status"]["authenticated"] == true {
            Ok(Arc::new(user(&answer["status"]["user"])))
        } else {
            Err(answer["status"]["error"].as_str().unwrap_or("the token is not valid").to_owned())
        };
        self.people.lock().put(hashed, found.clone(), Instant::now());
        Ok(found)
    }

    async fn allows(&self, user: &User, verb: Verb, resource: Resource, namespace: &str) -> Result<bool, Denied> {
        let question = Question {
            user: user.name.clone(),
            uid: user.uid.clone(),
            groups: user.groups.clone(),
            verb,
            resource,
            namespace: namespace.to_owned(),
        };
        if let Some(known) = self.rights.lock().get(&question, Instant::now()) {
            return Ok(known);
        }
        let attributes = json!({
            "group": GROUP, "resource": resource.word(), "verb": verb.word(), "namespace": namespace,
        });
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {
                "user": user.name, "uid": user.uid, "groups": user.groups, "extra": user.extra,
                "resourceAttributes": attributes,
            },
        });
        let allowed = self.ask(ACCESS_REVIEWS, review).await?["status"]["allowed"] == true;
        self.rights.lock().put(question, allowed, Instant::now());
        Ok(allowed)
    }

    async fn ask(&self, path: &str, review: Value) -> Result<Value, Denied> {
        let answer = self.client.raw(Method::POST, path, Some(review)).await;
        answer.map_err(|error| Denied::Unavailable(Arc::new(error)))
    }
}

fn user(info: &Value) -> User {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().into_iter().flatten().map(text).collect();
    User {
        name: text(&info["username"]),
        uid: text(&info["uid"]),
        groups: list(&info["groups"]),
        extra: info["extra"].as_object().into_iter().flatten().map(|(key, value)| (key.clone(), list(value))).collect(),
    }
}

/// The token that a request shows as `Authorization`: a bearer token, or the password of basic
/// authentication. Clients that can only put a user into a URL may leave the password empty.
pub fn authorization(headers: &HeaderMap) -> Option<String> {
    use base64::Engine as _;
    let (scheme, rest) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned()).filter(|token| !token.is_empty());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(rest.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (name, password) = text.split_once(':')?;
    let token = if password.is_empty() { name } else { password };
    Some(token.to_owned()).filter(|token| !token.is_empty())
}

/// Answers with the time when they came; bounded.
struct Memory<K, V>(HashMap<K, (Instant, V)>);

impl<K, V> Default for Memory<K, V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash, V: Clone> Memory<K, V> {
    fn get(&self, key: &K, now: Instant) -> Option<V> {
        let (since, value) = self.0.get(key)?;
        (now.saturating_duration_since(*since) < KEPT).then(|| value.clone())
    }

    fn put(&mut self, key: K, value: V, now: Instant) {
        if self.0.len() >= MOST_KEPT {
            self.0.retain(|_, (since, _)| now.saturating_duration_since(*since) < KEPT);
        }
        // Made-up tokens may fill it within the time that answers count.
        if self.0.len() >= MOST_KEPT {
            self.0.clear();
        }
        self.0.insert(key, (now, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_as_bearer_or_as_password() {
        let cases = [
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
            ("Bearer ", None),
            // "anyone:secret", "secret:", "secret", ":"
            ("Basic YW55b25lOnNlY3JldA==", Some("secret")),
            ("basic c2VjcmV0Og==", Some("secret")),
            ("Basic c2VjcmV0", None),
            ("Basic Og==", None),
            ("Basic !", None),
            ("Digest x", None),
            ("", None),
        ];
        for (value, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().expect("a header"));
            assert_eq!(authorization(&headers).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn answers_are_forgotten_after_seconds_and_bounded() {
        let (mut memory, start) = (Memory::default(), Instant::now());
        memory.put(0, true, start);
        assert_eq!(memory.get(&0, start + KEPT / 2), Some(true));
        assert_eq!(memory.get(&0, start + KEPT), None);
        for key in 0..3 * MOST_KEPT {
            memory.put(key, true, start);
            assert!(memory.0.len() <= MOST_KEPT);
        }
    }

    #[test]
    fn a_refusal_says_what_a_role_has_to_allow() {
        let (user, namespace) = ("system:serviceaccount:shop:vm".into(), "bank".into());
        let denied = Denied::Forbidden { user, verb: Verb::Create, resource: Resource::Instances, namespace };
        assert_eq!(
            denied.to_string(),
            "system:serviceaccount:shop:vm may not create serviceinstances in the namespace \"bank\": the verb \
             \"create\" on registry.portolan.dev/serviceinstances is what a Role has to allow"
        );
    }
}
