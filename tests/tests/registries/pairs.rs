//! What is registered by one way is found by every other, at once.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use portolan_tests::{Cluster, Dialects, ask, done, resolve};
use serde_json::json;

use crate::support::eureka_instance;

/// What the registry promises.
const PROMISED: Duration = Duration::from_millis(100);
/// Where a single look of the reader takes a good part of that, the machine is too busy to tell; then as many looks.
const LOOKS: u32 = 20;
/// A single time says how busy the machine was at that moment, so the best of several counts: as many at least, and
/// as many at most for a pair that is late.
const TURNS: std::ops::RangeInclusive<usize> = 3..=12;
/// What fails: nobody finds it.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a reader looks.
const GLANCE: Duration = Duration::from_millis(2);

/// A cluster, where to ask, and what two watching kubectl have printed so far.
struct World {
    cluster: Cluster,
    dialects: Dialects,
    printed: Arc<Mutex<Vec<(Instant, String)>>>,
    watching: Vec<Child>,
}

/// How soon a reader found something, and how long a look takes it.
#[derive(Debug, Clone, Copy)]
struct Time {
    found: Duration,
    look: Duration,
}

impl Time {
    fn is_late(self) -> bool {
        self.found > PROMISED.max(self.look * LOOKS)
    }

    fn best(self, other: Self) -> Self {
        Self { found: self.found.min(other.found), look: self.look.min(other.look) }
    }
}

type Write = fn(&World, &str, &str) -> anyhow::Result<()>;
type Sees = fn(&World, &str, &str) -> anyhow::Result<bool>;

/// Ways in: each registers a service at an address.
const WRITERS: &[(&str, Write)] = &[
    ("eureka", |world, service, address| {
        let instance = eureka_instance(service, &format!("{service}-1"), address, 900);
        done(&world.dialects.eureka, "POST", &format!("/eureka/apps/{}", service.to_uppercase()), &instance).map(drop)
    }),
    ("consul agent", |world, service, address| {
        let body = json!({"Name": service, "Address": address, "Port": 80}).to_string();
        done(&world.dialects.consul, "PUT", "/v1/agent/service/register", &body).map(drop)
    }),
    ("consul catalog", |world, service, address| {
        let body =
            json!({"Node": "vm", "Address": address, "Service": {"Service": service, "Address": address, "Port": 80}});
        done(&world.dialects.consul, "PUT", "/v1/catalog/register", &body.to_string()).map(drop)
    }),
    ("consul txn", |world, service, address| {
        let service = json!({"Service": service, "ID": service, "Address": address, "Port": 80});
        let steps = json!([
            {"Node": {"Verb": "set", "Node": {"Node": "vm", "Address": address}}},
            {"Service": {"Verb": "set", "Node": "vm", "Service": service}},
        ]);
        done(&world.dialects.consul, "PUT", "/v1/txn", &steps.to_string()).map(drop)
    }),
    ("native", |world, service, address| {
        let body = json!({"service": service, "id": service, "address": address, "port": 80, "ttlSeconds": 600});
        done(&world.dialects.native, "POST", "/registry/instances", &body.to_string()).map(drop)
    }),
    ("kubectl instance", |world, service, address| {
        let object = json!({
            "apiVersion": "registry.portolan.dev/v1", "kind": "ServiceInstance", "metadata": {"name": service},
            "spec": {"service": service, "instanceId": service, "address": address, "ports": [{"port": 80}]},
        });
        world.cluster.kubectl_with("create", &object.to_string()).map(drop)
    }),
    ("kubectl slice", |world, service, address| {
        let of = json!({"kubernetes.io/service-name": service});
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": service},
             "spec": {"clusterIP": "None", "ports": [{"name": "http", "port": 80}]}},
            {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": service, "labels": of},
             "addressType": "IPv4", "ports": [{"name": "http", "port": 80}],
             "endpoints": [{"addresses": [address], "conditions": {"ready": true}}]},
        ]});
        world.cluster.kubectl_with("create", &list.to_string()).map(drop)
    }),
];

/// Ways out: each says whether it finds the service at the address.
const READERS: &[(&str, Sees)] = &[
    ("dns consul", |world, service, address| names(world, &format!("{service}.service.consul"), address)),
    ("dns cluster", |world, service, address| names(world, &format!("{service}.default.svc.cluster.local"), address)),
    ("consul", |world, service, address| {
        finds(&world.dialects.consul, &format!("/v1/health/service/{service}?passing"), address)
    }),
    ("eureka", |world, service, address| {
        finds(&world.dialects.eureka, &format!("/eureka/apps/{}", service.to_uppercase()), address)
    }),
    ("native", |world, service, address| {
        finds(&world.dialects.native, &format!("/registry/instances?service={service}&health=passing"), address)
    }),
    ("kubectl", |world, _, address| {
        let printed = world.printed.lock().expect("nobody panicked with it");
        Ok(printed.iter().any(|(_, line)| line.split_whitespace().any(|word| word == address)))
    }),
];

