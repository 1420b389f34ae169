//! The interface `prompts`: with and without arguments, with a resource and with a picture in them, and one that asks.

use crate::{
    Everything, asking, changes,
    content::{image, invalid, resource, text},
    exports::toolbay::plugin::prompts::{Argument, Content, Error, Guest, Message, Prompt, PromptResult, Role},
};

/// Name, description, arguments with what they are for. All of them have to be given.
const PROMPTS: [(&str, &str, &[(&str, &str)]); 5] = [
    ("test_simple_prompt", "A prompt that takes nothing", &[]),
    (
        "test_prompt_with_arguments",
        "A prompt that takes two arguments",
        &[("arg1", "First test argument"), ("arg2", "Second test argument")],
    ),
    ("test_prompt_with_embedded_resource", "A prompt with a resource in it", &[("resourceUri", "URI of the resource to embed")]),
    ("test_prompt_with_image", "A prompt with a picture in it", &[]),
    ("test_input_required_result_prompt", "A prompt that asks what it is about", &[]),
];

impl Guest for Everything {
    fn list_prompts() -> Result<Vec<Prompt>, Error> {
        let argument = |(name, description): &(&str, &str)| Argument {
            name: (*name).into(),
            title: None,
            description: Some((*description).into()),
            required: true,
        };
        let prompt = |(name, description, arguments): (&str, &str, &[(&str, &str)])| Prompt {
            name: name.into(),
            title: None,
            description: Some(match name {
                "test_simple_prompt" => format!("{description}; {}", changes::listed_now()),
                _ => description.into(),
            }),
            arguments: arguments.iter().map(argument).collect(),
            icons: Vec::new(),
            meta: None,
            extra: None,
        };
        Ok(PROMPTS.into_iter().map(prompt).collect())
    }

    fn get_prompt(name: String, arguments: Vec<(String, String)>) -> Result<PromptResult, Error> {
        // The host has checked that what is required is there.
        let given = |wanted: &str| arguments.iter().find(|(name, _)| name == wanted).map_or("", |(_, value)| value.as_str());
        let messages = match name.as_str() {
            "test_simple_prompt" => vec![user(text("This is a simple prompt for testing."))],
            "test_prompt_with_arguments" => {
                vec![user(text(format!("Prompt with arguments: arg1='{}', arg2='{}'", given("arg1"), given("arg2"))))]
            }
            "test_prompt_with_embedded_resource" => vec![
                user(resource(given("resourceUri"), "text/plain", "Embedded resource content for testing.")),
                user(text("Please process the embedded resource above.")),
            ],
            "test_prompt_with_image" => vec![user(image()), user(text("Please analyze the image above."))],
            "test_input_required_result_prompt" => {
                let asked = asking::form("user_context", "What context should the prompt use?", &asking::fields(&["context"]));
                let reply = asked.map_err(|error| Error { code: -32603, message: asking::why(error), data: None })?;
                let context = asking::field(&reply, "context").unwrap_or_else(|| "none".into());
                vec![user(text(format!("Use this context: {context}")))]
            }
            _ => return Err(invalid(format!("there is no prompt {name}"))),
        };
        let description = PROMPTS.iter().find(|(known, ..)| *known == name).map(|(_, description, _)| (*description).into());
        Ok(PromptResult { description, messages, meta: None })
    }
}

fn user(content: Content) -> Message {
    Message { role: Role::User, content }
}
