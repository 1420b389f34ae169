//! What plugins keep is there afterwards, and no more of it than may be.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

mod server;

use super::{engine::Engine, *};
use server::Server;

fn limits() -> Limits {
    Limits { size: 1 << 20, value: 1 << 16 }
}

fn memory() -> Arc<Store> {
    Store::at(Ok(Place::Memory), limits())
}

/// Both kinds of store, which do the same; without a Redis on this machine, one.
struct Both {
    stores: Vec<Arc<Store>>,
    _server: Option<Server>,
}

fn both() -> Both {
    let server = Server::start();
    let redis = server.as_ref().map(|server| server.store(limits()));
    Both { stores: std::iter::once(memory()).chain(redis).collect(), _server: server }
}

fn space(plugin: &str) -> Space {
    Space { plugin: plugin.into(), owner: "".into(), quota: 1 << 16 }
}

fn set(value: &str) -> Write {
    Write::Set { value: value.into(), ttl: None, when: When::Always }
}

async fn value(store: &Arc<Store>, space: &Space, key: &str) -> Option<String> {
    store.get(space, key.to_owned()).await.unwrap().map(|entry| String::from_utf8(entry.value).unwrap())
}

async fn write(store: &Arc<Store>, space: &Space, key: &str, write: Write) -> Result<Written, StoreError> {
    store.write(space, key.to_owned(), write).await
}

#[tokio::test]
async fn each_plugin_and_each_owner_has_keys_of_its_own() {
    let both = both();
    for store in &both.stores {
        let (a, b) = (space("a"), space("b"));
        let ann = Space { owner: "=ann".into(), ..a.clone() };
        for (whose, what) in [(&a, "of a"), (&b, "of b"), (&ann, "of ann")] {
            write(store, whose, "k", set(what)).await.unwrap();
        }
        for (whose, what) in [(&a, "of a"), (&b, "of b"), (&ann, "of ann")] {
            assert_eq!(value(store, whose, "k").await.as_deref(), Some(what));
            assert_eq!(store.keys(whose, String::new(), None, 0, 10).await.unwrap(), ["k"]);
        }
        assert_eq!(write(store, &a, "k", Write::Delete(When::Always)).await, Ok(Written::Deleted(true)));
        assert_eq!(value(store, &a, "k").await, None);
        assert_eq!(value(store, &ann, "k").await.as_deref(), Some("of ann"));
    }
}

#[tokio::test]
async fn a_write_happens_only_where_its_condition_holds() {
    let both = both();
    for store in &both.stores {
        let space = space("p");
        let when = |when| Write::Set { value: b"v".to_vec(), ttl: None, when };
        let Ok(Written::Set(Some(first))) = write(store, &space, "k", when(When::Absent)).await else { panic!("not set") };
        assert_eq!(write(store, &space, "k", when(When::Absent)).await, Ok(Written::Set(None)));
        let Ok(Written::Set(Some(second))) = write(store, &space, "k", when(When::Version(first))).await else { panic!("not set") };
        assert_eq!(write(store, &space, "k", when(When::Version(first))).await, Ok(Written::Set(None)));
        assert_eq!(write(store, &space, "k", Write::Delete(When::Version(first))).await, Ok(Written::Deleted(false)));
        assert_eq!(write(store, &space, "k", Write::Delete(When::Version(second))).await, Ok(Written::Deleted(true)));
        // A key that comes again does not have the version of the one before.
        let Ok(Written::Set(Some(third))) = write(store, &space, "k", when(When::Absent)).await else { panic!("not set") };
        assert!(third > second);
    }
}

