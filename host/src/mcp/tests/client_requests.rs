//! Asking the client in the middle of a call, in both eras.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use futures::{FutureExt, future::BoxFuture};
use http::Request;
use serde_json::{Map, Value, json};

use super::support::*;
use crate::{
    config::{Secret, StateConfig},
    mcp::FrontOptions,
    provider::{
        AskError, Call, CallContext, CallError, CallOutput, Content, JsonText, Offers, Principal, PromptOutput, Provider, ProviderChange,
        ProviderId, Question, QuestionKind, Tool,
    },
};

/// A provider whose every tool asks.
struct Curious {
    id: ProviderId,
    tools: Vec<Arc<Tool>>,
    offers: Offers,
}

fn text(value: &Value) -> JsonText {
    JsonText::from_value(value).unwrap()
}

fn name(key: &str) -> Question {
    Question {
        key: Some(key.into()),
        kind: QuestionKind::Elicitation,
        params: text(&json!({"message": format!("Your {key}?"), "vendor/x": 1.5, "requestedSchema": {"type": "object", "properties": {}}})),
    }
}

fn mixed() -> Vec<Question> {
    vec![
        name("name"),
        Question { key: Some("line".into()), kind: QuestionKind::Sampling, params: text(&json!({"messages": [], "maxTokens": 5})) },
        Question { key: Some("places".into()), kind: QuestionKind::Roots, params: text(&json!({})) },
    ]
}

/// What a provider does with a question that has no answer.
fn failed(error: AskError) -> CallError {
    match error {
        AskError::Suspended => CallError::InputRequired,
        AskError::MissingCapability(needed) => CallError::MissingCapability(needed),
        other => CallError::Internal(other.to_string()),
    }
}

fn output(answers: &[JsonText]) -> CallOutput {
    CallOutput { content: answers.iter().map(|answer| Content::text(answer.as_str())).collect(), ..CallOutput::default() }
}

impl Curious {
    async fn asked(context: &CallContext, questions: Vec<Question>) -> Result<Vec<JsonText>, CallError> {
        context.asker.as_ref().expect("a way to ask").ask(questions).await.map_err(failed)
    }
}

impl Provider for Curious {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    fn tools(&self) -> &[Arc<Tool>] {
        &self.tools
    }

    fn offers(&self) -> &Offers {
        &self.offers
    }

    fn read_resource<'a>(&'a self, uri: &'a str, context: Box<CallContext>) -> BoxFuture<'a, Result<Vec<JsonText>, CallError>> {
        async move {
            let answers = Self::asked(&context, vec![name("page")]).await?;
            Ok(vec![text(&json!({"uri": uri, "text": answers[0].as_str()}))])
        }
        .boxed()
    }

    fn get_prompt<'a>(
        &'a self,
        _: &'a str,
        _: Vec<(String, String)>,
        context: Box<CallContext>,
    ) -> BoxFuture<'a, Result<PromptOutput, CallError>> {
        async move {
            let answers = Self::asked(&context, vec![name("context")]).await?;
            let messages = text(&json!([{"role": "user", "content": {"type": "text", "text": answers[0].as_str()}}]));
            Ok(PromptOutput { description: None, messages, meta: None })
        }
        .boxed()
    }

    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<CallOutput, CallError>> {
        async move {
            let context = &call.context;
            let ask = async |questions| Self::asked(context, questions).await;
            match call.tool {
                "one" => Ok(output(&ask(vec![name("name")]).await?)),
                "mixed" => Ok(output(&ask(mixed()).await?)),
                "rounds" => {
                    let mut all = ask(vec![name("first")]).await?;
                    all.extend(ask(vec![name("second")]).await?);
                    all.extend(ask(vec![name("third"), name("third"), name("")]).await?);
                    Ok(output(&all))
                }
                "fickle" => {
                    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
                    Ok(output(&ask(vec![name(&now.to_string())]).await?))
                }
                "quiet" => Ok(CallOutput { content: vec![Content::text("said nothing")], ..CallOutput::default() }),
                "told" => Ok(output(&[JsonText::parse(context.asker.as_ref().unwrap().capabilities().to_owned()).unwrap()])),
                "careful" => match context.asker.as_ref().unwrap().ask(vec![name("name")]).await {
                    Ok(answers) => Ok(output(&answers)),
                    Err(AskError::Suspended) => Err(CallError::InputRequired),
                    Err(error) => Ok(CallOutput::error(error.to_string())),
                },
                "mute" => Err(CallError::InputRequired),
                other => Err(CallError::UnknownTool(other.to_owned())),
            }
        }
        .boxed()
    }
}

