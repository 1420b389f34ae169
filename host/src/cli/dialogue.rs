//! The person at the other end of a call from the command line: who answers what a tool asks, and reads what it tells.

use std::{
    collections::VecDeque,
    io::{BufRead as _, IsTerminal as _, Write as _},
};

use serde_json::{Value, json};

use super::{
    Failure,
    form::{Form, Written},
};

/// Who answers, and whether anybody reads.
pub(super) struct Dialogue {
    from: From,
    shows_progress: bool,
    /// What was answered, as a case for `toolbay test` has it.
    answered: Vec<Value>,
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
        Self { from: From::Nobody, shows_progress: false, answered: Vec::new() }
    }

    /// The person at the terminal, if there is one. `taken`: stdin is used for something else.
    pub(super) fn of_terminal(taken: bool) -> Self {
        let is_there = !taken && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        Self { from: if is_there { From::Terminal } else { From::Nobody }, shows_progress: true, answered: Vec::new() }
    }

    /// These answers, in order.
    pub(super) fn prepared(answers: Vec<Value>, shows_progress: bool) -> Self {
        Self { from: From::Prepared(answers.into()), shows_progress, answered: Vec::new() }
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

    /// What was answered so far, in order.
    pub(super) fn answered(self) -> Vec<Value> {
        self.answered
    }

    /// Answers a question: one of MCP's `inputRequests`.
    pub(super) fn respond(&mut self, question: &Value) -> Result<Value, Failure> {
        let reply = self.reply(question)?;
        self.answered.push(for_case(&reply));
        Ok(reply)
    }

    fn reply(&mut self, question: &Value) -> Result<Value, Failure> {
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

/// The opposite of [`written_down`].
fn for_case(reply: &Value) -> Value {
    let member = |key: &str| reply.get(key).cloned();
    match reply.get("action").and_then(Value::as_str) {
        Some("accept") => member("content").unwrap_or_else(|| json!({})),
        Some(action) => action.into(),
        None => member("roots").or_else(|| reply.pointer("/content/text").cloned()).unwrap_or_default(),
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

/// Asks for one field after the other, and again where an answer does not fit.
fn ask_form(params: &Value) -> Result<Value, Failure> {
    let mut form = Form::new(params.get("requestedSchema").unwrap_or(&Value::Null));
    let message = params.get("message").and_then(Value::as_str).unwrap_or_default();
    say(&format!("{message}\n  (!decline or !cancel in place of an answer says no)\n"));
    while let Some(prompt) = form.prompt() {
        say(&prompt);
        // Who ends the input wants to leave.
        let text = line().unwrap_or_else(|_| Form::CANCEL.to_owned());
        match form.write(text.trim()) {
            Written::Field => {}
            Written::Wrong(why) => say(&format!("    {why}\n")),
            Written::Ended(action) => return Ok(json!({ "action": action })),
        }
    }
    Ok(json!({ "action": "accept", "content": form.content() }))
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
    fn what_was_answered_can_be_answered_again() {
        let form = json!({ "method": "elicitation/create", "params": {} });
        let model = json!({ "method": "sampling/createMessage", "params": {} });
        let folders = json!({ "method": "roots/list" });
        let answers = vec![json!({ "a": 1 }), json!("cancel"), json!("hi"), json!([])];
        let mut dialogue = Dialogue::prepared(answers.clone(), false);
        for question in [&form, &form, &model, &folders] {
            dialogue.respond(question).unwrap();
        }
        assert_eq!(dialogue.answered(), answers);
    }

    #[test]
    fn progress_is_a_line() {
        assert_eq!(progress(&json!({ "progress": 1, "total": 2.0, "message": "half" })), "progress 1 of 2 half");
        assert_eq!(progress(&json!({ "progress": 1.5 })), "progress 1.5");
    }
}
