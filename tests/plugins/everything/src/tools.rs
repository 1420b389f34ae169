//! The interface `tools`: every kind of content, an error, progress, log messages, and schemas with all their keywords. Tools that ask, tools that tell of
//! changes and tools that take long have files of their own.

use std::{thread::sleep, time::Duration};

use crate::{
    Everything, asking, changes,
    content::{audio, image, invalid, resource, text},
    exports::toolbay::plugin::tools::{CallResult, Error, Guest, Tool},
    tasks,
    toolbay::plugin::{log, progress, types::LogLevel},
};

/// Between two notifications, so that the client can see them come one by one.
const PAUSE: Duration = Duration::from_millis(50);

const NO_ARGUMENTS: &str = r#"{"type":"object"}"#;

/// Keywords of JSON Schema 2020-12 that must reach the client as they are.
const SCHEMA_2020_12: &str = include_str!("schema_2020_12.json");

/// The value is to be repeated in the header `Mcp-Param-Value`.
const HEADER_SCHEMA: &str = r#"{"type":"object","properties":{"value":{"type":"string","description":"Repeated in a header.","x-mcp-header":"Value"}},"required":["value"]}"#;

/// Name, description, schema of the arguments.
const TOOLS: [(&str, &str, &str); 12] = [
    ("test_simple_text", "Answers text", NO_ARGUMENTS),
    ("test_image_content", "Answers an image", NO_ARGUMENTS),
    ("test_audio_content", "Answers audio", NO_ARGUMENTS),
    ("test_embedded_resource", "Answers an embedded resource", NO_ARGUMENTS),
    ("test_multiple_content_types", "Answers text, an image and a resource", NO_ARGUMENTS),
    ("test_error_handling", "Fails, as a tool does", NO_ARGUMENTS),
    ("test_tool_with_progress", "Reports progress three times", NO_ARGUMENTS),
    ("test_tool_with_logging", "Logs three times, with pauses", NO_ARGUMENTS),
    ("test_logging_tool", "Logs, which only a client that asked for it should see", NO_ARGUMENTS),
    ("json_schema_2020_12_tool", "Has a schema with many keywords of JSON Schema 2020-12", SCHEMA_2020_12),
    ("test_reconnection", "Answers, however the client came to the answer", NO_ARGUMENTS),
    ("test_custom_header", "Has a parameter that is repeated in a header", HEADER_SCHEMA),
];

impl Guest for Everything {
    fn list_tools() -> Result<Vec<Tool>, Error> {
        let tool = |(name, description, input_schema): (&str, &str, &str)| Tool {
            name: name.into(),
            title: None,
            description: Some(match name {
                "test_trigger_tool_change" => format!("{description}; {}", changes::listed_now()),
                _ => description.into(),
            }),
            input_schema: input_schema.into(),
            output_schema: None,
            annotations: None,
            icons: Vec::new(),
            meta: None,
            extra: None,
        };
        Ok(TOOLS.into_iter().chain(asking::TOOLS).chain(changes::TOOLS).chain(tasks::TOOLS).map(tool).collect())
    }

    fn call_tool(name: String, arguments: String) -> Result<CallResult, Error> {
        let mut is_error = false;
        let content = match name.as_str() {
            "test_simple_text" => vec![text("This is a simple text response for testing.")],
            "test_image_content" => vec![image()],
            "test_audio_content" => vec![audio()],
            "test_embedded_resource" => {
                vec![resource("test://embedded-resource", "text/plain", "This is an embedded resource content.")]
            }
            "test_multiple_content_types" => vec![
                text("Multiple content types test:"),
                image(),
                resource("test://mixed-content-resource", "application/json", r#"{"test":"data","value":123}"#),
            ],
            // A tool that ran and failed says so in its answer, which a model can read. `Err` is for errors of the protocol.
            "test_error_handling" => {
                is_error = true;
                vec![text("This tool intentionally returns an error for testing")]
            }
            // Nobody has to ask whether the client wants to know: the host drops what was not asked for.
            "test_tool_with_progress" => {
                for step in [0, 50, 100] {
                    if step > 0 {
                        sleep(PAUSE);
                    }
                    progress::report(f64::from(step), Some(100.0), Some(&format!("Completed step {step} of 100")));
                }
                vec![text("Tool with progress completed.")]
            }
            "test_tool_with_logging" | "test_logging_tool" => {
                log::message(LogLevel::Info, "Tool execution started");
                sleep(PAUSE);
                log::message(LogLevel::Info, "Tool processing data");
                sleep(PAUSE);
                log::message(LogLevel::Info, "Tool execution completed");
                vec![text("Tool with logging completed.")]
            }
            "json_schema_2020_12_tool" | "test_custom_header" => vec![text(format!("Called with {arguments}"))],
            "test_reconnection" => vec![text("Reconnection test completed")],
            name => {
                let arguments = serde_json::from_str(&arguments).unwrap_or_default();
                if let Some(result) = tasks::call(name, &arguments) {
                    return result;
                }
                match asking::call(name, &arguments) {
                    Some(Ok(content)) => content,
                    Some(Err(error)) => {
                        is_error = true;
                        vec![text(asking::why(error))]
                    }
                    None => changes::call(name, &arguments).ok_or_else(|| invalid(format!("there is no tool {name}")))?,
                }
            }
        };
        Ok(CallResult { content, structured_content: None, is_error, meta: None })
    }
}
