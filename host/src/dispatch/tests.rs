//! What every call goes through, with a provider that does what it is told.

use std::{borrow::Cow, sync::Mutex};

use futures::{
    FutureExt as _,
    future::{BoxFuture, pending},
};
use serde_json::Map;

use super::*;
use crate::{
    catalog::{Catalog, GuardRule, Limit, Policy, RateOf, Role, Safeguards},
    config::{AuditConfig, TracesConfig},
    provider::{
        AskError, Asker, Call, CallOutput, JsonText, NoClientRequests, Principal, Provider, ProviderChange, ProviderId, Question,
        QuestionKind, Roles, Tool, ToolName,
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
    fixture.dispatcher.turned_away(&TurnedAway { principal: None, face: "mcp", trace_parent: None, error, denied: None });
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
    let (on, off) = (allocations(Dispatcher::with(true, None, None)), allocations(Dispatcher::with(false, None, None)));
    assert_eq!(on, off);
}

/// The fewest of several calls: room that all calls share grows now and then, and the console keeps the first ones of a second.
fn allocations(dispatcher: Arc<Dispatcher>) -> u64 {
    let fixture = Fixture { dispatcher, ..Fixture::new() };
    let call = || assert!(futures::executor::block_on(fixture.dispatcher.run(fixture.request("ok"))).is_ok());
    (0..40).map(|_| allocation_counter::measure(call).count_total).min().unwrap()
}

/// What keeps the times of watched calls down, held by what does not depend on the machine.
#[test]
fn audit_and_traces_cost_a_call_few_allocations() {
    let folder = tempfile::tempdir().unwrap();
    let audit = AuditConfig { file: Some(folder.path().join("audit.jsonl")), ..AuditConfig::default() };
    let audit = Audit::start(&audit, true).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let traces = Traces::start(&TracesConfig { endpoint: Some(endpoint), ..TracesConfig::default() }).unwrap();
    let off = allocations(Dispatcher::with(false, None, None));
    // Its line is written where the thread wrote others before.
    assert_eq!(allocations(Dispatcher::with(false, audit.clone(), None)), off);
    // The trace, its span, and what is written of it.
    assert!(allocations(Dispatcher::with(false, None, traces.clone())) <= off + 3);
    let everything = Dispatcher::with(true, audit, traces);
    everything.keep_recent();
    // What the console keeps of calls is so many a second, which this is beyond soon.
    let all = allocations(everything);
    assert!(all <= off + 4, "{all} {off}");
}

/// The rules of one guard, which no plugin is.
fn guarded(tools: &[&str], passes: bool) -> Safeguards {
    let rule = GuardRule {
        name: "g".into(),
        label: "guard.g".into(),
        plugin: "nowhere".to_owned(),
        tools: tools.iter().map(|tool| (*tool).to_owned()).collect(),
        passes,
        settings: "{}".into(),
    };
    Safeguards::new(vec![rule], Vec::new())
}

#[test]
fn guards_of_other_tools_cost_a_call_no_allocation() {
    let fixture = Fixture::new();
    let allocations = || {
        let request = || {
            CallRequest::new(
                None,
                Operation::Call { entry: Arc::clone(fixture.catalog.snapshot().resolve("ok").unwrap()), arguments: Cow::Borrowed("{}") },
            )
        };
        let call = || assert!(futures::executor::block_on(fixture.dispatcher.run(request())).is_ok());
        // What guards a tool is worked out at its first call.
        call();
        allocation_counter::measure(call).count_total
    };
    let without = allocations();
    fixture.dispatcher.safeguards().put(guarded(&["p__fail", "q__*"], false), std::time::Duration::from_secs(1));
    assert_eq!(allocations(), without);
}

#[tokio::test]
async fn a_guard_that_is_not_there_denies_or_passes_and_only_what_it_names() {
    let fixture = Fixture::new();
    for (passes, outcome) in [(false, Outcome::Denied), (true, Outcome::Ok)] {
        fixture.dispatcher.safeguards().put(guarded(&["o*"], passes), std::time::Duration::from_secs(1));
        let result = fixture.dispatcher.run(fixture.request("ok")).await;
        assert_eq!(Outcome::of(&result), outcome, "{result:?}");
        assert_eq!(Outcome::of(&fixture.dispatcher.run(fixture.request("fail")).await), Outcome::ToolError);
    }
    assert_eq!(fixture.seen.lock().unwrap().iter().filter(|call| call.starts_with("1 ")).count(), 0, "the first was not made");
    fixture.dispatcher.safeguards().put(Safeguards::default(), std::time::Duration::from_secs(1));
    assert_eq!(Outcome::of(&fixture.dispatcher.run(fixture.request("ok")).await), Outcome::Ok);
}

/// A role that may do everything, within limits.
fn limited(limits: Vec<Limit>) -> Policy {
    let role = Role { name: "r".to_owned(), servers: vec!["*".to_owned()], limits, ..Role::default() };
    Policy::new(vec![role], Roles::new(["r"]), std::collections::HashMap::new())
}

fn limit() -> Limit {
    Limit { role: "r".to_owned(), ..Limit::default() }
}

/// Why a call may not be made now: in words.
fn too_much(result: Result<OperationResult, CallError>) -> String {
    match result {
        Err(CallError::Limited { what, retry_after }) if retry_after > std::time::Duration::ZERO => what,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_caller_has_a_rate_of_its_own_and_the_limits_of_tools_are_their_own_too() {
    let rate = |calls| Some(RateOf { calls, per: std::time::Duration::from_secs(3600), burst: calls });
    let of_tool = Limit { pattern: Some("p__fail".to_owned()), rate: rate(2), ..limit() };
    let policy = LivePolicy::new(limited(vec![Limit { rate: rate(5), ..limit() }, of_tool.clone()]));
    let fixture = Fixture { dispatcher: Dispatcher::new().under(policy.clone()), ..Fixture::new() };
    let call = |who: &str, tool: &str| {
        let mut request = fixture.request(tool);
        request.context.principal = Some(Principal::new(who));
        fixture.dispatcher.run(request)
    };
    for tool in ["fail", "fail", "ok", "ok", "ok"] {
        call("ann", tool).await.unwrap();
    }
    let refused = too_much(call("ann", "ok").await);
    assert!(refused.contains("caller ann") && refused.contains("5 calls an hour") && refused.contains("[role.r]"), "{refused}");
    // Another caller is not concerned, and has its own limit for the tool.
    for tool in ["fail", "fail"] {
        call("bob", tool).await.unwrap();
    }
    assert!(too_much(call("bob", "fail").await).contains("[role.r.limits.\"p__fail\"]"));
    call("bob", "ok").await.unwrap();
    // What was counted counts on under another policy with the same limit; a larger one is a new one.
    policy.put(limited(vec![Limit { rate: rate(9), ..limit() }, of_tool]));
    call("ann", "ok").await.unwrap();
    assert!(too_much(call("ann", "fail").await).contains("p__fail"));
    policy.put(Policy::default());
    call("ann", "fail").await.unwrap();
    assert_eq!(Outcome::of(&Err(CallError::Limited { what: String::new(), retry_after: std::time::Duration::ZERO })).as_str(), "limited");
}

#[tokio::test]
async fn a_caller_has_so_many_calls_at_once_and_gives_each_back_however_it_ends() {
    let policy = LivePolicy::new(limited(vec![Limit { concurrency: Some(2), ..limit() }]));
    let fixture = Fixture { dispatcher: Dispatcher::new().under(policy.clone()), ..Fixture::new() };
    let begun = || {
        let mut call = Box::pin(fixture.dispatcher.run(fixture.request("hang")));
        assert!((&mut call).now_or_never().is_none());
        call
    };
    let (first, second) = (begun(), begun());
    assert!(too_much(fixture.dispatcher.run(fixture.request("ok")).await).contains("2 calls running"));
    drop(first);
    fixture.dispatcher.run(fixture.request("break")).await.unwrap_err();
    fixture.dispatcher.run(fixture.request("ok")).await.unwrap();
    let third = begun();
    // The same under a policy that has changed meanwhile.
    policy.put(limited(vec![Limit { concurrency: Some(2), daily: Some(1000), ..limit() }]));
    too_much(fixture.dispatcher.run(fixture.request("ok")).await);
    drop((second, third));
    fixture.dispatcher.run(fixture.request("ok")).await.unwrap();
}

#[tokio::test]
async fn a_quota_counts_calls_that_were_made_and_no_others() {
    let none = Some(RateOf { calls: 1, per: std::time::Duration::from_secs(86_400), burst: 1 });
    let slow = Limit { pattern: Some("fail".to_owned()), rate: none, ..limit() };
    let policy = LivePolicy::new(limited(vec![Limit { daily: Some(3), ..limit() }, slow]));
    let fixture = Fixture { dispatcher: Dispatcher::new().under(policy), ..Fixture::new() };
    fixture.dispatcher.run(fixture.request("fail")).await.unwrap();
    for _ in 0..5 {
        assert!(too_much(fixture.dispatcher.run(fixture.request("fail")).await).contains("1 calls a day"));
    }
    for _ in 0..2 {
        fixture.dispatcher.run(fixture.request("ok")).await.unwrap();
    }
    assert!(too_much(fixture.dispatcher.run(fixture.request("ok")).await).contains("3 calls today"));
}

/// Whatever a front looks up or shows goes by what its caller may use. So no front reads the whole catalog.
#[test]
fn fronts_look_names_up_in_what_their_caller_may_use_and_nowhere_else() {
    fn read(folder: &std::path::Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            // The console shows everything, to who may see it: that goes by `[console]`.
            if path.is_dir() && !["tests", "console"].contains(&path.file_name().unwrap().to_str().unwrap()) {
                read(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") && path.file_stem().unwrap() != "tests" {
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
                found.extend(code.contains(".snapshot()").then(|| path.display().to_string()));
            }
        }
    }
    let mut found = Vec::new();
    for front in ["mcp", "http", "stdio"] {
        read(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(front), &mut found);
    }
    assert!(found.is_empty(), "these use Catalog::snapshot in place of Dispatcher::seen: {found:?}");
}

#[test]
fn roles_cost_a_call_one_look_up_and_no_allocation() {
    let fixture = Fixture::new();
    let policy = |roles: Vec<Role>| LivePolicy::new(Policy::new(roles, Roles::default(), std::collections::HashMap::new()));
    let role = Role { name: "r".to_owned(), tools: vec!["p__o*".to_owned()], ..Role::default() };
    let ann = Principal::with_roles("ann", Roles::new(["r"]));
    for roles in [Vec::new(), vec![role]] {
        let dispatcher = fixture.dispatcher.under(policy(roles));
        let call = || {
            let entry = Arc::clone(dispatcher.seen(&fixture.catalog, Some(&ann)).resolve("ok").unwrap());
            let request = CallRequest::new(Some(ann.clone()), Operation::Call { entry, arguments: Cow::Borrowed("{}") });
            assert!(futures::executor::block_on(dispatcher.run(request)).is_ok());
        };
        // The view is made with its first use.
        call();
        let look_up = || assert!(dispatcher.seen(&fixture.catalog, Some(&ann)).resolve("ok").is_some());
        assert_eq!(allocation_counter::measure(look_up).count_total, 0);
        let open = || assert!(futures::executor::block_on(fixture.dispatcher.run(fixture.request("ok"))).is_ok());
        open();
        assert!(allocation_counter::measure(call).count_total <= allocation_counter::measure(open).count_total);
    }
}
