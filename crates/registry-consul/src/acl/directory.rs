//! From a secret to what it may do.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use portolan_registrar::http::Request;
use portolan_store::{Compare, Operation, Revision};
use uuid::Uuid;

use super::authorizer::{Authorizer, DefaultPolicy};
use super::model::{
    ANONYMOUS, ANONYMOUS_SECRET, GLOBAL_MANAGEMENT, Grants, Link, Policy, Role, StoredToken, Token, builtin_policies,
    hash,
};
use super::rules;
use crate::Error;
use crate::parameters::Parameters;
use crate::space::{Record, Records, Space, WriteError};

/// Everything about access is below this prefix.
const AREA: &str = "/consul/acl/";
/// Says that the first token was made.
const BOOTSTRAPPED: &str = "/consul/acl/bootstrapped";
/// Tokens whose rights are remembered.
const MOST_REMEMBERED: usize = 10_000;

/// How access control is set up.
#[derive(Debug, Clone, Default)]
pub struct AclConfig {
    /// Whether tokens are asked for. Off: whoever reaches the listener may do everything.
    pub enabled: bool,
    /// What holds where no rule of a token does.
    pub default_policy: DefaultPolicy,
    /// Secret of a token that may do everything, made at the start.
    pub initial_management: Option<String>,
}

/// Knows tokens, policies and roles.
pub(crate) struct Acl {
    config: AclConfig,
    datacenter: Arc<str>,
    everything: Arc<Authorizer>,
    remembered: Mutex<HashMap<String, Remembered>>,
}

#[derive(Clone)]
struct Remembered {
    /// Newest change of tokens, policies and roles when it was worked out.
    generation: u64,
    token: Arc<Token>,
    authorizer: Arc<Authorizer>,
}

pub(crate) fn tokens(space: &Space) -> Records<'_, StoredToken> {
    space.records("acl/token")
}

pub(crate) fn policies(space: &Space) -> Records<'_, Policy> {
    space.records("acl/policy")
}

pub(crate) fn roles(space: &Space) -> Records<'_, Role> {
    space.records("acl/role")
}

/// The secret that a request shows; empty if none.
pub(crate) fn secret(request: &Request, parameters: &Parameters) -> String {
    let header = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = || {
        let value = header("authorization")?;
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    };
    let parameter = || parameters.text("token");
    header("x-consul-token")
        .filter(|token| !token.is_empty())
        .or_else(parameter)
        .or_else(bearer)
        .unwrap_or_default()
        .to_owned()
}

impl Acl {
    pub(crate) fn new(config: AclConfig, datacenter: Arc<str>) -> Self {
        Self { config, datacenter, everything: Arc::new(Authorizer::everything()), remembered: Mutex::default() }
    }

    /// The rights of those whom nobody asks for a token.
    pub(crate) fn everything(&self) -> Arc<Authorizer> {
        self.everything.clone()
    }

    /// Rises when what tokens may changes.
    pub(crate) fn generation(&self, space: &Space) -> u64 {
        space.feed().table_index(AREA)
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.config.enabled
    }

