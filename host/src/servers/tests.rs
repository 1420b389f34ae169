//! One server over stdio and over HTTP, in both eras: a session behaves alike on both.

use std::{
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::{BoxFuture, FutureExt as _, join_all};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tracing_subscriber::layer::SubscriberExt as _;

use crate::{
    bridge::{process::Program, stdio_connector::StdioConnector},
    config::{CommandSource, ServerLimits, UpstreamAuth, UrlSource},
    provider::{
        AskError, Asker, Call, CallContext, CallError, CallOutput, Content, JsonText, LogLevel, Notifier, Provider, ProviderId, Question,
        StartSignal,
    },
    remote::mcp::Remote,
    supervisor::{replicas::Attached, server::ServerConnector},
    upstream::{
        Change, Channel, Lease, Pick, UpstreamProvider,
        listing::{self, Listing, Terms},
    },
};

/// Long enough for anything that is not broken.
const LONG: Duration = Duration::from_secs(30);

/// How the server is reached and spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Way {
    http: bool,
    modern: bool,
}

/// All of them.
fn ways() -> impl Iterator<Item = Way> {
    [false, true].into_iter().flat_map(|http| [false, true].map(|modern| Way { http, modern }))
}

struct One(Arc<dyn Channel>);

impl Pick for One {
    fn pick<'a>(&'a self, _: Option<&'a StartSignal>) -> BoxFuture<'a, Result<Lease, CallError>> {
        async move { Ok(Lease { channel: Arc::clone(&self.0), replica: None, guard: Box::new(()) }) }.boxed()
    }
}

/// The server, and what runs for it.
struct Server {
    channel: Arc<dyn Channel>,
    provider: UpstreamProvider,
    _process: Box<dyn Attached>,
    _http: Option<tokio::process::Child>,
}

impl Server {
    async fn start(way: Way) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/servers/misbehave.py").display().to_string();
        let era = way.modern.then(|| "modern".to_owned());
        let (id, limits) = (ProviderId::new("test").unwrap(), ServerLimits::default());
        let (reach, http): (Box<dyn ServerConnector>, _) = if way.http {
            let mut command = tokio::process::Command::new("python3");
            command.arg(script).arg("http").args(era).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
            let mut child = command.spawn().unwrap();
            let mut port = String::new();
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).await.unwrap();
            let url = format!("http://127.0.0.1:{}/mcp", port.trim());
            let source = UrlSource { url: url.parse().unwrap(), headers: http::HeaderMap::new(), auth: UpstreamAuth::default() };
            (Box::new(Remote::new(id.clone(), &source, limits)), Some(child))
        } else {
            let argv = ["python3".to_owned(), script].into_iter().chain(era).collect();
            let program = Program::new(CommandSource { argv, ..CommandSource::default() });
            (Box::new(StdioConnector::new(id.clone(), Box::new(program), limits)), None)
        };
        let connected = reach.open().await.unwrap();
        let channel = connected.channel;
        let listing =
            listing::fetch(&*channel, Terms { within: limits.start, avoid: &[], publish: crate::config::PublishRules::default() })
                .await
                .unwrap();
        let provider = UpstreamProvider::new(
            id,
            Arc::new(listing),
            Arc::new(One(Arc::clone(&channel))),
            limits,
            crate::config::PublishRules::default(),
        );
        Self { channel, provider, _process: connected.process, _http: http }
    }

    fn listing(&self) -> &Listing {
        self.provider.listing()
    }

    async fn call_with(&self, tool: &str, arguments: Value, context: CallContext) -> Result<CallOutput, CallError> {
        let arguments = arguments.to_string();
        let call = self.provider.call(Call { tool, arguments: &arguments, context: context.into() });
        tokio::time::timeout(LONG, call).await.unwrap_or_else(|_| panic!("{tool}: not in time"))
    }

    async fn call(&self, tool: &str, arguments: Value) -> Result<CallOutput, CallError> {
        self.call_with(tool, arguments, CallContext::default()).await
    }

    /// What a tool says in JSON.
    async fn said(&self, tool: &str) -> Value {
        serde_json::from_str(&text(&self.call(tool, json!({})).await.unwrap())).unwrap()
    }
}

fn text(output: &CallOutput) -> String {
    match &output.content[0] {
        Content::Block(block) => serde_json::from_str::<Value>(block.as_str()).unwrap()["text"].as_str().unwrap().to_owned(),
        Content::Text(text) => text.clone(),
    }
}

/// A caller: what it heard, and what it answers.
#[derive(Default)]
struct Person {
    name: &'static str,
    heard: Mutex<Vec<String>>,
    level: Option<LogLevel>,
    suspends: bool,
}

impl Person {
    fn named(name: &'static str) -> Arc<Self> {
        Arc::new(Self { name, ..Self::default() })
    }

