//! What clients send and read, and that nothing they send breaks the decoder.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// As Netflix's Java client registers in XML.
const JAVA_XML: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<instance>
  <instanceId>h1:billing:8080</instanceId><hostName>h1.example</hostName><app>BILLING</app><ipAddr>10.0.0.7</ipAddr>
  <status>STARTING</status><overriddenstatus>UNKNOWN</overriddenstatus>
  <port enabled="true">8080</port><securePort enabled="false">443</securePort><countryId>1</countryId>
  <dataCenterInfo class="com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo"><name>MyOwn</name></dataCenterInfo>
  <leaseInfo><renewalIntervalInSecs>5</renewalIntervalInSecs><durationInSecs>15</durationInSecs>
    <registrationTimestamp>0</registrationTimestamp></leaseInfo>
  <metadata><management.port>8081</management.port><a__b>x &amp; y</a__b></metadata>
  <homePageUrl>http://h1.example:8080/</homePageUrl><vipAddress>billing</vipAddress>
  <isCoordinatingDiscoveryServer>false</isCoordinatingDiscoveryServer>
  <lastUpdatedTimestamp>1700000000001</lastUpdatedTimestamp><lastDirtyTimestamp>1700000000000</lastDirtyTimestamp>
</instance>"#;

/// The same instance as Spring's client registers it in JSON.
const SPRING_JSON: &str = r#"{"instance": {
  "instanceId": "h1:billing:8080", "hostName": "h1.example", "app": "billing", "ipAddr": "10.0.0.7",
  "status": "STARTING", "overriddenStatus": "UNKNOWN", "port": {"$": 8080, "@enabled": "true"},
  "securePort": {"$": "443", "@enabled": false}, "countryId": 1,
  "dataCenterInfo": {"@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo", "name": "MyOwn"},
  "leaseInfo": {"renewalIntervalInSecs": 5, "durationInSecs": "15", "registrationTimestamp": 0},
  "metadata": {"@class": "java.util.HashMap", "management.port": 8081, "a_b": "x & y"},
  "homePageUrl": "http://h1.example:8080/", "vipAddress": "billing", "isCoordinatingDiscoveryServer": "false",
  "lastUpdatedTimestamp": "1700000000001", "lastDirtyTimestamp": "1700000000000", "somethingNew": [1, {"x": 2}]}}"#;

fn decode(text: &str) -> Result<InstanceInfo, String> {
    let body = body(text.as_bytes())?;
    instance(&body["instance"])
}

fn billing() -> InstanceInfo {
    InstanceInfo {
        instance_id: "h1:billing:8080".into(),
        host_name: "h1.example".into(),
        app: "BILLING".into(),
        ip_address: "10.0.0.7".into(),
        status: InstanceStatus::Starting,
        port: Some(Port { number: 8080, enabled: true }),
        secure_port: Some(Port { number: 443, enabled: false }),
        country_id: 1,
        data_center: Some(DataCenter { name: "MyOwn".into(), metadata: BTreeMap::new() }),
        lease: Lease { renewal_seconds: 5, duration_seconds: 15, ..Lease::default() },
        metadata: [("management.port", "8081"), ("a_b", "x & y")].map(|(key, value)| (key.into(), value.into())).into(),
        home_page_url: "http://h1.example:8080/".into(),
        vip_address: "billing".into(),
        last_updated: 1_700_000_000_001,
        last_dirty: 1_700_000_000_000,
        ..InstanceInfo::default()
    }
}

fn written(info: &InstanceInfo, format: Format, view: View) -> String {
    let text = instance_fragment(info, format, view);
    envelope(&Document::Instance, format, [("", [(text.as_str(), Action::Added)])])
}

#[test]
fn xml_and_json_of_the_published_clients_say_the_same() {
    assert_eq!(decode(JAVA_XML).expect("XML"), billing());
    assert_eq!(decode(SPRING_JSON).expect("JSON"), billing());
}

