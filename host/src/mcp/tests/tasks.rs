//! Calls that go on when their request has been answered.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};

use super::support::*;
use crate::{
    config::{Secret, StateConfig, TasksConfig},
    mcp::FrontOptions,
    provider::{
        AskError, Call, CallError, CallOutput, Content, JsonText, NotDeferred, Principal, Provider, ProviderChange, ProviderId, Question,
        QuestionKind, Tool,
    },
};

/// A provider whose tools take as long as the test says.
struct Slow {
    id: ProviderId,
    tools: Vec<Arc<Tool>>,
    release: Arc<Notify>,
    /// How calls go on.
    events: mpsc::UnboundedSender<String>,
}

/// Says that a call was dropped before its end.
struct Watch<'a>(&'a Slow, bool);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let _ = self.0.events.send(if self.1 { "ended" } else { "dropped" }.to_owned());
    }
}

fn question(key: &str) -> Question {
    Question {
        key: Some(key.to_owned()),
        kind: QuestionKind::Elicitation,
        params: JsonText::from_value(&json!({"message": format!("Your {key}?"), "requestedSchema": {"type": "object", "properties": {}}}))
            .unwrap(),
    }
}

fn failed(error: AskError) -> CallError {
    match error {
        AskError::Suspended => CallError::InputRequired,
        AskError::MissingCapability(needed) => CallError::MissingCapability(needed),
        other => CallError::Internal(other.to_string()),
    }
}

impl Slow {
    async fn wait(&self) {
        let mut watch = Watch(self, false);
        let _ = self.events.send("waits".to_owned());
        self.release.notified().await;
        watch.1 = true;
    }
}

impl Provider for Slow {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    fn tools(&self) -> &[Arc<Tool>] {
        &self.tools
    }

    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<CallOutput, CallError>> {
        async move {
            let context = &call.context;
            let text = |text: &str| CallOutput { content: vec![Content::text(text)], ..CallOutput::default() };
            let defer = || context.deferral.as_ref().expect("a way to let the caller go").defer();
            let ask = async |keys: &[&str]| {
                let questions = keys.iter().map(|key| question(key)).collect();
                context.asker.as_ref().expect("a way to ask").ask(questions).await.map_err(failed)
            };
            match call.tool {
                "quick" => {
                    defer().map_err(|error| CallError::Internal(error.to_string()))?;
                    Ok(text("quick"))
                }
                "work" => {
                    let _ = defer();
                    if let Some(notifier) = &context.notifier {
                        notifier.progress(1.0, Some(4.0), None);
                    }
                    self.wait().await;
                    Ok(CallOutput { structured: Some(JsonText::parse("1.50".to_owned()).unwrap()), ..text(call.arguments) })
                }
                "require" => match defer() {
                    Ok(()) => {
                        self.wait().await;
                        Ok(text("required"))
                    }
                    Err(NotDeferred::Undeclared(needed)) => Err(CallError::MissingCapability(needed)),
                    Err(NotDeferred::Unavailable(why)) => Err(CallError::Internal(why)),
                },
                "broken" => {
                    let _ = defer();
                    self.wait().await;
                    Err(CallError::Protocol { code: -32042, message: "broken".to_owned(), data: Some(json!({"a": 1})) })
                }
                "panics" => {
                    let _ = defer();
                    self.wait().await;
                    panic!("as it should")
                }
                "asks" => {
                    let _ = defer();
                    let first = ask(&["name", "place"]).await?;
                    let second = ask(&["name"]).await?;
                    Ok(text(&first.iter().chain(&second).map(JsonText::as_str).collect::<Vec<_>>().join(" ")))
                }
                "asks_first" => {
                    let answers = ask(&["name"]).await?;
                    let _ = defer();
                    self.wait().await;
                    Ok(text(answers[0].as_str()))
                }
                "plain" => {
                    self.wait().await;
                    Ok(text("plain"))
                }
                other => Err(CallError::UnknownTool(other.to_owned())),
            }
        }
        .boxed()
    }
}