    fn context(self: &Arc<Self>) -> CallContext {
        CallContext { notifier: Some(self.clone()), asker: Some(self.clone()), ..CallContext::default() }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

impl Notifier for Person {
    fn wants_progress(&self) -> bool {
        true
    }
    fn progress(&self, progress: f64, total: Option<f64>, text: Option<String>) {
        self.heard.lock().unwrap().push(format!("{progress}/{total:?} {}", text.unwrap_or_default()));
    }
    fn log_level(&self) -> Option<LogLevel> {
        self.level
    }
    fn log(&self, level: LogLevel, logger: Option<String>, data: JsonText) {
        self.heard.lock().unwrap().push(format!("{level:?} {logger:?} {}", data.as_str()));
    }
}

impl Asker for Person {
    fn capabilities(&self) -> &str {
        r#"{"elicitation":{"form":{}}}"#
    }
    fn ask(&self, questions: Vec<Question>) -> BoxFuture<'_, Result<Vec<JsonText>, AskError>> {
        let answer = |question: &Question| {
            let asked: Value = serde_json::from_str(question.params.as_str()).unwrap();
            JsonText::from_value(&json!({"action": "accept", "content": {"who": self.name, "asked": asked["message"]}})).unwrap()
        };
        let answers = if self.suspends { Err(AskError::Suspended) } else { Ok(questions.iter().map(answer).collect()) };
        async move { answers }.boxed()
    }
}

/// Lines of the operator's log, each with its level.
#[derive(Clone, Default)]
struct Operator(Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Operator {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        #[derive(Default)]
        struct Line {
            source: String,
            text: String,
        }
        impl tracing::field::Visit for Line {
            fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
                if field.name() == "source" {
                    value.clone_into(&mut self.source);
                }
            }
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                if field.name() == "message" {
                    self.text = format!("{value:?}");
                }
            }
        }
        if event.metadata().target() == "toolbay::server" {
            let mut line = Line::default();
            event.record(&mut line);
            self.0.lock().unwrap().push(format!("{} {}: {}", event.metadata().level(), line.source, line.text));
        }
    }
}

#[tokio::test]
async fn the_same_is_offered_and_answered() {
    let mut seen = Vec::new();
    for way in ways() {
        let server = Server::start(way).await;
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let meta = r#"{"vendor/y":{"z":1},"progressToken":"theirs"}"#;
        let context = CallContext { caller_trace: Some(trace.into()), meta: Some(meta.into()), ..CallContext::default() };
        let output = server.call_with("echo", json!({"é": [1, null]}), context).await.unwrap();
        let handed_on: Value = serde_json::from_str(output.meta.as_ref().unwrap().as_str()).unwrap();
        assert_eq!((&handed_on["seen"]["traceparent"], &handed_on["seen"]["vendor/y"]), (&json!(trace), &json!({"z": 1})), "{way:?}");
        let error = server.call("error", json!({})).await.unwrap_err();
        assert_eq!(
            error,
            CallError::Protocol { code: -32000, message: "no good".into(), data: Some(json!({"kind": "ValueError"})) },
            "{way:?}"
        );
        let contents = server.provider.read_resource("test://a", Box::default()).await.unwrap();
        let prompt = server.provider.get_prompt("greet", vec![("who".into(), "me".into())], Box::default()).await.unwrap();
        let mut listing = server.listing().clone();
        listing.instructions = None;
        seen.push((listing, output.content, output.structured, output.extra, contents, prompt.messages));
    }
    for other in &seen[1..] {
        assert_eq!(&seen[0], other);
    }
}

#[tokio::test]
async fn progress_reaches_the_call_that_it_names() {
    for way in ways() {
        let server = Server::start(way).await;
        let people = ["a", "b", "c"].map(Person::named);
        let calls = people.iter().map(|person| server.call_with("progress", json!({"who": person.name}), person.context()));
        join_all(calls).await.into_iter().for_each(|output| drop(output.unwrap()));
        for person in people {
            let want: Vec<String> = (1..=3).map(|step| format!("{step}/Some(3.0) step {step} of {}", person.name)).collect();
            assert_eq!(person.heard(), want, "{way:?}");
        }
    }
}

#[tokio::test]
async fn log_messages_reach_the_operator_at_their_level_and_the_caller_who_wants_them() {
    for way in ways() {
        let operator = Operator::default();
        let _log = tracing::subscriber::set_default(tracing_subscriber::registry().with(operator.clone()));
        let server = Server::start(way).await;
        for (level, want) in [("debug", "DEBUG"), ("notice", "INFO"), ("warning", "WARN"), ("critical", "ERROR")] {
            let quiet = Person::named("quiet");
            server.call_with("log", json!({"level": level, "data": {"k": 1.0}}), quiet.context()).await.unwrap();
            let line = format!("{want} l: {{\"k\": 1.0}}");
            assert!(operator.0.lock().unwrap().contains(&line), "{way:?}: {line} in {:?}", operator.0.lock().unwrap());
            assert_eq!(quiet.heard(), [""; 0], "{way:?}");
        }
        let person = Arc::new(Person { name: "loud", level: Some(LogLevel::Warning), ..Person::default() });
        server.call_with("log", json!({"level": "info"}), person.context()).await.unwrap();
        server.call_with("log", json!({"level": "error", "data": "oh\nno"}), person.context()).await.unwrap();
        assert_eq!(person.heard(), ["Error Some(\"l\") \"oh\\nno\""], "{way:?}");
        assert!(operator.0.lock().unwrap().contains(&"ERROR l: oh\\nno".to_owned()), "{way:?}: a server writes no lines of its own");
    }
}

