use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use portolan_base::SystemClock;
use portolan_store::embedded::{Embedded, Options};
use portolan_store::{KeyRange, Store};
use proptest::prelude::*;
use serde_json::json;

use super::steps::{Step, Verb};
use crate::acl::AclConfig;
use crate::session::keeper::Keeper;
use crate::session::testing::session;
use crate::space::testing::{MemoryStore, ask, settle, state};
use crate::space::{Space, layout};

fn step(key: &str, verb: Verb, value: &str) -> Step {
    Step { key: key.into(), verb, value: Bytes::copy_from_slice(value.as_bytes()), flags: 0 }
}

/// What a guess of an index comes to.
#[derive(Debug, Clone, Copy)]
enum Guess {
    Zero,
    Right,
    Wrong,
}

#[derive(Debug, Clone)]
enum Act {
    Set,
    Cas(Guess),
    Lock(usize),
    Unlock(usize),
    Get,
    CheckNotExists,
    CheckSession(usize),
    Delete,
    DeleteCas(Guess),
    DeleteTree,
}

#[derive(Debug, Clone)]
enum Move {
    Txn(Vec<(usize, Act, u8)>),
    Destroy(usize),
    Restart(usize),
}

const KEYS: [&str; 4] = ["a", "a/b", "a/b/c", "d"];
const SESSIONS: usize = 3;

/// A key as the model has it; `modified` is `None` in the transaction that changes it.
#[derive(Debug, Clone, PartialEq)]
struct Slot {
    value: u8,
    lock_index: u64,
    session: Option<usize>,
    modified: Option<u64>,
}

#[derive(Debug, Clone, Default)]
struct Model {
    slots: BTreeMap<&'static str, Slot>,
    alive: [bool; SESSIONS],
}

impl Model {
    fn write(&mut self, key: &'static str, value: u8, lock_index: u64, session: Option<usize>) {
        let new = Slot { value, lock_index, session, modified: None };
        match self.slots.get(key) {
            Some(old) if Slot { modified: None, ..old.clone() } == new => {}
            _ => drop(self.slots.insert(key, new)),
        }
    }

    fn act(&mut self, key: &'static str, act: &Act, value: u8, index: u64) -> bool {
        let slot = self.slots.get(key).cloned();
        let (lock_index, holder) = slot.as_ref().map_or((0, None), |slot| (slot.lock_index, slot.session));
        let current = slot.as_ref().map(|slot| slot.modified);
        match act {
            Act::Set => self.write(key, value, lock_index, holder),
            Act::Cas(_) => match current {
                None if index == 0 => self.write(key, value, 0, None),
                Some(Some(modified)) if modified == index && index != 0 => self.write(key, value, lock_index, holder),
                _ => return false,
            },
            Act::Lock(session) if !self.alive[*session] => return false,
            Act::Lock(session) if holder == Some(*session) => self.write(key, value, lock_index, holder),
            Act::Lock(_) if holder.is_some() => return false,
            Act::Lock(session) => self.write(key, value, lock_index + 1, Some(*session)),
            Act::Unlock(session) if holder == Some(*session) => self.write(key, value, lock_index, None),
            Act::Unlock(_) => return false,
            Act::Get => return slot.is_some(),
            Act::CheckNotExists => return slot.is_none(),
            Act::CheckSession(session) => return holder == Some(*session),
            Act::DeleteCas(_) if current.is_some_and(|modified| modified != Some(index)) => return false,
            Act::Delete | Act::DeleteCas(_) => drop(self.slots.remove(key)),
            Act::DeleteTree => self.slots.retain(|candidate, _| !candidate.starts_with(key)),
        }
        true
    }