#[tokio::test]
async fn numbers_are_added_to_by_many_at_once() {
    let both = both();
    for store in &both.stores {
        let space = space("p");
        let adds = (0..200).map(|_| write(store, &space, "n", Write::Increment(3)));
        futures::future::try_join_all(adds).await.unwrap();
        assert_eq!(value(store, &space, "n").await.as_deref(), Some("600"));
        assert_eq!(write(store, &space, "n", Write::Increment(-601)).await, Ok(Written::Number(-1)));
        assert!(matches!(write(store, &space, "n", Write::Increment(i64::MIN)).await, Err(StoreError::Invalid(_))));
        write(store, &space, "t", set("text")).await.unwrap();
        let error = write(store, &space, "t", Write::Increment(1)).await.unwrap_err();
        for (text, sum) in [("+5", Some(6)), ("007", Some(8)), ("-0", Some(1)), ("9223372036854775806", Some(i64::MAX)), ("", None)] {
            write(store, &space, "m", set(text)).await.unwrap();
            assert_eq!(write(store, &space, "m", Write::Increment(1)).await.ok(), sum.map(Written::Number), "{text:?}");
        }
        for text in ["9223372036854775807", "99999999999999999999", "1.5", " 1", "--1"] {
            write(store, &space, "m", set(text)).await.unwrap();
            assert!(matches!(write(store, &space, "m", Write::Increment(1)).await, Err(StoreError::Invalid(_))), "{text:?}");
            assert_eq!(value(store, &space, "m").await.as_deref(), Some(text));
        }
        assert_eq!(error.to_string(), "\"t\" holds no number");
        assert_eq!(value(store, &space, "n").await.as_deref(), Some("-1"));
    }
}

#[tokio::test]
async fn what_has_expired_is_not_there_and_takes_no_room() {
    let both = both();
    for store in &both.stores {
        let space = Space { quota: 700, ..space("p") };
        let brief = |value: &str| Write::Set { value: value.into(), ttl: Some(Duration::ZERO), when: When::Always };
        for n in 0..50 {
            write(store, &space, &format!("k{n}"), brief(&"x".repeat(300))).await.unwrap();
        }
        assert_eq!(value(store, &space, "k1").await, None);
        assert!(store.keys(&space, String::new(), None, 0, 10).await.unwrap().is_empty());
        write(store, &space, "k1", set("y")).await.unwrap();
        let absent = Write::Set { value: b"z".to_vec(), ttl: Some(Duration::from_secs(60)), when: When::Absent };
        assert_eq!(write(store, &space, "k1", absent.clone()).await, Ok(Written::Set(None)));
        assert!(matches!(write(store, &space, "k2", absent).await, Ok(Written::Set(Some(_)))));
        assert_eq!(value(store, &space, "k2").await.as_deref(), Some("z"));
    }
}

