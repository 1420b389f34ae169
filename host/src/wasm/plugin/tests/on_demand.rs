//! Plugins that are listed without their code, and loaded when they are called.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use super::{optimised, telling, *};
use crate::wasm::folder::{PluginUpdate, PluginUpdates};

/// Nothing takes this long; a machine that is busy may.
const PATIENCE: Duration = Duration::from_secs(60);

/// Folders of plugins and of their code, for hosts that come one after the other.
struct Place {
    folder: tempfile::TempDir,
    given: PluginConfig,
}

/// A host that keeps so many plugins in memory.
struct Keeper<'a> {
    place: &'a Place,
    host: Arc<PluginHost>,
}

impl Place {
    fn new(given: PluginConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("plugins")).unwrap();
        Self { folder, given }
    }

    fn of_limits() -> Self {
        Self::new(PluginConfig { limits: limits(), ..PluginConfig::default() })
    }

    /// One with more plugins than that.
    fn start(&self, most: usize) -> Keeper<'_> {
        self.start_as(PluginCompiler::Auto, most)
    }

    fn start_as(&self, compiler: PluginCompiler, most: usize) -> Keeper<'_> {
        let mut config = Config::default();
        (config.host.instances, config.host.compiler, config.host.loaded_plugins) = (8, compiler, most);
        config.host.cache = Some(self.folder.path().join("cache"));
        let host = PluginHost::with_limits(Arc::new(config), Worker::InProcess, self.given.clone());
        host.expect(most + 1);
        Keeper { place: self, host }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("plugins").join(format!("{name}.wasm"))
    }

    /// Files of the cache whose names end like this.
    fn kept(&self, ending: &str) -> Vec<PathBuf> {
        let folders = fs::read_dir(self.folder.path().join("cache")).unwrap().map(|entry| entry.unwrap().path());
        let files =
            folders.filter(|path| path.is_dir()).flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
        files.filter(|path| path.extension().is_some_and(|own| own == ending)).collect()
    }
}

impl Keeper<'_> {
    /// Loads what the file has, or what is put there.
    async fn load(&self, name: &str, bytes: Option<&[u8]>) -> Result<Loaded, LoadError> {
        let path = self.place.file(name);
        if let Some(bytes) = bytes {
            fs::write(&path, bytes).unwrap();
        }
        let bytes = Bytes::from(fs::read(&path).unwrap());
        let (id, digest) = (ProviderId::new(name).unwrap(), blake3::hash(&bytes));
        self.host.load(Source { id, path, digest, bytes, sidecar: None }).await
    }
}

