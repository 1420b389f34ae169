//! What every call goes through, with a provider that does what it is told.

use std::{borrow::Cow, sync::Mutex};

use futures::{
    FutureExt as _,
    future::{BoxFuture, pending},
};
use serde_json::Map;

use super::*;
use crate::{
    catalog::Catalog,
    provider::{
        AskError, Asker, Call, CallOutput, JsonText, NoClientRequests, Principal, Provider, ProviderChange, ProviderId, Question,
        QuestionKind, Tool, ToolName,
    },
    telemetry::metrics::{Format, Page, Source},
};

/// Does what its tool's name says.
struct Obedient {
    id: ProviderId,
    tools: Vec<Arc<Tool>>,
    /// What the calls have seen.
    seen: Arc<Mutex<Vec<String>>>,
}

impl Provider for Obedient {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    fn tools(&self) -> &[Arc<Tool>] {
        &self.tools
    }

    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<CallOutput, CallError>> {
        async move {
            let who = call.context.principal.as_ref().map(Principal::subject);
            self.seen.lock().unwrap().push(format!("{} {who:?} {}", call.context.call_id, call.arguments));
            match call.tool {
                "fail" => Ok(CallOutput::error("no")),
                "break" => Err(CallError::Internal("broken".to_owned())),
                "hang" => pending().await,
                "ask" => {
                    let question = Question { key: None, kind: QuestionKind::Roots, params: JsonText::parse("{}".to_owned()).unwrap() };
                    match call.context.asker.as_ref().unwrap().ask(vec![question]).await {
                        Ok(_) => Ok(CallOutput::default()),
                        Err(AskError::Suspended) => Err(CallError::InputRequired),
                        Err(error) => Ok(CallOutput::error(error.to_string())),
                    }
                }
                _ => Ok(CallOutput::default()),
            }
        }
        .boxed()
    }
}

struct Fixture {
    dispatcher: Arc<Dispatcher>,
    catalog: Arc<Catalog>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Fixture {
    fn new() -> Self {
        let tool = |name: &&str| {
            Arc::new(Tool {
                name: ToolName::new(*name).unwrap(),
                title: None,
                description: None,
                input_schema: Arc::default(),
                output_schema: None,
                annotations: None,
                icons: None,
                meta: None,
                extra: Map::new(),
                notifies: false,
            })
        };
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let tools = ["ok", "fail", "break", "hang", "ask"].iter().map(tool).collect();
        let provider = Obedient { id: ProviderId::new("p").unwrap(), tools, seen: seen.clone() };
        let catalog = Catalog::new();
        catalog.apply(vec![ProviderChange::Put(Arc::new(provider))]);
        Self { dispatcher: Dispatcher::new(), catalog, seen }
    }

    fn request(&self, tool: &str) -> CallRequest<'static> {
        let entry = Arc::clone(self.catalog.snapshot().resolve(tool).unwrap());
        CallRequest::new(Some(Principal::new("ann")), Operation::Call { entry, arguments: Cow::Borrowed("{}") })
    }
}

#[tokio::test]
async fn each_call_has_an_id_and_knows_who_makes_it() {
    let fixture = Fixture::new();
    for _ in 0..2 {
        fixture.dispatcher.run(fixture.request("ok")).await.unwrap();
    }
    assert_eq!(*fixture.seen.lock().unwrap(), ["1 Some(\"ann\") {}", "2 Some(\"ann\") {}"]);
}

#[tokio::test]
async fn the_outcome_says_how_a_call_ended() {
    let fixture = Fixture::new();
    for (tool, outcome) in [("ok", Outcome::Ok), ("fail", Outcome::ToolError), ("break", Outcome::Internal)] {
        let result = fixture.dispatcher.run(fixture.request(tool)).await;
        assert_eq!(Outcome::of(&result), outcome, "{tool}");
    }
}

#[tokio::test]
async fn a_call_is_in_flight_and_holds_what_it_was_given_until_it_is_dropped() {
    let fixture = Fixture::new();
    let held = Arc::new(());
    let request = fixture.request("hang").with_hold(Some(Hold::new(held.clone())));
    let mut call = Box::pin(fixture.dispatcher.run(request));
    assert!((&mut call).now_or_never().is_none());
    assert_eq!((fixture.dispatcher.in_flight(), Arc::strong_count(&held)), (1, 2));
    drop(call);
    assert_eq!((fixture.dispatcher.in_flight(), Arc::strong_count(&held)), (0, 1));
}