#[tokio::test]
async fn a_plugin_keeps_no_more_than_it_may() {
    let both = both();
    for store in &both.stores {
        let p = Space { quota: 1000, ..space("p") };
        let long = "x".repeat(400);
        write(store, &p, "a", set(&long)).await.unwrap();
        write(store, &p, "b", set(&long)).await.unwrap();
        let error = write(store, &p, "c", set(&long)).await.unwrap_err();
        assert_eq!(error.to_string(), "plugin p may keep 1000 bytes, and this would make 1395; raise `store` in [plugin.p]");
        // All owners together, and what takes the place of another counts once.
        let other = Space { owner: "=ann".into(), ..p.clone() };
        assert!(matches!(write(store, &other, "c", set(&long)).await, Err(StoreError::Full(_))));
        write(store, &p, "a", set(&"y".repeat(400))).await.unwrap();
        // Another plugin has room, until the store is full.
        let many = (0..40).map(|n| Space { quota: u64::MAX, ..space(&format!("q{n}")) });
        let mut full = 0;
        for whose in many {
            match write(store, &whose, "k", set(&"x".repeat(1 << 16))).await {
                Ok(_) => {}
                Err(StoreError::Full(why)) if why.contains("`size` in [store]") => full += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(full > 20, "{full}");
        // Less is never refused.
        write(store, &p, "a", set("")).await.unwrap();
        for (key, long) in [(String::new(), 0), ("k".repeat(MAX_KEY + 1), 0), ("k".to_owned(), (1 << 16) + 1)] {
            assert!(matches!(write(store, &p, &key, set(&"x".repeat(long))).await, Err(StoreError::Invalid(_))));
        }
    }
}

#[tokio::test]
async fn keys_come_in_order_and_in_parts() {
    let both = both();
    for store in &both.stores {
        let space = space("p");
        let names = ["a", "b/1", "b/2", "b/3", "b0", "ä"];
        for name in names {
            write(store, &space, name, set("")).await.unwrap();
        }
        let keys = async |prefix: &str, after: Option<&str>, skip, limit| {
            store.keys(&space, prefix.to_owned(), after.map(str::to_owned), skip, limit).await.unwrap()
        };
        assert_eq!(keys("", None, 0, 100).await, names);
        assert_eq!(keys("b/", None, 0, 2).await, ["b/1", "b/2"]);
        assert_eq!(keys("b/", Some("b/2"), 0, 2).await, ["b/3"]);
        assert_eq!(keys("b/", Some("a"), 0, 1).await, ["b/1"]);
        assert_eq!(keys("", None, 4, 100).await, ["b0", "ä"]);
        assert!(keys("c", None, 0, 100).await.is_empty());
    }
}

#[tokio::test]
async fn it_is_there_again_after_a_restart_and_one_process_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/store.redb");
    let config = StoreConfig { path: Some(path.clone()), ..StoreConfig::default() };
    let (store, space) = (Store::new(&config, None), space("p"));
    let Ok(Written::Set(Some(version))) = write(&store, &space, "k", set("v")).await else { panic!("not set") };
    let error = Store::new(&config, None).get(&space, "k".to_owned()).await.unwrap_err();
    assert!(error.to_string().contains("another process has it open") && error.to_string().contains("`path` in [store]"), "{error}");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    drop(store);
    // The writer lets go of it when it has seen that nobody is left.
    let store = Store::new(&config, None);
    let found = loop {
        match store.get(&space, "k".to_owned()).await {
            Ok(found) => break found,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    assert_eq!(found, Some(Entry { value: b"v".to_vec(), version }));
    let Ok(Written::Set(Some(next))) = write(&store, &space, "k", set("w")).await else { panic!("not set") };
    assert!(next > version);
}

#[tokio::test]
async fn a_file_that_is_no_store_is_told_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "these are notes").unwrap();
    let store = Store::new(&StoreConfig { path: Some(path.clone()), ..StoreConfig::default() }, None);
    let error = write(&store, &space("p"), "k", set("v")).await.unwrap_err();
    assert!(error.to_string().contains("cannot be opened"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "these are notes");
}

#[derive(Clone, Debug)]
enum Step {
    Set(u8, Vec<u8>, u8),
    Delete(u8),
    Add(u8, i8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..4u8, prop::collection::vec(any::<u8>(), 0..60), 0..3u8).prop_map(|(key, value, when)| Step::Set(key, value, when)),
        (0..4u8).prop_map(Step::Delete),
        (4..6u8, any::<i8>()).prop_map(|(key, by)| Step::Add(key, by)),
    ];
    prop::collection::vec(step, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn it_is_a_map(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(does_what_a_map_does(&memory(), steps));
    }
}

#[test]
fn a_redis_is_the_same_map() {
    let Some(server) = Server::start() else { return };
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) };
    let tried = proptest::test_runner::TestRunner::new(config).run(&steps(), |steps| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { does_what_a_map_does(&server.store(limits()), steps).await });
        Ok(())
    });
    tried.unwrap();
}