#[test]
fn json_answers_have_the_shape_that_java_clients_expect() {
    let value: Value = serde_json::from_str(&written(&billing(), Format::Json, View::Full)).expect("JSON");
    let expected = json!({"instance": {
        "instanceId": "h1:billing:8080", "hostName": "h1.example", "app": "BILLING", "ipAddr": "10.0.0.7",
        "status": "STARTING", "overriddenStatus": "UNKNOWN", "port": {"$": 8080, "@enabled": "true"},
        "securePort": {"$": 443, "@enabled": "false"}, "countryId": 1,
        "dataCenterInfo": {"@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo", "name": "MyOwn"},
        "leaseInfo": {"renewalIntervalInSecs": 5, "durationInSecs": 15, "registrationTimestamp": 0,
            "lastRenewalTimestamp": 0, "evictionTimestamp": 0, "serviceUpTimestamp": 0},
        "metadata": {"management.port": "8081", "a_b": "x & y"}, "homePageUrl": "http://h1.example:8080/",
        "vipAddress": "billing", "isCoordinatingDiscoveryServer": "false",
        "lastUpdatedTimestamp": "1700000000001", "lastDirtyTimestamp": "1700000000000", "actionType": "ADDED"}});
    assert_eq!(value, expected);
    let bare = InstanceInfo { metadata: BTreeMap::new(), ..billing() };
    let value: Value = serde_json::from_str(&written(&bare, Format::Json, View::Full)).expect("JSON");
    assert_eq!(value["instance"]["metadata"], json!({"@class": "java.util.Collections$EmptyMap"}));
    let value: Value = serde_json::from_str(&written(&bare, Format::Json, View::Compact)).expect("JSON");
    for left_out in ["metadata", "leaseInfo", "overriddenStatus", "homePageUrl", "lastDirtyTimestamp", "countryId"] {
        assert_eq!(value["instance"][left_out], Value::Null, "{left_out}");
    }
    assert_eq!(value["instance"]["port"]["$"], 8080);
}

#[test]
fn xml_answers_have_the_shape_that_xstream_writes() {
    let text = written(&billing(), Format::Xml, View::Full);
    let expected = concat!(
        "<instance><instanceId>h1:billing:8080</instanceId><hostName>h1.example</hostName><app>BILLING</app>",
        "<ipAddr>10.0.0.7</ipAddr><status>STARTING</status><overriddenstatus>UNKNOWN</overriddenstatus>",
        "<port enabled=\"true\">8080</port><securePort enabled=\"false\">443</securePort><countryId>1</countryId>",
        "<dataCenterInfo class=\"com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo\"><name>MyOwn</name></dataCenterInfo>",
        "<leaseInfo><renewalIntervalInSecs>5</renewalIntervalInSecs><durationInSecs>15</durationInSecs>",
        "<registrationTimestamp>0</registrationTimestamp><lastRenewalTimestamp>0</lastRenewalTimestamp>",
        "<evictionTimestamp>0</evictionTimestamp><serviceUpTimestamp>0</serviceUpTimestamp></leaseInfo>",
        "<metadata><a__b>x &amp; y</a__b><management.port>8081</management.port></metadata>",
        "<homePageUrl>http://h1.example:8080/</homePageUrl><vipAddress>billing</vipAddress>",
        "<isCoordinatingDiscoveryServer>false</isCoordinatingDiscoveryServer>",
        "<lastUpdatedTimestamp>1700000000001</lastUpdatedTimestamp><lastDirtyTimestamp>1700000000000</lastDirtyTimestamp>",
        "<actionType>ADDED</actionType></instance>",
    );
    assert_eq!(text, expected);
    let bare = InstanceInfo { metadata: BTreeMap::new(), ..billing() };
    let empty = "<metadata class=\"java.util.Collections$EmptyMap\"/>";
    assert!(written(&bare, Format::Xml, View::Full).contains(empty));
    assert!(!written(&bare, Format::Xml, View::Compact).contains("<metadata"));
}