struct TaskLab {
    lab: Lab,
    release: Arc<Notify>,
    events: tokio::sync::Mutex<mpsc::UnboundedReceiver<String>>,
}

fn lab(tasks: TasksConfig, lean: bool) -> TaskLab {
    let lab = Lab::with(FrontOptions { tasks, lean, ..FrontOptions::default() });
    let (events, receiver) = mpsc::unbounded_channel();
    let release = Arc::new(Notify::new());
    let names = ["quick", "work", "require", "broken", "panics", "asks", "asks_first"];
    let tools = names.map(|name| Arc::new(Tool { notifies: true, ..tool(name) })).into_iter().chain([Arc::new(tool("plain"))]).collect();
    let provider = Slow { id: ProviderId::new("slow").unwrap(), tools, release: Arc::clone(&release), events };
    lab.catalog.apply(vec![ProviderChange::Put(Arc::new(provider))]);
    TaskLab { lab, release, events: tokio::sync::Mutex::new(receiver) }
}

/// With and without the lean path, which have to be the same.
fn labs() -> [TaskLab; 2] {
    [true, false].map(|lean| lab(TasksConfig::default(), lean))
}

fn declared(mut params: Value) -> Value {
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] =
        json!({"elicitation": {}, "extensions": {"io.modelcontextprotocol/tasks": {}}});
    params
}

impl TaskLab {
    async fn modern(&self, method: &str, params: Value) -> Seen {
        self.lab.modern(method, declared(params)).await
    }

    async fn event(&self) -> String {
        tokio::time::timeout(PATIENCE, self.events.lock().await.recv()).await.expect("an event in time").unwrap()
    }

    /// A call that becomes a task: its id.
    async fn begun(&self, tool: &str) -> String {
        let created = self.modern("tools/call", json!({"name": tool, "arguments": {"a": 1}})).await.result();
        assert_eq!((&created["resultType"], &created["status"]), (&json!("task"), &json!("working")), "{created}");
        for absent in ["result", "error", "inputRequests", "requestState", "task"] {
            assert!(created.get(absent).is_none(), "{created}");
        }
        created["taskId"].as_str().expect("an id").to_owned()
    }

    async fn get(&self, id: &str) -> Value {
        let got = self.modern("tasks/get", json!({"taskId": id})).await.result();
        assert_eq!((&got["resultType"], &got["taskId"]), (&json!("complete"), &json!(id)), "{got}");
        got
    }

