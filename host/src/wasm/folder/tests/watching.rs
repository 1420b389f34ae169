//! What comes, changes and goes.

use std::{io::Write, time::Instant};

use super::*;
use crate::provider::ProviderKind;

#[tokio::test]
async fn a_plugin_that_appears_is_served_and_one_that_goes_is_not() {
    let mut bench = Bench::new().await;
    bench.folder.settled().await;
    assert!(bench.folder.ready());
    bench.write("weather.wasm", "v1.");
    bench.serves("weather", Some("v1")).await;
    let status = bench.state("weather", ProviderState::Serving, None).await;
    assert_eq!(status.kind, ProviderKind::Wasm);
    assert_eq!(status.tools, ["v1"]);
    assert_eq!(status.digest.unwrap(), blake3::hash(b"v1.").to_hex()[..16]);
    assert_eq!(status.source, bench.dir.join("weather.wasm").display().to_string());
    assert_eq!((status.in_flight, status.queued), (3, 4));
    assert_eq!((status.warnings, status.imports), (vec!["a warning".to_owned()], vec!["an:import".to_owned()]));
    bench.remove("weather.wasm");
    bench.serves("weather", None).await;
    assert!(bench.status("weather").is_none());
}

#[tokio::test]
async fn a_change_is_live_within_a_second() {
    let mut bench = Bench::with(|_| {}, |options| options.settle = FolderOptions::SETTLE).await;
    bench.folder.settled().await;
    let mut best = Duration::MAX;
    // The best of some, since this machine may be busy.
    for version in 0..5 {
        bench.write("a.wasm", &format!("v{version}."));
        let begin = Instant::now();
        bench.serves("a", Some(&format!("v{version}"))).await;
        best = best.min(begin.elapsed());
    }
    assert!(best < Duration::from_secs(1), "{best:?}");
}

#[tokio::test]
async fn a_version_copied_over_another_takes_its_place() {
    let mut bench = Bench::new().await;
    bench.write("a.wasm", "v1.");
    bench.serves("a", Some("v1")).await;
    bench.write("a.wasm", "v2.");
    bench.serves("a", Some("v2")).await;
    // Same length, same instant almost, and the old modification time as `cp -p` leaves it.
    bench.write("a.wasm", "v3.");
    let file = fs::File::options().append(true).open(bench.dir.join("a.wasm")).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1)).unwrap();
    bench.serves("a", Some("v3")).await;
    assert_eq!(bench.loader.calls(), ["v1.", "v2.", "v3."]);
}

#[tokio::test]
async fn a_version_renamed_over_another_does_not_wait_to_settle() {
    let mut bench = Bench::with(|_| {}, |options| options.settle = Duration::from_secs(3600)).await;
    bench.put("a.wasm", "v1.");
    bench.serves("a", Some("v1")).await;
    bench.put("a.wasm", "v2.");
    bench.serves("a", Some("v2")).await;
    bench.put("a.wasm", "bad");
    bench.state("a", ProviderState::ServingPrevious, Some("this one is bad")).await;
}

#[tokio::test]
async fn a_broken_version_leaves_the_one_before_serving() {
    let mut bench = Bench::new().await;
    bench.put("a.wasm", "v1.");
    bench.serves("a", Some("v1")).await;
    bench.write("a.wasm", "bad.");
    let status = bench.state("a", ProviderState::ServingPrevious, Some("this one is bad.")).await;
    assert_eq!(status.tools, ["v1"]);
    assert_eq!(status.digest.unwrap(), blake3::hash(b"v1.").to_hex()[..16]);
    bench.write("a.wasm", "v1.");
    bench.state("a", ProviderState::Serving, None).await;
    assert_eq!(bench.loader.calls(), ["v1.", "bad."], "the version that serves is not loaded again");
    bench.write("a.wasm", "v2.");
    bench.serves("a", Some("v2")).await;
    assert_eq!(bench.batches, 2);
}

#[tokio::test]
async fn a_broken_plugin_is_tried_again_when_it_is_touched() {
    let mut bench = Bench::with(|dir| fs::write(dir.join("a.wasm"), "bad").unwrap(), |_| {}).await;
    bench.folder.settled().await;
    bench.state("a", ProviderState::Broken, Some("this one is bad")).await;
    fs::File::options().append(true).open(bench.dir.join("a.wasm")).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
    bench.calls(2).await;
    bench.write("a.wasm", "good.");
    bench.serves("a", Some("good")).await;
    bench.state("a", ProviderState::Serving, None).await;
}