/// Rounds of which the first cannot be answered.
struct Once(Result<(), CallError>);

impl Rounds for Once {
    fn open(self: Arc<Self>, _: &Operation<'_>) -> Result<Arc<dyn Asker>, CallError> {
        self.0.clone()?;
        Ok(self)
    }

    fn suspended(&self, operation: &Operation<'_>) -> Result<InputRequired, CallError> {
        Ok(InputRequired { questions: Vec::new(), state: operation.provider().id().to_string() })
    }
}

impl Asker for Once {
    fn capabilities(&self) -> &str {
        "{}"
    }

    fn ask(&self, _: Vec<Question>) -> BoxFuture<'_, Result<Vec<JsonText>, AskError>> {
        async { Err(AskError::Suspended) }.boxed()
    }
}

#[tokio::test]
async fn a_caller_that_comes_back_gets_the_questions_as_the_result() {
    let fixture = Fixture::new();
    let result = fixture.dispatcher.run(fixture.request("ask").with_rounds(Arc::new(Once(Ok(()))))).await;
    assert_eq!(Outcome::of(&result), Outcome::InputRequired);
    assert!(matches!(result, Ok(OperationResult::InputRequired(asked)) if asked.state == "p"));
}

#[tokio::test]
async fn a_caller_that_brought_something_wrong_is_refused_before_the_provider_is_called() {
    let fixture = Fixture::new();
    let wrong = CallError::InvalidParams("wrong".to_owned());
    let result = fixture.dispatcher.run(fixture.request("ask").with_rounds(Arc::new(Once(Err(wrong))))).await;
    assert_eq!(Outcome::of(&result), Outcome::InvalidParams);
    assert!(fixture.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_caller_that_cannot_be_asked_says_why() {
    let fixture = Fixture::new();
    let request = fixture.request("ask").with_asker(Arc::new(NoClientRequests { reason: "nobody is there" }));
    let Ok(OperationResult::Call(output)) = fixture.dispatcher.run(request).await else { panic!("no output") };
    assert_eq!(output, CallOutput::error("nobody is there"));
}

/// The page of metrics.
fn page(fixture: &Fixture) -> String {
    Page::new(vec![Arc::clone(fixture.dispatcher.metrics()) as Arc<dyn Source>]).render(Format::Text)
}

#[tokio::test]
async fn every_end_is_counted_once() {
    let fixture = Fixture::new();
    for tool in ["ok", "fail", "break", "ok"] {
        let _ = fixture.dispatcher.run(fixture.request(tool)).await;
    }
    // One that is dropped before its end.
    assert!(fixture.dispatcher.run(fixture.request("hang")).now_or_never().is_none());
    let error = &CallError::UnknownTool("x".repeat(1 << 20));
    fixture.dispatcher.turned_away(&TurnedAway { principal: None, face: "mcp", trace_parent: None, error });
    let page = page(&fixture);
    for (tool, outcome, count) in [("ok", "ok", 2), ("fail", "tool_error", 1), ("break", "internal", 1), ("hang", "cancelled", 1)] {
        let labels = format!("{{mcp_method_name=\"tools/call\",gen_ai_tool_name=\"{tool}\",provider=\"p\"");
        assert!(page.contains(&format!("toolbay_calls_total{labels},outcome=\"{outcome}\"}} {count}\n")), "{tool}\n{page}");
        assert!(page.contains(&format!("mcp_server_operation_duration_seconds_count{labels}}} {count}\n")), "{tool}\n{page}");
    }
    assert!(page.contains("toolbay_refusals_total{reason=\"unknown_tool\"} 1\n"), "{page}");
    assert!(!page.contains("xxx"));
}

#[test]
fn metrics_cost_a_call_no_allocation() {
    let allocations = |dispatcher| {
        let fixture = Fixture { dispatcher, ..Fixture::new() };
        let call = || assert!(futures::executor::block_on(fixture.dispatcher.run(fixture.request("ok"))).is_ok());
        // The tool's meter is made with its first call.
        call();
        allocation_counter::measure(call).count_total
    };
    let (on, off) = (allocations(Dispatcher::with(true, None)), allocations(Dispatcher::with(false, None)));
    assert_eq!(on, off);
}
