//! Files that change while calls use them.

use super::*;

fn copy_model(to: &Path) {
    for entry in std::fs::read_dir(t5()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "onnx") {
            std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}

/// Puts a file in place as an operator should.
fn put(folder: &Path, name: &str, bytes: &[u8]) {
    std::fs::write(folder.join(".new"), bytes).unwrap();
    std::fs::rename(folder.join(".new"), folder.join(name)).unwrap();
}

async fn until(what: &str, mut look: impl FnMut() -> bool) {
    for _ in 0..1200 {
        if look() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("a minute has gone: {what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_is_swapped_under_load_and_a_broken_one_is_not_taken() {
    if !has_library() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    copy_model(folder.path());
    let path = folder.path().to_owned();
    let registry = registry(|model| model.path = path);
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut load = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (registry, stop) = (registry.clone(), stop.clone());
        load.spawn(async move {
            let mut done = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let account = account("p");
                let encoder = graph(&registry, "t5/encoder_model");
                encoder.compute(&account, text(&account, &[5, 6, 7, 1])).await.unwrap();
                done += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            done
        });
    }
    let graphs = || registry.statuses()[0].graphs.iter().map(|graph| graph.name.clone()).collect::<Vec<_>>();
    let error = || registry.statuses()[0].error.clone();

    // One more graph: the new version has it.
    let encoder = std::fs::read(t5().join("encoder_model.onnx")).unwrap();
    put(folder.path(), "again.onnx", &encoder);
    until("the new graph is there", || graphs().contains(&"t5/again".to_owned())).await;
    assert_eq!(error(), None);

    // Broken: it is said, and what was there goes on.
    put(folder.path(), "again.onnx", b"no graph at all");
    until("the error is told", || error().is_some()).await;
    assert!(error().unwrap().contains("again.onnx"), "{:?}", error());
    assert!(graphs().contains(&"t5/again".to_owned()));
    let (account, again) = (account("p"), graph(&registry, "t5/again"));
    again.compute(&account, text(&account, &[5, 1])).await.unwrap();

    // Mended: it is taken. A graph that a call has already stays what it was.
    std::fs::remove_file(folder.path().join("again.onnx")).unwrap();
    until("the graph is gone", || !graphs().contains(&"t5/again".to_owned())).await;
    assert_eq!(error(), None);
    again.compute(&account, text(&account, &[5, 1])).await.unwrap();

    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let done: usize = load.join_all().await.into_iter().sum();
    assert!(done > 10, "{done}");
    assert_eq!(registry.statuses()[0].counts.failed, 0);
}

#[test]
fn a_call_sees_one_version_from_its_first_look_to_its_end() {
    if !has_library() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    copy_model(folder.path());
    let path = folder.path().to_owned();
    let registry = registry(|model| model.path = path);
    let mut loading = Loading::default();
    registry.graph("p", "t5/encoder_model", &mut loading).unwrap();
    std::fs::rename(folder.path().join("decoder_model.onnx"), folder.path().join("other.onnx")).unwrap();
    let start = std::time::Instant::now();
    while registry.graph("p", "t5/other", &mut Loading::default()).is_err() {
        assert!(start.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(registry.graph("p", "t5/decoder_model", &mut loading).is_ok());
    assert!(registry.graph("p", "t5/other", &mut loading).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_configuration_keeps_what_is_the_same_and_calls_go_on_with_what_they_saw() {
    if !has_library() {
        return;
    }
    let registry = registry(|_| {});
    let config = |models: &[(&str, &[&str], usize)]| {
        let mut config = Config::default();
        for (name, plugins, sessions) in models {
            let plugins = plugins.iter().map(|plugin| (*plugin).to_owned()).collect();
            config.model.insert((*name).to_owned(), ModelConfig { path: t5(), plugins, sessions: *sessions, ..ModelConfig::default() });
        }
        config
    };
    let account = account("p");
    let computes = |registry: &Registry| registry.statuses().iter().map(|model| model.counts.computes).sum::<u64>();
    let mut before = Loading::default();
    let encoder = registry.graph("p", "t5/encoder_model", &mut before).unwrap();
    encoder.compute(&account, text(&account, &[5, 6, 7, 1])).await.unwrap();
    // Only who may use it is another: it stays open, with its counts. A second one is opened.
    registry.put(registry.prepare(&config(&[("t5", &["q"], 1), ("more", &["p"], 1)])).unwrap());
    assert_eq!((registry.statuses().len(), computes(&registry)), (2, 1));
    let refused = registry.graph("p", "t5/encoder_model", &mut Loading::default()).err().unwrap();
    assert_eq!(refused.code, Code::Security);
    assert!(registry.graph("p", "more/encoder_model", &mut Loading::default()).is_ok());
    // What cannot be opened changes nothing.
    let mut broken = config(&[("t5", &["p"], 1), ("broken", &["p"], 1)]);
    broken.model.get_mut("broken").unwrap().path = PathBuf::from("/no/such/folder");
    assert!(registry.prepare(&broken).is_err_and(|error| error.to_string().contains("broken")));
    assert_eq!(registry.statuses().len(), 2);
    // Without any, the call that has looked at one goes on with it.
    registry.put(registry.prepare(&config(&[])).unwrap());
    assert!(registry.statuses().is_empty());
    encoder.compute(&account, text(&account, &[5, 6, 7, 1])).await.unwrap();
    assert!(registry.graph("p", "t5/encoder_model", &mut before).is_ok());
}