fn lab(options: FrontOptions) -> Lab {
    let lab = Lab::with(options);
    let names = ["one", "mixed", "rounds", "fickle", "quiet", "told", "careful", "mute"];
    let tools = names.map(|name| Arc::new(Tool { notifies: true, ..tool(name) })).into();
    let offers = Offers {
        resources: offers("uri", &[json!({"uri": "curious://page", "name": "page"})]),
        prompts: offers("name", &[json!({"name": "ask", "arguments": [{"name": "a"}, {"name": "b"}]})]),
        ..Offers::default()
    };
    let curious = Curious { id: ProviderId::new("curious").unwrap(), tools, offers };
    lab.catalog.apply(vec![ProviderChange::Put(Arc::new(curious))]);
    lab
}

fn keys(keys: &[&str]) -> StateConfig {
    StateConfig { keys: keys.iter().map(|key| Secret(key.repeat(32))).collect(), ..StateConfig::default() }
}

fn with_keys(names: &[&str]) -> Lab {
    lab(FrontOptions { state: keys(names), ..FrontOptions::default() })
}

/// Both ways of a request.
fn both() -> [Lab; 2] {
    [true, false].map(|lean| lab(FrontOptions { lean, ..FrontOptions::default() }))
}

fn able(mut params: Value) -> Value {
    params["_meta"] = json!({"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}, "sampling": {}, "roots": {}}});
    params
}

fn accept(content: Value) -> Value {
    json!({"action": "accept", "content": content})
}

/// Makes the call again with these answers.
fn again(params: &Value, asked: &Value, responses: Value) -> Value {
    let mut params = params.clone();
    params["requestState"] = asked["requestState"].clone();
    params["inputResponses"] = responses;
    params
}

async fn first(lab: &Lab, method: &str, params: &Value) -> Value {
    let seen = lab.modern(method, params.clone()).await;
    assert_eq!((seen.status.as_u16(), &seen.result()["resultType"]), (200, &json!("input_required")), "{seen:?}");
    seen.result()
}

#[tokio::test]
async fn a_stateless_client_is_given_the_questions_and_comes_back_with_the_answers() {
    for lab in both() {
        let params = able(json!({"name": "one", "arguments": {"a": 1, "b": [2.50, "x"]}}));
        let asked = first(&lab, "tools/call", &params).await;
        let question = &asked["inputRequests"]["name"];
        assert_eq!((&question["method"], &question["params"]["message"]), (&json!("elicitation/create"), &json!("Your name?")));
        let mut params = again(&params, &asked, json!({"name": accept(json!({"n": 1.50})), "other": {"x": 1}}));
        // The same arguments, written in another order.
        params["arguments"] = json!({"b": [2.50, "x"], "a": 1});
        let done = lab.modern("tools/call", params).await.result();
        assert_eq!(done["resultType"], "complete");
        assert_eq!(serde_json::from_str::<Value>(done["content"][0]["text"].as_str().unwrap()).unwrap(), accept(json!({"n": 1.5})));
    }
}

#[tokio::test]
async fn nothing_of_a_question_or_an_answer_is_lost() {
    let lab = lab(FrontOptions::default());
    let params = able(json!({"name": "one"}));
    let asked = first(&lab, "tools/call", &params).await;
    assert_eq!(asked["inputRequests"]["name"]["params"]["vendor/x"], 1.5);
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": again(&params, &asked, json!("ANSWERS"))});
    let mut body = body;
    body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
    let answer = r#"{"action": "accept", "vendor":1.50, "content": {"big": 12345678901234567890123}}"#;
    let body = body.to_string().replace("\"ANSWERS\"", &format!("{{\"name\": {answer}}}"));
    let headers = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "one")];
    assert_eq!(lab.send(request(&headers, &body)).await.result()["content"][0]["text"], answer);
}

