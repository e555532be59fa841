//! `kill -9` of the server under a thousand registering clients.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use portolan_tests::{Cluster, ask, done, eventually};
use serde_json::{Value, json};

use crate::support::free_port;

const CLIENTS: usize = 1000;
/// Each of them serves its share of the clients.
const THREADS: usize = 20;
/// Long enough for clients that share two busy cores with the server; they renew four times as often.
const LEASE: Duration = Duration::from_secs(30);
/// How often who polls looks.
const GLANCE: Duration = Duration::from_millis(300);
/// How long registering may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);
/// How soon a client asks again that got no answer.
const PAUSE: Duration = Duration::from_millis(20);

/// What all see of the life of the crowd.
struct Crowd {
    native: String,
    consul: String,
    /// Ids whose registration was acknowledged.
    acknowledged: Mutex<BTreeSet<String>>,
    /// Whether the server was killed, so that requests may fail.
    killed: AtomicBool,
    over: AtomicBool,
    renewals: AtomicUsize,
    /// What went wrong.
    complaints: Mutex<Vec<String>>,
}

impl Crowd {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    fn complain(&self, error: &anyhow::Error) {
        self.complaints.lock().expect("nobody panicked with it").push(format!("{error:#}"));
        self.over.store(true, Ordering::SeqCst);
    }

    fn acknowledged(&self) -> BTreeSet<String> {
        self.acknowledged.lock().expect("nobody panicked with it").clone()
    }

