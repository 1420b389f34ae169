//! What is not served, and why; and the one look without watching.

use std::{os::unix::fs::symlink, process::Command};

use super::*;

#[tokio::test]
async fn a_link_out_of_the_folder_is_refused_and_one_inside_is_served() {
    let mut bench = Bench::new().await;
    fs::create_dir(bench.dir.join("lib")).unwrap();
    bench.write("lib/a.bin", "inside.");
    fs::write(bench.dir.with_file_name("outside.wasm"), "outside.").unwrap();
    symlink("lib/a.bin", bench.dir.join("a.wasm")).unwrap();
    symlink("../outside.wasm", bench.dir.join("b.wasm")).unwrap();
    symlink("nowhere", bench.dir.join("c.wasm")).unwrap();
    symlink("d.wasm", bench.dir.join("d.wasm")).unwrap();
    bench.serves("a", Some("inside")).await;
    let status = bench.state("b", ProviderState::Broken, Some("leads out of the plugins folder")).await;
    assert!(status.error.unwrap().contains("outside.wasm; copy the file itself"));
    bench.state("c", ProviderState::Broken, Some("cannot be followed")).await;
    bench.state("d", ProviderState::Broken, Some("cannot be followed")).await;
    assert_eq!(bench.loader.calls(), ["inside."]);
    // No event in the folder tells of that.
    bench.write("lib/a.bin", "changed.");
    bench.serves("a", Some("changed")).await;
    // A sidecar must not lead out either: it grants permissions.
    fs::write(bench.dir.with_file_name("grants.toml"), "-x").unwrap();
    symlink("../grants.toml", bench.dir.join("a.toml")).unwrap();
    bench.state("a", ProviderState::ServingPrevious, Some("a.toml is a symbolic link that leads out")).await;
}

#[tokio::test]
async fn a_folder_swapped_by_a_hidden_link_is_noticed() {
    // As Kubernetes mounts a ConfigMap.
    let mut bench = Bench::new().await;
    for version in ["v1", "v2"] {
        fs::create_dir(bench.dir.join(format!("..{version}"))).unwrap();
        bench.write(&format!("..{version}/a.wasm"), &format!("{version}."));
    }
    symlink("..v1", bench.dir.join("..data")).unwrap();
    symlink("..data/a.wasm", bench.dir.join("a.wasm")).unwrap();
    bench.serves("a", Some("v1")).await;
    symlink("..v2", bench.dir.join("..next")).unwrap();
    fs::rename(bench.dir.join("..next"), bench.dir.join("..data")).unwrap();
    bench.serves("a", Some("v2")).await;
}

#[tokio::test]
async fn what_is_no_file_is_never_opened() {
    let mut bench = Bench::new().await;
    let made = Command::new("mkfifo").arg(bench.dir.join("pipe.wasm")).status().unwrap();
    assert!(made.success());
    fs::create_dir(bench.dir.join("folder.wasm")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(bench.dir.join("socket.wasm")).unwrap();
    bench.state("pipe", ProviderState::Broken, Some("pipe.wasm is a named pipe, not a file")).await;
    bench.state("folder", ProviderState::Broken, Some("folder.wasm is a folder, not a file")).await;
    bench.state("socket", ProviderState::Broken, Some("socket.wasm is a socket, not a file")).await;
    bench.put("a.wasm", "a.");
    bench.serves("a", Some("a")).await;
    // In place of a file that serves.
    bench.remove("a.wasm");
    fs::create_dir(bench.dir.join("a.wasm")).unwrap();
    bench.state("a", ProviderState::ServingPrevious, Some("a.wasm is a folder")).await;
    fs::remove_dir(bench.dir.join("a.wasm")).unwrap();
    bench.serves("a", None).await;
    assert_eq!(bench.loader.calls(), ["a."]);
}

#[tokio::test]
async fn huge_and_empty_files_are_refused() {
    let mut bench = Bench::new().await;
    let file = fs::File::create(bench.dir.join("huge.wasm")).unwrap();
    file.set_len((1 << 20) + 1).unwrap();
    let status = bench.state("huge", ProviderState::Broken, Some("1048577 bytes, and 1048576 are allowed")).await;
    assert!(status.error.unwrap().contains("`max_file` in [host]"));
    bench.write("empty.wasm", "");
    bench.state("empty", ProviderState::Broken, Some("empty.wasm is empty")).await;
    bench.put("a.wasm", "a.");
    let file = fs::File::create(bench.dir.join("a.toml")).unwrap();
    file.set_len((1 << 20) + 1).unwrap();
    bench.state("a", ProviderState::Broken, Some("a.toml is too large")).await;
    fs::write(bench.dir.join("a.toml"), [0xff, 0xfe]).unwrap();
    bench.state("a", ProviderState::Broken, Some("a.toml is not UTF-8")).await;
    assert!(bench.loader.calls().is_empty());
    bench.write("a.toml", "-x");
    bench.serves("a", Some("a-x")).await;
    bench.write("huge.wasm", "small.");
    bench.serves("huge", Some("small")).await;
}

#[tokio::test]
async fn a_file_that_must_not_be_read_says_so() {
    use std::os::unix::fs::PermissionsExt;
    let mut bench = Bench::new().await;
    bench.put("a.wasm", "a.");
    bench.serves("a", Some("a")).await;
    let path = bench.dir.join("a.wasm");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o0)).unwrap();
    if fs::File::open(&path).is_ok() {
        // The user root may read anything: there is nothing to be refused.
        return;
    }
    bench.state("a", ProviderState::ServingPrevious, Some("let the user that runs toolbay read it")).await;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    bench.state("a", ProviderState::Serving, None).await;
}

