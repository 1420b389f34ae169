//! The import `client`: asking the caller, by the [`Asker`](crate::provider::Asker) of the call in hand.

use std::collections::HashSet;

use serde_json::{Map, Value, json};
use url::Url;

use super::bindings::toolbay::plugin::{
    client::{Action, Answer, AskError, Completion, Form, Host, Link, Prompt, Question as Asked, Reply, Request, Root},
    types::{Error, Role},
};
use crate::{
    provider::{self, CallError, Content, JsonText, Question, QuestionKind},
    wasm::{
        content::{block, object, put},
        instance::{Ended, State},
    },
};

/// Questions of one round: more than a person answers at once.
const QUESTIONS: usize = 32;

/// Bytes of the questions of one round: pictures for a model fit in, and not much else.
const BYTES: usize = 1 << 20;

/// Rounds of one call. Waiting is not counted against the call's time, so something else has to end a plugin that asks for ever.
const ROUNDS: u32 = 64;

/// Bytes of a question's name.
const KEY: usize = 64;

impl Host for State {
    async fn ask(&mut self, requests: Vec<Request>) -> wasmtime::Result<Result<Vec<Answer>, AskError>> {
        if self.listing {
            return unsupported("lists are the same for every caller, so no caller can be asked for input while one is made");
        }
        let Some(asker) = self.call.asker.clone() else {
            return unsupported("the caller of this call cannot be asked for input");
        };
        if requests.is_empty() {
            return Ok(Ok(Vec::new()));
        }
        let questions = match questions(requests, &self.shared.id) {
            Ok(questions) => questions,
            Err(why) => return Ok(Err(AskError::Invalid(why))),
        };
        self.rounds += 1;
        if self.rounds > ROUNDS {
            return Ok(Err(AskError::Invalid(format!("one call may ask {ROUNDS} times"))));
        }
        let kinds: Vec<QuestionKind> = questions.iter().map(|question| question.kind).collect();
        let waiting = self.deadline.pause();
        let answers = asker.ask(questions).await;
        drop(waiting);
        let ended = |error: CallError| Err(Ended(error).into());
        match answers {
            Ok(answers) => {
                Ok(read(&kinds, &answers).map_err(|why| AskError::Unanswered(format!("the client's answer cannot be read: {why}"))))
            }
            Err(provider::AskError::Suspended) => ended(CallError::InputRequired),
            Err(provider::AskError::MissingCapability(needed)) => ended(CallError::MissingCapability(needed)),
            Err(provider::AskError::Diverged(why)) => {
                let plugin = &self.shared.id;
                tracing::warn!(%plugin, call = self.call.call_id, "the plugin asks something else than before the client answered: {why}");
                ended(CallError::Internal(format!(
                    "plugin {plugin} asked something else when its call was made again with the answers: {why}; what it asks must depend on nothing but the arguments and earlier answers"
                )))
            }
            Err(provider::AskError::Refused { code, message }) => Ok(Err(AskError::Refused(Error { code, message, data: None }))),
            Err(provider::AskError::Unanswered(why)) => Ok(Err(AskError::Unanswered(why))),
        }
    }
}

fn unsupported<T>(why: &str) -> wasmtime::Result<Result<T, AskError>> {
    Ok(Err(AskError::Unsupported(why.to_owned())))
}

/// The questions as MCP has them.
///
/// # Errors
///
/// What is wrong with them, for the plugin's author.
fn questions(requests: Vec<Request>, plugin: &provider::ProviderId) -> Result<Vec<Question>, String> {
    if requests.len() > QUESTIONS {
        return Err(format!("these are {} questions; {QUESTIONS} may be asked at once", requests.len()));
    }
    let mut keys = HashSet::new();
    let mut bytes = 0;
    let mut questions = Vec::with_capacity(requests.len());
    for Request { key, question } in requests {
        if let Some(key) = &key {
            if key.is_empty() || key.len() > KEY || key.chars().any(char::is_control) {
                let key: String = key.chars().take(KEY).collect();
                return Err(format!("{key:?} is not a key: it has 1 to {KEY} bytes and no control characters"));
            }
            if !keys.insert(key.clone()) {
                return Err(format!("there are two questions of the key {key:?}"));
            }
        }
        let (kind, params) = match question {
            Asked::Form(form) => (QuestionKind::Elicitation, elicit(form)),
            Asked::Link(link) => (QuestionKind::Elicitation, visit(link)),
            Asked::Prompt(prompt) => (QuestionKind::Sampling, sample(prompt, plugin)),
            Asked::Roots => (QuestionKind::Roots, Ok(json!({}))),
        };
        let params = params.and_then(|params| JsonText::from_value(&params).map_err(|error| error.to_string()));
        let params = params.map_err(|why| format!("question {}: {why}", questions.len() + 1))?;
        bytes += params.as_str().len();
        questions.push(Question { key, kind, params });
    }
    if bytes > BYTES {
        return Err(format!("the questions are {bytes} bytes; {} KiB may be asked at once", BYTES >> 10));
    }
    Ok(questions)
}

