use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;

use super::*;

#[derive(serde::Deserialize)]
struct Whole {
    metadata: ObjectMeta,
}

const FORM: Form<ObjectMeta> =
    Form { decode: |bytes| serde_json::from_slice(bytes).map(|decoded: Whole| decoded.metadata) };

fn insert(store: &mut Store<ObjectMeta>, name: &str, owner: Option<&str>) {
    let owners = owner.map(|uid| json!({"apiVersion": "v1", "kind": "X", "name": "x", "uid": uid, "controller": true}));
    let owners: Vec<_> = owners.into_iter().collect();
    let encoded = json!({"metadata": {"name": name, "namespace": "n", "ownerReferences": owners}}).to_string();
    let old = store.insert(&Key::new("n", name), Kept::of(encoded.as_bytes()), &mut Vec::new());
    assert!(old.is_none_or(|old| old.owner.is_none_or(|owner| &*owner == "u")));
}

fn names(objects: &[Arc<ObjectMeta>]) -> Vec<&str> {
    objects.iter().filter_map(|object| object.name.as_deref()).collect()
}

#[test]
fn the_owner_index_follows_adoption_release_and_removal() {
    for capacity in [0, 100, 10_000] {
        let mut store = Store::with_capacity(FORM, capacity);
        let owned = |store: &Store<ObjectMeta>| {
            let (orphans, owned) = (store.orphans("n", |_| true), store.controlled_by("u"));
            (names(&orphans).join(" "), names(&owned).join(" "), store.len())
        };
        insert(&mut store, "a", None);
        insert(&mut store, "b", Some("u"));
        assert_eq!(owned(&store), ("a".into(), "b".into(), 2));
        insert(&mut store, "a", Some("u"));
        assert_eq!(owned(&store), (String::new(), "a b".into(), 2));
        assert!(store.remove(&Key::new("n", "b")).is_some());
        insert(&mut store, "a", None);
        assert_eq!(owned(&store), ("a".into(), String::new(), 1));
    }
}

#[test]
fn what_is_foretold_is_the_decoded_form_of_that_version_and_of_no_other() {
    let version = |revision: u64| {
        let head = format!("{{\"type\":\"ADDED\",\"object\":{{\"metadata\":{{\"resourceVersion\":\"{revision}\",");
        let members = "\"name\":\"a\",\"namespace\":\"n\"}}".to_owned();
        let pieces = [head, members, "}".to_owned()].map(bytes::Bytes::from);
        super::super::kept::SharedEvent::read(&pieces).expect("an event")
    };
    let key = Key::new("n", "a");
    let told = Arc::new(ObjectMeta { uid: Some("told".to_owned()), ..ObjectMeta::default() });
    // When it is told, among the versions that arrive, and what is read then.
    for (revision, before, arrives, expected) in [
        (5, None, 5, true),
        (5, Some(3), 5, true),
        (5, Some(3), 4, false),
        (5, Some(3), 7, false),
        (5, Some(5), 0, true),
        (5, Some(6), 0, false),
    ] {
        let mut store = Store::new(FORM);
        let arrive = |store: &mut Store<ObjectMeta>, revision| {
            let event = version(revision);
            let kept = store.keep(&event.opening, event.object);
            store.insert(&key, kept, &mut Vec::new());
        };
        before.into_iter().for_each(|revision| arrive(&mut store, revision));
        store.foretell(&key, revision, told.clone());
        if arrives > 0 {
            arrive(&mut store, arrives);
        }
        let read = store.get("n", "a").expect("is there");
        assert_eq!(Arc::ptr_eq(&read, &told), expected, "{revision} {before:?} {arrives}");
        // An older version leaves it for the one that it is of.
        assert_eq!(store.foretold.len(), usize::from(arrives == 4));
        store.remove(&key);
        assert!(store.foretold.is_empty());
    }
    // What has come and gone is not waited for.
    let mut store = Store::new(FORM);
    store.arrives(5);
    insert(&mut store, "a", None);
    store.foretell(&key, 5, told.clone());
    assert!(store.foretold.is_empty(), "its revision is not known by itself");
    store.arrives(6);
    store.remove(&key);
    for (revision, expected) in [(5, 0), (6, 0), (7, 1)] {
        store.foretell(&key, revision, told.clone());
        assert_eq!(store.foretold.len(), expected, "{revision}");
    }
}

#[test]
fn keeps_the_decoded_form_of_no_more_than_its_capacity() {
    // Each of these objects has 62 bytes.
    let mut store = Store::with_capacity(FORM, 2 * 62);
    for name in ["a", "b", "a", "c", "b", "d"] {
        insert(&mut store, name, None);
        assert!(store.get("n", name).is_some());
    }
    insert(&mut store, "d", None);
    let slots: Vec<_> = store.namespaces["n"].values().map(|slot| slot.decoded.get().is_some()).collect();
    assert!(slots.iter().filter(|decoded| **decoded).count() <= 2);
    assert_eq!(names(&store.list()), ["a", "b", "c", "d"]);
    assert_eq!(names(&store.filter(Some("n"), |bytes| bytes.windows(3).any(|part| part == b"\"c\""))), ["c"]);
}

#[test]
fn trims_what_only_the_server_reads() {
    for (whole, expected) in [
        (r#"{"metadata":{"managedFields":[{"a":"}"}],"name":"a"}}"#, r#"{"metadata":{"name":"a"}}"#),
        (r#"{"metadata":{"name":"a","managedFields":[]},"spec":1}"#, r#"{"metadata":{"name":"a"},"spec":1}"#),
        (r#"{"metadata":{"managedFields":[{}]}}"#, r#"{"metadata":{}}"#),
        (r#"{"metadata":{"name":"a"}}"#, r#"{"metadata":{"name":"a"}}"#),
        (r#"{"metadata":{"managedFields": []}}"#, r#"{"metadata":{"managedFields": []}}"#),
        ("{}", "{}"),
    ] {
        assert_eq!(&*trimmed(whole.as_bytes()), expected.as_bytes());
    }
}