/// A plugin whose tool `run` answers this number.
fn answers(number: u32) -> Vec<u8> {
    wat::parse_str(component(&format!(r#"(func (export "run") (result i32) i32.const {number})"#))).unwrap()
}

async fn run(loaded: &Loaded) -> String {
    text(&call(&loaded.provider, "run", "{}").await.unwrap())
}

/// Waits until something is so.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what} does not come"));
}

async fn next(news: &Arc<dyn PluginUpdates>) -> PluginUpdate {
    tokio::time::timeout(PATIENCE, news.next()).await.expect("it never says anything")
}

fn is_loaded(all: &[Loaded]) -> Vec<bool> {
    all.iter().map(|loaded| loaded.load.is_loaded().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_described_is_listed_without_its_code_until_it_is_called_and_makes_room_for_others() {
    for compiler in COMPILERS {
        let place = Place::of_limits();
        let first = place.start_as(compiler, 2);
        let mut described = Vec::new();
        for number in 0..4 {
            let loaded = first.load(&format!("p{number}"), Some(&answers(number))).await.unwrap();
            assert_eq!((loaded.provider.tools()[0].name.as_str(), loaded.load.is_loaded()), ("run", Some(true)));
            described.push(loaded);
        }
        assert_eq!(is_loaded(&described), [false, false, true, true]);
        assert_eq!(run(&described[0]).await, "0");
        let (tools, made) = (described[0].provider.tools().to_vec(), described[0].compiled.unwrap().by);
        drop((described, first));

        let second = place.start_as(compiler, 2);
        let mut all = Vec::new();
        for number in 0..4 {
            all.push(second.load(&format!("p{number}"), None).await.unwrap());
        }
        assert_eq!(is_loaded(&all), [false; 4], "nothing was loaded to list it");
        assert_eq!((all[0].provider.tools(), all[0].compiled.unwrap().by), (&*tools, made));
        assert!(Arc::ptr_eq(&all[0].provider.tools()[0], &all[3].provider.tools()[0]), "what is the same is kept once");
        for number in [0, 1, 0, 2, 3, 3, 1] {
            assert_eq!(run(&all[number]).await, number.to_string());
        }
        assert_eq!(is_loaded(&all), [false, true, false, true]);
        let counts = second.host.compiled();
        assert_eq!((counts.misses, counts.failures), (0, 0));
        assert!(matches!(call(&all[0].provider, "other", "{}").await, Err(CallError::UnknownTool(_))));
        assert_eq!(all[0].provider.code(), Some(blake3::hash(&answers(0)).to_hex().to_string()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_all_can_be_in_memory_they_are() {
    let place = Place::of_limits();
    let keeper = place.start(4);
    keeper.host.expect(4);
    let loaded = keeper.load("p", Some(&answers(7))).await.unwrap();
    assert_eq!((loaded.load.is_loaded(), run(&loaded).await.as_str()), (None, "7"));
    assert!(place.kept("listing").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_first_calls_load_the_code_once() {
    let place = Place::of_limits();
    drop(place.start(1).load("p", Some(&answers(7))).await.unwrap());
    let keeper = place.start(1);
    let loaded = keeper.load("p", None).await.unwrap();
    let calls = (0..50).map(|_| run(&loaded));
    assert!(futures::future::join_all(calls).await.iter().all(|answer| answer == "7"));
    assert_eq!(keeper.host.compiled().hits, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_description_that_was_changed_or_is_of_other_settings_is_not_believed() {
    let place = Place::of_limits();
    drop(place.start(1).load("p", Some(&answers(7))).await.unwrap());
    let [listing] = &place.kept("listing")[..] else { panic!("one listing") };
    let written = fs::read(listing).unwrap();
    let mut flipped = written.clone();
    let at = flipped.len() / 2;
    flipped[at] ^= 1;
    fs::write(listing, flipped).unwrap();
    let loaded = place.start(1).load("p", None).await.unwrap();
    assert_eq!((loaded.load.is_loaded(), run(&loaded).await.as_str()), (Some(true), "7"));
    assert_eq!(fs::read(listing).unwrap(), written, "it was written anew");
    drop(loaded);
    let other =
        Place { folder: place.folder, given: PluginConfig { limits: PluginLimits { queue: 1, ..limits() }, ..PluginConfig::default() } };
    assert_eq!(other.start(1).load("p", None).await.unwrap().load.is_loaded(), Some(true));
    assert_eq!(other.kept("listing").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn code_that_was_changed_or_is_gone_is_compiled_again_from_the_file() {
    let place = Place::of_limits();
    drop(place.start(1).load("p", Some(&answers(7))).await.unwrap());
    let [code] = &place.kept("cwasm")[..] else { panic!("one file of code") };
    let written = fs::read(code).unwrap();
    for is_gone in [false, true] {
        let keeper = place.start(1);
        let loaded = keeper.load("p", None).await.unwrap();
        assert_eq!(loaded.load.is_loaded(), Some(false));
        if is_gone {
            fs::remove_file(code).unwrap();
        } else {
            let mut flipped = written.clone();
            let at = flipped.len() / 2;
            flipped[at] ^= 1;
            fs::write(code, flipped).unwrap();
        }
        assert_eq!(run(&loaded).await, "7");
        assert_eq!(keeper.host.compiled().misses, 1);
        assert!(code.exists());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_loaded_says_why_to_who_calls_and_in_its_status_and_is_tried_again() {
    let place = Place::of_limits();
    drop(place.start(1).load("p", Some(&answers(7))).await.unwrap());
    let keeper = place.start(1);
    let loaded = keeper.load("p", None).await.unwrap();
    let [code] = &place.kept("cwasm")[..] else { panic!("one file of code") };
    fs::remove_file(code).unwrap();
    fs::write(place.file("p"), answers(8)).unwrap();
    let told = |error: Result<CallOutput, CallError>| match error {
        Err(CallError::Internal(told)) => told,
        other => panic!("{other:?}"),
    };
    let error = told(call(&loaded.provider, "run", "{}").await);
    assert!(error.starts_with("plugin p cannot be loaded: ") && error.contains("p.wasm is another file by now"), "{error}");
    let again = told(call(&loaded.provider, "run", "{}").await);
    assert!(again.contains("is another file by now"), "{again}");
    assert!(loaded.load.trouble().unwrap().contains("is another file by now"));
    fs::remove_file(place.file("p")).unwrap();
    let waiting = async {
        loop {
            let error = told(call(&loaded.provider, "run", "{}").await);
            if error.contains("p.wasm is not there any more") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it is not tried again");
    fs::write(place.file("p"), answers(7)).unwrap();
    let waiting = async {
        while call(&loaded.provider, "run", "{}").await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it is not tried again");
    assert_eq!((loaded.load.trouble(), run(&loaded).await.as_str()), (None, "7"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn code_that_runs_makes_no_room_and_keeps_its_queue() {
    let limits = PluginLimits { timeout: Duration::from_secs(30), concurrency: 1, queue: 0, ..limits() };
    let place = Place::new(PluginConfig { limits, ..PluginConfig::default() });
    let long = component(
        r#"(func (export "run") (result i32) (local $n i64) (local.set $n (i64.const 3000000000))
            (loop $l (local.set $n (i64.sub (local.get $n) (i64.const 1))) (br_if $l (i64.gt_s (local.get $n) (i64.const 0))))
            (i32.const 1))"#,
    );
    let keeper = place.start(1);
    let long = keeper.load("long", Some(&wat::parse_str(long).unwrap())).await.unwrap();
    let short = keeper.load("short", Some(&answers(2))).await.unwrap();
    assert_eq!(is_loaded(&[long.clone(), short.clone()]), [false, true]);
    let running = tokio::spawn({
        let provider = long.provider.clone();
        async move { call(&provider, "run", "{}").await }
    });
    until("the call", || long.load.in_flight() == 1).await;
    assert_eq!(run(&short).await, "2");
    assert_eq!(long.load.is_loaded(), Some(true), "a call runs on it");
    let full = call(&long.provider, "run", "{}").await;
    assert!(matches!(full, Err(CallError::Busy { .. })), "{full:?}");
    running.abort();
    let _ = running.await;
    until("the end of the call", || long.load.in_flight() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_another_one_when_the_code_is_loaded_is_published() {
    let place = Place::of_limits();
    let keeper = place.start(1);
    let loaded = keeper.load("p", Some(&telling::guest(telling::RANDOM, ""))).await.unwrap();
    let listed = telling::address(&loaded.provider);
    drop((loaded, keeper));
    let keeper = place.start(1);
    let loaded = keeper.load("p", None).await.unwrap();
    assert_eq!((loaded.load.is_loaded(), telling::address(&loaded.provider)), (Some(false), listed.clone()));
    // By this the code is loaded, and lists another address.
    call(&loaded.provider, "run", "{}").await.unwrap();
    let relisted = next(loaded.news.as_ref().unwrap()).await.relisted.unwrap();
    assert_ne!(telling::address(&relisted.provider), listed);
    assert_eq!(relisted.provider.tools(), loaded.provider.tools());
    assert!(place.kept("listing").is_empty(), "what it lists differs from time to time");
    // What its calls say of changes is heard, however often its code was dropped.
    let mut dropped = 0;
    for number in 0..20 {
        let other = keeper.load(&format!("other{number}"), Some(&answers(number))).await.unwrap();
        assert_eq!(run(&other).await, number.to_string());
        // What still ends its last call stays, and goes the next time.
        dropped += usize::from(relisted.load.is_loaded() == Some(false));
        assert!(!call(&relisted.provider, "run", "{}").await.unwrap().is_error);
        if dropped == 3 {
            break;
        }
    }
    assert_eq!(dropped, 3);
    let updates = async {
        let mut now = relisted;
        loop {
            let PluginUpdate { relisted, updated } = next(now.news.as_ref().unwrap()).await;
            if !updated.is_empty() {
                return updated;
            }
            now = relisted.unwrap();
        }
    };
    assert_eq!(updates.await, ["note:aaaaaaaa"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_can_be_kept_everything_is_in_memory() {
    let place = Place::of_limits();
    // A file stands where the folder should be.
    fs::write(place.folder.path().join("cache"), "").unwrap();
    let keeper = place.start(1);
    for number in 0..3 {
        let loaded = keeper.load(&format!("p{number}"), Some(&answers(number))).await.unwrap();
        assert_eq!((loaded.load.is_loaded(), run(&loaded).await), (None, number.to_string()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_cache_has_that_cannot_be_written_to_is_used() {
    let place = Place::of_limits();
    drop(place.start(1).load("p", Some(&answers(7))).await.unwrap());
    let folders = [place.kept("cwasm")[0].parent().unwrap().to_owned(), place.folder.path().join("cache")];
    // Root writes all the same.
    let allow = |mode| folders.iter().for_each(|folder| fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap());
    allow(0o500);
    let keeper = place.start(1);
    let loaded = keeper.load("p", None).await.unwrap();
    assert_eq!((loaded.load.is_loaded(), run(&loaded).await.as_str()), (Some(false), "7"));
    let new = keeper.load("q", Some(&answers(8))).await.unwrap();
    assert_eq!((run(&new).await.as_str(), run(&loaded).await.as_str()), ("8", "7"));
    allow(0o700);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn early_code_stays_until_better_code_is_there() {
    let place = Place::of_limits();
    let keeper = place.start(1);
    let large = optimised::large(r#"(func (export "run") (result i32) i32.const 7)"#);
    let early = keeper.load("p", Some(&large)).await.unwrap();
    assert_eq!((early.compiled.unwrap().by, early.load.is_loaded()), ("winch", None));
    let other = keeper.load("q", Some(&answers(1))).await.unwrap();
    assert_eq!((run(&early).await.as_str(), run(&other).await.as_str()), ("7", "1"));
    let better = next(early.news.as_ref().unwrap()).await.relisted.unwrap();
    assert_eq!((better.compiled.unwrap().by, run(&better).await.as_str()), ("cranelift", "7"));
    assert_eq!(run(&other).await, "1");
    assert_eq!(is_loaded(&[better.clone(), other]), [false, true]);
    assert_eq!(run(&better).await, "7");
}