    fn destroy(&mut self, session: usize) {
        self.alive[session] = false;
        for slot in self.slots.values_mut().filter(|slot| slot.session == Some(session)) {
            slot.session = None;
            slot.modified = None;
        }
    }
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let guess = || prop_oneof![Just(Guess::Zero), Just(Guess::Right), Just(Guess::Wrong)];
    let act = prop_oneof![
        3 => Just(Act::Set),
        2 => guess().prop_map(Act::Cas),
        4 => (0..SESSIONS).prop_map(Act::Lock),
        2 => (0..SESSIONS).prop_map(Act::Unlock),
        1 => Just(Act::Get),
        1 => Just(Act::CheckNotExists),
        1 => (0..SESSIONS).prop_map(Act::CheckSession),
        1 => Just(Act::Delete),
        1 => guess().prop_map(Act::DeleteCas),
        1 => Just(Act::DeleteTree),
    ];
    let txn = proptest::collection::vec((0..KEYS.len(), act, 0..3_u8), 1..4).prop_map(Move::Txn);
    let one = prop_oneof![
        8 => txn,
        1 => (0..SESSIONS).prop_map(Move::Destroy),
        1 => (0..SESSIONS).prop_map(Move::Restart),
    ];
    proptest::collection::vec(one, 1..40)
}

