//! Questions that are answered and not kept: who am I, may I, is this token good.

use http::Response;
use portolan_api::field::{self, Path, Shown};
use portolan_api::time;
use portolan_identity::User;
use serde_json::{Map, Value, json};

use super::selection;
use crate::authentication::token_user;
use crate::authorization::{Action, Decision, Listed, decide};
use crate::body::Body;
use crate::configuration::aggregate;
use crate::endpoint::{Call, Input, metadata};
use crate::request::Info;
use crate::resources::json::is_set;
use crate::resources::shown;
use crate::respond;
use crate::status::Status;

/// What questions may say in their metadata without effect: the server takes it away or sets it itself.
const PASSED_OVER: [&str; 6] =
    ["creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "namespace", "selfLink", "uid"];

/// Whether objects of the resource are questions.
pub(crate) fn is_review(call: &Call<'_>) -> bool {
    matches!(&*call.resource.group, "authentication.k8s.io" | "authorization.k8s.io")
}

/// Answers a question.
pub(crate) async fn review(call: &Call<'_>, body: Body) -> Result<Response<Body>, Status> {
    call.view()?;
    let Input { mut object, mut warnings } = call.input(body).await?;
    call.expect_namespace(&object)?;
    stamp(call, &mut object)?;
    call.fill_status(&mut object);
    let mut object = super::admitted(call, object, call.is_dry_run()?, &mut warnings).await?;
    let spec = &object["spec"];
    object["status"] = match &*call.resource.name {
        "selfsubjectreviews" => json!({"userInfo": user_info(call.user)}),
        "selfsubjectaccessreviews" => {
            check(call, &object)?;
            access(call, call.user, spec).await?
        }
        "subjectaccessreviews" => {
            check(call, &object)?;
            access(call, &subject(spec), spec).await?
        }
        "localsubjectaccessreviews" => {
            check(call, &object)?;
            access(call, &subject(spec), spec).await?
        }
        "selfsubjectrulesreviews" => {
            let namespace = spec["namespace"].as_str().unwrap_or_default();
            if namespace.is_empty() {
                return Err(Status::bad_request("no namespace on request"));
            }
            rules(call, namespace)
        }
        "tokenreviews" => token(call, spec).await?,
        _ => return Err(Status::no_such_path()),
    };
    // Answers about the one who asks are made anew, all others are the question with a status.
    match &*call.resource.name {
        "selfsubjectreviews" => object["metadata"] = json!({"creationTimestamp": time::format(call.now)}),
        "selfsubjectrulesreviews" => {
            object["metadata"] = json!({});
            object["spec"] = json!({});
        }
        _ => {}
    }
    let mut response = respond::json(201, &object);
    respond::add_warnings(&mut response, &warnings);
    Ok(response)
}

/// Completes a question as if it were kept, with who asked it.
fn stamp(call: &Call<'_>, object: &mut Value) -> Result<(), Status> {
    let said = metadata::of(object);
    for name in PASSED_OVER {
        said.remove(name);
    }
    if !call.namespace().is_empty() {
        said.insert("namespace".into(), call.namespace().into());
    }
    call.track_sent(object)
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

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn subject(spec: &Value) -> User {
    let extra = spec["extra"].as_object().into_iter().flatten();
    User {
        name: spec["user"].as_str().unwrap_or_default().to_owned(),
        uid: spec["uid"].as_str().unwrap_or_default().to_owned(),
        groups: texts(&spec["groups"]),
        extra: extra.map(|(key, values)| (key.clone(), texts(values))).collect(),
    }
}

/// What is wrong with a question about access.
fn check(call: &Call<'_>, object: &Value) -> Result<(), Status> {
    let (at, spec) = (Path::new("spec"), &object["spec"]);
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let mut errors = Vec::new();
    if resource.is_object() && path.is_object() {
        let detail = "cannot be specified in combination with resourceAttributes";
        errors.push(field::Error::invalid(&at.child("nonResourceAttributes"), shown_path(path), detail));
    }
    if !resource.is_object() && !path.is_object() {
        let detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        errors.push(field::Error::invalid(&at.child("resourceAttributes"), Value::Null, detail));
    }
    if call.resource.name != "selfsubjectaccessreviews"
        && spec["user"].as_str().unwrap_or_default().is_empty()
        && texts(&spec["groups"]).is_empty()
    {
        let detail = "at least one of user or group must be specified";
        errors.push(field::Error::invalid(&at.child("user"), "", detail));
    }
    for (name, operators) in
        [("fieldSelector", &["In", "NotIn"][..]), ("labelSelector", &["In", "NotIn", "Exists", "DoesNotExist"])]
    {
        let (selector, at) = (&resource[name], at.child("resourceAttributes").child(name));
        let raw = selector["rawSelector"].as_str().unwrap_or_default();
        let list = selector["requirements"].as_array().map(Vec::as_slice).unwrap_or_default();
        if !selector.is_object() {
            continue;
        }
        if !raw.is_empty() && !list.is_empty() {
            let detail = "may not specified at the same time as requirements";
            errors.push(field::Error::invalid(&at.child("rawSelector"), raw, detail));
        }
        if raw.is_empty() && list.is_empty() {
            let detail = format!("when {} is specified, requirements or rawSelector is required", at);
            errors.push(field::Error::required(&at.child("requirements"), detail));
        }
        for (index, item) in list.iter().enumerate() {
            let at = at.child("requirements").index(index);
            let operator = item["operator"].as_str().unwrap_or_default();
            if item["key"].as_str().unwrap_or_default().is_empty() {
                errors.push(field::Error::required(&at.child("key"), "must be specified"));
            }
            let values = texts(&item["values"]).len();
            match operator {
                "In" | "NotIn" if values == 0 => {
                    let detail = "must be specified when `operator` is 'In' or 'NotIn'";
                    errors.push(field::Error::required(&at.child("values"), detail));
                }
                "Exists" | "DoesNotExist" if values > 0 => {
                    let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                    errors.push(field::Error::forbidden(&at.child("values"), detail));
                }
                _ if !operators.contains(&operator) => {
                    errors.push(field::Error::not_supported(&at.child("operator"), operator, operators));
                }
                _ => {}
            }
        }
    }
    errors.extend(metadata_problem(call, object));
    if call.resource.name == "localsubjectaccessreviews" {
        let namespace = resource["namespace"].as_str().unwrap_or_default();
        if resource.is_object() && namespace != call.namespace() {
            let at = at.child("resourceAttributes").child("namespace");
            errors.push(field::Error::invalid(&at, namespace, "must match metadata.namespace"));
        }
        if path.is_object() {
            let detail = "disallowed on this kind of request";
            errors.push(field::Error::invalid(&at.child("nonResourceAttributes"), shown_path(path), detail));
        }
    }
    // Upstream asks an object for its kind that has lost it by then.
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid(&call.resource.group, "", "", &errors)) }
}

