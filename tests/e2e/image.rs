//! The image of `scripts/image.sh`: it serves what ships with nothing but its own files, a read-only root, no rights, and a token that it demands.

use toolbay_tests::{Value, engine::Engine, eventually, files, json, secs};

/// A container that is removed whatever happens.
struct Running<'a> {
    engine: &'a Engine,
    name: String,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let removed = std::process::Command::new(&self.engine.program).args(["rm", "--force", "--time", "1", &self.name]).output();
        if let Err(error) = removed {
            eprintln!("{} stays: {error}", self.name);
        }
    }
}

/// What `scripts/image.sh` says, with these further options.
async fn build(engine: &Engine, options: &[&str]) -> (bool, String) {
    let output = tokio::process::Command::new(files::root().join("scripts/image.sh"))
        .args(["--engine", &engine.program])
        .args(options)
        .output()
        .await
        .expect("scripts/image.sh runs");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test]
async fn the_image_serves_what_ships_without_any_rights() {
    let Some(engine) = Engine::find() else { return };
    let binary = files::binary();
    let plugins = files::plugin("calculator").parent().expect("a folder").to_owned();
    let tag = format!("localhost/toolbay-test-image:{}", std::process::id());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sbom = folder.path().join("sbom.json");
    let inputs = ["--binary", &binary.display().to_string(), "--plugins", &plugins.display().to_string()].map(str::to_owned);
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let (built, said) = build(&engine, &[&inputs[..], &["--tag", &tag, "--sbom", &sbom.display().to_string()]].concat()).await;
    assert!(built, "{said}");
    let image = engine.run(&["image", "inspect", &tag, "--format", "{{.Id}}"]).await;

    // The same inputs, the same image.
    let (built, said) = build(&engine, &[&inputs[..], &["--tag", &format!("{tag}-again")]].concat()).await;
    assert!(built, "{said}");
    if engine.has_service() {
        assert_eq!(engine.run(&["image", "inspect", &format!("{tag}-again"), "--format", "{{.Id}}"]).await, image);
    }

    // Without a token it does not start, and says what is missing.
    let hardened = ["--rm", "--read-only", "--cap-drop=all", "--security-opt=no-new-privileges", "--network=host", "--memory=1g"];
    let refused = tokio::process::Command::new(&engine.program).arg("run").args(hardened).arg(&tag).output().await.expect("podman runs");
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{words}");
    assert!(words.contains("TOOLBAY_TOKEN") && words.contains("/etc/toolbay/toolbay.toml"), "{words}");

    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port").port();
    let url = format!("http://127.0.0.1:{port}");
    let name = format!("toolbay-test-image-{}", std::process::id());
    let token = "a-token-of-the-test-of-the-image";
    let mut start: Vec<String> = ["run", "--detach", "--name", &name].into_iter().chain(hardened).map(str::to_owned).collect();
    start.extend(["--env".to_owned(), format!("TOOLBAY_TOKEN={token}"), "--env".to_owned(), format!("TOOLBAY_HEALTH_URL={url}")]);
    start.extend([&tag, "serve", "--config", "/etc/toolbay/toolbay.toml", "--listen", &format!("127.0.0.1:{port}")].map(str::to_owned));
    engine.run(&start.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let running = Running { engine: &engine, name };

    // Its own health check, as the engine runs it.
    eventually("the image is healthy", secs(120), || async {
        let check = ["exec", running.name.as_str(), "/usr/bin/toolbay", "health"];
        let output = tokio::process::Command::new(&engine.program).args(check).output().await.expect("podman runs");
        (output.status.success() && output.stdout == b"ready\n").then_some(())
    })
    .await;
    if engine.has_service() {
        engine.run(&["healthcheck", "run", &running.name]).await;
        let user = engine.run(&["top", &running.name, "user"]).await;
        assert!(!user.contains("root"), "{user}");
    }

    let http = toolbay_tests::client::http();
    let refused = http.get(format!("{url}/tools")).send().await.expect("an answer");
    assert_eq!(refused.status(), 401);
    let status = http.get(format!("{url}/status")).bearer_auth(token).send().await.expect("an answer").text().await.expect("text");
    let status: Value = serde_json::from_str(&status).expect("JSON");
    for plugin in status["plugins"].as_array().expect("a list") {
        assert_eq!(plugin["state"], "serving", "{plugin}");
    }
    for (tool, arguments, wanted) in
        [("add", json!({"a": 1, "b": 2}), "3"), ("translate", json!({"text": "The table is at the office."}), "bureau")]
    {
        let body = json!({"tool_name": tool, "tool_args": arguments}).to_string();
        let answer = http.post(format!("{url}/call")).bearer_auth(token).body(body).send().await.expect("an answer");
        let answer = answer.text().await.expect("text");
        assert!(answer.contains(wanted), "{tool}: {answer}");
    }

    let listed: Value = serde_json::from_str(&std::fs::read_to_string(&sbom).expect("the SBOM")).expect("JSON");
    let names: Vec<&str> = listed["components"].as_array().expect("a list").iter().filter_map(|part| part["name"].as_str()).collect();
    for part in ["wasmtime", "axum", "tokio", "onnxruntime"] {
        assert!(names.contains(&part), "{part} is missing");
    }
    // What only tests need is not inside.
    assert!(!names.contains(&"proptest"), "{names:?}");

    // It ends when it is told to, before the engine kills it.
    let began = std::time::Instant::now();
    engine.run(&["stop", "--time", "30", &running.name]).await;
    assert!(began.elapsed() < secs(25), "stopped by force");
    drop(running);
    played(&engine, &tag).await;
    engine.run(&["image", "rm", "--force", &tag, &format!("{tag}-again")]).await;
}

/// What was played, which is removed whatever happens.
struct Played<'a> {
    engine: &'a Engine,
    file: std::path::PathBuf,
    volumes: String,
}

