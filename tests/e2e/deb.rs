//! The Debian package of `scripts/deb.sh`: it has what it should, as Debian wants it, and what is in it runs.

use std::{fs, path::Path, process::Command};

use toolbay_tests::{Client, files, json};

/// Runs a program to its end. None: it is not here.
fn run(program: &str, arguments: &[&str]) -> Option<(bool, String)> {
    let output = match Command::new(program).args(arguments).output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            assert!(std::env::var_os("CI").is_none(), "{program} is missing");
            println!("skipped: {program} is not installed");
            return None;
        }
        Err(error) => panic!("{program}: {error}"),
    };
    let said = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

fn build(into: &Path) -> Option<String> {
    run("dpkg-shlibdeps", &["--version"])?;
    let (binary, plugins) = (files::binary(), files::plugin("calculator"));
    let plugins = plugins.parent().expect("a folder");
    let output = Command::new(files::root().join("scripts/deb.sh"))
        .args(["--fast", "--maintainer", "A Packager <packager@debian.org>", "--output"])
        .args([into.as_os_str(), "--binary".as_ref(), binary.as_os_str(), "--plugins".as_ref(), plugins.as_os_str()])
        .output()
        .expect("scripts/deb.sh runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[tokio::test]
async fn the_package_is_as_debian_wants_it_and_what_is_in_it_serves() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(package) = build(folder.path()) else { return };
    let again = build(&folder.path().join("again")).expect("it is here");
    assert!(fs::read(&package).expect("it is there") == fs::read(again).expect("it is there"), "the same inputs make another package");
    let root = folder.path().join("root");
    let (unpacked, said) = run("dpkg-deb", &["-x", &package, &root.display().to_string()]).expect("it is here");
    assert!(unpacked, "{said}");
    let at = |path: &str| root.join(path);

    // Its own binary, with its own configuration and plugins, which are named as they are on a machine.
    let configured = fs::read_to_string(at("etc/toolbay/toolbay.toml")).expect("a configuration");
    let config = configured.replace("\"/usr/", &format!("\"{}/usr/", root.display())).replace("127.0.0.1:8000", "127.0.0.1:0");
    assert_ne!(configured, config);
    fs::write(folder.path().join("toolbay.toml"), config).expect("it can be written");
    let mut toolbay = tokio::process::Command::new(at("usr/bin/toolbay"));
    toolbay.arg("serve").arg("--config").arg(folder.path().join("toolbay.toml")).env("XDG_CACHE_HOME", files::cache());
    let mut serving = toolbay.stdout(std::process::Stdio::piped()).kill_on_drop(true).spawn().expect("it starts");
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(serving.stdout.take().expect("a pipe")));
    let url = loop {
        let line = lines.next_line().await.expect("a line").expect("it says where it serves");
        if let Some(url) = line.trim().strip_prefix("http://").filter(|url| url.ends_with("/mcp")) {
            break format!("http://{url}");
        }
    };
    assert_eq!(Client::at(&url).call("add", json!({ "a": 1, "b": 2 })).await.ok(), "3.0");
    let base = url.trim_end_matches("/mcp");
    // Also where ca-certificates is not installed: plain HTTP needs none.
    for (arguments, says) in [(vec!["health", "--url", base], "ready"), (vec!["call", "add", r#"{"a": 1, "b": 2}"#, "--url", &url], "3")] {
        let mut command = tokio::process::Command::new(at("usr/bin/toolbay"));
        let ran = command.args(arguments).envs([("SSL_CERT_FILE", "/nowhere"), ("SSL_CERT_DIR", "/nowhere")]).output().await;
        let ran = ran.expect("it runs");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        assert!(String::from_utf8_lossy(&ran.stdout).contains(says), "{}", String::from_utf8_lossy(&ran.stdout));
    }

    // The unit names what is in the package, and the user that the package makes.
    let unit = fs::read_to_string(at("lib/systemd/system/toolbay.service")).expect("a unit");
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("a command");
    for path in start.split(' ').filter(|word| word.starts_with('/')) {
        assert!(at(path.trim_start_matches('/')).exists(), "{start}");
    }
    let user = unit.lines().find_map(|line| line.strip_prefix("User=")).expect("a user");
    let users = fs::read_to_string(at("usr/lib/sysusers.d/toolbay.conf")).expect("a user");
    assert!(users.starts_with(&format!("u {user} ")), "{users}");
    let licences = Command::new("gzip").arg("-dc").arg(at("usr/share/doc/toolbay/third-party-licences.txt.gz")).output().expect("gzip");
    let licences = String::from_utf8(licences.stdout).expect("text");
    assert!(["\nwasmtime ", "\ntokio ", "Permission is hereby granted"].iter().all(|part| licences.contains(part)));
    for script in ["postinst", "prerm", "postrm"] {
        let (right, said) = run("sh", &["-n", &files::root().join("deploy/debian").join(script).display().to_string()]).expect("sh");
        assert!(right, "{said}");
    }
    // As root, since this may run as root.
    if let Some((clean, said)) = run("lintian", &["--allow-root", "--fail-on", "error,warning", &package]) {
        assert!(clean, "{said}");
    }
}
