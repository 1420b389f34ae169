//! Against a real program that does what it is told, `tests/servers/misbehave.py`.

mod found;
mod real;

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::{BoxFuture, FutureExt, join_all};
use serde_json::{Value, json};

use super::*;
use crate::{
    bridge::{launch::Launch, process::Program},
    config::CommandSource,
    provider::{
        AskError, Asker, Call, CallError, CallOutput, Completion, Content, LogLevel, Notifier, Provider, ProviderId, Question, Reference,
        StartSignal,
    },
    upstream::{
        Lease, Pick, UpstreamProvider,
        listing::{self, Listing, Terms},
    },
};

struct One(Arc<StdioChannel>);

impl Pick for One {
    fn pick<'a>(&'a self, _: Option<&'a StartSignal>) -> BoxFuture<'a, Result<Lease, CallError>> {
        let channel: Arc<dyn Channel> = Arc::clone(&self.0) as Arc<dyn Channel>;
        async move { Ok(Lease { channel, replica: None, guard: Box::new(()) }) }.boxed()
    }
}

fn program(habits: &[&str]) -> Program {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/servers/misbehave.py");
    let argv = ["python3".to_owned(), script.display().to_string()];
    let argv = argv.into_iter().chain(habits.iter().map(|habit| (*habit).to_owned())).collect();
    Program::new(CommandSource { argv, ..CommandSource::default() })
}

async fn try_connect(habits: &[&str], limits: &ServerLimits, known: &Arc<Known>) -> Result<Arc<StdioChannel>, ConnectError> {
    let launched = program(habits).launch().await.unwrap();
    connect("test", launched, limits, known).await
}

struct Server {
    channel: Arc<StdioChannel>,
    provider: Arc<UpstreamProvider>,
    known: Arc<Known>,
}

async fn server_with(habits: &[&str], limits: ServerLimits) -> Server {
    start_program(&program(habits), limits).await
}

async fn start_program(program: &Program, limits: ServerLimits) -> Server {
    let known = Arc::new(Known::default());
    let channel = connect("test", program.launch().await.unwrap(), &limits, &known).await.unwrap();
    let listing = listing::fetch(&*channel, Terms { within: limits.start, avoid: &[], publish: crate::config::PublishRules::default() })
        .await
        .unwrap();
    let pick = Arc::new(One(Arc::clone(&channel)));
    let provider =
        UpstreamProvider::new(ProviderId::new("test").unwrap(), Arc::new(listing), pick, limits, crate::config::PublishRules::default());
    Server { channel, provider: Arc::new(provider), known }
}

async fn server(habits: &[&str]) -> Server {
    server_with(habits, ServerLimits::default()).await
}

impl Server {
    async fn call_with(&self, tool: &str, arguments: Value, context: CallContext) -> Result<CallOutput, CallError> {
        let arguments = arguments.to_string();
        self.provider.call(Call { tool, arguments: &arguments, context: context.into() }).await
    }

    async fn call(&self, tool: &str, arguments: Value) -> Result<CallOutput, CallError> {
        self.call_with(tool, arguments, CallContext::default()).await
    }

    fn listing(&self) -> &Listing {
        self.provider.listing()
    }
}

fn block(output: &CallOutput) -> Value {
    match &output.content[0] {
        Content::Block(block) => serde_json::from_str(block.as_str()).unwrap(),
        Content::Text(text) => json!(text),
    }
}

fn said(output: &CallOutput) -> String {
    block(output)["text"].as_str().unwrap().to_owned()
}

/// Takes what it is told, and is woken by it.
#[derive(Default)]
struct Ear {
    notes: Mutex<Vec<String>>,
    level: Option<LogLevel>,
}

impl Ear {
    fn heard(&self) -> Vec<String> {
        self.notes.lock().unwrap().clone()
    }
}

