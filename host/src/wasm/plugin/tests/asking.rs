//! The import `client`: a guest that asks for the client's roots, and askers that answer, refuse, or have the call made again.

use std::{path::Path, sync::Mutex};

use futures::future::BoxFuture;
use serde_json::json;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::*;
use crate::provider::{AskError, Asker, Question, QuestionKind};

/// Where the questions lie, and where their answers go.
const ASKED: usize = 1024;
const ANSWERS: usize = 64;

/// One question as the canonical ABI lays it out: no key, the case `roots`.
const ROOTS: [u32; 14] = [0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A tool `run` that asks so many questions so many times and answers the first root's address, or the error's text. Then comes `after`.
fn guest(questions: usize, times: usize, after: &str) -> Vec<u8> {
    let data: String = ROOTS.repeat(questions).iter().flat_map(|word| word.to_le_bytes()).map(|byte| format!("\\{byte:02x}")).collect();
    let ask = format!("(call $ask (i32.const {ASKED}) (i32.const {questions}) (i32.const {ANSWERS}))").repeat(times);
    let core = format!(
        r#"(module
            (import "toolbay:plugin/client@0.1.0" "ask" (func $ask (param i32 i32 i32)))
            (memory (export "memory") 4) (data (i32.const {ASKED}) "{data}")
            (global $top (mut i32) (i32.const 65536))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (global.set $top (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
                (global.get $top)
                (global.set $top (i32.add (global.get $top) (local.get 3))))
            (func (export "run") (result i32)
                {ask} {after}
                (if (result i32) (i32.load8_u (i32.const {ANSWERS}))
                    ;; The case `refused` has a code before its text.
                    (then (select (i32.const {refused}) (i32.const {other}) (i32.eq (i32.load8_u (i32.const {error})) (i32.const 2))))
                    (else (i32.load offset=4 (i32.load (i32.const {error})))))))"#,
        error = ANSWERS + 4,
        other = ANSWERS + 8,
        refused = ANSWERS + 12,
    );
    let mut resolve = Resolve::default();
    resolve.push_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit")).unwrap();
    let world = "package test:some@1.0.0; world some { import toolbay:plugin/client@0.1.0; export run: func() -> string; }";
    let package = resolve.push_str("some.wit", world).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    let mut module = wat::parse_str(core).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}

/// Answers after a while, and keeps what it was asked.
struct Native {
    answer: Result<JsonText, AskError>,
    after: Duration,
    asked: Mutex<Vec<Question>>,
}

impl Native {
    fn new(answer: Result<JsonText, AskError>) -> Arc<Self> {
        Self::slow(answer, Duration::ZERO)
    }

    fn slow(answer: Result<JsonText, AskError>, after: Duration) -> Arc<Self> {
        Arc::new(Self { answer, after, asked: Mutex::default() })
    }
}

impl Asker for Native {
    fn capabilities(&self) -> &str {
        r#"{"roots":{}}"#
    }

    fn ask(&self, questions: Vec<Question>) -> BoxFuture<'_, Result<Vec<JsonText>, AskError>> {
        Box::pin(async move {
            tokio::time::sleep(self.after).await;
            let count = questions.len();
            self.asked.lock().unwrap().extend(questions);
            self.answer.clone().map(|answer| vec![answer; count])
        })
    }
}

fn home() -> Result<JsonText, AskError> {
    Ok(JsonText::from_value(&json!({ "roots": [{ "uri": "file:///home" }] })).unwrap())
}

async fn call_with(provider: &Arc<dyn Provider>, asker: Option<Arc<Native>>) -> Result<CallOutput, CallError> {
    let context = CallContext { asker: asker.map(|asker| asker as _), ..CallContext::default() };
    provider.call(Call { tool: "run", arguments: "{}", context: context.into() }).await
}

async fn load(host: &Host, component: Vec<u8>) -> Arc<dyn Provider> {
    host.load_bytes(component).await.unwrap().provider
}

