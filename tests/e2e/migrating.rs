//! The steps of docs/migrating.md, as somebody does them who has that page: each block is taken from it and run. Only addresses, the engine's
//! image and Python's place are those of the test.

use std::{fs, path::PathBuf, process::Stdio};

use axum::{Json, Router, routing};
use toolbay_tests::{Client, Setup, Value, engine::Engine, eventually, files, json, lab::Lab, secs, weather};

/// The blocks of one language below a heading of the page.
fn steps(heading: &str, language: &str) -> Vec<String> {
    let page = fs::read_to_string(files::root().join("docs/migrating.md")).expect("the page");
    let section = page.split("\n## ").find(|section| section.lines().next() == Some(heading)).expect("the heading");
    let blocks = section.split("```").skip(1).step_by(2);
    blocks.filter_map(|block| block.strip_prefix(&format!("{language}\n")).map(str::to_owned)).collect()
}

/// A step with something in place of something that has to be there.
fn with(step: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(step.to_owned(), |step, (from, to)| {
        assert!(step.contains(from), "{from} is not in {step}");
        step.replace(from, to)
    })
}

/// The Python with the SDK that the tutorials pin. None: it is not installed, which CI does not accept.
fn python() -> Option<String> {
    let folder = Lab::find().folder().join("tutorial");
    if !folder.join("ready").exists() {
        assert!(std::env::var_os("CI").is_none(), "the lab lacks mcp 1.11: run scripts/lab.sh");
        println!("skipped: the lab lacks mcp 1.11: run scripts/lab.sh");
        return None;
    }
    Some(folder.join("bin/python").display().to_string())
}

/// The lines of the alerts of California, as the tutorials' client sees them.
async fn alerts(url: &str) -> Vec<String> {
    let calls = json!([["get_alerts", { "state": "CA" }]]).to_string();
    let ran = Lab::find().tutorial("tutorial_client.py", &[url, &calls]).await.expect("it is installed");
    assert!(ran.success, "{}", ran.all);
    let report: Value = serde_json::from_str(ran.stdout.lines().last().expect("a report")).expect("JSON");
    let text = report["results"][0]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text in {report}"));
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port()
}

#[tokio::test]
async fn the_weather_server_is_kept_as_a_program_or_a_url_or_becomes_a_plugin() {
    let Some(python) = python() else { return };
    let service = weather::start().await;
    let program = files::root().join("tests/servers/weather.py").display().to_string();
    let [kept, by_url] = <[String; 2]>::try_from(steps("Weather server", "toml")).expect("two ways to keep it");
    let [copied, called] = <[String; 2]>::try_from(steps("Weather server", "sh")).expect("how it becomes a plugin, and a call");

    // Kept as a program.
    let kept = with(&kept, &[("\"python3\"", &format!("{python:?}")), ("\"weather.py\"", &format!("{program:?}"))]);
    let env = format!("env = {{ NWS_API_BASE = {:?} }}\n", service.base());
    let server = Setup::new().config(&format!("{kept}{env}")).start().await;
    let lines = alerts(&format!("{}/weather/mcp", server.base)).await;
    assert!(lines.iter().any(|line| line.starts_with("Event: ")) && lines.iter().any(|line| line == "---"), "{lines:?}");

    // Kept where it is served.
    let port = free_port();
    let mut command = tokio::process::Command::new(&python);
    command.args([&program, &port.to_string()]).env("NWS_API_BASE", service.base()).stdin(Stdio::null()).kill_on_drop(true);
    let _served = command.spawn().expect("python runs");
    eventually("the program serves", secs(60), || async { tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok() }).await;
    let server = Setup::new().config(&with(&by_url, &[("127.0.0.1:8001", &format!("127.0.0.1:{port}"))])).start().await;
    assert_eq!(alerts(&format!("{}/weather/mcp", server.base)).await, lines);

    // As a plugin: typed in, line by line. What serves goes on until the end.
    let setup = Setup::new();
    let home = setup.home().to_owned();
    std::os::unix::fs::symlink(files::plugin("weather").parent().and_then(std::path::Path::parent).expect("dist"), home.join("dist"))
        .expect("a link to what was built");
    let granted = format!("[plugin.weather]\nhttp_private = [\"127.0.0.1:{}\"]\n{env}", service.port());
    fs::write(home.join("toolbay.toml"), granted).expect("a configuration");
    let port = free_port();
    let path = format!("{}:{}", files::binary().parent().expect("a folder").display(), std::env::var("PATH").unwrap_or_default());
    let typed = |line: &str| {
        let mut shell = tokio::process::Command::new("sh");
        shell.args(["-euc", line]).current_dir(&home).env("PATH", &path).env("XDG_CACHE_HOME", files::cache()).kill_on_drop(true);
        shell
    };
    let mut serving = None;
    for line in copied.lines() {
        if line == "toolbay serve" {
            serving = Some(typed(&format!("exec {line} --listen 127.0.0.1:{port}")).spawn().expect("it starts"));
            continue;
        }
        let ran = typed(line).output().await.expect("sh runs");
        assert!(ran.status.success(), "{line}: {}", String::from_utf8_lossy(&ran.stderr));
    }
    assert!(serving.is_some(), "the last line serves");
    let base = format!("http://127.0.0.1:{port}");
    let ready = || async { typed(&format!("toolbay health --url {base}")).output().await.expect("sh runs").status.success().then_some(()) };
    eventually("it is ready", secs(120), ready).await;
    let call = with(&called, &[("http://127.0.0.1:8000", &base)]);
    let said = typed(&call).output().await.expect("sh runs");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let said = String::from_utf8(said.stdout).expect("text");
    let by_plugin: Vec<String> = said.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    assert_eq!(by_plugin, lines, "the same lines in the same order");
    assert_eq!(alerts(&format!("{base}/weather/mcp")).await, lines);
}