/// It does what a map does, and its count of bytes is that of what is in it.
async fn does_what_a_map_does(store: &Arc<Store>, steps: Vec<Step>) {
    let space = Space { quota: 600, ..space("p") };
    let mut model: BTreeMap<String, (Vec<u8>, u64)> = BTreeMap::new();
    let bytes =
        |model: &BTreeMap<String, (Vec<u8>, u64)>| model.iter().map(|(key, (value, _))| key.len() + value.len() + 64).sum::<usize>();
    for step in steps {
        match step {
            Step::Set(key, value, when) => {
                let key = format!("k{key}");
                let (when, holds) = match (when, model.get(&key)) {
                    (0, _) => (When::Always, true),
                    (1, found) => (When::Absent, found.is_none()),
                    (_, Some((_, version))) => (When::Version(*version), true),
                    (_, None) => (When::Version(1), false),
                };
                let mut next = model.clone();
                next.insert(key.clone(), (value.clone(), 0));
                let grows = bytes(&next) > bytes(&model);
                let written = write(store, &space, &key, Write::Set { value: value.clone(), ttl: None, when }).await;
                match written {
                    Ok(Written::Set(Some(version))) => {
                        assert!(holds && (bytes(&next) <= 600 || !grows));
                        model.insert(key, (value, version));
                    }
                    Ok(Written::Set(None)) => assert!(!holds),
                    Err(StoreError::Full(_)) => assert!(holds && bytes(&next) > 600),
                    other => panic!("{other:?}"),
                }
            }
            Step::Delete(key) => {
                let key = format!("k{key}");
                let deleted = write(store, &space, &key, Write::Delete(When::Always)).await.unwrap();
                assert_eq!(deleted, Written::Deleted(model.remove(&key).is_some()));
            }
            Step::Add(key, by) => {
                let key = format!("k{key}");
                let before: i64 = model.get(&key).map_or(0, |(value, _)| std::str::from_utf8(value).unwrap().parse().unwrap());
                let number = before + i64::from(by);
                match write(store, &space, &key, Write::Increment(by.into())).await {
                    Ok(written) => {
                        assert_eq!(written, Written::Number(number));
                        let version = store.get(&space, key.clone()).await.unwrap().unwrap().version;
                        model.insert(key, (number.to_string().into_bytes(), version));
                    }
                    Err(error) => assert!(matches!(error, StoreError::Full(_)), "{error}"),
                }
            }
        }
    }
    let keys = store.keys(&space, String::new(), None, 0, 100).await.unwrap();
    assert_eq!(keys, model.keys().cloned().collect::<Vec<_>>());
    for (key, (value, version)) in model {
        assert_eq!(store.get(&space, key).await.unwrap(), Some(Entry { value, version }));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_use_one_file_for_a_while_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let config = StoreConfig { path: Some(folder.path().join("store.redb")), ..StoreConfig::default() };
    let (first, second) = (Store::new(&config, None), Store::new(&config, None));
    let count = async |store: &Arc<Store>, times: usize| {
        for _ in 0..times {
            write(store, &space("p"), "count", Write::Increment(1)).await.unwrap();
        }
    };
    count(&first, 5).await;
    let refused = write(&second, &space("p"), "count", Write::Increment(1)).await.unwrap_err();
    assert!(refused.to_string().contains("another process has it open"), "{refused}");
    // The second waits until the first lets go.
    second.share(true).await.unwrap();
    let waiting = tokio::spawn({
        let second = Arc::clone(&second);
        async move { write(&second, &space("p"), "count", Write::Increment(1)).await }
    });
    first.share(true).await.unwrap();
    waiting.await.unwrap().unwrap();
    let own = space("p");
    let (.., read) =
        tokio::join!(count(&first, 10), count(&second, 10), count(&first, 10), count(&second, 10), second.get(&own, "count".to_owned()));
    assert!(read.unwrap().is_some());
    // Only one is left, which has it for good.
    second.share(false).await.unwrap();
    count(&second, 4).await;
    assert_eq!(second.get(&space("p"), "count".to_owned()).await.unwrap().unwrap().value, b"50");
    first.share(false).await.unwrap();
    drop(second);
    assert_eq!(first.get(&space("p"), "count".to_owned()).await.unwrap().unwrap().value, b"50");
}

/// Names the file of the store to a process that writes until it is killed.
const WRITER: &str = "TOOLBAY_TEST_STORE_WRITER";

/// How often the writer is killed: more in `just soak`.
const ROUNDS: &str = "TOOLBAY_STORE_ROUNDS";

/// Not a test: what the one below starts and kills.
#[test]
fn writer() {
    use std::io::Write as _;
    let Some(path) = std::env::var_os(WRITER) else { return };
    let store = Store::new(&StoreConfig { path: Some(path.into()), ..StoreConfig::default() }, None);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    // Keys of this process: those of the one before do not stand for them.
    let own = std::process::id();
    runtime.block_on(async {
        let space = Space { quota: 1 << 30, ..space("p") };
        let old = store.keys(&space, String::new(), None, 0, MAX_KEYS).await.unwrap();
        let old = old.into_iter().filter(|key| key != "count");
        futures::future::try_join_all(old.map(|key| store.write(&space, key, Write::Delete(When::Always)))).await.unwrap();
        let tasks = (0..8).map(|task| {
            let store = Arc::clone(&store);
            let space = space.clone();
            tokio::spawn(async move {
                for n in 0.. {
                    let key = format!("{own}-{task}/{n}");
                    write(&store, &space, &key, set(&"v".repeat(n % 300))).await.unwrap();
                    write(&store, &space, "count", Write::Increment(1)).await.unwrap();
                    // What was written twenty times ago is deleted: the file is to stay small.
                    if n >= 20 {
                        write(&store, &space, &format!("{own}-{task}/{}", n - 20), Write::Delete(When::Always)).await.unwrap();
                    }
                    // One write to the pipe, which is whole or not there.
                    std::io::stdout().write_all(format!("\nacknowledged {key}\n").as_bytes()).unwrap();
                }
            })
        });
        futures::future::join_all(tasks).await;
    });
}

/// Writers at once, each with a store of its own: a round is mostly the start of a process and the wait for a disk.
const WRITERS: usize = 8;

#[test]
fn nothing_that_was_acknowledged_is_lost_by_kill_9() {
    let rounds = std::env::var(ROUNDS).ok().and_then(|text| text.parse().ok()).unwrap_or(100);
    let of = |writer: usize| (rounds + writer) / WRITERS;
    let acknowledged: usize = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || killed_again_and_again(of(writer)))).collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).sum()
    });
    println!("{acknowledged} writes were acknowledged in {rounds} rounds");
}

