//! The tools that the official conformance suite of MCP calls: names, texts and delays are the suite's.

use std::{thread::sleep, time::Duration};

use exports::toolbay::plugin::tools::{CallResult, Content, Error, Guest, Tool};
use toolbay::plugin::{
    log, progress,
    types::{BinaryContent, EmbeddedResource, LogLevel, ResourceBody, TextContent},
};

wit_bindgen::generate!({ path: "../../../wit", world: "plugin" });

/// Between two notifications, so that the client can see them come one by one.
const PAUSE: Duration = Duration::from_millis(50);

/// One red pixel.
const PNG: &[u8] = include_bytes!("pixel.png");

/// No sound, and not much of it.
const WAV: &[u8] = include_bytes!("silence.wav");

const NO_ARGUMENTS: &str = r#"{"type":"object"}"#;

/// Keywords of JSON Schema 2020-12 that must reach the client as they are.
const SCHEMA_2020_12: &str = include_str!("schema_2020_12.json");

/// The value is to be repeated in the header `Mcp-Param-Value`.
const HEADER_SCHEMA: &str = r#"{"type":"object","properties":{"value":{"type":"string","description":"Repeated in a header.","x-mcp-header":"Value"}},"required":["value"]}"#;

const TOOLS: [(&str, &str, &str); 11] = [
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
    ("test_custom_header", "Has a parameter that is repeated in a header", HEADER_SCHEMA),
];

struct Conformance;

impl Guest for Conformance {
    fn list_tools() -> Result<Vec<Tool>, Error> {
        let tool = |(name, description, input_schema): (&str, &str, &str)| Tool {
            name: name.into(),
            title: None,
            description: Some(description.into()),
            input_schema: input_schema.into(),
            output_schema: None,
            annotations: None,
            icons: Vec::new(),
            meta: None,
            extra: None,
        };
        Ok(TOOLS.into_iter().map(tool).collect())
    }

    fn call_tool(name: String, arguments: String) -> Result<CallResult, Error> {
        let content = match name.as_str() {
            "test_simple_text" => vec![text("This is a simple text response for testing.")],
            "test_image_content" => vec![Content::Image(binary(PNG, "image/png"))],
            "test_audio_content" => vec![Content::Audio(binary(WAV, "audio/wav"))],
            "test_embedded_resource" => {
                vec![resource("test://embedded-resource", "text/plain", "This is an embedded resource content.")]
            }
            "test_multiple_content_types" => vec![
                text("Multiple content types test:"),
                Content::Image(binary(PNG, "image/png")),
                resource("test://mixed-content-resource", "application/json", r#"{"test":"data","value":123}"#),
            ],
            "test_error_handling" => {
                let content = vec![text("This tool intentionally returns an error for testing")];
                return Ok(CallResult { content, structured_content: None, is_error: true, meta: None });
            }
            "test_tool_with_progress" => {
                progress::report(0.0, Some(100.0), Some("Completed step 0 of 100"));
                sleep(PAUSE);
                progress::report(50.0, Some(100.0), Some("Completed step 50 of 100"));
                sleep(PAUSE);
                progress::report(100.0, Some(100.0), Some("Completed step 100 of 100"));
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
            "json_schema_2020_12_tool" | "test_custom_header" => vec![text(&format!("Called with {arguments}"))],
            _ => return Err(Error { code: -32602, message: format!("there is no tool {name}"), data: None }),
        };
        Ok(CallResult { content, structured_content: None, is_error: false, meta: None })
    }
}

fn text(text: &str) -> Content {
    Content::Text(TextContent { text: text.into(), annotations: None, meta: None })
}

fn binary(data: &[u8], mime_type: &str) -> BinaryContent {
    BinaryContent { data: data.into(), mime_type: mime_type.into(), annotations: None, meta: None }
}

fn resource(uri: &str, mime_type: &str, body: &str) -> Content {
    Content::EmbeddedResource(EmbeddedResource {
        uri: uri.into(),
        mime_type: Some(mime_type.into()),
        body: ResourceBody::Text(body.into()),
        annotations: None,
        meta: None,
    })
}

export!(Conformance);
