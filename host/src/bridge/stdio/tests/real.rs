//! Against servers that people use, as `scripts/lab.sh` installs them.

use std::{path::PathBuf, process::Command};

use super::*;

/// Where they are installed: `TOOLBAY_LAB`, or the folder that the script says.
fn lab() -> PathBuf {
    if let Some(folder) = std::env::var_os("TOOLBAY_LAB") {
        return folder.into();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/lab.sh");
    let output = Command::new(script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().last().unwrap().into()
}

/// A server of npm, by its name.
fn node(name: &str, arguments: &[&str]) -> CommandSource {
    let script = lab().join(format!("node_modules/@modelcontextprotocol/server-{name}/dist/index.js"));
    source("node".to_owned(), &script.display().to_string(), arguments)
}

/// A server of PyPI, by its module.
fn python(module: &str, arguments: &[&str]) -> CommandSource {
    let mut source = source(lab().join("python/bin/python").display().to_string(), "-m", arguments);
    source.argv.insert(2, module.to_owned());
    source
}

fn source(program: String, first: &str, arguments: &[&str]) -> CommandSource {
    let rest = std::iter::once(first).chain(arguments.iter().copied()).map(str::to_owned);
    CommandSource { argv: std::iter::once(program).chain(rest).collect(), ..CommandSource::default() }
}

async fn start(source: CommandSource) -> Server {
    start_program(&Program::new(source), ServerLimits::default()).await
}

fn names(server: &Server) -> Vec<&str> {
    server.listing().tools.iter().map(|tool| tool.name.as_str()).collect()
}

#[tokio::test]
async fn everything_of_server_everything_crosses() {
    let server = start(node("everything", &["stdio"])).await;
    assert_eq!(server.channel.era(), Era::Legacy);
    let names = names(&server);
    for name in ["echo", "get-structured-content", "get-tiny-image", "trigger-elicitation-request", "trigger-sampling-request"] {
        assert!(names.contains(&name), "{names:?}");
    }
    let structured = server.listing().tools.iter().find(|tool| tool.name.as_str() == "get-structured-content").unwrap();
    assert!(structured.output_schema.is_some() && structured.title.is_some() && structured.annotations.is_some());
    assert!(server.listing().warnings.is_empty() && server.listing().instructions.is_some());

    let output = server.call("get-structured-content", json!({"location": "New York"})).await.unwrap();
    assert_eq!(serde_json::from_str::<Value>(output.structured.unwrap().as_str()).unwrap()["humidity"], 82);
    let output = server.call("get-tiny-image", json!({})).await.unwrap();
    assert!(output.content.iter().any(|content| matches!(content, Content::Block(block) if block.as_str().contains("image/png"))));
    let output = server.call("get-annotated-message", json!({"messageType": "error", "includeImage": true})).await.unwrap();
    assert_eq!(block(&output)["annotations"]["priority"], 1);
    let sums = join_all((0..50).map(|n| server.call("get-sum", json!({"a": n, "b": 1})))).await;
    for (n, sum) in sums.into_iter().enumerate() {
        assert!(said(&sum.unwrap()).contains(&format!("is {}.", n + 1)));
    }

    let offers = server.provider.offers();
    assert!(!offers.templates.is_empty() && !offers.prompts.is_empty() && offers.completes);
    let contents = server.provider.read_resource("demo://resource/dynamic/text/1", Box::default()).await.unwrap();
    assert!(contents[0].as_str().contains("demo://resource/dynamic/text/1"));
    let arguments = vec![("department".to_owned(), "Sales".to_owned()), ("name".to_owned(), "Eve".to_owned())];
    let prompt = server.provider.get_prompt("completable-prompt", arguments, Box::default()).await.unwrap();
    assert!(prompt.messages.as_str().contains("promote Eve"));
    let completion = Completion {
        reference: Reference::Prompt("completable-prompt".into()),
        argument: "name".into(),
        value: "E".into(),
        others: vec![("department".into(), "Sales".into())],
    };
    assert_eq!(server.provider.complete(completion, Box::default()).await.unwrap().values, ["Eve"]);

    let ear = Arc::new(Ear::default());
    let context = CallContext { notifier: Some(Arc::clone(&ear) as Arc<dyn Notifier>), ..CallContext::default() };
    server.call_with("trigger-long-running-operation", json!({"duration": 0.1, "steps": 3}), context).await.unwrap();
    assert_eq!(ear.heard(), ["1/Some(3.0) ", "2/Some(3.0) ", "3/Some(3.0) "]);
    server.channel.stop(Duration::from_secs(10)).await;
}

#[tokio::test]
async fn server_everything_asks_the_caller_whose_call_it_is() {
    struct Person;
    impl Asker for Person {
        fn capabilities(&self) -> &str {
            r#"{"elicitation":{"form":{}},"sampling":{}}"#
        }
        fn ask(&self, questions: Vec<Question>) -> BoxFuture<'_, Result<Vec<JsonText>, AskError>> {
            let answer = |question: &Question| match question.kind {
                crate::provider::QuestionKind::Sampling => {
                    json!({"role": "assistant", "model": "m", "content": {"type": "text", "text": "sampled"}})
                }
                _ => json!({"action": "decline"}),
            };
            let answers = questions.iter().map(|question| JsonText::from_value(&answer(question)).unwrap()).collect();
            async { Ok(answers) }.boxed()
        }
    }
    let server = start(node("everything", &["stdio"])).await;
    let person = || CallContext { asker: Some(Arc::new(Person)), ..CallContext::default() };
    let output = server.call_with("trigger-sampling-request", json!({"prompt": "p"}), person()).await.unwrap();
    assert!(said(&output).contains("sampled"), "{output:?}");
    let output = server.call_with("trigger-elicitation-request", json!({}), person()).await.unwrap();
    assert!(said(&output).contains("declined"), "{output:?}");
    let output = server.call("trigger-elicitation-request", json!({})).await.unwrap();
    assert!(output.is_error && said(&output).contains("cannot be asked"), "{output:?}");
}

#[tokio::test]
async fn server_filesystem_and_server_memory_keep_what_they_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap();
    let files = start(node("filesystem", &[&path.display().to_string()])).await;
    let file = path.join("note.txt");
    files.call("write_file", json!({"path": file, "content": "kept"})).await.unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
    assert!(said(&files.call("read_text_file", json!({"path": file})).await.unwrap()).contains("kept"));
    assert!(files.call("read_text_file", json!({"path": "/etc/passwd"})).await.unwrap().is_error);

    let mut source = node("memory", &[]);
    source.env.insert("MEMORY_FILE_PATH".into(), crate::config::Secret(path.join("memory.json").display().to_string()));
    let memory = start(source).await;
    let entities = json!({"entities": [{"name": "Ada", "entityType": "person", "observations": ["wrote programs"]}]});
    memory.call("create_entities", entities).await.unwrap();
    assert!(said(&memory.call("read_graph", json!({})).await.unwrap()).contains("wrote programs"));
    assert!(path.join("memory.json").exists());
}

#[tokio::test]
async fn the_servers_of_pypi_speak_the_newer_era() {
    let time = start(python("mcp_server_time", &["--local-timezone", "UTC"])).await;
    assert_eq!((time.channel.era(), names(&time)), (Era::Modern, vec!["get_current_time", "convert_time"]));
    let arguments = json!({"source_timezone": "Asia/Tokyo", "time": "12:00", "target_timezone": "UTC"});
    assert!(said(&time.call("convert_time", arguments).await.unwrap()).contains("T03:00:00+00:00"));

    let folder = tempfile::tempdir().unwrap();
    let git = |arguments: &[&str]| assert!(Command::new("git").current_dir(&folder).args(arguments).output().unwrap().status.success());
    git(&["init", "-q"]);
    git(&["-c", "user.name=n", "-c", "user.email=e@example.com", "commit", "-q", "--allow-empty", "-m", "The first"]);
    let git = start(python("mcp_server_git", &["--repository", &folder.path().display().to_string()])).await;
    assert_eq!(git.channel.era(), Era::Modern);
    assert!(said(&git.call("git_log", json!({"repo_path": folder.path()})).await.unwrap()).contains("The first"));
}