/// A translator without a document, and a classifier with one, as FastAPI makes it.
async fn applications() -> (u16, u16) {
    let serve = async |app: Router| {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it listens").port();
        tokio::spawn(async move { axum::serve(listener, app).await });
        port
    };
    let translate = async |Json(text): Json<String>| Json(format!("« {text} »"));
    let document = json!({
        "openapi": "3.1.0", "info": { "title": "Classifier", "version": "0.1.0" },
        "paths": { "/classify": { "post": {
            "summary": "Classify", "operationId": "classify_classify_post",
            "parameters": [{ "name": "image_url", "in": "query", "required": true, "schema": { "type": "string", "title": "Image Url" } }],
            "responses": { "200": { "description": "Successful Response", "content": { "application/json": { "schema": { "type": "object" } } } } }
        } } }
    });
    let classify = async |uri: axum::http::Uri| Json(json!({ "label": "cat", "asked": uri.query() }));
    let classifier = Router::new()
        .route("/openapi.json", routing::get(async move || Json(document.clone())))
        .route("/classify", routing::post(classify));
    (serve(Router::new().route("/", routing::post(translate))).await, serve(classifier).await)
}

#[tokio::test]
async fn the_applications_behind_the_gateway_stay_with_a_document_and_without() {
    let (translator, classifier) = applications().await;
    let heading = "Gateway over a translator and a classifier";
    let [with_document, without] = <[String; 2]>::try_from(steps(heading, "toml")).expect("both applications");
    let [document] = <[String; 1]>::try_from(steps(heading, "yaml")).expect("a document");
    let [called] = <[String; 1]>::try_from(steps(heading, "sh")).expect("a call");
    let setup = Setup::new().config(&with(&with_document, &[("127.0.0.1:8002", &format!("127.0.0.1:{classifier}"))])).config(&without);
    let document = with(&document, &[("127.0.0.1:8001", &format!("127.0.0.1:{translator}"))]);
    fs::write(setup.home().join("translator.yaml"), document).expect("it can be written");
    let home: PathBuf = setup.home().to_owned();
    let server = setup.start().await;
    let client = Client::modern(&server);
    let names = eventually("both are listed", secs(60), || async {
        let names = client.tool_names().await;
        (names.len() == 2).then_some(names)
    })
    .await;
    assert_eq!(names, ["classify_classify_post", "translate"]);
    let path = format!("{}:{}", files::binary().parent().expect("a folder").display(), std::env::var("PATH").unwrap_or_default());
    let call = with(&called, &[("http://127.0.0.1:8000", &server.base)]);
    let said = tokio::process::Command::new("sh").args(["-euc", &call]).current_dir(home).env("PATH", path).output().await.expect("sh");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert!(String::from_utf8_lossy(&said.stdout).contains("« Hello world! »"), "{}", String::from_utf8_lossy(&said.stdout));
    let reply = client.call("classify_classify_post", json!({ "image_url": "http://x/y.png" })).await;
    assert_eq!(reply.result()["structuredContent"]["label"], "cat", "{reply:?}");
}

#[tokio::test]
async fn an_image_is_called_at_the_addresses_of_before() {
    let Some(engine) = Engine::find() else { return };
    let heading = "Images behind `/tools` and `/call`";
    let [config] = <[String; 1]>::try_from(steps(heading, "toml")).expect("one configuration");
    let [addresses, whole] = <[String; 2]>::try_from(steps(heading, "sh")).expect("calls, and those with the whole result");
    let config = with(&config, &[("\"ghcr.io/acme/search:1\"", &format!("{:?}\npull = \"never\"\nstop_timeout = \"1s\"", engine.image))]);
    let server = Setup::new().config(&config).start().await;
    server.wait_plugin("search", "serves", |status| status["state"] == "serving").await;
    // The image of the tests has other tools.
    let own = [("\"tool_name\": \"find\"", "\"tool_name\": \"run\""), ("{\"q\": \"x\"}", "{\"command\": \"echo x\"}")];
    let mut said = Vec::new();
    for line in addresses.lines().chain(whole.lines()).filter(|line| line.starts_with("curl ")) {
        let line = own.iter().fold(line.replace("http://127.0.0.1:8000", &server.base), |line, (from, to)| line.replace(from, to));
        let ran =
            tokio::process::Command::new("sh").args(["-euc", &line.replacen("curl ", "curl --silent --show-error ", 1)]).output().await;
        let ran = ran.expect("sh runs");
        assert!(ran.status.success(), "{line}: {}", String::from_utf8_lossy(&ran.stderr));
        said.push(serde_json::from_slice::<Value>(&ran.stdout).unwrap_or_else(|error| panic!("{line}: {error}")));
    }
    let [tools, call, unknown, whole] = <[Value; 4]>::try_from(said).expect("four lines");
    assert!(tools["tools"].as_array().is_some_and(|tools| tools.iter().any(|tool| tool["name"] == "run")), "{tools}");
    assert_eq!(call, json!({ "result": "x" }));
    assert_eq!(unknown["detail"], "MCP find not found", "{unknown}");
    assert_eq!(whole["result"]["content"][0]["text"], "x", "{whole}");
}
