//! Questions that are answered and not kept: who am I, may I, is this token good.

use http::Response;
use portolan_identity::User;
use serde_json::{Value, json};

use crate::authentication::token_user;
use crate::authorization::{Action, Rule, decide};
use crate::body::Body;
use crate::endpoint::{Call, Input};
use crate::request::Info;
use crate::respond;
use crate::status::Status;

const VERBS: [&str; 11] = [
    "bind",
    "create",
    "delete",
    "deletecollection",
    "escalate",
    "get",
    "impersonate",
    "list",
    "patch",
    "update",
    "watch",
];

/// Whether objects of the resource are questions.
pub(crate) fn is_review(call: &Call<'_>) -> bool {
    matches!(&*call.resource.group, "authentication.k8s.io" | "authorization.k8s.io")
}

/// Answers a question.
pub(crate) async fn review(call: &Call<'_>, body: Body) -> Result<Response<Body>, Status> {
    let Input { mut object, warnings } = call.input(body).await?;
    let spec = &object["spec"];
    object["status"] = match &*call.resource.name {
        "selfsubjectreviews" => json!({"userInfo": user_info(call.user)}),
        "selfsubjectaccessreviews" => access(call, call.user, spec).await?,
        "subjectaccessreviews" | "localsubjectaccessreviews" => access(call, &subject(spec), spec).await?,
        "selfsubjectrulesreviews" => {
            let namespace = spec["namespace"].as_str().unwrap_or_default();
            if namespace.is_empty() {
                return Err(Status::bad_request("no namespace on request"));
            }
            rules(call, namespace)
        }
        "tokenreviews" => token(call, spec).await,
        _ => return Err(Status::no_such_path()),
    };
    let mut response = respond::json(201, &object);
    respond::add_warnings(&mut response, &warnings);
    Ok(response)
}

pub(crate) fn user_info(user: &User) -> Value {
    let mut info = json!({"username": user.name, "groups": user.groups});
    if !user.uid.is_empty() {
        info["uid"] = user.uid.as_str().into();
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    info
}

fn subject(spec: &Value) -> User {
    let groups = spec["groups"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
    User {
        name: spec["user"].as_str().unwrap_or_default().to_owned(),
        uid: spec["uid"].as_str().unwrap_or_default().to_owned(),
        groups: groups.collect(),
        ..User::default()
    }
}

async fn access(call: &Call<'_>, user: &User, spec: &Value) -> Result<Value, Status> {
    let text = |place: &str, field: &str| spec[place][field].as_str().unwrap_or_default().to_owned();
    let decision = if spec["resourceAttributes"].is_object() {
        let attribute = |field: &str| text("resourceAttributes", field);
        let verb = attribute("verb");
        // `*` asks for every verb: only who may everything may that, and no rule names it.
        let verb = VERBS.iter().copied().find(|known| *known == verb).unwrap_or("*");
        let info = Info {
            verb,
            group: attribute("group"),
            version: attribute("version"),
            resource: attribute("resource"),
            subresource: attribute("subresource"),
            namespace: attribute("namespace"),
            name: attribute("name"),
            rest: String::new(),
        };
        call.server.authorizer.refresh_reach(user, &info).await?;
        decide(call.server, user, Action::Resource(&info))
    } else {
        let (verb, path) = (text("nonResourceAttributes", "verb"), text("nonResourceAttributes", "path"));
        decide(call.server, user, Action::Path { verb: &verb, path: &path })
    };
    let mut status = json!({"allowed": decision.is_allowed()});
    if !decision.reason().is_empty() {
        status["reason"] = decision.reason().into();
    }
    Ok(status)
}

fn rules(call: &Call<'_>, namespace: &str) -> Value {
    let mut rules = call.server.authorizer.rules(call.user, namespace);
    if call.user.is_in("system:masters") {
        let all = || vec!["*".to_owned()];
        rules.push(Rule { verbs: all(), api_groups: all(), resources: all(), ..Rule::default() });
        rules.push(Rule { verbs: all(), non_resource_urls: all(), ..Rule::default() });
    }
    let resource_rules: Vec<Value> = rules
        .iter()
        .filter(|rule| !rule.resources.is_empty())
        .map(|rule| {
            let mut entry = json!({"verbs": rule.verbs, "apiGroups": rule.api_groups, "resources": rule.resources});
            if !rule.resource_names.is_empty() {
                entry["resourceNames"] = json!(rule.resource_names);
            }
            entry
        })
        .collect();
    let path_rules: Vec<Value> = rules
        .iter()
        .filter(|rule| !rule.non_resource_urls.is_empty())
        .map(|rule| json!({"verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls}))
        .collect();
    json!({"resourceRules": resource_rules, "nonResourceRules": path_rules, "incomplete": false})
}

async fn token(call: &Call<'_>, spec: &Value) -> Value {
    let list = spec["audiences"].as_array().into_iter().flatten();
    let audiences: Vec<String> = list.filter_map(Value::as_str).map(str::to_owned).collect();
    let token = spec["token"].as_str().unwrap_or_default();
    match token_user(call.server, token, &audiences, call.now).await {
        Ok(user) => json!({"authenticated": true, "user": user_info(&user), "audiences": audiences}),
        Err(why) => json!({"authenticated": false, "error": why}),
    }
}
