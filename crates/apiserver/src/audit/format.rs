//! What a record looks like in a file.

use portolan_base::go;
use serde_json::Value;

/// What a record looks like in a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// One line of text with the most important facts.
    Legacy,
    /// An object on a line.
    #[default]
    Json,
}

/// A record as a line.
pub(super) fn line(event: &Value, format: Format) -> Vec<u8> {
    let mut line = match format {
        Format::Json => event.to_string(),
        Format::Legacy => legacy(event),
    };
    line.push('\n');
    line.into_bytes()
}

/// Source: `k8s.io/apiserver/pkg/audit`, `EventString`.
fn legacy(event: &Value) -> String {
    let text =
        |value: &Value, otherwise: &str| go::quote(value.as_str().filter(|text| !text.is_empty()).unwrap_or(otherwise));
    let groups = |user: &Value| {
        let groups = user["groups"].as_array()?;
        let quoted: Vec<String> = groups.iter().map(|group| go::quote(group.as_str().unwrap_or_default())).collect();
        Some(quoted.join(","))
    };
    let (user, acting) = (&event["user"], &event["impersonatedUser"]);
    let of_user = groups(user).filter(|groups| !groups.is_empty() && user["username"] != "");
    let response = match &event["responseStatus"]["code"] {
        Value::Null => "<deferred>".to_owned(),
        code => code.to_string(),
    };
    format!(
        "{} AUDIT: id={} stage={} ip={} method={} user={} groups={} as={} asgroups={} user-agent={} namespace={} \
         uri={} response=\"{response}\"",
        event["requestReceivedTimestamp"].as_str().unwrap_or_default(),
        text(&event["auditID"], ""),
        text(&event["stage"], ""),
        text(&event["sourceIPs"][0], "<unknown>"),
        text(&event["verb"], ""),
        text(&user["username"], "<none>"),
        go::quote(of_user.as_deref().unwrap_or("<none>")),
        text(&acting["username"], "<self>"),
        go::quote(groups(acting).as_deref().unwrap_or("<lookup>")),
        text(&event["userAgent"], ""),
        text(&event["objectRef"]["namespace"], "<none>"),
        text(&event["requestURI"], ""),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_of_text_has_what_upstreams_has() {
        let event = json!({
            "auditID": "a1", "stage": "ResponseComplete", "requestURI": "/api/v1/namespaces/d/pods", "verb": "list",
            "requestReceivedTimestamp": "2026-01-02T03:04:05.000000Z", "sourceIPs": ["192.0.2.1"],
            "user": {"username": "ann", "groups": ["dev", "system:authenticated"]},
            "impersonatedUser": {"username": "bob"}, "userAgent": "kubectl", "responseStatus": {"code": 200},
            "objectRef": {"resource": "pods", "namespace": "d"},
        });
        let text = |event: &Value| String::from_utf8(line(event, Format::Legacy)).expect("text");
        assert_eq!(
            text(&event),
            "2026-01-02T03:04:05.000000Z AUDIT: id=\"a1\" stage=\"ResponseComplete\" ip=\"192.0.2.1\" method=\"list\" \
             user=\"ann\" groups=\"\\\"dev\\\",\\\"system:authenticated\\\"\" as=\"bob\" asgroups=\"<lookup>\" \
             user-agent=\"kubectl\" namespace=\"d\" uri=\"/api/v1/namespaces/d/pods\" response=\"200\"\n"
        );
        let nobody = text(&json!({"user": {}}));
        assert!(nobody.contains("ip=\"<unknown>\""), "{nobody}");
        assert!(nobody.contains("user=\"<none>\" groups=\"<none>\" as=\"<self>\""), "{nobody}");
        assert!(nobody.ends_with("namespace=\"<none>\" uri=\"\" response=\"<deferred>\"\n"), "{nobody}");
    }
}