    /// Waits until so many registrations were acknowledged.
    fn wait_for(&self, count: usize) -> anyhow::Result<()> {
        let since = Instant::now();
        while self.acknowledged().len() < count && !self.is_over() {
            ensure!(since.elapsed() < PATIENCE, "{} of {count} after {PATIENCE:?}", self.acknowledged().len());
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// One share of the clients: each registers once, and lives by its renewals from then on.
    fn clients(&self, ids: Vec<String>) -> anyhow::Result<()> {
        let mut waiting: Vec<String> = ids;
        let mut living: Vec<String> = Vec::new();
        while !self.is_over() {
            let begun = Instant::now();
            // A few at a time, so that those who are in keep their leases.
            let mut left = waiting.split_off(waiting.len().min(5));
            for id in waiting {
                let body = json!({"service": "crowd", "id": id, "address": "192.0.2.1", "port": 80,
                    "ttlSeconds": LEASE.as_secs()});
                match ask(&self.native, "POST", "/registry/instances", &body.to_string()) {
                    Ok((200 | 201, _)) => {
                        self.acknowledged.lock().expect("nobody panicked with it").insert(id.clone());
                        living.push(id);
                    }
                    Ok((code, answer)) if code < 500 => bail!("register {id}: {code} {answer}"),
                    Ok(_) | Err(_) => {
                        ensure!(self.killed.load(Ordering::SeqCst), "{id} was refused before the server was killed");
                        left.push(id);
                        thread::sleep(PAUSE);
                    }
                }
            }
            waiting = left;
            for id in &living {
                match ask(&self.native, "PUT", &format!("/registry/instances/default/{id}/renew"), "") {
                    Ok((200, _)) => drop(self.renewals.fetch_add(1, Ordering::SeqCst)),
                    Ok((code, answer)) if code < 500 => bail!("{id} was acknowledged and is lost: {code} {answer}"),
                    Ok(_) | Err(_) => thread::sleep(PAUSE),
                }
            }
            if waiting.is_empty() {
                thread::sleep((LEASE / 4).saturating_sub(begun.elapsed()));
            }
        }
        Ok(())
    }

    /// Polls by index; what was seen once stays, and the index never goes back.
    fn follow(&self, dialect: &str, path: &str, read: fn(&Value) -> Option<&str>) -> anyhow::Result<usize> {
        let (mut seen, mut index) = (BTreeSet::<String>::new(), 0_u64);
        while !(self.is_over() || seen.len() == CLIENTS) {
            let Ok((found, answer)) = poll(dialect, &format!("{path}&index={index}&wait=2s")) else {
                thread::sleep(PAUSE);
                continue;
            };
            ensure!(found >= index, "{path}: the index went back from {index} to {found}");
            let now: BTreeSet<String> =
                answer.as_array().into_iter().flatten().filter_map(read).map(str::to_owned).collect();
            let gone: Vec<&String> = seen.difference(&now).collect();
            ensure!(gone.is_empty(), "{path}: {gone:?} are gone at {found} after {index}");
            (seen, index) = (now, found);
            // Each answer has the whole crowd; the machine is to be left to the clients.
            thread::sleep(GLANCE);
        }
        Ok(seen.len())
    }

    /// Reads the stream of events, anew where it ended.
    fn listen(&self) -> anyhow::Result<usize> {
        let mut seen = BTreeSet::<String>::new();
        while !(self.is_over() || seen.len() == CLIENTS) {
            // A stream begins with everything that is there.
            if let Err(error) = self.read_events(&mut seen) {
                if error.downcast_ref::<std::io::Error>().is_none() {
                    return Err(error);
                }
                thread::sleep(PAUSE);
            }
        }
        Ok(seen.len())
    }

    fn read_events(&self, seen: &mut BTreeSet<String>) -> anyhow::Result<()> {
        let mut stream = TcpStream::connect(&self.native)?;
        // So that the end of the test is noticed.
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        write!(stream, "GET /registry/watch?service=crowd HTTP/1.0\r\nHost: x\r\n\r\n")?;
        for line in BufReader::new(stream).lines() {
            let line = line?;
            if let Some(data) = line.strip_prefix("data: ") {
                let event: Value = serde_json::from_str(data)?;
                if event["type"] == "SYNCED" {
                    continue;
                }
                let id = event["instance"]["id"].as_str().context("an event names its instance")?;
                ensure!(event["type"] != "DELETED", "{id} was deleted: {data}");
                seen.insert(id.to_owned());
            }
            if seen.len() == CLIENTS {
                break;
            }
        }
        Ok(())
    }

    fn spawn<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        work: impl FnOnce(&Self) -> anyhow::Result<()> + Send + 'scope,
    ) {
        scope.spawn(move || {
            if let Err(error) = work(self) {
                self.complain(&error);
            }
        });
    }
}

/// One long poll: index and body of the answer.
pub(crate) fn poll(dialect: &str, path: &str) -> anyhow::Result<(u64, Value)> {
    let mut stream = TcpStream::connect(dialect)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: x\r\n\r\n")?;
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer has a head")?;
    let header = |name: &str| {
        head.lines().find_map(|line| line.to_lowercase().strip_prefix(name).map(str::trim).map(str::to_owned))
    };
    let index = header("x-consul-index:").or_else(|| header("x-portolan-index:")).context("an index")?;
    Ok((index.parse()?, serde_json::from_str(body)?))
}

fn listed(crowd: &Crowd) -> anyhow::Result<BTreeSet<String>> {
    let answer: Value = serde_json::from_str(&done(&crowd.native, "GET", "/registry/instances?service=crowd", "")?)?;
    let ids = answer.as_array().into_iter().flatten().filter_map(|instance| instance["id"].as_str());
    Ok(ids.map(str::to_owned).collect())
}

fn lives_on(cluster: &Cluster, crowd: &Crowd) -> anyhow::Result<()> {
    crowd.wait_for(CLIENTS / 4)?;
    crowd.killed.store(true, Ordering::SeqCst);
    let before = crowd.acknowledged();
    cluster.kill_server()?;
    let died = Instant::now();
    cluster.up()?;
    let after = eventually("the server answers again", || listed(crowd));
    let lost: Vec<_> = before.difference(&after).collect();
    ensure!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    println!("{} were acknowledged before the kill; back after {:?}", before.len(), died.elapsed());
    crowd.wait_for(CLIENTS)?;
    // For as long as a lease, whoever was to be evicted by the restart would be.
    let since = Instant::now();
    while since.elapsed() < LEASE * 5 / 4 && !crowd.is_over() {
        let missing: Vec<_> = crowd.acknowledged().difference(&listed(crowd)?).cloned().collect();
        ensure!(missing.is_empty(), "evicted {:?} after all were there: {missing:?}", since.elapsed());
    }
    let metrics = done(&crowd.native, "GET", "/registry/metrics", "")?;
    for outcome in ["ended", "given_up"] {
        let line = format!("portolan_registry_leases_total{{outcome=\"{outcome}\"}} 0");
        ensure!(metrics.contains(&line), "{metrics}");
    }
    Ok(())
}

/// Follows the registry until all is over; returns how many changes it saw.
type Watcher = fn(&Crowd) -> anyhow::Result<usize>;

#[test]
fn nothing_acknowledged_is_lost_and_nobody_evicted_when_the_server_is_killed_under_a_thousand_clients() {
    let (native, consul) = (free_port().expect("a port"), free_port().expect("a port"));
    let (native, consul) = (format!("127.0.0.1:{native}"), format!("127.0.0.1:{consul}"));
    let flags = ["--registry-listen", &native, "--consul-listen", &consul, "--registry-limits", "off"];
    let cluster = Cluster::prepare(&flags).expect("prepared");
    cluster.up().expect("started");
    let crowd = Crowd {
        native,
        consul,
        acknowledged: Mutex::default(),
        killed: AtomicBool::new(false),
        over: AtomicBool::new(false),
        renewals: AtomicUsize::new(0),
        complaints: Mutex::default(),
    };
    let seen = Mutex::new(Vec::new());
    let outcome = thread::scope(|scope| {
        let watchers: [(&str, Watcher); 3] = [
            ("native long poll", |crowd| {
                crowd.follow(&crowd.native, "/registry/instances?service=crowd", |it| it["id"].as_str())
            }),
            ("consul blocking query", |crowd| {
                crowd.follow(&crowd.consul, "/v1/health/service/crowd?stale", |it| it["Service"]["ID"].as_str())
            }),
            ("native events", Crowd::listen),
        ];
        for (name, watch) in watchers {
            let seen = &seen;
            crowd.spawn(scope, move |crowd| {
                let count = watch(crowd).context(name)?;
                seen.lock().expect("nobody panicked with it").push((name, count));
                Ok(())
            });
        }
        for share in 0..THREADS {
            let ids = (share..CLIENTS).step_by(THREADS).map(|number| format!("client-{number}")).collect();
            crowd.spawn(scope, move |crowd| crowd.clients(ids));
        }
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lives_on(&cluster, &crowd)));
        // Watchers end by themselves once they have seen all.
        let watched = Instant::now();
        while seen.lock().expect("nobody panicked with it").len() < 3
            && watched.elapsed() < LEASE * 2
            && !crowd.is_over()
        {
            thread::sleep(PAUSE);
        }
        crowd.over.store(true, Ordering::SeqCst);
        outcome
    });
    let complaints = crowd.complaints.lock().expect("nobody panicked with it").clone();
    assert!(complaints.is_empty(), "{complaints:#?}");
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic)).expect("the crowd lives on");
    let seen = seen.lock().expect("nobody panicked with it").clone();
    println!("{} renewals; watchers saw {seen:?}", crowd.renewals.load(Ordering::SeqCst));
    assert!(seen.len() == 3 && seen.iter().all(|(_, count)| *count == CLIENTS), "{seen:?}");
}