    /// Looks until the task is in that state.
    async fn until(&self, id: &str, status: &str) -> Value {
        let looking = async {
            loop {
                let got = self.get(id).await;
                if got["status"] == status {
                    return got;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("{id} does not become {status}"))
    }
}

#[tokio::test]
async fn a_call_goes_on_as_a_task_and_its_result_is_fetched() {
    for lab in labs() {
        let id = lab.begun("work").await;
        assert_eq!(lab.event().await, "waits");
        let working = lab.get(&id).await;
        assert_eq!((&working["status"], &working["statusMessage"]), (&json!("working"), &json!("1 of 4")), "{working}");
        for name in ["createdAt", "lastUpdatedAt"] {
            assert!(working[name].as_str().unwrap().ends_with('Z'), "{working}");
        }
        assert_eq!((&working["ttlMs"], &working["pollIntervalMs"]), (&json!(3_600_000), &json!(1000)), "{working}");
        assert_eq!(lab.lab.front.in_flight(), 1, "it counts as a call, so that a drain waits for it");
        lab.release.notify_one();
        let done = lab.until(&id, "completed").await;
        assert_eq!(
            (&done["result"]["content"][0]["text"], &done["result"]["structuredContent"]),
            (&json!("{\"a\":1}"), &json!(1.5)),
            "{done}"
        );
        assert!(done.get("statusMessage").is_none() && done.get("error").is_none(), "{done}");
        assert_eq!(lab.get(&id).await, done, "it can be fetched again");
        let noted = lab.modern("tasks/cancel", json!({"taskId": id})).await.result();
        assert_eq!(noted, json!({"resultType": "complete"}));
        assert_eq!(lab.get(&id).await["status"], "completed", "what has ended is not cancelled");
    }
}

#[tokio::test]
async fn the_lean_path_keeps_every_byte_of_a_result() {
    let lab = lab(TasksConfig::default(), true);
    let id = lab.begun("work").await;
    lab.release.notify_one();
    lab.until(&id, "completed").await;
    let seen = lab.modern("tasks/get", json!({"taskId": id})).await;
    assert!(std::str::from_utf8(&seen.body).unwrap().contains("\"structuredContent\":1.50"), "{seen:?}");
}

#[tokio::test]
async fn a_client_that_does_not_know_tasks_waits() {
    for lab in labs() {
        let call = lab.lab.modern("tools/call", json!({"name": "work"}));
        let (seen, ()) = tokio::join!(call, async {
            assert_eq!(lab.event().await, "waits");
            lab.release.notify_one();
        });
        assert_eq!(seen.result()["resultType"], "complete", "{seen:?}");
        let session = lab.lab.session().await;
        let call = lab.lab.send(legacy(Some(&session), "tools/call", json!({"name": "work"})));
        let (seen, ()) = tokio::join!(call, async {
            while lab.event().await != "waits" {}
            lab.release.notify_one();
        });
        assert_eq!(seen.result()["content"][0]["text"], "{}", "{seen:?}");
        let refused = lab.lab.modern("tools/call", json!({"name": "require"})).await;
        assert_eq!((refused.code(), refused.status.as_u16()), (-32021, 400));
        assert_eq!(
            refused.message()["error"]["data"]["requiredCapabilities"],
            json!({"extensions": {"io.modelcontextprotocol/tasks": {}}}),
        );
        for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
            let params = json!({"taskId": "x", "inputResponses": {}});
            assert_eq!(lab.lab.modern(method, params.clone()).await.code(), -32021, "{method}");
            assert_eq!(lab.lab.send(legacy(Some(&session), method, params)).await.code(), -32021, "{method}");
        }
    }
}

#[tokio::test]
async fn what_is_done_at_once_is_no_task_and_leaves_none() {
    for lean in [true, false] {
        let lab = lab(TasksConfig { max: 1, ..TasksConfig::default() }, lean);
        for _ in 0..3 {
            assert_eq!(lab.modern("tools/call", json!({"name": "quick"})).await.result()["content"][0]["text"], "quick");
        }
        lab.begun("work").await;
        // There is room for one. The next caller waits, as if it knew no tasks.
        let full = lab.modern("tools/call", json!({"name": "require"})).await;
        assert!(full.message()["error"]["message"].as_str().unwrap().contains("[tasks]"), "{full:?}");
    }
}

#[tokio::test]
async fn a_call_that_takes_long_becomes_a_task_by_itself() {
    for lean in [true, false] {
        let lab = lab(TasksConfig { after: Duration::from_millis(20), ..TasksConfig::default() }, lean);
        let id = lab.begun("plain").await;
        lab.release.notify_one();
        assert_eq!(lab.until(&id, "completed").await["result"]["content"][0]["text"], "plain");
    }
}

#[tokio::test]
async fn what_fails_says_how() {
    for lab in labs() {
        for (tool, error) in [
            ("broken", json!({"code": -32042, "message": "broken", "data": {"a": 1}})),
            ("panics", json!({"code": -32603, "message": "internal error: see the host's log"})),
        ] {
            let id = lab.begun(tool).await;
            lab.release.notify_one();
            let failed = lab.until(&id, "failed").await;
            assert_eq!((&failed["error"], &failed["statusMessage"]), (&error, &error["message"]), "{failed}");
            assert!(failed.get("result").is_none(), "{failed}");
        }
    }
}

#[tokio::test]
async fn a_cancelled_task_ends_its_call() {
    for lab in labs() {
        let id = lab.begun("work").await;
        assert_eq!(lab.event().await, "waits");
        assert_eq!(lab.modern("tasks/cancel", json!({"taskId": id})).await.result(), json!({"resultType": "complete"}));
        assert_eq!(lab.event().await, "dropped");
        assert_eq!(lab.get(&id).await["status"], "cancelled");
        assert_eq!(lab.lab.front.in_flight(), 0);
    }
}

#[tokio::test]
async fn a_caller_that_hangs_up_ends_a_call_and_not_a_task() {
    let lab = lab(TasksConfig::default(), true);
    let id = lab.begun("work").await;
    assert_eq!(lab.event().await, "waits");
    let endpoint = Arc::clone(&lab.lab.endpoint);
    let call = tokio::spawn(async move { endpoint.handle(None, modern("tools/call", declared(json!({"name": "plain"})))).await });
    assert_eq!(lab.event().await, "waits");
    call.abort();
    assert_eq!(lab.event().await, "dropped");
    assert_eq!(lab.get(&id).await["status"], "working");
}

#[tokio::test]
async fn questions_of_a_task_are_answered_by_it_one_by_one() {
    let answer = |name: &str| json!({"action": "accept", "content": {"name": name}});
    for lab in labs() {
        let id = lab.begun("asks").await;
        let asked = lab.until(&id, "input_required").await;
        assert_eq!(asked["inputRequests"]["name"]["params"]["message"], "Your name?", "{asked}");
        let update = async |responses: Value| lab.modern("tasks/update", json!({"taskId": id, "inputResponses": responses})).await;
        let wrong = update(json!({"name": {"action": "maybe"}, "place": answer("x")})).await;
        assert!(wrong.code() == -32602 && wrong.message()["error"]["message"].as_str().unwrap().contains("\"name\""), "{wrong:?}");
        assert_eq!(lab.get(&id).await["inputRequests"].as_object().unwrap().len(), 2, "of a wrong update nothing is taken");
        assert_eq!(update(json!({"place": answer("here"), "other": answer("?")})).await.result(), json!({"resultType": "complete"}));
        let rest = lab.get(&id).await;
        assert_eq!((&rest["status"], rest["inputRequests"].as_object().unwrap().len()), (&json!("input_required"), 1), "{rest}");
        update(json!({"name": answer("Ann")})).await;
        // The same name again is another question, so it has another key.
        let again = lab.until(&id, "input_required").await;
        let key = again["inputRequests"].as_object().unwrap().keys().next().unwrap().clone();
        assert!(key != "name" && key != "place", "{again}");
        update(json!({"name": answer("late")})).await;
        assert_eq!(lab.get(&id).await["status"], "input_required", "an answer to what is not asked any more is left");
        update(json!({key: answer("Bea")})).await;
        let done = lab.until(&id, "completed").await;
        let said = done["result"]["content"][0]["text"].as_str().unwrap();
        assert!(said.find("Ann") < said.find("here") && said.find("here") < said.find("Bea"), "{said}");
    }
}

#[tokio::test]
async fn a_question_that_nobody_answers_is_given_up() {
    let mut lab = lab(TasksConfig::default(), true);
    lab.lab = Lab::with(FrontOptions { ask_timeout: Duration::from_millis(50), ..FrontOptions::default() });
    let (events, _) = mpsc::unbounded_channel();
    let tools = vec![Arc::new(Tool { notifies: true, ..tool("asks") })];
    let provider = Slow { id: ProviderId::new("slow").unwrap(), tools, release: Arc::default(), events };
    lab.lab.catalog.apply(vec![ProviderChange::Put(Arc::new(provider))]);
    let id = lab.begun("asks").await;
    let failed = lab.until(&id, "failed").await;
    assert!(failed["error"]["message"].as_str().unwrap().contains("ask_timeout"), "{failed}");
}

#[tokio::test]
async fn what_is_asked_before_the_task_is_asked_in_the_request() {
    for lab in labs() {
        let asked = lab.modern("tools/call", json!({"name": "asks_first"})).await.result();
        assert!(asked["resultType"] == "input_required" && asked.get("taskId").is_none(), "{asked}");
        let answers = json!({"name": {"action": "accept", "content": {"name": "Ann"}}});
        let again = json!({"name": "asks_first", "inputResponses": answers, "requestState": asked["requestState"]});
        let created = lab.modern("tools/call", again).await.result();
        assert!(created["resultType"] == "task" && created.get("requestState").is_none(), "{created}");
        lab.release.notify_one();
        let done = lab.until(created["taskId"].as_str().unwrap(), "completed").await;
        assert!(done["result"]["content"][0]["text"].as_str().unwrap().contains("Ann"), "{done}");
    }
}

#[tokio::test]
async fn a_question_that_the_client_cannot_answer_fails_the_task() {
    let lab = lab(TasksConfig::default(), true);
    let mut params = declared(json!({"name": "asks"}));
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"].as_object_mut().unwrap().remove("elicitation");
    let created = lab.lab.modern("tools/call", params).await.result();
    // Refused in the same moment, it is no task yet.
    assert!(created.is_null(), "{created}");
}

#[tokio::test]
async fn tasks_are_their_callers_own() {
    for lab in labs() {
        let as_somebody = |who: &str, method: &str, params: Value| {
            let mut request = modern(method, declared(params));
            request.extensions_mut().insert(Principal::new(who));
            request
        };
        let created = lab.lab.send(as_somebody("ann", "tools/call", json!({"name": "work"}))).await.result();
        let id = created["taskId"].clone();
        for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
            let mut params = json!({"taskId": id});
            if method == "tasks/update" {
                params["inputResponses"] = json!({});
            }
            assert_eq!(lab.lab.send(as_somebody("bob", method, params.clone())).await.code(), -32602, "{method}");
            assert_eq!(lab.lab.modern(method, declared(params)).await.code(), -32602, "{method}");
        }
        let seen = lab.lab.send(as_somebody("ann", "tasks/get", json!({"taskId": id}))).await;
        assert_eq!(seen.result()["status"], "working", "{seen:?}");
    }
}