#[tokio::test]
async fn prompts_and_resources_ask_too() {
    for lab in both() {
        for (method, params, key) in [
            ("prompts/get", able(json!({"name": "ask", "arguments": {"b": "2", "a": "1"}})), "context"),
            ("resources/read", able(json!({"uri": "curious://page"})), "page"),
        ] {
            let asked = first(&lab, method, &params).await;
            assert!(asked["inputRequests"][key].is_object(), "{asked}");
            let done = lab.modern(method, again(&params, &asked, json!({key: accept(json!({"v": "seen"}))}))).await;
            assert!(done.result().to_string().contains("seen"), "{done:?}");
        }
    }
}

#[tokio::test]
async fn several_questions_are_one_round_and_missing_answers_are_asked_for_again() {
    for lab in both() {
        let params = able(json!({"name": "mixed"}));
        let asked = first(&lab, "tools/call", &params).await;
        assert_eq!(asked["inputRequests"].as_object().unwrap().len(), 3);
        let partly = json!({"name": accept(json!({})), "wrong_key": {}});
        let asked = lab.modern("tools/call", again(&params, &asked, partly)).await.result();
        let mut left: Vec<_> = asked["inputRequests"].as_object().unwrap().keys().cloned().collect();
        left.sort();
        assert_eq!(left, ["line", "places"], "what was answered is not asked again");
        let rest = json!({"line": {"role": "assistant", "content": {"type": "text", "text": "t"}, "model": "m"}, "places": {"roots": []}});
        let done = lab.modern("tools/call", again(&params, &asked, rest)).await.result();
        let texts: Vec<_> = done["content"].as_array().unwrap().iter().map(|block| block["text"].as_str().unwrap().to_owned()).collect();
        assert!(texts[0].contains("accept") && texts[1].contains("assistant") && texts[2].contains("roots"), "{texts:?}");
    }
}

#[tokio::test]
async fn a_call_may_ask_in_rounds() {
    for lab in both() {
        let params = able(json!({"name": "rounds"}));
        let mut asked = first(&lab, "tools/call", &params).await;
        let mut states = vec![asked["requestState"].clone()];
        for (key, n) in [("first", 1), ("second", 2)] {
            asked = lab.modern("tools/call", again(&params, &asked, json!({key: accept(json!({"n": n}))}))).await.result();
            assert_eq!(asked["resultType"], "input_required");
            assert!(!states.contains(&asked["requestState"]));
            states.push(asked["requestState"].clone());
        }
        // A key that is there twice, or is none, is made one of its own.
        let mut keys: Vec<_> = asked["inputRequests"].as_object().unwrap().keys().cloned().collect();
        keys.sort();
        assert_eq!(keys, ["q1", "q2", "third"]);
        let answers = json!({"q1": accept(json!({"n": 4})), "q2": accept(json!({"n": 5})), "third": accept(json!({"n": 3}))});
        let done = lab.modern("tools/call", again(&params, &asked, answers)).await.result();
        let numbers: Vec<_> = done["content"]
            .as_array()
            .unwrap()
            .iter()
            .map(|block| serde_json::from_str::<Value>(block["text"].as_str().unwrap()).unwrap()["content"]["n"].as_i64().unwrap())
            .collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5]);
    }
}