#[tokio::test]
async fn the_level_of_a_session_is_the_least_that_anybody_wants() {
    for way in ways() {
        let server = Server::start(way).await;
        for level in [LogLevel::Error, LogLevel::Debug, LogLevel::Debug] {
            let person = Arc::new(Person { level: Some(level), ..Person::default() });
            server.call_with("log", json!({}), person.context()).await.unwrap();
        }
        let want = if way.modern { json!([]) } else { json!(["info", "debug"]) };
        assert_eq!(server.said("levels").await, want, "{way:?}");
    }
}

#[tokio::test]
async fn a_question_is_answered_by_whose_call_it_is_in() {
    for way in ways() {
        let server = Server::start(way).await;
        let asked = |name: &'static str| {
            let server = &server;
            async move { server.call_with("ask", json!({"question": name}), Person::named(name).context()).await.unwrap() }
        };
        // Over stdio nothing says whose call it is: known from here on is that calls have to be made one at a time.
        asked("first").await;
        for (output, name) in join_all(["a", "b", "c"].map(asked)).await.into_iter().zip(["a", "b", "c"]) {
            let said: Value = serde_json::from_str(&text(&output)).unwrap();
            let answer = if way.modern { &said["answer"] } else { &said };
            assert_eq!(answer["content"], json!({"who": name, "asked": name}), "{way:?}");
        }
    }
}

#[tokio::test]
async fn who_cannot_be_asked_and_who_comes_back_later_are_told_apart() {
    for way in ways() {
        let server = Server::start(way).await;
        let nobody = server.call("ask", json!({"question": "?"})).await;
        if way.modern {
            assert!(matches!(nobody, Err(CallError::MissingCapability(_))), "{way:?}: {nobody:?}");
        } else {
            assert!(text(&nobody.unwrap()).contains("the caller cannot be asked for input"), "{way:?}");
        }
        let later = Arc::new(Person { suspends: true, ..Person::default() });
        assert_eq!(server.call_with("ask", json!({"question": "?"}), later.context()).await, Err(CallError::InputRequired), "{way:?}");
        // The call beside it is not disturbed.
        let output = server.call_with("ask", json!({"question": "me"}), Person::named("me").context()).await.unwrap();
        assert!(text(&output).contains("\"me\""), "{way:?}");
    }
}

#[tokio::test]
async fn a_session_of_all_callers_has_no_roots_and_a_question_can_be_taken_back() {
    for way in ways().filter(|way| !way.modern) {
        let server = Server::start(way).await;
        let seen: Value =
            serde_json::from_str(&text(&server.call_with("roots", json!({}), Person::named("me").context()).await.unwrap())).unwrap();
        assert_eq!(
            (&seen["offered"], &seen["error"]["code"]),
            (&json!(["elicitation", "extensions", "sampling"]), &json!(-32601)),
            "{way:?}"
        );

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
                    Ok(Vec::new())
                }
                .boxed()
            }
        }
        let (alive, mut ended) = tokio::sync::mpsc::unbounded_channel();
        let context = CallContext { asker: Some(Arc::new(Patient(alive))), ..CallContext::default() };
        assert_eq!(text(&server.call_with("take_back", json!({}), context).await.unwrap()), "took it back", "{way:?}");
        assert_eq!(tokio::time::timeout(LONG, ended.recv()).await.unwrap(), None, "{way:?}");
    }
}

#[tokio::test]
async fn the_server_knows_whose_updates_are_wanted() {
    for way in ways() {
        let server = Server::start(way).await;
        for wanted in [&["test://a"][..], &["test://a", "test://b"], &["test://b"], &[], &["test://c"]] {
            server.channel.subscribe(Arc::new(wanted.iter().map(|uri| (*uri).to_owned()).collect()));
            let known = async { while server.said("watched").await != json!(wanted) {} };
            tokio::time::timeout(LONG, known).await.unwrap_or_else(|_| panic!("{way:?}: {wanted:?}"));
        }
    }
}

#[tokio::test]
async fn a_call_that_is_given_up_is_cancelled_at_the_server() {
    for way in ways() {
        let server = Server::start(way).await;
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("cancelled");
        let call = server.call("wait", json!({"mark": mark}));
        assert!(tokio::time::timeout(Duration::from_millis(300), call).await.is_err(), "{way:?}");
        let cancelled = async {
            while !mark.exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LONG, cancelled).await.unwrap_or_else(|_| panic!("{way:?}: it is not cancelled"));
    }
}

#[tokio::test]
async fn changes_are_heard_in_a_call() {
    for way in ways() {
        let server = Server::start(way).await;
        let mut changes = server.channel.changes();
        server.call("change", json!({"what": "tools"})).await.unwrap();
        let seen = [changes.recv().await.unwrap(), changes.recv().await.unwrap()];
        assert_eq!(seen, [Change::Tools, Change::Updated("test://a".to_owned())], "{way:?}");
    }
}