/// What the plugin adds, for the named members to go over.
fn extra(text: Option<String>) -> Result<Value, String> {
    let extra = text.as_deref().map(object).transpose().map_err(|why| format!("its extra {why}"))?;
    Ok(Value::Object(extra.unwrap_or_default()))
}

/// MCP's `ElicitRequestFormParams`, without `mode`: clients before 2025-11-25 do not know it, and to all others a form is what is meant.
fn elicit(form: Form) -> Result<Value, String> {
    let mut schema = object(&form.schema).map_err(|why| format!("its schema {why}"))?;
    schema.entry("type").or_insert_with(|| "object".into());
    schema.entry("properties").or_insert_with(|| json!({}));
    let mut params = extra(form.extra)?;
    put(&mut params, "message", Some(form.message));
    put(&mut params, "requestedSchema", Some(schema));
    Ok(params)
}

/// MCP's `ElicitRequestURLParams`.
fn visit(link: Link) -> Result<Value, String> {
    let url = Url::parse(&link.url).map_err(|error| format!("its url is none: {error}"))?;
    // What else a client would open (`javascript:`, `file:`) is nothing for a server to send.
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("its url is one of {}:, where only https: and http: can be visited", url.scheme()));
    }
    // The same when the call is made again.
    let id = link.id.unwrap_or_else(|| blake3::hash(link.url.as_bytes()).to_hex().chars().take(32).collect());
    let mut params = extra(link.extra)?;
    put(&mut params, "mode", Some("url"));
    put(&mut params, "message", Some(link.message));
    put(&mut params, "url", Some(link.url));
    put(&mut params, "elicitationId", Some(id));
    Ok(params)
}