#[tokio::test]
async fn answers_fit_their_questions_and_others_are_passed_over() {
    for lab in both() {
        // A client that knows the questions may answer them with the first call.
        let mut params = able(json!({"name": "one"}));
        params["inputResponses"] = json!({"name": accept(json!({})), "more": {"x": 1}});
        assert_eq!(lab.modern("tools/call", params.clone()).await.result()["resultType"], "complete");
        params["inputResponses"] = json!({"wrong": accept(json!({}))});
        assert_eq!(lab.modern("tools/call", params.clone()).await.result()["resultType"], "input_required");
        params["inputResponses"] = json!({"name": 12345});
        assert!(complaint(&lab.modern("tools/call", params).await).contains("inputResponses"));
        let mut quiet = able(json!({"name": "quiet"}));
        quiet["inputResponses"] = json!({"x": {}});
        assert_eq!(lab.modern("tools/call", quiet).await.result()["content"][0]["text"], "said nothing");
        let params = able(json!({"name": "one"}));
        let asked = lab.modern("tools/call", params.clone()).await.result();
        for wrong in [json!({"name": 12345}), json!({"name": {"action": "maybe"}})] {
            let seen = lab.modern("tools/call", again(&params, &asked, wrong)).await;
            assert!(complaint(&seen).contains("\"name\""), "{seen:?}");
        }
        let answered = again(&params, &asked, json!({"name": accept(json!({})), "more": {"x": 1}}));
        assert_eq!(lab.modern("tools/call", answered).await.result()["resultType"], "complete");
    }
}

