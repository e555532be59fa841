use serde_json::{Value, json};

use super::{Entry, Graph};

/// So many splitters or redirects behind each other would not fit on a stack, nor would it end if each were followed
/// once for every one before it.
const MANY: usize = 20_000;

fn entry(value: Value) -> Entry {
    value.as_object().expect("an object").clone()
}

fn global(protocol: &str) -> Entry {
    entry(json!({"Kind": "proxy-defaults", "Name": "global", "Config": {"protocol": protocol}}))
}

fn defaults(name: &str, protocol: &str) -> Entry {
    entry(json!({"Kind": "service-defaults", "Name": name, "Protocol": protocol}))
}

fn splitter(name: &str, to: &[&str]) -> Entry {
    let splits: Vec<Value> = to.iter().map(|to| json!({"Service": to})).collect();
    entry(json!({"Kind": "service-splitter", "Name": name, "Splits": splits}))
}

fn redirect(name: &str, to: &str) -> Entry {
    entry(json!({"Kind": "service-resolver", "Name": name, "Redirect": {"Service": to}}))
}

fn failover(name: &str, to: &str) -> Entry {
    entry(json!({"Kind": "service-resolver", "Name": name, "Failover": {"*": {"Service": to}}}))
}

fn router(name: &str, to: &str) -> Entry {
    entry(json!({"Kind": "service-router", "Name": name, "Routes": [{"Destination": {"Service": to}}]}))
}

fn check(entries: &[Entry], kind: &str, name: &str) -> Result<(), String> {
    Graph::of(entries).check(kind, name)
}

#[test]
fn long_chains_are_followed() {
    let service = |at: usize| format!("s{at:05}");
    let (first, last) = (service(0), service(MANY));
    let splitters = || (0..MANY).map(|at| splitter(&service(at), &[&service(at + 1)]));
    let redirects = || (0..MANY).map(|at| redirect(&service(at), &service(at + 1)));
    let failovers = (0..MANY).map(|at| failover(&format!("f{at:05}"), &first));
    for (what, entries) in [
        ("splitters", splitters().collect::<Vec<_>>()),
        ("redirects", redirects().collect()),
        ("redirects of who takes over", redirects().chain(failovers).collect()),
    ] {
        let all = |last: Entry| entries.iter().cloned().chain([global("http"), last]).collect::<Vec<_>>();
        let sound = all(defaults(&last, "http"));
        assert_eq!(check(&sound, "service-splitter", &first), Ok(()), "{what}");
        assert_eq!(check(&sound, "proxy-defaults", "global"), Ok(()), "{what}");
    }
    let circle = splitters().chain([global("http"), splitter(&last, &[&first])]).collect::<Vec<_>>();
    let found = check(&circle, "service-splitter", &last).expect_err("it leads to itself");
    assert!(found.starts_with("detected circular reference: [splitter:s19999.default.default -> splitter:s20000."));
    assert_eq!(found.matches(" -> ").count(), MANY + 1);
    let circle = redirects().chain([redirect(&last, &first)]).collect::<Vec<_>>();
    let found = check(&circle, "service-resolver", &last).expect_err("it leads to itself");
    assert!(found.starts_with("detected circular resolver redirect: [s19999.default.default.dc1 -> s20000."));
    assert_eq!(found.matches(" -> ").count(), MANY + 1);
}

/// A place behind several services is followed for the first of them; the others must still fit to it.
#[test]
fn what_several_lead_to_fits_to_each() {
    let other = |chain: &str, service: &str, has: &str, known: &str| {
        Err(format!(
            "discovery chain {chain:?} uses inconsistent protocols; service {service:?} has {has:?} which is not \
             {known:?}"
        ))
    };
    let both = |shared: Entry, end: Entry, b: Entry| {
        vec![global("http"), splitter("a", &["shared"]), shared, end, b, splitter("b", &["own", "shared"])]
    };
    let split = || splitter("shared", &["end", "end2"]);
    let moved = || redirect("shared", "end");
    for (entries, expected) in [
        (both(split(), defaults("end", "http"), defaults("own", "http")), Ok(())),
        (both(split(), defaults("end", "http"), defaults("own", "grpc")), other("b", "end", "http", "grpc")),
        (both(split(), defaults("end2", "grpc"), defaults("own", "http")), other("a", "end2", "grpc", "http")),
        (both(moved(), defaults("end", "http"), defaults("own", "http")), Ok(())),
        (both(moved(), defaults("end", "http"), defaults("own", "grpc")), other("b", "shared", "http", "grpc")),
        (both(moved(), defaults("end", "grpc"), defaults("own", "grpc")), other("a", "end", "grpc", "http")),
        // A splitter that was followed is one of requests also for who comes to it later.
        (
            vec![
                splitter("a", &["b"]),
                defaults("c", "http"),
                splitter("b", &["c"]),
                router("z", "b"),
                defaults("z", "tcp"),
            ],
            other("z", "c", "http", "tcp"),
        ),
    ] {
        assert_eq!(check(&entries, "proxy-defaults", "global"), expected, "{entries:?}");
    }
}