#[tokio::test]
async fn answers_are_what_the_call_returns() {
    let host = Host::new(limits());
    let provider = load(&host, guest(2, 3, "")).await;
    let asker = Native::new(home());
    let output = call_with(&provider, Some(asker.clone())).await.unwrap();
    assert_eq!((text(&output).as_str(), output.is_error), ("file:///home", false));
    let asked = asker.asked.lock().unwrap();
    assert_eq!(asked.len(), 6, "two at once, three times");
    let roots = Question { key: None, kind: QuestionKind::Roots, params: JsonText::parse("{}".to_owned()).unwrap() };
    assert!(asked.iter().all(|question| *question == roots), "{asked:?}");
    assert!(provider.tools()[0].notifies, "it may send something before its answer");
}

#[tokio::test]
async fn a_call_that_is_made_again_or_lacks_something_ends_where_it_asks() {
    let host = Host::new(limits());
    // What stands behind the question does not run.
    let provider = load(&host, guest(1, 1, "unreachable")).await;
    let missing = json!({ "roots": {} }).as_object().unwrap().clone();
    for (error, expected) in [
        (AskError::Suspended, CallError::InputRequired),
        (AskError::MissingCapability(missing.clone()), CallError::MissingCapability(missing)),
    ] {
        assert_eq!(call_with(&provider, Some(Native::new(Err(error)))).await, Err(expected));
    }
    match call_with(&provider, Some(Native::new(Err(AskError::Diverged("1 question was 2".to_owned()))))).await {
        Err(CallError::Internal(message)) => {
            assert!(message.starts_with("plugin p asked something else") && message.contains("1 question was 2"), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_a_plugin_can_go_on_without_is_its_to_handle() {
    let host = Host::new(limits());
    let provider = load(&host, guest(1, 1, "")).await;
    let cases = [
        (Some(Native::new(Err(AskError::Refused { code: -1, message: "not now".to_owned() }))), "not now"),
        (Some(Native::new(Err(AskError::Unanswered("time is up".to_owned())))), "time is up"),
        (Some(Native::new(Ok(JsonText::parse("[]".to_owned()).unwrap()))), "the client's answer cannot be read: it is not a JSON object"),
        (None, "the caller of this call cannot be asked for input"),
    ];
    for (asker, words) in cases {
        assert_eq!(text(&call_with(&provider, asker).await.unwrap()), words);
    }
    let many = load(&host, guest(33, 1, "")).await;
    assert!(text(&call_with(&many, Some(Native::new(home()))).await.unwrap()).contains("33 questions; 32 may be asked"));
    let often = load(&host, guest(1, 65, "")).await;
    assert_eq!(text(&call_with(&often, Some(Native::new(home()))).await.unwrap()), "one call may ask 64 times");
}

#[tokio::test]
async fn the_time_of_an_answer_does_not_count_and_all_other_time_does() {
    let host = Host::new(limits());
    let slow = || Some(Native::slow(home(), limits().timeout * 2));
    let provider = load(&host, guest(1, 2, "")).await;
    assert_eq!(text(&call_with(&provider, slow()).await.unwrap()), "file:///home");
    let spins = load(&host, guest(1, 1, "(loop $l (br $l))")).await;
    let output = call_with(&spins, slow()).await.unwrap();
    assert!(output.is_error && text(&output).contains("time limit (300ms)"), "{}", text(&output));
}

#[tokio::test]
async fn a_call_that_waits_keeps_its_place_until_it_is_dropped() {
    let host = Host::new(PluginLimits { concurrency: 1, queue: 0, ..limits() });
    let provider = load(&host, guest(1, 1, "")).await;
    let never = Native::slow(home(), Duration::from_secs(3600));
    let mut waiting = Box::pin(call_with(&provider, Some(never)));
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut waiting).await.is_err());
    assert!(matches!(call_with(&provider, Some(Native::new(home()))).await, Err(CallError::Busy { .. })));
    drop(waiting);
    assert_eq!(text(&call_with(&provider, Some(Native::new(home()))).await.unwrap()), "file:///home");
}
