use std::io::Write as _;
use std::process::{Command, Stdio};

use portolan_base::error;
use portolan_catalog::{Catalog, Key, Kind};
use serde_json::{Value, json};

use super::*;
use crate::plan::{Planner, text};
use crate::testing::Namespace;
use crate::testing::objects::{put_endpoints, put_service};

/// Runs nft in a namespace.
fn nft(host: &Namespace, arguments: &[&str], input: &str) -> Result<String, String> {
    host.run(|| {
        let mut child = Command::new("nft")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("nftables is installed");
        child.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("nft reads");
        let output = child.wait_with_output().expect("nft ends");
        if output.status.success() {
            Ok(String::from_utf8(output.stdout).expect("nft writes text"))
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    })
}

/// All rules as nft understands them, without what differs from one run to the next.
fn listing(host: &Namespace) -> Vec<Value> {
    let text = nft(host, &["-j", "list", "ruleset"], "").expect("rules can be listed");
    let mut listing: Value = serde_json::from_str(&text).expect("nft writes JSON");
    let mut entries: Vec<Value> = listing["nftables"].as_array_mut().expect("a list").drain(1..).collect();
    for entry in &mut entries {
        for object in entry.as_object_mut().expect("an object").values_mut() {
            object.as_object_mut().expect("an object").remove("handle");
            if let Some(elements) = object.get_mut("elem").and_then(Value::as_array_mut) {
                elements.sort_by_cached_key(ToString::to_string);
            }
        }
    }
    // Stable: rules stay in the order of their chain.
    entries.sort_by_cached_key(|entry| {
        let (kind, object) = entry.as_object().expect("an object").iter().next().expect("one entry");
        (kind.clone(), object["chain"].to_string(), object["name"].to_string())
    });
    entries
}

fn config() -> Config {
    Config { table: "plt".into(), ..Config::new("n1", "/nonexistent") }
}

type Change = Box<dyn Fn(&mut Catalog)>;

fn service(name: &'static str, address: &'static str, extra: Value, balancer: &'static [&'static str]) -> Change {
    Box::new(move |catalog| put_service(catalog, name, address, &extra, balancer))
}

fn endpoints(name: &'static str, endpoints: &'static [(&'static str, &'static str)]) -> Change {
    Box::new(move |catalog| put_endpoints(catalog, name, endpoints))
}

fn removed(name: &'static str) -> Change {
    Box::new(move |catalog| catalog.remove(Kind::Service, &Key::new("default", name)))
}

fn many(count: usize) -> Change {
    Box::new(move |catalog| {
        for number in 0..count {
            let name = format!("s{number}");
            put_service(catalog, &name, &format!("10.43.{}.{}", 1 + number / 250, number % 250), &json!({}), &[]);
            put_endpoints(catalog, &name, &[("10.42.0.2", "n1"), ("10.42.0.3", "n2")]);
        }
    })
}

const ONE: &[(&str, &str)] = &[("10.42.0.2", "n1")];
const TWO: &[(&str, &str)] = &[("10.42.0.2", "n1"), ("10.42.1.3", "n2")];
const OTHER: &[(&str, &str)] = &[("10.42.0.9", "n1"), ("10.42.1.3", "n2"), ("10.42.1.4", "n2")];