async fn play(moves: Vec<Move>) {
    let store = Arc::new(MemoryStore::default());
    let space = Space::new(store.clone(), Arc::new(SystemClock));
    let (keeper, mut model) = (Keeper::default(), Model::default());
    let id = |session: usize| format!("session-{session}");
    for one in moves {
        match one {
            Move::Restart(number) if !model.alive[number] => {
                keeper.create(&space, &session(&id(number), "")).await.expect("created");
                model.alive[number] = true;
            }
            Move::Restart(_) => {}
            Move::Destroy(number) => {
                keeper.destroy(&space, &id(number)).await.expect("destroyed");
                model.destroy(number);
            }
            Move::Txn(acts) => {
                let (mut steps, mut after, mut fine) = (Vec::new(), model.clone(), true);
                for (key, act, value) in acts {
                    let key = KEYS[key];
                    let known = model.slots.get(key).and_then(|slot| slot.modified).unwrap_or(0);
                    let index = |guess: &Guess| match guess {
                        Guess::Zero => 0,
                        Guess::Right => known,
                        Guess::Wrong => known + 1,
                    };
                    let (verb, index) = match &act {
                        Act::Set => (Verb::Set, 0),
                        Act::Cas(guess) => (Verb::Cas(index(guess)), index(guess)),
                        Act::Lock(session) => (Verb::Lock(id(*session)), 0),
                        Act::Unlock(session) => (Verb::Unlock(id(*session)), 0),
                        Act::Get => (Verb::Get, 0),
                        Act::CheckNotExists => (Verb::CheckNotExists, 0),
                        Act::CheckSession(session) => (Verb::CheckSession(id(*session)), 0),
                        Act::Delete => (Verb::Delete, 0),
                        Act::DeleteCas(guess) => (Verb::DeleteCas(index(guess)), index(guess)),
                        Act::DeleteTree => (Verb::DeleteTree, 0),
                    };
                    fine &= after.act(key, &act, value, index);
                    steps.push(step(key, verb, &value.to_string()));
                }
                let applied = space.apply(&steps).await.expect("the store works");
                assert_eq!(applied.is_ok(), fine, "{steps:?}: {applied:?}");
                if fine {
                    model = after;
                }
            }
        }
        let (pairs, _) = space.pairs("").await.expect("read");
        for (key, slot) in &mut model.slots {
            let found = pairs.iter().find(|(name, _)| name == key).unwrap_or_else(|| panic!("{key} is missing"));
            // Indexes of what this move changed are learned, others must have stayed.
            let modified = *slot.modified.get_or_insert(found.1.modified.expect("stored"));
            assert_eq!(found.1.modified, Some(modified), "{key}");
            let pair = &found.1.pair;
            assert_eq!((&pair.value[..], pair.lock_index), (slot.value.to_string().as_bytes(), slot.lock_index));
            assert_eq!(pair.session, slot.session.map(id));
        }
        assert_eq!(pairs.len(), model.slots.len());
        // Who holds what is written twice; both must say the same.
        let held = pairs.iter().filter_map(|(key, current)| Some(layout::lock(current.pair.session.as_ref()?, key)));
        let (locks, _) = space.range(KeyRange::prefix(layout::LOCK)).await.expect("read");
        let mut held: Vec<Bytes> = held.collect();
        held.sort();
        assert_eq!(locks.iter().map(|entry| entry.key.clone()).collect::<Vec<_>>(), held);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn keys_locks_and_transactions_do_as_a_small_model_does(moves in moves()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(play(moves));
    }
}

#[tokio::test(start_paused = true)]
async fn requests_are_answered_as_consul_answers_them() {
    let state = state(AclConfig::default()).await;
    let large = "x".repeat(super::MOST_VALUE_BYTES + 1);
    let cases: [(&str, &str, &str, u16, &str); 27] = [
        ("GET", "/v1/kv/a", "", 404, ""),
        ("GET", "/v1/kv/", "", 400, "Missing key name"),
        ("PUT", "/v1/kv/", "x", 400, "Missing key name"),
        ("PUT", "/v1/kv/a?flags=7", "1", 200, "true"),
        ("GET", "/v1/kv/a?raw", "", 200, "1"),
        ("PUT", "/v1/kv/a?cas=0", "2", 200, "false"),
        ("PUT", "/v1/kv/a?cas=99", "2", 200, "false"),
        ("PUT", "/v1/kv/a?cas=x", "2", 500, "strconv.ParseUint: parsing \"x\": invalid syntax"),
        ("PUT", "/v1/kv/a?cas=0&acquire=s", "2", 400, "Conflicting flags: cas=0&acquire=s"),
        ("PUT", "/v1/kv/a?acquire=nobody", "2", 500, "invalid session \"nobody\""),
        ("PUT", "/v1/kv/a?acquire=", "2", 500, "missing session"),
        ("PUT", "/v1/kv/a?release=nobody", "2", 200, "false"),
        ("PUT", "/v1/kv/a/b", "2", 200, "true"),
        ("PUT", "/v1/kv/a%2Fc/d", "3", 200, "true"),
        ("GET", "/v1/kv/a/?keys", "", 200, r#"["a/b","a/c/d"]"#),
        ("GET", "/v1/kv/a/?keys&separator=/", "", 200, r#"["a/b","a/c/"]"#),
        ("GET", "/v1/kv/?keys&separator=/", "", 200, r#"["a","a/"]"#),
        ("GET", "/v1/kv/zz?keys", "", 404, ""),
        ("GET", "/v1/kv/zz?recurse", "", 404, ""),
        ("DELETE", "/v1/kv/a?cas=0", "", 200, "false"),
        ("DELETE", "/v1/kv/a?recurse&cas=1", "", 400, "Conflicting flags: recurse&cas=1"),
        ("DELETE", "/v1/kv/a/?recurse", "", 200, "true"),
        ("GET", "/v1/kv/?keys", "", 200, r#"["a"]"#),
        ("DELETE", "/v1/kv/nothing", "", 200, "true"),
        ("POST", "/v1/kv/a", "", 405, "method POST not allowed"),
        ("GET", "/v1/kv/a?dc=elsewhere", "", 500, "No path to datacenter"),
        ("GET", "/v1/kv/a?stale&consistent", "", 400, "Cannot specify ?stale with ?consistent, conflicting semantics."),
    ];
    for (method, target, body, status, text) in cases {
        let answer = ask(&state, method, target, "", body.to_owned()).await;
        assert_eq!((answer.status, answer.text.as_str()), (status, text), "{method} {target}");
    }
    let answer = ask(&state, "PUT", "/v1/kv/large", "", large).await;
    assert_eq!(answer.status, 413);
    assert!(answer.text.contains("too large, max size: 524288 bytes"), "{}", answer.text);
    let found = ask(&state, "GET", "/v1/kv/a", "", "").await.json();
    assert_eq!(found[0]["Value"], json!("MQ=="));
    assert_eq!((&found[0]["Flags"], &found[0]["LockIndex"]), (&json!(7), &json!(0)));
    assert!(found[0].get("Session").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_poll_waits_for_its_key_and_for_nothing_else() {
    let state = state(AclConfig::default()).await;
    for key in ["k", "other", "dir/a", "dirt"] {
        ask(&state, "PUT", &format!("/v1/kv/{key}"), "", "1").await;
    }
    settle().await;
    // Question, a change that must not wake it, and one that must.
    let cases = [
        ("k", ("PUT", "other"), ("PUT", "k")),
        ("k", ("PUT", "k/below"), ("DELETE", "k")),
        ("absent", ("PUT", "other"), ("PUT", "absent")),
        ("dir/?recurse", ("PUT", "dirt"), ("PUT", "dir/b")),
        ("dir/?recurse", ("DELETE", "dirt"), ("DELETE", "dir/a")),
        ("dir/?keys", ("PUT", "k"), ("DELETE", "dir/b")),
        ("?recurse", ("", ""), ("PUT", "x")),
    ];
    for (number, (question, unrelated, related)) in cases.into_iter().enumerate() {
        let glue = if question.contains('?') { "&" } else { "?" };
        let first = ask(&state, "GET", &format!("/v1/kv/{question}"), "", "").await.index();
        let (asking, target) = (state.clone(), format!("/v1/kv/{question}{glue}index={first}&wait=5m"));
        let poll = tokio::spawn(async move { ask(&asking, "GET", &target, "", "").await });
        settle().await;
        let before = tokio::time::Instant::now();
        let value = number.to_string();
        if !unrelated.0.is_empty() {
            ask(&state, unrelated.0, &format!("/v1/kv/{}", unrelated.1), "", value.clone()).await;
            settle().await;
            assert!(!poll.is_finished(), "{question} was woken by {unrelated:?}");
        }
        ask(&state, related.0, &format!("/v1/kv/{}", related.1), "", value).await;
        let answer = poll.await.expect("no panic");
        assert!(answer.index() > first, "{question}");
        assert_eq!(before.elapsed(), Duration::ZERO, "{question} waited");
    }
}

#[tokio::test(start_paused = true)]
async fn a_poll_without_a_change_ends_after_its_time_with_the_same_index() {
    let state = state(AclConfig::default()).await;
    ask(&state, "PUT", "/v1/kv/k", "", "1").await;
    let first = ask(&state, "GET", "/v1/kv/k", "", "").await.index();
    let before = tokio::time::Instant::now();
    let answer = ask(&state, "GET", &format!("/v1/kv/k?index={first}&wait=10s"), "", "").await;
    assert_eq!(answer.index(), first);
    let waited = before.elapsed();
    assert!((Duration::from_secs(10)..=Duration::from_secs(11)).contains(&waited), "{waited:?}");
    // The same value again is no change.
    ask(&state, "PUT", "/v1/kv/k", "", "1").await;
    assert_eq!(ask(&state, "GET", "/v1/kv/k", "", "").await.index(), first);
}

const CHILD: &str = "PORTOLAN_CONSUL_TEST_FOLDER";

/// Not a test by itself: the process that the next test kills.
#[tokio::test]
async fn child_that_writes_until_it_is_killed() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let store = Arc::new(Embedded::open(Options::new(folder)).expect("opens"));
    let space = Space::new(store, Arc::new(SystemClock));
    let keeper = Keeper::default();
    keeper.create(&space, &session("holder", "")).await.expect("created");
    for number in 0_u64.. {
        let key = format!("k{number}");
        let steps = [step(&key, Verb::Lock("holder".into()), &key), step("last", Verb::Set, &key)];
        assert!(space.apply(&steps).await.expect("written").is_ok());
        println!("acknowledged {number}");
    }
}

#[tokio::test]
async fn acknowledged_writes_and_locks_survive_kill_9() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "kv::tests::child_that_writes_until_it_is_killed", "--nocapture"])
        .env(CHILD, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut last = 0;
    for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
        let line = line.expect("text");
        if let Some(number) = line.split("acknowledged ").nth(1).and_then(|number| number.parse::<u64>().ok()) {
            last = number;
            if last == 100 {
                // SIGKILL on Unix.
                child.kill().expect("killed");
            }
        }
    }
    child.wait().expect("ended");
    assert!(last >= 100);
    let store: Arc<dyn Store> = Arc::new(Embedded::open(Options::new(folder.path())).expect("opens again"));
    let space = Space::new(store, Arc::new(SystemClock));
    for number in 0..=last {
        let key = format!("k{number}");
        let (found, _) = space.pair(&key).await.expect("read");
        let pair = found.unwrap_or_else(|| panic!("{key} was acknowledged and is lost")).pair;
        assert_eq!((&pair.value[..], pair.session.as_deref()), (key.as_bytes(), Some("holder")));
    }
    assert!(Keeper::get(&space, "holder").await.expect("read").is_some());
}
