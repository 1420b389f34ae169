//! The person at the other end of a call from the command line: who answers what a tool asks, and reads what it tells.

use std::{
    collections::VecDeque,
    io::{BufRead as _, IsTerminal as _, Write as _},
};

use serde_json::{Map, Value, json};

use super::Failure;

/// Who answers, and whether anybody reads.
pub(super) struct Dialogue {
    from: From,
    shows_progress: bool,
}

enum From {
    /// Nobody: the client says that it cannot be asked.
    Nobody,
    /// A person at the terminal.
    Terminal,
    /// What was written down before.
    Prepared(VecDeque<Value>),
}

impl Dialogue {
    /// Nobody answers, and nobody reads.
    #[cfg(test)]
    pub(super) fn silent() -> Self {
        Self { from: From::Nobody, shows_progress: false }
    }

    /// The person at the terminal, if there is one. `taken`: stdin is used for something else.
    pub(super) fn of_terminal(taken: bool) -> Self {
        let is_there = !taken && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        Self { from: if is_there { From::Terminal } else { From::Nobody }, shows_progress: true }
    }

    /// These answers, in order.
    pub(super) fn prepared(answers: Vec<Value>, shows_progress: bool) -> Self {
        Self { from: From::Prepared(answers.into()), shows_progress }
    }

    /// MCP's `ClientCapabilities`.
    pub(super) fn capabilities(&self) -> Value {
        match self.from {
            From::Nobody => json!({}),
            From::Terminal | From::Prepared(_) => json!({ "elicitation": { "form": {}, "url": {} }, "sampling": {}, "roots": {} }),
        }
    }

    /// Shows a notification.
    pub(super) fn told(&self, message: &Value) {
        let is_progress = message.get("method").and_then(Value::as_str) == Some("notifications/progress");
        if let (true, true, Some(params)) = (self.shows_progress, is_progress, message.get("params")) {
            say(&format!("{}\n", progress(params)));
        }
    }

    /// Answers a question: one of MCP's `inputRequests`.
    pub(super) fn respond(&mut self, question: &Value) -> Result<Value, Failure> {
        let method = question.get("method").and_then(Value::as_str).unwrap_or_default();
        let empty = Value::Null;
        let params = question.get("params").unwrap_or(&empty);
        match &mut self.from {
            From::Nobody => Err(Failure::failed(format!("the tool asks ({method}), and there is no terminal to answer on; use --answer"))),
            From::Prepared(answers) => match answers.pop_front() {
                Some(answer) => Ok(written_down(method, answer)),
                None => Err(Failure::failed(format!("the tool asks, and no answer is left for it: {}", summary(method, params)))),
            },
            From::Terminal => match method {
                "elicitation/create" if params.get("mode").and_then(Value::as_str) == Some("url") => ask_link(params),
                "elicitation/create" => ask_form(params),
                "sampling/createMessage" => {
                    say(&format!("{}\nThe model's answer: ", summary(method, params)));
                    Ok(written_down(method, Value::from(line()?)))
                }
                _ => Ok(json!({ "roots": [] })),
            },
        }
    }
}

/// An answer from the command line or a test case, as MCP has it.
fn written_down(method: &str, answer: Value) -> Value {
    match (method, answer) {
        ("sampling/createMessage", Value::String(text)) => {
            json!({ "role": "assistant", "content": { "type": "text", "text": text }, "model": "prepared", "stopReason": "endTurn" })
        }
        ("roots/list", roots @ Value::Array(_)) => json!({ "roots": roots }),
        (_, Value::String(action)) => json!({ "action": action }),
        (_, Value::Bool(agrees)) => json!({ "action": if agrees { "accept" } else { "decline" } }),
        (_, content) => json!({ "action": "accept", "content": content }),
    }
}