impl Notifier for Ear {
    fn wants_progress(&self) -> bool {
        true
    }
    fn progress(&self, progress: f64, total: Option<f64>, text: Option<String>) {
        self.notes.lock().unwrap().push(format!("{progress}/{total:?} {}", text.unwrap_or_default()));
    }
    fn log_level(&self) -> Option<LogLevel> {
        self.level
    }
    fn log(&self, level: LogLevel, logger: Option<String>, data: JsonText) {
        self.notes.lock().unwrap().push(format!("{level:?} {logger:?} {}", data.as_str()));
    }
}

/// Answers by its name and what it was asked.
struct Mouth {
    name: &'static str,
    error: Option<AskError>,
}

impl Asker for Mouth {
    fn capabilities(&self) -> &str {
        r#"{"elicitation":{"form":{}}}"#
    }
    fn ask(&self, questions: Vec<Question>) -> BoxFuture<'_, Result<Vec<JsonText>, AskError>> {
        let answer = |question: Question| {
            let asked: Value = serde_json::from_str(question.params.as_str()).unwrap();
            JsonText::from_value(&json!({"action": "accept", "content": {"who": self.name, "asked": asked["message"]}})).unwrap()
        };
        let answers = questions.into_iter().map(answer).collect();
        async move { self.error.clone().map_or(Ok(answers), Err) }.boxed()
    }
}

fn asked_by(name: &'static str) -> CallContext {
    CallContext { asker: Some(Arc::new(Mouth { name, error: None })), ..CallContext::default() }
}