#[test]
fn the_kernel_holds_what_nft_would_have_made_of_the_same_plan() {
    let node_port = json!([{"name": "t", "port": 80, "nodePort": 30080}]);
    let local = json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "ports": node_port});
    let ranges = |ranges: &[&str]| json!({"type": "LoadBalancer", "loadBalancerSourceRanges": ranges});
    let cases: Vec<(&str, Vec<Change>)> = vec![
        ("nothing", vec![]),
        ("a service without endpoints", vec![service("a", "10.43.0.20", json!({}), &[])]),
        (
            "endpoints come, change and go",
            vec![
                service("a", "10.43.0.20", json!({}), &[]),
                endpoints("a", ONE),
                endpoints("a", TWO),
                endpoints("a", OTHER),
                endpoints("a", &[]),
                endpoints("a", ONE),
                removed("a"),
            ],
        ),
        (
            "session affinity",
            vec![
                service("a", "10.43.0.20", json!({"sessionAffinity": "ClientIP"}), &[]),
                endpoints("a", TWO),
                endpoints("a", OTHER),
            ],
        ),
        (
            "all places, with a policy that stays on the node",
            vec![
                service("a", "10.43.0.20", local, &["10.44.0.1"]),
                endpoints("a", TWO),
                endpoints("a", &[("10.42.1.3", "n2")]),
                endpoints("a", OTHER),
            ],
        ),
        (
            "source ranges, some inside of others",
            vec![
                endpoints("a", ONE),
                service(
                    "a",
                    "10.43.0.20",
                    ranges(&["10.1.0.0/16", "10.0.0.0/8", "192.0.2.7/32", "10.0.0.0/8"]),
                    &["10.44.0.1"],
                ),
                service("a", "10.43.0.20", ranges(&["10.1.0.0/16", "0.0.0.0/0"]), &["10.44.0.1"]),
                service("a", "10.43.0.20", ranges(&["10.1.0.0/16", "nonsense"]), &["10.44.0.1"]),
            ],
        ),
        ("more than one message", vec![many(1500), endpoints("s700", OTHER), many(1400)]),
    ];
    for (name, changes) in cases {
        let (ours, peer) = (Namespace::new(), Namespace::new());
        let mut rules = ours.run(|| Rules::open(config())).expect("tests run as root");
        let (mut planner, mut catalog) = (Planner::new(config()), Catalog::new());
        let mut batches = vec![planner.replace(&catalog.snapshot())];
        for change in changes {
            change(&mut catalog);
            batches.push(planner.update(&catalog.snapshot()));
        }
        for batch in &batches {
            let text = text::of(batch, &config());
            nft(&peer, &["-f", "-"], &text).unwrap_or_else(|error| panic!("{name}: {error}"));
            rules.apply(batch).unwrap_or_else(|error| panic!("{name}: {}", error::chain(&error)));
        }
        let (ours, peer) = (listing(&ours), listing(&peer));
        assert!(ours.len() > 40 && ours.len() == peer.len(), "{name}: {} and {}", ours.len(), peer.len());
        for (ours, peer) in ours.iter().zip(&peer) {
            assert_eq!(ours, peer, "{name}");
        }
    }
}

/// A table with one service, its rules and what makes them.
struct Table {
    host: Namespace,
    rules: Rules,
    planner: Planner,
    catalog: Catalog,
}

impl Table {
    fn new() -> Self {
        let host = Namespace::new();
        let mut rules = host.run(|| Rules::open(config())).expect("tests run as root");
        let (mut planner, mut catalog) = (Planner::new(config()), Catalog::new());
        put_service(&mut catalog, "a", "10.43.0.20", &json!({}), &[]);
        put_endpoints(&mut catalog, "a", ONE);
        rules.apply(&planner.replace(&catalog.snapshot())).expect("the table can be made");
        Self { host, rules, planner, catalog }
    }

    /// The batch for a change of the service's endpoints.
    fn endpoints(&mut self, endpoints: &[(&str, &str)]) -> Batch {
        put_endpoints(&mut self.catalog, "a", endpoints);
        self.planner.update(&self.catalog.snapshot())
    }
}

#[test]
fn a_batch_that_does_not_fit_changes_nothing_and_names_the_element() {
    let mut table = Table::new();
    let elsewhere = Table::new();
    // Three endpoints in place of one: a new chain, elements to delete and to add.
    let batch = table.endpoints(OTHER);
    let mut rules = elsewhere.rules;
    let missing = "10.43.0.20 . udp . 80 . 0x70000000";
    // The last element to be deleted is gone, by a hand that told us.
    nft(&elsewhere.host, &["-f", "-"], &format!("delete element ip plt endpoints {{ {missing} }}"))
        .expect("it is there");
    rules.changed().expect("news can be read");
    rules.changed = None;
    let before = listing(&elsewhere.host);
    let failure = rules.apply(&batch).expect_err("an element is missing");
    let expected = format!(
        "the kernel refused to delete element endpoints {{ {missing} }}: No such file or directory (os error 2)"
    );
    assert_eq!(error::chain(&failure).to_string(), expected);
    assert_eq!(listing(&elsewhere.host), before);
    // The socket is as good as before.
    rules.apply(&Batch::empty_table()).expect("the table can be replaced");
}

#[test]
fn a_change_is_not_applied_to_a_table_that_somebody_else_changed() {
    let changes = [
        ("nothing of ours", "add table ip other", false),
        ("a table of the same name but another family", "add table ip6 plt", false),
        ("an element", "add element ip plt services { 10.43.0.21 . tcp . 80 : drop }", true),
        ("a rule", "add rule ip plt dispatch drop", true),
        ("the table", "delete table ip plt", true),
        ("everything", "flush ruleset", true),
    ];
    for (name, command, is_ours) in changes {
        let mut table = Table::new();
        let wanted = listing(&table.host);
        nft(&table.host, &["-f", "-"], command).expect("nft does what it is told");
        let batch = table.endpoints(TWO);
        match table.rules.apply(&batch) {
            Ok(()) => assert!(!is_ours, "{name}"),
            Err(ApplyError::Changed(Author::Process { name: program, .. })) => {
                assert!(is_ours && program == "nft", "{name}: {program}");
                table.endpoints(ONE);
                let whole = table.planner.replace(&table.catalog.snapshot());
                table.rules.apply(&whole).expect("the table can be replaced");
                assert_eq!(listing(&table.host), wanted, "{name}");
                let batch = table.endpoints(TWO);
                table.rules.apply(&batch).expect("what was repaired can be changed");
            }
            Err(failure) => panic!("{name}: {}", error::chain(&failure)),
        }
    }
}