/// What is asked, in a line.
fn summary(method: &str, params: &Value) -> String {
    match method {
        "elicitation/create" => params.get("message").and_then(Value::as_str).unwrap_or_default().to_owned(),
        "sampling/createMessage" => {
            let messages = params.get("messages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let texts =
                messages.iter().filter_map(|message| message.pointer("/content/text").or_else(|| message.pointer("/content/0/text")));
            format!("of the model: {}", texts.filter_map(Value::as_str).collect::<Vec<_>>().join("\n"))
        }
        other => other.to_owned(),
    }
}

fn progress(params: &Value) -> String {
    let number = |key: &str| params.get(key).and_then(Value::as_f64);
    let text = params.get("message").and_then(Value::as_str).unwrap_or_default();
    let done = number("progress").unwrap_or_default();
    match number("total") {
        Some(total) => format!("progress {done} of {total} {text}").trim_end().to_owned(),
        None => format!("progress {done} {text}").trim_end().to_owned(),
    }
}

fn ask_link(params: &Value) -> Result<Value, Failure> {
    let text = |key: &str| params.get(key).and_then(Value::as_str).unwrap_or_default();
    say(&format!("{}\n  {}\nHave you opened it? [y/n] ", text("message"), text("url")));
    Ok(json!({ "action": if line()?.starts_with(['y', 'Y']) { "accept" } else { "decline" } }))
}

fn ask_form(params: &Value) -> Result<Value, Failure> {
    let schema = params.get("requestedSchema").unwrap_or(&Value::Null);
    let required = schema.get("required").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let properties = schema.get("properties").and_then(Value::as_object);
    say(&format!("{}\n", params.get("message").and_then(Value::as_str).unwrap_or_default()));
    let mut content = Map::new();
    for (name, property) in properties.into_iter().flatten() {
        let is_required = required.iter().any(|known| known.as_str() == Some(name));
        loop {
            say(&format!("  {name}{}: ", hint(property, is_required)));
            let answer = line()?;
            match field(property, answer.trim(), is_required) {
                Ok(Some(value)) => {
                    content.insert(name.clone(), value);
                }
                Ok(None) => {}
                Err(why) => {
                    say(&format!("    {why}\n"));
                    continue;
                }
            }
            break;
        }
    }
    if properties.is_none_or(Map::is_empty) {
        say("  Do you agree? [y/n] ");
        if !line()?.starts_with(['y', 'Y']) {
            return Ok(json!({ "action": "decline" }));
        }
    }
    Ok(json!({ "action": "accept", "content": content }))
}

/// What may be written into a field.
fn hint(property: &Value, is_required: bool) -> String {
    let mut parts = Vec::new();
    if let Some(choices) = property.get("enum").and_then(Value::as_array) {
        parts.push(choices.iter().map(shown).collect::<Vec<_>>().join(" | "));
    } else if let Some(ty) = property.get("type").and_then(Value::as_str) {
        parts.push(if ty == "boolean" { "y | n".to_owned() } else { ty.to_owned() });
    }
    if let Some(description) = property.get("description").or_else(|| property.get("title")).and_then(Value::as_str) {
        parts.push(description.to_owned());
    }
    if let Some(default) = property.get("default") {
        parts.push(format!("default {}", shown(default)));
    } else if !is_required {
        parts.push("may be empty".to_owned());
    }
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join("; ")) }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What was written into a field, as its schema has it. None: it is left out.
fn field(property: &Value, text: &str, is_required: bool) -> Result<Option<Value>, String> {
    if text.is_empty() {
        return match property.get("default") {
            Some(default) => Ok(Some(default.clone())),
            None if is_required => Err("it is required".to_owned()),
            None => Ok(None),
        };
    }
    if let Some(choices) = property.get("enum").and_then(Value::as_array) {
        let chosen = choices.iter().find(|choice| shown(choice) == text);
        return chosen.cloned().map(Some).ok_or_else(|| "it is none of the choices".to_owned());
    }
    match property.get("type").and_then(Value::as_str) {
        Some("integer") => text.parse::<i64>().map(|number| Some(number.into())).map_err(|_| "write a whole number".to_owned()),
        Some("number") => text.parse::<f64>().map(|number| Some(number.into())).map_err(|_| "write a number".to_owned()),
        Some("boolean") => match text.to_ascii_lowercase().as_str() {
            "y" | "yes" | "true" => Ok(Some(true.into())),
            "n" | "no" | "false" => Ok(Some(false.into())),
            _ => Err("write y or n".to_owned()),
        },
        Some("array") => Ok(Some(text.split(',').map(|part| Value::from(part.trim())).collect())),
        _ => Ok(Some(text.into())),
    }
}

fn say(text: &str) {
    let mut stderr = std::io::stderr().lock();
    // Nobody reads it where stderr is closed.
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

fn line() -> Result<String, Failure> {
    let mut line = String::new();
    match std::io::stdin().lock().read_line(&mut line) {
        Ok(0) => Err(Failure::failed("the tool asks, and stdin has ended")),
        Ok(_) => Ok(line.trim_end_matches(['\n', '\r']).to_owned()),
        Err(error) => Err(Failure::failed(format!("the answer cannot be read from stdin: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_read_by_its_schema() {
        for (property, text, value) in [
            (json!({ "type": "string" }), "a", json!("a")),
            (json!({ "type": "integer" }), "-3", json!(-3)),
            (json!({ "type": "number" }), "1.5", json!(1.5)),
            (json!({ "type": "boolean" }), "Yes", json!(true)),
            (json!({ "enum": ["a", 2] }), "2", json!(2)),
            (json!({ "type": "string", "default": "d" }), "", json!("d")),
            (json!({ "type": "array" }), "a, b", json!(["a", "b"])),
        ] {
            assert_eq!(field(&property, text, true), Ok(Some(value)), "{property} {text}");
        }
        for (property, text) in [
            (json!({ "type": "integer" }), "1.5"),
            (json!({ "type": "number" }), "x"),
            (json!({ "type": "boolean" }), "maybe"),
            (json!({ "enum": ["a"] }), "b"),
            (json!({ "type": "string" }), ""),
        ] {
            assert!(field(&property, text, true).is_err(), "{property} {text}");
        }
        assert_eq!(field(&json!({ "type": "string" }), "", false), Ok(None));
    }

    #[test]
    fn what_is_written_down_is_answered_in_order() {
        let form = json!({ "method": "elicitation/create", "params": { "message": "Which?" } });
        let mut dialogue = Dialogue::prepared(vec![json!({ "a": 1 }), json!("decline")], false);
        assert_eq!(dialogue.respond(&form).unwrap(), json!({ "action": "accept", "content": { "a": 1 } }));
        assert_eq!(dialogue.respond(&form).unwrap(), json!({ "action": "decline" }));
        assert!(dialogue.respond(&form).unwrap_err().message.contains("Which?"));
        let model = json!({ "method": "sampling/createMessage", "params": {} });
        assert_eq!(Dialogue::prepared(vec![json!("hi")], false).respond(&model).unwrap()["content"]["text"], "hi");
        assert_eq!(Dialogue::silent().capabilities(), json!({}));
    }

    #[test]
    fn progress_is_a_line() {
        assert_eq!(progress(&json!({ "progress": 1, "total": 2.0, "message": "half" })), "progress 1 of 2 half");
        assert_eq!(progress(&json!({ "progress": 1.5 })), "progress 1.5");
    }
}