impl Drop for Played<'_> {
    fn drop(&mut self) {
        let podman = |arguments: &[&str]| std::process::Command::new(&self.engine.program).args(arguments).output();
        let removed = podman(&["play", "kube", "--down", &self.file.display().to_string()]);
        if let Err(error) = removed {
            eprintln!("the pod of {} stays: {error}", self.file.display());
        }
        let all = podman(&["volume", "ls", "--quiet", "--filter", &format!("name={}", self.volumes)]);
        for volume in all.map(|all| String::from_utf8_lossy(&all.stdout).into_owned()).unwrap_or_default().lines() {
            drop(podman(&["volume", "rm", "--force", volume]));
        }
        drop(podman(&["secret", "rm", &self.volumes]));
    }
}

/// The Helm chart's pod, with its own configuration, secret, volumes and rights, by Kubernetes' manifests as far as podman runs them.
async fn played(engine: &Engine, tag: &str) {
    if !engine.has_service() {
        return;
    }
    let python = tokio::process::Command::new(files::root().join("scripts/check-deploy.sh")).arg("--python").output().await;
    let python = python.expect("scripts/check-deploy.sh runs");
    assert!(python.status.success(), "{}", String::from_utf8_lossy(&python.stderr));
    let python = String::from_utf8_lossy(&python.stdout).trim().to_owned();
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port").port().to_string();
    // Read as it is, or decoded: that depends on podman's version.
    let (token, decoded) = ("YS10b2tlbi1vZi10aGUtdGVzdC1vZi10aGUtY2hhcnQh", "a-token-of-the-test-of-the-chart!");
    let (script, chart) = (files::root().join("scripts/lib/kube_play.py"), files::root().join("deploy/helm/toolbay"));
    let rendered =
        tokio::process::Command::new(python).arg(script).arg(chart).args([tag, &port, token]).output().await.expect("Python runs");
    assert!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("kube.yaml");
    std::fs::write(&file, rendered.stdout).expect("it can be written");
    let played = Played { engine, file: file.clone(), volumes: format!("test-{port}") };
    engine.run(&["play", "kube", &file.display().to_string()]).await;
    let http = toolbay_tests::client::http();
    let (name, base) = (format!("test-{port}-toolbay"), format!("http://127.0.0.1:{port}"));
    let logs = async || {
        let pods = engine.run(&["ps", "--all", "--format", "{{.Names}}"]).await;
        match pods.lines().find(|pod| pod.contains(&name) && pod.ends_with("-toolbay")) {
            Some(pod) => engine.run(&["logs", pod]).await,
            None => pods,
        }
    };
    eventually("the pod is ready", secs(120), || async {
        let ready = http.get(format!("{base}/readyz")).send().await.is_ok_and(|answer| answer.status().is_success());
        if !ready {
            // What it says where it ends.
            println!("{}", logs().await);
        }
        ready.then_some(())
    })
    .await;
    assert_eq!(http.get(format!("{base}/tools")).send().await.expect("an answer").status(), 401);
    let mut sums = Vec::new();
    for token in [token, decoded] {
        let body = json!({"tool_name": "add", "tool_args": {"a": 1, "b": 2}}).to_string();
        let answer = http.post(format!("{base}/call")).bearer_auth(token).body(body).send().await.expect("an answer");
        sums.push(answer.text().await.expect("text"));
    }
    assert!(sums.iter().any(|sum| sum.contains("\"result\":3")), "{sums:?}\n{}", logs().await);
    drop(played);
}

#[tokio::test]
async fn a_wrong_option_of_the_image_says_what_would_be_right() {
    let Some(engine) = Engine::find() else { return };
    for (options, words) in [
        (&["--tagg", "x"][..], "unknown option --tagg"),
        (&["--tag"], "--tag needs a value"),
        (&["--binary", "/not/there"], "--binary /not/there: there is no such program"),
        (&["--binary", "/bin/true", "--plugins", "/not/there"], "--plugins /not/there: no .wasm file"),
    ] {
        let (built, said) = build(&engine, options).await;
        assert!(!built && said.contains(words), "{options:?}: {said}");
    }
}