#[test]
fn a_change_between_news_and_batch_is_noticed_by_its_generation() {
    let mut table = Table::new();
    let batch = table.endpoints(TWO);
    table.rules.changed().expect("news can be read");
    // As if these were made after the news were read: the generation is then an old one.
    table.rules.generation -= 1;
    table.rules.events = table.host.run(|| Events::open("plt", table.rules.socket.port())).expect("it can be opened");
    let failure = table.rules.apply(&batch).expect_err("the generation is another one");
    assert!(matches!(failure, ApplyError::Changed(Author::Unknown)), "{failure:?}");
    table.rules.apply(&table.planner.replace(&table.catalog.snapshot())).expect("the table can be replaced");
}

#[test]
fn own_changes_are_no_news_however_many() {
    let mut table = Table::new();
    many(6000)(&mut table.catalog);
    for _ in 0..2 {
        let whole = table.planner.replace(&table.catalog.snapshot());
        table.rules.apply(&whole).expect("the table can be replaced");
        assert_eq!(table.rules.changed().expect("news can be read"), None);
    }
}

#[test]
fn news_that_are_lost_count_as_a_change_once() {
    let mut table = Table::new();
    many(6000)(&mut table.catalog);
    let whole = table.planner.replace(&table.catalog.snapshot());
    // More at once than there is room for.
    nft(&table.host, &["-f", "-"], &text::of(&whole, &config())).expect("nft makes the same rules");
    let batch = table.endpoints(TWO);
    let failure = table.rules.apply(&batch).expect_err("news were lost");
    assert!(matches!(failure, ApplyError::Changed(Author::Unknown)), "{failure:?}");
    table.rules.apply(&table.planner.replace(&table.catalog.snapshot())).expect("the table can be replaced");
    for endpoints in [ONE, OTHER] {
        let batch = table.endpoints(endpoints);
        table.rules.apply(&batch).expect("what was replaced can be changed");
    }
}

/// Waits until the rules of `watcher`'s namespace are these.
fn until(watcher: &mut Rules, host: &Namespace, wanted: &[Value]) {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd as _;

    while listing(host) != wanted {
        let news = watcher.events();
        let mut descriptors = [PollFd::new(news.as_fd(), PollFlags::POLLIN)];
        let ready = poll(&mut descriptors, PollTimeout::from(10_000_u16)).expect("it can be waited for");
        assert!(ready > 0, "nothing happens, but the rules are {:#?}", listing(host));
        watcher.changed().expect("news can be read");
    }
}

#[test]
fn the_loop_replaces_what_it_finds_and_repairs_what_others_do() {
    let (mut one, mut two) = (Table::new(), Table::new());
    let batch = two.endpoints(TWO);
    two.rules.apply(&batch).expect("the endpoints change");
    let (wanted, wanted_then) = (listing(&one.host), listing(&two.host));

    // What an older run with other settings left.
    let host = Namespace::new();
    let older = Config { service_cidr: "10.99.0.0/16".parse().expect("a network"), bridge: "old0".into(), ..config() };
    let mut left = host.run(|| Rules::open(older)).expect("tests run as root");
    left.apply(&Batch::empty_table()).expect("the table can be made");

    let mut watcher = host.run(|| Rules::open(config())).expect("tests run as root");
    let (sender, snapshots) = tokio::sync::watch::channel(one.catalog.snapshot());
    let shutdown = portolan_base::Shutdown::default();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            host.run(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                let readiness = portolan_base::Readiness::default();
                runtime.block_on(crate::run(config(), snapshots, readiness, shutdown.clone()));
            });
        });
        // Ends the loop even if this test fails.
        let _stop = StopOnDrop(&shutdown);
        until(&mut watcher, &host, &wanted);
        for command in ["flush ruleset", "add rule ip plt dispatch drop", "delete table ip plt"] {
            nft(&host, &["-f", "-"], command).expect("nft does what it is told");
            until(&mut watcher, &host, &wanted);
        }
        one.endpoints(TWO);
        sender.send(one.catalog.snapshot()).expect("the loop listens");
        until(&mut watcher, &host, &wanted_then);
    });
}

struct StopOnDrop<'a>(&'a portolan_base::Shutdown);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.request();
    }
}