fn complaint(seen: &Seen) -> String {
    assert_eq!(seen.code(), -32602, "{seen:?}");
    seen.message()["error"]["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_state_is_refused_wherever_it_does_not_belong() {
    for lab in both() {
        let params = able(json!({"name": "one", "arguments": {"a": 1}}));
        let asked = first(&lab, "tools/call", &params).await;
        let answers = json!({"name": accept(json!({}))});
        let good = again(&params, &asked, answers.clone());
        let state = asked["requestState"].as_str().unwrap().to_owned();

        let mut tampered = vec![format!("{state}-TAMPERED"), String::new(), "x".into(), state.replace("rs2.", "rs1.")];
        for index in (0..state.len()).step_by(7) {
            let mut bytes = state.clone().into_bytes();
            bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
            tampered.push(String::from_utf8(bytes).unwrap());
        }
        for tampered in tampered {
            let mut params = good.clone();
            params["requestState"] = json!(tampered);
            let seen = lab.modern("tools/call", params).await;
            assert!(complaint(&seen).contains("requestState"), "{seen:?}");
        }

        let mut other = good.clone();
        other["name"] = json!("careful");
        assert!(complaint(&lab.modern("tools/call", other).await).contains("something else"));
        let mut other = good.clone();
        other["arguments"] = json!({"a": 2});
        assert!(complaint(&lab.modern("tools/call", other).await).contains("other arguments"));
        let prompt = again(&able(json!({"name": "ask"})), &asked, answers);
        assert!(complaint(&lab.modern("prompts/get", prompt).await).contains("something else"));
        let mut theirs = modern("tools/call", good.clone());
        theirs.extensions_mut().insert(Principal::new("mallory"));
        assert!(complaint(&lab.send(theirs).await).contains("another caller"));

        // The qualified name is the same tool.
        let mut qualified = good.clone();
        qualified["name"] = json!("curious__one");
        assert_eq!(lab.modern("tools/call", qualified).await.result()["resultType"], "complete");
        assert_eq!(lab.modern("tools/call", good).await.result()["resultType"], "complete");
    }
}

#[tokio::test]
async fn copies_with_the_same_key_go_on_where_another_one_stopped() {
    let (old, both, new, none) = (with_keys(&["a"]), with_keys(&["b", "a"]), with_keys(&["b"]), with_keys(&[]));
    let params = able(json!({"name": "one"}));
    let answers = json!({"name": accept(json!({}))});
    for (from, to, works) in [(&old, &both, true), (&both, &new, true), (&both, &old, false), (&old, &new, false), (&none, &old, false)] {
        let asked = first(from, "tools/call", &params).await;
        let seen = to.modern("tools/call", again(&params, &asked, answers.clone())).await;
        if works {
            assert_eq!(seen.result()["resultType"], "complete", "{seen:?}");
        } else {
            assert!(complaint(&seen).contains("a key that this server does not have"), "{seen:?}");
        }
    }
}

#[tokio::test]
async fn a_state_expires() {
    let lab = lab(FrontOptions { state: StateConfig { ttl: Duration::ZERO, ..StateConfig::default() }, ..FrontOptions::default() });
    let params = able(json!({"name": "one"}));
    let asked = first(&lab, "tools/call", &params).await;
    let params = again(&params, &asked, json!({"name": accept(json!({}))}));
    let seen = tokio::time::timeout(PATIENCE, async {
        loop {
            // It is good for the millisecond in which it was made.
            let seen = lab.modern("tools/call", params.clone()).await;
            if seen.message()["error"].is_object() {
                return seen;
            }
        }
    });
    assert!(complaint(&seen.await.unwrap()).contains("expired"));
}

#[tokio::test]
async fn answers_that_are_too_long_to_be_carried_are_refused() {
    let lab = lab(FrontOptions::default());
    let params = able(json!({"name": "rounds"}));
    let asked = first(&lab, "tools/call", &params).await;
    let long = json!({"first": accept(json!({"n": "x".repeat(256 << 10)}))});
    let seen = lab.modern("tools/call", again(&params, &asked, long)).await;
    assert!(complaint(&seen).contains("262144"), "{seen:?}");
}

#[tokio::test]
async fn a_call_that_asks_something_else_the_second_time_ends_with_the_plugins_name() {
    for lab in both() {
        let params = able(json!({"name": "fickle"}));
        let asked = first(&lab, "tools/call", &params).await;
        let seen = lab.modern("tools/call", again(&params, &asked, json!({"x": {}}))).await;
        assert_eq!(seen.code(), -32603);
        assert!(seen.message()["error"]["message"].as_str().unwrap().contains("curious"), "{seen:?}");
        assert_eq!(lab.modern("tools/call", able(json!({"name": "mute"}))).await.code(), -32603);
    }
}

#[tokio::test]
async fn what_a_client_did_not_declare_is_not_asked() {
    for lab in both() {
        let seen = lab.modern("tools/call", json!({"name": "mixed"})).await;
        assert_eq!((seen.status.as_u16(), seen.code()), (400, -32021), "{seen:?}");
        let required = json!({"elicitation": {"form": {}}, "sampling": {}, "roots": {}});
        assert_eq!(seen.message()["error"]["data"], json!({"requiredCapabilities": required}));
        let told = lab.modern("tools/call", able(json!({"name": "told"}))).await.result()["content"][0]["text"].clone();
        assert_eq!(serde_json::from_str::<Value>(told.as_str().unwrap()).unwrap(), json!({"elicitation": {}, "sampling": {}, "roots": {}}));

        let session = lab.session().await;
        let seen = lab.send(legacy(Some(&session), "tools/call", json!({"name": "mixed"}))).await;
        assert_eq!((seen.status.as_u16(), seen.code()), (200, -32021), "{seen:?}");
        let seen = lab.legacy("tools/call", json!({"name": "careful"})).await;
        assert!(seen.result()["content"][0]["text"].as_str().unwrap().contains("needs a session"), "{seen:?}");
    }
}

async fn able_session(lab: &Lab) -> String {
    let mut hello = initialize();
    hello["capabilities"] = json!({"elicitation": {}, "sampling": {}, "roots": {"listChanged": true}});
    let id = lab.legacy("initialize", hello).await.headers["mcp-session-id"].to_str().unwrap().to_owned();
    let body = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    assert_eq!(lab.send(request(&[("mcp-session-id", &id)], &body.to_string())).await.status, 202);
    id
}

fn reply(session: &str, id: &Value, member: &str, value: &Value) -> Request<Body> {
    let mut body = Map::from_iter([("jsonrpc".to_owned(), json!("2.0")), ("id".to_owned(), id.clone())]);
    body.insert(member.to_owned(), value.clone());
    request(&[("mcp-session-id", session), ("mcp-protocol-version", "2025-11-25")], &Value::Object(body).to_string())
}

async fn call(lab: &Lab, session: &str, tool: &str) -> Events {
    let answer = lab.endpoint.handle(None, legacy(Some(session), "tools/call", json!({"name": tool})));
    Events::of(tokio::time::timeout(PATIENCE, answer).await.expect("the stream begins with the question"))
}

#[tokio::test]
async fn a_client_with_a_session_is_asked_on_the_stream_of_its_call() {
    for (lab, lean) in both().into_iter().zip([true, false]) {
        let session = able_session(&lab).await;
        let mut stream = call(&lab, &session, "mixed").await;
        let mut questions = Vec::new();
        for _ in 0..3 {
            questions.push(stream.next().await.unwrap());
        }
        let methods: Vec<_> = questions.iter().map(|question| question["method"].as_str().unwrap()).collect();
        let mut sorted = methods.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, ["elicitation/create", "roots/list", "sampling/createMessage"]);
        for question in questions.iter().rev() {
            let answer = match question["method"].as_str().unwrap() {
                "elicitation/create" => accept(json!({"name": "Ann"})),
                "roots/list" => json!({"roots": [{"uri": "file:///x"}]}),
                _ => json!({"role": "assistant", "content": {"type": "text", "text": "t"}, "model": "m"}),
            };
            assert_eq!(lab.send(reply(&session, &question["id"], "result", &answer)).await.status, 202);
        }
        let done = stream.next().await.unwrap();
        let texts: Vec<_> =
            done["result"]["content"].as_array().unwrap().iter().map(|block| block["text"].as_str().unwrap().to_owned()).collect();
        assert!(texts[0].contains("Ann") && texts[1].contains("assistant") && texts[2].contains("file:///x"), "{texts:?}");
        assert!(stream.next().await.is_none());

        // No question, no stream.
        let quiet = lab.send(legacy(Some(&session), "tools/call", json!({"name": "quiet"}))).await;
        assert!(quiet.result().is_object(), "{quiet:?}");
        assert!(!lean || !quiet.is_stream());
    }
}