/// MCP's `CreateMessageRequestParams`.
fn sample(prompt: Prompt, plugin: &provider::ProviderId) -> Result<Value, String> {
    let mut messages = Vec::with_capacity(prompt.messages.len());
    for message in prompt.messages {
        let mut blocks = Vec::with_capacity(message.content.len());
        for content in message.content {
            blocks.push(match block(content, plugin.as_str()) {
                Some(Content::Text(text)) => json!({ "type": "text", "text": text }),
                Some(Content::Block(block)) => serde_json::from_str(block.as_str()).map_err(|error| error.to_string())?,
                None => return Err("a block of its content is not a JSON object with a \"type\"".to_owned()),
            });
        }
        // One block stands alone: clients before 2025-11-25 know nothing else.
        let content = match blocks.len() {
            0 => return Err("a message has no content".to_owned()),
            1 => blocks.remove(0),
            _ => Value::Array(blocks),
        };
        let role = match message.role {
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        messages.push(json!({ "role": role, "content": content }));
    }
    if messages.is_empty() {
        return Err("it has no messages".to_owned());
    }
    let mut params = extra(prompt.extra)?;
    put(&mut params, "messages", Some(messages));
    put(&mut params, "maxTokens", Some(prompt.max_tokens));
    put(&mut params, "systemPrompt", prompt.system);
    Ok(params)
}

/// The answers in the plugin's types.
///
/// # Errors
///
/// What is wrong with them.
fn read(kinds: &[QuestionKind], answers: &[JsonText]) -> Result<Vec<Answer>, String> {
    if kinds.len() != answers.len() {
        return Err(format!("there are {} answers to {} questions", answers.len(), kinds.len()));
    }
    let answer = |(kind, answer): (&QuestionKind, &JsonText)| {
        let members = object(answer.as_str()).map_err(|why| format!("it {why}"))?;
        match kind {
            QuestionKind::Elicitation => reply(&members).map(Answer::Reply),
            QuestionKind::Sampling => Ok(Answer::Completion(completion(&members, answer.as_str()))),
            QuestionKind::Roots => roots(&members).map(Answer::Roots),
        }
    };
    kinds.iter().zip(answers).map(answer).collect()
}

/// A member that is an object, as JSON text.
fn member(members: &Map<String, Value>, name: &str) -> Option<String> {
    members.get(name).filter(|member| member.is_object()).map(Value::to_string)
}

fn text(members: &Map<String, Value>, name: &str) -> Option<String> {
    members.get(name).and_then(Value::as_str).map(str::to_owned)
}

/// MCP's `ElicitResult`.
fn reply(members: &Map<String, Value>) -> Result<Reply, String> {
    let action = match members.get("action").and_then(Value::as_str) {
        Some("accept") => Action::Accept,
        Some("decline") => Action::Decline,
        Some("cancel") => Action::Cancel,
        _ => return Err("its action is not one of accept, decline and cancel".to_owned()),
    };
    Ok(Reply { action, content: member(members, "content"), meta: member(members, "_meta") })
}

/// MCP's `CreateMessageResult`.
fn completion(members: &Map<String, Value>, raw: &str) -> Completion {
    let blocks = match members.get("content") {
        Some(Value::Array(blocks)) => blocks.as_slice(),
        Some(block) => std::slice::from_ref(block),
        None => &[],
    };
    let text_of = |block: &Value| block.get("text").and_then(Value::as_str).map(str::to_owned);
    Completion {
        text: blocks.iter().filter_map(text_of).collect::<Vec<_>>().join("\n"),
        model: text(members, "model").unwrap_or_default(),
        stop_reason: text(members, "stopReason"),
        raw: raw.to_owned(),
    }
}

/// MCP's `ListRootsResult`.
fn roots(members: &Map<String, Value>) -> Result<Vec<Root>, String> {
    let listed = members.get("roots").and_then(Value::as_array).ok_or("it has no roots")?;
    let root = |root: &Value| {
        let root = root.as_object()?;
        Some(Root { uri: text(root, "uri")?, name: text(root, "name"), meta: member(root, "_meta") })
    };
    listed.iter().map(root).collect::<Option<_>>().ok_or_else(|| "a root of it has no uri".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasm::imports::bindings::toolbay::plugin::{
        client::Message,
        types::{Content as Block, TextContent},
    };

    fn asked(key: &str, question: Asked) -> Request {
        Request { key: Some(key.to_owned()), question }
    }

    fn form(schema: &str) -> Asked {
        Asked::Form(Form { message: "Who?".to_owned(), schema: schema.to_owned(), extra: None })
    }

    fn link(url: &str) -> Asked {
        Asked::Link(Link { message: "Go".to_owned(), url: url.to_owned(), id: None, extra: None })
    }

    fn say(text: &str) -> Block {
        Block::Text(TextContent { text: text.to_owned(), annotations: None, meta: None })
    }

    fn prompt(content: Vec<Block>, extra: Option<&str>) -> Asked {
        let messages = vec![Message { role: Role::User, content }];
        Asked::Prompt(Prompt { messages, max_tokens: 9, system: Some("Be brief.".to_owned()), extra: extra.map(str::to_owned) })
    }

    fn made(requests: Vec<Request>) -> Result<Vec<Question>, String> {
        questions(requests, &provider::ProviderId::new("p").unwrap())
    }

    fn params(question: Asked) -> Value {
        let made = made(vec![asked("k", question)]).unwrap();
        serde_json::from_str(made[0].params.as_str()).unwrap()
    }

    #[test]
    fn questions_are_those_of_mcp() {
        let schema = json!({ "type": "object", "properties": { "n": { "type": "string", "x": 1 } }, "required": ["n"] });
        assert_eq!(params(form(&schema.to_string())), json!({ "message": "Who?", "requestedSchema": schema }));
        let visit = params(link("https://a.example/b?c=1"));
        assert_eq!((&visit["mode"], &visit["message"], &visit["url"]), (&json!("url"), &json!("Go"), &json!("https://a.example/b?c=1")));
        assert_eq!(visit["elicitationId"].as_str().unwrap().len(), 32);
        assert_eq!(visit, params(link("https://a.example/b?c=1")), "the same again is the same");
        assert_ne!(visit["elicitationId"], params(link("https://a.example/b?c=2"))["elicitationId"]);
        assert_eq!(
            params(prompt(vec![say("hi")], Some(r#"{"temperature":0.5,"maxTokens":1}"#))),
            json!({ "messages": [{ "role": "user", "content": { "type": "text", "text": "hi" } }], "maxTokens": 9,
                "systemPrompt": "Be brief.", "temperature": 0.5 }),
            "what is added does not go over what is named"
        );
        let two = params(prompt(vec![say("a"), Block::Other(r#"{"type":"tool_result","toolUseId":"1"}"#.to_owned())], None));
        assert_eq!(two["messages"][0]["content"], json!([{ "type": "text", "text": "a" }, { "type": "tool_result", "toolUseId": "1" }]));
        let mixed = made(vec![asked("a", form("{}")), asked("b", link("http://x.example")), Request { key: None, question: Asked::Roots }])
            .unwrap();
        let kinds: Vec<_> = mixed.iter().map(|question| (question.key.as_deref(), question.kind.method())).collect();
        assert_eq!(kinds, [(Some("a"), "elicitation/create"), (Some("b"), "elicitation/create"), (None, "roots/list")]);
    }

    #[test]
    fn what_cannot_be_asked_says_why() {
        let many: Vec<_> = (0..=QUESTIONS).map(|n| asked(&n.to_string(), Asked::Roots)).collect();
        for (requests, words) in [
            (vec![asked("", Asked::Roots)], "\"\" is not a key"),
            (vec![asked("a\n", Asked::Roots)], "is not a key"),
            (vec![asked(&"k".repeat(65), Asked::Roots)], "is not a key"),
            (vec![asked("a", Asked::Roots), asked("a", Asked::Roots)], "two questions of the key \"a\""),
            (vec![asked("a", form("[]"))], "question 1: its schema is not a JSON object"),
            (vec![asked("a", link("nowhere"))], "its url is none"),
            (vec![asked("a", link("javascript:alert(1)"))], "one of javascript:"),
            (vec![asked("a", prompt(Vec::new(), None))], "no content"),
            (vec![asked("a", prompt(vec![Block::Other("1".to_owned())], None))], "not a JSON object"),
            (vec![asked("a", prompt(vec![say("x")], Some("1")))], "its extra is not a JSON object"),
            (vec![asked("a", prompt(vec![say(&"x".repeat(BYTES))], None))], "may be asked at once"),
            (many, "32 may be asked at once"),
        ] {
            let why = made(requests).unwrap_err();
            assert!(why.contains(words), "{words}: {why}");
        }
    }

    #[test]
    fn answers_are_read_and_nothing_of_them_is_lost() {
        let answer = |kind, value: Value| read(&[kind], &[JsonText::from_value(&value).unwrap()]).map(|mut all| all.remove(0));
        match answer(QuestionKind::Elicitation, json!({ "action": "accept", "content": { "n": 1 }, "_meta": { "m": 2 } })).unwrap() {
            Answer::Reply(Reply { action: Action::Accept, content: Some(content), meta: Some(meta) }) => {
                assert_eq!((content.as_str(), meta.as_str()), (r#"{"n":1}"#, r#"{"m":2}"#));
            }
            other => panic!("{other:?}"),
        }
        match answer(QuestionKind::Elicitation, json!({ "action": "decline", "content": null })).unwrap() {
            Answer::Reply(Reply { action: Action::Decline, content: None, meta: None }) => {}
            other => panic!("{other:?}"),
        }
        for content in [json!({ "type": "text", "text": "a" }), json!([{ "type": "image" }, { "type": "text", "text": "a" }])] {
            let given = json!({ "role": "assistant", "content": content, "model": "m", "stopReason": "endTurn", "x": 1 });
            match answer(QuestionKind::Sampling, given.clone()).unwrap() {
                Answer::Completion(Completion { text, model, stop_reason, raw }) => {
                    assert_eq!((text.as_str(), model.as_str(), stop_reason.as_deref()), ("a", "m", Some("endTurn")));
                    assert_eq!(serde_json::from_str::<Value>(&raw).unwrap(), given);
                }
                other => panic!("{other:?}"),
            }
        }
        match answer(QuestionKind::Roots, json!({ "roots": [{ "uri": "file:///a", "name": "A", "_meta": {} }] })).unwrap() {
            Answer::Roots(roots) => assert_eq!((roots[0].uri.as_str(), roots[0].name.as_deref()), ("file:///a", Some("A"))),
            other => panic!("{other:?}"),
        }
        for (kind, value, words) in [
            (QuestionKind::Elicitation, json!({ "action": "maybe" }), "action"),
            (QuestionKind::Roots, json!({}), "no roots"),
            (QuestionKind::Roots, json!({ "roots": [{}] }), "no uri"),
            (QuestionKind::Sampling, json!([]), "not a JSON object"),
        ] {
            let why = answer(kind, value).unwrap_err();
            assert!(why.contains(words), "{words}: {why}");
        }
        assert!(read(&[QuestionKind::Roots], &[]).unwrap_err().contains("0 answers to 1"));
    }
}
