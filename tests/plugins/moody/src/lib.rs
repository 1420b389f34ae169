//! Lists tools as no plugin should: how, the environment variable `MOOD` says.

use exports::toolbay::plugin::tools::{CallResult, Content, Error, Guest, Tool};
use toolbay::plugin::types::TextContent;

wit_bindgen::generate!({ path: "../../../wit", world: "plugin" });

struct Moody;

impl Guest for Moody {
    fn list_tools() -> Result<Vec<Tool>, Error> {
        let mood = std::env::var("MOOD").unwrap_or_default();
        Ok(match mood.as_str() {
            "" | "fine" => vec![tool("fine")],
            "none" => Vec::new(),
            "error" => return Err(Error { code: -32603, message: "I do not feel like it".into(), data: None }),
            "trap" => panic!("I do not feel like it"),
            "spin" => loop {
                std::hint::spin_loop();
            },
            "nameless" => vec![tool("")],
            "bad-name" => vec![tool("two words")],
            "long-name" => vec![tool(&"x".repeat(129))],
            "twice" => vec![tool("same"), tool("same")],
            "schema-not-json" => vec![Tool { input_schema: "{".into(), ..tool("broken") }],
            "schema-no-object" => vec![Tool { input_schema: "[]".into(), ..tool("broken") }],
            "schema-of-array" => vec![Tool { input_schema: r#"{"type":"array"}"#.into(), ..tool("broken") }],
            "schema-invalid" => vec![Tool { input_schema: r#"{"type":"object","properties":12}"#.into(), ..tool("broken") }],
            "schema-remote" => {
                vec![Tool { input_schema: r#"{"type":"object","$ref":"http://127.0.0.1:9/schema.json"}"#.into(), ..tool("broken") }]
            }
            "output-schema-not-json" => vec![Tool { output_schema: Some("{".into()), ..tool("broken") }],
            "meta-not-json" => vec![Tool { meta: Some("{".into()), ..tool("broken") }],
            "extra-not-json" => vec![Tool { extra: Some("{".into()), ..tool("broken") }],
            "large" => vec![Tool { description: Some("x".repeat(20 << 20)), ..tool("large") }],
            "many" => (0..10_000).map(|at| tool(&format!("tool_{at}"))).collect(),
            "endless" => {
                let mut tools = Vec::new();
                loop {
                    tools.push(tool("again"));
                }
            }
            other => return Err(Error { code: -32603, message: format!("there is no mood {other}"), data: None }),
        })
    }

    fn call_tool(name: String, _arguments: String) -> Result<CallResult, Error> {
        let content = vec![Content::Text(TextContent { text: format!("called {name}"), annotations: None, meta: None })];
        Ok(CallResult { content, structured_content: None, is_error: false, meta: None })
    }
}

fn tool(name: &str) -> Tool {
    Tool {
        name: name.into(),
        title: None,
        description: Some("A tool.".into()),
        input_schema: r#"{"type":"object"}"#.into(),
        output_schema: None,
        annotations: None,
        icons: Vec::new(),
        meta: None,
        extra: None,
    }
}

export!(Moody);
