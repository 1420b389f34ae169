//! English to French, by a T5 model that the host runs: the tool `translate`.

mod model;
mod pieces;
mod settings;
mod tokenizer;
mod translate;

use exports::toolbay::plugin::tools::{CallResult, Error, Guest, Tool, ToolAnnotations};
use serde::Deserialize;
use serde_json::json;
use toolbay::plugin::{
    progress,
    types::{Content, TextContent},
};

wit_bindgen::generate!({
    path: "../../wit",
    inline: "
        package toolbay:translator;
        world translator {
            include toolbay:plugin/plugin@0.1.0;
            import wasi:nn/tensor@0.2.0-rc-2024-10-28;
            import wasi:nn/graph@0.2.0-rc-2024-10-28;
            import wasi:nn/inference@0.2.0-rc-2024-10-28;
            import wasi:nn/errors@0.2.0-rc-2024-10-28;
        }
    ",
    generate_all,
});

/// JSON-RPC: invalid parameters.
const INVALID_PARAMS: i32 = -32602;

/// The model, where the environment names none.
const DEFAULT_MODEL: &str = "t5-tiny";
/// The variable that names another.
const MODEL_VARIABLE: &str = "MODEL";
/// The variable that has the tokens told too, in `_meta`: for comparing models, and for tests.
const TOKENS_VARIABLE: &str = "SHOW_TOKENS";

/// Some twenty pages: more takes longer than anybody waits for one answer.
const MAX_CHARACTERS: usize = 50_000;

/// More take the memory and the time, and make no better sentences.
const MAX_BEAMS: usize = 8;

const INPUT: &str = r#"{
    "type": "object",
    "properties": {
        "text": { "type": "string", "description": "English, up to 50,000 characters. Long texts are translated sentence by sentence." },
        "beams": {
            "type": "integer", "minimum": 1, "maximum": 8,
            "description": "How many translations are followed at once, of which the likeliest is taken. 1 is quickest. Not said: what the model was made for."
        }
    },
    "required": ["text"],
    "additionalProperties": false
}"#;

const OUTPUT: &str = r#"{
    "type": "object",
    "properties": {
        "translation": { "type": "string" },
        "pieces": { "type": "integer", "minimum": 0, "description": "In how many pieces the text was translated." }
    },
    "required": ["translation", "pieces"],
    "additionalProperties": false
}"#;

#[derive(Deserialize)]
struct Arguments {
    text: String,
    beams: Option<usize>,
}

struct Translator;

impl Guest for Translator {
    fn list_tools() -> Result<Vec<Tool>, Error> {
        Ok(vec![Tool {
            name: "translate".to_owned(),
            title: Some("English to French".to_owned()),
            description: Some(
                "Translates English text to French. Line breaks are kept; long texts take a while, and progress is reported.".to_owned(),
            ),
            input_schema: INPUT.to_owned(),
            output_schema: Some(OUTPUT.to_owned()),
            annotations: Some(ToolAnnotations {
                title: None,
                read_only_hint: Some(true),
                destructive_hint: Some(false),
                idempotent_hint: Some(true),
                open_world_hint: Some(false),
            }),
            icons: Vec::new(),
            meta: None,
            extra: None,
        }])
    }

    fn call_tool(name: String, arguments: String) -> Result<CallResult, Error> {
        if name != "translate" {
            return Err(Error { code: INVALID_PARAMS, message: format!("there is no tool {name}"), data: None });
        }
        // What went wrong, the model that called should read: it is an answer, not an error of the protocol.
        Ok(call(&arguments).unwrap_or_else(|why| CallResult { is_error: true, ..plain(why) }))
    }
}

fn call(arguments: &str) -> Result<CallResult, String> {
    let Arguments { text, beams } = serde_json::from_str(arguments).map_err(|error| format!("The arguments do not fit: {error}."))?;
    let characters = text.chars().count();
    if characters > MAX_CHARACTERS {
        return Err(format!("The text has {characters} characters, over the limit of {MAX_CHARACTERS}: translate it in parts."));
    }
    let model = std::env::var(MODEL_VARIABLE).ok().filter(|name| !name.is_empty()).unwrap_or_else(|| DEFAULT_MODEL.to_owned());
    // A single piece is done before anybody could read that it has begun.
    let wanted = progress::wanted();
    let done = |pieces: usize, of: usize| {
        if wanted && of > 1 {
            progress::report(pieces as f64, Some(of as f64), Some("pieces translated"));
        }
    };
    let translation = translate::translate(&text, beams.map(|beams| beams.clamp(1, MAX_BEAMS)), &model, done)?;
    let structured = json!({ "translation": translation.text, "pieces": translation.tokens.len() });
    let meta = std::env::var_os(TOKENS_VARIABLE).map(|_| json!({ "tokens": translation.tokens }).to_string());
    Ok(CallResult { structured_content: Some(structured.to_string()), meta, ..plain(translation.text) })
}

fn plain(text: String) -> CallResult {
    let content = vec![Content::Text(TextContent { text, annotations: None, meta: None })];
    CallResult { content, structured_content: None, is_error: false, meta: None }
}

export!(Translator);
