//! Pipelines over a provider that does what it is told, through the real dispatcher.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use serde_json::{Map, Value, json};

use super::*;
use crate::{
    catalog::feed::Feed,
    dispatch::{CallRequest, Dispatcher, InputRequired, Operation, OperationResult, Rounds},
    provider::{
        AskError, Asker, Call, CallError, CallOutput, Content, JsonText, Notifier, Provider, Question, QuestionKind, Tool, ToolName,
    },
};

/// Answers with its arguments, and counts its calls.
struct Echo {
    id: ProviderId,
    tools: Vec<Arc<Tool>>,
    at_once: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    made: Arc<Mutex<Vec<String>>>,
}

struct Busy<'a>(&'a AtomicUsize);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Provider for Echo {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    fn tools(&self) -> &[Arc<Tool>] {
        &self.tools
    }

    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<CallOutput, CallError>> {
        async move {
            self.made.lock().unwrap().push(format!("{} {}", call.tool, call.arguments));
            self.most.fetch_max(self.at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let _busy = Busy(&self.at_once);
            let arguments: Value = serde_json::from_str(call.arguments).unwrap();
            match call.tool {
                "fail" => Ok(CallOutput::error("it did not work")),
                "hang" => std::future::pending().await,
                // Others begin meanwhile.
                "slow" => {
                    for _ in 0..20 {
                        tokio::task::yield_now().await;
                    }
                    Ok(answer(&arguments))
                }
                "ask" => {
                    let params = JsonText::from_value(&arguments).unwrap();
                    let question = Question { key: None, kind: QuestionKind::Elicitation, params };
                    match call.context.asker.as_ref().unwrap().ask(vec![question]).await {
                        Ok(answers) => Ok(answer(&serde_json::from_str(answers[0].as_str()).unwrap())),
                        Err(AskError::Suspended) => Err(CallError::InputRequired),
                        Err(error) => Ok(CallOutput::error(error.to_string())),
                    }
                }
                _ => Ok(answer(&arguments)),
            }
        }
        .boxed()
    }
}

fn answer(value: &Value) -> CallOutput {
    let text = value.to_string();
    CallOutput { content: vec![Content::text(text.as_str())], structured: Some(JsonText::from_writer(text)), ..CallOutput::default() }
}

struct Fixture {
    catalog: Arc<Catalog>,
    feed: Feed,
    pipelines: Arc<Pipelines>,
    dispatcher: Arc<Dispatcher>,
    most: Arc<AtomicUsize>,
    made: Arc<Mutex<Vec<String>>>,
}

fn config(text: &str) -> Config {
    Config::parse(text, Path::new("/x/toolbay.toml")).unwrap_or_else(|error| panic!("{error}"))
}

fn map(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

impl Fixture {
    /// With these pipelines.
    async fn new(text: &str) -> Self {
        let (at_once, most, made) = Default::default();
        let tool = |name: &&str| {
            let input = json!({ "type": "object", "properties": { "x": { "type": "string" }, "n": { "type": "integer" }, "list": { "type": "array", "items": { "type": "object", "properties": { "id": { "type": "string" } } } } } });
            let mut tool = Tool::new(ToolName::new(*name).unwrap(), map(input.clone()));
            if *name == "strict" {
                tool.input_schema = Arc::new(map(
                    json!({ "type": "object", "properties": { "x": { "type": "string" } }, "required": ["x"], "additionalProperties": false }),
                ));
            }
            tool.output_schema = (*name != "fail").then(|| Arc::new(map(input)));
            tool.annotations = Some(json!({ "readOnlyHint": true, "openWorldHint": true }));
            Arc::new(tool)
        };
        let tools = ["echo", "fail", "hang", "slow", "ask", "strict"].iter().map(tool).collect();
        let echo = Echo { id: ProviderId::new("p").unwrap(), tools, at_once, most: Arc::clone(&most), made: Arc::clone(&made) };
        let catalog = Catalog::new();
        catalog.apply(vec![ProviderChange::Put(Arc::new(echo))]);
        let feed = Feed::start(catalog.clone());
        let pipelines = Pipelines::start(&config(text), catalog.clone(), feed.queue().clone()).await;
        pipelines.settle().await;
        let dispatcher = Dispatcher::over(catalog.clone(), false, None, None, Arc::default());
        Self { catalog, feed, pipelines, dispatcher, most, made }
    }

    fn request(&self, tool: &str, arguments: &Value) -> CallRequest<'static> {
        let entry = self.catalog.snapshot().resolve(tool).map(Arc::clone);
        let entry = entry.unwrap_or_else(|| panic!("no tool {tool}: {:?}", self.errors()));
        CallRequest::new(None, Operation::Call { entry, arguments: Cow::Owned(arguments.to_string()) })
    }

    async fn run(&self, request: CallRequest<'static>) -> Result<CallOutput, CallError> {
        match self.dispatcher.run(request).await? {
            OperationResult::Call(output) => Ok(output),
            _ => panic!("no output"),
        }
    }

    async fn call(&self, tool: &str, arguments: Value) -> Value {
        let output = self.run(self.request(tool, &arguments)).await.unwrap();
        assert!(!output.is_error, "{output:?}");
        output.structured.as_ref().map_or_else(|| answer::text(&output).into(), |json| serde_json::from_str(json.as_str()).unwrap())
    }

    async fn failure(&self, tool: &str, arguments: Value) -> String {
        let output = self.run(self.request(tool, &arguments)).await.unwrap();
        assert!(output.is_error, "{output:?}");
        answer::text(&output)
    }

    fn errors(&self) -> BTreeMap<String, String> {
        self.pipelines.statuses().into_iter().map(|status| (status.name, status.error.unwrap_or_default())).collect()
    }

    fn tool(&self, name: &str) -> Arc<Tool> {
        Arc::clone(self.catalog.snapshot().resolve(name).unwrap_or_else(|| panic!("{:?}", self.errors())).tool())
    }

    fn made(&self) -> Vec<String> {
        std::mem::take(&mut *self.made.lock().unwrap())
    }
}

#[tokio::test]
async fn steps_take_what_those_before_them_answered() {
    let fixture = Fixture::new(
        r#"
        [[pipeline.p1.steps]]
        name = "one"
        tool = "echo"
        arguments = { x = { from = "/args/x" }, n = 1 }
        [[pipeline.p1.steps]]
        tool = "p__echo"
        arguments = { x = { from = "join('', ['<', steps.one.structured.x, '>'])" }, n = { from = "steps.one.structured.n" } }
        "#,
    )
    .await;
    assert_eq!(fixture.call("p1", json!({ "x": "a" })).await, json!({ "x": "<a>", "n": 1 }));
    assert_eq!(fixture.made(), [r#"echo {"n":1,"x":"a"}"#, r#"echo {"n":1,"x":"<a>"}"#]);
    // By its qualified name too.
    assert_eq!(fixture.call("p1__p1", json!({ "x": "b" })).await["x"], "<b>");
    let tool = fixture.tool("p1");
    assert_eq!(
        Value::Object((*tool.input_schema).clone()),
        json!({ "type": "object", "properties": { "x": { "type": "string" } }, "additionalProperties": false })
    );
    assert_eq!(tool.annotations, Some(json!({ "readOnlyHint": true })), "open is not what all of them are");
    assert!(tool.output_schema.is_some() && tool.notifies && tool.description.as_ref().unwrap().contains("echo, p__echo"));
    assert!(fixture.failure("p1", json!({ "x": 5 })).await.contains("`x`"));
    assert!(fixture.failure("p1", json!({ "y": 5 })).await.contains('y'));
}

#[tokio::test]
async fn one_step_takes_the_arguments_as_they_are_and_answers_as_its_tool_does() {
    let fixture = Fixture::new("[pipeline.one]\nsteps = [{ tool = \"strict\" }]").await;
    assert_eq!(fixture.tool("one").input_schema, fixture.tool("strict").input_schema);
    assert_eq!(fixture.call("one", json!({ "x": "a" })).await, json!({ "x": "a" }));
}

#[tokio::test]
async fn conditions_lists_and_errors_do_what_the_configuration_says() {
    let fixture = Fixture::new(
        r#"
        [pipeline.all]
        output = { each = { from = "steps.each[*].structured.x" }, skipped = { from = "steps.maybe.skipped" }, error = { from = "steps.bad.error" }, text = "done" }
        parameters.properties.list = { type = "array", items = { type = "string" } }
        parameters.properties.go = { type = "boolean" }
        [[pipeline.all.steps]]
        name = "each"
        tool = "slow"
        each = "/args/list"
        most = 3
        concurrency = 2
        arguments = { x = { from = "item" }, n = { from = "index" } }
        [[pipeline.all.steps]]
        name = "maybe"
        tool = "echo"
        when = "args.go"
        [[pipeline.all.steps]]
        name = "bad"
        tool = "fail"
        on_error = "continue"
        "#,
    )
    .await;
    let all = fixture.call("all", json!({ "list": ["a", "b", "c"], "go": false })).await;
    assert_eq!(all, json!({ "each": ["a", "b", "c"], "skipped": true, "error": "it did not work", "text": "done" }));
    assert_eq!(fixture.most.load(Ordering::SeqCst), 2);
    assert_eq!(fixture.made().len(), 4);
    assert_eq!(fixture.call("all", json!({ "go": true })).await["skipped"], false);
    assert_eq!(fixture.made(), ["echo {}", "fail {}"], "no list is an empty one");
    let long = fixture.failure("all", json!({ "list": ["a", "b", "c", "d"] })).await;
    assert_eq!(long, "step \"each\" of pipeline all (tool slow) failed: `each` has 4 items, and `most` of this step is 3");
}

#[tokio::test]
async fn an_error_says_which_step_which_tool_and_what_it_answered() {
    let text = "[[pipeline.p1.steps]]\nname = \"bad\"\ntool = \"fail\"\neach = \"/args/list\"\narguments = {}\n[[pipeline.p1.steps]]\ntool = \"echo\"\n";
    let fixture = Fixture::new(text).await;
    let failed = fixture.failure("p1", json!({ "list": [1] })).await;
    assert_eq!(failed, "step \"bad\" of pipeline p1 (tool fail, item 0) failed: it did not work");
    assert_eq!(fixture.made(), ["fail {}"], "nothing goes on after that");
}

#[tokio::test]
async fn steps_that_wait_for_the_same_run_at_once_and_time_ends_all_of_them() {
    let fixture = Fixture::new(
        r#"
        [[pipeline.both.steps]]
        name = "a"
        tool = "slow"
        arguments = { x = "a" }
        [[pipeline.both.steps]]
        name = "b"
        tool = "slow"
        arguments = { x = "b" }
        after = []
        [[pipeline.both.steps]]
        tool = "echo"
        arguments = { x = { from = "join('', [steps.a.structured.x, steps.b.structured.x])" } }
        after = ["a", "b"]
        [pipeline.late]
        timeout = "20ms"
        steps = [{ name = "only", tool = "hang" }]
        "#,
    )
    .await;
    assert_eq!(fixture.call("both", json!({})).await, json!({ "x": "ab" }));
    assert_eq!(fixture.most.load(Ordering::SeqCst), 2);
    let late = fixture.failure("late", json!({})).await;
    assert_eq!(
        late,
        "pipeline late did not end within 0.02 s at step \"only\" of pipeline late (tool hang); the operator can raise `timeout` in [pipeline.late] of toolbay.toml"
    );
}

#[tokio::test]
async fn a_step_that_does_not_fit_what_is_there_keeps_the_pipeline_from_being_offered() {
    let fixture = Fixture::new(
        r#"
        [pipeline.a]
        steps = [{ tool = "ecko" }]
        [pipeline.b]
        steps = [{ tool = "strict", arguments = { y = 1 } }]
        [pipeline.c]
        steps = [{ name = "e", tool = "echo" }, { tool = "strict", arguments = { x = { from = "/steps/e/structured/z" } } }]
        [pipeline.d]
        steps = [{ name = "e", tool = "echo" }, { tool = "strict", arguments = { x = { from = "/steps/e/structured/n" } } }]
        [pipeline.e]
        steps = [{ tool = "a" }]
        [pipeline.f]
        steps = [{ tool = "strict", arguments = { x = 5 } }]
        [pipeline.g]
        steps = [{ name = "e", tool = "echo" }, { tool = "strict", arguments = { x = { from = "steps.e.structured.list[0].idd" } } }]
        [pipeline.well]
        steps = [{ name = "e", tool = "echo" }, { tool = "strict", arguments = { x = { from = "steps.e.structured.list[0].id" } } }]
        [pipeline.own]
        steps = [{ tool = "own" }]
        [pipeline.one]
        steps = [{ tool = "two" }]
        [pipeline.two]
        steps = [{ tool = "three", arguments = { x = { from = "/args/x" } } }]
        [pipeline.three]
        steps = [{ tool = "one" }]
        [pipeline.aside]
        steps = [{ tool = "own" }]
        "#,
    )
    .await;
    let errors = fixture.errors();
    for (name, message) in [
        ("a", "/x/toolbay.toml:3:18: step \"1\": there is no tool \"ecko\"; did you mean \"echo\"?"),
        ("b", "tool strict needs the argument \"x\"; put it into `arguments`"),
        ("b", "tool strict has no argument \"y\"; it takes x"),
        ("c", "\"/steps/e/structured/z\" leads to nothing: steps.e.structured has no \"z\"; it has x, n, list"),
        ("d", "the argument \"x\" is string, and \"/steps/e/structured/n\" is integer"),
        ("e", "there is no tool \"a\": [pipeline.a] is not offered either"),
        ("f", "the arguments do not fit tool strict: argument `x`: 5 is not of type \"string\""),
        ("g", "steps.e.structured.list[] has no \"idd\"; did you mean \"id\"?"),
        ("own", "there is no tool \"own\": pipelines call each other in a circle, own → own"),
        ("aside", "there is no tool \"own\": pipelines call each other in a circle, own → own"),
        ("one", "there is no tool \"two\": pipelines call each other in a circle, two → three → one → two"),
        ("well", ""),
    ] {
        assert!(errors[name].contains(message), "{name}: {}", errors[name]);
    }
    assert_eq!(errors["well"], "");
    let names: Vec<String> = fixture.catalog.snapshot().tools().map(|entry| entry.name().to_owned()).collect();
    assert!(
        names.contains(&"well".to_owned()) && !names.iter().any(|name| ["a", "b", "c", "d", "e", "f", "g", "own"].contains(&name.as_str())),
        "{names:?}"
    );
}

#[tokio::test]
async fn pipelines_call_each_other_and_a_circle_ends_with_the_chain() {
    let fixture = Fixture::new(
        r#"
        [pipeline.outer]
        steps = [{ tool = "inner" }]
        [pipeline.inner]
        steps = [{ tool = "echo" }]
        [pipeline.round]
        parameters.properties.x = { type = "string" }
        steps = [{ tool = "about" }]
        [pipeline.about]
        parameters.properties.x = { type = "string" }
        steps = [{ name = "back", tool = "round" }]
        [pipeline.deep]
        parameters.properties.n = { type = "integer" }
        steps = [{ tool = "deep", arguments = { n = { from = "sum([args.n, `1`])" } } }]
        "#,
    )
    .await;
    assert_eq!(fixture.tool("outer").input_schema, fixture.tool("echo").input_schema);
    assert_eq!(fixture.call("outer", json!({ "x": "a" })).await, json!({ "x": "a" }));
    let circle = fixture.failure("round", json!({ "x": "a" })).await;
    assert!(circle.ends_with("calls go in a circle, with the same arguments: round -> about -> round"), "{circle}");
    let bomb = fixture.failure("deep", json!({ "n": 0 })).await;
    assert!(bomb.contains("more than 8 deep: deep -> deep -> "), "{bomb}");
}

#[tokio::test]
async fn another_configuration_counts_at_once_and_what_is_the_same_stays() {
    let one = "[pipeline.one]\nsteps = [{ tool = \"echo\" }]\n";
    let fixture = Fixture::new(one).await;
    let provider = |name: &str| fixture.catalog.providers().into_iter().find(|provider| provider.id().as_str() == name);
    let before = provider("one").unwrap();
    let two = "\n\n[pipeline.two]\nsteps = [{ tool = \"strict\" }]\n";
    fixture.pipelines.apply(&config(&format!("{two}{one}"))).await;
    fixture.pipelines.settle().await;
    assert!(Arc::ptr_eq(&before, &provider("one").unwrap()) && provider("two").is_some());
    fixture.pipelines.apply(&config(&one.replace("echo", "strict"))).await;
    fixture.pipelines.settle().await;
    assert!(!Arc::ptr_eq(&before, &provider("one").unwrap()) && provider("two").is_none());
    assert_eq!(fixture.tool("one").input_schema, fixture.tool("strict").input_schema);
    // A tool that is gone takes what calls it along, and brings it back.
    let echo = provider("p").unwrap();
    fixture.catalog.apply(vec![ProviderChange::Remove(ProviderId::new("p").unwrap())]);
    fixture.pipelines.settle().await;
    assert!(provider("one").is_none() && fixture.errors()["one"].contains("there is no tool \"strict\""));
    fixture.catalog.apply(vec![ProviderChange::Put(echo)]);
    fixture.pipelines.settle().await;
    assert!(provider("one").is_some());
    drop(fixture.feed);
}

/// Answers one question in each round.
struct OneByOne {
    answered: usize,
    asked: Mutex<Vec<Question>>,
}

impl Rounds for OneByOne {
    fn open(self: Arc<Self>, _: &Operation<'_>) -> Result<Arc<dyn Asker>, CallError> {
        Ok(self)
    }

    fn suspended(&self, _: &Operation<'_>) -> Result<InputRequired, CallError> {
        Ok(InputRequired { questions: Vec::new(), state: self.asked.lock().unwrap().last().unwrap().params.as_str().to_owned() })
    }
}

impl Asker for OneByOne {
    fn capabilities(&self) -> &str {
        "{}"
    }

    fn ask(&self, questions: Vec<Question>) -> BoxFuture<'_, Result<Vec<JsonText>, AskError>> {
        async move {
            let mut asked = self.asked.lock().unwrap();
            let answers = questions.iter().map(|question| question.params.clone()).collect();
            asked.extend(questions);
            if asked.len() <= self.answered { Ok(answers) } else { Err(AskError::Suspended) }
        }
        .boxed()
    }
}

#[tokio::test]
async fn steps_ask_in_their_order_whichever_comes_first() {
    let fixture = Fixture::new(
        r#"
        [[pipeline.asks.steps]]
        name = "slow"
        tool = "slow"
        [[pipeline.asks.steps]]
        name = "a"
        tool = "ask"
        arguments = { x = "a" }
        [[pipeline.asks.steps]]
        name = "b"
        tool = "ask"
        after = []
        each = "/args/list"
        concurrency = 4
        arguments = { x = { from = "item.id" } }
        [[pipeline.asks.steps]]
        tool = "echo"
        after = ["a", "b"]
        arguments = { x = { from = "join('', [steps.a.structured.x, steps.b[0].structured.x, steps.b[1].structured.x])" } }
        "#,
    )
    .await;
    let arguments = json!({ "list": [{ "id": "b" }, { "id": "c" }] });
    for _ in 0..3 {
        let mut rounds = Vec::new();
        let last = loop {
            let asking = Arc::new(OneByOne { answered: rounds.len(), asked: Mutex::default() });
            let request = fixture.request("asks", &arguments).with_rounds(asking);
            match tokio::time::timeout(Duration::from_secs(60), fixture.dispatcher.run(request)).await.unwrap().unwrap() {
                OperationResult::InputRequired(asked) => rounds.push(asked.state),
                OperationResult::Call(output) => break output,
                _ => panic!("no output"),
            }
        };
        assert_eq!(rounds, [r#"{"x":"a"}"#, r#"{"x":"b"}"#, r#"{"x":"c"}"#]);
        assert_eq!(answer::text(&last), r#"{"x":"abc"}"#);
    }
}

/// Takes down what it is told.
#[derive(Default)]
struct Listener(Mutex<Vec<Heard>>);

/// How far it has come, of how much, and a text.
type Heard = (f64, Option<f64>, Option<String>);

impl Notifier for Listener {
    fn wants_progress(&self) -> bool {
        true
    }

    fn progress(&self, progress: f64, total: Option<f64>, text: Option<String>) {
        self.0.lock().unwrap().push((progress, total, text));
    }

    fn log_level(&self) -> Option<crate::provider::LogLevel> {
        None
    }

    fn log(&self, _: crate::provider::LogLevel, _: Option<String>, _: JsonText) {}
}

#[tokio::test]
async fn each_step_that_is_done_is_told() {
    let fixture = Fixture::new("[pipeline.p1]\nsteps = [{ name = \"a\", tool = \"echo\" }, { tool = \"echo\" }]").await;
    let listener = Arc::new(Listener::default());
    let request = fixture.request("p1", &json!({})).with_notifier(Some(listener.clone()));
    fixture.run(request).await.unwrap();
    let told = listener.0.lock().unwrap().clone();
    assert_eq!(told, [(1.0, Some(2.0), Some("step a is done".to_owned())), (2.0, Some(2.0), Some("step 2 is done".to_owned()))]);
}

#[tokio::test]
async fn the_answer_has_the_form_that_it_promises() {
    let fixture = Fixture::new(
        r#"
        [pipeline.number]
        output = { from = "steps.e.structured.n" }
        steps = [{ name = "e", tool = "echo" }]
        [pipeline.promise]
        output = { n = { from = "/steps/e/structured/n" } }
        output_schema = { properties = { n = { type = "integer" } }, required = ["n"] }
        steps = [{ name = "e", tool = "echo" }]
        "#,
    )
    .await;
    let number = fixture.run(fixture.request("number", &json!({ "n": 5 }))).await.unwrap();
    assert_eq!((number.content, number.structured.unwrap().as_str()), (vec![Content::text("5")], r#"{"result":5}"#));
    assert_eq!(fixture.failure("number", json!({})).await, "`output` picks nothing");
    assert_eq!(fixture.call("promise", json!({ "n": 5 })).await, json!({ "n": 5 }));
    assert_eq!(fixture.tool("promise").output_schema.as_ref().unwrap()["required"], json!(["n"]));
    let broken = fixture.failure("promise", json!({})).await;
    assert!(broken.starts_with("`output` does not fit `output_schema`: ") && broken.contains("required"), "{broken}");
}

#[tokio::test]
async fn what_is_long_is_worked_on_beside_the_workers() {
    let fixture = Fixture::new(
        "[pipeline.long]\noutput = { from = \"steps.e.structured.x\" }\nsteps = [{ name = \"e\", tool = \"echo\", arguments = { x = { from = \"args.x\" } } }]",
    )
    .await;
    let long = "x".repeat(300_000);
    assert_eq!(fixture.call("long", json!({ "x": long.clone() })).await, json!(long));
}