fn shown_path(attributes: &Value) -> Shown {
    Shown::Text(shown::compact("NonResourceAttributes", attributes))
}

/// What is wrong with the metadata of a question about access: it is not kept, so there is nothing to say of it.
fn metadata_problem(call: &Call<'_>, object: &Value) -> Option<field::Error> {
    let said = object["metadata"].as_object().into_iter().flatten();
    if said.filter(|(name, _)| !matches!(name.as_str(), "managedFields" | "namespace")).all(|(_, value)| !is_set(value))
    {
        return None;
    }
    let local = !call.namespace().is_empty();
    let detail = if local { "must be empty except for namespace" } else { "must be empty" };
    let shown = Shown::Text(shown::compact("ObjectMeta", &object["metadata"]));
    Some(field::Error::invalid(&Path::new("metadata"), shown, detail))
}

/// Verbs of requests.
const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

async fn access(call: &Call<'_>, user: &User, spec: &Value) -> Result<Value, Status> {
    let text = |place: &str, field: &str| spec[place][field].as_str().unwrap_or_default().to_owned();
    let mut errors = Vec::new();
    let decision = if spec["resourceAttributes"].is_object() {
        let (selection, problems) = selection::of(&spec["resourceAttributes"]);
        errors = problems;
        let attribute = |field: &str| text("resourceAttributes", field);
        let asked = attribute("verb");
        let verb = VERBS.iter().copied().find(|known| *known == asked);
        let info = Info {
            verb: verb.unwrap_or("get"),
            other_verb: if verb.is_some() { String::new() } else { asked },
            group: attribute("group"),
            version: Some(attribute("version")).filter(|version| !version.is_empty()).unwrap_or_else(|| "*".to_owned()),
            resource: attribute("resource"),
            subresource: attribute("subresource"),
            namespace: attribute("namespace"),
            name: attribute("name"),
            selection,
            ..Info::default()
        };
        call.server.authorizer.refresh_reach(user, &info).await?;
        decide(call.server, user, Action::Resource(&info)).await
    } else {
        let (verb, path) = (text("nonResourceAttributes", "verb"), text("nonResourceAttributes", "path"));
        decide(call.server, user, Action::Path { verb: &verb, path: &path }).await
    };
    let mut status = json!({"allowed": decision.is_allowed()});
    if decision.is_denied() {
        status["denied"] = true.into();
    }
    if !decision.reason().is_empty() {
        status["reason"] = decision.reason().into();
    }
    if let Decision::Failed(failure) = decision {
        errors.insert(0, failure.error);
    }
    if !errors.is_empty() {
        status["evaluationError"] = errors.join("; ").into();
    }
    Ok(status)
}

fn rules(call: &Call<'_>, namespace: &str) -> Value {
    let Listed { rules, unlisted, lost } = call.server.ways.rules(&call.server.authorizer, call.user, namespace);
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
    let mut status = json!({
        "resourceRules": resource_rules, "nonResourceRules": path_rules, "incomplete": !unlisted.is_empty(),
    });
    if let Err(error) = aggregate([unlisted, lost].concat()) {
        status["evaluationError"] = error.to_string().into();
    }
    status
}

async fn token(call: &Call<'_>, spec: &Value) -> Result<Value, Status> {
    let token = spec["token"].as_str().unwrap_or_default();
    if token.is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    let mut audiences = texts(&spec["audiences"]);
    if audiences.is_empty() {
        audiences = call.server.api_audiences().to_vec();
    }
    Ok(match token_user(call.server, token, &audiences, call.now).await {
        Ok(proven) => json!({"authenticated": true, "user": user_info(&proven.user), "audiences": proven.audiences}),
        Err(why) => json!({"user": Map::new(), "error": why}),
    })
}