#[tokio::test]
async fn a_bad_name_is_reported_and_nothing_else_counts() {
    let mut bench = Bench::new().await;
    bench.write("Weather Report.wasm", "x.");
    for name in [".hidden.wasm", "a.wasm~", "a.wasm.part", "a.wasm.crdownload", "a.cwasm", "README.md"] {
        bench.write(name, "x.");
    }
    fs::create_dir(bench.dir.join("deeper")).unwrap();
    bench.write("deeper/b.wasm", "x.");
    bench.put("last.wasm", "last.");
    bench.serves("last", Some("last")).await;
    bench.state("Weather Report.wasm", ProviderState::Broken, Some("rename the file, to weather-report.wasm for example")).await;
    assert_eq!(bench.folder.statuses().len(), 2);
    assert_eq!(bench.loader.calls(), ["last."]);
    fs::rename(bench.dir.join("Weather Report.wasm"), bench.dir.join("weather-report.wasm")).unwrap();
    bench.serves("weather-report", Some("x")).await;
    bench.until("the bad name is gone", || bench.folder.statuses().len() == 2).await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_says_what_to_do() {
    let temporary = tempfile::tempdir().unwrap();
    fs::write(temporary.path().join("file"), "").unwrap();
    for (name, wanted) in [("missing", "create it, or name another one"), ("file", "is not a folder; name the folder")] {
        let (sender, _changes) = mpsc::channel(1);
        let error = Folder::start(options(&temporary.path().join(name)), ToyLoader::new(), sender).await.err().unwrap();
        assert!(error.to_string().contains(wanted), "{error}");
    }
}

#[tokio::test]
async fn one_look_loads_everything_there() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path();
    fs::write(dir.join("b.wasm"), "b.").unwrap();
    fs::write(dir.join("a.wasm"), "a.").unwrap();
    fs::write(dir.join("a.toml"), "-x").unwrap();
    fs::write(dir.join("c.wasm"), "bad").unwrap();
    fs::write(dir.join("D.wasm"), "d.").unwrap();
    symlink("/etc/hostname", dir.join("e.wasm")).unwrap();
    let once = load_once(options(dir), ToyLoader::new()).await.unwrap();
    let loaded: Vec<_> = once.loaded.iter().map(|(id, loaded)| format!("{id} {}", loaded.provider.tools()[0].name)).collect();
    assert_eq!(loaded, ["a a-x", "b b"]);
    let states: Vec<_> = once.statuses.iter().map(|status| (status.name.as_str(), status.state, status.error.is_some())).collect();
    use ProviderState::{Broken, Serving};
    assert_eq!(states, [("D.wasm", Broken, true), ("a", Serving, false), ("b", Serving, false), ("c", Broken, true), ("e", Broken, true)]);
}

#[tokio::test]
async fn one_look_at_one_file_follows_it_anywhere() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path();
    fs::create_dir(dir.join("built")).unwrap();
    fs::write(dir.join("built/x.wasm"), "x.").unwrap();
    fs::create_dir(dir.join("here")).unwrap();
    symlink("../built/x.wasm", dir.join("here/y.wasm")).unwrap();
    fs::write(dir.join("here/y.toml"), "-s").unwrap();
    let once = load_once(options(&dir.join("here/y.wasm")), ToyLoader::new()).await.unwrap();
    assert_eq!(once.loaded.len(), 1);
    assert_eq!(once.statuses[0].tools, ["x-s"]);
    for (name, wanted) in [("here/y.toml", "neither a folder nor a plugin"), ("here/z.wasm", "there is no plugins folder")] {
        let error = load_once(options(&dir.join(name)), ToyLoader::new()).await.err().unwrap();
        assert!(error.to_string().contains(wanted), "{error}");
    }
}