fn names(world: &World, name: &str, address: &str) -> anyhow::Result<bool> {
    // An unknown name is an error of the helper.
    Ok(resolve(&world.cluster.name_server(), name).is_ok_and(|found| found.iter().any(|it| it.to_string() == address)))
}

fn finds(dialect: &str, path: &str, address: &str) -> anyhow::Result<bool> {
    let (code, answer) = ask(dialect, "GET", path, "")?;
    ensure!(code == 200 || code == 404, "{path}: {code} {answer}");
    Ok(code == 200 && answer.contains(&format!("\"{address}\"")))
}

impl World {
    fn start() -> anyhow::Result<Self> {
        let cluster = Cluster::start()?;
        let dialects = Dialects::of(&cluster)?;
        let mut world = Self { cluster, dialects, printed: Arc::default(), watching: Vec::new() };
        world.watch("serviceinstances", "A:.spec.address")?;
        world.watch("endpointslices", "A:.endpoints[*].addresses[*]")?;
        Ok(world)
    }

    /// Lets kubectl print what it sees of a kind as it happens.
    fn watch(&mut self, kind: &str, columns: &str) -> anyhow::Result<()> {
        let mut kubectl = self.cluster.kubectl_command();
        kubectl.args(["get", kind, "--watch", "--no-headers", "-o", &format!("custom-columns={columns}")]);
        let mut child = kubectl.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let lines = BufReader::new(child.stdout.take().context("a pipe")?).lines();
        self.watching.push(child);
        let printed = self.printed.clone();
        // It ends with the process that it reads from.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                printed.lock().expect("nobody panicked with it").push((Instant::now(), line));
            }
        });
        Ok(())
    }

    /// When each reader found the service, counted from the end of the writer's request, and its quickest look.
    fn times(&self, write: Write, service: &str, address: &str) -> anyhow::Result<Vec<Time>> {
        std::thread::scope(|scope| {
            let started = Instant::now();
            let readers: Vec<_> = READERS
                .iter()
                .map(|(name, sees)| {
                    scope.spawn(move || -> anyhow::Result<(Instant, Duration)> {
                        let mut look = Duration::MAX;
                        loop {
                            let begun = Instant::now();
                            let sees = sees(self, service, address).with_context(|| (*name).to_owned())?;
                            look = look.min(begun.elapsed());
                            if sees {
                                return Ok((Instant::now(), look));
                            }
                            ensure!(started.elapsed() < PATIENCE, "{name} never finds {service}");
                            std::thread::sleep(GLANCE);
                        }
                    })
                })
                .collect();
            write(self, service, address)?;
            let acknowledged = Instant::now();
            let found = readers.into_iter().map(|reader| reader.join().expect("a reader does not panic"));
            let time =
                |(at, look): (Instant, Duration)| Time { found: at.saturating_duration_since(acknowledged), look };
            found.map(|found| found.map(time)).collect()
        })
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for child in &mut self.watching {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn what_is_registered_by_one_way_is_found_by_every_other_at_once() {
    let world = World::start().expect("started");
    let mut best: BTreeMap<(&str, &str), Time> = BTreeMap::new();
    for (number, (writer, write)) in WRITERS.iter().enumerate() {
        for turn in 1..=*TURNS.end() {
            let service = format!("pair-{number}-{turn}");
            let address = format!("192.0.2.{}", number * TURNS.end() + turn);
            let times = world.times(*write, &service, &address).unwrap_or_else(|error| panic!("{writer}: {error:#}"));
            let mut late = false;
            for ((reader, _), time) in READERS.iter().zip(times) {
                let known = best.entry((writer, reader)).or_insert(time);
                *known = time.best(*known);
                late |= known.is_late();
            }
            if turn >= *TURNS.start() && !late {
                break;
            }
        }
    }
    println!("milliseconds from the answer to the writer (rows) until a reader (columns) finds it:");
    print!("{:17}", "");
    READERS.iter().for_each(|(reader, _)| print!("{reader:>12}"));
    println!();
    for (writer, _) in WRITERS {
        print!("{writer:17}");
        for (reader, _) in READERS {
            print!("{:12.1}", best[&(*writer, *reader)].found.as_secs_f64() * 1000.0);
        }
        println!();
    }
    let late: Vec<_> = best.iter().filter(|(_, time)| time.is_late()).collect();
    assert!(late.is_empty(), "never found within {PROMISED:?}, nor within {LOOKS} looks: {late:?}");
}
