//! The interface `prompts`: what is listed, as MCP's objects, and filling in.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{
    Plugin,
    dynamic_tools::{check_name, protocol_error},
    offers::{Common, offer},
    run::Failure,
};
use crate::{
    provider::{CallContext, CallError, Content, JsonText, Offer, PromptOutput},
    wasm::{
        content::{self, object, put},
        folder::LoadError,
        imports::bindings::{exports::toolbay::plugin::prompts as wit, toolbay::plugin::types::Role},
    },
};

/// MCP's `Prompt`.
///
/// # Errors
///
/// Why it cannot be published, to follow the word "prompt".
pub(super) fn prompt(listed: wit::Prompt) -> Result<Offer, String> {
    let wit::Prompt { name, title, description, arguments, icons, meta, extra } = listed;
    check_name(&name)?;
    let mut seen = HashSet::new();
    if let Some(argument) = arguments.iter().find(|argument| argument.name.is_empty() || !seen.insert(argument.name.as_str())) {
        return Err(match argument.name.as_str() {
            "" => format!("{name}: an argument has no name"),
            twice => format!("{name}: it has two arguments {twice:?}"),
        });
    }
    let mut value = Common { title, description, icons, meta, extra }.members().map_err(|why| format!("{name}: {why}"))?;
    put(&mut value, "name", Some(name.as_str()));
    put(&mut value, "arguments", Some(Value::from_iter(arguments.into_iter().map(argument))));
    Ok(offer(name, value))
}

fn argument(argument: wit::Argument) -> Value {
    let mut value = json!({ "name": argument.name, "required": argument.required });
    put(&mut value, "title", argument.title);
    put(&mut value, "description", argument.description);
    value
}

/// Whether a prompt can be filled in by these arguments. If not, says all that is wrong.
fn check(prompt: &Offer, given: &[(String, String)]) -> Result<(), String> {
    let known = prompt.json.get("arguments").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let name = |argument: &Value| argument.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let is_given = |argument: &&Value| given.iter().any(|(given, _)| *given == name(argument));
    let quoted = |names: Vec<String>| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let required = |argument: &&Value| argument.get("required") == Some(&Value::Bool(true));
    let missing: Vec<String> = known.iter().filter(required).filter(|argument| !is_given(argument)).map(name).collect();
    let unknown: Vec<String> =
        given.iter().filter(|(given, _)| !known.iter().any(|argument| name(argument) == *given)).map(|(given, _)| given.clone()).collect();
    let mut problems = Vec::new();
    if !missing.is_empty() {
        problems.push(format!("it needs {}", quoted(missing)));
    }
    if !unknown.is_empty() {
        let takes = if known.is_empty() {
            "it takes no arguments".to_owned()
        } else {
            format!("it takes {}", quoted(known.iter().map(name).collect()))
        };
        problems.push(format!("it has no argument {}: {takes}", quoted(unknown)));
    }
    if problems.is_empty() { Ok(()) } else { Err(format!("the arguments do not fit prompt {}: {}", prompt.key, problems.join("; "))) }
}