#[test]
fn lists_carry_version_and_hash_code() {
    let document = Document::Applications { version: Some(7), hash: "DOWN_1_UP_2_" };
    let none: [(&str, [(&str, Action); 0]); 0] = [];
    let cases = [
        (Format::Json, r#"{"applications":{"versions__delta":"7","apps__hashcode":"DOWN_1_UP_2_","application":[]}}"#),
        (
            Format::Xml,
            "<applications><versions__delta>7</versions__delta><apps__hashcode>DOWN_1_UP_2_</apps__hashcode></applications>",
        ),
    ];
    for (format, expected) in cases {
        assert_eq!(envelope(&document, format, none), expected);
    }
    let apps = [("A", vec![("{\"x\":1", Action::Deleted), ("{\"x\":2", Action::Modified)]), ("B", vec![])];
    let text = envelope(&document, Format::Json, apps);
    let value: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(value["applications"]["application"][0]["instance"][0], json!({"x": 1, "actionType": "DELETED"}));
    assert_eq!(value["applications"]["application"][1], json!({"name": "B", "instance": []}));
}

#[test]
fn requests_come_in_many_shapes() {
    let port = |value: Value| instance(&json!({"instanceId": "i", "port": value})).map(|info| info.port);
    let on = |number| Ok(Some(Port { number, enabled: true }));
    let cases = [
        (json!({"$": 80, "@enabled": "true"}), on(80)),
        (json!({"$": "80", "@enabled": true}), on(80)),
        (json!({"$": 80, "enabled": true}), on(80)),
        (json!(80), on(80)),
        (json!("80"), on(80)),
        (json!({"$": 80, "@enabled": "false"}), Ok(Some(Port { number: 80, enabled: false }))),
        (Value::Null, on(7001)),
    ];
    for (value, expected) in cases {
        assert_eq!(port(value.clone()), expected, "{value}");
    }
    assert!(port(json!({"$": 70000})).expect_err("refused").contains("70000 is not a port number"));
    let without_id = instance(&json!({"hostName": "h", "app": "a"})).expect("decodes");
    assert_eq!(without_id.instance_id, "h");
    let lease = instance(&json!({"leaseInfo": {"durationInSecs": 0}})).expect("decodes").lease;
    assert_eq!((lease.duration_seconds, lease.renewal_seconds), (90, 30));
}

#[test]
fn what_is_not_a_document_is_refused_in_words() {
    let cases = [
        ("", "empty"),
        ("<instance>", "well-formed"),
        ("<a></b>", "well-formed"),
        ("<a>&unknown;</a>", "unknown entity"),
        ("{\"instance\":", "not JSON"),
        ("nonsense", "not JSON"),
    ];
    for (text, words) in cases {
        let problem = body(text.as_bytes()).expect_err(text);
        assert!(problem.contains(words), "{text}: {problem}");
    }
    let deep = "<a>".repeat(100);
    assert!(body(deep.as_bytes()).expect_err("refused").contains("nested"));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(value) = body(&bytes) {
            let _ = instance(&value);
        }
    }

    #[test]
    fn arbitrary_markup_never_panics(text in "[<>/a-z&;=\"'!?\\[\\]-]{0,80}") {
        let _ = body(text.as_bytes());
    }

    #[test]
    fn names_of_elements_and_keys_are_each_others_reverse(key in "[\u{1}-\u{ff00}]{1,12}") {
        let name = xml::encode_name(&key).expect("within the plane");
        prop_assert_eq!(xml::decode_name(&name), key);
    }

    #[test]
    fn what_was_written_reads_back(
        id in "[ -~]{1,20}", value in "[ -~]{0,20}", key in "[a-zA-Z_$. /:-]{1,10}", up in any::<bool>(), port in any::<u16>(),
    ) {
        let value = value.trim().to_owned();
        let status = if up { InstanceStatus::Up } else { InstanceStatus::OutOfService };
        let info = InstanceInfo {
            instance_id: format!("i{}", id.trim()), status, metadata: [(key, value)].into(),
            port: Some(Port { number: port, enabled: up }), ..billing()
        };
        for format in [Format::Xml, Format::Json] {
            let text = written(&info, format, View::Full);
            prop_assert_eq!(decode(&text).expect("our own text"), info.clone());
        }
    }
}