#[tokio::test]
async fn an_id_that_is_none_says_why() {
    for lab in labs() {
        let message = async |id: &str| {
            let seen = lab.modern("tasks/get", json!({"taskId": id})).await;
            assert_eq!((seen.code(), seen.status.as_u16()), (-32602, 200));
            seen.message()["error"]["message"].as_str().unwrap().to_owned()
        };
        assert!(message("x").await.contains("no such task"));
        // Another process, with a key of its own.
        let other = self::lab(TasksConfig::default(), true).begun("work").await;
        assert!(message(&other).await.contains("[state] keys"));
        let forged = lab.begun("work").await.replace('.', "._");
        assert!(message(&forged).await.contains("no such task"));
        let wrong = lab.modern("tasks/get", json!({})).await;
        assert!(wrong.code() == -32020 || wrong.message()["error"]["message"].as_str().unwrap().contains("taskId"), "{wrong:?}");
        let mismatch = lab.lab.send(modern_with(&[("mcp-name", "y")], "tasks/get", declared(json!({"taskId": "x"})))).await;
        assert_eq!((mismatch.code(), mismatch.status.as_u16()), (-32020, 400));
    }
}

#[tokio::test]
async fn copies_of_one_key_that_do_not_find_each_other_say_what_is_missing() {
    let [mut one, mut other] = labs();
    for lab in [&mut one, &mut other] {
        let state = StateConfig { keys: vec![Secret("a-key-that-is-long-enough-to-sign-ids".to_owned())], ..StateConfig::default() };
        lab.lab = Lab::with(FrontOptions { state, ..FrontOptions::default() });
        let (events, _) = mpsc::unbounded_channel();
        let tools = vec![Arc::new(Tool { notifies: true, ..tool("work") })];
        let provider = Slow { id: ProviderId::new("slow").unwrap(), tools, release: Arc::default(), events };
        lab.lab.catalog.apply(vec![ProviderChange::Put(Arc::new(provider))]);
    }
    let id = one.begun("work").await;
    let seen = other.modern("tasks/get", json!({"taskId": id})).await;
    assert_eq!(seen.code(), -32602, "{seen:?}");
    assert!(seen.message()["error"]["message"].as_str().unwrap().contains("[tasks] advertise"), "{seen:?}");
}