/// The messages as MCP's JSON array. What is no content is left out with its message, with a word in the log.
fn messages(messages: Vec<wit::Message>, prompt: &str) -> Result<JsonText, serde_json::Error> {
    let mut text = String::from("[");
    for message in messages {
        let content = match content::block(message.content, prompt) {
            Some(Content::Text(text)) => JsonText::from_value(&json!({ "type": "text", "text": text }))?,
            Some(Content::Block(block)) => block,
            None => continue,
        };
        let role = match message.role {
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&format!(r#"{{"role":"{role}","content":{}}}"#, content.as_str()));
    }
    text.push(']');
    Ok(JsonText::from_writer(text))
}

impl Plugin {
    pub(super) async fn list_prompts(&self) -> Result<Vec<wit::Prompt>, LoadError> {
        let prompts = self.code.list("prompts", |code, mut store, instance| async move {
            let interface = code.interfaces.prompts.as_ref();
            let guest = code.bound("prompts", interface.map(|interface| interface.load(&mut store, &instance)))?;
            guest.call_list_prompts(&mut store).await.map_err(|error| code.explain(&store, &error))
        });
        prompts.await
    }

    /// Fills in a prompt.
    pub(super) async fn fill_in(
        &self,
        name: &str,
        arguments: Vec<(String, String)>,
        context: Box<CallContext>,
    ) -> Result<PromptOutput, CallError> {
        let unknown = || CallError::UnknownPrompt(name.to_owned());
        let prompt = self.offers.prompts.iter().find(|prompt| prompt.key == name).ok_or_else(unknown)?;
        // Arguments are checked before anything is taken or started for them.
        check(prompt, &arguments).map_err(CallError::InvalidParams)?;
        let call_id = context.call_id;
        let asked = name.to_owned();
        let filled = self.code.run(context, move |code, mut store, instance| async move {
            let interface = code.interfaces.prompts.as_ref();
            let guest = code.bound("prompts", interface.map(|interface| interface.load(&mut store, &instance)))?;
            let filled = guest.call_get_prompt(&mut store, &asked, &arguments).await.map_err(|error| code.explain(&store, &error))?;
            let filled = filled.map_err(|error| Failure::Call(protocol_error(error, &store.data().refusals.messages())))?;
            let not_json =
                |error| Failure::Call(CallError::Internal(format!("the prompt of plugin {} cannot be sent: {error}", code.shared.id)));
            let bytes = filled.messages.iter().map(|message| content::bytes(&message.content)).sum();
            let (given, prompt) = (filled.messages, asked.clone());
            let messages = code.sized(bytes, move || messages(given, &prompt)).await?.map_err(not_json)?;
            let meta = filled.meta.and_then(|text| {
                object(&text).inspect_err(|why| tracing::warn!(prompt = asked, "the plugin's meta {why} and is left out")).ok()?;
                JsonText::parse(text).ok()
            });
            let length = |text: Option<&str>| text.map_or(0, str::len);
            let bytes = messages.as_str().len() + length(filled.description.as_deref()) + length(meta.as_ref().map(JsonText::as_str));
            code.within_output(bytes)?;
            Ok(PromptOutput { description: filled.description, messages, meta })
        });
        filled.await.map_err(|failure| self.code.as_error(failure, name, call_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasm::imports::bindings::toolbay::plugin::types::{Content as Block, TextContent};

    fn taking(arguments: &[(&str, bool)]) -> wit::Prompt {
        let argument = |(name, required): &(&str, bool)| wit::Argument {
            name: (*name).to_owned(),
            title: None,
            description: None,
            required: *required,
        };
        wit::Prompt {
            name: "greet".to_owned(),
            title: None,
            description: Some("Says hello.".to_owned()),
            arguments: arguments.iter().map(argument).collect(),
            icons: Vec::new(),
            meta: None,
            extra: None,
        }
    }

    fn given(names: &[&str]) -> Vec<(String, String)> {
        names.iter().map(|name| ((*name).to_owned(), "v".to_owned())).collect()
    }

    #[test]
    fn a_prompt_is_published_with_its_arguments_in_order() {
        let offer = prompt(taking(&[("who", true), ("how", false)])).unwrap();
        assert_eq!(offer.key, "greet");
        assert_eq!(
            Value::Object(offer.json),
            json!({
                "name": "greet", "description": "Says hello.",
                "arguments": [{ "name": "who", "required": true }, { "name": "how", "required": false }],
            })
        );
    }

    #[test]
    fn names_that_cannot_be_are_refused() {
        for (listed, word) in [
            (wit::Prompt { name: "say hello".to_owned(), ..taking(&[]) }, "\"say hello\""),
            (taking(&[("a", true), ("a", false)]), "two arguments \"a\""),
            (taking(&[("", true)]), "no name"),
        ] {
            let error = prompt(listed).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn arguments_that_are_missing_or_unknown_are_all_named() {
        let offer = prompt(taking(&[("who", true), ("where", true), ("how", false)])).unwrap();
        assert_eq!(check(&offer, &given(&["who", "where"])), Ok(()));
        assert_eq!(check(&offer, &given(&["who", "where", "how"])), Ok(()));
        let error = check(&offer, &given(&["how", "when"])).unwrap_err();
        assert_eq!(
            error,
            "the arguments do not fit prompt greet: it needs `who`, `where`; it has no argument `when`: it takes `who`, `where`, `how`"
        );
        let error = check(&prompt(taking(&[])).unwrap(), &given(&["x"])).unwrap_err();
        assert!(error.contains("no argument `x`: it takes no arguments"), "{error}");
    }

    #[test]
    fn messages_are_json_and_what_is_no_content_is_left_out() {
        let text = |text: &str| Block::Text(TextContent { text: text.to_owned(), annotations: None, meta: None });
        let message = |role, content| wit::Message { role, content };
        let all = messages(
            vec![
                message(Role::User, text("say \"hi\"")),
                message(Role::User, Block::Other("[]".to_owned())),
                message(Role::Assistant, text("hi")),
            ],
            "greet",
        )
        .unwrap();
        let value: Value = serde_json::from_str(all.as_str()).unwrap();
        assert_eq!(
            value,
            json!([
                { "role": "user", "content": { "type": "text", "text": "say \"hi\"" } },
                { "role": "assistant", "content": { "type": "text", "text": "hi" } },
            ])
        );
        assert_eq!(messages(Vec::new(), "greet").unwrap().as_str(), "[]");
    }
}