    /// What holds where no rule of a token does, in the word of an answer's header.
    pub(crate) fn default_policy(&self) -> &'static str {
        match self.config {
            AclConfig { enabled: true, default_policy: DefaultPolicy::Deny, .. } => "deny",
            _ => "allow",
        }
    }

    /// The secret of a token if it is known without being stored.
    pub(crate) fn known_secret(&self, stored: &StoredToken) -> Option<&str> {
        let known = [Some(ANONYMOUS_SECRET), self.config.initial_management.as_deref()];
        known.into_iter().flatten().find(|secret| hash(secret) == stored.secret_hash)
    }

    /// Makes what must be there from the start: the policies of everybody, the tokens of nobody and of the first one.
    pub(crate) async fn prepare(&self, space: &Space) -> Result<(), Error> {
        if !self.config.enabled {
            return Ok(());
        }
        for policy in builtin_policies() {
            let written = policies(space).put(&policy.id, Some(&policy.name), &policy, None).await;
            settle(written)?;
        }
        let anonymous = Token {
            accessor_id: ANONYMOUS.into(),
            description: "Anonymous Token".into(),
            create_time: space.now(),
            ..Token::default()
        };
        settle(write_new(space, anonymous, ANONYMOUS_SECRET).await)?;
        if let Some(secret) = &self.config.initial_management
            && tokens(space).by_name(&hash(secret)).await?.is_none()
        {
            let token = management(space, "Initial Management Token");
            let marker = vec![Operation::Put { key: BOOTSTRAPPED.into(), value: Bytes::new(), lease: None }];
            let stored = StoredToken { token, secret_hash: hash(secret) };
            let id = stored.token.accessor_id.clone();
            let written = tokens(space).put_with(&id, Some(&hash(secret)), &stored, None, vec![], marker).await;
            settle(written)?;
        }
        Ok(())
    }

    /// Makes the first token that may do everything; possible once.
    pub(crate) async fn bootstrap(
        &self,
        space: &Space,
        wanted: Option<String>,
    ) -> Result<(StoredToken, String), Error> {
        let used = |index: u64| {
            Error::Forbidden(format!("Permission denied: ACL bootstrap no longer allowed (reset index: {index})"))
        };
        if let Some(marker) = space.get(BOOTSTRAPPED.into()).await? {
            return Err(used(marker.mod_revision.0));
        }
        let secret = wanted.unwrap_or_else(|| Uuid::new_v4().to_string());
        let token = management(space, "Bootstrap Token (Global Management)");
        let stored = StoredToken { token, secret_hash: hash(&secret) };
        let compare = vec![Compare::ModRevision { key: BOOTSTRAPPED.into(), equals: Revision(0) }];
        let marker = vec![Operation::Put { key: BOOTSTRAPPED.into(), value: Bytes::new(), lease: None }];
        let id = stored.token.accessor_id.clone();
        let written = tokens(space).put_with(&id, Some(&stored.secret_hash), &stored, None, compare, marker).await;
        match written {
            Ok(_) => Ok((stored, secret)),
            Err(WriteError::Stale) => Err(used(0)),
            Err(error) => Err(error.into()),
        }
    }

    /// What the bearer of a request may do.
    pub(crate) async fn authorizer(
        &self,
        space: &Space,
        request: &Request,
        parameters: &Parameters,
    ) -> Result<Arc<Authorizer>, Error> {
        if !self.config.enabled {
            return Ok(self.everything.clone());
        }
        let secret = secret(request, parameters);
        Ok(self.resolve(space, &secret).await?.1)
    }

    /// The token of a secret, and what it may do.
    pub(crate) async fn resolve(&self, space: &Space, secret: &str) -> Result<(Arc<Token>, Arc<Authorizer>), Error> {
        self.resolve_hash(space, hash(if secret.is_empty() { ANONYMOUS_SECRET } else { secret })).await
    }

    /// What the bearer of a token may do whose hash was kept.
    pub(crate) async fn by_hash(&self, space: &Space, hashed: &str) -> Result<Arc<Authorizer>, Error> {
        if !self.config.enabled {
            return Ok(self.everything.clone());
        }
        Ok(self.resolve_hash(space, hashed.to_owned()).await?.1)
    }

    async fn resolve_hash(&self, space: &Space, hashed: String) -> Result<(Arc<Token>, Arc<Authorizer>), Error> {
        let generation = space.feed().table_index(AREA);
        let remembered = self.remembered.lock().get(&hashed).cloned();
        let not_found = || Error::Forbidden("ACL not found".to_owned());
        let now = space.now();
        if let Some(Remembered { token, authorizer, .. }) =
            remembered.filter(|remembered| remembered.generation == generation)
        {
            let expired = token.expiration_time.is_some_and(|end| end <= now);
            return if expired { Err(not_found()) } else { Ok((token, authorizer)) };
        }
        let stored = tokens(space).by_name(&hashed).await?.filter(|stored| !stored.value.has_expired(now));
        let Record { value: StoredToken { token, .. }, .. } = stored.ok_or_else(not_found)?;
        let rules = self.rules(space, &token).await?;
        let authorizer = Arc::new(Authorizer::new(token.accessor_id.clone(), self.config.default_policy, rules));
        let token = Arc::new(token);
        let mut all = self.remembered.lock();
        if all.len() >= MOST_REMEMBERED {
            all.clear();
        }
        all.insert(hashed, Remembered { generation, token: token.clone(), authorizer: authorizer.clone() });
        Ok((token, authorizer))
    }

    async fn rules(&self, space: &Space, token: &Token) -> Result<Vec<rules::Rule>, Error> {
        let mut grants: Vec<Grants> = vec![token.grants.clone()];
        for role in &token.roles {
            grants.extend(roles(space).get(&role.id).await?.map(|role| role.value.grants));
        }
        let mut all = Vec::new();
        for grant in grants {
            all.extend(grant.own_rules(&self.datacenter));
            for link in &grant.policies {
                let Some(policy) = policies(space).get(&link.id).await? else { continue };
                let here = policy.value.datacenters.is_empty()
                    || policy.value.datacenters.iter().any(|name| *name == *self.datacenter);
                if here {
                    let text = &policy.value.rules;
                    let parsed = rules::parse(text).map_err(|error| {
                        Error::Internal(format!("the stored policy {:?} is damaged: {error}", policy.value.name))
                    })?;
                    all.extend(parsed);
                }
            }
        }
        Ok(all)
    }
}

fn management(space: &Space, description: &str) -> Token {
    let policy = Link { id: GLOBAL_MANAGEMENT.into(), name: "global-management".into() };
    Token {
        accessor_id: Uuid::new_v4().to_string(),
        description: description.into(),
        grants: Grants { policies: vec![policy], ..Grants::default() },
        create_time: space.now(),
        ..Token::default()
    }
}

/// Writes a new token.
pub(crate) async fn write_new(space: &Space, token: Token, secret: &str) -> Result<u64, WriteError> {
    let (id, secret_hash) = (token.accessor_id.clone(), hash(secret));
    let stored = StoredToken { token, secret_hash: secret_hash.clone() };
    tokens(space).put(&id, Some(&secret_hash), &stored, None).await
}

/// What is there already is fine.
fn settle(written: Result<u64, WriteError>) -> Result<(), Error> {
    match written {
        Ok(_) | Err(WriteError::Taken | WriteError::Stale) => Ok(()),
        Err(WriteError::Store(error)) => Err(error),
    }
}