#[tokio::test]
async fn all_that_a_server_has_crosses_with_members_that_nobody_knows() {
    let server = server(&[]).await;
    let listing = server.listing();
    assert_eq!((server.channel.era(), listing.instructions.as_deref()), (Era::Legacy, Some("Use with care.")));
    let echo = listing.tools.iter().find(|tool| tool.name.as_str() == "echo").unwrap();
    assert_eq!(json!(echo.extra), json!({"vendorMember": {"k": 1.0}}));
    assert_eq!(json!(*echo.input_schema), json!({"type": "object", "properties": {}, "vendor": true}));
    let offers = server.provider.offers();
    assert_eq!((offers.resources[0].key.as_str(), &offers.resources[0].json["vendorMember"]), ("test://a", &json!(1)));
    assert_eq!((offers.templates[0].key.as_str(), offers.prompts[0].key.as_str(), offers.completes), ("test://{x}", "greet", true));

    let context = CallContext { meta: Some(r#"{"com.acme/k":1,"progressToken":5}"#.into()), ..CallContext::default() };
    let output = server.call_with("echo", json!({"a": "é\n"}), context).await.unwrap();
    assert_eq!(
        output.content,
        [Content::Block(JsonText::parse(r#"{"type": "text", "text": "{\"a\": \"\\u00e9\\n\"}", "vendor": 1.5}"#.into()).unwrap())]
    );
    assert_eq!(output.structured.unwrap().as_str(), r#"{"z": 1, "a": {"a": "\u00e9\n"}}"#);
    assert_eq!(output.meta.unwrap().as_str(), r#"{"seen": {"com.acme/k": 1}}"#);
    assert_eq!(output.extra.unwrap().as_str(), r#"{"vendorMember":[1]}"#);

    let contents = server.provider.read_resource("test://b", Box::default()).await.unwrap();
    assert_eq!(contents[0].as_str(), r#"{"uri": "test://b", "text": "content", "vendorMember": 1}"#);
    let prompt = server.provider.get_prompt("greet", vec![("who".into(), "you".into())], Box::default()).await.unwrap();
    assert!(prompt.messages.as_str().contains("hello you") && prompt.description.as_deref() == Some("d"));
    let completion =
        Completion { reference: Reference::Prompt("greet".into()), argument: "who".into(), value: "x".into(), others: Vec::new() };
    let found = server.provider.complete(completion, Box::default()).await.unwrap();
    assert_eq!((&found.values[..], found.total, found.has_more), (&["x1".to_owned()][..], Some(9), true));

    let error = server.call("error", json!({})).await.unwrap_err();
    assert_eq!(error, CallError::Protocol { code: -32000, message: "no good".into(), data: Some(json!({"kind": "ValueError"})) });
    server.channel.stop(Duration::from_secs(5)).await;
    assert_eq!(server.channel.closed().await, "the server was stopped");
}

#[tokio::test]
async fn the_newer_era_is_spoken_where_the_server_does() {
    let server = server(&["modern", "pages"]).await;
    assert_eq!((server.channel.era(), server.known.era()), (Era::Modern, Some(Era::Modern)));
    assert!(server.listing().tools.len() > 10);
    let output = server.call("echo", json!({})).await.unwrap();
    let meta: Value = serde_json::from_str(output.meta.unwrap().as_str()).unwrap();
    assert_eq!(meta["seen"]["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
    let output = server.call_with("ask", json!({"question": "q?"}), asked_by("me")).await.unwrap();
    let answer: Value = serde_json::from_str(&said(&output)).unwrap();
    assert_eq!(answer, json!({"answer": {"action": "accept", "content": {"who": "me", "asked": "q?"}}, "state": "state-1"}));
    let error = server.call("ask", json!({"question": "q?"})).await.unwrap_err();
    assert!(matches!(error, CallError::MissingCapability(_)), "{error:?}");
    let suspended = CallContext { asker: Some(Arc::new(Mouth { name: "x", error: Some(AskError::Suspended) })), ..CallContext::default() };
    assert_eq!(server.call_with("ask", json!({"question": "q?"}), suspended).await.unwrap_err(), CallError::InputRequired);
}

#[tokio::test]
async fn an_odd_server_is_greeted_all_the_same() {
    for habit in ["banner", "slow-start", "pages"] {
        let server = server(&[habit]).await;
        assert_eq!(said(&server.call("log", json!({})).await.unwrap()), "logged", "{habit}");
    }
}

#[tokio::test]
async fn a_server_that_answers_nothing_that_it_does_not_know_gets_initialize_after_a_while() {
    let started = std::time::Instant::now();
    let server = server(&["no-probe"]).await;
    assert!(started.elapsed() >= Duration::from_secs(5));
    assert_eq!(server.known.era(), Some(Era::Legacy));
}

#[tokio::test]
async fn a_server_that_ends_at_a_question_it_does_not_know_is_greeted_the_older_way_next_time() {
    let known = Arc::new(Known::default());
    let error = try_connect(&["strict"], &ServerLimits::default(), &known).await.err().unwrap();
    assert!(error.again && error.message.contains("expected initialize, got server/discover"), "{error:?}");
    let channel = try_connect(&["strict"], &ServerLimits::default(), &known).await.unwrap();
    assert_eq!(channel.era(), Era::Legacy);
}

#[tokio::test]
async fn a_server_that_cannot_be_greeted_says_why() {
    let known = Arc::new(Known::default());
    known.set_era(Era::Legacy);
    for (habit, start, why) in [
        ("mute", Duration::from_millis(500), "did not answer within 0.5 s"),
        // It has to be up first, which takes its time where much else runs.
        ("die", Duration::from_secs(60), "it ended (exit status 4); its last line on stderr: I have no licence"),
        ("deaf", Duration::from_millis(500), "did not answer"),
    ] {
        let limits = ServerLimits { start, ..ServerLimits::default() };
        let error = try_connect(&[habit], &limits, &known).await.err().unwrap();
        assert!(error.message.starts_with("server test (pid ") && error.message.contains(why) && !error.again, "{habit}: {error}");
    }
}

#[tokio::test]
async fn what_cannot_be_offered_is_left_out_with_a_warning() {
    let server = server(&["bad-list"]).await;
    let warnings = server.listing().warnings.join("\n");
    for part in [
        "two tools \"echo\"",
        "\"deep\" is nested more than 100 levels",
        "is not an object",
        "\"bare\": it has no inputSchema, and is published with one that takes any arguments",
    ] {
        assert!(warnings.contains(part), "{part}: {warnings}");
    }
    // A name that no model API takes is one all the same: the catalog publishes it under another.
    assert!(server.listing().tools.iter().any(|tool| tool.name.as_str() == "two words"));
    assert_eq!(said(&server.call("log", json!({})).await.unwrap()), "logged");
}

#[tokio::test]
async fn progress_goes_to_the_call_that_it_belongs_to() {
    let server = server(&[]).await;
    let calls = (0..20).map(|n| {
        let server = &server;
        async move {
            let ear = Arc::new(Ear::default());
            let context = CallContext { notifier: Some(Arc::clone(&ear) as Arc<dyn Notifier>), ..CallContext::default() };
            server.call_with("progress", json!({"who": n}), context).await.unwrap();
            let want: Vec<String> = (1..=3).map(|step| format!("{step}/Some(3.0) step {step} of {n}")).collect();
            assert_eq!(ear.heard(), want);
        }
    });
    join_all(calls).await;
}

#[tokio::test]
async fn a_log_message_goes_to_the_only_caller_whose_it_can_be() {
    let server = server(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let ear = Arc::new(Ear { level: Some(LogLevel::Debug), ..Ear::default() });
    let context = || CallContext { notifier: Some(Arc::clone(&ear) as Arc<dyn Notifier>), ..CallContext::default() };
    server.call_with("log", json!({"level": "debug", "data": {"k": 1.0}}), context()).await.unwrap();
    assert_eq!(ear.heard(), ["Debug Some(\"l\") {\"k\": 1.0}"]);
    let file = folder.path().join("go");
    let other = server.call("wait", json!({"file": file}));
    let logs = async {
        server.call_with("log", json!({}), context()).await.unwrap();
        std::fs::write(&file, "").unwrap();
    };
    let (other, ()) = futures::join!(other, logs);
    assert_eq!((said(&other.unwrap()).as_str(), ear.heard().len()), ("waited", 1));
}

#[tokio::test]
async fn a_question_goes_to_the_caller_whose_call_it_is_and_to_no_other() {
    let server = server(&[]).await;
    let answered = |name: &'static str| {
        let server = &server;
        async move {
            let output = server.call_with("ask", json!({"question": name}), asked_by(name)).await.unwrap();
            (output.is_error, said(&output), name)
        }
    };
    let right = |name: &str| json!({"action": "accept", "content": {"who": name, "asked": name}});
    // It is not known yet that the server asks: a question that could be for several is refused, and none goes astray.
    for (is_error, text, name) in join_all(["a", "b", "c", "d"].map(answered)).await {
        match is_error {
            true => assert!(text.contains("several calls"), "{text}"),
            false => assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), right(name)),
        }
    }
    assert!(server.known.asks());
    for (is_error, text, name) in join_all(["a", "b", "c", "d"].map(answered)).await {
        assert!(!is_error, "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), right(name));
    }
    let output = server.call("ask", json!({"question": "?"})).await.unwrap();
    assert!(output.is_error && said(&output).contains("cannot be asked"));
}

/// Answers late.
struct Slow(Duration, Mouth);

impl Asker for Slow {
    fn capabilities(&self) -> &str {
        self.1.capabilities()
    }
    fn ask(&self, questions: Vec<Question>) -> BoxFuture<'_, Result<Vec<JsonText>, AskError>> {
        async move {
            tokio::time::sleep(self.0).await;
            self.1.ask(questions).await
        }
        .boxed()
    }
}

#[tokio::test]
async fn the_time_that_a_caller_takes_to_answer_is_not_the_servers() {
    for habits in [&[][..], &["modern"]] {
        let server = server(habits).await;
        let limits = ServerLimits { call: Duration::from_secs(1), ..ServerLimits::default() };
        let pick = Arc::new(One(Arc::clone(&server.channel)));
        let hasty = UpstreamProvider::new(
            ProviderId::new("test").unwrap(),
            Arc::clone(server.provider.listing()),
            pick,
            limits,
            crate::config::PublishRules::default(),
        );
        let slow = Slow(Duration::from_millis(2500), Mouth { name: "me", error: None });
        let slow = CallContext { asker: Some(Arc::new(slow)), ..CallContext::default() };
        let ask = |context: CallContext| hasty.call(Call { tool: "ask", arguments: r#"{"question":"q?"}"#, context: context.into() });
        if habits.is_empty() {
            // From here on its calls are made one at a time.
            ask(asked_by("me")).await.unwrap();
        }
        let (answered, waited) = futures::join!(ask(slow), ask(asked_by("you")));
        assert!(said(&answered.unwrap()).contains("\"me\""), "{habits:?}");
        if habits.is_empty() {
            let error = waited.unwrap_err().to_string();
            assert!(error.contains("no slot became free within 1 s"), "{error}");
            // A server that does not answer is told apart from one that was not asked.
            let context = asked_by("you");
            let turn = async {
                let slow = Slow(Duration::from_millis(500), Mouth { name: "me", error: None });
                let slow = CallContext { asker: Some(Arc::new(slow)), ..CallContext::default() };
                ask(slow).await
            };
            let params = r#"{"name":"ask","arguments":{"question":"q?"}}"#;
            let late = server.channel.request("tools/call", params, &context, Duration::from_millis(50));
            let (_, late) = futures::join!(turn, late);
            assert!(matches!(late, Err(ChannelError::Ask(AskError::Unanswered(_)))), "{late:?}");
        } else {
            assert!(said(&waited.unwrap()).contains("\"you\""));
        }
    }
}

#[tokio::test]
async fn a_caller_who_comes_back_later_ends_the_call_and_the_next_one_finds_the_server_free() {
    let server = server(&[]).await;
    let suspended = CallContext { asker: Some(Arc::new(Mouth { name: "x", error: Some(AskError::Suspended) })), ..CallContext::default() };
    assert_eq!(server.call_with("ask", json!({"question": "q?"}), suspended).await.unwrap_err(), CallError::InputRequired);
    let output = server.call_with("ask", json!({"question": "q?"}), asked_by("me")).await.unwrap();
    assert!(said(&output).contains("\"me\""));
}

#[tokio::test]
async fn a_call_that_is_dropped_is_cancelled_at_the_server() {
    let server = server(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("cancelled");
    assert!(tokio::time::timeout(Duration::from_millis(200), server.call("wait", json!({"mark": mark}))).await.is_err());
    while !mark.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let limits = ServerLimits { call: Duration::from_millis(100), ..ServerLimits::default() };
    let pick = Arc::new(One(Arc::clone(&server.channel)));
    let hasty = UpstreamProvider::new(
        ProviderId::new("test").unwrap(),
        Arc::clone(server.provider.listing()),
        pick,
        limits,
        crate::config::PublishRules::default(),
    );
    let mark = folder.path().join("late");
    let arguments = json!({"mark": mark}).to_string();
    let error = hasty.call(Call { tool: "wait", arguments: &arguments, context: Box::default() }).await.unwrap_err();
    assert!(error.to_string().contains("server test did not answer within 0.1 s; raise `timeout`"), "{error}");
    while !mark.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn whether_a_server_lives_can_be_asked_while_a_call_has_it_alone() {
    let server = server(&[]).await;
    server.call_with("ask", json!({"question": "q?"}), asked_by("me")).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("go");
    let ping = async {
        let context = CallContext::default();
        let pong = server.channel.request("ping", "{}", &context, Duration::from_secs(60)).await;
        std::fs::write(&file, "").unwrap();
        pong
    };
    let (call, pong) = futures::join!(server.call("wait", json!({"file": file})), ping);
    assert_eq!((said(&call.unwrap()).as_str(), pong.unwrap().as_str()), ("waited", "{}"));
}

/// Node's servers send no answer to a call that was cancelled. Nothing says then when a question of it is still to come.
#[tokio::test]
async fn a_server_that_asks_and_leaves_a_cancelled_call_unanswered_is_started_again() {
    let server = server(&[]).await;
    server.call_with("ask", json!({"question": "q?"}), asked_by("me")).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(100), server.call("wait", json!({}))).await.is_err());
    let error = server.call_with("ask", json!({"question": "q?"}), asked_by("you")).await.unwrap_err();
    assert!(error.to_string().contains("restarting the server"), "{error}");
    let why = server.channel.closed().await;
    assert!(why.contains("has not ended a cancelled call"), "{why}");
}

#[tokio::test]
async fn garbage_between_messages_is_passed_over_and_too_much_of_it_is_not() {
    let server = server(&[]).await;
    assert_eq!(said(&server.call("garbage", json!({})).await.unwrap()), "garbage was written");
    assert_eq!(said(&server.call("log", json!({})).await.unwrap()), "logged");
    let error = server.call("garbage", json!({"times": 1000})).await.unwrap_err();
    assert!(error.to_string().contains("lines in a row that are not MCP messages, such as: "), "{error}");
}

/// Python writes NaN, which is no JSON.
#[tokio::test]
async fn an_answer_that_is_no_json_fails_its_call_at_once() {
    let server = server(&[]).await;
    let error = server.call("broken", json!({})).await.unwrap_err();
    assert!(error.to_string().contains("not valid JSON") && error.to_string().contains("NaN"), "{error}");
    assert_eq!(said(&server.call("log", json!({})).await.unwrap()), "logged");
}

#[tokio::test]
async fn a_question_that_is_taken_back_is_given_up() {
    /// Never answers, and tells when it is given up.
    struct Patient(tokio::sync::mpsc::UnboundedSender<()>);
    impl Asker for Patient {
        fn capabilities(&self) -> &str {
            "{}"
        }
        fn ask(&self, _: Vec<Question>) -> BoxFuture<'_, Result<Vec<JsonText>, AskError>> {
            let alive = self.0.clone();
            async move {
                futures::future::pending::<()>().await;
                drop(alive);
                unreachable!("nothing ends a pending future")
            }
            .boxed()
        }
    }
    let server = server(&[]).await;
    let (alive, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let context = CallContext { asker: Some(Arc::new(Patient(alive))), ..CallContext::default() };
    assert_eq!(said(&server.call_with("take_back", json!({}), context).await.unwrap()), "took it back");
    // The last sender is in the question, which is dropped with it.
    assert_eq!(ended.recv().await, None);
}

#[tokio::test]
async fn a_message_that_is_too_long_fails_its_call_alone() {
    let server = server_with(&[], ServerLimits { max_message: 1 << 20, ..ServerLimits::default() }).await;
    let error = server.call("large", json!({"bytes": 20 << 20})).await.unwrap_err();
    assert!(error.to_string().contains("which is more than 1048576 (`max_message` of [server.test])"), "{error}");
    assert_eq!(said(&server.call("large", json!({"bytes": 1_000_000})).await.unwrap()).len(), 1_000_000);
}

#[tokio::test]
async fn a_server_that_ends_fails_what_is_in_flight_with_its_last_words() {
    for (arguments, why) in [
        (json!({}), "server test: it ended (exit status 7); its last line on stderr: going down"),
        (json!({"mid_line": true, "status": 0}), "its output ended in the middle of a message"),
    ] {
        let server = server(&[]).await;
        let (other, error) = futures::join!(server.call("wait", json!({})), server.call("die", arguments));
        for error in [other.unwrap_err(), error.unwrap_err()] {
            assert!(error.to_string().contains(why) && error.to_string().contains("going down"), "{error}");
        }
        let after = server.call("echo", json!({})).await.unwrap_err();
        assert!(after.to_string().contains("it ended (exit status"), "{after}");
    }
}

#[tokio::test]
async fn a_server_that_closes_its_output_and_lives_on_is_stopped() {
    let server = server(&[]).await;
    let error = server.call("close_stdout", json!({})).await.unwrap_err();
    assert!(error.to_string().contains("it closed its output and kept running; it was stopped"), "{error}");
    server.channel.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn a_server_that_closed_its_output_takes_no_calls_while_its_end_is_waited_for() {
    let server = server(&[]).await;
    assert!(!server.channel.is_ending());
    let closing = server.call("close_stdout", json!({}));
    tokio::pin!(closing);
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    loop {
        tokio::select! {
            error = &mut closing => panic!("nobody knew before this: {error:?}"),
            _ = looks.tick() => if server.channel.is_ending() { break },
        }
    }
    assert!(server.channel.link.closing.why().is_none(), "why is not known yet");
    server.channel.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn a_server_that_does_not_read_holds_up_its_own_callers_only_until_their_time_is_up() {
    let limits = ServerLimits { call: Duration::from_millis(700), ..ServerLimits::default() };
    let server = server_with(&[], limits).await;
    assert_eq!(said(&server.call("stop_reading", json!({})).await.unwrap()), "reads no more");
    let long = "x".repeat(1 << 20);
    let calls = (0..8).map(|_| server.call("echo", json!({"long": long})));
    for result in join_all(calls).await {
        let error = result.unwrap_err().to_string();
        assert!(error.contains("did not answer within") || error.contains("does not read its stdin"), "{error}");
    }
    server.channel.stop(Duration::from_millis(50)).await;
}

#[tokio::test]
async fn changes_are_told() {
    let server = server(&[]).await;
    let mut changes = server.channel.changes();
    server.call("change", json!({"what": "tools"})).await.unwrap();
    assert_eq!(changes.recv().await.unwrap(), Change::Tools);
    assert_eq!(changes.recv().await.unwrap(), Change::Updated("test://a".to_owned()));
}

#[tokio::test]
async fn a_channel_that_is_dropped_leaves_nothing() {
    let server = server(&[]).await;
    let pid: i32 = server.channel.name().strip_prefix("pid ").unwrap().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    drop(server);
    while rustix::process::test_kill_process(pid).is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_session_of_all_callers_has_no_roots() {
    let server = server(&[]).await;
    let output = server.call_with("roots", json!({}), asked_by("me")).await.unwrap();
    let seen: Value = serde_json::from_str(&said(&output)).unwrap();
    assert_eq!(seen["offered"], json!(["elicitation", "extensions", "sampling"]));
    assert_eq!((&seen["result"], &seen["error"]["code"]), (&Value::Null, &json!(-32601)), "{seen}");
    assert!(!server.known.asks(), "what is refused to all does not make calls wait for each other");
}

#[tokio::test]
async fn a_server_is_told_in_its_own_way_whose_updates_are_wanted() {
    for habits in [&[][..], &["modern"]] {
        let server = server(habits).await;
        for wanted in [&["test://a"][..], &["test://a", "test://b"], &["test://b"], &[], &["test://c"]] {
            server.channel.subscribe(Arc::new(wanted.iter().map(|uri| (*uri).to_owned()).collect()));
            let want = json!(wanted);
            let told = async {
                loop {
                    let seen = said(&server.call("watched", json!({})).await.unwrap());
                    if serde_json::from_str::<Value>(&seen).unwrap() == want {
                        return;
                    }
                }
            };
            tokio::time::timeout(Duration::from_secs(30), told).await.unwrap_or_else(|_| panic!("{habits:?} is not told of {wanted:?}"));
        }
    }
}