#[tokio::test]
async fn the_same_content_again_is_not_loaded_again() {
    let mut bench = Bench::new().await;
    bench.write("a.wasm", "v1.");
    bench.write("a.toml", "-x");
    bench.serves("a", Some("v1-x")).await;
    let since = bench.status("a").unwrap().since;
    bench.write("a.wasm", "v1.");
    bench.put("a.toml", "-x");
    // Whatever was made of that came before this.
    bench.put("b.wasm", "b.");
    bench.serves("b", Some("b")).await;
    bench.write("c.wasm", "c.");
    bench.serves("c", Some("c")).await;
    assert_eq!(bench.loader.calls().iter().filter(|text| text.starts_with("v1")).count(), 1);
    assert_eq!(bench.status("a").unwrap().since, since);
    assert_eq!(bench.batches, 3);
}

#[tokio::test]
async fn a_file_copied_in_pieces_is_waited_for() {
    let mut bench = Bench::with(|_| {}, |options| options.settle = Duration::from_millis(1500)).await;
    bench.folder.settled().await;
    let mut file = fs::File::create(bench.dir.join("a.wasm")).unwrap();
    for _ in 0..20 {
        file.write_all(b"piece_").unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    file.write_all(b".").unwrap();
    drop(file);
    bench.serves("a", Some(&"piece_".repeat(20))).await;
    assert_eq!(bench.loader.calls().len(), 1);
}

#[tokio::test]
async fn a_truncated_file_is_called_broken_late_and_loads_when_it_is_completed() {
    let mut bench = Bench::new().await;
    bench.folder.settled().await;
    let begin = Instant::now();
    bench.write("a.wasm", "half");
    bench.calls(1).await;
    bench.state("a", ProviderState::Broken, Some("truncated")).await;
    // 500 ms of patience, counted from the file's own time, which is a little before or after ours.
    assert!(begin.elapsed() >= Duration::from_millis(480), "{:?}", begin.elapsed());
    assert_eq!(bench.loader.calls(), ["half"], "it is not loaded again to find out");
    fs::File::options().append(true).open(bench.dir.join("a.wasm")).unwrap().write_all(b"_and_half.").unwrap();
    bench.serves("a", Some("half_and_half")).await;
    bench.state("a", ProviderState::Serving, None).await;
}

#[tokio::test]
async fn a_sidecar_that_comes_changes_and_goes_loads_the_plugin_anew() {
    let mut bench = Bench::new().await;
    bench.write("toolbay.toml", "-no");
    bench.write("a.wasm", "v1.");
    bench.serves("a", Some("v1")).await;
    bench.write("a.toml", "-one");
    bench.serves("a", Some("v1-one")).await;
    bench.put("a.toml", "-two");
    bench.serves("a", Some("v1-two")).await;
    bench.remove("a.toml");
    bench.serves("a", Some("v1")).await;
    bench.write("toolbay.wasm", "t.");
    bench.serves("toolbay", Some("t")).await;
}

#[tokio::test]
async fn a_plugin_replaced_while_it_is_loaded_ends_up_as_the_newest() {
    let mut bench = Bench::new().await;
    bench.put("a.wasm", "slow_1.");
    bench.calls(1).await;
    assert_eq!(bench.status("a").unwrap().state, ProviderState::Loading);
    bench.put("a.wasm", "slow_2.");
    bench.calls(2).await;
    // The first is given up by now: one passes, and that is the second.
    bench.loader.gate.add_permits(1);
    bench.serves("a", Some("slow_2")).await;
    assert_eq!(bench.batches, 1);
    bench.put("a.wasm", "slow_3.");
    bench.calls(3).await;
    assert_eq!(bench.status("a").unwrap().state, ProviderState::ServingPrevious);
    bench.remove("a.wasm");
    bench.serves("a", None).await;
    bench.loader.gate.add_permits(1);
    bench.put("b.wasm", "b.");
    bench.serves("b", Some("b")).await;
    assert_eq!(bench.served.len(), 1);
}

#[tokio::test]
async fn a_file_removed_and_made_again_at_once_is_served_throughout() {
    let mut bench = Bench::with(|_| {}, |options| options.settle = Duration::from_secs(20)).await;
    bench.put("a.wasm", "v1.");
    bench.serves("a", Some("v1")).await;
    bench.remove("a.wasm");
    // The folder has been looked at without it.
    bench.put("b.wasm", "b.");
    bench.serves("b", Some("b")).await;
    assert_eq!(bench.served["a"], "v1");
    bench.put("a.wasm", "v2.");
    bench.take().await;
    assert_eq!(bench.served["a"], "v2");
}

#[tokio::test]
async fn a_folder_that_is_removed_and_made_again_is_watched_again() {
    let mut bench = Bench::new().await;
    bench.put("a.wasm", "v1.");
    bench.serves("a", Some("v1")).await;
    for round in 0..3 {
        fs::remove_dir_all(&bench.dir).unwrap();
        bench.serves("a", None).await;
        assert!(bench.folder.statuses().is_empty());
        fs::create_dir(&bench.dir).unwrap();
        bench.write("a.wasm", &format!("back_{round}."));
        bench.serves("a", Some(&format!("back_{round}"))).await;
        // By an event, not by the look that found the folder.
        bench.write("a.wasm", &format!("again_{round}."));
        bench.serves("a", Some(&format!("again_{round}"))).await;
    }
}

#[tokio::test]
async fn a_folder_in_place_of_another_counts() {
    let mut bench = Bench::new().await;
    bench.put("a.wasm", "v1.");
    bench.put("b.wasm", "v1.");
    bench.serves("a", Some("v1")).await;
    bench.serves("b", Some("v1")).await;
    let next = bench.dir.with_file_name("next");
    fs::create_dir(&next).unwrap();
    fs::write(next.join("a.wasm"), "v2.").unwrap();
    fs::rename(&bench.dir, bench.dir.with_file_name("before")).unwrap();
    fs::rename(&next, &bench.dir).unwrap();
    bench.serves("a", Some("v2")).await;
    bench.serves("b", None).await;
    // The watch has moved along.
    fs::write(bench.dir.with_file_name("before").join("c.wasm"), "c.").unwrap();
    bench.write("a.wasm", "v3.");
    bench.serves("a", Some("v3")).await;
    assert_eq!(bench.served.len(), 1);
}

#[tokio::test]
async fn a_link_to_a_folder_that_is_switched_counts() {
    let temporary = tempfile::tempdir().unwrap();
    for version in ["v1", "v2"] {
        fs::create_dir(temporary.path().join(version)).unwrap();
        fs::write(temporary.path().join(version).join("a.wasm"), format!("{version}.")).unwrap();
    }
    let current = temporary.path().join("current");
    std::os::unix::fs::symlink("v1", &current).unwrap();
    let mut bench = Bench::with(|_| {}, |options| options.path = current.clone()).await;
    bench.serves("a", Some("v1")).await;
    std::os::unix::fs::symlink("v2", temporary.path().join("next")).unwrap();
    fs::rename(temporary.path().join("next"), &current).unwrap();
    bench.serves("a", Some("v2")).await;
}

#[tokio::test]
async fn polling_finds_what_events_would_tell() {
    let mut bench = Bench::with(|_| {}, |options| options.poll = Some(Duration::from_millis(30))).await;
    bench.folder.settled().await;
    bench.write("a.wasm", "v1.");
    bench.serves("a", Some("v1")).await;
    bench.put("a.wasm", "v2.");
    bench.serves("a", Some("v2")).await;
    bench.write("a.toml", "-x");
    bench.serves("a", Some("v2-x")).await;
    bench.write("a.wasm", "bad");
    bench.state("a", ProviderState::ServingPrevious, Some("this one is bad")).await;
    fs::remove_dir_all(&bench.dir).unwrap();
    bench.serves("a", None).await;
    fs::create_dir(&bench.dir).unwrap();
    bench.write("a.wasm", "v3.");
    bench.serves("a", Some("v3")).await;
}

#[tokio::test]
async fn a_loader_that_panics_breaks_one_plugin_only() {
    let mut bench = Bench::new().await;
    bench.put("a.wasm", "panic.");
    bench.state("a", ProviderState::Broken, Some("internal error")).await;
    bench.put("b.wasm", "b.");
    bench.serves("b", Some("b")).await;
    bench.put("a.wasm", "a.");
    bench.serves("a", Some("a")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_plugins_are_there_soon_and_in_few_messages() {
    let begin = Instant::now();
    let mut bench = Bench::with(
        |dir| {
            for plugin in 0..1000 {
                let path = dir.join(format!("p{plugin}.wasm"));
                fs::write(&path, format!("t{plugin}.")).unwrap();
            }
        },
        |options| options.settle = Duration::ZERO,
    )
    .await;
    let written = begin.elapsed();
    while bench.served.len() < 1000 {
        bench.take().await;
    }
    let taken = begin.elapsed() - written;
    bench.folder.settled().await;
    println!("1,000 plugins: {taken:?} in {} messages", bench.batches);
    assert!(taken < Duration::from_secs(5), "{taken:?}");
    assert!(bench.batches < 300, "{}", bench.batches);
    assert!(bench.folder.statuses().iter().all(|status| status.state == ProviderState::Serving));
    // All at once gone, and one that comes is found among the going.
    fs::remove_dir_all(&bench.dir).unwrap();
    fs::create_dir(&bench.dir).unwrap();
    bench.write("last.wasm", "last.");
    while bench.served.len() != 1 || !bench.served.contains_key("last") {
        bench.take().await;
    }
}

#[tokio::test]
async fn what_is_there_at_the_start_is_waited_for() {
    let bench = Bench::with(
        |dir| {
            fs::write(dir.join("a.wasm"), "a.").unwrap();
            fs::write(dir.join("b.wasm"), "bad").unwrap();
            fs::write(dir.join("c.wasm"), "slow.").unwrap();
            fs::write(dir.join("Not A Name.wasm"), "x.").unwrap();
        },
        |_| {},
    )
    .await;
    bench.state("b", ProviderState::Broken, Some("this one is bad")).await;
    bench.state("a", ProviderState::Serving, None).await;
    assert!(!bench.folder.ready(), "c is still being loaded");
    assert_eq!(bench.status("c").unwrap().state, ProviderState::Loading);
    bench.loader.gate.add_permits(1);
    timeout(PATIENCE, bench.folder.settled()).await.unwrap();
    assert_eq!(bench.folder.statuses().len(), 4);
    assert_eq!(bench.status("c").unwrap().state, ProviderState::Serving);
}

#[tokio::test]
async fn stopping_ends_everything_and_dropping_does_too() {
    let mut bench = Bench::new().await;
    bench.put("a.wasm", "slow.");
    bench.calls(1).await;
    let held = Arc::strong_count(&bench.loader);
    assert!(held > 1);
    bench.folder.stop().await;
    assert_eq!(Arc::strong_count(&bench.loader), 1, "the task and its loads are gone");
    assert!(bench.changes.recv().await.is_none());
    bench.folder.settled().await;

    let Bench { folder, mut changes, .. } = Bench::new().await;
    folder.settled().await;
    drop(folder);
    assert!(timeout(PATIENCE, changes.recv()).await.unwrap().is_none());
}

#[tokio::test]
async fn what_a_plugin_says_is_told_and_what_an_older_version_says_is_not() {
    let mut bench = Bench::new().await;
    bench.write("a.wasm", "tells1.");
    bench.serves("a", Some("tells1")).await;
    let id = ProviderId::new("a").unwrap();
    let said = Arc::clone(&bench.loader.said);
    let mut relisted = toy(id.clone(), "another");
    relisted.news = Some(Arc::new(Telling(said)));
    let digest = bench.status("a").unwrap().digest;
    bench.loader.tell.send(PluginUpdate { relisted: Some(relisted), updated: vec!["x:1".to_owned()] }).ok().unwrap();
    bench.serves("a", Some("another")).await;
    let status = bench.status("a").unwrap();
    assert_eq!((status.tools, status.digest, status.state), (vec!["another".to_owned()], digest, ProviderState::Serving));
    // It is listened to again after each thing.
    for uri in ["x:2", "x:3"] {
        bench.loader.tell.send(PluginUpdate { relisted: None, updated: vec![uri.to_owned()] }).ok().unwrap();
    }
    while bench.updated.len() < 3 {
        bench.take().await;
    }
    assert_eq!(bench.updated, ["x:1", "x:2", "x:3"].map(|uri| ("a".to_owned(), uri.to_owned())));
    assert_eq!(bench.loader.calls().len(), 1, "the file was not read again for it");

    bench.put("a.wasm", "v2.");
    bench.serves("a", Some("v2")).await;
    bench.loader.tell.send(PluginUpdate { relisted: Some(toy(id, "too-late")), updated: Vec::new() }).ok().unwrap();
    bench.put("b.wasm", "v1.");
    bench.serves("b", Some("v1")).await;
    assert_eq!(bench.served["a"], "v2");
}
