//! A guard that does what its settings say: `{"before": "deny"}`, `{"after": {"change": …}}`, `{"list": "hide"}`.

use std::sync::atomic::{AtomicU32, Ordering};

use exports::toolbay::plugin::{
    after_call, before_call,
    tool_list::{self, GuardedList, Listing},
};
use serde_json::{Value, json};
use toolbay::plugin::guarding::{GuardedCall, Verdict};

wit_bindgen::generate!({ path: "../../../wit", world: "guard" });

/// Questions that this instance was asked.
static ASKED: AtomicU32 = AtomicU32::new(0);

struct Warden;

impl before_call::Guest for Warden {
    fn before_call(call: GuardedCall, arguments: String) -> Result<Verdict, String> {
        let settings = settings(&call.settings);
        let who = call.caller.subject.clone().unwrap_or_default();
        let of = |arguments: &Value| {
            json!({ "arguments": arguments, "who": who, "roles": call.caller.roles, "guard": call.guard, "tool": call.tool.name,
                "provider": call.tool.provider, "own": call.tool.own_name, "annotations": call.tool.annotations })
        };
        judged(&settings["before"], &arguments, of)
    }
}

impl after_call::Guest for Warden {
    fn after_call(call: GuardedCall, arguments: String, answer: String) -> Result<Verdict, String> {
        let settings = settings(&call.settings);
        let with = |answer: &Value| {
            let text = answer["content"][0]["text"].as_str().unwrap_or_default();
            json!({ "content": [{ "type": "text", "text": format!("{}: {text}", call.guard) }], "structuredContent": answer["structuredContent"],
                "isError": answer["isError"], "_meta": { "with": arguments } })
        };
        judged(&settings["after"], &answer, with)
    }
}

impl tool_list::Guest for Warden {
    fn check_list(tools: GuardedList) -> Result<Vec<Listing>, String> {
        let settings = settings(&tools.settings);
        let said = &settings["list"];
        misbehave(said)?;
        if said == "short" {
            return Ok(Vec::new());
        }
        let one = |tool: &tool_list::ListedTool| {
            if said["hide"] == tool.tool.own_name.as_str() {
                Listing::Hide("it is not wanted".to_owned())
            } else if said["describe"] == tool.tool.own_name.as_str() {
                Listing::Describe(format!("Checked: {}", tool.description.as_deref().unwrap_or_default()))
            } else {
                Listing::Show
            }
        };
        Ok(tools.tools.iter().map(one).collect())
    }
}

fn settings(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// What is asked for: a word, or an object with one member.
fn judged(said: &Value, given: &str, made: impl Fn(&Value) -> Value) -> Result<Verdict, String> {
    misbehave(said)?;
    let asked = ASKED.fetch_add(1, Ordering::Relaxed) + 1;
    let parsed: Value = serde_json::from_str(given).map_err(|error| error.to_string())?;
    Ok(match said {
        Value::String(word) if word == "deny" => Verdict::Deny("not today".to_owned()),
        Value::String(word) if word == "tell" => Verdict::Deny(made(&parsed).to_string()),
        Value::String(word) if word == "remake" => Verdict::Change(made(&parsed).to_string()),
        Value::String(word) if word == "count" => Verdict::Change(counted(parsed, asked).to_string()),
        Value::String(word) if word == "nonsense" => Verdict::Change("[".to_owned()),
        Value::String(word) if word == "list" => Verdict::Change("[1]".to_owned()),
        Value::String(word) if word == "ask" => Verdict::Ask("May this be done?\u{202e}".to_owned()),
        Value::Object(of) if of.contains_key("change") => Verdict::Change(of["change"].to_string()),
        Value::Object(of) if of.contains_key("deny_if") && given.contains(of["deny_if"].as_str().unwrap_or("\0")) => {
            Verdict::Deny("it has a word that is not allowed".to_owned())
        }
        _ => Verdict::Allow,
    })
}

/// With one more part: how many questions the instance was asked.
fn counted(mut given: Value, asked: u32) -> Value {
    match given.get_mut("content").and_then(Value::as_array_mut) {
        Some(content) => content.push(json!({ "type": "text", "text": format!("question {asked}") })),
        None => given["message"] = format!("{}question {asked}, ", given["message"].as_str().unwrap_or_default()).into(),
    }
    given
}

fn misbehave(said: &Value) -> Result<(), String> {
    match said.as_str() {
        Some("panic") => panic!("on purpose"),
        Some("spin") => loop {
            std::hint::black_box(0);
        },
        Some("grow") => {
            let mut kept: Vec<Vec<u8>> = Vec::new();
            loop {
                kept.push(std::hint::black_box(vec![1; 1 << 20]));
            }
        }
        Some("cannot") => Err("the stars are wrong".to_owned()),
        _ => Ok(()),
    }
}

export!(Warden);