#[tokio::test]
async fn an_answer_may_be_an_error_or_no_answer_at_all() {
    for lab in both() {
        let session = able_session(&lab).await;
        let mut stream = call(&lab, &session, "careful").await;
        let id = stream.next().await.unwrap()["id"].clone();
        lab.send(reply(&session, &id, "error", &json!({"code": -1, "message": "User rejected"}))).await;
        let said = stream.next().await.unwrap()["result"]["content"][0]["text"].as_str().unwrap().to_owned();
        assert!(said.contains("User rejected"), "{said}");

        let mut stream = call(&lab, &session, "careful").await;
        let id = stream.next().await.unwrap()["id"].clone();
        lab.send(reply(&session, &id, "result", &json!({"action": "perhaps"}))).await;
        let said = stream.next().await.unwrap()["result"]["content"][0]["text"].as_str().unwrap().to_owned();
        assert!(said.contains("elicitation/create"), "{said}");
    }
}

#[tokio::test]
async fn answers_of_others_and_to_nothing_change_nothing() {
    let lab = lab(FrontOptions::default());
    let (session, other) = (able_session(&lab).await, able_session(&lab).await);
    let mut stream = call(&lab, &session, "one").await;
    let id = stream.next().await.unwrap()["id"].clone();
    for (session, id) in [(&other, &id), (&session, &json!("ask-77")), (&session, &json!(1))] {
        assert_eq!(lab.send(reply(session, id, "result", &accept(json!({"who": "Mallory"})))).await.status, 202);
    }
    lab.send(reply(&session, &id, "result", &accept(json!({"who": "Ann"})))).await;
    lab.send(reply(&session, &id, "result", &accept(json!({"who": "late"})))).await;
    assert!(stream.next().await.unwrap()["result"]["content"][0]["text"].as_str().unwrap().contains("Ann"));
}

