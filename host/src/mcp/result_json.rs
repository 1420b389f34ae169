//! Results as JSON, written by hand: parts that are JSON already are copied as they are, so nothing of them is lost.

use super::era::Era;
use crate::{
    dispatch::{InputRequired, OperationResult},
    json::write_json,
    provider::{CallOutput, Completions, Content, JsonText, PromptOutput, Question},
};

/// How long a client of 2026-07-28 may take a list for fresh. Plugins come and go by a copy into a folder, and who waits for one looks again within
/// seconds; clients that listen for changes are told at once.
pub(super) const LIST_TTL_MS: u64 = 5_000;

/// The same of what a resource reads as. A plugin does not say how long it holds, so it does not.
const READ_TTL_MS: u64 = 0;

/// MCP: "maximum 100 items per response".
const MAX_COMPLETIONS: usize = 100;

/// Appends the result of a request: an object.
pub(super) fn result(to: &mut Vec<u8>, era: Era, private: bool, result: &OperationResult) {
    to.push(b'{');
    if let OperationResult::InputRequired(asked) = result {
        input_required(to, asked);
        to.push(b'}');
        return;
    }
    if era == Era::Modern {
        to.extend_from_slice(b"\"resultType\":\"complete\",");
    }
    match result {
        OperationResult::Call(output) => call(to, era, output),
        OperationResult::Contents(contents) => read(to, era, private, contents),
        OperationResult::Prompt(prompt) => filled(to, prompt),
        OperationResult::Completions(completions) => completion(to, completions),
        OperationResult::InputRequired(_) => {}
    }
    to.push(b'}');
}

/// About how long the result is going to be.
pub(super) fn size(result: &OperationResult) -> usize {
    match result {
        OperationResult::Call(output) => {
            let length = |content: &Content| match content {
                Content::Text(text) => text.len() + text.len() / 8,
                Content::Block(block) => block.as_str().len(),
            };
            output.content.iter().map(|content| length(content) + 32).sum::<usize>()
                + output.structured.as_ref().map_or(0, |structured| structured.as_str().len())
        }
        OperationResult::Contents(contents) => contents.iter().map(|content| content.as_str().len() + 1).sum(),
        OperationResult::Prompt(prompt) => prompt.messages.as_str().len(),
        OperationResult::Completions(_) => 0,
        OperationResult::InputRequired(asked) => {
            asked.state.len() + asked.questions.iter().map(|(key, question)| key.len() + question.params.as_str().len() + 64).sum::<usize>()
        }
    }
}

/// Appends the result of a list: one page with this member.
pub(super) fn list(to: &mut Vec<u8>, era: Era, private: bool, member: &str, items: &[u8]) {
    to.push(b'{');
    if era == Era::Modern {
        to.extend_from_slice(b"\"resultType\":\"complete\",");
    }
    freshness(to, era, private, LIST_TTL_MS);
    to.push(b'"');
    to.extend_from_slice(member.as_bytes());
    to.extend_from_slice(b"\":");
    to.extend_from_slice(items);
    to.push(b'}');
}

fn freshness(to: &mut Vec<u8>, era: Era, private: bool, ttl_ms: u64) {
    if era == Era::Modern {
        to.extend_from_slice(b"\"ttlMs\":");
        to.extend_from_slice(itoa::Buffer::new().format(ttl_ms).as_bytes());
        to.extend_from_slice(if private { b",\"cacheScope\":\"private\"," } else { b",\"cacheScope\":\"public\"," });
    }
}