#[tokio::test]
async fn a_task_is_forgotten_when_its_time_is_over() {
    let lab = lab(TasksConfig { ttl: Duration::from_millis(300), max: 1, ..TasksConfig::default() }, true);
    let id = lab.begun("work").await;
    assert_eq!(lab.event().await, "waits");
    assert_eq!(lab.event().await, "dropped", "it ends its call");
    let gone = async {
        loop {
            let seen = lab.modern("tasks/get", json!({"taskId": id})).await;
            // The task is gone up to a millisecond before its id has expired, which counts in whole ones.
            if let Some(message) = seen.message().pointer("/error/message") {
                if message.as_str().unwrap().contains("expired") {
                    return;
                }
            } else {
                assert_eq!(seen.result()["status"], "failed");
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("an id that has expired is told as that");
    lab.begun("work").await;
}

#[tokio::test]
async fn results_that_wait_are_bounded_together() {
    let lab = lab(TasksConfig { max_results: 300, ..TasksConfig::default() }, true);
    let ids = [lab.begun("work").await, lab.begun("work").await, lab.begun("work").await];
    let mut ends = Vec::new();
    for id in &ids {
        lab.release.notify_waiters();
        let looking = async {
            loop {
                let got = lab.get(id).await;
                if got["status"] != "working" {
                    return got;
                }
                tokio::task::yield_now().await;
            }
        };
        ends.push(tokio::time::timeout(PATIENCE, looking).await.unwrap());
    }
    assert!(ends.iter().any(|end| end["status"] == "completed"), "{ends:?}");
    let failed = ends.iter().find(|end| end["status"] == "failed").unwrap_or_else(|| panic!("{ends:?}"));
    assert!(failed["error"]["message"].as_str().unwrap().contains("max_results"), "{failed}");
}

#[tokio::test]
async fn where_there_are_none_the_server_says_so() {
    let state = |copies| StateConfig { copies, ..StateConfig::default() };
    for (tasks, copies, on) in [
        (TasksConfig::default(), 1, true),
        (TasksConfig { enabled: false, ..TasksConfig::default() }, 1, false),
        (TasksConfig::default(), 2, false),
        (TasksConfig { advertise: Some("http://127.0.0.1:1".to_owned()), ..TasksConfig::default() }, 2, true),
    ] {
        for lean in [true, false] {
            let lab = Lab::with(FrontOptions { tasks: tasks.clone(), state: state(copies), lean, ..FrontOptions::default() });
            let discovered = lab.modern("server/discover", Value::Null).await.result();
            assert_eq!(discovered["capabilities"]["extensions"].get("io.modelcontextprotocol/tasks").is_some(), on, "{discovered}");
            let code = lab.modern("tasks/get", declared(json!({"taskId": "x"}))).await.code();
            assert_eq!(code, if on { -32602 } else { -32601 });
        }
    }
}

#[tokio::test]
async fn who_is_to_be_told_of_tasks_has_to_know_them() {
    let lab = lab(TasksConfig::default(), true);
    let params = json!({"notifications": {"taskIds": ["x"]}});
    let refused = lab.lab.modern("subscriptions/listen", params).await;
    assert_eq!((refused.code(), refused.status.as_u16()), (-32021, 400), "{refused:?}");
}