#[tokio::test]
async fn a_client_that_takes_too_long_is_not_waited_for() {
    for lean in [true, false] {
        let lab = lab(FrontOptions { ask_timeout: Duration::from_millis(50), lean, ..FrontOptions::default() });
        let session = able_session(&lab).await;
        let mut stream = call(&lab, &session, "careful").await;
        let id = stream.next().await.unwrap()["id"].clone();
        let mut next = stream.next().await.unwrap();
        assert_eq!((&next["method"], &next["params"]["requestId"]), (&json!("notifications/cancelled"), &id));
        next = stream.next().await.unwrap();
        let said = next["result"]["content"][0]["text"].as_str().unwrap().to_owned();
        assert!(said.contains("ask_timeout"), "{said}");
        assert_eq!(lab.front.in_flight(), 0);
    }
}

/// The question is withdrawn, so that a client can close what it shows, and there is no answer.
async fn withdrawn(stream: &mut Events) {
    assert_eq!(stream.next().await.unwrap()["method"], "notifications/cancelled");
    assert!(stream.next().await.is_none());
}

async fn until_idle(lab: &Lab) {
    tokio::time::timeout(PATIENCE, async {
        while lab.front.in_flight() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the call ends");
}

#[tokio::test]
async fn a_question_ends_with_its_session_its_call_and_its_stream() {
    let lab = lab(FrontOptions::default());
    let session = able_session(&lab).await;
    let mut stream = call(&lab, &session, "one").await;
    stream.next().await.unwrap();
    let delete = Request::delete("/mcp").header("host", "localhost").header("mcp-session-id", &session).body(Body::empty()).unwrap();
    assert_eq!(lab.send(delete).await.status, 204);
    withdrawn(&mut stream).await;
    until_idle(&lab).await;

    let session = able_session(&lab).await;
    let mut stream = call(&lab, &session, "one").await;
    stream.next().await.unwrap();
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}});
    lab.send(request(&[("mcp-session-id", &session)], &cancel.to_string())).await;
    withdrawn(&mut stream).await;
    until_idle(&lab).await;

    let mut stream = call(&lab, &session, "one").await;
    stream.next().await.unwrap();
    drop(stream);
    until_idle(&lab).await;
}

#[tokio::test]
async fn what_two_instances_ask_in_one_session_is_told_apart() {
    let options = || FrontOptions { state: keys(&["a"]), ..FrontOptions::default() };
    let (first, second) = (lab(options()), lab(options()));
    let session = able_session(&first).await;
    let (mut one, mut other) = (call(&first, &session, "one").await, call(&second, &session, "one").await);
    let (asked, also_asked) = (one.next().await.unwrap()["id"].clone(), other.next().await.unwrap()["id"].clone());
    assert_ne!(asked, also_asked);
    // The answer to the one comes in where the other was asked.
    second.send(reply(&session, &asked, "result", &accept(json!({"who": "Mallory"})))).await;
    second.send(reply(&session, &also_asked, "result", &accept(json!({"who": "Ann"})))).await;
    assert!(other.next().await.unwrap()["result"]["content"][0]["text"].as_str().unwrap().contains("Ann"));
}

#[tokio::test]
async fn a_session_for_which_there_is_no_room_is_not_asked_what_it_could_not_answer() {
    for lean in [true, false] {
        let lab = lab(FrontOptions { max_sessions: 1, lean, ..FrontOptions::default() });
        let (first, second) = (able_session(&lab).await, able_session(&lab).await);
        let stream = Request::get("/mcp").header("host", "localhost").header("accept", "text/event-stream");
        let stream = lab.endpoint.handle(None, stream.header("mcp-session-id", &first).body(Body::empty()).unwrap()).await;
        assert_eq!(stream.status(), 200, "it has the only place");
        let said = lab.send(legacy(Some(&second), "tools/call", json!({"name": "careful"}))).await;
        assert!(said.result()["content"][0]["text"].as_str().unwrap().contains("max_sessions"), "{said:?}");
        drop(stream);
    }
}