fn call(to: &mut Vec<u8>, era: Era, output: &CallOutput) {
    to.extend_from_slice(b"\"content\":[");
    for (index, content) in output.content.iter().enumerate() {
        if index > 0 {
            to.push(b',');
        }
        match content {
            Content::Text(text) => {
                to.extend_from_slice(b"{\"type\":\"text\",\"text\":");
                write_json(to, text);
                to.push(b'}');
            }
            Content::Block(block) => to.extend_from_slice(block.as_str().as_bytes()),
        }
    }
    to.push(b']');
    if let Some(structured) = structured(era, output) {
        to.extend_from_slice(b",\"structuredContent\":");
        to.extend_from_slice(structured.as_bytes());
    }
    to.extend_from_slice(if output.is_error { b",\"isError\":true" } else { b",\"isError\":false" });
    meta(to, output.meta.as_ref());
    if let Some(members) = output.extra.as_ref().and_then(|extra| extra.as_str().trim().strip_prefix('{')?.strip_suffix('}')) {
        to.push(b',');
        to.extend_from_slice(members.as_bytes());
    }
}

/// The structured content for this era: before 2026-07-28 it could only be an object, and clients of that time fail on anything else. A text copy stands
/// beside it.
pub(super) fn structured(era: Era, output: &CallOutput) -> Option<&str> {
    let structured = output.structured.as_ref()?.as_str();
    (era == Era::Modern || structured.trim_start().starts_with('{')).then_some(structured)
}

/// MCP's `InputRequiredResult`.
fn input_required(to: &mut Vec<u8>, asked: &InputRequired) {
    to.extend_from_slice(b"\"resultType\":\"input_required\",\"inputRequests\":");
    questions(to, asked.questions.iter().map(|(key, question)| (key.as_str(), question)));
    to.extend_from_slice(b",\"requestState\":");
    write_json(to, &asked.state);
}

/// Appends questions by their keys: an object.
pub(super) fn questions<'q>(to: &mut Vec<u8>, questions: impl Iterator<Item = (&'q str, &'q Question)>) {
    to.push(b'{');
    for (index, (key, question)) in questions.enumerate() {
        if index > 0 {
            to.push(b',');
        }
        write_json(to, key);
        to.extend_from_slice(b":{\"method\":\"");
        to.extend_from_slice(question.kind.method().as_bytes());
        to.extend_from_slice(b"\",\"params\":");
        to.extend_from_slice(question.params.as_str().as_bytes());
        to.push(b'}');
    }
    to.push(b'}');
}

fn read(to: &mut Vec<u8>, era: Era, private: bool, contents: &[JsonText]) {
    freshness(to, era, private, READ_TTL_MS);
    to.extend_from_slice(b"\"contents\":[");
    for (index, content) in contents.iter().enumerate() {
        if index > 0 {
            to.push(b',');
        }
        to.extend_from_slice(content.as_str().as_bytes());
    }
    to.push(b']');
}

fn filled(to: &mut Vec<u8>, prompt: &PromptOutput) {
    if let Some(description) = &prompt.description {
        to.extend_from_slice(b"\"description\":");
        write_json(to, description);
        to.push(b',');
    }
    to.extend_from_slice(b"\"messages\":");
    to.extend_from_slice(prompt.messages.as_str().as_bytes());
    meta(to, prompt.meta.as_ref());
}

fn completion(to: &mut Vec<u8>, completions: &Completions) {
    let values = completions.values.get(..MAX_COMPLETIONS).unwrap_or(&completions.values);
    let cut = values.len() < completions.values.len();
    let counted = cut.then(|| u32::try_from(completions.values.len()).unwrap_or(u32::MAX)).filter(|_| !completions.has_more);
    to.extend_from_slice(b"\"completion\":{\"values\":");
    write_json(to, values);
    if let Some(total) = completions.total.or(counted) {
        to.extend_from_slice(b",\"total\":");
        to.extend_from_slice(itoa::Buffer::new().format(total).as_bytes());
    }
    to.extend_from_slice(b",\"hasMore\":");
    to.extend_from_slice(if completions.has_more || cut { b"true}" } else { b"false}" });
}

fn meta(to: &mut Vec<u8>, meta: Option<&JsonText>) {
    if let Some(meta) = meta {
        to.extend_from_slice(b",\"_meta\":");
        to.extend_from_slice(meta.as_str().as_bytes());
    }
}