/// Kills a writer so often, and holds what its store has then against what it acknowledged: how much that was.
fn killed_again_and_again(rounds: usize) -> usize {
    use std::{
        io::{BufRead as _, BufReader},
        process::{Command, Stdio},
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let mut count = 0;
    let mut acknowledged_in_all = 0;
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::writer", "--nocapture", "--test-threads=1"])
            .env(WRITER, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut acknowledged = Vec::new();
        let enough = fastrand::usize(1..60);
        let mut note = |line: String| {
            if let Some(key) = line.strip_prefix("acknowledged ") {
                acknowledged.push(key.to_owned());
            }
            acknowledged.len()
        };
        while note(lines.next().unwrap_or_else(|| panic!("round {round}: the writer has ended by itself"))) < enough {}
        std::thread::sleep(Duration::from_micros(fastrand::u64(0..20_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines {
            note(line);
        }
        let engine = Engine::open(&Place::File(path.clone()), limits(), Duration::ZERO).unwrap();
        let now: usize = {
            let found = engine.get(&space("p"), "count").unwrap().map(|entry| String::from_utf8(entry.value).unwrap());
            found.map_or(0, |text| text.parse().unwrap())
        };
        assert!(
            now >= count + acknowledged.len(),
            "round {round}: {now} were counted, and {count} + {} were acknowledged",
            acknowledged.len()
        );
        for key in &acknowledged {
            let (task, n) = key.split_once('/').unwrap();
            let n: usize = n.parse().unwrap();
            let found = engine.get(&space("p"), key).unwrap();
            let last = acknowledged.iter().filter(|key| key.starts_with(&format!("{task}/"))).count();
            // Not deleted yet, even by a round that was not acknowledged.
            if n + 18 > last {
                assert_eq!(found.map(|entry| entry.value.len()), Some(n % 300), "round {round}: {key}");
            }
        }
        count = now;
        acknowledged_in_all += acknowledged.len();
        drop(engine);
    }
    acknowledged_in_all
}
